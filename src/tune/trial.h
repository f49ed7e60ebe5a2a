/* One computation tried: noise as inputs, the results that a candidate must give, and its time. */
#ifndef CLN_SRC_TUNE_TRIAL_H
#define CLN_SRC_TUNE_TRIAL_H

#include "../ops/conv2d_trial.h"

/* What is compared, and in which order. */
typedef enum cln__result {
    CLN__RESULT_Y,
    CLN__RESULT_MEAN,
    CLN__RESULT_VAR,
    CLN__RESULT_DX,
    CLN__RESULT_DW,
    CLN__RESULT_DB,
    CLN__RESULT_D,
    CLN__RESULT_SUM0,
    CLN__RESULT_SUM1,
    CLN__RESULT_COUNT
} cln__result;

typedef struct cln__trial {
    cln_context *ctx;
    cln_device *device;
    const char *signature; /* borrowed */
    cln__conv2d_trial t;
    cln_weights *weights;
    float *in[CLN__TRIAL_INPUTS], *w;     /* values, NCHW */
    float *expected[CLN__RESULT_COUNT];   /* or NULL */
    cln_tensor result[CLN__RESULT_COUNT]; /* or none */
} cln__trial;

/* The graph and its inputs. Free it even after a failure. */
cln_status cln__trial_new(cln_context *ctx, cln_device *device, const char *signature, cln__trial *out);
void cln__trial_free(cln__trial *trial);
/* Fills in what is expected (expected.c): the convolution itself by the reference variant on the device, what is fused
 * into it on the host. */
cln_status cln__trial_expect(cln__trial *trial);

/* The candidates, each ended by a newline, malloc'ed; first what the rules choose. */
cln_status cln__trial_candidates(const cln__trial *trial, char **out);
cln_status cln__trial_build(const cln__trial *trial, const char *candidate, cln_plan **out);
/* Runs once and compares. CLN_FAILED with a message if a result is further from what is expected than its tolerance. */
cln_status cln__trial_check(const cln__trial *trial, cln_plan *plan);
/* Runs once: the seconds of the variant's kernels. */
cln_status cln__trial_time(const cln__trial *trial, cln_plan *plan, double *seconds);

#endif
