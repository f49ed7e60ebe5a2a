/* Trials of operators on a device: a small graph between inputs and an upstream gradient, steps on memory that holds
 * no numbers beforehand, and what came out, with the padding of every kept tensor checked to be zero. */
#ifndef CLN_TESTS_TRIAL_H
#define CLN_TESTS_TRIAL_H

#include "../src/ops/ops.h"
#include "../src/runtime/runtime.h"
#include "numbers.h"
#include "suite.h"

#include <check.h>

enum { CONFIGURATIONS = 3 };
/* 0: the device as it is. Else as a GPU is used, with other channel blocks, other launches and other variants: in 1
 * with as few work-items as the device's own target, in groups of 64; in 2 with many, in groups of 8. */
void configure(int index);

enum { WEIGHT_STREAM = 200, GAPPED_CHANNELS = 25, TRIAL_PARTS = 3, TRIAL_INPUTS = 2 };

/* A tensor and its numbers in NCHW order: those of an input, or of the result. */
typedef struct operand {
    cln_tensor whole, part[TRIAL_PARTS];
    int parts;
    cln_shape shape;
    float *values, *gradient;
} operand;

typedef struct trial {
    cln_graph *g;
    operand x[TRIAL_INPUTS], y;
    int inputs;
    const char *variant; /* of kernels, to be set before the plan is built; NULL: the rules choose */
    cln_tensor labels, others, shares, upstream;
    const int32_t *label_values, *other_values;
    const float *share_values;
    bool training, weights_only; /* the latter, set before: no gradients of inputs */
    cln_weights *weights;
    cln_plan *plan;
} trial;

trial trial_begin(void);
/* An input, filled with noise. 25 channels come as a concatenation of inputs of 8 + 12 + 5, which leaves gaps among the
 * stored channels, and any others plainly; the second makes any number plainly. They last until trial_end. */
operand *trial_input(trial *t, cln_shape shape);
operand *trial_plain_input(trial *t, cln_shape shape);
/* Class indices, which are borrowed. */
cln_tensor trial_labels(trial *t, const int32_t *values, int64_t rows);
/* t->others and t->shares: the other inputs of cln_softmax_ce_mixed, likewise. */
void trial_mixture(trial *t, const int32_t *others, const float *shares, int64_t rows);

/* Plans y = f(the inputs), with noise as weights (of the streams from WEIGHT_STREAM on), and runs a step: t->y.values
 * and, in training, the gradients of inputs and weights for t->y.gradient, which is noise too. */
void trial_run(trial *t, cln_tensor y);
void trial_evaluate(trial *t, cln_tensor y);
/* The same by hand, for other losses and optimisers: builds a plan whose first output is y; runs a step. */
void trial_build(trial *t, const cln_plan_options *options);
void trial_step(trial *t, float learning_rate);
void trial_step_at(trial *t, cln_rates rates);
/* A step that updates nothing yet (cln_plan_accumulate). */
void trial_accumulate(trial *t);

/* A weight, which the caller frees. */
float *trial_weight(trial *t, const char *name, cln_slot slot);
/* Whether the plan's text contains `text`. */
bool trial_plan_mentions(const trial *t, const char *text);
/* After trial_run: moves inputs and weights along a direction and back beyond, and compares the difference of
 * <y, dy> with what the gradients say, as a fraction of it (but of |gradient||direction| if that is less). */
void trial_check_direction(trial *t, double tolerance);
void trial_end(trial *t);

/* Runs `body` with many shapes: one of everything, planar, primes, whole blocks, one more than a block, gaps. */
void each_form(void (*body)(cln_shape shape));

/* Checks that the graph refused to make `y`, and why; frees it. */
void check_refused(cln_graph *g, cln_tensor y, const char *message);

#endif
