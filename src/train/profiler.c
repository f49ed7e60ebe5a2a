/* A clock that always runs for one phase; and the kernels of a few training steps by the device's clock. The first
 * steps are left out: drivers still compile while they run. */
#include "profiler.h"
#include "clnet/trace.h"

#include <stdlib.h>
#include <string.h>

enum { SKIPPED = 2, TIMED = 5, MAX_SPANS = 100000, LOOP = 1, DEVICE = 2 };

struct cln__profiler {
    cln_fit_profile *profile;
    cln_trace *trace;
    cln_step_time *times; /* of one step */
    double start_s;       /* of all */
    double phase_start_s;
    cln_phase phase;
    int spans;
    int64_t steps;
};

const char *cln_phase_name(cln_phase phase) {
    static const char *const names[CLN_PHASE_COUNT] = {"preparing",  "waiting for data", "training steps",
                                                       "validation", "saving",           "test"};
    return names[phase];
}

cln_status cln__profiler_open(cln__trainer *t) {
    if (!t->options->profile)
        return CLN_OK;
    cln__profiler *p = t->profiler = calloc(1, sizeof *p);
    if (!p)
        return cln__fail_memory(t->ctx, "the profiler");
    p->profile = t->options->profile;
    *p->profile = (cln_fit_profile){0};
    p->start_s = p->phase_start_s = cln__now_s();
    CLN_TRY(cln_trace_new(t->ctx, cln_device_get_info(t->device)->name, &p->trace));
    cln_trace_track(p->trace, LOOP, "training loop");
    cln_trace_track(p->trace, DEVICE, "kernels of some steps");
    return CLN_OK;
}

cln_phase cln__profiler_enter(cln__trainer *t, cln_phase phase) {
    cln__profiler *p = t->profiler;
    if (!p)
        return phase;
    double now_s = cln__now_s(), seconds = now_s - p->phase_start_s;
    cln_phase before = p->phase;
    p->profile->phase_s[before] += seconds;
    if (p->spans++ < MAX_SPANS)
        cln_trace_span(p->trace, LOOP, cln_phase_name(before), "loop", p->phase_start_s - p->start_s, seconds);
    p->phase_start_s = now_s;
    p->phase = phase;
    return before;
}

/* --- kernels --- */

static cln_profile_op *op_of(cln_fit_profile *profile, const char *op) {
    for (int i = 0; i < profile->op_count; i++)
        if (strcmp(profile->ops[i].op, op) == 0)
            return &profile->ops[i];
    if (profile->op_count == CLN_MAX_PROFILE_OPS)
        return &profile->ops[CLN_MAX_PROFILE_OPS - 1];
    profile->ops[profile->op_count].op = op;
    return &profile->ops[profile->op_count++];
}

static void add_times(cln__profiler *p, int count, double start_s) {
    char name[256];
    for (int i = 0; i < count; i++) {
        const cln_step_time *time = &p->times[i];
        cln_profile_op *op = op_of(p->profile, time->op);
        op->launches++;
        op->seconds += time->seconds;
        op->flops += time->flops;
        op->bytes += time->bytes;
        p->profile->kernels_s += time->seconds;
        snprintf(name, sizeof name, "%s %s", time->op, time->layer);
        cln_trace_span(p->trace, DEVICE, name, time->op, start_s - p->start_s + time->start_s, time->seconds);
        cln_trace_text(p->trace, "kernel", time->kernel);
        cln_trace_text(p->trace, "variant", time->variant);
    }
    p->profile->timed_steps++;
}

cln_status cln__profiler_step(cln__trainer *t, const cln_batch *batch, const cln_rates *rates, cln__flight *out) {
    cln__profiler *p = t->profiler;
    int launches = cln_plan_get_memory(t->train_plan).steps;
    bool timed = p && rates && p->steps >= SKIPPED && p->steps < SKIPPED + TIMED;
    if (p && rates)
        p->steps++;
    if (!timed)
        return cln__flight_start(&t->network, t->train_plan, batch, rates, NULL, out);
    if (!p->times)
        p->times = malloc(sizeof *p->times * (size_t)launches);
    if (!p->times)
        return cln__fail_memory(t->ctx, "the profiler");
    double start_s = cln__now_s();
    CLN_TRY(cln__flight_start(&t->network, t->train_plan, batch, rates, p->times, out));
    add_times(p, launches, start_s);
    return CLN_OK;
}

/* --- the end --- */

static int by_time(const void *a, const void *b) {
    const cln_profile_op *x = a, *y = b;
    return x->seconds != y->seconds ? (x->seconds < y->seconds ? 1 : -1) : strcmp(x->op, y->op);
}

cln_status cln__profiler_end(cln__trainer *t) {
    cln__profiler *p = t->profiler;
    if (!p)
        return CLN_OK;
    cln__profiler_enter(t, CLN_PHASE_PREPARE);
    qsort(p->profile->ops, (size_t)p->profile->op_count, sizeof *p->profile->ops, by_time);
    char *path = t->folder.path ? cln__format("%s/trace.json", t->folder.path) : NULL;
    if (!path)
        return t->folder.path ? cln__fail_memory(t->ctx, "a file name") : CLN_OK;
    cln_status status = cln_trace_write(p->trace, path);
    free(path);
    return status;
}

void cln__profiler_close(cln__trainer *t) {
    cln__profiler *p = t->profiler;
    if (!p)
        return;
    cln_trace_free(p->trace);
    free(p->times);
    free(p);
    t->profiler = NULL;
}
