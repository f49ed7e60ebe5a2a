/* add: the sum of two tensors of one shape, laid out like the first. A normalisation before it and an activation behind
 * it are done in the same step, and so are the moments that a normalisation behind it wants. */
#include "fuse.h"

cln_tensor cln_add(cln_graph *g, cln_tensor a, cln_tensor b) {
    cln_tensor inputs[2] = {a, b};
    return cln__node_add(g, &cln__op_add, NULL, NULL, inputs, 2);
}

static cln_status infer(cln_graph *g, const cln__node *node) {
    cln_shape a = cln__input_shape(g, node, 0), b = cln__input_shape(g, node, 1);
    char first[96], second[96];
    if (!cln__shape_equal(a, b))
        return cln__node_fail(g, node, CLN_INVALID_ARGUMENT, "its inputs have different shapes, %s and %s",
                              cln__shape_text(a, first), cln__shape_text(b, second));
    return cln__set_output(g, node, 0, a, CLN__LIKE, node->inputs[0]);
}

static cln_status backward(cln__gradients *grads, const cln__node *node) {
    cln_tensor a = cln__input(node, 0), b = cln__input(node, 1), dy = cln__gradient_of(grads, cln__output(node, 0));
    cln__gradient_add(grads, a, dy);
    if (cln__gradient_wanted(grads, b))
        cln__gradient_add(grads, b, cln__laid_like(grads->g, dy, b));
    return grads->g->status;
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    cln_tensor a = cln__input(node, 0), b = cln__input(node, 1), y = cln__output(node, 0);
    int written = l->fusion->written[l->node];
    for (int i = 0; i < 2; i++) {
        cln__form form = cln__form_of(l, cln__input(node, i));
        if (form.kind != CLN__LOADED || form.act != CLN_IDENTITY) /* the step's activation comes after the sum */
            continue;
        if (written >= 0) { /* the activation's output */
            y.id = written;
            form.act = cln__activation_of(&l->g->nodes[l->g->tensors[written].producer]);
        }
        cln__load_into(l, form, cln__input(node, 1 - i), y);
        return l->status;
    }
    cln__stored(l, a);
    cln__stored(l, b);
    cln__layout first = cln__layout_of(l, a), second = cln__layout_of(l, b);
    if (!cln__same_channels(&first, &second, cln__shape_of(l, a).c)) {
        /* y is laid out like a, so it serves as the scratch copy. */
        CLN_TRY(cln__lower_copy(l, b, 0, y, 0, cln__shape_of(l, b).c));
        b = y;
    }
    bool moments = cln__has_moments(l, y);
    cln__parts parts = {0};
    if (moments)
        parts = cln__parts_of(l, y, 3);
    cln__step *step = cln__step_new(l, "add", moments ? "add_part" : "add");
    cln__arg_tensor(step, a, CLN__READ);
    cln__arg_tensor(step, b, CLN__READ);
    cln__arg_tensor(step, y, CLN__WRITE);
    if (moments) {
        cln__parts_launch(l, step, &parts, y);
        cln__parts_leave(l, parts);
    } else {
        cln__step_each_vector(l, step, y);
    }
    return l->status;
}

static void to_onnx(cln__onnx *o, const cln__node *node) {
    int axes = cln__onnx_axes(o, node, 0);
    const char *inputs[2] = {cln__onnx_input(o, node, 0, axes), cln__onnx_input(o, node, 1, axes)};
    cln__onnx_add(o, "Add", inputs, 2, cln__onnx_output(o, node, axes));
}

const cln__op cln__op_add = {.name = "add",
                             .outputs = 1,
                             .infer = infer,
                             .backward = backward,
                             .lower = lower,
                             .to_onnx = to_onnx,
                             .in_place = true,
                             .reads_forms = true};
