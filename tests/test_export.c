/* cln_export without a device, from file to file. */
#include "clnet/export.h"
#include "files.h"
#include "nets.h"
#include "onnx_file.h"
#include "suite.h"

#include <fnmatch.h>
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
    net n = net_model("ResNet", TINY);
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
    net n = net_model("ResNet", TINY);
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
    Onnx__ModelProto *m = onnx_read(out);
    onnx_check_value(m->graph->input[0], "input", UINT8_TYPE, DIMS(3, 40, 24));
    ck_assert_int_eq(onnx_count(m, "BatchNormalization"), 0);
    ck_assert_int_eq(onnx_count(m, "Erf"), 3);
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
    m = onnx_read(out);
    ck_assert_str_eq(property(m, "normalization"), "{\"mean\":[0.1,0.2,0.3],\"deviation\":[1,1,1]}");
    onnx__model_proto__free_unpacked(m, NULL);
    o.normalize = "dataset";
    expect_status(cln_export(ctx, &o, &result), CLN_INVALID_ARGUMENT, "it cannot be computed without a training set");
    free(in);
    free(out);
    net_free(&n);
}
END_TEST

/* A state to resume from has the optimiser's moments too; without "progress" such names are no business of ours. */
START_TEST(states_to_resume_from) {
    net n = net_model("ResNet", TINY);
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
        expect_status(cln_export(ctx, &o, &result), CLN_INVALID_FILE, "that the network lacks");
    }
    free(in);
    free(out);
    net_free(&n);
}
END_TEST

START_TEST(refused_files) {
    net n = net_model("ResNet", TINY);
    float *values = (float *)n.tensors[0].data;
    const cln_metadata metadata[] = {{"hparams", TINY}, {"model", "ResNet"}};
    char *in = write_weights(&n, metadata, 1), *out = path_of(folder, "out.safetensors");
    cln_export_options o = options_of(in, out);
    cln_export_result result;
    expect_status(cln_export(ctx, &o, &result), CLN_INVALID_FILE, "its metadata names no model; say which one");
    o.model = cln_model_find("DenseNet");
    expect_status(cln_export(ctx, &o, &result), CLN_INVALID_FILE, "weights of another network: ");
    o.model = cln_model_find("ResNet");
    o.hparams = TINY;
    ok(cln_export(ctx, &o, &result));
    o.dtype = CLN_I8;
    expect_status(cln_export(ctx, &o, &result), CLN_INVALID_ARGUMENT,
                  "weights are written as F32, F16 or BF16, not I8");
    o.dtype = CLN_F16;
    values[5] = 65520;
    free(in);
    in = write_weights(&n, metadata, 2);
    o.model = NULL;
    o.weights = in;
    expect_status(cln_export(ctx, &o, &result), CLN_INVALID_ARGUMENT,
                  "tensor 'input_net.0.weight' holds 65520, which is too large for F16");
    values[5] = INFINITY; /* is in F16 what it was */
    free(write_weights(&n, metadata, 2));
    ok(cln_export(ctx, &o, &result));
    o.with_normalization = true;
    o.format = CLN_EXPORT_ONNX;
    expect_status(cln_export(ctx, &o, &result), CLN_INVALID_FILE,
                  "it does not say how its images are normalised; say it");
    o.out = in;
    expect_status(cln_export(ctx, &o, &result), CLN_INVALID_ARGUMENT, "cannot be exported to itself");
    char *roundabout = path_of(folder, "../x"), *end = strrchr(folder, '/') + 1;
    free(roundabout);
    roundabout = malloc(strlen(folder) * 2 + 32);
    sprintf(roundabout, "%s/../%s/in.safetensors", folder, end);
    o.out = roundabout;
    expect_status(cln_export(ctx, &o, &result), CLN_INVALID_ARGUMENT, "cannot be exported to itself");
    free(roundabout);
    o.weights = NULL;
    expect_status(cln_export(ctx, &o, &result), CLN_INVALID_ARGUMENT, "needs a file of weights");
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
        if (fnmatch("*num_batches_tracked", a->name, 0) == 0)
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
    tcase_add_loop_test(tests, weights_to_weights, 0, 3);
    tcase_add_test(tests, weights_to_onnx);
    tcase_add_test(tests, states_to_resume_from);
    tcase_add_test(tests, refused_files);
    tcase_add_loop_test(tests, published_checkpoints, 0, 4);
}

int main(void) {
    return suite_run("export", add_tests);
}
