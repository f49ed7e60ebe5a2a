/* What max and average pooling share. The operators are maxpool.c and avgpool.c. */
#include "pool.h"

#include <stdio.h>

static int64_t out_size(int64_t size, const cln__pool_attrs *a) {
    int64_t padded = size + 2 * (int64_t)a->padding;
    return padded < a->kernel ? 0 : (padded - a->kernel) / a->stride + 1;
}

cln_status cln__pool_infer(cln_graph *g, const cln__node *node) {
    enum { MAX_KERNEL = 4096, MAX_STRIDE = 1 << 20 }; /* a window's pixels can be numbered in a float */
    const cln__pool_attrs *a = node->attrs;
    cln_shape x = cln__input_shape(g, node, 0);
    bool valid = a->kernel > 0 && a->kernel <= MAX_KERNEL && a->stride > 0 && a->stride <= MAX_STRIDE &&
                 a->padding >= 0 && a->padding <= a->kernel / 2;
    if (!valid)
        return cln__node_fail(g, node, CLN_INVALID_ARGUMENT,
                              "kernel %d, stride %d, padding %d: out of range (a padding of more than half the kernel "
                              "would make empty windows)",
                              a->kernel, a->stride, a->padding);
    cln_shape y = {x.n, x.c, out_size(x.h, a), out_size(x.w, a)};
    if (y.h < 1 || y.w < 1)
        return cln__node_fail(g, node, CLN_INVALID_ARGUMENT,
                              "a %dx%d kernel with padding %d does not fit a %lldx%lld "
                              "input",
                              a->kernel, a->kernel, a->padding, (long long)x.h, (long long)x.w);
    return cln__set_output(g, node, 0, y, CLN__LIKE, node->inputs[0]);
}

cln_tensor cln__pool_add(cln_graph *g, const cln__op *op, cln_tensor x, int kernel, int stride, int padding) {
    cln__pool_attrs a = {.kernel = kernel, .stride = stride, .padding = padding};
    return cln__node_add(g, op, NULL, &a, &x, 1);
}

cln_status cln__pool_backward(cln__gradients *grads, const cln__node *node, const cln__op *op) {
    cln_graph *g = grads->g;
    cln_tensor x = cln__input(node, 0);
    cln_tensor inputs[2] = {cln__gradient_of(grads, cln__output(node, 0)), x};
    if (cln__gradient_wanted(grads, x))
        cln__gradient_add(grads, x, cln__node_add(g, op, node->name, node->attrs, inputs, 2));
    return g->status;
}

void cln__pool_describe(const cln__node *node, char *text, size_t size) {
    const cln__pool_attrs *a = node->attrs;
    snprintf(text, size, " kernel %dx%d stride %d padding %d", a->kernel, a->kernel, a->stride, a->padding);
}

cln__onnx_node *cln__pool_to_onnx(cln__onnx *o, const cln__node *node, const char *type) {
    const cln__pool_attrs *a = node->attrs;
    const char *x = cln__onnx_input(o, node, 0, CLN__ONNX_IMAGES);
    cln__onnx_node *pool = cln__onnx_add(o, type, &x, 1, cln__onnx_output(o, node, CLN__ONNX_IMAGES));
    cln__onnx_ints(o, pool, "kernel_shape", (int64_t[]){a->kernel, a->kernel}, 2);
    cln__onnx_ints(o, pool, "strides", (int64_t[]){a->stride, a->stride}, 2);
    cln__onnx_ints(o, pool, "pads", (int64_t[]){a->padding, a->padding, a->padding, a->padding}, 4);
    cln__onnx_int(o, pool, "ceil_mode", 0);
    return pool;
}

cln__step *cln__pool_step(cln__lowering *l, const char *source, const char *kernel, const cln__node *node) {
    const cln__pool_attrs *a = node->attrs;
    cln__step *step = cln__step_new(l, source, kernel);
    cln__step_define(l, step, "K=%d", a->kernel);
    cln__step_define(l, step, "S=%d", a->stride);
    cln__step_define(l, step, "P=%d", a->padding);
    return step;
}

void cln__pool_sizes(cln__step *step, cln_shape x, cln_shape y) {
    cln__arg_int(step, x.h);
    cln__arg_int(step, x.w);
    cln__arg_int(step, y.h);
    cln__arg_int(step, y.w);
}
