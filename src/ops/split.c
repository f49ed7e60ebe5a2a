/* What a convolution that stands for several needs (merge.c): split, its output as theirs; join_weights, their weights
 * as one, with the gradient split_weights. Split tensors only show parts of memory where the layouts allow. */
#include "fuse.h"

/* --- split --- */

static cln_status infer_nothing(cln_graph *g, const cln__node *node) {
    (void)g;
    (void)node;
    return CLN_OK; /* the outputs exist */
}

void cln__split(cln_graph *g, cln_tensor x, const cln_tensor *parts, int count) {
    cln__node_add_for(g, &cln__op_split, NULL, NULL, &x, 1, parts, count);
}

static cln_status backward(cln__gradients *grads, const cln__node *node) {
    cln_tensor parts[CLN__MAX_OUTPUTS];
    for (int k = 0; k < node->output_count; k++) {
        parts[k] = cln__gradient_of(grads, cln__output(node, k));
        if (parts[k].id < 0)
            parts[k] = cln__zeros_like(grads->g, cln__output(node, k));
    }
    cln__gradient_add(grads, cln__input(node, 0),
                      cln__join_like(grads->g, parts, node->output_count, cln__input(node, 0)));
    return grads->g->status;
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    int64_t first = 0;
    for (int k = 0; k < node->output_count; k++) {
        cln_tensor part = cln__output(node, k);
        int64_t channels = cln__shape_of(l, part).c;
        if (!cln__layout_of(l, part).shows_input)
            CLN_TRY(cln__lower_copy(l, cln__input(node, 0), first, part, 0, channels));
        first += channels;
    }
    return CLN_OK;
}

const cln__op cln__op_split = {
    .name = "split", .infer = infer_nothing, .backward = backward, .lower = lower, .splits = true};

/* --- weights --- */

cln_tensor cln__join_weights(cln_graph *g, const cln_tensor *weights, int count) {
    return cln__node_add(g, &cln__op_join_weights, NULL, NULL, weights, count);
}

static cln_status infer_joined(cln_graph *g, const cln__node *node) {
    const cln__tensor first = *cln__at(g, node->inputs[0]);
    cln_shape shape = first.shape;
    for (int i = 1; i < node->input_count; i++)
        shape.n += cln__input_shape(g, node, i).n;
    return cln__set_output(g, node, 0, shape, CLN__WEIGHT, first.like); /* like_out: set by merge.c */
}

static cln_status backward_joined(cln__gradients *grads, const cln__node *node) {
    cln_graph *g = grads->g;
    cln_tensor dw = cln__gradient_of(grads, cln__output(node, 0)), parts[CLN__MAX_OUTPUTS];
    for (int i = 0; i < node->input_count; i++)
        parts[i] = cln__weight_like(g, cln__input(node, i));
    if (g->status != CLN_OK)
        return g->status;
    cln__node_add_for(g, &cln__op_split_weights, node->name, NULL, &dw, 1, parts, node->input_count);
    for (int i = 0; i < node->input_count && g->status == CLN_OK; i++)
        cln__gradient_add(grads, cln__input(node, i), parts[i]);
    return g->status;
}

/* Copies the columns of one weight to or from their place in the joined one; a row for each tap and input channel. */
static void copy_columns(cln__lowering *l, cln_tensor part, cln_tensor joined, int64_t first, bool to_joined) {
    const cln__tensor *tensors = l->g->tensors;
    cln_tensor narrow = {tensors[part.id].like_out}, wide = {tensors[joined.id].like_out};
    cln__layout from = cln__layout_of(l, narrow), to = cln__layout_of(l, wide);
    int64_t begin = to.map[first] - from.map[0];
    cln__step *step = cln__step_new(l, "copy", "copy_columns");
    cln__step_define(l, step, "TO=%d -DFROM=%d", to.block, from.block);
    cln__arg_tensor(step, to_joined ? part : joined, CLN__READ);
    cln__arg_tensor(step, to_joined ? joined : part, CLN__WRITE);
    cln__arg_int(step, cln__layout_of(l, part).elements / from.stored);
    cln__arg_int(step, to_joined ? from.stored : to.stored);
    cln__arg_int(step, to_joined ? to.stored : from.stored);
    cln__arg_int(step, to_joined ? 0 : begin);
    cln__arg_int(step, to_joined ? begin : 0);
    cln__arg_int(step, from.stored);
    cln__step_items(step, from.stored / from.block, 1, 1);
}

static cln_status lower_joined(cln__lowering *l, const cln__node *node) {
    int64_t first = 0;
    for (int i = 0; i < node->input_count; i++) {
        copy_columns(l, cln__input(node, i), cln__output(node, 0), first, true);
        first += cln__input_shape(l->g, node, i).n;
    }
    return l->status;
}

static cln_status lower_split(cln__lowering *l, const cln__node *node) {
    int64_t first = 0;
    for (int k = 0; k < node->output_count; k++) {
        copy_columns(l, cln__output(node, k), cln__input(node, 0), first, false);
        first += cln__shape_of(l, cln__output(node, k)).n;
    }
    return l->status;
}

const cln__op cln__op_join_weights = {
    .name = "join_weights", .outputs = 1, .infer = infer_joined, .backward = backward_joined, .lower = lower_joined};

const cln__op cln__op_split_weights = {.name = "split_weights", .infer = infer_nothing, .lower = lower_split};
