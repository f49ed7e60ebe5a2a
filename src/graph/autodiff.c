/* Walks the nodes backwards once; each operator adds the nodes of its own gradients. */
#include "autodiff.h"

#include <stdlib.h>

cln_tensor cln__gradient_of(const cln__gradients *grads, cln_tensor x) {
    if (x.id < 0 || x.id >= grads->count)
        return CLN_NO_TENSOR;
    return (cln_tensor){grads->gradient[x.id]};
}

bool cln__gradient_wanted(const cln__gradients *grads, cln_tensor x) {
    return x.id >= 0 && x.id < grads->count && grads->wanted[x.id];
}

void cln__gradient_add(cln__gradients *grads, cln_tensor x, cln_tensor contribution) {
    if (!cln__gradient_wanted(grads, x) || contribution.id < 0)
        return;
    int *sum = &grads->gradient[x.id];
    if (*sum >= 0)
        contribution = cln_add(grads->g, (cln_tensor){*sum}, contribution);
    *sum = contribution.id;
}

void cln__gradients_free(cln__gradients *grads) {
    if (!grads)
        return;
    free(grads->gradient);
    free(grads->wanted);
    free(grads);
}

/* No gradient yet, for any tensor. */
static cln__gradients *gradients_new(cln_graph *g) {
    cln__gradients *grads = calloc(1, sizeof *grads);
    if (!grads)
        return NULL;
    grads->g = g;
    grads->count = g->tensor_count;
    grads->gradient = malloc(sizeof(int) * (size_t)g->tensor_count);
    grads->wanted = calloc((size_t)g->tensor_count, sizeof(bool));
    if (!grads->gradient || !grads->wanted) {
        cln__gradients_free(grads);
        return NULL;
    }
    for (int i = 0; i < grads->count; i++)
        grads->gradient[i] = -1;
    return grads;
}

/* A tensor's gradient is wanted if a parameter that is trained, or a requested input reaches it. */
static void mark_wanted(cln__gradients *grads, const cln_tensor *also, int also_count) {
    const cln_graph *g = grads->g;
    for (int i = 0; i < g->tensor_count; i++)
        grads->wanted[i] = g->tensors[i].role == CLN__PARAM && !g->tensors[i].frozen;
    for (int i = 0; i < also_count; i++)
        grads->wanted[also[i].id] = true;
    for (int i = 0; i < g->node_count; i++) {
        const cln__node *node = &g->nodes[i];
        bool wanted = false;
        for (int k = 0; k < node->input_count; k++)
            wanted = wanted || grads->wanted[node->inputs[k]];
        for (int k = 0; k < node->output_count; k++)
            grads->wanted[node->outputs[k]] = wanted && node->op->backward;
    }
}

static bool has_gradient(const cln__gradients *grads, const cln__node *node) {
    for (int k = 0; k < node->output_count; k++)
        if (grads->gradient[node->outputs[k]] >= 0)
            return true;
    return false;
}

static void walk(cln__gradients *grads) {
    cln_graph *g = grads->g;
    for (int i = g->node_count - 1; i >= 0 && g->status == CLN_OK; i--) {
        /* A copy, since adding nodes may move the array. */
        const cln__node node = g->nodes[i];
        if (node.op->backward && has_gradient(grads, &node))
            node.op->backward(grads, &node);
    }
}

cln_status cln__differentiate(cln_graph *g, cln_tensor target, cln_tensor upstream, const cln_tensor *also,
                              int also_count, cln__gradients **out) {
    *out = NULL;
    if (target.id < 0 || target.id >= g->tensor_count)
        return cln__fail(g->ctx, CLN_INVALID_ARGUMENT, "differentiate: the loss is not a tensor of this graph");
    for (int i = 0; i < also_count; i++)
        if (also[i].id < 0 || also[i].id >= g->tensor_count)
            return cln__fail(g->ctx, CLN_INVALID_ARGUMENT,
                             "differentiate: requested input %d is not a tensor of this graph", i);
    cln__gradients *grads = gradients_new(g);
    if (!grads)
        return cln__fail_memory(g->ctx, "the gradients");
    mark_wanted(grads, also, also_count);
    g->differentiating = true;
    if (upstream.id >= 0 && !cln__shape_equal(cln_tensor_shape(g, upstream), cln_tensor_shape(g, target)))
        cln_graph_fail(g, "differentiate: the upstream gradient's shape is not the target's");
    cln_tensor seed = upstream.id >= 0 ? cln__laid_like(g, upstream, target) : cln__ones_like(g, target);
    if (g->status == CLN_OK && grads->wanted[target.id]) {
        grads->gradient[target.id] = seed.id;
        walk(grads);
    }
    g->differentiating = false;
    if (g->status != CLN_OK) {
        cln__gradients_free(grads);
        return g->status;
    }
    *out = grads;
    return CLN_OK;
}
