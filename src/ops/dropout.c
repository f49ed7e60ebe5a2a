/* dropout: zeroes elements at random in training and scales the others. The mask is not kept: it depends on the seed,
 * the step, the layer and the element's NCHW number alone, so the gradient is the same operator applied to dy. */
#include "ops.h"

#include <stdio.h>

typedef struct attrs {
    float p;
    int layer; /* tells the masks of one step apart */
} attrs;

cln_tensor cln_dropout(cln_graph *g, cln_tensor x, float p) {
    if (!(p >= 0 && p < 1)) {
        cln_graph_fail(g, "dropout: the probability %g is not at least 0 and below 1", (double)p);
        return CLN_NO_TENSOR;
    }
    return cln__node_add(g, &cln__op_dropout, NULL, &(attrs){.p = p, .layer = g->node_count}, &x, 1);
}

static void describe(const cln__node *node, char *text, size_t size) {
    snprintf(text, size, " p %g", (double)((const attrs *)node->attrs)->p);
}

static bool is_view(const cln_graph *g, const cln__node *node, bool training, int64_t *first) {
    (void)g;
    *first = 0;
    return !training || ((const attrs *)node->attrs)->p == 0;
}

static cln_status backward(cln__gradients *grads, const cln__node *node) {
    cln_tensor x = cln__input(node, 0), dy = cln__gradient_of(grads, cln__output(node, 0));
    if (cln__gradient_wanted(grads, x))
        cln__gradient_add(grads, x, cln__node_add(grads->g, &cln__op_dropout, node->name, node->attrs, &dy, 1));
    return grads->g->status;
}

/* A step for the blocks of channels first..first+count-1, whose stored numbers follow each other. */
static void lower_run(cln__lowering *l, const cln__node *node, int64_t first, int64_t count) {
    cln_tensor x = cln__input(node, 0), y = cln__output(node, 0);
    const attrs *a = node->attrs;
    cln_shape s = cln__shape_of(l, x);
    cln__layout layout = cln__layout_of(l, y);
    cln__step *step = cln__step_new(l, "dropout", "dropout");
    cln__arg_tensor(step, x, CLN__READ);
    cln__arg_tensor(step, y, CLN__WRITE);
    cln__arg_key(step, cln__stream_key(l->seed, CLN__STREAM_DROPOUT));
    cln__arg_int(step, a->layer);
    cln__arg_float(step, (double)a->p);
    cln__arg_int(step, s.c);
    cln__arg_int(step, first);
    cln__arg_int(step, layout.map[first] / layout.block);
    cln__step_each_vector(l, step, y);
    step->global[1] = (size_t)cln__divide_up(count, layout.block);
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    cln_tensor y = cln__output(node, 0);
    cln__layout layout = cln__layout_of(l, y);
    int64_t channels = cln__shape_of(l, y).c;
    for (int64_t first = 0, count; first < channels; first += count) {
        count = cln__channel_run(&layout, first, channels - first);
        lower_run(l, node, first, count);
    }
    return l->status;
}

/* In evaluation it does nothing. */
static void to_onnx(cln__onnx *o, const cln__node *node) {
    const char *x = cln__onnx_input(o, node, 0, CLN__ONNX_ANY);
    cln__onnx_add(o, "Identity", &x, 1, cln__onnx_output(o, node, cln__onnx_axes(o, node, 0)));
}

const cln__op cln__op_dropout = {.name = "dropout",
                                 .attrs_size = sizeof(attrs),
                                 .outputs = 1,
                                 .backward = backward,
                                 .lower = lower,
                                 .to_onnx = to_onnx,
                                 .describe = describe,
                                 .in_place = true,
                                 .is_view = is_view};
