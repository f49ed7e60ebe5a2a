/* moments: mean and (biased) variance of each channel over all images and pixels. The plan adds one for each tensor
 * that is normalised by its batch (rewrite.c). Where a convolution, an addition or average pooling made the tensor, its
 * kernel has left the parts' moments, and the tensor is not read again. */
#include "fuse.h"
#include "reduce.h"

enum { MEAN, VAR };

cln_tensor cln__moments(cln_graph *g, const char *name, cln_tensor x) {
    return cln__node_add(g, &cln__op_moments, name, NULL, &x, 1);
}

static cln_status infer(cln_graph *g, const cln__node *node) {
    cln_shape y = {1, cln__input_shape(g, node, 0).c, 1, 1};
    CLN_TRY(cln__set_output(g, node, MEAN, y, CLN__LIKE, node->inputs[0]));
    return cln__set_output(g, node, VAR, y, CLN__LIKE, node->inputs[0]);
}

static cln__parts read_parts(cln__lowering *l, cln_tensor x) {
    cln__parts parts = cln__parts_of(l, x, 3);
    cln__step *step = cln__step_new(l, "batchnorm", "batchnorm_part");
    cln__arg_tensor(step, x, CLN__READ);
    cln__parts_launch(l, step, &parts, x);
    return parts;
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    cln_tensor x = cln__input(node, 0);
    cln__parts parts;
    int64_t first = 0; /* channel of the rows, where they are of more channels */
    if (!cln__parts_left(l, x, &parts, &first))
        parts = read_parts(l, x);
    cln__parts_merge(l, &parts, "batchnorm", "batchnorm_merge", parts.stored);
    cln__step *step = cln__step_new(l, "batchnorm", "batchnorm_moments");
    cln__step_define(l, step, "B=%d", parts.block);
    cln__arg_tensor(step, parts.partial, CLN__READ);
    cln__arg_int(step, parts.count);
    cln__arg_int(step, parts.row);
    cln__arg_int(step, first);
    cln__arg_tensor(step, cln__output(node, MEAN), CLN__WRITE);
    cln__arg_tensor(step, cln__output(node, VAR), CLN__WRITE);
    cln__arg_int(step, cln__blocks(l, x));
    cln__step_items(step, cln__blocks(l, x), 1, 1);
    return l->status;
}

const cln__op cln__op_moments = {.name = "moments", .outputs = 2, .infer = infer, .lower = lower};
