/* global_avgpool: the mean of each channel over all pixels of an image. */
#include "ops.h"

cln_tensor cln_global_avgpool(cln_graph *g, cln_tensor x) {
    return cln__node_add(g, &cln__op_global_avgpool, NULL, NULL, &x, 1);
}

static cln_status infer(cln_graph *g, const cln__node *node) {
    cln_shape x = cln__input_shape(g, node, 0);
    return cln__set_output(g, node, 0, (cln_shape){x.n, x.c, 1, 1}, CLN__LIKE, node->inputs[0]);
}

/* x is an input of the gradient for its shape and layout only. */
static cln_status backward(cln__gradients *grads, const cln__node *node) {
    cln_tensor x = cln__input(node, 0);
    cln_tensor inputs[2] = {cln__gradient_of(grads, cln__output(node, 0)), x};
    if (cln__gradient_wanted(grads, x))
        cln__gradient_add(grads, x, cln__node_add(grads->g, &cln__op_global_avgpool_grad, node->name, NULL, inputs, 2));
    return grads->g->status;
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    cln_tensor x = cln__input(node, 0), y = cln__output(node, 0);
    cln_shape xs = cln__shape_of(l, x);
    cln__step *step = cln__step_new(l, "global_avgpool", "global_avgpool_forward");
    cln__step_define(l, step, "B=%d", cln__layout_of(l, x).block);
    cln__arg_tensor(step, x, CLN__READ);
    cln__arg_tensor(step, y, CLN__WRITE);
    cln__arg_int(step, xs.h);
    cln__arg_int(step, xs.w);
    cln__arg_int(step, cln__blocks(l, x));
    cln__arg_int(step, cln__blocks(l, x) * xs.n);
    cln__step_items(step, cln__blocks(l, x) * xs.n, 1, 1);
    return l->status;
}

static cln_status lower_grad(cln__lowering *l, const cln__node *node) {
    cln_tensor dy = cln__input(node, 0), dx = cln__output(node, 0);
    cln_shape xs = cln__shape_of(l, dx);
    cln__step *step = cln__step_new(l, "global_avgpool", "global_avgpool_grad");
    cln__arg_tensor(step, dy, CLN__READ);
    cln__arg_tensor(step, dx, CLN__WRITE);
    cln__arg_float(step, 1.0 / (double)(xs.h * xs.w));
    cln__step_each_vector(l, step, dx);
    return l->status;
}

static void to_onnx(cln__onnx *o, const cln__node *node) {
    const char *x = cln__onnx_input(o, node, 0, CLN__ONNX_IMAGES);
    cln__onnx_add(o, "GlobalAveragePool", &x, 1, cln__onnx_output(o, node, CLN__ONNX_IMAGES));
}

const cln__op cln__op_global_avgpool = {
    .name = "global_avgpool", .outputs = 1, .infer = infer, .backward = backward, .lower = lower, .to_onnx = to_onnx};

const cln__op cln__op_global_avgpool_grad = {
    .name = "global_avgpool_grad", .outputs = 1, .infer = cln__infer_like_1, .lower = lower_grad};
