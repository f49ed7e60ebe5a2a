/* Sums over the images and pixels of a tensor, a number a channel, in a fixed order and without atomics: kernels
 * reduce parts of the tensor, one work-item a part and channel block (cl/reduce.clh); further steps merge the parts. */
#ifndef CLN_SRC_REDUCE_H
#define CLN_SRC_REDUCE_H

#include "ops.h"

typedef struct cln__parts {
    cln_tensor partial; /* scratch: for each part a row of `values` * stored floats */
    int64_t count, row;
    int values; /* vectors that a part has for a channel block */
    int block;
    int64_t stored;
    int64_t slots, groups; /* count = slots * groups: pixels and images are split in so many */
    int64_t run, images;   /* of a slot (0: every slots-th pixel), of a group */
} cln__parts;

/* Splits `x` in as many parts as keep the device busy, with scratch memory for `values` vectors each. */
cln__parts cln__parts_of(cln__lowering *l, cln_tensor x, int values);

/* For a kernel that reduces parts: adds the argument `partial` and then, once its own are added, what cl/reduce.clh
 * needs; defines B; launches (slot, channel block, group). */
void cln__parts_output(cln__step *step, const cln__parts *parts);
void cln__parts_launch(cln__lowering *l, cln__step *step, const cln__parts *parts, cln_tensor x);

/* Merges neighbouring parts by the kernel (in, in view, out, out view, int count, int group, int row) of
 * cl/<source>.cl, over (channel block, vector of a block, merged part), until few enough for one work-item are left. */
void cln__parts_merge(cln__lowering *l, cln__parts *parts, const char *source, const char *kernel);
/* Sums them as they are: cl/reduce.cl. */
void cln__parts_merge_sums(cln__lowering *l, cln__parts *parts);
/* `out` (a number a channel) = the sum over the parts of their value `index`. */
void cln__parts_sum(cln__lowering *l, const cln__parts *parts, int index, cln_tensor out);

#endif
