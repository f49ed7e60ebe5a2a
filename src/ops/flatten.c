/* flatten: an image's channels and pixels as one row of features, c*h*w + pixel; unflatten, its gradient. Of images of
 * one pixel both only show their input. */
#include "ops.h"

cln_tensor cln_flatten(cln_graph *g, cln_tensor x) {
    return cln__node_add(g, &cln__op_flatten, NULL, NULL, &x, 1);
}

static bool one_pixel(cln_shape s) {
    return s.h * s.w == 1;
}

static cln_status infer(cln_graph *g, const cln__node *node) {
    cln_shape x = cln__input_shape(g, node, 0), y = {x.n, x.c * x.h * x.w, 1, 1};
    return cln__set_output(g, node, 0, y, one_pixel(x) ? CLN__LIKE : CLN__BLOCKED, one_pixel(x) ? node->inputs[0] : -1);
}

/* x is an input of the gradient for its shape and layout only. */
static cln_status backward(cln__gradients *grads, const cln__node *node) {
    cln_tensor x = cln__input(node, 0), inputs[2] = {cln__gradient_of(grads, cln__output(node, 0)), x};
    if (cln__gradient_wanted(grads, x))
        cln__gradient_add(grads, x, cln__node_add(grads->g, &cln__op_unflatten, node->name, NULL, inputs, 2));
    return grads->g->status;
}

static bool is_view(const cln_graph *g, const cln__node *node, bool training, int64_t *first) {
    (void)training;
    *first = 0;
    return one_pixel(cln__at(g, node->outputs[0])->shape) && one_pixel(cln__input_shape(g, node, 0));
}

/* The features of a channel follow each other only if the channels do. */
static bool needs_dense(const cln_graph *g, const cln__node *node) {
    return !one_pixel(cln__input_shape(g, node, 0));
}

/* The arguments of both kernels, `image` in channel blocks and `row` flat, in the order that the kernel has them. */
static void tensors(cln__lowering *l, cln__step *step, cln_tensor from, cln_tensor to, cln_tensor image,
                    cln_tensor row) {
    cln__step_define(l, step, "ROW=%d", cln__layout_of(l, row).block);
    cln__arg_tensor(step, from, CLN__READ);
    cln__arg_tensor(step, to, CLN__WRITE);
    cln__arg_int(step, cln__shape_of(l, image).c);
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    enum { FEATURES = 1024 }; /* of a work-item on a CPU */
    cln_tensor x = cln__input(node, 0), y = cln__output(node, 0);
    if (one_pixel(cln__shape_of(l, x)))
        return cln__lower_copy(l, x, 0, y, 0, cln__shape_of(l, x).c);
    cln_shape s = cln__shape_of(l, x);
    int64_t stored = cln__layout_of(l, y).stored, run = l->caps->is_cpu ? FEATURES : 1;
    cln__step *step = cln__step_new(l, "flatten", "flatten");
    cln__step_define(l, step, "B=%d", cln__layout_of(l, x).block);
    tensors(l, step, x, y, x, y);
    cln__arg_int(step, stored);
    cln__arg_int(step, s.h * s.w);
    cln__arg_int(step, run);
    cln__step_items(step, cln__divide_up(stored, run), s.n, 1);
    return l->status;
}

static cln_status lower_grad(cln__lowering *l, const cln__node *node) {
    cln_tensor dy = cln__input(node, 0), dx = cln__output(node, 0);
    if (one_pixel(cln__shape_of(l, dx)))
        return cln__lower_copy(l, dy, 0, dx, 0, cln__shape_of(l, dx).c);
    cln__step *step = cln__step_new(l, "flatten", "unflatten");
    tensors(l, step, dy, dx, dx, dy);
    cln__step_each_vector(l, step, dx);
    return l->status;
}

static void to_onnx(cln__onnx *o, const cln__node *node) {
    const char *x = cln__onnx_input(o, node, 0, CLN__ONNX_ANY);
    cln__onnx_int(o, cln__onnx_add(o, "Flatten", &x, 1, cln__onnx_output(o, node, CLN__ONNX_ROWS)), "axis", 1);
}

const cln__op cln__op_flatten = {.name = "flatten",
                                 .outputs = 1,
                                 .infer = infer,
                                 .backward = backward,
                                 .lower = lower,
                                 .to_onnx = to_onnx,
                                 .needs_dense = needs_dense,
                                 .is_view = is_view};

const cln__op cln__op_unflatten = {
    .name = "unflatten", .outputs = 1, .infer = cln__infer_like_1, .lower = lower_grad, .is_view = is_view};
