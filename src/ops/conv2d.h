/* conv2d's three computations and the variants that can do them. A variant is one file, conv2d_<variant>.c. */
#ifndef CLN_SRC_CONV2D_H
#define CLN_SRC_CONV2D_H

#include "ops.h"

typedef enum cln__conv2d_pass { CLN__FORWARD, CLN__GRAD_INPUT, CLN__GRAD_WEIGHT } cln__conv2d_pass;

typedef struct cln__conv2d_attrs {
    int kernel_h, kernel_w, stride, padding, dilation, groups;
} cln__conv2d_attrs;

/* One computation: `x`, `w` and `y` stand for themselves or for their gradients, whichever the pass reads or writes. */
typedef struct cln__conv2d {
    cln__conv2d_pass pass;
    cln__conv2d_attrs a;
    cln_tensor x, w, y, bias; /* bias: FORWARD only, or CLN_NO_TENSOR */
    cln_shape xs, ys;
} cln__conv2d;

typedef struct cln__conv2d_variant {
    const char *name;
    /* Why it cannot serve `p`, or NULL if it can. */
    const char *(*refuses)(const cln__lowering *l, const cln__conv2d *p);
    cln_status (*lower)(cln__lowering *l, const cln__conv2d *p);
} cln__conv2d_variant;

/* The arithmetic of a pass: what the step that does it reports as its flops. */
double cln__conv2d_flops(const cln__lowering *l, const cln__conv2d *p);

extern const cln__conv2d_variant cln__conv2d_direct, cln__conv2d_gemm, cln__conv2d_im2col, cln__conv2d_reference;

#endif
