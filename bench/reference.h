/* The truth, computed here: networks in float64, forward and backward, each operator as the loops of its definition.
 * Slow and plain on purpose, and without anything of the library's own operators, which it is there to check.
 *
 * A reference is a tape: operators append nodes, reference_backward walks them in reverse. NULL, which any operator
 * passes on, means that the case has failed. Parameters are the case's tensors "param.<name>"; one that is not there is
 * drawn at random, and added to the case. All memory lives as long as the case. */
#ifndef CLN_BENCH_REFERENCE_H
#define CLN_BENCH_REFERENCE_H

#include "verify.h"

enum { REFERENCE_INPUTS = 4, REFERENCE_NAME = 96 };

typedef struct reference_window {
    int kernel_h, kernel_w, stride, padding, dilation, groups;
} reference_window;

typedef struct reference_node reference_node;
struct reference_node {
    cln_shape shape;
    double *value, *gradient;
    reference_node *in[REFERENCE_INPUTS]; /* x first, then parameters */
    void (*backward)(reference_node *y);  /* adds to the gradients of `in`; NULL: an input */
    reference_node *before;               /* on the tape */
    /* What some backward passes want to know. */
    reference_window window;
    cln_activation activation;
    double eps, smoothing;
    bool use_running;
    const int32_t *labels;
};

typedef struct reference_parameter {
    char name[REFERENCE_NAME];
    int rank;
    int64_t shape[4];
    bool trainable; /* else a running statistic */
    reference_node node;
    double *moment[2];
    struct reference_parameter *next;
} reference_parameter;

typedef struct reference {
    verify_case *c;
    bool training; /* batch norm by the batch, and its running statistics move */
    uint64_t random;
    reference_node *last;
    reference_parameter *parameters, **end; /* in the order of their first use */
} reference;

void reference_begin(reference *r, verify_case *c);
/* Uniform, with deviation 1. Exact in float32. */
double reference_draw(reference *r);
/* Forgets the tape; parameters stay, with gradients of zero. */
void reference_rewind(reference *r);
/* Of the case's tensor `name`. */
reference_node *reference_input(reference *r, const char *name);
/* Gradients of everything that y was made from, for `upstream` (y's number of values; NULL: ones). */
bool reference_backward(reference *r, reference_node *y, const double *upstream);

/* A new node on the tape with values of zero; for the operators. */
reference_node *reference_append(reference *r, cln_shape shape, void (*backward)(reference_node *y), reference_node *x);
/* "<layer>.<part>", or the part alone where `layer` is "". What is drawn is around `centre`, with deviation `scale`. */
reference_node *reference_weight(reference *r, const char *layer, const char *part, int rank, const int64_t *shape,
                                 double centre, double scale);

/* --- operators (`layer` names the parameters) --- */

reference_node *reference_conv2d(reference *r, reference_node *x, const char *layer, int out,
                                 const reference_window *window, bool bias);
reference_node *reference_batchnorm(reference *r, reference_node *x, const char *layer, double eps, double momentum,
                                    bool use_running);
reference_node *reference_activate(reference *r, reference_node *x, cln_activation activation);
reference_node *reference_add(reference *r, reference_node *a, reference_node *b);
/* Up to REFERENCE_INPUTS of them, along channels. */
reference_node *reference_concat(reference *r, reference_node *const *xs, int count);
reference_node *reference_maxpool(reference *r, reference_node *x, int kernel, int stride, int padding);
reference_node *reference_avgpool(reference *r, reference_node *x, int kernel, int stride, int padding);
reference_node *reference_global_avgpool(reference *r, reference_node *x);
reference_node *reference_linear(reference *r, reference_node *x, const char *layer, int out);
reference_node *reference_softmax_ce(reference *r, reference_node *x, const int32_t *labels, double smoothing);

/* --- networks (reference_model.c) --- */

/* The logits of the case's `model` with the hyper-parameters in c->attributes. */
reference_node *reference_model(reference *r, reference_node *x);

/* --- Muon (reference_muon.c) --- */

/* Its iteration of a matrix [out, in]. `scratch`: 2 out out + out in numbers. */
void reference_orthogonalise(double *x, int64_t out, int64_t in, double *scratch);
/* One update of w, [out][in], with its moment m by the gradient g. */
bool reference_muon(verify_case *c, const verify_optimizer *o, double lr, int64_t out, int64_t in, const float *g,
                    double *m, double *w);

/* --- whole cases (reference_solve.c) --- */

/* Adds to a case in memory all that a golden file of its kind holds beside the inputs: parameters and an upstream
 * gradient, where they are not there, and the true results. */
bool reference_solve(verify_case *c);

#endif
