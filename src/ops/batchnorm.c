/* batchnorm: batch normalisation with its running statistics, and its gradient. Outputs: y, and the vectors that it is
 * made with. Where all that read y can apply scale and shift themselves, y is never written; dx, likewise, is told by
 * three vectors, and written only for those who cannot use them. The formulas are in cl/batchnorm.cl. */
#include "fuse.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct attrs {
    float eps, momentum;
    bool use_running;
} attrs;

enum { X, GAMMA, BETA, RUNNING_MEAN, RUNNING_VAR, INPUTS, BATCH_MEAN = INPUTS, BATCH_VAR, ALL_INPUTS };
enum { Y = CLN__NORM_Y, MEAN, INVSTD, SCALE, SHIFT };
/* The gradient's. */
enum { DY, GRAD_X, GRAD_MEAN, GRAD_INVSTD, GRAD_SCALE };
enum { DX, DGAMMA, DBETA, SLOPE, DX_SHIFT };

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

/* Output 0 like input `x`, the others vectors of its channels. */
static cln_status infer_vectors(cln_graph *g, const cln__node *node, int x) {
    cln_shape shape = cln__input_shape(g, node, x), channels = {1, shape.c, 1, 1};
    CLN_TRY(cln__set_output(g, node, 0, shape, CLN__LIKE, node->inputs[x]));
    for (int i = 1; i < node->output_count; i++)
        CLN_TRY(cln__set_output(g, node, i, channels, CLN__LIKE, node->inputs[x]));
    return CLN_OK;
}

static cln_status infer(cln_graph *g, const cln__node *node) {
    return infer_vectors(g, node, X);
}

bool cln__normalises_by_batch(const cln__node *node) {
    return node->op == &cln__op_batchnorm && !((const attrs *)node->attrs)->use_running;
}

cln_status cln__batchnorm_set_moments(cln_graph *g, cln__node *node, cln_tensor mean, cln_tensor var) {
    int *inputs = realloc(node->inputs, sizeof *inputs * ALL_INPUTS);
    if (!inputs)
        return cln__fail_memory(g->ctx, "the statistics of a batch normalisation");
    inputs[BATCH_MEAN] = mean.id;
    inputs[BATCH_VAR] = var.id;
    node->inputs = inputs;
    node->input_count = ALL_INPUTS;
    return CLN_OK;
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
    cln_tensor inputs[] = {[DY] = dy,
                           [GRAD_X] = cln__input(node, X),
                           [GRAD_MEAN] = cln__output(node, MEAN),
                           [GRAD_INVSTD] = cln__output(node, INVSTD),
                           [GRAD_SCALE] = cln__output(node, SCALE)};
    cln_tensor dx = cln__node_add(g, &cln__op_batchnorm_grad, node->name, node->attrs, inputs, 5);
    cln__gradient_add(grads, cln__input(node, X), dx);
    cln__gradient_add(grads, cln__input(node, GAMMA), cln__node_output(g, dx, DGAMMA));
    cln__gradient_add(grads, cln__input(node, BETA), cln__node_output(g, dx, DBETA));
    return g->status;
}

static cln_status infer_grad(cln_graph *g, const cln__node *node) {
    return infer_vectors(g, node, GRAD_X);
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

cln_status cln__batchnorm_prepare(cln__lowering *l, const cln__node *node) {
    const attrs *a = node->attrs;
    cln_shape s = cln__shape_of(l, cln__input(node, X));
    double count = (double)s.n * (double)s.h * (double)s.w;
    bool by_batch = l->training && !a->use_running;
    if (by_batch && count < 2)
        return cln__lower_fail(l, CLN_INVALID_ARGUMENT,
                               "training needs more than one value a channel, its input has "
                               "one image of one pixel");
    cln__step *step = new_step(l, by_batch ? "batchnorm_prepare" : "batchnorm_running");
    cln__arg_tensor(step, cln__input(node, GAMMA), CLN__READ);
    cln__arg_tensor(step, cln__input(node, BETA), CLN__READ);
    if (by_batch) {
        cln__arg_tensor(step, cln__input(node, BATCH_MEAN), CLN__READ);
        cln__arg_tensor(step, cln__input(node, BATCH_VAR), CLN__READ);
    }
    cln__arg_tensor(step, cln__input(node, RUNNING_MEAN), by_batch ? CLN__READ_WRITE : CLN__READ);
    cln__arg_tensor(step, cln__input(node, RUNNING_VAR), by_batch ? CLN__READ_WRITE : CLN__READ);
    for (int i = MEAN; i <= SHIFT; i++)
        cln__arg_tensor(step, cln__output(node, i), CLN__WRITE);
    cln__arg_float(step, (double)a->eps);
    if (by_batch) {
        cln__arg_float(step, (double)a->momentum);
        cln__arg_float(step, count / (count - 1));
    }
    each_block(l, step, cln__input(node, X));
    return l->status;
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    cln_tensor y = cln__output(node, Y);
    CLN_TRY(cln__batchnorm_prepare(l, node));
    cln__form form = {.kind = CLN__LOADED,
                      .source = node->inputs[X],
                      .scale = node->outputs[SCALE],
                      .shift = node->outputs[SHIFT],
                      .slope = -1,
                      .of = -1};
    if (l->fusion->source[y.id] >= 0)
        l->forms[y.id] = form;
    else
        cln__load_into(l, form, CLN_NO_TENSOR, y);
    return l->status;
}

/* The sums of dy and dy * xhat: left by the kernel that made dy, or read here. *first: where their row begins. */
static cln__parts sums(cln__lowering *l, const cln__node *node, int64_t *first) {
    int by = l->fusion->sums_by[l->node];
    *first = by >= 0 ? l->fusion->sums_first[l->node] : 0;
    cln__parts parts;
    if (by >= 0) {
        parts = l->fusion->parts[by];
    } else {
        parts = cln__parts_of(l, cln__input(node, GRAD_X), 2);
        cln_tensor dy = cln__stored(l, cln__input(node, DY));
        cln__step *step = new_step(l, "batchnorm_grad_part");
        cln__arg_tensor(step, dy, CLN__READ);
        for (int i = GRAD_X; i <= GRAD_INVSTD; i++)
            cln__arg_tensor(step, cln__input(node, i), CLN__READ);
        cln__parts_launch(l, step, &parts, cln__input(node, GRAD_X));
    }
    cln__parts_merge(l, &parts, "reduce", "sum", parts.row);
    return parts;
}

/* dx as three vectors. An epilogue that has stored scale * dy (plus the gradient so far, where there was one), leaves
 * only slope and shift to be told. */
static cln__form told(const cln__lowering *l, const cln__node *node) {
    int by = l->fusion->sums_by[l->node];
    const cln__epilogue *e = by >= 0 ? &l->fusion->epilogue[by] : NULL;
    bool stored = e && e->scale >= 0;
    int memory = stored && e->after >= 0 ? e->out : node->outputs[DX];
    return (cln__form){.kind = CLN__CORRECTED,
                       .source = stored ? memory : node->inputs[DY],
                       .scale = stored ? -1 : node->inputs[GRAD_SCALE],
                       .slope = node->outputs[SLOPE],
                       .shift = node->outputs[DX_SHIFT],
                       .of = node->inputs[GRAD_X]};
}

static cln_status lower_grad(cln__lowering *l, const cln__node *node) {
    int by = l->fusion->sums_by[l->node], after = by >= 0 ? l->fusion->epilogue[by].after : -1;
    cln_shape s = cln__shape_of(l, cln__input(node, GRAD_X));
    int64_t first;
    cln__parts parts = sums(l, node, &first);
    cln__form before = after >= 0 ? l->forms[after] : (cln__form){.kind = CLN__STORED};
    bool more = before.kind == CLN__CORRECTED;
    cln__step *step = new_step(l, "batchnorm_grad_finish");
    cln__step_define(l, step, "MORE=%d", more);
    cln__arg_tensor(step, parts.partial, CLN__READ);
    cln__arg_int(step, parts.count);
    cln__arg_int(step, parts.row);
    cln__arg_int(step, first);
    for (int i = GRAD_MEAN; i <= GRAD_SCALE; i++)
        cln__arg_tensor(step, cln__input(node, i), CLN__READ);
    cln__arg_tensor(step, more ? (cln_tensor){before.slope} : cln__input(node, GRAD_MEAN), CLN__READ);
    cln__arg_tensor(step, more ? (cln_tensor){before.shift} : cln__input(node, GRAD_MEAN), CLN__READ);
    for (int i = DGAMMA; i <= DX_SHIFT; i++)
        cln__arg_tensor(step, cln__output(node, i), CLN__WRITE);
    /* Running statistics do not depend on x. */
    bool constant = ((const attrs *)node->attrs)->use_running;
    cln__arg_float(step, constant ? 0 : 1 / ((double)s.n * (double)s.h * (double)s.w));
    each_block(l, step, cln__input(node, GRAD_X));
    l->forms[node->outputs[DX]] = told(l, node);
    if (after >= 0) /* dx and the sum with what was there before are one */
        l->forms[l->fusion->epilogue[by].out] = l->forms[node->outputs[DX]];
    return l->status;
}

float cln__batchnorm_eps(const cln__node *node) {
    return ((const attrs *)node->attrs)->eps;
}

/* ONNX has the inputs in the same order, and counts what remains of a running statistic, not what is new. */
static void to_onnx(cln__onnx *o, const cln__node *node) {
    const attrs *a = node->attrs;
    const char *inputs[INPUTS];
    for (int i = 0; i < INPUTS; i++)
        inputs[i] = cln__onnx_input(o, node, i, CLN__ONNX_ANY);
    cln__onnx_node *norm =
        cln__onnx_add(o, "BatchNormalization", inputs, INPUTS, cln__onnx_output(o, node, cln__onnx_axes(o, node, X)));
    cln__onnx_float(o, norm, "epsilon", a->eps);
    cln__onnx_float(o, norm, "momentum", 1 - a->momentum);
}

const cln__op cln__op_batchnorm = {.name = "batchnorm",
                                   .attrs_size = sizeof(attrs),
                                   .outputs = 5,
                                   .infer = infer,
                                   .backward = backward,
                                   .lower = lower,
                                   .to_onnx = to_onnx,
                                   .describe = describe,
                                   .in_place = true};

const cln__op cln__op_batchnorm_grad = {.name = "batchnorm_grad",
                                        .attrs_size = sizeof(attrs),
                                        .outputs = 5,
                                        .infer = infer_grad,
                                        .lower = lower_grad,
                                        .describe = describe,
                                        .in_place = true};
