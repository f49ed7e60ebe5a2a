/* cltrain fit: how the learning rate changes. */
#include "fit.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const schedulers[] = {"multistep", "cosine", "onecycle", "constant", NULL}; /* as the enum */

const cli_option fit_schedule_options[] = {
    {"lr-scheduler", CLI_CHOICE, FIT_AT(scheduler), "NAME",
     "multistep (default: lr times gamma at each of the milestones), cosine (down to --min-lr), onecycle (up to --lr "
     "and down again, momentum the other way) or constant; cosine and onecycle change it at every step",
     0, 0, schedulers},
    {"milestones", CLI_INTS, FIT_AT(milestones), "N,N,...",
     "after so many epochs the learning rate is multiplied by gamma; by default the recipe's, scaled to --epochs", 1,
     1000000, NULL},
    {"gamma", CLI_REAL, FIT_AT(gamma), "X", "1 keeps the learning rate as it is", 1e-30, 1e6, NULL},
    {"min-lr", CLI_REAL, FIT_AT(min_lr), "X", "of cosine, the learning rate at the end (default 0)", 0, 1e38, NULL},
    {"eta-min", CLI_REAL, FIT_AT(min_lr), "X", NULL, 0, 1e38, NULL},
    {"pct-start", CLI_REAL, FIT_AT(pct_start), "X",
     "of onecycle, the share of the steps in which lr rises (default 0.3)", 1e-6, 1, NULL},
    {"div-factor", CLI_REAL, FIT_AT(div_factor), "X", "of onecycle: it begins at lr / X (default 25)", 1e-6, 1e30,
     NULL},
    {"final-div-factor", CLI_REAL, FIT_AT(final_div_factor), "X",
     "of onecycle: it ends at an X-th of where it began (default 10000)", 1e-6, 1e30, NULL},
    {"cycle-momentum", CLI_FLAG, FIT_AT(cycle_momentum), NULL,
     "of onecycle, as is the default: momentum (beta1 of all but sgd) is low where lr is high", 0, 0, NULL},
    {"base-momentum", CLI_REAL, FIT_AT(base_momentum), "X", "of onecycle, momentum at the highest lr (default 0.85)",
     1e-6, 1, NULL},
    {"max-momentum", CLI_REAL, FIT_AT(max_momentum), "X", "of onecycle, momentum at both ends (default 0.95)", 1e-6, 1,
     NULL},
    {"warmup-epochs", CLI_INT, FIT_AT(warmup_epochs), "N", "first let lr rise linearly, for so many epochs", 0, 1000000,
     NULL},
    {"warmup-steps", CLI_INT, FIT_AT(warmup_steps), "N", "the same, for so many steps", 0, 1e12, NULL},
    {"warmup-lr", CLI_REAL, FIT_AT(warmup_lr), "X", "where the warm-up begins (default: a hundredth of where it ends)",
     1e-30, 1e38, NULL},
    {.name = NULL}};

static cln_lr_scheduler scheduler_of(const fit_arguments *a) {
    return a->scheduler >= 0 ? (cln_lr_scheduler)a->scheduler
           : a->model        ? a->model->recipe->lr_scheduler
                             : CLN_LR_MULTISTEP;
}

/* An option of one scheduler only. */
typedef struct owned {
    const char *option;
    cln_lr_scheduler scheduler;
    bool given;
} owned;

static int check_owned(const cli_command *command, const fit_arguments *a) {
    const owned all[] = {
        {"milestones", CLN_LR_MULTISTEP, a->milestones.count >= 0},
        {"gamma", CLN_LR_MULTISTEP, !isnan(a->gamma)},
        {"min-lr", CLN_LR_COSINE, !isnan(a->min_lr)},
        {"pct-start", CLN_LR_ONECYCLE, !isnan(a->pct_start)},
        {"div-factor", CLN_LR_ONECYCLE, !isnan(a->div_factor)},
        {"final-div-factor", CLN_LR_ONECYCLE, !isnan(a->final_div_factor)},
        {"base-momentum", CLN_LR_ONECYCLE, !isnan(a->base_momentum)},
        {"max-momentum", CLN_LR_ONECYCLE, !isnan(a->max_momentum)},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].given && all[i].scheduler != scheduler_of(a))
            return cli_misuse(command, "--%s is for --lr-scheduler %s", all[i].option,
                              cln_lr_scheduler_name(all[i].scheduler));
    return CLN_OK;
}

int fit_check_schedule(const cli_command *command, const fit_arguments *a) {
    int status = check_owned(command, a);
    if (status != CLN_OK)
        return status;
    if (fit_cycles_momentum(a) && !isnan(a->momentum))
        return cli_misuse(command, "--momentum needs --no-cycle-momentum, since --lr-scheduler onecycle sets it");
    if (a->warmup_epochs > 0 && a->warmup_steps > 0)
        return cli_misuse(command, "--warmup-epochs and --warmup-steps exclude each other");
    if (!isnan(a->warmup_lr) && a->warmup_epochs == 0 && a->warmup_steps == 0)
        return cli_misuse(command, "--warmup-lr is for --warmup-epochs or --warmup-steps");
    return CLN_OK;
}

bool fit_cycles_momentum(const fit_arguments *a) {
    return scheduler_of(a) == CLN_LR_ONECYCLE && a->cycle_momentum;
}

void fit_resolve_schedule(fit_arguments *a) {
    const cln_recipe *r = a->model->recipe;
    a->scheduler = (int)scheduler_of(a);
    if (a->epochs < 0)
        a->epochs = r->epochs;
    if (a->scheduler == CLN_LR_MULTISTEP) {
        fit_fill(&a->gamma, r->gamma);
        if (a->milestones.count < 0)
            a->milestones = cln_recipe_milestones(r, (int)a->epochs);
    } else if (a->scheduler == CLN_LR_COSINE) {
        fit_fill(&a->min_lr, r->min_lr);
    }
}

static float given(double value) {
    return isnan(value) ? 0 : (float)value;
}

void fit_schedule(const fit_arguments *a, cln_recipe *r) {
    r->lr_scheduler = (cln_lr_scheduler)a->scheduler;
    r->gamma = isnan(a->gamma) ? 1 : (float)a->gamma;
    r->milestones = a->milestones.count >= 0 ? a->milestones : (cln_ints){.count = 0};
    r->min_lr = given(a->min_lr);
    r->onecycle = (cln_onecycle){.pct_start = given(a->pct_start),
                                 .div_factor = given(a->div_factor),
                                 .final_div_factor = given(a->final_div_factor),
                                 .base_momentum = given(a->base_momentum),
                                 .max_momentum = given(a->max_momentum),
                                 .fixed_momentum = !a->cycle_momentum};
    r->warmup_epochs = (int)a->warmup_epochs;
    r->warmup_steps = a->warmup_steps;
    r->warmup_lr = given(a->warmup_lr);
}

void fit_show_schedule(const cln_recipe *r) {
    for (int i = 0; i < r->milestones.count; i++)
        if (i == 0)
            printf(", lr x%g after epoch%s %d", (double)r->gamma, r->milestones.count > 1 ? "s" : "",
                   r->milestones.values[i]);
        else
            printf(", %d", r->milestones.values[i]);
    if (r->lr_scheduler == CLN_LR_COSINE)
        printf(", lr along a cosine to %g", (double)r->min_lr);
    if (r->lr_scheduler == CLN_LR_ONECYCLE)
        printf(", lr in one cycle");
    if (r->warmup_epochs > 0)
        printf(", warm-up of %d epoch%s", r->warmup_epochs, r->warmup_epochs == 1 ? "" : "s");
    if (r->warmup_steps > 0)
        printf(", warm-up of %" PRId64 " step%s", r->warmup_steps, r->warmup_steps == 1 ? "" : "s");
}
