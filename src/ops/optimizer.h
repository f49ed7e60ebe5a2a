/* What the update of the parameters consists of: accumulate.c, clip_norm.c, muon.c and optimizer.c, in this order. */
#ifndef CLN_SRC_OPTIMIZER_H
#define CLN_SRC_OPTIMIZER_H

#include "ops.h"

/* Parameters side by side that are updated alike, as elements of the regions; usually all of them. */
typedef struct cln__range {
    int64_t first, end;
    bool decays;
} cln__range;
/* The next one behind *range, which begins as zeros; frozen parameters are left out. For the update by `optimizer` (or
 * NULL) what does not decay is a range of its own, and what muon.c updates is left out. False: there is none. */
bool cln__range_next(const cln__lowering *l, const cln_optimizer *optimizer, cln__range *range);

/* The region that the update reads. */
cln__region cln__gradients_region(const cln_optimizer *optimizer);

/* Launches `step` over `count` elements of a region from `first` on, in vectors as wide as channel blocks, the device's
 * preference: adds the int arguments that such kernels begin with, defines V. On a CPU a work-item takes a run of
 * vectors; elsewhere one, so that neighbours read neighbouring memory. */
void cln__step_vectors(cln__lowering *l, cln__step *step, int64_t first, int64_t count);

/* A step of an update over `range`, with the arguments that all begin with: loss, clipping, vectors. */
cln__step *cln__optimizer_step(cln__lowering *l, const char *source, const char *kernel, const cln__node *node,
                               const cln__range *range);

/* Whether Muon updates a parameter, and the update of all those. */
bool cln__is_muons(const cln_optimizer *optimizer, const cln__tensor *parameter);
void cln__lower_muon(cln__lowering *l, const cln__node *node);

#endif
