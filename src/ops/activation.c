/* activation: relu, leakyrelu, tanh and gelu, element by element, and their gradients. The formulas are in
 * cl/activation.cl. The gradient is computed from y where that is enough, so that y may overwrite x. Behind a batch
 * normalisation both are computed from what that reads. */
#include "fuse.h"

#include <stdio.h>
#include <string.h>

static const char *const names[] = {
    [CLN_IDENTITY] = "identity", [CLN_RELU] = "relu", [CLN_LEAKY_RELU] = "leakyrelu",
    [CLN_TANH] = "tanh",         [CLN_GELU] = "gelu",
};
enum { COUNT = sizeof names / sizeof *names };

typedef struct attrs {
    cln_activation kind;
} attrs;

static cln_activation kind_of(const cln__node *node) {
    return ((const attrs *)node->attrs)->kind;
}

bool cln_activation_parse(const char *name, cln_activation *out) {
    for (int i = 0; name && i < COUNT; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (cln_activation)i;
            return true;
        }
    return false;
}

const char *cln_activation_name(cln_activation activation) {
    return (int)activation >= 0 && (int)activation < COUNT ? names[activation] : "unknown";
}

float cln_activation_gain(cln_activation activation) {
    return activation == CLN_TANH ? 5.0f / 3 : 1.41421356f;
}

cln_tensor cln_activate(cln_graph *g, cln_tensor x, cln_activation activation) {
    if (activation == CLN_IDENTITY)
        return x;
    if ((int)activation < 0 || (int)activation >= COUNT) {
        cln_graph_fail(g, "activation: there is no function number %d", (int)activation);
        return CLN_NO_TENSOR;
    }
    return cln__node_add(g, &cln__op_activation, names[activation], &(attrs){activation}, &x, 1);
}

static void describe(const cln__node *node, char *text, size_t size) {
    snprintf(text, size, " %s", names[kind_of(node)]);
}

static cln_status backward(cln__gradients *grads, const cln__node *node) {
    cln_tensor x = cln__input(node, 0), y = cln__output(node, 0);
    cln_tensor inputs[2] = {cln__gradient_of(grads, y), kind_of(node) == CLN_GELU ? x : y};
    if (cln__gradient_wanted(grads, x))
        cln__gradient_add(grads, x,
                          cln__node_add(grads->g, &cln__op_activation_grad, node->name, node->attrs, inputs, 2));
    return grads->g->status;
}

cln_activation cln__activation_of(const cln__node *node) {
    return kind_of(node);
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    cln_tensor x = cln__input(node, 0), y = cln__output(node, 0);
    cln__form form = cln__form_of(l, x);
    form.act = kind_of(node);
    if (form.kind == CLN__LOADED && l->fusion->source[y.id] >= 0) {
        l->forms[y.id] = form;
        return CLN_OK;
    }
    if (form.kind == CLN__LOADED) {
        cln__load_into(l, form, CLN_NO_TENSOR, y);
        return l->status;
    }
    cln__step *step = cln__step_new(l, "activation", "activation_forward");
    cln__step_define(l, step, "KIND=%d", (int)kind_of(node));
    cln__arg_tensor(step, x, CLN__READ);
    cln__arg_tensor(step, y, CLN__WRITE);
    cln__step_each_vector(l, step, y);
    return l->status;
}

static cln_status lower_grad(cln__lowering *l, const cln__node *node) {
    cln_tensor dy = cln__stored(l, cln__input(node, 0)), at = cln__input(node, 1), dx = cln__output(node, 0);
    cln__form form = cln__form_of(l, at);
    bool loaded = form.kind == CLN__LOADED;
    if (loaded)
        at.id = form.source;
    cln__step *step = cln__step_new(l, "activation", "activation_grad");
    cln__step_define(l, step, "KIND=%d", (int)kind_of(node));
    cln__step_define(l, step, "LOADED=%d", loaded);
    cln__arg_tensor(step, dy, CLN__READ);
    cln__arg_tensor(step, at, CLN__READ);
    cln__arg_tensor(step, loaded ? (cln_tensor){form.scale} : at, CLN__READ); /* not read without LOADED */
    cln__arg_tensor(step, loaded ? (cln_tensor){form.shift} : at, CLN__READ);
    cln__arg_tensor(step, dx, CLN__WRITE);
    cln__step_each_vector(l, step, dx);
    return l->status;
}

/* ONNX has an operator for gelu only from edition 20 on; this is what it is made of. */
static void gelu_to_onnx(cln__onnx *o, const cln__node *node, const char *x, const char *y) {
    const char *scaled = cln__onnx_inner(o, node, "scaled"), *erf = cln__onnx_inner(o, node, "erf");
    const char *more = cln__onnx_inner(o, node, "erf+1"), *twice = cln__onnx_inner(o, node, "twice");
    const char *root = cln__onnx_scalar(o, node, "sqrt(2)", 1.41421356f), *one = cln__onnx_scalar(o, node, "1", 1);
    const char *half = cln__onnx_scalar(o, node, "0.5", 0.5f);
    cln__onnx_add(o, "Div", (const char *[]){x, root}, 2, scaled);
    cln__onnx_add(o, "Erf", &scaled, 1, erf);
    cln__onnx_add(o, "Add", (const char *[]){erf, one}, 2, more);
    cln__onnx_add(o, "Mul", (const char *[]){x, more}, 2, twice);
    cln__onnx_add(o, "Mul", (const char *[]){twice, half}, 2, y);
}

static void to_onnx(cln__onnx *o, const cln__node *node) {
    static const char *const types[COUNT] = {
        [CLN_IDENTITY] = "Identity", [CLN_RELU] = "Relu", [CLN_LEAKY_RELU] = "LeakyRelu", [CLN_TANH] = "Tanh"};
    const char *x = cln__onnx_input(o, node, 0, CLN__ONNX_ANY);
    const char *y = cln__onnx_output(o, node, cln__onnx_axes(o, node, 0));
    if (kind_of(node) == CLN_GELU) {
        gelu_to_onnx(o, node, x, y);
        return;
    }
    cln__onnx_node *act = cln__onnx_add(o, types[kind_of(node)], &x, 1, y);
    if (kind_of(node) == CLN_LEAKY_RELU)
        cln__onnx_float(o, act, "alpha", 0.01f);
}

const cln__op cln__op_activation = {.name = "activation",
                                    .attrs_size = sizeof(attrs),
                                    .outputs = 1,
                                    .backward = backward,
                                    .lower = lower,
                                    .to_onnx = to_onnx,
                                    .describe = describe,
                                    .in_place = true,
                                    .reads_forms = true};

const cln__op cln__op_activation_grad = {.name = "activation_grad",
                                         .attrs_size = sizeof(attrs),
                                         .outputs = 1,
                                         .lower = lower_grad,
                                         .describe = describe,
                                         .in_place = true,
                                         .reads_forms = true};
