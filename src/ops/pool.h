/* What max and average pooling share: attributes, shape rule, builder, and the launch of their kernels. */
#ifndef CLN_SRC_POOL_H
#define CLN_SRC_POOL_H

#include "ops.h"

typedef struct cln__pool_attrs {
    int kernel, stride, padding;
} cln__pool_attrs;

/* Adds the node and returns its output. */
cln_tensor cln__pool_add(cln_graph *g, const cln__op *op, cln_tensor x, int kernel, int stride, int padding);
cln_status cln__pool_infer(cln_graph *g, const cln__node *node);
/* Adds the gradient node `op` of (dy, x). */
cln_status cln__pool_backward(cln__gradients *grads, const cln__node *node, const cln__op *op);
void cln__pool_describe(const cln__node *node, char *text, size_t size);
/* Adds the ONNX operator `type` with the window's attributes. */
cln__onnx_node *cln__pool_to_onnx(cln__onnx *o, const cln__node *node, const char *type);

/* A step whose window is defined (K, S, P). */
cln__step *cln__pool_step(cln__lowering *l, const char *source, const char *kernel, const cln__node *node);
/* Adds the int arguments of pooling kernels: rows and columns of x, then of y. */
void cln__pool_sizes(cln__step *step, cln_shape x, cln_shape y);

#endif
