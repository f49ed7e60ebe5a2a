/* ONNX models without a device: node by node and number by number, and what is refused. That other programs compute the
 * same from them is test_slow_export.c's to show. */
#include "clnet/export.h"
#include "files.h"
#include "nets.h"
#include "onnx_file.h"
#include "suite.h"

#include <math.h>
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

static Onnx__ModelProto *export_net(const net *n, const cln_onnx_options *options) {
    char *path = path_of(folder, "net.onnx");
    ok(cln_onnx_write(ctx, path, n->g, n->y, n->tensors, n->count, options));
    Onnx__ModelProto *model = onnx_read(path);
    ck_assert_int_eq(folder_count(folder), 1);
    free(path);
    return model;
}

/* --- models --- */

START_TEST(every_weight_of_a_model) {
    static const struct {
        const char *model;
        int conv, norm, relu, add, concat, maxpool, avgpool;
    } cases[] = {{"ResNet", 21, 19, 19, 9, 0, 0, 0},
                 {"ResNetPreAct", 21, 20, 20, 9, 0, 0, 0},
                 {"DenseNet", 52, 52, 52, 0, 24, 0, 3},
                 {"GoogleNet", 49, 49, 49, 0, 8, 10, 0}};
    net n = net_model(cases[_i].model, NULL);
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
    onnx_check_value(m->graph->input[0], "input", FLOAT_TYPE, DIMS(3, 32, 32));
    onnx_check_value(m->graph->output[0], "logits", FLOAT_TYPE, DIMS(10));
    onnx_check_names(m);
    ck_assert_int_eq(onnx_count(m, "Conv"), cases[_i].conv);
    ck_assert_int_eq(onnx_count(m, "BatchNormalization"), cases[_i].norm);
    ck_assert_int_eq(onnx_count(m, "Relu"), cases[_i].relu);
    ck_assert_int_eq(onnx_count(m, "Add"), cases[_i].add);
    ck_assert_int_eq(onnx_count(m, "Concat"), cases[_i].concat);
    ck_assert_int_eq(onnx_count(m, "MaxPool"), cases[_i].maxpool);
    ck_assert_int_eq(onnx_count(m, "AveragePool"), cases[_i].avgpool);
    ck_assert_int_eq(onnx_count(m, "GlobalAveragePool"), 1);
    ck_assert_int_eq(onnx_count(m, "Gemm"), 1);
    /* The parameters, all of them and as they are. */
    ck_assert_uint_eq(m->graph->n_initializer, n.count);
    for (size_t i = 0; i < n.count; i++) {
        const cln_file_tensor *t = &n.tensors[i];
        const Onnx__TensorProto *c = onnx_constant(m, t->name);
        ck_assert_msg(c != NULL, "no %s", t->name);
        ck_assert_int_eq(c->data_type, FLOAT_TYPE);
        ck_assert_uint_eq(c->n_dims, (size_t)t->rank);
        ck_assert_mem_eq(c->dims, t->shape, sizeof *t->shape * (size_t)t->rank);
        ck_assert_uint_eq(c->raw_data.len, 4 * (size_t)t->count);
        int64_t wrong = 0;
        for (int64_t k = 0; k < t->count; k++)
            wrong += onnx_constant_at(c, (size_t)k) != ((const float *)t->data)[k];
        ck_assert_int_eq(wrong, 0);
    }
    onnx__model_proto__free_unpacked(m, NULL);
    net_free(&n);
}
END_TEST

START_TEST(the_same_bytes_each_time) {
    net n = net_model("ResNet", "{\"num_blocks\":[1],\"c_hidden\":[8]}");
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
    const Onnx__NodeProto *conv = onnx_node(m, "Conv", 0);
    ck_assert_uint_eq(conv->n_input, 3);
    ck_assert_str_eq(conv->input[0], "input");
    ck_assert_str_eq(conv->input[1], "odd.weight");
    ck_assert_str_eq(conv->input[2], "odd.bias");
    onnx_check_ints(conv, "kernel_shape", DIMS(3, 2));
    onnx_check_ints(conv, "strides", DIMS(2, 2));
    onnx_check_ints(conv, "pads", DIMS(1, 1, 1, 1));
    onnx_check_ints(conv, "dilations", DIMS(3, 3));
    onnx_check_int(conv, "group", 2);
    const Onnx__NodeProto *max = onnx_node(m, "MaxPool", 0), *avg = onnx_node(m, "AveragePool", 0);
    onnx_check_ints(max, "kernel_shape", DIMS(3, 3));
    onnx_check_ints(max, "strides", DIMS(2, 2));
    onnx_check_ints(max, "pads", DIMS(1, 1, 1, 1));
    onnx_check_int(max, "ceil_mode", 0);
    onnx_check_ints(avg, "pads", DIMS(1, 1, 1, 1));
    onnx_check_int(avg, "ceil_mode", 0);
    onnx_check_int(avg, "count_include_pad", 1);
    cln_shape s = cln_tensor_shape(n.g, n.y);
    onnx_check_value(m->graph->output[0], "logits", FLOAT_TYPE, DIMS(s.c, s.h, s.w));
    ck_assert_uint_eq(m->graph->n_value_info, 2);
    onnx_check_names(m);
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
    onnx_check_float(m->graph->node[1], "alpha", 0.01f);
    ck_assert_uint_eq(m->graph->n_initializer, 3);
    ck_assert_uint_eq(m->graph->initializer[0]->n_dims, 0);
    ck_assert_float_eq(onnx_constant_at(onnx_constant(m, m->graph->node[3]->input[1]), 0), 1.41421356f);
    ck_assert_float_eq(onnx_constant_at(onnx_constant(m, m->graph->node[5]->input[1]), 0), 1);
    ck_assert_float_eq(onnx_constant_at(onnx_constant(m, m->graph->node[7]->input[1]), 0), 0.5f);
    onnx_check_names(m);
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
    onnx_check_int(onnx_node(m, "Concat", 0), "axis", 1);
    onnx_check_int(onnx_node(m, "Flatten", 0), "axis", 1);
    onnx_check_int(onnx_node(m, "Gemm", 0), "transB", 1);
    const Onnx__TensorProto *axes = onnx_constant(m, onnx_node(m, "Unsqueeze", 0)->input[1]);
    static const uint8_t two_three[16] = {2, 0, 0, 0, 0, 0, 0, 0, 3};
    ck_assert_int_eq(axes->data_type, ONNX__TENSOR_PROTO__DATA_TYPE__INT64);
    ck_assert_uint_eq(axes->n_dims, 1);
    ck_assert_uint_eq(axes->raw_data.len, 16);
    ck_assert_mem_eq(axes->raw_data.data, two_three, 16);
    onnx_check_value(m->graph->output[0], "logits", FLOAT_TYPE, DIMS(2));
    onnx_check_names(m);
    onnx__model_proto__free_unpacked(m, NULL);
    net_free(&n);
}
END_TEST

START_TEST(attributes_of_batch_normalisation) {
    net n = net_new(3, 5, 5);
    n.y = cln_batchnorm(n.g, n.x, "bn", &(cln_batchnorm_options){.eps = 0.25f, .momentum = 0.125f});
    net_fill(&n);
    Onnx__ModelProto *m = export_net(&n, NULL);
    const Onnx__NodeProto *norm = onnx_node(m, "BatchNormalization", 0);
    static const char *const inputs[] = {"input", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"};
    ck_assert_uint_eq(norm->n_input, 5);
    for (int i = 0; i < 5; i++)
        ck_assert_str_eq(norm->input[i], inputs[i]);
    onnx_check_float(norm, "epsilon", 0.25f);
    onnx_check_float(norm, "momentum", 0.875f);
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
    onnx_check_value(m->graph->input[0], "image", FLOAT_TYPE, DIMS(3, 4, 4));
    onnx_check_value(m->graph->input[1], "other", FLOAT_TYPE, DIMS(3, 4, 4));
    ck_assert_str_eq(m->graph->node[0]->input[0], "other");
    ck_assert_str_eq(m->graph->node[0]->input[1], "image");
    onnx__model_proto__free_unpacked(m, NULL);
    char *path = path_of(folder, "net.onnx");
    const cln_normalization normalization = {.channels = 3, .deviation = {1, 1, 1}};
    net one = net_new(3, 4, 4);
    one.y = cln_add(one.g, cln_input(one.g, "b", 1, 3, 4, 4), one.x);
    expect_status(
        cln_onnx_write(ctx, path, one.g, one.y, NULL, 0, &(cln_onnx_options){.normalization = &normalization}),
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
    onnx_check_value(m->graph->input[0], "input", UINT8_TYPE, DIMS(3, 4, 4));
    onnx_check_int(m->graph->node[0], "to", FLOAT_TYPE);
    ck_assert_float_eq(onnx_constant_at(onnx_constant(m, m->graph->node[1]->input[1]), 0), 255);
    const Onnx__TensorProto *mean = onnx_constant(m, m->graph->node[2]->input[1]);
    const Onnx__TensorProto *deviation = onnx_constant(m, m->graph->node[3]->input[1]);
    ck_assert_uint_eq(mean->n_dims, 3);
    ck_assert_mem_eq(mean->dims, ((const int64_t[]){3, 1, 1}), 3 * sizeof(int64_t));
    for (size_t i = 0; i < 3; i++) {
        ck_assert_float_eq(onnx_constant_at(mean, i), normalization.mean[i]);
        ck_assert_float_eq(onnx_constant_at(deviation, i), normalization.deviation[i]);
    }
    onnx_check_names(m);
    onnx__model_proto__free_unpacked(m, NULL);
    char *path = path_of(folder, "net.onnx");
    const cln_normalization grey = {.channels = 1, .deviation = {1}};
    expect_status(cln_onnx_write(ctx, path, n.g, n.y, NULL, 0, &(cln_onnx_options){.normalization = &grey}),
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
    ck_assert_int_eq(onnx_count(m, "Conv"), 4);
    ck_assert_int_eq(onnx_count(m, "BatchNormalization"), 2);
    ck_assert_str_eq(onnx_node(m, "BatchNormalization", 0)->input[1], "front.weight");
    ck_assert_str_eq(onnx_node(m, "BatchNormalization", 1)->input[1], "c_norm.weight");
    ck_assert_ptr_null(onnx_constant(m, "a_norm.weight"));
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
        const Onnx__TensorProto *w = onnx_constant(m, weight), *b = onnx_constant(m, bias);
        ck_assert(w && b);
        ck_assert_uint_eq(b->n_dims, 1);
        ck_assert_int_eq(b->dims[0], 4);
        for (int c_out = 0; c_out < 4; c_out++) {
            double factor = (double)net_values(&n, gamma)[c_out] /
                            sqrt((double)net_values(&n, var)[c_out] + (double)(float)folded[i].eps);
            double old = folded[i].bias ? (double)net_values(&n, bias)[c_out] : 0;
            double expected =
                factor * (old - (double)net_values(&n, mean)[c_out]) + (double)net_values(&n, beta)[c_out];
            ck_assert_float_eq(onnx_constant_at(b, (size_t)c_out), (float)expected);
            for (int64_t k = c_out * folded[i].taps; k < (c_out + 1) * folded[i].taps; k++)
                ck_assert_float_eq(onnx_constant_at(w, (size_t)k), (float)(factor * (double)net_values(&n, weight)[k]));
        }
    }
    onnx_check_names(m);
    onnx__model_proto__free_unpacked(m, NULL);
    /* The caller's graph is as it was. */
    m = export_net(&n, NULL);
    ck_assert_int_eq(onnx_count(m, "BatchNormalization"), 4);
    onnx__model_proto__free_unpacked(m, NULL);
    net_free(&n);
}
END_TEST

START_TEST(folded_models) {
    static const struct {
        const char *model;
        int left;
    } cases[] = {{"ResNet", 0}, {"ResNetPreAct", 11}, {"DenseNet", 28}, {"GoogleNet", 0}};
    net n = net_model(cases[_i].model, NULL);
    Onnx__ModelProto *m = export_net(&n, &(cln_onnx_options){.fold_batchnorm = true});
    ck_assert_int_eq(onnx_count(m, "BatchNormalization"), cases[_i].left);
    onnx_check_names(m);
    onnx__model_proto__free_unpacked(m, NULL);
    net_free(&n);
}
END_TEST

/* --- what is refused --- */

START_TEST(refused_graphs) {
    net n = net_model("ResNet", "{\"num_blocks\":[1],\"c_hidden\":[8]}");
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
        expect_status(cln_onnx_write(ctx, path, n.g, cases[i].output, n.tensors, n.count, NULL), cases[i].status,
                      cases[i].message);
    /* The logits of a graph with a loss are fine. */
    ok(cln_onnx_write(ctx, path, n.g, logits, n.tensors, n.count, NULL));
    cln_graph_fail(n.g, "broken");
    expect_status(cln_onnx_write(ctx, path, n.g, logits, n.tensors, n.count, NULL), CLN_INVALID_ARGUMENT, "broken");
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
    expect_status(cln_onnx_write(ctx, path, n.g, n.y, NULL, 0, NULL), CLN_UNSUPPORTED,
                  "export to ONNX: layer 'waves' is a wavelet, which has no counterpart there");
    ck_assert_int_eq(folder_count(folder), 0);
    free(path);
    net_free(&n);
}
END_TEST

START_TEST(weights_of_another_network) {
    net n = net_model("ResNet", "{\"num_blocks\":[1],\"c_hidden\":[8]}");
    char *path = path_of(folder, "net");
    cln_file_tensor more[64];
    ck_assert_uint_lt(n.count, 63);
    memcpy(more, n.tensors, n.count * sizeof *more);
    more[n.count] = (cln_file_tensor){.name = "extra", .rank = 1, .shape = {1}, .count = 1, .data = &n};
    for (int i = 0; i < 2; i++) {
#define WRITE(tensors, count)                                                                                          \
    (i ? cln_weights_write(ctx, path, n.g, tensors, count, CLN_F32, NULL, 0)                                           \
       : cln_onnx_write(ctx, path, n.g, n.y, tensors, count, NULL))
        expect_status(WRITE(n.tensors, n.count - 1), CLN_INVALID_FILE, "it has no tensor 'output_net.2.bias'");
        expect_status(WRITE(more, n.count + 1), CLN_INVALID_FILE, "it has a tensor 'extra' that the network lacks");
        more[n.count].name = "input_net.1.num_batches_tracked";
        ok(WRITE(more, n.count + 1));
        more[n.count].name = "extra";
        more[0].shape[0] = 9;
        expect_status(WRITE(more, n.count), CLN_INVALID_FILE,
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
    expect_status(cln_onnx_write(ctx, path, n.g, n.y, tensors, 2, NULL), CLN_UNSUPPORTED,
                  "the weights up to 'huge.weight' have 2147483648 bytes, an ONNX file holds at most 2147483647");
    free(path);
    net_free(&n);
}
END_TEST

START_TEST(a_failed_write_leaves_the_old_file) {
    net n = net_model("ResNet", "{\"num_blocks\":[1],\"c_hidden\":[8]}");
    char *path = path_of(folder, "net.onnx"), *nowhere = path_of(folder, "nowhere/net.onnx");
    ok(cln_onnx_write(ctx, path, n.g, n.y, n.tensors, n.count, NULL));
    file_limit(1000);
    cln_status status = cln_onnx_write(ctx, path, n.g, n.y, n.tensors, n.count, NULL);
    file_limit(0);
    expect_status(status, CLN_IO, "cannot write");
    Onnx__ModelProto *m = onnx_read(path);
    ck_assert_int_eq(onnx_count(m, "Gemm"), 1);
    ck_assert_int_eq(folder_count(folder), 1);
    onnx__model_proto__free_unpacked(m, NULL);
    expect_status(cln_onnx_write(ctx, nowhere, n.g, n.y, n.tensors, n.count, NULL), CLN_IO, "nowhere/net.onnx");
    expect_status(cln_onnx_write(ctx, folder, n.g, n.y, n.tensors, n.count, NULL), CLN_IO,
                  "cannot put the new file in place");
    free(path);
    free(nowhere);
    net_free(&n);
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
}

int main(void) {
    return suite_run("onnx", add_tests);
}
