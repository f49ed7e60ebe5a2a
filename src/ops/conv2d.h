/* conv2d's two computations, what is fused into them, and the variants that can do them. A variant is one file,
 * conv2d_<variant>.c. */
#ifndef CLN_SRC_CONV2D_H
#define CLN_SRC_CONV2D_H

#include "ops.h"
#include "reduce.h"

typedef enum cln__conv2d_pass {
    CLN__FORWARD,
    CLN__BACKWARD,    /* both gradients at once: variants that fuse */
    CLN__GRAD_INPUT,  /* or each by itself: the others. `x`, `w` and `y` then stand for themselves or for their */
    CLN__GRAD_WEIGHT, /* gradients, whichever the pass reads or writes */
} cln__conv2d_pass;

typedef struct cln__conv2d_attrs {
    int kernel_h, kernel_w, stride, padding, dilation, groups;
} cln__conv2d_attrs;

/* One computation, with what is fused into it where the variant can (cln__conv2d_variant.fuses). "None" is
 * CLN_NO_TENSOR; a vector is a tensor (1, c, 1, 1) with its channels laid like those that it meets.
 *
 * FORWARD    xn = load_act(load_scale * x + load_shift), and zero on the padding; if `pooled`, the largest x of 3x3
 *                 pixels, and nothing else on load
 *            y  = act(conv(xn, w) + bias + (accumulate ? y : 0)), and the moments of y over images and pixels
 *
 * BACKWARD   d  = dy_scale * dy + dy_slope * y + dy_shift        the gradient of the result; y: what it is told by
 *            dw = gradient of w from xn and d,  db = sum of d over images and pixels
 *            v  = gradient of xn from d and w  (+ dx, if dx_before)
 *            v  = v * mask'(xn)                                  mask's derivative, from its value xn
 *            partial sums of v and of v * (sums_of - sums_mean) * sums_invstd
 *            dx = dx_scale * v (+ dx, if dx_after)
 *
 * An item of a kernel owns whole images, so dx may be read and written in place. */
typedef struct cln__conv2d {
    cln__conv2d_pass pass;
    cln__conv2d_attrs a;
    cln_shape xs, ys;
    cln_tensor x, w, y;
    const char *parameters; /* of the variant, or NULL: its own choice */

    cln_tensor load_scale, load_shift; /* vectors, or none: x as it is */
    cln_activation load_act;

    /* FORWARD */
    bool pooled;     /* variants that pool */
    cln_tensor bias; /* or none */
    bool accumulate;
    cln_activation act;
    bool moments;
    cln__parts moment_parts; /* made by the variant: rows of (count, mean, M2) as in cl/batchnorm.cl */

    /* BACKWARD */
    cln_tensor dy;
    cln_tensor dy_scale, dy_slope, dy_shift; /* vectors, or none */
    bool keep_d;                             /* write d over dy */
    cln_tensor dw, db;                       /* db: or none */
    cln_tensor dx;                           /* or none, and nothing of what follows */
    bool dx_before, dx_after;
    cln_activation mask;
    cln_tensor sums_of, sums_mean, sums_invstd; /* or none: no sums; sums_of is laid like x and may be x */
    cln__parts sum_parts;                       /* made by the variant: rows of two numbers */
    cln_tensor dx_scale;                        /* vector, or none */
} cln__conv2d;

/* The text of a candidate's parameters, such as "TW=8 NB=2". */
enum { CLN__PARAMETERS = 64 };

typedef struct cln__conv2d_variant {
    const char *name;
    bool fuses; /* serves FORWARD and BACKWARD with everything in cln__conv2d but `pooled`; else only x, w, bias, y */
    bool pools; /* and with `pooled` */
    /* Why it cannot serve `p`, or NULL if it can. */
    const char *(*refuses)(const cln__lowering *l, const cln__conv2d *p);
    cln_status (*lower)(cln__lowering *l, cln__conv2d *p);
    /* Writes the parameters of the alternative `index` (from 0) to what the variant chooses by itself for `p`, which it
     * does not refuse; false if there are not so many. p->parameters then is one of these texts. NULL: none. */
    bool (*alternative)(const cln__lowering *l, const cln__conv2d *p, int index, char text[CLN__PARAMETERS]);
} cln__conv2d_variant;

/* Why the variant cannot serve `p`, or NULL. */
const char *cln__conv2d_refusal(const cln__lowering *l, const cln__conv2d *p, const cln__conv2d_variant *variant);

/* The number after "<name>=" in p->parameters, or `own` if there is none. */
int cln__conv2d_parameter(const char *parameters, const char *name, int own);
/* What an alternative function can be: the text `index` of a list that ends with NULL. */
bool cln__conv2d_alternative(const char *const *list, int index, char text[CLN__PARAMETERS]);

/* The arithmetic of a forward pass, or of one of the two gradients: what a step reports as its flops. */
double cln__conv2d_flops(const cln__lowering *l, const cln__conv2d *p);

extern const cln__conv2d_variant cln__conv2d_winograd, cln__conv2d_pointwise, cln__conv2d_staged, cln__conv2d_direct,
    cln__conv2d_gemm, cln__conv2d_im2col, cln__conv2d_implicit, cln__conv2d_reference;

#endif
