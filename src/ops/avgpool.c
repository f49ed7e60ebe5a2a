/* avgpool: the mean of each window, in which the padding counts as zeros. The step of the forward pass also computes
 * the moments that a normalisation behind it wants. */
#include "fuse.h"
#include "pool.h"

cln_tensor cln_avgpool(cln_graph *g, cln_tensor x, int kernel, int stride, int padding) {
    return cln__pool_add(g, &cln__op_avgpool, x, kernel, stride, padding);
}

static cln_status backward(cln__gradients *grads, const cln__node *node) {
    return cln__pool_backward(grads, node, &cln__op_avgpool_grad);
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    cln_tensor x = cln__input(node, 0), y = cln__output(node, 0);
    bool moments = cln__has_moments(l, y);
    cln__parts parts = {0};
    if (moments)
        parts = cln__parts_of(l, y, 3);
    cln__step *step = cln__pool_step(l, "avgpool", moments ? "avgpool_forward_part" : "avgpool_forward", node);
    cln__arg_tensor(step, x, CLN__READ);
    cln__arg_tensor(step, y, CLN__WRITE);
    cln__pool_sizes(step, cln__shape_of(l, x), cln__shape_of(l, y));
    if (moments) {
        cln__parts_launch(l, step, &parts, y);
        cln__parts_leave(l, parts);
    } else {
        cln__step_each_vector(l, step, y);
    }
    return l->status;
}

/* x is an input of the gradient for its shape and layout only. */
static cln_status lower_grad(cln__lowering *l, const cln__node *node) {
    cln_tensor dy = cln__input(node, 0), dx = cln__output(node, 0);
    cln__step *step = cln__pool_step(l, "avgpool", "avgpool_grad", node);
    cln__step_define(l, step, "STREAM=%d", cln__streams(l, dx));
    cln__arg_tensor(step, dy, CLN__READ);
    cln__arg_tensor(step, dx, CLN__WRITE);
    cln__pool_sizes(step, cln__shape_of(l, dx), cln__shape_of(l, dy));
    cln__step_each_vector(l, step, dx);
    return l->status;
}

static void to_onnx(cln__onnx *o, const cln__node *node) {
    cln__onnx_int(o, cln__pool_to_onnx(o, node, "AveragePool"), "count_include_pad", 1);
}

const cln__op cln__op_avgpool = {.name = "avgpool",
                                 .attrs_size = sizeof(cln__pool_attrs),
                                 .outputs = 1,
                                 .infer = cln__pool_infer,
                                 .backward = backward,
                                 .lower = lower,
                                 .to_onnx = to_onnx,
                                 .describe = cln__pool_describe};

const cln__op cln__op_avgpool_grad = {.name = "avgpool_grad",
                                      .attrs_size = sizeof(cln__pool_attrs),
                                      .outputs = 1,
                                      .infer = cln__infer_like_1,
                                      .lower = lower_grad,
                                      .describe = cln__pool_describe};
