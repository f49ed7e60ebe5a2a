/* The process that runs candidates: for one computation, one candidate after the other, told on standard output as
 * protocol.h says. It may crash or hang at any moment; who started it knows what it was at. */
#include "clnet/tune.h"
#include "protocol.h"
#include "trial.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MIN_ROUNDS = 5, CONFIRM_ROUNDS = 12, MAX_ROUNDS = 25 };
static const double measure_s = 0.5; /* about how long one candidate is measured */
static const double hopeless = 1.15; /* times the rule's time, both at their best: not measured further */

typedef struct worker {
    cln_context *ctx;
    cln__trial trial;
    cln_plan *rule; /* candidate 0, or NULL: it is lost */
    int best;       /* candidate, or 0: none beats the rule's */
    const char *best_text;
    double best_ratio;
    const char *fault; /* "crash CANDIDATE" */
    unsigned timeout_s;
} worker;

static void tell(const char *text) {
    printf(CLN__TUNE_MARK "%s\n", text);
    fflush(stdout);
}

/* The first line of the context's message: messages of compilers have many. */
static void tell_message(const worker *w, const char *word) {
    char line[CLN__TUNE_LINE / 2];
    snprintf(line, sizeof line, "%.40s %.900s", word, cln_context_error(w->ctx));
    line[strcspn(line, "\n")] = '\0';
    tell(line);
}

/* --- timing --- */

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* What disturbs makes slower, never faster, so the lower quartile says more than the median. */
static double typical(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, ascending);
    return values[count / 4];
}

/* In turns with the rule's, so that both meet the same disturbances. */
static cln_status measure(worker *w, cln_plan *plan, int min_rounds, double *seconds, double *rule_seconds) {
    double times[MAX_ROUNDS], rule_times[MAX_ROUNDS] = {0}, start_s = cln__now_s();
    double best = INFINITY, rule_best = INFINITY;
    bool beside = w->rule && w->rule != plan;
    int rounds = 0;
    while (rounds < MAX_ROUNDS && (rounds < min_rounds || cln__now_s() - start_s < measure_s)) {
        CLN_TRY(cln__trial_time(&w->trial, plan, &times[rounds]));
        if (beside)
            CLN_TRY(cln__trial_time(&w->trial, w->rule, &rule_times[rounds]));
        best = fmin(best, times[rounds]);
        rule_best = fmin(rule_best, rule_times[rounds]);
        rounds++;
        if (beside && rounds > 1 && best > hopeless * rule_best)
            break;
    }
    *seconds = typical(times, rounds);
    *rule_seconds = w->rule == plan ? *seconds : typical(rule_times, rounds);
    return CLN_OK;
}

/* --- a candidate --- */

static bool has_fault(const worker *w, const char *kind, const char *candidate) {
    size_t length = strlen(kind);
    return w->fault && strncmp(w->fault, kind, length) == 0 && w->fault[length] == ' ' &&
           strncmp(candidate, w->fault + length + 1, strlen(w->fault + length + 1)) == 0;
}

static cln_status fail_on_purpose(const worker *w, const char *candidate) {
    if (has_fault(w, "crash", candidate))
        abort();
    while (has_fault(w, "hang", candidate))
        pause();
    return has_fault(w, "wrong", candidate)
               ? cln__fail(w->ctx, CLN_FAILED, "the result is wrong, as it was asked to be for a test")
               : CLN_OK;
}

static cln_status try_plan(worker *w, const char *candidate, cln_plan *plan, double *seconds, double *rule_seconds) {
    CLN_TRY(fail_on_purpose(w, candidate));
    CLN_TRY(cln__trial_check(&w->trial, plan));
    return measure(w, plan, MIN_ROUNDS, seconds, rule_seconds);
}

/* Whether this process is still to be trusted: a candidate that failed when it ran may have broken the context. */
static bool try_candidate(worker *w, int index, const char *candidate) {
    char line[256];
    double seconds, rule_seconds;
    cln_plan *plan;
    snprintf(line, sizeof line, "try %d %s", index, candidate);
    tell(line);
    alarm(w->timeout_s); /* ends this process even if the one that started it is gone */
    cln_status status = cln__trial_build(&w->trial, candidate, &plan);
    bool built = status == CLN_OK;
    if (status == CLN_OK && index == 0)
        w->rule = plan;
    if (status == CLN_OK)
        status = try_plan(w, candidate, plan, &seconds, &rule_seconds);
    if (status == CLN_OK && index > 0 && seconds < w->best_ratio * rule_seconds) {
        w->best = index;
        w->best_text = candidate;
        w->best_ratio = seconds / rule_seconds;
    }
    if (status == CLN_OK)
        snprintf(line, sizeof line, "done %d %.9g %.9g", index, seconds, rule_seconds);
    else
        snprintf(line, sizeof line, "%s %d", built ? "bad" : "refused", index);
    if (status == CLN_OK)
        tell(line);
    else
        tell_message(w, line);
    if (index == 0 && status != CLN_OK)
        w->rule = NULL;
    if (plan != w->rule)
        cln_plan_free(plan);
    return status == CLN_OK || !built;
}

/* A worker that follows one that was lost needs the rule's plan again, to measure beside it. */
static cln_status rebuild_rule(worker *w, const char *candidates) {
    char first[CLN__TUNE_LINE];
    snprintf(first, sizeof first, "%.*s", (int)strcspn(candidates, "\n"), candidates);
    CLN_TRY(cln__trial_build(&w->trial, first, &w->rule));
    return cln__trial_check(&w->trial, w->rule);
}

static cln_status confirm(worker *w) {
    char line[256];
    double seconds, rule_seconds;
    cln_plan *plan;
    if (!w->rule || !w->best_text)
        return CLN_OK;
    snprintf(line, sizeof line, "confirming %d %s", w->best, w->best_text);
    tell(line);
    alarm(w->timeout_s);
    CLN_TRY(cln__trial_build(&w->trial, w->best_text, &plan));
    cln_status status = cln__trial_check(&w->trial, plan);
    if (status == CLN_OK)
        status = measure(w, plan, CONFIRM_ROUNDS, &seconds, &rule_seconds);
    cln_plan_free(plan);
    CLN_TRY(status);
    snprintf(line, sizeof line, "confirm %d %.9g %.9g", w->best, seconds, rule_seconds);
    tell(line);
    return CLN_OK;
}

static cln_status try_all(worker *w, char *candidates, int from, bool with_rule) {
    char line[32];
    int count = 0;
    for (const char *c = candidates; *c; c++)
        count += *c == '\n';
    snprintf(line, sizeof line, "candidates %d", count);
    tell(line);
    if (from > 0 && with_rule)
        CLN_TRY(rebuild_rule(w, candidates));
    char *next = candidates;
    bool trusted = true;
    for (int i = 0; i < count && trusted; i++) {
        char *end = strchr(next, '\n');
        *end = '\0';
        if (i == w->best && i > 0)
            w->best_text = next;
        if (i >= from)
            trusted = try_candidate(w, i, next);
        next = end + 1;
    }
    return trusted ? confirm(w) : CLN_FAILED;
}

static cln_status work(worker *w, cln_device *device, const char *signature, int from, bool with_rule) {
    char *candidates = NULL;
    alarm(CLN__TUNE_PREPARATION * w->timeout_s);
    CLN_TRY(cln__trial_new(w->ctx, device, signature, &w->trial));
    CLN_TRY(cln__trial_expect(&w->trial));
    CLN_TRY(cln__trial_candidates(&w->trial, &candidates));
    cln_status status = try_all(w, candidates, from, with_rule);
    free(candidates);
    return status;
}

static cln_status run(worker *w, char **argv, const char *fault) {
    cln_device *device;
    CLN_TRY(cln_device_open(w->ctx, argv[0], &device));
    w->fault = *fault ? fault : NULL;
    w->timeout_s = (unsigned)atoi(argv[4]);
    cln_status status = work(w, device, argv[1], atoi(argv[2]), atoi(argv[3]) != 0);
    cln_plan_free(w->rule);
    cln__trial_free(&w->trial);
    cln_device_free(device);
    return status;
}

/* DEVICE SIGNATURE FROM WITH_RULE TIMEOUT BEST BEST_RATIO FAULT */
int cln_tune_worker(int argc, char **argv) {
    worker w = {.best_ratio = CLN__TUNE_RATIO};
    if (argc != 8)
        return CLN_INVALID_ARGUMENT;
    if (cln_context_new(&w.ctx) != CLN_OK) {
        tell("failed there is no memory for a context");
        return CLN_OUT_OF_MEMORY;
    }
    locale_t before = cln__point_begin();
    w.best = atoi(argv[5]);
    if (w.best > 0)
        w.best_ratio = strtod(argv[6], NULL);
    cln_status status = run(&w, argv, argv[7]);
    if (status == CLN_OK)
        tell("end");
    else
        tell_message(&w, "failed");
    cln_context_free(w.ctx);
    cln__point_end(before);
    return status;
}
