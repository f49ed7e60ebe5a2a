/* A profiled step as a Chrome trace: JSON that chrome://tracing and Perfetto (ui.perfetto.dev) show as a time line. */
#ifndef CLN_BENCH_TRACE_H
#define CLN_BENCH_TRACE_H

#include "roofline.h"

/* Writes `path`, aside and renamed: one complete event for each step of `round`, the times of one round. */
cln_status trace_write(cln_context *ctx, const char *path, const char *device, const roofline *r,
                       const cln_step_time *round);

#endif
