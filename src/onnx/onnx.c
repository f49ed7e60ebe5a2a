/* From a graph to a model: names, parameters, and the walk over the nodes that the output needs. */
#include "onnx.h"
#include "message.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct cln__onnx {
    cln_context *ctx;
    const cln_graph *graph;
    const float *const *values;
    const cln__onnx_options *options;
    cln_tensor output;
    cln_status status;
    Onnx__ModelProto *model;
    char **names; /* of the graph's tensors; NULL: not met yet. Owned */
    int *axes;
    char **strings; /* other names, owned */
    size_t string_count;
};

static void fail_memory(cln__onnx *o) {
    if (o->status == CLN_OK)
        o->status = cln__fail_memory(o->ctx, "an ONNX model");
}

/* Takes `text` over, which may be NULL. */
static const char *keep(cln__onnx *o, char *text) {
    if (cln__message_append(&o->strings, &o->string_count, text))
        return text;
    free(text);
    fail_memory(o);
    return "";
}

static bool is_parameter(const cln__tensor *t) {
    return t->role == CLN__PARAM || t->role == CLN__STATE;
}

/* --- nodes and attributes --- */

cln__onnx_node *cln__onnx_add(cln__onnx *o, const char *type, const char *const *inputs, int input_count,
                              const char *output) {
    if (o->status != CLN_OK)
        return NULL;
    if (!inputs) {
        fail_memory(o);
        return NULL;
    }
    Onnx__NodeProto *node = cln__message_node(o->model->graph, type, output);
    bool made = cln__message_node_makes(node, output);
    for (int i = 0; made && i < input_count; i++)
        made = cln__message_node_reads(node, inputs[i]);
    if (!made)
        fail_memory(o);
    return made ? (cln__onnx_node *)node : NULL;
}

static Onnx__AttributeProto *add_attribute(cln__onnx *o, cln__onnx_node *node, const char *name,
                                           Onnx__AttributeProto__AttributeType type) {
    Onnx__AttributeProto *attribute = cln__message_attribute((Onnx__NodeProto *)node, name, type);
    if (!attribute)
        fail_memory(o);
    return attribute;
}

void cln__onnx_float(cln__onnx *o, cln__onnx_node *node, const char *name, float value) {
    Onnx__AttributeProto *a = add_attribute(o, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (!a)
        return;
    a->has_f = true;
    a->f = value;
}

void cln__onnx_int(cln__onnx *o, cln__onnx_node *node, const char *name, int64_t value) {
    Onnx__AttributeProto *a = add_attribute(o, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (!a)
        return;
    a->has_i = true;
    a->i = value;
}

void cln__onnx_ints(cln__onnx *o, cln__onnx_node *node, const char *name, const int64_t *values, int count) {
    Onnx__AttributeProto *a = add_attribute(o, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    if (!a)
        return;
    a->ints = malloc(sizeof *a->ints * (size_t)(count + 1));
    if (!a->ints) {
        fail_memory(o);
        return;
    }
    memcpy(a->ints, values, sizeof *a->ints * (size_t)count);
    a->n_ints = (size_t)count;
}

/* --- constants --- */

/* Numbers in the file are little-endian, whatever the host is. */
static void put(uint64_t word, size_t width, uint8_t *bytes) {
    for (size_t k = 0; k < width; k++)
        bytes[k] = (uint8_t)(word >> (8 * k));
}

/* Takes `bytes` over, which may be NULL. */
static void add_constant(cln__onnx *o, const char *name, Onnx__TensorProto__DataType type, const int64_t *dims,
                         int rank, uint8_t *bytes, size_t size) {
    if (o->status == CLN_OK &&
        (!bytes || !cln__message_initializer(o->model->graph, name, type, dims, rank, bytes, size)))
        fail_memory(o);
    free(bytes);
}

static void add_floats(cln__onnx *o, const char *name, const int64_t *dims, int rank, const float *values,
                       int64_t count) {
    size_t size = (size_t)count * sizeof *values;
    uint8_t *bytes = malloc(size);
    for (int64_t i = 0; bytes && i < count; i++) {
        uint32_t word;
        memcpy(&word, &values[i], sizeof word);
        put(word, sizeof word, bytes + (size_t)i * sizeof word);
    }
    add_constant(o, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, dims, rank, bytes, size);
}

static void add_ints(cln__onnx *o, const char *name, const int64_t *values, int64_t count) {
    size_t size = (size_t)count * sizeof *values;
    uint8_t *bytes = malloc(size);
    for (int64_t i = 0; bytes && i < count; i++)
        put((uint64_t)values[i], sizeof *values, bytes + (size_t)i * sizeof *values);
    add_constant(o, name, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, &count, 1, bytes, size);
}

static void add_parameter(cln__onnx *o, int tensor) {
    const cln__tensor *t = &o->graph->tensors[tensor];
    int64_t dims[4], count;
    cln__shape_count(t->shape, &count);
    cln__param_axes(t, dims);
    add_floats(o, t->name, dims, t->rank, o->values[tensor], count);
}

const char *cln__onnx_scalar(cln__onnx *o, const cln__node *node, const char *part, float value) {
    const char *name = cln__onnx_inner(o, node, part);
    add_floats(o, name, NULL, 0, &value, 1);
    return name;
}

/* --- names --- */

/* The layer's name does not do: several may be called "relu". */
static char *name_of_value(const cln__onnx *o, const cln__node *node, int tensor) {
    return tensor == o->output.id ? cln__format("logits") : cln__format("%s_%d", node->name, tensor);
}

const char *cln__onnx_inner(cln__onnx *o, const cln__node *node, const char *part) {
    return keep(o, cln__format("%s_%d/%s", node->name, node->outputs[0], part));
}

int cln__onnx_axes(const cln__onnx *o, const cln__node *node, int index) {
    return o->axes[node->inputs[index]];
}

/* A node that turns images of one pixel into rows, or back. */
static const char *convert(cln__onnx *o, const cln__node *node, int index, const char *from, int axes) {
    static const int64_t pixel_axes[2] = {2, 3};
    const char *to = keep(o, cln__format("%s_%d/input_%d", node->name, node->outputs[0], index));
    if (axes == CLN__ONNX_ROWS) {
        cln__onnx_int(o, cln__onnx_add(o, "Flatten", &from, 1, to), "axis", 1);
        return to;
    }
    const char *inputs[2] = {from, keep(o, cln__format("%s/axes", to))};
    add_ints(o, inputs[1], pixel_axes, 2);
    cln__onnx_add(o, "Unsqueeze", inputs, 2, to);
    return to;
}

const char *cln__onnx_input(cln__onnx *o, const cln__node *node, int index, int axes) {
    int tensor = node->inputs[index];
    const cln__tensor *t = &o->graph->tensors[tensor];
    if (o->status != CLN_OK)
        return "";
    if (is_parameter(t)) {
        if (!o->names[tensor]) {
            o->names[tensor] = cln__format("%s", t->name);
            add_parameter(o, tensor);
        }
    } else if (axes != CLN__ONNX_ANY && axes != o->axes[tensor]) {
        return convert(o, node, index, o->names[tensor], axes);
    }
    if (!o->names[tensor])
        fail_memory(o);
    return o->names[tensor] ? o->names[tensor] : "";
}

/* Adds what is known of a value to one of the graph's lists. */
static void declare(cln__onnx *o, Onnx__ValueInfoProto ***list, size_t *count, const char *name,
                    Onnx__TensorProto__DataType type, cln_shape s, int axes) {
    const int64_t dims[4] = {s.n, s.c, s.h, s.w};
    Onnx__ValueInfoProto *value = cln__message_value(name, type, dims, axes);
    if (cln__message_append(list, count, value))
        return;
    onnx__value_info_proto__free_unpacked(value, NULL);
    fail_memory(o);
}

const char *cln__onnx_output(cln__onnx *o, const cln__node *node, int axes) {
    int tensor = node->outputs[0];
    Onnx__GraphProto *graph = o->model->graph;
    if (o->status == CLN_OK && !o->names[tensor]) {
        o->names[tensor] = name_of_value(o, node, tensor);
        o->axes[tensor] = axes;
    }
    if (!o->names[tensor]) {
        fail_memory(o);
        return "";
    }
    bool last = tensor == o->output.id;
    declare(o, last ? &graph->output : &graph->value_info, last ? &graph->n_output : &graph->n_value_info,
            o->names[tensor], ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, o->graph->tensors[tensor].shape, axes);
    return o->names[tensor];
}

/* --- inputs --- */

/* (pixels / 255 - mean) / deviation, in the order in which the loader does it. */
static void normalize(cln__onnx *o, const char *pixels, int64_t channels, const char *to) {
    const int64_t dims[3] = {channels, 1, 1};
    const float largest = 255;
    const char *as_float[] = {pixels}, *as_share[] = {"pixels/float", "pixels/255"};
    const char *centred[] = {"pixels/share", "pixels/mean"}, *scaled[] = {"pixels/centred", "pixels/deviation"};
    add_floats(o, "pixels/255", NULL, 0, &largest, 1);
    add_floats(o, "pixels/mean", dims, 3, o->options->mean, channels);
    add_floats(o, "pixels/deviation", dims, 3, o->options->deviation, channels);
    cln__onnx_int(o, cln__onnx_add(o, "Cast", as_float, 1, "pixels/float"), "to", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT);
    cln__onnx_add(o, "Div", as_share, 2, "pixels/share");
    cln__onnx_add(o, "Sub", centred, 2, "pixels/centred");
    cln__onnx_add(o, "Div", scaled, 2, to);
}

/* `alone`: there is no other, so it needs no name of its own. */
static void add_input(cln__onnx *o, int tensor, bool alone) {
    Onnx__GraphProto *graph = o->model->graph;
    const cln__tensor *t = &o->graph->tensors[tensor];
    const char *name = alone ? "input" : t->name;
    bool raw = o->options->mean != NULL;
    o->names[tensor] = cln__format("%s", raw ? "normalized" : name);
    o->axes[tensor] = CLN__ONNX_IMAGES;
    declare(o, &graph->input, &graph->n_input, name,
            raw ? ONNX__TENSOR_PROTO__DATA_TYPE__UINT8 : ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, t->shape,
            CLN__ONNX_IMAGES);
    if (raw)
        normalize(o, name, t->shape.c, "normalized");
}

/* --- the walk --- */

/* Marks the nodes that make `output`; the tensors that these read go into `read`. */
static void mark_needed(const cln_graph *g, cln_tensor output, bool *needed, bool *read) {
    read[output.id] = true;
    for (int i = g->node_count - 1; i >= 0; i--) {
        const cln__node *node = &g->nodes[i];
        for (int k = 0; k < node->output_count; k++)
            needed[i] = needed[i] || read[node->outputs[k]];
        for (int k = 0; needed[i] && k < node->input_count; k++)
            read[node->inputs[k]] = true;
    }
}

static bool is_input(const cln_graph *g, const bool *read, int tensor) {
    return read[tensor] && g->tensors[tensor].role == CLN__INPUT;
}

static cln_status check_inputs(const cln__onnx *o, const bool *read, int *count) {
    const cln_graph *g = o->graph;
    *count = 0;
    for (int i = 0; i < g->tensor_count; i++) {
        if (is_input(g, read, i) && g->tensors[i].is_int)
            return cln__fail(g->ctx, CLN_UNSUPPORTED,
                             "export to ONNX: the output depends on the labels '%s'; it may depend on images only",
                             g->tensors[i].name);
        *count += is_input(g, read, i);
    }
    if (*count == 0)
        return cln__fail(g->ctx, CLN_INVALID_ARGUMENT, "export to ONNX: the output does not depend on any input");
    if (*count > 1 && o->options->mean)
        return cln__fail(g->ctx, CLN_UNSUPPORTED,
                         "export to ONNX: the output depends on %d inputs; only a single one can be normalised",
                         *count);
    return CLN_OK;
}

static cln_status walk(cln__onnx *o, const bool *needed) {
    for (int i = 0; i < o->graph->node_count && o->status == CLN_OK; i++) {
        const cln__node *node = &o->graph->nodes[i];
        if (needed[i] && !node->op->to_onnx)
            o->status =
                cln__fail(o->ctx, CLN_UNSUPPORTED, "export to ONNX: layer '%s' is a %s, which has no counterpart there",
                          node->name, node->op->name);
        else if (needed[i])
            node->op->to_onnx(o, node);
    }
    return o->status;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Every name of a value: what the nodes make, inputs and constants. Returns how many. */
static size_t list_names(const Onnx__GraphProto *g, const char **names) {
    size_t count = 0;
    for (size_t i = 0; i < g->n_input; i++)
        names[count++] = g->input[i]->name;
    for (size_t i = 0; i < g->n_initializer; i++)
        names[count++] = g->initializer[i]->name;
    for (size_t i = 0; i < g->n_node; i++)
        names[count++] = g->node[i]->output[0];
    return count;
}

/* The user names layers and inputs, so the names that are made of these could meet. */
static cln_status check_names(const cln__onnx *o) {
    const Onnx__GraphProto *g = o->model->graph;
    const char **names = malloc(sizeof *names * (g->n_input + g->n_initializer + g->n_node + 1)), *twice = NULL;
    if (!names)
        return cln__fail_memory(o->ctx, "an ONNX model");
    size_t count = list_names(g, names);
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 1; i < count; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            twice = names[i];
    cln_status status = twice ? cln__fail(o->ctx, CLN_INVALID_ARGUMENT,
                                          "export to ONNX: two values would be called '%s': rename an input", twice)
                              : CLN_OK;
    free(names);
    return status;
}

static cln_status fill(cln__onnx *o, bool *needed, bool *read) {
    const cln_graph *g = o->graph;
    int inputs;
    mark_needed(g, o->output, needed, read);
    CLN_TRY(check_inputs(o, read, &inputs));
    if (g->tensors[o->output.id].producer < 0)
        return cln__fail(o->ctx, CLN_INVALID_ARGUMENT, "export to ONNX: the output is the input itself");
    for (size_t i = 0; i < o->options->metadata_count; i++)
        if (!cln__message_metadata(o->model, o->options->metadata[i].key, o->options->metadata[i].value))
            fail_memory(o);
    for (int i = 0; i < g->tensor_count; i++)
        if (is_input(g, read, i))
            add_input(o, i, inputs == 1);
    CLN_TRY(walk(o, needed));
    return check_names(o);
}

cln_status cln__onnx_build(const cln_graph *g, cln_tensor output, const float *const *values,
                           const cln__onnx_options *options, cln__onnx **out) {
    *out = NULL;
    cln__onnx *o = calloc(1, sizeof *o);
    bool *marks = calloc((size_t)(g->node_count + g->tensor_count) + 1, sizeof *marks);
    if (o) {
        *o = (cln__onnx){.ctx = g->ctx, .graph = g, .values = values, .options = options, .output = output};
        o->model = cln__message_model(CLN__ONNX_IR, CLN__ONNX_OPSET, "network");
        o->names = calloc((size_t)g->tensor_count + 1, sizeof *o->names);
        o->axes = calloc((size_t)g->tensor_count + 1, sizeof *o->axes);
    }
    cln_status status = o && marks && o->model && o->names && o->axes ? fill(o, marks, marks + g->node_count)
                                                                      : cln__fail_memory(g->ctx, "an ONNX model");
    free(marks);
    if (status == CLN_OK)
        *out = o;
    else
        cln__onnx_free(o);
    return status;
}

void cln__onnx_free(cln__onnx *o) {
    if (!o)
        return;
    for (int i = 0; o->names && i < o->graph->tensor_count; i++)
        free(o->names[i]);
    for (size_t i = 0; i < o->string_count; i++)
        free(o->strings[i]);
    free(o->names);
    free(o->strings);
    free(o->axes);
    onnx__model_proto__free_unpacked(o->model, NULL);
    free(o);
}

cln_status cln__onnx_pack(const cln__onnx *o, uint8_t **bytes, size_t *size) {
    *size = onnx__model_proto__get_packed_size(o->model);
    *bytes = NULL;
    if (*size > CLN__ONNX_MAX)
        return cln__fail(o->ctx, CLN_UNSUPPORTED,
                         "export to ONNX: the model has %zu bytes, a file of the format holds at most %d", *size,
                         CLN__ONNX_MAX);
    *bytes = malloc(*size);
    if (!*bytes)
        return cln__fail_memory(o->ctx, "an ONNX file");
    onnx__model_proto__pack(o->model, *bytes);
    return CLN_OK;
}
