/* Reverse-mode differentiation: a table of the gradients of each tensor, filled by walking the nodes backwards. */
#ifndef CLN_SRC_AUTODIFF_H
#define CLN_SRC_AUTODIFF_H

#include "graph.h"

struct cln__gradients {
    cln_graph *g;
    int count;     /* tensors when the walk began: only they have gradients */
    int *gradient; /* of each tensor, or -1 */
    bool *wanted;  /* whether it depends on a parameter or on a requested input */
};

/* Adds the nodes that compute the gradient of `target` (with upstream gradient `upstream`, or ones where that is
 * invalid) to `g`. `also` names inputs whose gradients are wanted besides the parameters'.
 * The caller frees *out with cln__gradients_free. */
cln_status cln__differentiate(cln_graph *g, cln_tensor target, cln_tensor upstream, const cln_tensor *also,
                              int also_count, cln__gradients **out);
void cln__gradients_free(cln__gradients *grads);

/* A tensor of ones in the shape of `x`: the default upstream gradient; of zeros (ops/constant.c). */
cln_tensor cln__ones_like(cln_graph *g, cln_tensor x);
cln_tensor cln__zeros_like(cln_graph *g, cln_tensor x);
/* `x` with its channels laid out like those of `like`, which has its shape: what the gradient of a tensor must be. It
 * shows x itself where they agree already (ops/concat.c). */
cln_tensor cln__laid_like(cln_graph *g, cln_tensor x, cln_tensor like);

/* For backward functions. The gradient of a tensor so far (CLN_NO_TENSOR: none reaches it). */
cln_tensor cln__gradient_of(const cln__gradients *grads, cln_tensor x);
bool cln__gradient_wanted(const cln__gradients *grads, cln_tensor x);
/* Adds a contribution to the gradient of `x`; the first is taken as it is, further ones are summed in order. */
void cln__gradient_add(cln__gradients *grads, cln_tensor x, cln_tensor contribution);

#endif
