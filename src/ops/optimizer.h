/* What the update of the parameters consists of: accumulate.c, clip_norm.c, optimizer.c, in this order. */
#ifndef CLN_SRC_OPTIMIZER_H
#define CLN_SRC_OPTIMIZER_H

#include "ops.h"

/* Parameters side by side that are updated alike, as elements of the regions; usually all of them. */
typedef struct cln__range {
    int64_t first, end;
    bool decays;
} cln__range;
/* The next one behind *range, which begins as zeros; frozen parameters are left out. `apart`: what does not decay is a
 * range of its own. False: there is none. */
bool cln__range_next(const cln__lowering *l, bool apart, cln__range *range);

/* The region that the update reads. */
cln__region cln__gradients_region(const cln_optimizer *optimizer);

/* Launches `step` over `count` elements of a region from `first` on, in vectors as wide as channel blocks, the device's
 * preference: adds the int arguments that such kernels begin with, defines V. On a CPU a work-item takes a run of
 * vectors; elsewhere one, so that neighbours read neighbouring memory. */
void cln__step_vectors(cln__lowering *l, cln__step *step, int64_t first, int64_t count);

#endif
