/* Networks that leave: what PyTorch and onnxruntime compute from our exports is what we compute, and the other way
 * round. Needs the Python of bench/peers/setup.sh (tests/export_peers.py compares) and is skipped without it. */
#include "../src/graph/graph.h"
#include "clnet/export.h"
#include "clnet/models.h"
#include "files.h"
#include "networks.h"
#include "numbers.h"
#include "python.h"
#include "suite.h"
#include "tiny.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 7 };
static const char *const names[] = {"ResNet", "ResNetPreAct", "DenseNet", "GoogleNet"};
static char *folder;

static void setup(void) {
    folder = folder_new();
}

static void teardown(void) {
    folder_remove(folder);
}

/* "<folder>/<name><end>"; the caller frees it. */
static char *file_of(const char *name, const char *end) {
    char file[128];
    snprintf(file, sizeof file, "%s%s", name, end);
    return path_of(folder, file);
}

/* --- what we compute --- */

typedef struct net {
    cln_graph *g;
    cln_tensor x, y;
    cln_weights *weights;
} net;

static net net_new(int64_t c, int64_t h, int64_t w) {
    net n = {.g = cln_graph_new(ctx)};
    ck_assert_ptr_nonnull(n.g);
    n.x = cln_input(n.g, "image", BATCH, c, h, w);
    return n;
}

static net model_new(const char *name, const char *hparams_json, int64_t c, int64_t h, int64_t w) {
    net n = net_new(c, h, w);
    const cln_model *model = cln_model_find(name);
    void *hparams;
    ok(cln_hparams_new(ctx, model, hparams_json, &hparams));
    n.y = model->build(n.g, n.x, hparams);
    free(hparams);
    return n;
}

static void net_load(net *n, const char *path) {
    cln_weights_file *file;
    ok(cln_graph_status(n->g));
    ok(cln_weights_new(device, n->g, 0, &n->weights));
    ok(cln_weights_file_read(ctx, path, &file));
    ok(cln_weights_load(ctx, n->weights, file, path));
    cln_weights_file_free(file);
}

/* Initial weights, and noise where these are 0 or 1. */
static void net_invent(net *n) {
    ok(cln_graph_status(n->g));
    ok(cln_weights_new(device, n->g, 5, &n->weights));
    for (int i = 0; i < cln_weights_count(n->weights); i++) {
        cln_weight_info info = cln_weights_info(n->weights, i);
        float *values = noises((uint64_t)i, info.count);
        bool positive = strstr(info.name, "running_var") || !strstr(info.name, "bias");
        for (int64_t k = 0; k < info.count && positive; k++)
            values[k] = 0.5f + values[k] * values[k];
        if (info.rank == 1)
            ok(cln_weights_set(n->weights, i, CLN_VALUE, values, info.count));
        free(values);
    }
}

static void net_free(net *n) {
    cln_weights_free(n->weights);
    cln_graph_free(n->g);
}

static float *logits_of(const net *n, const float *images) {
    cln_plan *plan;
    cln_plan_options options = {.outputs = &n->y, .output_count = 1};
    int64_t count = count_of(cln_tensor_shape(n->g, n->y));
    float *logits = floats(count);
    ok(cln_plan_build(device, n->g, n->weights, &options, &plan));
    ok(cln_plan_write(plan, n->x, images, count_of(cln_tensor_shape(n->g, n->x))));
    ok(cln_plan_step(plan, 0));
    ok(cln_plan_read(plan, n->y, logits, count));
    cln_plan_free(plan);
    return logits;
}

/* Writes <name>.truth.safetensors: images of noise, and what we make of them. */
static void write_truth(const net *n, const char *name) {
    cln_shape x = cln_tensor_shape(n->g, n->x), y = cln_tensor_shape(n->g, n->y);
    float *images = noises(99, count_of(x)), *logits = logits_of(n, images);
    cln_file_tensor tensors[2] = {
        {.name = "input", .rank = 4, .shape = {x.n, x.c, x.h, x.w}, .count = count_of(x), .data = images},
        {.name = "logits", .rank = 2, .shape = {y.n, y.c, y.h, y.w}, .count = count_of(y), .data = logits}};
    if (y.h * y.w > 1)
        tensors[1].rank = 4;
    char *path = file_of(name, ".truth.safetensors");
    ok(cln_safetensors_write(ctx, path, tensors, 2, NULL, 0));
    free(path);
    free(images);
    free(logits);
}

/* --- our weights elsewhere --- */

static void export_as(const char *weights, const char *name, const char *end, cln_export_options o) {
    cln_export_result result;
    char *out = file_of(name, end);
    o.weights = weights;
    o.out = out;
    o.models = cln_models(&o.model_count);
    ok(cln_export(ctx, &o, &result));
    free(out);
}

/* `model` NULL: the one that the file names. */
static void export_models(const char *weights, const char *name, const char *model, bool with_normalization) {
    cln_export_options o = {.format = CLN_EXPORT_ONNX, .with_normalization = with_normalization};
    o.model = model ? cln_model_find(model) : NULL;
    export_as(weights, name, ".onnx", o);
    o.fold_batchnorm = true;
    export_as(weights, name, "-folded.onnx", o);
}

/* A few steps on the tiny data set, on a device, as cltrain fit makes them. */
static char *train(const char *name) {
    char *data = path_of(folder, "data"), *run = path_of(folder, "run");
    folder_make(folder, "data");
    tiny_write(data);
    const cln_model *model = cln_model_find(name);
    cln_fit_options o = {.model = model, .recipe = *model->recipe, .data = data, .out = run, .seed = 3};
    cln_fit_result result;
    o.recipe.epochs = 1;
    o.recipe.milestones.count = 0;
    o.recipe.batch_size = 24;
    o.recipe.learning_rate = 0.01f;
    ok(cln_fit(ctx, device, &o, &result));
    free(data);
    free(run);
    return path_of(folder, "run/last.safetensors");
}

START_TEST(trained_networks) {
    const char *name = names[_i];
    char *weights = train(name);
    net n = model_new(name, NULL, 3, 32, 32);
    net_load(&n, weights);
    write_truth(&n, name);
    export_models(weights, name, NULL, false);
    export_as(weights, name, ".safetensors", (cln_export_options){.dtype = CLN_F32});
    export_as(weights, name, "-fp16.safetensors", (cln_export_options){.dtype = CLN_F16});
    export_as(weights, name, "-bf16.safetensors", (cln_export_options){.dtype = CLN_BF16});
    python_run("export_peers.py", "weights '%s' %s %s", folder, name, name);
    python_run("export_peers.py", "models '%s' %s", folder, name);
    net_free(&n);
    free(weights);
}
END_TEST

START_TEST(published_networks) {
    char file[64];
    snprintf(file, sizeof file, "pretrained/%s.ckpt", names[_i]);
    char *weights = shared_path(file, "the published networks");
    char *sample = weights ? shared_path("data/cifar-10-sample-binary.tar.xz", "the published networks") : NULL;
    if (sample) {
        *strstr(sample, "/data/") = '\0';
        export_models(weights, names[_i], NULL, true);
        python_run("export_peers.py", "published '%s' %s '%s'", folder, names[_i], sample);
    }
    free(sample);
    free(weights);
}
END_TEST

/* --- networks out of the ordinary --- */

static net every_operator(void) {
    net n = net_new(4, 19, 14);
    cln_conv2d_options odd = {
        .out_channels = 6, .kernel_h = 3, .kernel_w = 2, .stride = 2, .padding = 3, .dilation = 2, .groups = 2};
    cln_conv2d_options plain = {.out_channels = 6, .kernel_h = 5, .kernel_w = 5, .padding = 2, .bias = true};
    cln_tensor x = cln_batchnorm(n.g, cln_conv2d(n.g, n.x, "odd", &odd), "norm", &(cln_batchnorm_options){.eps = 0.1f});
    cln_tensor a = cln_activate(n.g, cln_avgpool(n.g, x, 3, 2, 1), CLN_GELU); /* sizes that do not divide */
    cln_tensor b = cln_activate(n.g, cln_maxpool(n.g, x, 3, 2, 1), CLN_LEAKY_RELU);
    x = cln_activate(n.g, cln_add(n.g, a, b), CLN_TANH);
    x = cln_concat(n.g, (cln_tensor[]){cln_dropout(n.g, x, 0.3f), x, a}, 3);
    x = cln_batchnorm(n.g, cln_conv2d(n.g, x, "plain", &plain), "after", &(cln_batchnorm_options){.use_running = true});
    n.y = cln_linear(n.g, cln_flatten(n.g, cln_avgpool(n.g, x, 2, 1, 0)), "last", 5);
    return n;
}

/* Rows where images are expected, and the other way round. */
static net rows_and_images(void) {
    net n = net_new(3, 5, 5);
    cln_conv2d_options pointwise = {.out_channels = 4, .kernel_h = 1, .kernel_w = 1};
    cln_tensor rows = cln_linear(n.g, cln_global_avgpool(n.g, n.x), "direct", 4);
    cln_tensor images = cln_conv2d(n.g, rows, "back", &pointwise);
    cln_tensor both = cln_concat(n.g, (cln_tensor[]){images, cln_add(n.g, rows, images)}, 2);
    cln_tensor norm = cln_batchnorm(n.g, cln_flatten(n.g, both), "norm", NULL);
    n.y = cln_linear(n.g, cln_flatten(n.g, norm), "last", 2);
    return n;
}

/* That of examples/custom_model.c. */
static net custom_model(void) {
    net n = net_new(1, 16, 16);
    cln_conv2d_options conv = {.out_channels = 16, .kernel_h = 3, .kernel_w = 3, .padding = 1};
    cln_tensor x = cln_conv2d(n.g, n.x, "conv1", &conv);
    x = cln_activate(n.g, cln_batchnorm(n.g, x, "bn1", NULL), CLN_RELU);
    x = cln_maxpool(n.g, x, 2, 2, 0);
    x = cln_activate(n.g, cln_conv2d(n.g, x, "conv2", &conv), CLN_GELU);
    n.y = cln_linear(n.g, cln_flatten(n.g, cln_global_avgpool(n.g, x)), "classifier", 2);
    return n;
}

/* Its output is images. */
static net picture_to_picture(void) {
    net n = net_new(2, 9, 8);
    cln_conv2d_options conv = {.out_channels = 3, .kernel_h = 3, .kernel_w = 3, .padding = 1};
    n.y = cln_batchnorm(n.g, cln_conv2d(n.g, n.x, "conv", &conv), "norm", NULL);
    return n;
}

static net unusual(int index) {
    static const struct {
        const char *model, *hparams;
        int c, h, w;
    } variants[] = {
        {"ResNet", "{\"act_fn_name\":\"gelu\",\"num_blocks\":[1,2],\"c_hidden\":[5,9],\"num_classes\":3}", 3, 32, 32},
        {"ResNetPreAct", "{\"act_fn_name\":\"tanh\",\"num_blocks\":[2,1],\"c_hidden\":[8,20],\"in_channels\":1}", 1, 21,
         30},
        {"DenseNet", "{\"act_fn_name\":\"leakyrelu\",\"num_layers\":[2,3],\"growth_rate\":7,\"bn_size\":3}", 3, 15, 17},
        {"GoogleNet", "{\"act_fn_name\":\"identity\",\"in_channels\":2,\"num_classes\":1}", 2, 13, 8},
        {"GoogleNet", "{\"act_fn_name\":\"gelu\",\"num_classes\":1000}", 3, 24, 24},
    };
    net (*const graphs[])(void) = {every_operator, rows_and_images, custom_model, picture_to_picture};
    enum { GRAPHS = sizeof graphs / sizeof *graphs };
    if (index < GRAPHS)
        return graphs[index]();
    index -= GRAPHS;
    return model_new(variants[index].model, variants[index].hparams, variants[index].c, variants[index].h,
                     variants[index].w);
}
enum { UNUSUAL = 9 };

START_TEST(unusual_networks) {
    net n = unusual(_i);
    char *plain = path_of(folder, "net.onnx"), *folded = path_of(folder, "net-folded.onnx");
    net_invent(&n);
    ok(cln_onnx_save(ctx, n.weights, plain, n.g, n.y, NULL));
    ok(cln_onnx_save(ctx, n.weights, folded, n.g, n.y, &(cln_onnx_options){.fold_batchnorm = true}));
    write_truth(&n, "net");
    python_run("export_peers.py", "models '%s' net", folder);
    free(plain);
    free(folded);
    net_free(&n);
}
END_TEST

/* --- random networks, against their naive twin in double precision --- */

enum { RANDOM = 40, SIDE = 11 };

static cln_file_tensor tensor_of(const char *name, cln_shape s, const double *data) {
    return (cln_file_tensor){
        .name = name, .dtype = CLN_F64, .rank = 4, .shape = {s.n, s.c, s.h, s.w}, .count = count_of(s), .data = data};
}

/* What goes into the network and what its twin makes of it. */
static void write_random_truth(const network *n, const value *logits, const char *name) {
    cln_file_tensor tensors[MAX_VALUES];
    size_t count = 0;
    for (int i = 0; i < n->value_count; i++)
        if (n->values[i].operation == INPUT)
            tensors[count++] = tensor_of(n->g->tensors[n->values[i].t.id].name, n->values[i].shape, n->values[i].data);
    tensors[count++] = tensor_of("logits", logits->shape, logits->data);
    char *path = file_of(name, ".truth.safetensors");
    ok(cln_safetensors_write(ctx, path, tensors, count, NULL, 0));
    free(path);
}

static void export_random(network *n, const char *name) {
    cln_file_tensor weights[MAX_PARAMS];
    const value *logits = &n->values[n->values[n->value_count - 1].in[0]];
    for (int i = 0; i < n->param_count; i++) {
        const param *p = &n->params[i];
        const cln__tensor *t = cln__at(n->g, cln__find_tensor(n->g, p->name).id);
        weights[i] = (cln_file_tensor){.name = p->name, .rank = t->rank, .count = p->count, .data = p->start};
        cln__param_axes(t, weights[i].shape);
    }
    for (int folded = 0; folded < 2; folded++) {
        char *path = file_of(name, folded ? "-folded.onnx" : ".onnx");
        ok(cln_onnx_write(ctx, path, n->g, logits->t, weights, (size_t)n->param_count,
                          &(cln_onnx_options){.fold_batchnorm = folded}));
        free(path);
    }
    network_loss(n, false);
    write_random_truth(n, logits, name);
}

START_TEST(random_networks) {
    char name[32];
    for (int seed = 0; seed < RANDOM; seed++) {
        network *n = _i ? network_of_blocks_new(seed, SIDE) : network_new(seed, SIDE);
        snprintf(name, sizeof name, "%d", seed);
        export_random(n, name);
        network_free(n);
    }
    python_run("export_peers.py", "random '%s' %d", folder, RANDOM);
}
END_TEST

/* --- weights from elsewhere --- */

static const double tolerance = 1e-5; /* of the largest logit */

static void compare(const char *what, const float *found, const cln_file_tensor *expected) {
    float *values = floats(expected->count);
    double error = 0, largest = 0;
    cln_file_tensor_to_float(expected, values);
    for (int64_t i = 0; i < expected->count; i++) {
        error = fmax(error, fabs((double)found[i] - (double)values[i]));
        largest = fmax(largest, fabs((double)values[i]));
    }
    printf("%s in clnet: relative error %.1e\n", what, error / largest);
    ck_assert_msg(error <= tolerance * largest, "%s: relative error %g", what, error / largest);
    free(values);
}

/* PyTorch's zip format in three types: we compute what PyTorch does from the rounded weights. */
START_TEST(state_dicts_of_pytorch) {
    static const char *const types[] = {"fp32", "fp16", "bf16"};
    python_run("export_peers.py", "make '%s' %s", folder, names[_i]);
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s-%s", names[_i], types[i]);
        char *weights = file_of(name, ".pt"), *truth = file_of(name, ".truth.safetensors");
        cln_safetensors *file;
        net n = model_new(names[_i], NULL, 3, 32, 32);
        net_load(&n, weights);
        ok(cln_safetensors_read(ctx, truth, &file));
        const cln_file_tensor *input = cln_safetensors_find(file, "input");
        float *images = floats(input->count);
        cln_file_tensor_to_float(input, images);
        float *logits = logits_of(&n, images);
        compare(name, logits, cln_safetensors_find(file, "logits"));
        export_models(weights, name, names[_i], false);
        python_run("export_peers.py", "models '%s' %s", folder, name);
        free(images);
        free(logits);
        cln_safetensors_free(file);
        net_free(&n);
        free(weights);
        free(truth);
    }
}
END_TEST

static void add_tests(TCase *tests) {
    if (!python_has("torch, numpy, safetensors, onnx, onnxruntime"))
        return;
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, unusual_networks, 0, UNUSUAL);
    tcase_add_loop_test(tests, random_networks, 0, 2);
    tcase_add_loop_test(tests, trained_networks, 0, 4);
    tcase_add_loop_test(tests, published_networks, 0, 4);
    tcase_add_loop_test(tests, state_dicts_of_pytorch, 0, 4);
}

int main(void) {
    return suite_run_on_device("slow_export", add_tests);
}
