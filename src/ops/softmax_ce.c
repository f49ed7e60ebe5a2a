/* softmax_ce: softmax and cross-entropy in one, the mean over the rows that have a label; with label smoothing e over
 * K classes a row's loss is (1 - e) CE + e / K * sum of -log p. Mixed, CE is w CE(label) + (1 - w) CE(other label).
 *
 * Inputs: logits and labels; mixed, other labels and weights w too. Outputs: the loss, the probabilities and the count
 * of labelled rows; the last two are what the gradient needs. */
#include "ops.h"

#include <stdio.h>

typedef struct attrs {
    float smoothing;
} attrs;

cln_tensor cln_softmax_ce(cln_graph *g, cln_tensor logits, cln_tensor labels, float label_smoothing) {
    attrs a = {label_smoothing};
    cln_tensor inputs[2] = {logits, labels};
    return cln__node_add(g, &cln__op_softmax_ce, NULL, &a, inputs, 2);
}

cln_tensor cln_softmax_ce_mixed(cln_graph *g, cln_tensor logits, cln_tensor labels, cln_tensor others,
                                cln_tensor weights, float label_smoothing) {
    attrs a = {label_smoothing};
    cln_tensor inputs[4] = {logits, labels, others, weights};
    return cln__node_add(g, &cln__op_softmax_ce, NULL, &a, inputs, 4);
}

static bool is_mixed(const cln__node *node) {
    return node->input_count == 4;
}

static cln_status check_mixed(cln_graph *g, const cln__node *node) {
    cln_shape x = cln__input_shape(g, node, 0), weights = cln__input_shape(g, node, 3);
    CLN_TRY(cln__check_labelled_rows(g, node, 2));
    if (cln__shape_equal(weights, (cln_shape){x.n, 1, 1, 1}))
        return CLN_OK;
    char text[84];
    return cln__node_fail(g, node, CLN_INVALID_ARGUMENT, "%lld rows of logits need as many weights, theirs are %s",
                          (long long)x.n, cln__shape_text(weights, text));
}

static cln_status infer(cln_graph *g, const cln__node *node) {
    const attrs *a = node->attrs;
    cln_shape x = cln__input_shape(g, node, 0), scalar = {1, 1, 1, 1};
    CLN_TRY(cln__check_labelled_rows(g, node, 1));
    if (is_mixed(node))
        CLN_TRY(check_mixed(g, node));
    if (!(a->smoothing >= 0 && a->smoothing <= 1))
        return cln__node_fail(g, node, CLN_INVALID_ARGUMENT, "label smoothing %g is not between 0 and 1",
                              (double)a->smoothing);
    CLN_TRY(cln__set_output(g, node, 0, scalar, CLN__FLAT, -1));
    CLN_TRY(cln__set_output(g, node, 1, x, CLN__LIKE, node->inputs[0]));
    return cln__set_output(g, node, 2, scalar, CLN__FLAT, -1);
}

static void describe(const cln__node *node, char *text, size_t size) {
    const attrs *a = node->attrs;
    if (a->smoothing > 0)
        snprintf(text, size, " label smoothing %g", (double)a->smoothing);
}

/* The kernels number the classes without gaps. */
static bool needs_dense(const cln_graph *g, const cln__node *node) {
    (void)g;
    (void)node;
    return true;
}

static cln_status backward(cln__gradients *grads, const cln__node *node) {
    cln_graph *g = grads->g;
    cln_tensor logits = cln__input(node, 0), dloss = cln__gradient_of(grads, cln__output(node, 0));
    if (dloss.id < 0 || !cln__gradient_wanted(grads, logits))
        return g->status;
    cln_tensor inputs[6] = {cln__output(node, 1), cln__input(node, 1), cln__output(node, 2), dloss};
    for (int i = 2; i < node->input_count; i++)
        inputs[2 + i] = cln__input(node, i);
    cln__gradient_add(
        grads, logits,
        cln__node_add(g, &cln__op_softmax_ce_grad, node->name, node->attrs, inputs, 2 + node->input_count));
    return g->status;
}

/* A step over rows: work-items (row). */
static cln__step *rows_step(cln__lowering *l, const char *kernel, cln_tensor x) {
    cln__step *step = cln__step_new(l, "softmax_ce", kernel);
    cln__step_define(l, step, "B=%d", cln__layout_of(l, x).block);
    cln__step_items(step, cln__shape_of(l, x).n, 1, 1);
    return step;
}

/* The arguments that both kernels end with; `mixed`: the node's first input of those that only a mixed loss has. */
static void last_args(cln__lowering *l, cln__step *step, const cln__node *node, int mixed, cln_tensor x) {
    const attrs *a = node->attrs;
    if (mixed < node->input_count)
        cln__step_define(l, step, "MIXED=1");
    for (int i = mixed; i < node->input_count; i++)
        cln__arg_tensor(step, cln__input(node, i), CLN__READ);
    cln__arg_float(step, (double)a->smoothing);
    cln__arg_int(step, cln__shape_of(l, x).n);
    cln__arg_int(step, cln__shape_of(l, x).c);
    cln__arg_int(step, cln__layout_of(l, x).stored);
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    cln_tensor logits = cln__input(node, 0);
    int64_t n = cln__shape_of(l, logits).n;
    cln_tensor row_losses = cln__scratch(l, 2 * n);
    cln__step *step = rows_step(l, "softmax_ce_rows", logits);
    cln__arg_tensor(step, logits, CLN__READ);
    cln__arg_tensor(step, cln__input(node, 1), CLN__READ);
    cln__arg_tensor(step, cln__output(node, 1), CLN__WRITE);
    cln__arg_tensor(step, row_losses, CLN__WRITE);
    last_args(l, step, node, 2, logits);

    step = cln__step_new(l, "softmax_ce", "softmax_ce_mean");
    cln__arg_tensor(step, row_losses, CLN__READ);
    cln__arg_tensor(step, cln__output(node, 0), CLN__WRITE);
    cln__arg_tensor(step, cln__output(node, 2), CLN__WRITE);
    cln__arg_int(step, n);
    return l->status;
}

const cln__op cln__op_softmax_ce = {.name = "softmax_ce",
                                    .attrs_size = sizeof(attrs),
                                    .outputs = 3,
                                    .infer = infer,
                                    .backward = backward,
                                    .lower = lower,
                                    .describe = describe,
                                    .needs_dense = needs_dense,
                                    .label_inputs = 1 << 1 | 1 << 2};

static cln_status lower_grad(cln__lowering *l, const cln__node *node) {
    cln_tensor dlogits = cln__output(node, 0);
    cln__step *step = rows_step(l, "softmax_ce_grad", dlogits);
    for (int i = 0; i < 4; i++)
        cln__arg_tensor(step, cln__input(node, i), CLN__READ);
    cln__arg_tensor(step, dlogits, CLN__WRITE);
    last_args(l, step, node, 4, dlogits);
    return l->status;
}

const cln__op cln__op_softmax_ce_grad = {.name = "softmax_ce_grad",
                                         .attrs_size = sizeof(attrs),
                                         .outputs = 1,
                                         .lower = lower_grad,
                                         .describe = describe,
                                         .label_inputs = 1 << 1 | 1 << 4};
