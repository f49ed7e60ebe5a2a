/* A computation of conv2d alone, as the plan of a network has it, with what is fused into it: for measuring and
 * checking its variants. */
#ifndef CLN_SRC_CONV2D_TRIAL_H
#define CLN_SRC_CONV2D_TRIAL_H

#include "conv2d_case.h"

typedef enum cln__trial_input {
    CLN__TRIAL_X,
    CLN__TRIAL_DY, /* or y's gradient */
    CLN__TRIAL_LOAD_SCALE,
    CLN__TRIAL_LOAD_SHIFT,
    CLN__TRIAL_BIAS,
    CLN__TRIAL_Y, /* what dy_slope multiplies; what a result is added to, and overwritten */
    CLN__TRIAL_DY_SCALE,
    CLN__TRIAL_DY_SLOPE,
    CLN__TRIAL_DY_SHIFT,
    CLN__TRIAL_DX, /* overwritten */
    CLN__TRIAL_SUMS_OF,
    CLN__TRIAL_SUMS_MEAN,
    CLN__TRIAL_SUMS_INVSTD,
    CLN__TRIAL_DX_SCALE,
    CLN__TRIAL_INPUTS
} cln__trial_input;

/* A graph of that computation; tensors that it does not have are none. The weight is its only parameter. */
typedef struct cln__conv2d_trial {
    cln_graph *graph;
    cln__conv2d_case c;
    cln_tensor in[CLN__TRIAL_INPUTS];
    cln_tensor out;                           /* the node's */
    cln_tensor y, mean, var, dw, db, sums[2]; /* results, besides DX and, with keep_d, DY */
} cln__conv2d_trial;

/* CLN_INVALID_ARGUMENT if `signature` is none, CLN_UNSUPPORTED if no trial can be made of it. The caller frees the
 * graph. That the trial is what the signature says is checked when it is lowered. */
cln_status cln__conv2d_trial_new(cln_context *ctx, const char *signature, cln__conv2d_trial *out);

#endif
