/* models/ and src/train/hparams.c: parameters as PyTorch has them, initialisation, hyper-parameters good and bad. Needs
 * no OpenCL. */
#include "../src/graph/graph.h"
#include "clnet/models.h"
#include "files.h"
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cln_graph *build(const char *name, const char *json) {
    const cln_model *model = cln_model_find(name);
    ck_assert_ptr_nonnull(model);
    void *hparams;
    ck_assert_msg(cln_hparams_new(ctx, model, json, &hparams) == CLN_OK, "%s", cln_context_error(ctx));
    cln_graph *g = cln_graph_new(ctx);
    cln_tensor y = model->build(g, cln_input(g, "image", 2, 3, 32, 32), hparams);
    if (cln_graph_status(g) == CLN_OK)
        ck_assert_int_eq(cln_tensor_shape(g, y).n, 2);
    free(hparams);
    return g;
}

START_TEST(parameter_counts) {
    cln_graph *g = build("ResNet", NULL);
    ck_assert_int_eq(cln_graph_parameters(g), 272378);
    cln_graph_free(g);
    g = build("ResNet", "{\"block_name\": \"PreActResNetBlock\"}");
    ck_assert_int_eq(cln_graph_parameters(g), 272250);
    cln_graph_free(g);
    g = build("ResNetPreAct", NULL);
    ck_assert_int_eq(cln_graph_parameters(g), 272250);
    int64_t work = 0;
    for (int i = 0; i < cln_graph_layers(g); i++)
        work += cln_graph_layer(g, i).multiply_adds;
    ck_assert_int_eq(work / 2 / 100000, 408); /* 40.8 million an image */
    cln_graph_free(g);
}
END_TEST

/* Every parameter and statistic of a reference file, and no other, with the same shape. */
static void compare_names(const char *file_name) {
    char *path = shared_path(file_name, "parameter names");
    if (!path)
        return;
    cln_safetensors *file;
    ck_assert_msg(cln_safetensors_read(ctx, path, &file) == CLN_OK, "%s", cln_context_error(ctx));
    cln_graph *g = build(cln_safetensors_metadata(file, "model"), cln_safetensors_metadata(file, "hparams"));
    ck_assert_msg(cln_graph_status(g) == CLN_OK, "%s", cln_context_error(ctx));
    size_t wanted = 0, found = 0;
    for (size_t i = 0; i < cln_safetensors_count(file); i++)
        wanted += strncmp(cln_safetensors_at(file, i)->name, "param.", 6) == 0;
    for (int i = 0; i < g->tensor_count; i++) {
        const cln__tensor *t = &g->tensors[i];
        char name[128];
        int64_t count;
        if (t->role != CLN__PARAM && t->role != CLN__STATE)
            continue;
        snprintf(name, sizeof name, "param.%s", t->name);
        const cln_file_tensor *reference = cln_safetensors_find(file, name);
        ck_assert_msg(reference != NULL, "%s: no %s", file_name, name);
        ck_assert_int_eq(t->rank, reference->rank);
        ck_assert(cln__shape_count(t->shape, &count) && count == reference->count);
        found++;
    }
    ck_assert_uint_eq(found, wanted);
    cln_graph_free(g);
    cln_safetensors_free(file);
    free(path);
}

START_TEST(names_are_pytorch_names) {
    compare_names("golden/model-resnet.safetensors");
    compare_names("golden/model-resnetpreact.safetensors");
    compare_names("golden/model-resnet-tiny-gelu.safetensors");
    compare_names("golden/model-resnetpreact-tiny-gelu.safetensors");
}
END_TEST

static float scale_of(const cln_graph *g, const char *name) {
    cln_tensor x = cln__find_tensor(g, name);
    ck_assert_msg(x.id >= 0, "no %s", name);
    return g->tensors[x.id].scale;
}

START_TEST(initialisation) {
    /* gain / sqrt(out channels * kernel area) */
    cln_graph *g = build("ResNet", NULL);
    ck_assert_float_eq_tol(scale_of(g, "input_net.0.weight"), sqrtf(2) / sqrtf(16 * 9), 1e-7f);
    ck_assert_float_eq_tol(scale_of(g, "blocks.3.net.0.weight"), sqrtf(2) / sqrtf(32 * 9), 1e-7f);
    ck_assert_float_eq_tol(scale_of(g, "blocks.3.downsample.weight"), sqrtf(2) / sqrtf(32), 1e-7f);
    /* uniform within 1 / sqrt(in) */
    ck_assert_float_eq_tol(scale_of(g, "blocks.3.downsample.bias"), 1 / sqrtf(16), 1e-7f);
    ck_assert_float_eq_tol(scale_of(g, "output_net.2.weight"), 1 / sqrtf(64), 1e-7f);
    ck_assert_float_eq_tol(scale_of(g, "output_net.2.bias"), 1 / sqrtf(64), 1e-7f);
    cln_graph_free(g);
    g = build("ResNetPreAct", "{\"act_fn_name\": \"tanh\"}");
    ck_assert_float_eq_tol(scale_of(g, "blocks.0.net.2.weight"), 5.0f / 3 / sqrtf(16 * 9), 1e-7f);
    cln_graph_free(g);
}
END_TEST

START_TEST(hparams_there_and_back) {
    const cln_model *model = cln_model_find("ResNet");
    const char *json = "{\"num_classes\":7,\"in_channels\":1,\"num_blocks\":[1,2],\"c_hidden\":[4,5],"
                       "\"act_fn_name\":\"gelu\",\"block_name\":\"PreActResNetBlock\"}";
    void *hparams;
    ck_assert_int_eq(cln_hparams_new(ctx, model, json, &hparams), CLN_OK);
    char *text = cln_hparams_print(model, hparams);
    ck_assert_str_eq(text, json);
    free(text);
    ck_assert(cln_hparams_set_int(model, hparams, "num_classes", 3));
    ck_assert_int_eq(((cln_resnet_hparams *)hparams)->num_classes, 3);
    ck_assert(!cln_hparams_set_int(model, hparams, "c_hidden", 3));
    ck_assert(!cln_hparams_set_int(model, hparams, "depth", 3));
    free(hparams);
}
END_TEST

static const struct {
    const char *json, *message;
} bad_json[] = {
    {"[1]", "expected a JSON object"},
    {"{\"num_classes\": 10", "expected a JSON object"},
    {"{\"num_classes\": 10} x", "expected a JSON object"},
    {"{\"c_hiden\": [1]}", "there is no 'c_hiden': did you mean 'c_hidden'?"},
    {"{\"growth_rate\": 3}", "there is no 'growth_rate'"},
    {"{\"num_classes\": 0}", "num_classes: expected a whole number from 1 to 1000000, found 0"},
    {"{\"num_classes\": 1.5}", "num_classes: expected a whole number from 1 to 1000000, found 1.5"},
    {"{\"num_classes\": 1e30}", "num_classes: expected a whole number"},
    {"{\"num_classes\": \"10\"}", "found \"10\""},
    {"{\"num_blocks\": []}", "num_blocks: expected a list of 1 to 16 whole numbers from 1 to 1000, found []"},
    {"{\"num_blocks\": [3, 0]}", "num_blocks: expected a list"},
    {"{\"num_blocks\": [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}", "num_blocks: expected a list"},
    {"{\"act_fn_name\": \"swish\"}", "act_fn_name: expected one of identity, relu, leakyrelu, tanh, gelu, found"},
    {"{\"act_fn_name\": 1}", "act_fn_name: expected one of"},
    {"{\"block_name\": \"Bottleneck\"}", "block_name: expected one of ResNetBlock, PreActResNetBlock, found"},
};

START_TEST(bad_json_is_refused) {
    void *hparams;
    ck_assert_int_eq(cln_hparams_new(ctx, cln_model_find("ResNet"), bad_json[_i].json, &hparams), CLN_INVALID_ARGUMENT);
    ck_assert_ptr_null(hparams);
    ck_assert_msg(strstr(cln_context_error(ctx), bad_json[_i].message) != NULL, "%s", cln_context_error(ctx));
}
END_TEST

static void refuse(cln_resnet_hparams h, const char *message) {
    cln_graph *g = cln_graph_new(ctx);
    cln_tensor y = cln_resnet(g, cln_input(g, "image", 2, 3, 32, 32), &h);
    ck_assert_int_lt(y.id, 0);
    ck_assert_int_eq(cln_graph_status(g), CLN_INVALID_ARGUMENT);
    ck_assert_msg(strstr(cln_context_error(ctx), message) != NULL, "%s", cln_context_error(ctx));
    cln_graph_free(g);
}

START_TEST(bad_hparams_fail_the_graph) {
    const cln_resnet_hparams good = *(const cln_resnet_hparams *)cln_model_find("ResNet")->defaults;
    cln_resnet_hparams h = good;
    h.num_classes = 0;
    refuse(h, "ResNet: num_classes is 0, expected 1 or more");
    h = good;
    h.in_channels = 1;
    refuse(h, "ResNet: in_channels is 1, but the images have 3 channels");
    h = good;
    h.num_blocks.count = 2;
    refuse(h, "ResNet: num_blocks has 2 groups and c_hidden 3");
    h = good;
    h.num_blocks.count = h.c_hidden.count = 0;
    refuse(h, "ResNet: num_blocks has 0 groups, expected 1 to 16");
    h = good;
    h.num_blocks.count = 17;
    refuse(h, "ResNet: num_blocks has 17 groups");
    h = good;
    h.num_blocks.values[1] = 0;
    refuse(h, "ResNet: group 1 has 0 blocks of 32 channels");
    h = good;
    h.c_hidden.values[2] = -1;
    refuse(h, "ResNet: group 2 has 3 blocks of -1 channels");
    h = good;
    h.block = 2;
    refuse(h, "ResNet: block 2 is neither");
}
END_TEST

static void refuse_densenet(cln_densenet_hparams h, const char *message) {
    cln_graph *g = cln_graph_new(ctx);
    cln_tensor y = cln_densenet(g, cln_input(g, "image", 2, 3, 32, 32), &h);
    ck_assert_int_lt(y.id, 0);
    ck_assert_int_eq(cln_graph_status(g), CLN_INVALID_ARGUMENT);
    expect_message(message);
    cln_graph_free(g);
}

START_TEST(bad_densenet_hparams_fail_the_graph) {
    const cln_densenet_hparams good = *(const cln_densenet_hparams *)cln_model_find("DenseNet")->defaults;
    cln_densenet_hparams h = good;
    h.num_classes = 0;
    refuse_densenet(h, "'output_net.4'");
    h = good;
    h.in_channels = 1;
    refuse_densenet(h, "DenseNet: in_channels is 1, but the images have 3 channels");
    h = good;
    h.num_layers.count = 0;
    refuse_densenet(h, "DenseNet: num_layers has 0 blocks, expected 1 to 16");
    h = good;
    h.num_layers.count = 17;
    refuse_densenet(h, "DenseNet: num_layers has 17 blocks");
    h = good;
    h.num_layers.values[3] = 0;
    refuse_densenet(h, "DenseNet: block 3 has 0 layers");
    h = good;
    h.bn_size = 0;
    refuse_densenet(h, "DenseNet: bn_size 0, growth_rate 16");
    h = good;
    h.growth_rate = h.bn_size = 1 << 16;
    refuse_densenet(h, "DenseNet: bn_size 65536, growth_rate 65536");
    h = good;
    h.num_layers = (cln_ints){7, {1, 1, 1, 1, 1, 1, 1}}; /* the images are halved six times */
    refuse_densenet(h, "a 2x2 kernel with padding 0 does not fit a 1x1 input");
}
END_TEST

START_TEST(registry) {
    int count;
    const cln_model *const *models = cln_models(&count);
    ck_assert_int_ge(count, 2);
    for (int i = 0; i < count; i++) {
        ck_assert_ptr_eq(cln_model_find(models[i]->name), models[i]);
        ck_assert_ptr_nonnull(models[i]->recipe);
        ck_assert_int_gt((int)strlen(models[i]->description), 0);
    }
    ck_assert_ptr_null(cln_model_find("resnet"));
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_test(tests, parameter_counts);
    tcase_add_test(tests, names_are_pytorch_names);
    tcase_add_test(tests, initialisation);
    tcase_add_test(tests, hparams_there_and_back);
    tcase_add_loop_test(tests, bad_json_is_refused, 0, sizeof bad_json / sizeof *bad_json);
    tcase_add_test(tests, bad_hparams_fail_the_graph);
    tcase_add_test(tests, bad_densenet_hparams_fail_the_graph);
    tcase_add_test(tests, registry);
}

int main(void) {
    return suite_run("models", add_tests);
}
