/* cltrain fit: how long it trains, on how much of the data, and what it looks at on the way. */
#include "fit.h"

#include <stdlib.h>
#include <string.h>

const cli_option fit_loop_options[] = {
    {"patience", CLI_INT, FIT_AT(patience), "N",
     "early stopping: end when the monitor was not better for so many validations in a row", 1, 1000000, NULL},
    {"min-delta", CLI_REAL, FIT_AT(min_delta), "X", "for --patience: better means by more than this (default 0)", 0,
     1e30, NULL},
    {"max-steps", CLI_INT, FIT_AT(max_steps), "N",
     "end after so many steps, if --epochs do not come first; learning rates follow the latter", 1, 1e15, NULL},
    {"check-val-every-n-epoch", CLI_INT, FIT_AT(check_val_every), "N", "validate after each N-th epoch only", 1,
     1000000, NULL},
    {"num-sanity-val-steps", CLI_INT, FIT_AT(sanity_val_steps), "N",
     "batches to validate before a new run begins, so that a fault there shows at once (default 2); -1: all; 0: none",
     -1, 1 << 30, NULL},
    {"fast-dev-run", CLI_FLAG_INT, FIT_AT(fast_dev_run), "[N]",
     "a trial of N batches (1) of training, validation and test in one epoch, which writes no files", 0, 1 << 30, NULL},
    {"overfit-batches", CLI_TEXT, FIT_AT(overfit_batches), "F|N",
     "train and validate on this share, or this number, of the batches, always the same in the same order", 0, 0, NULL},
    {"limit-train-batches", CLI_TEXT, FIT_AT(limit_train_batches), "F|N",
     "a share of each epoch's batches, as in 0.25 (1.0: all), or their number, as in 1", 0, 0, NULL},
    {"limit-val-batches", CLI_TEXT, FIT_AT(limit_val_batches), "F|N", "the same of validation; 0: do not validate", 0,
     0, NULL},
    {"limit-test-batches", CLI_TEXT, FIT_AT(limit_test_batches), "F|N", "the same of the test; 0: do not test", 0, 0,
     NULL},
    {"detect-anomaly", CLI_FLAG, FIT_AT(detect_anomaly), NULL,
     "look at all gradients and weights after each step, and stop with the layer's name at the first infinite or "
     "undefined value; slow, to find out why a run diverges",
     0, 0, NULL},
    {"profiler", CLI_FLAG, FIT_AT(profiler), NULL,
     "at the end, print what the time went to: phases of the run, and operators by the kernels of 5 training steps; "
     "and write a time line, trace.json, into --out",
     0, 0, NULL},
    {.name = NULL}};

/* As Lightning reads them: with a point a share, without a number. In cln_fit_options, 0 is all and below 0 none. */
static bool read_amount(const char *text, bool allow_none, double *out) {
    char *end;
    double value = strtod(text, &end);
    bool share = strpbrk(text, ".eE") != NULL;
    if (end == text || *end || text[0] < '0' || text[0] > '9' || value > 1e15 || (share && value > 1))
        return false;
    *out = value == 0 ? -1 : share && value == 1 ? 0 : value;
    return value > 0 || allow_none;
}

static bool take_amount(const cli_command *command, const char *name, const char *text, bool allow_none, double *out) {
    *out = 0;
    if (!text || read_amount(text, allow_none, out))
        return true;
    cli_misuse(command, "--%s: expected a share as in 0.25 (1.0: all) or a number of batches%s, found '%.200s'", name,
               allow_none ? ", or 0" : "", text);
    return false;
}

int fit_check_loop(const cli_command *command, const fit_arguments *a) {
    cln_fit_options o;
    if (!fit_loop(command, a, &o))
        return CLN_INVALID_ARGUMENT;
    if (a->min_delta > 0 && a->patience == 0)
        return cli_misuse(command, "--min-delta is for --patience");
    if (a->overfit_batches && (a->limit_train_batches || a->limit_val_batches))
        return cli_misuse(command, "--overfit-batches excludes --limit-train-batches and --limit-val-batches");
    if (a->fast_dev_run > 0 && (a->resume || a->benchmark))
        return cli_misuse(command, "--fast-dev-run excludes --resume and --benchmark");
    return CLN_OK;
}

bool fit_loop(const cli_command *command, const fit_arguments *a, cln_fit_options *o) {
    o->patience = (int)a->patience;
    o->min_delta = a->min_delta;
    o->max_steps = a->max_steps;
    o->check_val_every_n_epoch = (int)a->check_val_every;
    o->sanity_val_steps = (int)a->sanity_val_steps;
    o->fast_dev_run = (int)a->fast_dev_run;
    o->detect_anomaly = a->detect_anomaly;
    bool good = take_amount(command, "overfit-batches", a->overfit_batches, false, &o->overfit_batches) &&
                take_amount(command, "limit-train-batches", a->limit_train_batches, false, &o->limit_train_batches) &&
                take_amount(command, "limit-val-batches", a->limit_val_batches, true, &o->limit_val_batches) &&
                take_amount(command, "limit-test-batches", a->limit_test_batches, true, &o->limit_test_batches);
    if (good && a->overfit_batches && o->overfit_batches == 0)
        o->overfit_batches = 1e15; /* all, but in one order */
    return good;
}
