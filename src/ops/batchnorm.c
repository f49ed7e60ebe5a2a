/* batchnorm: batch normalisation with its running statistics, and its gradient. Outputs: y, and the mean and the
 * inverse deviation that it used, for the gradient. The formulas are in cl/batchnorm.cl. */
#include "reduce.h"

#include <stdio.h>

typedef struct attrs {
    float eps, momentum;
    bool use_running;
} attrs;

enum { X, GAMMA, BETA, RUNNING_MEAN, RUNNING_VAR, INPUTS };
enum { Y, MEAN, INVSTD };

/* --- graph --- */

static bool options_valid(cln_graph *g, const char *name, const cln_batchnorm_options *o) {
    if (o->eps > 0 && o->momentum > 0 && o->momentum <= 1)
        return true;
    cln_graph_fail(g, "batchnorm '%s': eps %g, momentum %g: out of range", name, (double)o->eps, (double)o->momentum);
    return false;
}

cln_tensor cln_batchnorm(cln_graph *g, cln_tensor x, const char *name, const cln_batchnorm_options *options) {
    cln_batchnorm_options o = options ? *options : (cln_batchnorm_options){0};
    o.eps = o.eps == 0 ? 1e-5f : o.eps;
    o.momentum = o.momentum == 0 ? 0.1f : o.momentum;
    if (cln_graph_status(g) != CLN_OK || !options_valid(g, name, &o))
        return CLN_NO_TENSOR;
    cln_shape s = {1, cln_tensor_shape(g, x).c, 1, 1};
    cln_tensor inputs[INPUTS] = {[X] = x};
    inputs[GAMMA] = cln__param_add(g, CLN__PARAM, name, "weight", s, CLN__LIKE, x, CLN__ONES, 0);
    inputs[BETA] = cln__param_add(g, CLN__PARAM, name, "bias", s, CLN__LIKE, x, CLN__ZEROS, 0);
    inputs[RUNNING_MEAN] = cln__param_add(g, CLN__STATE, name, "running_mean", s, CLN__LIKE, x, CLN__ZEROS, 0);
    inputs[RUNNING_VAR] = cln__param_add(g, CLN__STATE, name, "running_var", s, CLN__LIKE, x, CLN__ONES, 0);
    attrs a = {.eps = o.eps, .momentum = o.momentum, .use_running = o.use_running};
    return cln__node_add(g, &cln__op_batchnorm, name, &a, inputs, INPUTS);
}

static cln_status infer(cln_graph *g, const cln__node *node) {
    cln_shape x = cln__input_shape(g, node, X), channels = {1, x.c, 1, 1};
    CLN_TRY(cln__set_output(g, node, Y, x, CLN__LIKE, node->inputs[X]));
    CLN_TRY(cln__set_output(g, node, MEAN, channels, CLN__LIKE, node->inputs[X]));
    return cln__set_output(g, node, INVSTD, channels, CLN__LIKE, node->inputs[X]);
}

static void describe(const cln__node *node, char *text, size_t size) {
    const attrs *a = node->attrs;
    snprintf(text, size, " eps %g momentum %g%s", (double)a->eps, (double)a->momentum,
             a->use_running ? " by running statistics" : "");
}

/* Inputs of the gradient: dy, x, mean, invstd, gamma. Outputs: dx, dgamma, dbeta. */
static cln_status backward(cln__gradients *grads, const cln__node *node) {
    cln_graph *g = grads->g;
    cln_tensor dy = cln__gradient_of(grads, cln__output(node, Y));
    if (dy.id < 0)
        return g->status;
    cln_tensor inputs[] = {dy, cln__input(node, X), cln__output(node, MEAN), cln__output(node, INVSTD),
                           cln__input(node, GAMMA)};
    cln_tensor dx = cln__node_add(g, &cln__op_batchnorm_grad, node->name, node->attrs, inputs, 5);
    cln__gradient_add(grads, cln__input(node, X), dx);
    cln__gradient_add(grads, cln__input(node, GAMMA), cln__node_output(g, dx, 1));
    cln__gradient_add(grads, cln__input(node, BETA), cln__node_output(g, dx, 2));
    return g->status;
}

static cln_status infer_grad(cln_graph *g, const cln__node *node) {
    cln_shape x = cln__input_shape(g, node, 1), channels = {1, x.c, 1, 1};
    CLN_TRY(cln__set_output(g, node, 0, x, CLN__LIKE, node->inputs[1]));
    CLN_TRY(cln__set_output(g, node, 1, channels, CLN__LIKE, node->inputs[1]));
    return cln__set_output(g, node, 2, channels, CLN__LIKE, node->inputs[1]);
}

/* --- lowering --- */

static cln__step *new_step(cln__lowering *l, const char *kernel) {
    return cln__step_new(l, "batchnorm", kernel);
}

/* A launch over channel blocks, for what is done once a channel. */
static void each_block(cln__lowering *l, cln__step *step, cln_tensor x) {
    cln__step_define(l, step, "B=%d", cln__layout_of(l, x).block);
    cln__arg_int(step, cln__blocks(l, x));
    cln__step_items(step, cln__blocks(l, x), 1, 1);
}

static cln_status batch_statistics(cln__lowering *l, const cln__node *node) {
    const attrs *a = node->attrs;
    cln_tensor x = cln__input(node, X);
    cln_shape s = cln__shape_of(l, x);
    double count = (double)s.n * (double)s.h * (double)s.w;
    if (count < 2)
        return cln__lower_fail(l, CLN_INVALID_ARGUMENT,
                               "training needs more than one value a channel, its input has "
                               "one image of one pixel");
    cln__parts parts = cln__parts_of(l, x, 3);
    cln__step *step = new_step(l, "batchnorm_part");
    cln__arg_tensor(step, x, CLN__READ);
    cln__parts_launch(l, step, &parts, x);
    cln__parts_merge(l, &parts, "batchnorm", "batchnorm_merge", parts.stored);

    step = new_step(l, "batchnorm_statistics");
    cln__arg_tensor(step, parts.partial, CLN__READ);
    cln__arg_int(step, parts.count);
    cln__arg_int(step, parts.row);
    cln__arg_tensor(step, cln__output(node, MEAN), CLN__WRITE);
    cln__arg_tensor(step, cln__output(node, INVSTD), CLN__WRITE);
    cln__arg_tensor(step, cln__input(node, RUNNING_MEAN), CLN__READ_WRITE);
    cln__arg_tensor(step, cln__input(node, RUNNING_VAR), CLN__READ_WRITE);
    cln__arg_float(step, (double)a->eps);
    cln__arg_float(step, (double)a->momentum);
    cln__arg_float(step, count / (count - 1));
    each_block(l, step, x);
    return l->status;
}

static cln_status running_statistics(cln__lowering *l, const cln__node *node) {
    cln__step *step = new_step(l, "batchnorm_running");
    cln__arg_tensor(step, cln__input(node, RUNNING_MEAN), CLN__READ);
    cln__arg_tensor(step, cln__input(node, RUNNING_VAR), CLN__READ);
    cln__arg_tensor(step, cln__output(node, MEAN), CLN__WRITE);
    cln__arg_tensor(step, cln__output(node, INVSTD), CLN__WRITE);
    cln__arg_float(step, (double)((const attrs *)node->attrs)->eps);
    each_block(l, step, cln__input(node, X));
    return l->status;
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    const attrs *a = node->attrs;
    cln_tensor y = cln__output(node, Y);
    CLN_TRY(l->training && !a->use_running ? batch_statistics(l, node) : running_statistics(l, node));
    cln__step *step = new_step(l, "batchnorm_normalise");
    cln__arg_tensor(step, cln__input(node, X), CLN__READ);
    cln__arg_tensor(step, y, CLN__WRITE);
    cln__arg_tensor(step, cln__output(node, MEAN), CLN__READ);
    cln__arg_tensor(step, cln__output(node, INVSTD), CLN__READ);
    cln__arg_tensor(step, cln__input(node, GAMMA), CLN__READ);
    cln__arg_tensor(step, cln__input(node, BETA), CLN__READ);
    cln__step_each_vector(l, step, y);
    return l->status;
}

static void grad_inputs(cln__step *step, const cln__node *node) {
    for (int i = 0; i < 4; i++) /* dy, x, mean, invstd */
        cln__arg_tensor(step, cln__input(node, i), CLN__READ);
}

static cln_status lower_grad(cln__lowering *l, const cln__node *node) {
    cln_tensor dx = cln__output(node, 0), dgamma = cln__output(node, 1), dbeta = cln__output(node, 2);
    cln_shape s = cln__shape_of(l, dx);
    cln__parts parts = cln__parts_of(l, dx, 2);
    cln__step *step = new_step(l, "batchnorm_grad_part");
    grad_inputs(step, node);
    cln__parts_launch(l, step, &parts, dx);
    cln__parts_merge(l, &parts, "reduce", "sum", parts.row);
    cln__parts_sum(l, &parts, 0, dbeta);
    cln__parts_sum(l, &parts, 1, dgamma);

    /* Running statistics do not depend on x. */
    bool constant = ((const attrs *)node->attrs)->use_running;
    step = new_step(l, "batchnorm_grad_input");
    grad_inputs(step, node);
    cln__arg_tensor(step, cln__input(node, 4), CLN__READ);
    cln__arg_tensor(step, dgamma, CLN__READ);
    cln__arg_tensor(step, dbeta, CLN__READ);
    cln__arg_tensor(step, dx, CLN__WRITE);
    cln__arg_float(step, constant ? 0 : 1 / ((double)s.n * (double)s.h * (double)s.w));
    cln__step_each_vector(l, step, dx);
    return l->status;
}

const cln__op cln__op_batchnorm = {.name = "batchnorm",
                                   .attrs_size = sizeof(attrs),
                                   .outputs = 3,
                                   .infer = infer,
                                   .backward = backward,
                                   .lower = lower,
                                   .describe = describe,
                                   .in_place = true};

const cln__op cln__op_batchnorm_grad = {.name = "batchnorm_grad",
                                        .attrs_size = sizeof(attrs),
                                        .outputs = 3,
                                        .infer = infer_grad,
                                        .lower = lower_grad,
                                        .describe = describe,
                                        .in_place = true};
