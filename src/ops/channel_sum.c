/* channel_sum: the sum of each channel over all images and pixels, the gradient of a bias. */
#include "reduce.h"

cln_tensor cln__channel_sum(cln_graph *g, cln_tensor x) {
    return cln__node_add(g, &cln__op_channel_sum, NULL, NULL, &x, 1);
}

static cln_status infer(cln_graph *g, const cln__node *node) {
    cln_shape y = {1, cln__input_shape(g, node, 0).c, 1, 1};
    return cln__set_output(g, node, 0, y, CLN__LIKE, node->inputs[0]);
}

cln_status cln__lower_channel_sum(cln__lowering *l, cln_tensor x, cln_tensor sum) {
    cln__parts parts = cln__parts_of(l, x, 1);
    cln__step *step = cln__step_new(l, "channel_sum", "channel_sum");
    cln__arg_tensor(step, x, CLN__READ);
    cln__parts_launch(l, step, &parts, x);
    cln__parts_merge(l, &parts, "reduce", "sum", parts.row);
    cln__parts_sum(l, &parts, 0, sum);
    return l->status;
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    return cln__lower_channel_sum(l, cln__input(node, 0), cln__output(node, 0));
}

const cln__op cln__op_channel_sum = {.name = "channel_sum", .outputs = 1, .infer = infer, .lower = lower};
