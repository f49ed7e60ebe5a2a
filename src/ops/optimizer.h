/* What the update of the parameters consists of: accumulate.c, clip_norm.c, optimizer.c, in this order. */
#ifndef CLN_SRC_OPTIMIZER_H
#define CLN_SRC_OPTIMIZER_H

#include "ops.h"

/* The region that the update reads. */
cln__region cln__gradients_region(const cln_optimizer *optimizer);

/* Launches `step` over `count` elements of a region from `first` on, in vectors as wide as channel blocks, the device's
 * preference: adds the int arguments that such kernels begin with, defines V. On a CPU a work-item takes a run of
 * vectors; elsewhere one, so that neighbours read neighbouring memory. */
void cln__step_vectors(cln__lowering *l, cln__step *step, int64_t first, int64_t count);

#endif
