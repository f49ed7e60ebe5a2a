/* What the host side of the fused convolutions shares: how many work-items a kernel gets, optional operands, the rows
 * of partial results that its items leave, and what merges them. */
#ifndef CLN_SRC_CONV2D_FUSED_H
#define CLN_SRC_CONV2D_FUSED_H

#include "conv2d.h"

/* The work-items that share `units` of work (images, or tiles of pixels): `each` for every core, so that the last to
 * end does not keep the others waiting, but never more than units. Item i takes the units from i * per_item on. */
typedef struct cln__shares {
    int64_t items, per_item;
} cln__shares;
cln__shares cln__shares_of(const cln__lowering *l, int64_t units, int each);

/* Adds the argument `x` and -D<name>=1; or, where x is none, `stand_in`, which the kernel then does not touch, and
 * -D<name>=0. `stand_in` is an argument that the step has anyway. */
void cln__arg_optional(cln__lowering *l, cln__step *step, const char *name, cln_tensor x, cln_tensor stand_in,
                       cln__access access);

/* A row of `numbers` vectors for each item, with a number for every stored channel of `like`. Makes the scratch memory;
 * without items there are no rows, and .partial is none. */
cln__parts cln__rows_of(cln__lowering *l, int64_t items, cln_tensor like, int numbers);

/* A row for each item with the whole gradient of p->w: [tap][in][out]. With one item it is p->dw itself. */
cln__parts cln__weight_rows_of(cln__lowering *l, int64_t items, const cln__conv2d *p);

/* Adds the step that makes p->dw of the rows; none where that is the only row. */
void cln__weight_rows_sum(cln__lowering *l, const cln__parts *rows, const cln__conv2d *p);

/* Adds the step that turns p->w for the gradient of the input: [last tap - tap][out][in], in scratch memory. */
cln_tensor cln__weight_turned(cln__lowering *l, const cln__conv2d *p);

/* --- kernels whose arguments begin alike: conv2d_pointwise.cl, conv2d_staged*.cl --- */

/* Each adds arguments and -D, in this order, and returns the bits of the operands that it found: the kernels' last
 * argument, `given`, is all of them. */

/* x, and what happens to it on load. */
int cln__fused_load(cln__lowering *l, cln__step *step, const cln__conv2d *p);
/* The arguments of a forward kernel up to its rows of moments, which p->moment_parts holds; its flops. */
int cln__fused_forward(cln__lowering *l, cln__step *step, const cln__conv2d *p);

/* What the items of a backward kernel need: w turned, and the rows that they leave. */
typedef struct cln__fused_rows {
    cln_tensor turned; /* or none, without dx */
    cln__parts dw, db;
} cln__fused_rows;
/* Also makes p->sum_parts. */
cln__fused_rows cln__fused_rows_of(cln__lowering *l, cln__conv2d *p, int64_t items);
/* The arguments of a backward kernel up to dx_scale; its flops. */
int cln__fused_backward(cln__lowering *l, cln__step *step, const cln__conv2d *p, const cln__fused_rows *rows);
/* Adds the steps that make dw and db. */
cln_status cln__fused_rows_sum(cln__lowering *l, const cln__conv2d *p, const cln__fused_rows *rows);

/* What every fused variant refuses, or NULL: another device than a CPU, groups, dilation, activations that cannot be
 * fused, channel blocks that are not aligned or of different sizes (x may be planar where there is no dx), numbers that
 * do not fit an int. */
const char *cln__fused_refuses(const cln__lowering *l, const cln__conv2d *p);

/* The channels of `x` that a kernel must sum over: those that are real, or all that are stored if there are gaps. */
int64_t cln__channels_summed(const cln__lowering *l, cln_tensor x);

#endif
