/* A profiled step as a time line. */
#include "trace.h"
#include "clnet/trace.h"

#include <stdio.h>

enum { QUEUE = 1 };

static void add_step(cln_trace *trace, const roofline_row *row, const cln_step_time *t) {
    char name[256];
    roofline_rates rates = roofline_rates_of(row, t->seconds);
    snprintf(name, sizeof name, "%s %s", t->op, t->layer);
    cln_trace_span(trace, QUEUE, name, t->op, t->start_s, t->seconds);
    cln_trace_text(trace, "layer", t->layer);
    cln_trace_text(trace, "operator", t->op);
    cln_trace_text(trace, "variant", t->variant);
    cln_trace_text(trace, "kernel", t->kernel);
    if (*t->why_not)
        cln_trace_text(trace, "refused", t->why_not);
    cln_trace_number(trace, "GFLOP/s", rates.gflops);
    cln_trace_number(trace, "GB/s", rates.gbs);
    cln_trace_number(trace, "percent of roofline", rates.percent);
}

cln_status trace_write(cln_context *ctx, const char *path, const char *device, const roofline *r,
                       const cln_step_time *round) {
    cln_trace *trace;
    cln_status status = cln_trace_new(ctx, device, &trace);
    for (int i = 0; i < r->steps && status == CLN_OK; i++)
        add_step(trace, &r->rows[i], &round[r->rows[i].step]);
    if (status == CLN_OK)
        status = cln_trace_write(trace, path);
    cln_trace_free(trace);
    return status;
}
