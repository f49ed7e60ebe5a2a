/* What the tuner needs to know of plans and devices, without naming OpenCL. */
#ifndef CLN_SRC_RUNTIME_TUNING_H
#define CLN_SRC_RUNTIME_TUNING_H

#include "../plan/plan.h"

/* The decisions of the plan that would be built, with what could be chosen if `candidates`. Host only: nothing is
 * compiled. Free them with cln__decisions_free. */
cln_status cln__plan_decisions(cln_context *ctx, const cln_device *device, const cln_graph *graph,
                               const cln_plan_options *options, bool candidates, cln__decisions *out);

/* A hash of all kernels' sources, as hexadecimal digits. */
void cln__kernels_hash(char text[17]);

/* The path of `name` in the folder where clnet keeps what can be made again, malloc'ed; with `make`, the folder is
 * made. NULL, and no failure, where the environment names no such folder. */
cln_status cln__cache_path(cln_context *ctx, const char *name, bool make, char **out);

#endif
