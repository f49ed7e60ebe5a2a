/* One computation of conv2d as plain data and as a text, its signature: all that its speed depends on, and nothing that
 * differs between two layers that compute the same. Results of the tuner are kept by it. */
#ifndef CLN_SRC_CONV2D_CASE_H
#define CLN_SRC_CONV2D_CASE_H

#include "conv2d.h"

typedef enum cln__sums { CLN__NO_SUMS, CLN__SUMS_OF_X, CLN__SUMS_OF_OTHER } cln__sums;

/* Members as in cln__conv2d; a bool says whether the tensor of that name is there. */
typedef struct cln__conv2d_case {
    cln__conv2d_pass pass;
    cln__conv2d_attrs a;
    cln_shape xs, ys; /* where channels have gaps, their number is that of those stored */
    int x_block, y_block;
    bool pooled, load_scale, load_shift, bias, accumulate, moments;
    bool dy_scale, dy_slope, dy_shift, keep_d, db, dx, dx_before, dx_after, dx_scale;
    cln_activation load_act, act, mask;
    cln__sums sums;
} cln__conv2d_case;

cln__conv2d_case cln__conv2d_case_of(const cln__lowering *l, const cln__conv2d *p);

/* "conv2d forward x=128x16x32x32/16 y=128x32x32x32/16 k=3x3 s=1 p=1 d=1 g=1 load_scale load_act=relu ...", malloc'ed;
 * NULL for lack of memory. */
char *cln__conv2d_case_print(const cln__conv2d_case *c);
/* CLN_INVALID_FILE if `text` is not what print makes of a valid case, CLN_OUT_OF_MEMORY; neither with a message. */
cln_status cln__conv2d_case_parse(const char *text, cln__conv2d_case *out);

/* --- conv2d.c --- */

/* Lowers `p` by the variant that the rules choose for it alone: what lowering a node ends with, and a trial is. */
cln_status cln__conv2d_run(cln__lowering *l, cln__conv2d *p);
/* `p` with no tensors but these. */
cln__conv2d cln__conv2d_describe(const cln__lowering *l, cln__conv2d_pass pass, const cln__conv2d_attrs *a,
                                 cln_tensor x, cln_tensor w, cln_tensor y);

#endif
