/* Making, copying and failing graphs; adding nodes and tensors. The builders of operators are in src/ops. */
#include "graph.h"

#include <stdlib.h>
#include <string.h>

cln_graph *cln_graph_new(cln_context *ctx) {
    cln_graph *g = calloc(1, sizeof *g);
    if (g)
        g->ctx = ctx;
    return g;
}

static void node_free(cln__node *node) {
    free(node->name);
    free(node->inputs);
    free(node->attrs);
}

void cln_graph_free(cln_graph *g) {
    if (!g)
        return;
    for (int i = 0; i < g->node_count; i++)
        node_free(&g->nodes[i]);
    for (int i = 0; i < g->tensor_count; i++)
        free(g->tensors[i].name);
    for (int i = 0; i < g->string_count; i++)
        free(g->strings[i]);
    free(g->nodes);
    free(g->tensors);
    free(g->strings);
    free(g);
}

cln_status cln_graph_status(const cln_graph *g) {
    return g->status;
}

/* Keeps the first failure: later ones are its consequences. */
static cln_status fail(cln_graph *g, cln_status status, const char *message) {
    if (g->status == CLN_OK)
        g->status = message ? cln__fail(g->ctx, status, "%s", message) : cln__fail_memory(g->ctx, "the graph");
    return g->status;
}

void cln_graph_fail(cln_graph *g, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *message = cln__format_va(format, arguments);
    va_end(arguments);
    fail(g, CLN_INVALID_ARGUMENT, message);
    free(message);
}

cln_status cln__node_fail(cln_graph *g, const cln__node *node, cln_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *detail = cln__format_va(format, arguments);
    va_end(arguments);
    char *message = detail ? cln__format("%s '%s': %s", node->op->name, node->name, detail) : NULL;
    fail(g, status, message);
    free(message);
    free(detail);
    return g->status;
}

/* Makes room for one more element. */
static bool grow(cln_graph *g, void **array, int *capacity, int count, size_t size) {
    if (count < *capacity)
        return true;
    int wider = *capacity ? *capacity * 2 : 64;
    void *moved = realloc(*array, (size_t)wider * size);
    if (!moved) {
        fail(g, CLN_OUT_OF_MEMORY, NULL);
        return false;
    }
    *array = moved;
    *capacity = wider;
    return true;
}

const char *cln_name(cln_graph *g, const char *format, ...) {
    if (g->status != CLN_OK || !grow(g, (void **)&g->strings, &g->string_capacity, g->string_count, sizeof *g->strings))
        return "";
    va_list arguments;
    va_start(arguments, format);
    char *text = cln__format_va(format, arguments);
    va_end(arguments);
    if (!text) {
        fail(g, CLN_OUT_OF_MEMORY, NULL);
        return "";
    }
    return g->strings[g->string_count++] = text;
}

/* Kernels count the channels with their padding, and the pixels of all images, in int, and look ahead. */
static bool shape_valid(cln_shape s) {
    const int64_t most_channels = 1 << 26, most = INT32_MAX / 2;
    int64_t count;
    return cln__shape_count(s, &count) && s.c <= most_channels && s.h * s.w <= most / s.n;
}

#define SHAPE_LIMITS                                                                                                   \
    "is empty or too large: of all its images together there may be 2^30-1 pixels and 2^48 numbers, and 2^26 channels"

static bool is_valid(const cln_graph *g, cln_tensor x) {
    return x.id >= 0 && x.id < g->tensor_count;
}

cln_shape cln_tensor_shape(const cln_graph *g, cln_tensor x) {
    return is_valid(g, x) ? g->tensors[x.id].shape : (cln_shape){0, 0, 0, 0};
}

static cln_tensor tensor_add(cln_graph *g, cln__tensor tensor) {
    if (!grow(g, (void **)&g->tensors, &g->tensor_capacity, g->tensor_count, sizeof *g->tensors)) {
        free(tensor.name);
        return CLN_NO_TENSOR;
    }
    g->tensors[g->tensor_count] = tensor;
    return (cln_tensor){g->tensor_count++};
}

cln_tensor cln__find_tensor(const cln_graph *g, const char *name) {
    for (int i = 0; i < g->tensor_count; i++)
        if (g->tensors[i].name && strcmp(g->tensors[i].name, name) == 0)
            return (cln_tensor){i};
    return CLN_NO_TENSOR;
}

/* Adds a tensor that the host knows by name. Takes ownership of `tensor.name`. */
static cln_tensor named_add(cln_graph *g, cln__tensor tensor) {
    char shape[96];
    char *message = NULL;
    if (!tensor.name) {
        fail(g, CLN_OUT_OF_MEMORY, NULL);
        return CLN_NO_TENSOR;
    }
    if (!shape_valid(tensor.shape))
        message = cln__format("'%s': shape %s " SHAPE_LIMITS, tensor.name, cln__shape_text(tensor.shape, shape));
    else if (cln__find_tensor(g, tensor.name).id >= 0)
        message =
            cln__format("'%s': there is already a tensor of this name; layers need names of their own", tensor.name);
    else
        return tensor_add(g, tensor);
    fail(g, CLN_INVALID_ARGUMENT, message);
    free(message);
    free(tensor.name);
    return CLN_NO_TENSOR;
}

static cln__tensor new_tensor(cln__role role, cln_shape shape, cln__packing packing) {
    return (cln__tensor){.shape = shape, .role = role, .packing = packing, .producer = -1, .like = -1, .like_out = -1};
}

cln_tensor cln_input(cln_graph *g, const char *name, int64_t n, int64_t c, int64_t h, int64_t w) {
    if (g->status != CLN_OK)
        return CLN_NO_TENSOR;
    cln__tensor tensor = new_tensor(CLN__INPUT, (cln_shape){n, c, h, w}, CLN__BLOCKED);
    tensor.name = cln__format("%s", name);
    return named_add(g, tensor);
}

cln_tensor cln_labels(cln_graph *g, const char *name, int64_t n) {
    if (g->status != CLN_OK)
        return CLN_NO_TENSOR;
    cln__tensor tensor = new_tensor(CLN__INPUT, (cln_shape){n, 1, 1, 1}, CLN__FLAT);
    tensor.name = cln__format("%s", name);
    tensor.is_int = true;
    return named_add(g, tensor);
}

cln_tensor cln__param_add(cln_graph *g, cln__role role, const char *layer, const char *suffix, cln_shape shape,
                          cln__packing packing, cln_tensor like, cln__initial initial, float scale) {
    if (g->status != CLN_OK)
        return CLN_NO_TENSOR;
    cln__tensor tensor = new_tensor(role, shape, packing);
    tensor.name = cln__format("%s.%s", layer, suffix);
    tensor.like = like.id;
    tensor.rank = packing == CLN__WEIGHT ? 4 : 1;
    tensor.initial = initial;
    tensor.scale = scale;
    return named_add(g, tensor);
}

void cln__param_axes(const cln__tensor *t, int64_t axes[4]) {
    const int64_t all[4] = {t->shape.n, t->shape.c, t->shape.h, t->shape.w};
    for (int i = 0; i < t->rank; i++)
        axes[i] = t->rank == 1 ? t->shape.c : all[i];
}

cln_tensor cln__weight_like(cln_graph *g, cln_tensor w) {
    if (g->status != CLN_OK)
        return CLN_NO_TENSOR;
    const cln__tensor *like = &g->tensors[w.id];
    cln__tensor tensor = new_tensor(CLN__VALUE, like->shape, CLN__WEIGHT);
    tensor.like = like->like;
    tensor.like_out = like->like_out;
    return tensor_add(g, tensor);
}

static char *copy_string(const char *text, bool *ok) {
    char *copy = text ? cln__format("%s", text) : NULL;
    *ok = *ok && (!text || copy);
    return copy;
}

/* `from` may be NULL: room only. */
static void *copy_bytes(const void *from, size_t size, bool *ok) {
    void *copy = malloc(size ? size : 1);
    if (copy && from && size)
        memcpy(copy, from, size);
    *ok = *ok && copy;
    return copy;
}

static cln_status infer(cln_graph *g, const cln__node *node) {
    if (node->op->infer)
        return node->op->infer(g, node);
    return node->output_count ? cln__set_output(g, node, 0, cln__input_shape(g, node, 0), CLN__LIKE, node->inputs[0])
                              : CLN_OK;
}

/* Makes the node's output tensors and lets the operator give them shapes. */
static cln_status make_outputs(cln_graph *g, cln__node *node, int index) {
    for (int i = 0; i < CLN__MAX_OUTPUTS; i++)
        node->outputs[i] = -1;
    for (int i = 0; i < node->output_count; i++) {
        cln__tensor tensor = new_tensor(CLN__VALUE, (cln_shape){0, 0, 0, 0}, CLN__BLOCKED);
        tensor.producer = index;
        cln_tensor out = tensor_add(g, tensor);
        if (out.id < 0)
            return g->status;
        node->outputs[i] = out.id;
    }
    return infer(g, node);
}

static cln_status set_inputs(cln_graph *g, cln__node *node, const cln_tensor *inputs) {
    for (int i = 0; i < node->input_count; i++) {
        if (!is_valid(g, inputs[i]))
            return cln__node_fail(g, node, CLN_INVALID_ARGUMENT, "input %d is not a tensor of this graph", i);
        if (g->tensors[inputs[i].id].is_int && !(node->op->label_inputs >> i & 1))
            return cln__node_fail(g, node, CLN_INVALID_ARGUMENT, "input %d is labels", i);
        node->inputs[i] = inputs[i].id;
    }
    return CLN_OK;
}

cln_tensor cln__node_add(cln_graph *g, const cln__op *op, const char *name, const void *attrs, const cln_tensor *inputs,
                         int input_count) {
    if (g->status != CLN_OK || !grow(g, (void **)&g->nodes, &g->node_capacity, g->node_count, sizeof *g->nodes))
        return CLN_NO_TENSOR;
    bool made = true;
    int index = g->node_count;
    cln__node *node = &g->nodes[index];
    *node = (cln__node){
        .op = op, .is_forward = !g->differentiating, .input_count = input_count, .output_count = op->outputs};
    node->name = copy_string(name ? name : op->name, &made);
    node->inputs = copy_bytes(NULL, sizeof(int) * (size_t)input_count, &made);
    node->attrs = copy_bytes(attrs, op->attrs_size, &made);
    if (!made)
        fail(g, CLN_OUT_OF_MEMORY, NULL);
    if (made && set_inputs(g, node, inputs) == CLN_OK && make_outputs(g, node, index) == CLN_OK) {
        g->node_count++;
        return (cln_tensor){node->outputs[0]};
    }
    node_free(node);
    return CLN_NO_TENSOR;
}

void cln__node_add_for(cln_graph *g, const cln__op *op, const char *name, const void *attrs, const cln_tensor *inputs,
                       int input_count, const cln_tensor *outputs, int output_count) {
    if (cln__node_add(g, op, name, attrs, inputs, input_count).id < 0 && g->status != CLN_OK)
        return;
    cln__node *node = &g->nodes[g->node_count - 1];
    node->output_count = output_count;
    for (int k = 0; k < output_count; k++) {
        node->outputs[k] = outputs[k].id;
        g->tensors[outputs[k].id].producer = g->node_count - 1;
    }
}

static void set_producers(cln_graph *g, int from) {
    for (int i = from; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i].output_count; k++)
            g->tensors[g->nodes[i].outputs[k]].producer = i;
}

void cln__node_remove(cln_graph *g, int index) {
    node_free(&g->nodes[index]);
    memmove(&g->nodes[index], &g->nodes[index + 1], sizeof *g->nodes * (size_t)(--g->node_count - index));
    set_producers(g, 0); /* what it made may have another producer, which lies before it */
}

void cln__node_move_last(cln_graph *g, int index) {
    int last = g->node_count - 1;
    if (g->status != CLN_OK || index >= last)
        return;
    cln__node moved = g->nodes[last];
    memmove(&g->nodes[index + 1], &g->nodes[index], sizeof moved * (size_t)(last - index));
    g->nodes[index] = moved;
    set_producers(g, index);
}

cln_tensor cln__node_output(const cln_graph *g, cln_tensor x, int index) {
    if (!is_valid(g, x) || g->tensors[x.id].producer < 0)
        return CLN_NO_TENSOR;
    return (cln_tensor){g->nodes[g->tensors[x.id].producer].outputs[index]};
}

cln_status cln__set_output(cln_graph *g, const cln__node *node, int index, cln_shape shape, cln__packing packing,
                           int like) {
    char text[96];
    if (!shape_valid(shape))
        return cln__node_fail(g, node, CLN_INVALID_ARGUMENT, "its output shape %s " SHAPE_LIMITS,
                              cln__shape_text(shape, text));
    cln__tensor *out = cln__at(g, node->outputs[index]);
    out->shape = shape;
    out->packing = packing;
    out->like = like;
    return CLN_OK;
}

cln_graph *cln__graph_clone(const cln_graph *g) {
    cln_graph *copy = cln_graph_new(g->ctx);
    if (!copy)
        return NULL;
    bool ok = true;
    copy->status = g->status;
    copy->nodes = calloc((size_t)g->node_count + 1, sizeof *copy->nodes);
    copy->tensors = calloc((size_t)g->tensor_count + 1, sizeof *copy->tensors);
    if (!copy->nodes || !copy->tensors) {
        cln_graph_free(copy);
        return NULL;
    }
    copy->node_capacity = copy->node_count = g->node_count;
    copy->tensor_capacity = copy->tensor_count = g->tensor_count;
    for (int i = 0; i < g->node_count; i++) {
        const cln__node *from = &g->nodes[i];
        cln__node *to = &copy->nodes[i];
        *to = *from;
        to->name = copy_string(from->name, &ok);
        to->inputs = copy_bytes(from->inputs, sizeof(int) * (size_t)from->input_count, &ok);
        to->attrs = copy_bytes(from->attrs, from->op->attrs_size, &ok);
    }
    for (int i = 0; i < g->tensor_count; i++) {
        copy->tensors[i] = g->tensors[i];
        copy->tensors[i].name = copy_string(g->tensors[i].name, &ok);
    }
    if (!ok) {
        cln_graph_free(copy);
        return NULL;
    }
    return copy;
}

int64_t cln__batch(const cln_graph *g) {
    for (int i = 0; i < g->tensor_count; i++)
        if (g->tensors[i].role == CLN__INPUT)
            return g->tensors[i].shape.n;
    return 1;
}

cln_status cln__graph_rebatch(cln_graph *g, int64_t n) {
    int64_t old = cln__batch(g);
    for (int i = 0; i < g->tensor_count; i++)
        if (g->tensors[i].role == CLN__INPUT && g->tensors[i].shape.n == old)
            g->tensors[i].shape.n = n;
    for (int i = 0; i < g->node_count; i++)
        CLN_TRY(infer(g, &g->nodes[i]));
    return CLN_OK;
}
