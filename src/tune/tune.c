/* cln_tune: which computations there are, the most expensive first; a worker process for each; the fastest candidate
 * into the database. */
#include "../runtime/tuning.h"
#include "protocol.h"
#include "store.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_WORKER = 16 };
static const double default_budget_s = 600, default_timeout_s = 60;

typedef struct tuner {
    cln_context *ctx;
    const cln_device *device;
    const cln_tune_options *o;
    cln_tune_result *result;
    cln_tuning *db;
    char key_text[CLN_TUNING_KEY];
    cln_tuning_record key;
    cln__decisions tasks;
    double start_s, budget_s, timeout_s;
    cln_tune_event event;
} tuner;

/* One computation while it is tuned. */
typedef struct task {
    const cln__decision *decision;
    cln__child child;
    int count, at, next; /* candidates; the one being tried, or -1; where a new worker begins */
    bool rule_lost, confirming, confirmed;
    bool renew, ended, failed; /* the worker is to be followed by another; it is done; so is the computation, in vain */
    char trying[256];          /* candidate `at`, or the one being confirmed */
    char best[256], rule[256];
    int best_index;
    double rule_s, best_s, best_rule_s, best_ratio;
} task;

static double left_s(const tuner *t) {
    return t->budget_s - (cln__now_s() - t->start_s);
}

static bool is_over(const tuner *t) {
    return left_s(t) <= 0 || (t->o->should_stop && t->o->should_stop(t->o->user));
}

static void tell(tuner *t, cln_tune_stage stage) {
    t->event.stage = stage;
    t->event.elapsed_s = cln__now_s() - t->start_s;
    if (t->o->on_event)
        t->o->on_event(t->o->user, &t->event);
}

/* --- what there is to do --- */

static cln_status add_tasks(tuner *t, const cln__decisions *more) {
    for (int i = 0; i < more->count; i++) {
        cln__decision *same = NULL;
        for (int k = 0; k < t->tasks.count && !same; k++)
            same = strcmp(t->tasks.of[k].signature, more->of[i].signature) == 0 ? &t->tasks.of[k] : NULL;
        if (same) {
            same->flops += more->of[i].flops;
            continue;
        }
        cln__decision *wider = realloc(t->tasks.of, sizeof *wider * ((size_t)t->tasks.count + 1));
        if (!wider)
            return cln__fail_memory(t->ctx, "the computations to tune");
        t->tasks.of = wider;
        t->tasks.of[t->tasks.count++] = more->of[i];
        more->of[i] = (cln__decision){0}; /* taken over */
    }
    return CLN_OK;
}

static cln_status find_tasks(tuner *t, const cln_tune_job *jobs, int count) {
    for (int i = 0; i < count; i++) {
        cln__decisions decisions;
        cln_plan_options options = *jobs[i].options;
        options.choice_count = 0; /* what the rules choose is asked for */
        CLN_TRY(cln__plan_decisions(t->ctx, t->device, jobs[i].graph, &options, false, &decisions));
        cln_status status = add_tasks(t, &decisions);
        cln__decisions_free(&decisions);
        CLN_TRY(status);
    }
    return CLN_OK;
}

static void drop_known(tuner *t, const cln_tuning_record *records, int count) {
    int kept = 0;
    for (int i = 0; i < t->tasks.count; i++) {
        bool known = false;
        for (int k = 0; k < count && !known; k++)
            known = cln__tuning_same_key(&records[k], &t->key) &&
                    strcmp(records[k].signature, t->tasks.of[i].signature) == 0;
        cln__decision moved = t->tasks.of[i];
        t->tasks.of[i] = t->tasks.of[kept];
        t->tasks.of[kept] = moved;
        kept += !known;
    }
    t->result->known = t->tasks.count - kept;
    t->event.known = t->result->known;
    t->event.count = kept;
}

static int by_flops(const void *a, const void *b) {
    const cln__decision *x = a, *y = b;
    return x->flops != y->flops ? (x->flops < y->flops ? 1 : -1) : strcmp(x->signature, y->signature);
}

static cln_status choose_tasks(tuner *t) {
    cln_tuning_record *records;
    int count;
    CLN_TRY(cln_tuning_records(t->db, &records, &count));
    drop_known(t, records, t->o->again ? 0 : count);
    free(records);
    qsort(t->tasks.of, (size_t)t->event.count, sizeof *t->tasks.of, by_flops);
    return CLN_OK;
}

/* --- one computation --- */

static cln_status start_worker(tuner *t, task *k) {
    const char *argv[MAX_WORKER + 9];
    char device[32], from[16], timeout[16], best[16], ratio[32];
    const cln_device_info *info = cln_device_get_info(t->device);
    int count = 0;
    for (; t->o->worker[count] && count < MAX_WORKER; count++)
        argv[count] = t->o->worker[count];
    snprintf(device, sizeof device, "%d:%d", info->platform, info->device);
    snprintf(from, sizeof from, "%d", k->next);
    snprintf(timeout, sizeof timeout, "%.0f", ceil(t->timeout_s) + 5);
    snprintf(best, sizeof best, "%d", k->best_index);
    locale_t before = cln__point_begin();
    snprintf(ratio, sizeof ratio, "%.9g", k->best_ratio);
    cln__point_end(before);
    const char *fault = t->o->fault ? t->o->fault : "", *with_rule = k->rule_lost ? "0" : "1";
    const char *const more[] = {device, k->decision->signature, from, with_rule, timeout, best, ratio, fault, NULL};
    memcpy(argv + count, more, sizeof more);
    int code = cln__child_start(&k->child, argv);
    return code == 0 ? CLN_OK
                     : cln__fail(t->ctx, CLN_IO, "cannot start '%s' to measure kernels: %s", argv[0], strerror(code));
}

static bool is_all_tried(const task *k) {
    return k->count > 0 && k->next >= k->count && k->at < 0;
}

/* Whether what is best so far must be measured anew before it is preferred to what the rules choose. */
static bool is_unconfirmed(const task *k) {
    return k->best_index > 0 && *k->rule && !k->confirmed;
}

static void fall_back(task *k) {
    snprintf(k->best, sizeof k->best, "%s", k->rule);
    k->best_index = 0;
    k->best_s = k->best_rule_s = k->rule_s;
}

static void lose(tuner *t, task *k, const char *message) {
    bool tried = k->at >= 0 || k->confirming;
    t->event.message = message;
    t->event.candidate = tried ? k->trying : NULL;
    t->event.seconds = t->event.rule_seconds = 0;
    tell(t, CLN_TUNE_LOST);
    t->event.message = NULL;
    t->result->lost += tried;
    k->rule_lost = k->rule_lost || k->at == 0;
    k->confirming = false;
    k->at = -1;
}

/* The worker ended, or says that it cannot go on. When everything was tried there are results, and without the one
 * that was to be confirmed there is what the rules choose. */
static void end_early(tuner *t, task *k, const char *message) {
    bool candidates = k->at >= 0, at_end = is_all_tried(k);
    if (!k->confirmed)
        lose(t, k, message);
    if (at_end && is_unconfirmed(k))
        fall_back(k);
    k->ended = at_end || (is_all_tried(k) && !is_unconfirmed(k));
    k->failed = !candidates && !at_end; /* not a candidate's fault */
}

static void win(tuner *t, task *k, double seconds, double rule_seconds) {
    double ratio = rule_seconds > 0 ? seconds / rule_seconds : seconds;
    t->event.candidate = k->trying;
    t->event.seconds = seconds;
    t->event.rule_seconds = rule_seconds;
    tell(t, CLN_TUNE_CANDIDATE);
    bool is_rule = k->at == 0;
    if (is_rule) {
        snprintf(k->rule, sizeof k->rule, "%s", k->trying);
        k->rule_s = seconds;
    }
    if (is_rule || !*k->best || ratio < k->best_ratio) {
        snprintf(k->best, sizeof k->best, "%s", k->trying);
        k->best_s = seconds;
        k->best_rule_s = rule_seconds;
        k->best_ratio = is_rule ? CLN__TUNE_RATIO : ratio;
        k->best_index = k->at;
    }
    k->at = -1;
}

static void confirm(task *k, int index, double seconds, double rule_seconds) {
    if (!k->confirming || index != k->best_index || rule_seconds <= 0)
        return;
    k->confirming = false;
    k->confirmed = true;
    k->rule_s = rule_seconds;
    k->best_s = seconds;
    k->best_rule_s = rule_seconds;
    if (seconds >= CLN__TUNE_RATIO * rule_seconds)
        fall_back(k);
}

static void hear_line(tuner *t, task *k, const char *line) {
    int index, at = 0;
    double seconds, rule_seconds;
    if (sscanf(line, "candidates %d", &index) == 1)
        k->count = index;
    else if (sscanf(line, "try %d %n", &index, &at) == 1 && at > 0) {
        k->at = index;
        k->next = index + 1;
        snprintf(k->trying, sizeof k->trying, "%.250s", line + at);
    } else if (sscanf(line, "done %d %lf %lf", &index, &seconds, &rule_seconds) == 3 && index == k->at)
        win(t, k, seconds, rule_seconds);
    else if (sscanf(line, "confirm %d %lf %lf", &index, &seconds, &rule_seconds) == 3)
        confirm(k, index, seconds, rule_seconds);
    else if (sscanf(line, "confirming %d %n", &index, &at) == 1 && at > 0 && index == k->best_index) {
        k->confirming = true;
        snprintf(k->trying, sizeof k->trying, "%s", k->best);
    } else if (sscanf(line, "refused %d %n", &index, &at) == 1 && at > 0 && index == k->at)
        lose(t, k, line + at);
    else if (sscanf(line, "bad %d %n", &index, &at) == 1 && at > 0 && index == k->at) {
        end_early(t, k, line + at);
        k->renew = !k->ended;
    } else if (strncmp(line, "failed ", 7) == 0) {
        end_early(t, k, line + 7);
        k->renew = !k->ended && !k->failed;
    } else if (strcmp(line, "end") == 0)
        k->ended = true;
}

static void hear(tuner *t, task *k, const char *line) {
    locale_t before = cln__point_begin();
    hear_line(t, k, line);
    cln__point_end(before);
}

/* Until the worker ends, or is ended. */
static void listen(tuner *t, task *k) {
    char line[CLN__TUNE_LINE], how[64], message[160];
    double heard_s = cln__now_s();
    bool hung = false, over = false;
    cln__heard heard = CLN__HEARD_NOTHING;
    k->renew = false;
    while (!k->ended && !k->failed && !k->renew && !hung && !over && heard != CLN__HEARD_END) {
        heard = cln__child_read(&k->child, 0.2, line);
        if (heard == CLN__HEARD_LINE) {
            hear(t, k, line);
            heard_s = cln__now_s();
        }
        hung = cln__now_s() - heard_s > (k->at < 0 && !k->confirming ? CLN__TUNE_PREPARATION : 1) * t->timeout_s;
        over = is_over(t);
    }
    cln__child_stop(&k->child, how);
    if (k->ended || k->failed || k->renew || over)
        return;
    if (hung)
        snprintf(message, sizeof message, "no result within %.0f s", cln__now_s() - heard_s);
    else
        snprintf(message, sizeof message, "%s", how);
    end_early(t, k, message);
}

static cln_status save(tuner *t, const task *k) {
    cln_tuning_record r = t->key;
    r.signature = k->decision->signature;
    r.candidate = k->best;
    r.rule = k->decision->candidate;
    r.seconds = k->best_s;
    r.rule_seconds = k->best_rule_s;
    r.time_s = (int64_t)time(NULL);
    CLN_TRY(cln_tuning_save(t->db, &r));
    t->result->tuned++;
    t->event.candidate = k->best;
    t->event.seconds = k->best_s;
    t->event.rule_seconds = k->best_rule_s;
    tell(t, CLN_TUNE_SAVED);
    return CLN_OK;
}

static cln_status tune_one(tuner *t, const cln__decision *decision) {
    task k = {.decision = decision, .at = -1};
    t->event.signature = decision->signature;
    t->event.rule = decision->candidate;
    while (!k.ended && !k.failed && !is_over(t)) {
        CLN_TRY(start_worker(t, &k));
        listen(t, &k);
    }
    if (k.ended && is_unconfirmed(&k))
        fall_back(&k);
    if (k.ended && *k.best)
        return save(t, &k);
    t->result->left++;
    return CLN_OK;
}

static cln_status tune_all(tuner *t) {
    tell(t, CLN_TUNE_BEGIN);
    for (int i = 0; i < t->event.count; i++) {
        if (is_over(t)) {
            t->result->left += t->event.count - i;
            break;
        }
        t->event.index = i + 1;
        CLN_TRY(tune_one(t, &t->tasks.of[i]));
    }
    return CLN_OK;
}

cln_status cln_tune(cln_context *ctx, const cln_device *device, const cln_tune_job *jobs, int count,
                    const cln_tune_options *options, cln_tune_result *result) {
    tuner t = {.ctx = ctx, .device = device, .o = options, .result = result, .start_s = cln__now_s()};
    *result = (cln_tune_result){0};
    t.event.budget_s = t.budget_s = options->budget_s > 0 ? options->budget_s : default_budget_s;
    t.timeout_s = options->timeout_s > 0 ? options->timeout_s : default_timeout_s;
    cln_tuning_key(device, t.key_text, &t.key);
    cln_status status = cln_tuning_open(ctx, options->path, true, &t.db);
    if (status == CLN_OK)
        status = find_tasks(&t, jobs, count);
    if (status == CLN_OK)
        status = choose_tasks(&t);
    if (status == CLN_OK)
        status = tune_all(&t);
    cln__decisions_free(&t.tasks);
    cln_tuning_close(t.db);
    result->seconds = cln__now_s() - t.start_s;
    return status;
}
