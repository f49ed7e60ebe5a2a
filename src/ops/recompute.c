/* What a training plan computes again for the backward pass instead of keeping it meanwhile: the result of a max
 * pooling that is as large as its input and that only a convolution reads, as in an Inception block. What it is made of
 * is kept anyway, and reading that again costs as much as the pooling. */
#include "fuse.h"
#include "pool.h"

enum { GRAD_X = 1, POOL_GRAD_Y = 2 }; /* inputs of the gradients of a convolution and of a max pooling */

/* Whether node `grad` alone needs `y` in the backward pass. */
static bool alone(const cln_graph *g, int y, int grad) {
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i].input_count; k++) {
            const cln__node *node = &g->nodes[i];
            bool shape_only = node->op == &cln__op_maxpool_grad && k == POOL_GRAD_Y;
            if (node->inputs[k] == y && i != grad && node->op != &cln__op_conv2d && !shape_only)
                return false;
        }
    return true;
}

static const cln__node *pooling_of(const cln_graph *g, int grad) {
    const cln__node *node = &g->nodes[grad];
    int y = node->op == &cln__op_conv2d_grad ? node->inputs[GRAD_X] : -1;
    int producer = y >= 0 ? g->tensors[y].producer : -1;
    const cln__node *pool = producer >= 0 ? &g->nodes[producer] : NULL;
    bool large = pool && pool->op == &cln__op_maxpool && ((const cln__pool_attrs *)pool->attrs)->stride == 1;
    return large && alone(g, y, grad) ? pool : NULL;
}

cln_status cln__recompute(cln_graph *g) {
    for (int i = 0; i < g->node_count && g->status == CLN_OK; i++) {
        const cln__node *pool = pooling_of(g, i);
        if (!pool)
            continue;
        cln_tensor x = cln__input(pool, 0);
        cln_tensor again = cln__node_add(g, &cln__op_maxpool, pool->name, pool->attrs, &x, 1);
        if (again.id < 0)
            break;
        cln__node_move_last(g, i++);
        g->nodes[i].inputs[GRAD_X] = again.id;
    }
    return g->status;
}
