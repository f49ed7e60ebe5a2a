/* Export without a device: ONNX files read back by protobuf-c, node by node and number by number; what is refused; and
 * cln_export from file to file. That other programs compute the same from them is test_slow_export.c's to show. */
#include "../src/graph/graph.h"
#include "clnet/export.h"
#include "clnet/models.h"
#include "files.h"
#include "numbers.h"
#include "suite.h"

#include <math.h>
#include <onnx.pb-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *folder;

static void setup(void) {
    folder = folder_new();
}

static void teardown(void) {
    folder_remove(folder);
}

static void fails(cln_status status, cln_status expected, const char *message) {
    ck_assert_msg(status == expected, "status %d: %s", (int)status, cln_context_error(ctx));
    expect_message(message);
}

/* --- a graph with weights --- */

typedef struct net {
    cln_graph *g;
    cln_tensor x, y;
    cln_file_tensor *tensors; /* noise, of every parameter and state; variances are positive */
    size_t count;
} net;

static net net_new(int64_t c, int64_t h, int64_t w) {
    net n = {.g = cln_graph_new(ctx)};
    ck_assert_ptr_nonnull(n.g);
    n.x = cln_input(n.g, "image", 1, c, h, w);
    return n;
}

static bool ends_in(const char *text, const char *end) {
    size_t length = strlen(text), part = strlen(end);
    return length >= part && strcmp(text + length - part, end) == 0;
}

static void net_fill(net *n) {
    ok(cln_graph_status(n->g));
    n->tensors = calloc((size_t)n->g->tensor_count, sizeof *n->tensors);
    for (int i = 0; i < n->g->tensor_count; i++) {
        const cln__tensor *t = &n->g->tensors[i];
        if (t->role != CLN__PARAM && t->role != CLN__STATE)
            continue;
        cln_file_tensor *f = &n->tensors[n->count++];
        int64_t count = count_of(t->shape);
        float *values = noises((uint64_t)i, count);
        for (int64_t k = 0; k < count && ends_in(t->name, "running_var"); k++)
            values[k] = 0.5f + values[k] * values[k];
        *f = (cln_file_tensor){.name = t->name, .rank = t->rank, .count = count, .data = values};
        cln__param_axes(t, f->shape);
    }
}

static net model_new(const char *name, const char *hparams_json) {
    net n = net_new(3, 32, 32);
    void *hparams;
    const cln_model *model = cln_model_find(name);
    ok(cln_hparams_new(ctx, model, hparams_json, &hparams));
    n.y = model->build(n.g, n.x, hparams);
    free(hparams);
    net_fill(&n);
    return n;
}

static void net_free(net *n) {
    for (size_t i = 0; i < n->count; i++)
        free((void *)n->tensors[i].data);
    free(n->tensors);
    cln_graph_free(n->g);
}

static const float *values_of(const net *n, const char *name) {
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->tensors[i].name, name) == 0)
            return n->tensors[i].data;
    ck_abort_msg("no weight %s", name);
    return NULL;
}

/* --- a file read back --- */

static Onnx__ModelProto *read_model(const char *path) {
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "no %s", path);
    static uint8_t bytes[1 << 22];
    size_t size = fread(bytes, 1, sizeof bytes, file);
    ck_assert_uint_lt(size, sizeof bytes);
    fclose(file);
    Onnx__ModelProto *model = onnx__model_proto__unpack(NULL, size, bytes);
    ck_assert_ptr_nonnull(model);
    return model;
}

static Onnx__ModelProto *export_net(const net *n, const cln_onnx_options *options) {
    char *path = path_of(folder, "net.onnx");
    ok(cln_onnx_write(ctx, path, n->g, n->y, n->tensors, n->count, options));
    Onnx__ModelProto *model = read_model(path);
    ck_assert_int_eq(folder_count(folder), 1);
    free(path);
    return model;
}

static const Onnx__NodeProto *find_node(const Onnx__ModelProto *m, const char *type, int index) {
    for (size_t i = 0; i < m->graph->n_node; i++)
        if (strcmp(m->graph->node[i]->op_type, type) == 0 && index-- == 0)
            return m->graph->node[i];
    ck_abort_msg("no %s", type);
    return NULL;
}

static int count_nodes(const Onnx__ModelProto *m, const char *type) {
    int count = 0;
    for (size_t i = 0; i < m->graph->n_node; i++)
        count += strcmp(m->graph->node[i]->op_type, type) == 0;
    return count;
}

static const Onnx__AttributeProto *attribute(const Onnx__NodeProto *node, const char *name) {
    for (size_t i = 0; i < node->n_attribute; i++)
        if (strcmp(node->attribute[i]->name, name) == 0)
            return node->attribute[i];
    ck_abort_msg("%s has no attribute %s", node->op_type, name);
    return NULL;
}

static void check_int(const Onnx__NodeProto *node, const char *name, int64_t expected) {
    const Onnx__AttributeProto *a = attribute(node, name);
    ck_assert_int_eq(a->type, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    ck_assert(a->has_i);
    ck_assert_int_eq(a->i, expected);
}

static void check_float(const Onnx__NodeProto *node, const char *name, float expected) {
    const Onnx__AttributeProto *a = attribute(node, name);
    ck_assert_int_eq(a->type, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    ck_assert_float_eq(a->f, expected);
}

static void check_ints(const Onnx__NodeProto *node, const char *name, const int64_t *expected, size_t count) {
    const Onnx__AttributeProto *a = attribute(node, name);
    ck_assert_int_eq(a->type, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    ck_assert_uint_eq(a->n_ints, count);
    ck_assert_mem_eq(a->ints, expected, count * sizeof *expected);
}

static const Onnx__TensorProto *find_constant(const Onnx__ModelProto *m, const char *name) {
    for (size_t i = 0; i < m->graph->n_initializer; i++)
        if (strcmp(m->graph->initializer[i]->name, name) == 0)
            return m->graph->initializer[i];
    return NULL;
}

static float constant_at(const Onnx__TensorProto *t, size_t i) {
    const uint8_t *p = t->raw_data.data + 4 * i;
    uint32_t bits = p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Name, type and axes of a value; the batch is open. */
static void check_value(const Onnx__ValueInfoProto *v, const char *name, int32_t type, const int64_t *dims,
                        size_t rank) {
    const Onnx__TypeProto__Tensor *t = v->type->tensor_type;
    ck_assert_str_eq(v->name, name);
    ck_assert_int_eq(t->elem_type, type);
    ck_assert_uint_eq(t->shape->n_dim, rank + 1);
    ck_assert_str_eq(t->shape->dim[0]->dim_param, "batch");
    for (size_t i = 0; i < rank; i++) {
        ck_assert_int_eq(t->shape->dim[i + 1]->value_case, ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE);
        ck_assert_int_eq(t->shape->dim[i + 1]->dim_value, dims[i]);
    }
}

/* Every name is made once, before it is read; every constant is used. */
static void check_names(const Onnx__ModelProto *m) {
    const Onnx__GraphProto *g = m->graph;
    const char *made[1024];
    size_t count = 0;
    made[count++] = g->input[0]->name;
    for (size_t i = 0; i < g->n_initializer; i++)
        made[count++] = g->initializer[i]->name;
    for (size_t i = 0; i < g->n_node; i++) {
        const Onnx__NodeProto *node = g->node[i];
        for (size_t k = 0; k < node->n_input; k++) {
            size_t at = 0;
            while (at < count && strcmp(made[at], node->input[k]) != 0)
                at++;
            ck_assert_msg(at < count, "%s reads '%s', which is not made before", node->name, node->input[k]);
        }
        ck_assert_uint_eq(node->n_output, 1);
        made[count++] = node->output[0];
    }
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++)
            ck_assert_msg(strcmp(made[i], made[k]) != 0, "'%s' is made twice", made[i]);
    ck_assert_str_eq(made[count - 1], g->output[0]->name);
}

#define DIMS(...) ((const int64_t[]){__VA_ARGS__}), sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)
enum { FLOAT_TYPE = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, UINT8_TYPE = ONNX__TENSOR_PROTO__DATA_TYPE__UINT8 };

/* --- models --- */

START_TEST(every_weight_of_a_model) {
    static const struct {
        const char *model;
        int conv, norm, relu, add, concat, maxpool, avgpool;
    } cases[] = {{"ResNet", 21, 19, 19, 9, 0, 0, 0},
                 {"ResNetPreAct", 21, 20, 20, 9, 0, 0, 0},
                 {"DenseNet", 52, 52, 52, 0, 24, 0, 3},
                 {"GoogleNet", 49, 49, 49, 0, 8, 10, 0}};
    net n = model_new(cases[_i].model, NULL);
    const cln_metadata metadata[] = {{"model", cases[_i].model}, {"empty", ""}};
    Onnx__ModelProto *m = export_net(&n, &(cln_onnx_options){.metadata = metadata, .metadata_count = 2});
    ck_assert_int_eq(m->ir_version, 8);
    ck_assert_str_eq(m->producer_name, "clnet");
    ck_assert_str_eq(m->producer_version, cln_version());
    ck_assert_uint_eq(m->n_opset_import, 1);
    ck_assert_str_eq(m->opset_import[0]->domain, "");
    ck_assert_int_eq(m->opset_import[0]->version, 17);
    ck_assert_uint_eq(m->n_metadata_props, 2);
    ck_assert_str_eq(m->metadata_props[0]->value, cases[_i].model);
    ck_assert_str_eq(m->metadata_props[1]->key, "empty");
    ck_assert_uint_eq(m->graph->n_input, 1);
    ck_assert_uint_eq(m->graph->n_output, 1);
    check_value(m->graph->input[0], "input", FLOAT_TYPE, DIMS(3, 32, 32));
    check_value(m->graph->output[0], "logits", FLOAT_TYPE, DIMS(10));
    check_names(m);
    ck_assert_int_eq(count_nodes(m, "Conv"), cases[_i].conv);
    ck_assert_int_eq(count_nodes(m, "BatchNormalization"), cases[_i].norm);
    ck_assert_int_eq(count_nodes(m, "Relu"), cases[_i].relu);
    ck_assert_int_eq(count_nodes(m, "Add"), cases[_i].add);
    ck_assert_int_eq(count_nodes(m, "Concat"), cases[_i].concat);
    ck_assert_int_eq(count_nodes(m, "MaxPool"), cases[_i].maxpool);
    ck_assert_int_eq(count_nodes(m, "AveragePool"), cases[_i].avgpool);
    ck_assert_int_eq(count_nodes(m, "GlobalAveragePool"), 1);
    ck_assert_int_eq(count_nodes(m, "Gemm"), 1);
    /* The parameters, all of them and as they are. */
    ck_assert_uint_eq(m->graph->n_initializer, n.count);
    for (size_t i = 0; i < n.count; i++) {
        const cln_file_tensor *t = &n.tensors[i];
        const Onnx__TensorProto *c = find_constant(m, t->name);
        ck_assert_msg(c != NULL, "no %s", t->name);
        ck_assert_int_eq(c->data_type, FLOAT_TYPE);
        ck_assert_uint_eq(c->n_dims, (size_t)t->rank);
        ck_assert_mem_eq(c->dims, t->shape, sizeof *t->shape * (size_t)t->rank);
        ck_assert_uint_eq(c->raw_data.len, 4 * (size_t)t->count);
        int64_t wrong = 0;
        for (int64_t k = 0; k < t->count; k++)
            wrong += constant_at(c, (size_t)k) != ((const float *)t->data)[k];
        ck_assert_int_eq(wrong, 0);
    }
    onnx__model_proto__free_unpacked(m, NULL);
    net_free(&n);
}
END_TEST

START_TEST(the_same_bytes_each_time) {
    net n = model_new("ResNet", "{\"num_blocks\":[1],\"c_hidden\":[8]}");
    char *a = path_of(folder, "a.onnx"), *b = path_of(folder, "b.onnx"), command[512];
    ok(cln_onnx_write(ctx, a, n.g, n.y, n.tensors, n.count, NULL));
    ok(cln_onnx_write(ctx, b, n.g, n.y, n.tensors, n.count, NULL));
    snprintf(command, sizeof command, "cmp '%s' '%s'", a, b);
    ck_assert_int_eq(system(command), 0);
    free(a);
    free(b);
    net_free(&n);
}
END_TEST

/* --- operators --- */

START_TEST(attributes_of_convolutions_and_poolings) {
    net n = net_new(6, 20, 17);
    cln_tensor x = cln_conv2d(n.g, n.x, "odd",
                              &(cln_conv2d_options){.out_channels = 8,
                                                    .kernel_h = 3,
                                                    .kernel_w = 2,
                                                    .stride = 2,
                                                    .padding = 1,
                                                    .dilation = 3,
                                                    .groups = 2,
                                                    .bias = true});
    x = cln_maxpool(n.g, x, 3, 2, 1);
    x = cln_avgpool(n.g, x, 2, 1, 1);
    n.y = x;
    net_fill(&n);
    Onnx__ModelProto *m = export_net(&n, NULL);
    const Onnx__NodeProto *conv = find_node(m, "Conv", 0);
    ck_assert_uint_eq(conv->n_input, 3);
    ck_assert_str_eq(conv->input[0], "input");
    ck_assert_str_eq(conv->input[1], "odd.weight");
    ck_assert_str_eq(conv->input[2], "odd.bias");
    check_ints(conv, "kernel_shape", DIMS(3, 2));
    check_ints(conv, "strides", DIMS(2, 2));
    check_ints(conv, "pads", DIMS(1, 1, 1, 1));
    check_ints(conv, "dilations", DIMS(3, 3));
    check_int(conv, "group", 2);
    const Onnx__NodeProto *max = find_node(m, "MaxPool", 0), *avg = find_node(m, "AveragePool", 0);
    check_ints(max, "kernel_shape", DIMS(3, 3));
    check_ints(max, "strides", DIMS(2, 2));
    check_ints(max, "pads", DIMS(1, 1, 1, 1));
    check_int(max, "ceil_mode", 0);
    check_ints(avg, "pads", DIMS(1, 1, 1, 1));
    check_int(avg, "ceil_mode", 0);
    check_int(avg, "count_include_pad", 1);
    cln_shape s = cln_tensor_shape(n.g, n.y);
    check_value(m->graph->output[0], "logits", FLOAT_TYPE, DIMS(s.c, s.h, s.w));
    ck_assert_uint_eq(m->graph->n_value_info, 2);
    check_names(m);
    onnx__model_proto__free_unpacked(m, NULL);
    net_free(&n);
}
END_TEST

START_TEST(activations_and_dropout) {
    net n = net_new(2, 4, 4);
    cln_tensor x = n.x;
    for (int act = CLN_IDENTITY; act <= CLN_GELU; act++)
        x = cln_activate(n.g, x, (cln_activation)act);
    n.y = cln_dropout(n.g, x, 0.5f);
    net_fill(&n);
    Onnx__ModelProto *m = export_net(&n, NULL);
    static const char *const types[] = {"Relu", "LeakyRelu", "Tanh", "Div", "Erf", "Add", "Mul", "Mul", "Identity"};
    ck_assert_uint_eq(m->graph->n_node, sizeof types / sizeof *types);
    for (size_t i = 0; i < m->graph->n_node; i++)
        ck_assert_str_eq(m->graph->node[i]->op_type, types[i]);
    check_float(m->graph->node[1], "alpha", 0.01f);
    ck_assert_uint_eq(m->graph->n_initializer, 3);
    ck_assert_uint_eq(m->graph->initializer[0]->n_dims, 0);
    ck_assert_float_eq(constant_at(find_constant(m, m->graph->node[3]->input[1]), 0), 1.41421356f);
    ck_assert_float_eq(constant_at(find_constant(m, m->graph->node[5]->input[1]), 0), 1);
    ck_assert_float_eq(constant_at(find_constant(m, m->graph->node[7]->input[1]), 0), 0.5f);
    check_names(m);
    onnx__model_proto__free_unpacked(m, NULL);
    net_free(&n);
}
END_TEST

/* Flat values have two axes in ONNX and four in a graph; each operator gets what it takes. */
START_TEST(rows_and_images_are_converted) {
    net n = net_new(3, 5, 5);
    cln_conv2d_options pointwise = {.out_channels = 4, .kernel_h = 1, .kernel_w = 1};
    cln_tensor pooled = cln_global_avgpool(n.g, n.x);
    cln_tensor rows = cln_linear(n.g, pooled, "direct", 4);                     /* Flatten in front */
    cln_tensor images = cln_conv2d(n.g, rows, "back", &pointwise);              /* Unsqueeze in front */
    cln_tensor sum = cln_add(n.g, rows, images);                                /* Flatten the second */
    cln_tensor both = cln_concat(n.g, (cln_tensor[]){images, sum}, 2);          /* Unsqueeze the second */
    cln_tensor norm = cln_batchnorm(n.g, cln_flatten(n.g, both), "norm", NULL); /* of rows */
    n.y = cln_linear(n.g, cln_flatten(n.g, norm), "last", 2);
    net_fill(&n);
    Onnx__ModelProto *m = export_net(&n, NULL);
    static const char *const types[] = {
        "GlobalAveragePool", "Flatten", "Gemm",    "Unsqueeze",          "Conv",    "Flatten", "Add",
        "Unsqueeze",         "Concat",  "Flatten", "BatchNormalization", "Flatten", "Gemm"};
    ck_assert_uint_eq(m->graph->n_node, sizeof types / sizeof *types);
    for (size_t i = 0; i < m->graph->n_node; i++)
        ck_assert_str_eq(m->graph->node[i]->op_type, types[i]);
    check_int(find_node(m, "Concat", 0), "axis", 1);
    check_int(find_node(m, "Flatten", 0), "axis", 1);
    check_int(find_node(m, "Gemm", 0), "transB", 1);
    const Onnx__TensorProto *axes = find_constant(m, find_node(m, "Unsqueeze", 0)->input[1]);
    static const uint8_t two_three[16] = {2, 0, 0, 0, 0, 0, 0, 0, 3};
    ck_assert_int_eq(axes->data_type, ONNX__TENSOR_PROTO__DATA_TYPE__INT64);
    ck_assert_uint_eq(axes->n_dims, 1);
    ck_assert_uint_eq(axes->raw_data.len, 16);
    ck_assert_mem_eq(axes->raw_data.data, two_three, 16);
    check_value(m->graph->output[0], "logits", FLOAT_TYPE, DIMS(2));
    check_names(m);
    onnx__model_proto__free_unpacked(m, NULL);
    net_free(&n);
}
END_TEST

START_TEST(attributes_of_batch_normalisation) {
    net n = net_new(3, 5, 5);
    n.y = cln_batchnorm(n.g, n.x, "bn", &(cln_batchnorm_options){.eps = 0.25f, .momentum = 0.125f});
    net_fill(&n);
    Onnx__ModelProto *m = export_net(&n, NULL);
    const Onnx__NodeProto *norm = find_node(m, "BatchNormalization", 0);
    static const char *const inputs[] = {"input", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"};
    ck_assert_uint_eq(norm->n_input, 5);
    for (int i = 0; i < 5; i++)
        ck_assert_str_eq(norm->input[i], inputs[i]);
    check_float(norm, "epsilon", 0.25f);
    check_float(norm, "momentum", 0.875f);
    onnx__model_proto__free_unpacked(m, NULL);
    net_free(&n);
}
END_TEST

START_TEST(several_inputs_keep_their_names) {
    net n = net_new(3, 4, 4);
    cln_tensor other = cln_input(n.g, "other", 1, 3, 4, 4);
    cln_input(n.g, "unused", 1, 1, 1, 1);
    n.y = cln_add(n.g, other, n.x);
    net_fill(&n);
    Onnx__ModelProto *m = export_net(&n, NULL);
    ck_assert_uint_eq(m->graph->n_input, 2);
    check_value(m->graph->input[0], "image", FLOAT_TYPE, DIMS(3, 4, 4));
    check_value(m->graph->input[1], "other", FLOAT_TYPE, DIMS(3, 4, 4));
    ck_assert_str_eq(m->graph->node[0]->input[0], "other");
    ck_assert_str_eq(m->graph->node[0]->input[1], "image");
    onnx__model_proto__free_unpacked(m, NULL);
    char *path = path_of(folder, "net.onnx");
    const cln_normalization normalization = {.channels = 3, .deviation = {1, 1, 1}};
    net one = net_new(3, 4, 4);
    one.y = cln_add(one.g, cln_input(one.g, "b", 1, 3, 4, 4), one.x);
    fails(cln_onnx_write(ctx, path, one.g, one.y, NULL, 0, &(cln_onnx_options){.normalization = &normalization}),
          CLN_UNSUPPORTED, "the output depends on 2 inputs; only a single one can be normalised");
    free(path);
    net_free(&one);
    net_free(&n);
}
END_TEST

START_TEST(normalisation_of_images) {
    net n = net_new(3, 4, 4);
    n.y = cln_activate(n.g, n.x, CLN_RELU);
    net_fill(&n);
    const cln_normalization normalization = {.channels = 3, .mean = {0.5f, 0.25f, 0.125f}, .deviation = {1, 2, 3}};
    Onnx__ModelProto *m = export_net(&n, &(cln_onnx_options){.normalization = &normalization});
    static const char *const types[] = {"Cast", "Div", "Sub", "Div", "Relu"};
    ck_assert_uint_eq(m->graph->n_node, 5);
    for (int i = 0; i < 5; i++)
        ck_assert_str_eq(m->graph->node[i]->op_type, types[i]);
    check_value(m->graph->input[0], "input", UINT8_TYPE, DIMS(3, 4, 4));
    check_int(m->graph->node[0], "to", FLOAT_TYPE);
    ck_assert_float_eq(constant_at(find_constant(m, m->graph->node[1]->input[1]), 0), 255);
    const Onnx__TensorProto *mean = find_constant(m, m->graph->node[2]->input[1]);
    const Onnx__TensorProto *deviation = find_constant(m, m->graph->node[3]->input[1]);
    ck_assert_uint_eq(mean->n_dims, 3);
    ck_assert_mem_eq(mean->dims, ((const int64_t[]){3, 1, 1}), 3 * sizeof(int64_t));
    for (size_t i = 0; i < 3; i++) {
        ck_assert_float_eq(constant_at(mean, i), normalization.mean[i]);
        ck_assert_float_eq(constant_at(deviation, i), normalization.deviation[i]);
    }
    check_names(m);
    onnx__model_proto__free_unpacked(m, NULL);
    char *path = path_of(folder, "net.onnx");
    const cln_normalization grey = {.channels = 1, .deviation = {1}};
    fails(cln_onnx_write(ctx, path, n.g, n.y, NULL, 0, &(cln_onnx_options){.normalization = &grey}),
          CLN_INVALID_ARGUMENT, "the normalisation is for 1 channels, the input 'image' has 3");
    free(path);
    net_free(&n);
}
END_TEST

/* --- folding --- */

/* conv "a" (with groups, no bias) and "b" (a bias) take up their normalisations; those of "c" (read twice), "d" (the
 * output) and the one in front of all stay. */
START_TEST(folded_batch_normalisation) {
    net n = net_new(4, 6, 6);
    cln_conv2d_options grouped = {.out_channels = 4, .kernel_h = 3, .kernel_w = 3, .padding = 1, .groups = 2};
    cln_conv2d_options biased = {.out_channels = 4, .kernel_h = 1, .kernel_w = 1, .bias = true};
    const cln_batchnorm_options eps = {.eps = 0.5f};
    cln_tensor x = cln_batchnorm(n.g, n.x, "front", NULL);
    x = cln_batchnorm(n.g, cln_conv2d(n.g, x, "a", &grouped), "a_norm", &eps);
    x = cln_batchnorm(n.g, cln_conv2d(n.g, x, "b", &biased), "b_norm", NULL);
    cln_tensor c = cln_conv2d(n.g, x, "c", &biased);
    x = cln_add(n.g, cln_batchnorm(n.g, c, "c_norm", NULL), c);
    cln_tensor d = cln_conv2d(n.g, x, "d", &biased);
    cln_batchnorm(n.g, d, "beyond", NULL);
    n.y = d;
    net_fill(&n);
    Onnx__ModelProto *m = export_net(&n, &(cln_onnx_options){.fold_batchnorm = true});
    ck_assert_int_eq(count_nodes(m, "Conv"), 4);
    ck_assert_int_eq(count_nodes(m, "BatchNormalization"), 2);
    ck_assert_str_eq(find_node(m, "BatchNormalization", 0)->input[1], "front.weight");
    ck_assert_str_eq(find_node(m, "BatchNormalization", 1)->input[1], "c_norm.weight");
    ck_assert_ptr_null(find_constant(m, "a_norm.weight"));
    static const struct {
        const char *name;
        double eps;
        int64_t taps;
        bool bias;
    } folded[] = {{"a", 0.5, 18, false}, {"b", 1e-5, 4, true}};
    for (int i = 0; i < 2; i++) {
        char weight[32], bias[32], gamma[32], beta[32], mean[32], var[32];
        const char *name = folded[i].name;
        snprintf(weight, sizeof weight, "%s.weight", name);
        snprintf(bias, sizeof bias, "%s.bias", name);
        snprintf(gamma, sizeof gamma, "%s_norm.weight", name);
        snprintf(beta, sizeof beta, "%s_norm.bias", name);
        snprintf(mean, sizeof mean, "%s_norm.running_mean", name);
        snprintf(var, sizeof var, "%s_norm.running_var", name);
        const Onnx__TensorProto *w = find_constant(m, weight), *b = find_constant(m, bias);
        ck_assert(w && b);
        ck_assert_uint_eq(b->n_dims, 1);
        ck_assert_int_eq(b->dims[0], 4);
        for (int c_out = 0; c_out < 4; c_out++) {
            double factor = (double)values_of(&n, gamma)[c_out] /
                            sqrt((double)values_of(&n, var)[c_out] + (double)(float)folded[i].eps);
            double old = folded[i].bias ? (double)values_of(&n, bias)[c_out] : 0;
            double expected = factor * (old - (double)values_of(&n, mean)[c_out]) + (double)values_of(&n, beta)[c_out];
            ck_assert_float_eq(constant_at(b, (size_t)c_out), (float)expected);
            for (int64_t k = c_out * folded[i].taps; k < (c_out + 1) * folded[i].taps; k++)
                ck_assert_float_eq(constant_at(w, (size_t)k), (float)(factor * (double)values_of(&n, weight)[k]));
        }
    }
    check_names(m);
    onnx__model_proto__free_unpacked(m, NULL);
    /* The caller's graph is as it was. */
    m = export_net(&n, NULL);
    ck_assert_int_eq(count_nodes(m, "BatchNormalization"), 4);
    onnx__model_proto__free_unpacked(m, NULL);
    net_free(&n);
}
END_TEST

START_TEST(folded_models) {
    static const struct {
        const char *model;
        int left;
    } cases[] = {{"ResNet", 0}, {"ResNetPreAct", 11}, {"DenseNet", 28}, {"GoogleNet", 0}};
    net n = model_new(cases[_i].model, NULL);
    Onnx__ModelProto *m = export_net(&n, &(cln_onnx_options){.fold_batchnorm = true});
    ck_assert_int_eq(count_nodes(m, "BatchNormalization"), cases[_i].left);
    check_names(m);
    onnx__model_proto__free_unpacked(m, NULL);
    net_free(&n);
}
END_TEST

/* --- what is refused --- */

START_TEST(refused_graphs) {
    net n = model_new("ResNet", "{\"num_blocks\":[1],\"c_hidden\":[8]}");
    char *path = path_of(folder, "net.onnx");
    cln_tensor label = cln_labels(n.g, "label", 1), logits = n.y;
    cln_tensor loss = cln_softmax_ce(n.g, logits, label, 0), correct = cln_accuracy(n.g, logits, label);
    cln_tensor other = cln_input(n.g, "logits", 1, 3, 32, 32), sum = cln_add(n.g, n.x, other);
    cln_tensor act = cln_activate(n.g, cln_softmax_ce(n.g, logits, label, 0), CLN_RELU);
    const struct {
        cln_tensor output;
        cln_status status;
        const char *message;
    } cases[] = {{loss, CLN_UNSUPPORTED, "the output depends on the labels 'label'; it may depend on images only"},
                 {correct, CLN_UNSUPPORTED, "depends on the labels 'label'"},
                 {act, CLN_UNSUPPORTED, "depends on the labels 'label'"},
                 {sum, CLN_INVALID_ARGUMENT, "two values would be called 'logits': rename an input"},
                 {n.x, CLN_INVALID_ARGUMENT, "the output is the input itself"},
                 {cln__find_tensor(n.g, "output_net.2.bias"), CLN_INVALID_ARGUMENT, "does not depend on any input"},
                 {CLN_NO_TENSOR, CLN_INVALID_ARGUMENT, "the output is not a tensor of the graph"}};
    ok(cln_graph_status(n.g));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        fails(cln_onnx_write(ctx, path, n.g, cases[i].output, n.tensors, n.count, NULL), cases[i].status,
              cases[i].message);
    /* The logits of a graph with a loss are fine. */
    ok(cln_onnx_write(ctx, path, n.g, logits, n.tensors, n.count, NULL));
    cln_graph_fail(n.g, "broken");
    fails(cln_onnx_write(ctx, path, n.g, logits, n.tensors, n.count, NULL), CLN_INVALID_ARGUMENT, "broken");
    free(path);
    net_free(&n);
}
END_TEST

/* An operator that users cannot add, but plans do. */
START_TEST(operators_without_a_counterpart) {
    net n = net_new(2, 4, 4);
    static const cln__op op = {.name = "wavelet", .outputs = 1};
    char *path = path_of(folder, "net.onnx");
    n.y = cln_activate(n.g, cln__node_add(n.g, &op, "waves", NULL, &n.x, 1), CLN_RELU);
    net_fill(&n);
    fails(cln_onnx_write(ctx, path, n.g, n.y, NULL, 0, NULL), CLN_UNSUPPORTED,
          "export to ONNX: layer 'waves' is a wavelet, which has no counterpart there");
    ck_assert_int_eq(folder_count(folder), 0);
    free(path);
    net_free(&n);
}
END_TEST

START_TEST(weights_of_another_network) {
    net n = model_new("ResNet", "{\"num_blocks\":[1],\"c_hidden\":[8]}");
    char *path = path_of(folder, "net");
    cln_file_tensor more[64];
    ck_assert_uint_lt(n.count, 63);
    memcpy(more, n.tensors, n.count * sizeof *more);
    more[n.count] = (cln_file_tensor){.name = "extra", .rank = 1, .shape = {1}, .count = 1, .data = &n};
    for (int i = 0; i < 2; i++) {
#define WRITE(tensors, count)                                                                                          \
    (i ? cln_weights_write(ctx, path, n.g, tensors, count, CLN_F32, NULL, 0)                                           \
       : cln_onnx_write(ctx, path, n.g, n.y, tensors, count, NULL))
        fails(WRITE(n.tensors, n.count - 1), CLN_INVALID_FILE, "it has no tensor 'output_net.2.bias'");
        fails(WRITE(more, n.count + 1), CLN_INVALID_FILE, "it has a tensor 'extra' that the network lacks");
        more[n.count].name = "input_net.1.num_batches_tracked";
        ok(WRITE(more, n.count + 1));
        more[n.count].name = "extra";
        more[0].shape[0] = 9;
        fails(WRITE(more, n.count), CLN_INVALID_FILE,
              "tensor 'input_net.0.weight' has shape [9x3x3x3], the network expects [8x3x3x3]");
        more[0].shape[0] = 8;
    }
    free(path);
    net_free(&n);
}
END_TEST

/* The limit is found before the numbers are looked at, so there need not be as many. */
START_TEST(two_gibibytes_are_too_many) {
    net n = net_new(1 << 20, 1, 1);
    float number = 0;
    n.y = cln_linear(n.g, n.x, "huge", 512);
    ok(cln_graph_status(n.g));
    const cln_file_tensor tensors[] = {
        {.name = "huge.weight", .rank = 2, .shape = {512, 1 << 20}, .count = (int64_t)512 << 20, .data = &number},
        {.name = "huge.bias", .rank = 1, .shape = {512}, .count = 512, .data = &number}};
    char *path = path_of(folder, "net.onnx");
    fails(cln_onnx_write(ctx, path, n.g, n.y, tensors, 2, NULL), CLN_UNSUPPORTED,
          "the weights up to 'huge.weight' have 2147483648 bytes, an ONNX file holds at most 2147483647");
    free(path);
    net_free(&n);
}
END_TEST

START_TEST(a_failed_write_leaves_the_old_file) {
    net n = model_new("ResNet", "{\"num_blocks\":[1],\"c_hidden\":[8]}");
    char *path = path_of(folder, "net.onnx"), *nowhere = path_of(folder, "nowhere/net.onnx");
    ok(cln_onnx_write(ctx, path, n.g, n.y, n.tensors, n.count, NULL));
    file_limit(1000);
    cln_status status = cln_onnx_write(ctx, path, n.g, n.y, n.tensors, n.count, NULL);
    file_limit(0);
    fails(status, CLN_IO, "cannot write");
    Onnx__ModelProto *m = read_model(path);
    ck_assert_int_eq(count_nodes(m, "Gemm"), 1);
    ck_assert_int_eq(folder_count(folder), 1);
    onnx__model_proto__free_unpacked(m, NULL);
    fails(cln_onnx_write(ctx, nowhere, n.g, n.y, n.tensors, n.count, NULL), CLN_IO, "nowhere/net.onnx");
    fails(cln_onnx_write(ctx, folder, n.g, n.y, n.tensors, n.count, NULL), CLN_IO, "cannot put the new file in place");
    free(path);
    free(nowhere);
    net_free(&n);
}
END_TEST

/* --- from file to file --- */

#define TINY                                                                                                           \
    "{\"num_classes\":10,\"in_channels\":3,\"num_blocks\":[1],\"c_hidden\":[8],\"act_fn_name\":\"gelu\",\"block_"      \
    "name\":\"ResNetBlock\"}"
#define NORMALIZATION "{\"mean\":[0.5,0.25,0.125],\"deviation\":[1,2,4]}"

static cln_export_options options_of(const char *weights, const char *out) {
    cln_export_options o = {.weights = weights, .out = out, .dtype = CLN_F32};
    o.models = cln_models(&o.model_count);
    return o;
}

static char *write_weights(const net *n, const cln_metadata *metadata, size_t count) {
    char *path = path_of(folder, "in.safetensors");
    ok(cln_safetensors_write(ctx, path, n->tensors, n->count, metadata, count));
    return path;
}

START_TEST(weights_to_weights) {
    static const cln_dtype dtypes[] = {CLN_F32, CLN_F16, CLN_BF16};
    net n = model_new("ResNet", TINY);
    const cln_metadata metadata[] = {
        {"library", "clnet 0.0.1"},       {"model", "ResNet"},        {"hparams", TINY}, {"image_shape", "[3,16,24]"},
        {"normalization", NORMALIZATION}, {"class_names", "[\"a\"]"}, {"seed", "7"},     {"choices", "[]"}};
    char *in = write_weights(&n, metadata, sizeof metadata / sizeof *metadata),
         *out = path_of(folder, "out.safetensors");
    cln_export_options o = options_of(in, out);
    cln_export_result result;
    cln_safetensors *file;
    o.dtype = dtypes[_i];
    ok(cln_export(ctx, &o, &result));
    ok(cln_safetensors_read(ctx, out, &file));
    ck_assert_str_eq(result.model->name, "ResNet");
    ck_assert_int_eq(result.parameters, cln_graph_parameters(n.g));
    ck_assert_int_eq(result.input.h, 16);
    ck_assert_int_eq(result.input.w, 24);
    ck_assert_int_eq(result.output.c, 10);
    ck_assert_str_eq(cln_safetensors_metadata(file, "format"), "pt");
    ck_assert_str_ne(cln_safetensors_metadata(file, "library"), "clnet 0.0.1");
    for (size_t i = 1; i < 7; i++)
        ck_assert_str_eq(cln_safetensors_metadata(file, metadata[i].key), metadata[i].value);
    ck_assert_ptr_null(cln_safetensors_metadata(file, "choices"));
    ck_assert_uint_eq(cln_safetensors_count(file), n.count);
    for (size_t i = 0; i < n.count; i++) {
        const cln_file_tensor *from = &n.tensors[i], *to = cln_safetensors_at(file, i);
        ck_assert_str_eq(to->name, from->name);
        ck_assert_int_eq(to->dtype, o.dtype);
        ck_assert_int_eq(to->rank, from->rank);
        ck_assert_mem_eq(to->shape, from->shape, sizeof *to->shape * (size_t)to->rank);
        uint8_t *rounded = malloc((size_t)from->count * 4);
        cln_floats_to_dtype(from->data, from->count, o.dtype, rounded);
        ck_assert_mem_eq(to->data, rounded, (size_t)from->count * cln_dtype_size(o.dtype));
        free(rounded);
    }
    cln_safetensors_free(file);
    free(in);
    free(out);
    net_free(&n);
}
END_TEST

static const char *property(const Onnx__ModelProto *m, const char *key) {
    for (size_t i = 0; i < m->n_metadata_props; i++)
        if (strcmp(m->metadata_props[i]->key, key) == 0)
            return m->metadata_props[i]->value;
    return NULL;
}

START_TEST(weights_to_onnx) {
    net n = model_new("ResNet", TINY);
    const cln_metadata metadata[] = {{"model", "ResNet"},
                                     {"hparams", TINY},
                                     {"normalization", NORMALIZATION},
                                     {"class_names", "[\"a\"]"},
                                     {"seed", "7"}};
    char *in = write_weights(&n, metadata, 5), *out = path_of(folder, "out.onnx");
    cln_export_options o = options_of(in, out);
    cln_export_result result;
    o.format = CLN_EXPORT_ONNX;
    o.with_normalization = o.fold_batchnorm = true;
    o.image_height = 40;
    o.image_width = 24;
    ok(cln_export(ctx, &o, &result));
    Onnx__ModelProto *m = read_model(out);
    check_value(m->graph->input[0], "input", UINT8_TYPE, DIMS(3, 40, 24));
    ck_assert_int_eq(count_nodes(m, "BatchNormalization"), 0);
    ck_assert_int_eq(count_nodes(m, "Erf"), 3);
    ck_assert_str_eq(property(m, "model"), "ResNet");
    ck_assert_str_eq(property(m, "hparams"), TINY);
    ck_assert_str_eq(property(m, "image_shape"), "[3,40,24]");
    ck_assert_str_eq(property(m, "normalization"), NORMALIZATION);
    ck_assert_str_eq(property(m, "class_names"), "[\"a\"]");
    ck_assert_ptr_nonnull(strstr(property(m, "library"), cln_version()));
    ck_assert_ptr_null(property(m, "seed"));
    onnx__model_proto__free_unpacked(m, NULL);
    o.normalize = "0.1,0.2,0.3/1,1,1";
    ok(cln_export(ctx, &o, &result));
    m = read_model(out);
    ck_assert_str_eq(property(m, "normalization"), "{\"mean\":[0.1,0.2,0.3],\"deviation\":[1,1,1]}");
    onnx__model_proto__free_unpacked(m, NULL);
    o.normalize = "dataset";
    fails(cln_export(ctx, &o, &result), CLN_INVALID_ARGUMENT, "it cannot be computed without a training set");
    free(in);
    free(out);
    net_free(&n);
}
END_TEST

/* A state to resume from has the optimiser's moments too; without "progress" such names are no business of ours. */
START_TEST(states_to_resume_from) {
    net n = model_new("ResNet", TINY);
    const cln_metadata metadata[] = {{"model", "ResNet"}, {"hparams", TINY}, {"progress", "{}"}};
    cln_file_tensor more[64];
    memcpy(more, n.tensors, n.count * sizeof *more);
    more[n.count] = n.tensors[0];
    more[n.count].name = "optimizer.moment1.input_net.0.weight";
    char *in = path_of(folder, "in.safetensors"), *out = path_of(folder, "out.safetensors");
    cln_export_options o = options_of(in, out);
    cln_export_result result;
    for (int format = 0; format < 2; format++) {
        o.format = format ? CLN_EXPORT_ONNX : CLN_EXPORT_SAFETENSORS;
        ok(cln_safetensors_write(ctx, in, more, n.count + 1, metadata, 3));
        ok(cln_export(ctx, &o, &result));
        ok(cln_safetensors_write(ctx, in, more, n.count + 1, metadata, 2));
        fails(cln_export(ctx, &o, &result), CLN_INVALID_FILE, "that the network lacks");
    }
    free(in);
    free(out);
    net_free(&n);
}
END_TEST

START_TEST(refused_files) {
    net n = model_new("ResNet", TINY);
    float *values = (float *)n.tensors[0].data;
    const cln_metadata metadata[] = {{"hparams", TINY}, {"model", "ResNet"}};
    char *in = write_weights(&n, metadata, 1), *out = path_of(folder, "out.safetensors");
    cln_export_options o = options_of(in, out);
    cln_export_result result;
    fails(cln_export(ctx, &o, &result), CLN_INVALID_FILE, "its metadata names no model; say which one");
    o.model = cln_model_find("DenseNet");
    fails(cln_export(ctx, &o, &result), CLN_INVALID_FILE, "weights of another network: ");
    o.model = cln_model_find("ResNet");
    o.hparams = TINY;
    ok(cln_export(ctx, &o, &result));
    o.dtype = CLN_I8;
    fails(cln_export(ctx, &o, &result), CLN_INVALID_ARGUMENT, "weights are written as F32, F16 or BF16, not I8");
    o.dtype = CLN_F16;
    values[5] = 65520;
    free(in);
    in = write_weights(&n, metadata, 2);
    o.model = NULL;
    o.weights = in;
    fails(cln_export(ctx, &o, &result), CLN_INVALID_ARGUMENT,
          "tensor 'input_net.0.weight' holds 65520, which is too large for F16");
    values[5] = INFINITY; /* is in F16 what it was */
    free(write_weights(&n, metadata, 2));
    ok(cln_export(ctx, &o, &result));
    o.with_normalization = true;
    o.format = CLN_EXPORT_ONNX;
    fails(cln_export(ctx, &o, &result), CLN_INVALID_FILE, "it does not say how its images are normalised; say it");
    o.out = in;
    fails(cln_export(ctx, &o, &result), CLN_INVALID_ARGUMENT, "cannot be exported to itself");
    char *roundabout = path_of(folder, "../x"), *end = strrchr(folder, '/') + 1;
    free(roundabout);
    roundabout = malloc(strlen(folder) * 2 + 32);
    sprintf(roundabout, "%s/../%s/in.safetensors", folder, end);
    o.out = roundabout;
    fails(cln_export(ctx, &o, &result), CLN_INVALID_ARGUMENT, "cannot be exported to itself");
    free(roundabout);
    o.weights = NULL;
    fails(cln_export(ctx, &o, &result), CLN_INVALID_ARGUMENT, "needs a file of weights");
    free(in);
    free(out);
    net_free(&n);
}
END_TEST

/* The published checkpoints, where they are there: all their numbers arrive. */
START_TEST(published_checkpoints) {
    static const char *const names[] = {"ResNet", "ResNetPreAct", "DenseNet", "GoogleNet"};
    char name[64];
    snprintf(name, sizeof name, "pretrained/%s.ckpt", names[_i]);
    char *in = shared_path(name, "the export of published checkpoints");
    if (!in)
        return;
    char *out = path_of(folder, "out.safetensors");
    cln_export_options o = options_of(in, out);
    cln_export_result result;
    cln_weights_file *from;
    cln_safetensors *to;
    ok(cln_export(ctx, &o, &result));
    ok(cln_weights_file_read(ctx, in, &from));
    ok(cln_safetensors_read(ctx, out, &to));
    ck_assert_str_eq(cln_safetensors_metadata(to, "model"), names[_i]);
    ck_assert_str_eq(cln_safetensors_metadata(to, "image_shape"), "[3,32,32]");
    ck_assert_ptr_nonnull(cln_safetensors_metadata(to, "normalization"));
    ck_assert_ptr_nonnull(cln_safetensors_metadata(to, "epoch"));
    size_t compared = 0;
    for (size_t i = 0; i < cln_weights_file_count(from); i++) {
        const cln_file_tensor *a = cln_weights_file_at(from, i), *b = cln_safetensors_find(to, a->name);
        if (ends_in(a->name, "num_batches_tracked"))
            continue;
        ck_assert_msg(b != NULL, "no %s", a->name);
        ck_assert_int_eq(b->count, a->count);
        ck_assert_mem_eq(b->data, a->data, (size_t)a->count * sizeof(float));
        compared++;
    }
    ck_assert_uint_eq(compared, cln_safetensors_count(to));
    cln_safetensors_free(to);
    cln_weights_file_free(from);
    free(out);
    free(in);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, every_weight_of_a_model, 0, 4);
    tcase_add_test(tests, the_same_bytes_each_time);
    tcase_add_test(tests, attributes_of_convolutions_and_poolings);
    tcase_add_test(tests, activations_and_dropout);
    tcase_add_test(tests, rows_and_images_are_converted);
    tcase_add_test(tests, attributes_of_batch_normalisation);
    tcase_add_test(tests, several_inputs_keep_their_names);
    tcase_add_test(tests, normalisation_of_images);
    tcase_add_test(tests, folded_batch_normalisation);
    tcase_add_loop_test(tests, folded_models, 0, 4);
    tcase_add_test(tests, refused_graphs);
    tcase_add_test(tests, operators_without_a_counterpart);
    tcase_add_test(tests, weights_of_another_network);
    tcase_add_test(tests, two_gibibytes_are_too_many);
    tcase_add_test(tests, a_failed_write_leaves_the_old_file);
    tcase_add_loop_test(tests, weights_to_weights, 0, 3);
    tcase_add_test(tests, weights_to_onnx);
    tcase_add_test(tests, states_to_resume_from);
    tcase_add_test(tests, refused_files);
    tcase_add_loop_test(tests, published_checkpoints, 0, 4);
}

int main(void) {
    return suite_run("export", add_tests);
}
