/* 1x1 convolutions that read the same tensor, as in an Inception block, as one: the tensor is read once, and so is the
 * gradient that they add up. Their weights are joined and their gradients split by small copies; their outputs show
 * parts of one (plan/layout.c), which needs every part but the last to fill its channel blocks. The last part may lie
 * in a concatenation at the same time, if it comes first there. */
#include "fuse.h"

#include <string.h>

typedef struct group {
    int count;
    int node[CLN__MAX_OUTPUTS]; /* in the order of the parts; the last may be ragged */
} group;

static int outputs_of(const cln_graph *g, int node) {
    return (int)g->tensors[g->nodes[node].outputs[0]].shape.c;
}

static bool can_merge(const cln_graph *g, int node, int like) {
    const cln__node *a = &g->nodes[node], *b = &g->nodes[like];
    return a->op == &cln__op_conv2d && cln__conv2d_is_pointwise(a) && a->inputs[0] == b->inputs[0] &&
           a->input_count == b->input_count;
}

/* Whether the first input of a concatenation is what becomes of `tensor` through normalisation and activation. */
static bool leads_a_concat(const cln_graph *g, int tensor) {
    for (int i = 0; i < g->node_count; i++) {
        const cln__node *node = &g->nodes[i];
        if (node->inputs[0] != tensor)
            continue;
        if (node->op == &cln__op_concat)
            return true;
        if ((node->op == &cln__op_batchnorm || node->op == &cln__op_activation) && leads_a_concat(g, node->outputs[0]))
            return true;
    }
    return false;
}

/* Puts at the end what must be there: a part that leads a concatenation, else one that does not fill its blocks. */
static bool arrange(const cln_graph *g, group *all, int block) {
    int last = all->count - 1;
    for (int i = 0; i < all->count; i++)
        if (outputs_of(g, all->node[i]) % block)
            last = i;
    for (int i = 0; i < all->count; i++)
        if (leads_a_concat(g, g->nodes[all->node[i]].outputs[0]))
            last = i;
    int node = all->node[last];
    memmove(&all->node[last], &all->node[last + 1], sizeof *all->node * (size_t)(all->count - 1 - last));
    all->node[all->count - 1] = node;
    for (int i = 0; i < all->count - 1; i++)
        if (outputs_of(g, all->node[i]) % block)
            return false;
    return all->count > 1;
}

/* Adds the nodes that stand for the group, at *position, and removes the group's. */
static cln_status replace(cln_graph *g, const group *all, int *position) {
    cln_tensor weights[CLN__MAX_OUTPUTS], biases[CLN__MAX_OUTPUTS], parts[CLN__MAX_OUTPUTS];
    const cln__node first = g->nodes[all->node[0]]; /* nodes will move; what it points to stays until removed */
    cln_tensor inputs[3] = {cln__input(&first, 0)};
    bool bias = first.input_count > 2;
    for (int i = 0; i < all->count; i++) {
        const cln__node *node = &g->nodes[all->node[i]];
        weights[i] = cln__input(node, 1);
        biases[i] = bias ? cln__input(node, 2) : CLN_NO_TENSOR;
        parts[i] = cln__output(node, 0);
    }
    for (int i = 0; i < all->count; i++)
        g->nodes[all->node[i]].output_count = 0; /* they are made by the split now */
    int added = g->node_count;
    inputs[1] = cln__join_weights(g, weights, all->count);
    if (bias)
        inputs[2] = cln_concat(g, biases, all->count);
    cln_tensor y = cln__node_add(g, &cln__op_conv2d, first.name, first.attrs, inputs, first.input_count);
    cln__split(g, y, parts, all->count);
    CLN_TRY(g->status);
    cln__at(g, inputs[1].id)->like_out = y.id;
    if (bias) {
        cln__at(g, inputs[2].id)->packing = CLN__LIKE;
        cln__at(g, inputs[2].id)->like = y.id;
    }
    for (int i = g->node_count - 1 - added; i >= 0; i--)
        cln__node_move_last(g, *position);
    *position += g->node_count - added;
    return CLN_OK;
}

static bool in_group(const cln_graph *g, const group *all, const cln_tensor *outputs, int node) {
    for (int i = 0; i < all->count; i++)
        if (g->nodes[node].outputs[0] == outputs[i].id && g->nodes[node].op == &cln__op_conv2d)
            return true;
    return false;
}

static cln_status merge_at(cln_graph *g, const cln__caps *caps, int *position) {
    group all = {0};
    for (int i = *position; i < g->node_count && all.count < CLN__MAX_OUTPUTS; i++)
        if (can_merge(g, i, *position))
            all.node[all.count++] = i;
    if (!arrange(g, &all, caps->block))
        return CLN_OK;
    cln_tensor outputs[CLN__MAX_OUTPUTS];
    for (int i = 0; i < all.count; i++)
        outputs[i] = cln__output(&g->nodes[all.node[i]], 0);
    CLN_TRY(replace(g, &all, position));
    for (int i = g->node_count - 1; i >= *position; i--)
        if (in_group(g, &all, outputs, i))
            cln__node_remove(g, i);
    --*position; /* what followed the group's first node is there now */
    return g->status;
}

cln_status cln__merge(cln_graph *g, const cln__caps *caps) {
    for (int i = 0; i < g->node_count && caps->is_cpu && g->status == CLN_OK; i++)
        if (g->nodes[i].op == &cln__op_conv2d && cln__conv2d_is_pointwise(&g->nodes[i]))
            CLN_TRY(merge_at(g, caps, &i));
    return g->status;
}
