/* What a plan changes in the graph before it is differentiated:
 *
 * - 1x1 convolutions of the same tensor become one (merge.c);
 *
 * and in training:
 *
 * - the moments of every tensor that is normalised by its batch, one for each tensor however many layers normalise it;
 *   those of a concatenation are the concatenation of those of its inputs;
 * - for a concatenation of normalised tensors, the concatenation of what normalises them, so that a reader of the whole
 *   can normalise while it reads.
 *
 * Vectors that are joined lie in place (plan/layout.c), so none of this costs a step. */
#include "fuse.h"

#include <stdlib.h>

/* The node `op` that reads `x` as its input 0, or NULL. */
static const cln__node *node_reading(const cln_graph *g, const cln__op *op, cln_tensor x) {
    for (int i = 0; i < g->node_count; i++)
        if (g->nodes[i].op == op && g->nodes[i].inputs[0] == x.id)
            return &g->nodes[i];
    return NULL;
}

typedef struct vectors {
    cln_tensor mean, var;
} vectors;

/* The moments of `x`; new nodes go to *position, which moves on behind them. */
static vectors moments_of(cln_graph *g, cln_tensor x, int *position);

static vectors joined_moments(cln_graph *g, const cln__node *concat, cln_tensor x, int *position) {
    int count = concat->input_count;
    vectors none = {CLN_NO_TENSOR, CLN_NO_TENSOR}, all = none;
    cln_tensor *means = malloc(sizeof *means * (size_t)count), *vars = malloc(sizeof *vars * (size_t)count);
    int *inputs = malloc(sizeof *inputs * (size_t)count); /* nodes may move */
    if (means && vars && inputs) {
        for (int i = 0; i < count; i++)
            inputs[i] = concat->inputs[i];
        for (int i = 0; i < count; i++) {
            vectors part = moments_of(g, (cln_tensor){inputs[i]}, position);
            means[i] = part.mean;
            vars[i] = part.var;
        }
        all.mean = cln__join_like(g, means, count, x);
        cln__node_move_last(g, (*position)++);
        all.var = cln__join_like(g, vars, count, x);
        cln__node_move_last(g, (*position)++);
    } else {
        g->status = cln__fail_memory(g->ctx, "the statistics of the batch");
    }
    free(means);
    free(vars);
    free(inputs);
    return all;
}

static vectors moments_of(cln_graph *g, cln_tensor x, int *position) {
    if (g->status != CLN_OK)
        return (vectors){CLN_NO_TENSOR, CLN_NO_TENSOR};
    const cln__node *made = node_reading(g, &cln__op_moments, x);
    if (made)
        return (vectors){cln__output(made, 0), cln__output(made, 1)};
    int producer = g->tensors[x.id].producer;
    if (producer >= 0 && g->nodes[producer].op == &cln__op_concat) {
        const cln__node *concat = &g->nodes[producer];
        vectors first = moments_of(g, cln__input(concat, 0), position);
        vectors all = {cln__joined_like(g, first.mean, x), cln__joined_like(g, first.var, x)};
        concat = &g->nodes[g->tensors[x.id].producer];
        return all.mean.id >= 0 ? all : joined_moments(g, concat, x, position);
    }
    cln_tensor mean = cln__moments(g, g->nodes[*position].name, x); /* the normalisation is there */
    cln__node_move_last(g, (*position)++);
    return (vectors){mean, cln__node_output(g, mean, 1)};
}

static cln_status add_moments(cln_graph *g) {
    for (int i = 0; i < g->node_count && g->status == CLN_OK; i++) {
        if (!cln__normalises_by_batch(&g->nodes[i]))
            continue;
        vectors all = moments_of(g, cln__input(&g->nodes[i], 0), &i);
        if (g->status == CLN_OK)
            CLN_TRY(cln__batchnorm_set_moments(g, &g->nodes[i], all.mean, all.var));
    }
    return g->status;
}

/* The batch normalisation behind `x`, directly or through an activation, or NULL. */
static const cln__node *norm_behind(const cln_graph *g, int x) {
    int producer = g->tensors[x].producer;
    if (producer >= 0 && g->nodes[producer].op == &cln__op_activation) {
        x = g->nodes[producer].inputs[0];
        producer = g->tensors[x].producer;
    }
    bool is_norm = producer >= 0 && g->nodes[producer].op == &cln__op_batchnorm && g->nodes[producer].outputs[0] == x;
    return is_norm ? &g->nodes[producer] : NULL;
}

static bool all_normalised(const cln_graph *g, const cln__node *concat) {
    for (int i = 0; i < concat->input_count; i++)
        if (!norm_behind(g, concat->inputs[i]))
            return false;
    return true;
}

/* Joins output `output` of all normalisations behind the concatenation at node *position. */
static cln_status join_output(cln_graph *g, int output, int *position) {
    const cln__node *concat = &g->nodes[*position];
    cln_tensor *parts = malloc(sizeof *parts * (size_t)concat->input_count);
    if (!parts)
        return cln__fail_memory(g->ctx, "the vectors of a concatenation");
    for (int i = 0; i < concat->input_count; i++)
        parts[i] = cln__output(norm_behind(g, concat->inputs[i]), output);
    cln__join_like(g, parts, concat->input_count, cln__output(concat, 0));
    cln__node_move_last(g, (*position)++);
    free(parts);
    return g->status;
}

cln_status cln__rewrite(cln_graph *g, const cln__caps *caps, bool training) {
    CLN_TRY(cln__merge(g, caps));
    if (!training)
        return CLN_OK;
    CLN_TRY(add_moments(g));
    for (int i = 0; i < g->node_count && g->status == CLN_OK; i++)
        if (g->nodes[i].op == &cln__op_concat && all_normalised(g, &g->nodes[i]))
            for (int output = CLN__NORM_MEAN; output <= CLN__NORM_SHIFT; output++)
                CLN_TRY(join_output(g, output, &i));
    return g->status;
}
