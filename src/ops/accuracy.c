/* accuracy: how many rows have their largest logit, the first among equals, at their label. Passes no gradient. */
#include "ops.h"

cln_tensor cln_accuracy(cln_graph *g, cln_tensor logits, cln_tensor labels) {
    cln_tensor inputs[2] = {logits, labels};
    return cln__node_add(g, &cln__op_accuracy, NULL, NULL, inputs, 2);
}

static cln_status infer(cln_graph *g, const cln__node *node) {
    CLN_TRY(cln__check_labelled_rows(g, node, 1));
    return cln__set_output(g, node, 0, (cln_shape){1, 1, 1, 1}, CLN__FLAT, -1);
}

/* The kernel numbers the classes without gaps. */
static bool needs_dense(const cln_graph *g, const cln__node *node) {
    (void)g;
    (void)node;
    return true;
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    cln_tensor logits = cln__input(node, 0);
    cln_shape x = cln__shape_of(l, logits);
    cln_tensor hits = cln__scratch(l, x.n);
    cln__step *step = cln__step_new(l, "accuracy", "accuracy_rows");
    cln__step_define(l, step, "B=%d", cln__layout_of(l, logits).block);
    cln__arg_tensor(step, logits, CLN__READ);
    cln__arg_tensor(step, cln__input(node, 1), CLN__READ);
    cln__arg_tensor(step, hits, CLN__WRITE);
    cln__arg_int(step, x.n);
    cln__arg_int(step, x.c);
    cln__step_items(step, x.n, 1, 1);

    step = cln__step_new(l, "accuracy", "accuracy_count");
    cln__arg_tensor(step, hits, CLN__READ);
    cln__arg_tensor(step, cln__output(node, 0), CLN__WRITE);
    cln__arg_int(step, x.n);
    return l->status;
}

const cln__op cln__op_accuracy = {.name = "accuracy",
                                  .outputs = 1,
                                  .infer = infer,
                                  .lower = lower,
                                  .needs_dense = needs_dense,
                                  .label_inputs = 1 << 1};
