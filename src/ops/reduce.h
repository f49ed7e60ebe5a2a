/* Sums over the images and pixels of a tensor, a number a channel, in a fixed order and without atomics: a kernel
 * reduces each part of the tensor (cl/reduce.clh), further steps merge the parts. */
#ifndef CLN_SRC_REDUCE_H
#define CLN_SRC_REDUCE_H

#include "ops.h"

/* A tensor split in parts: slots (of an image's pixels) times groups (of images). */
typedef struct cln__parts {
    cln_tensor partial; /* scratch: a row for each part, of `values` numbers for each stored channel */
    int64_t count, row; /* parts; floats in a row */
    int block;
    int64_t stored;
    int64_t slots, run;     /* a slot has `run` pixels that follow each other; 0: every slots-th pixel */
    int64_t groups, images; /* a group has `images` images */
} cln__parts;

/* Splits `x` in as many parts as keep the device busy; makes the scratch memory. */
cln__parts cln__parts_of(cln__lowering *l, cln_tensor x, int values);

/* Adds the arguments with which a kernel that reduces parts ends: the rows to write, and what PART_ARGUMENTS of
 * cl/reduce.clh lists. Defines B; work-items (slot, channel block, group). */
void cln__parts_launch(cln__lowering *l, cln__step *step, const cln__parts *parts, cln_tensor x);

/* Merges neighbouring parts until one work-item can do with those that are left. The kernel, of cl/<source>.cl, has the
 * arguments of `sum` in cl/reduce.cl; its work-items are (block of the row's first `width` floats, merged part). */
void cln__parts_merge(cln__lowering *l, cln__parts *parts, const char *source, const char *kernel, int64_t width);

/* `out`, a number a channel, = the sum over the parts of number `index` of their channels. */
void cln__parts_sum(cln__lowering *l, const cln__parts *parts, int index, cln_tensor out);

#endif
