/* Weights that come from PyTorch, on a device: checkpoints of a tiny network made by hand, and where they are there,
 * the published ones against the logits and scores that PyTorch computes from them. */
#include "clnet/models.h"
#include "files.h"
#include "suite.h"
#include "tiny.h"
#include "torch_maker.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *folder, *data; /* the folder of the tiny data set */

static cln_status evaluate(const char *weights, const char *set, const char *model, cln_score *score) {
    cln_evaluate_options o = {.weights = weights, .data = set, .batch_size = 32, .workers = 2};
    o.models = cln_models(&o.model_count);
    o.model = model ? cln_model_find(model) : NULL;
    return cln_evaluate(ctx, device, &o, score);
}

/* --- a tiny network --- */

#define TINY(block) "{\"num_blocks\":[1,1],\"c_hidden\":[8,8],\"block_name\":\"" block "\"}"
static const char *const tiny_json[] = {TINY("ResNetBlock"), TINY("PreActResNetBlock")};

typedef struct tiny_net {
    cln_graph *graph;
    cln_weights *weights;
} tiny_net;

static tiny_net tiny_new(const char *hparams_json) {
    tiny_net n;
    void *hparams;
    const cln_model *model = cln_model_find("ResNet");
    ok(cln_hparams_new(ctx, model, hparams_json, &hparams));
    n.graph = cln_graph_new(ctx);
    ck_assert_ptr_nonnull(n.graph);
    model->build(n.graph, cln_input(n.graph, "image", 1, 3, 32, 32), hparams);
    ok(cln_graph_status(n.graph));
    ok(cln_weights_new(device, n.graph, 7, &n.weights));
    free(hparams);
    return n;
}

static void tiny_free(tiny_net *n) {
    cln_weights_free(n->weights);
    cln_graph_free(n->graph);
}

static void append(char *program, size_t room, const char *format, const char *text) {
    size_t used = strlen(program);
    int more = snprintf(program + used, room - used, format, text);
    ck_assert(more >= 0 && (size_t)more < room - used);
}

/* "'<prefix><name> ~<key>:<count>:Float@0:<shape>:<strides> " for every tensor. */
static void describe_weights(const cln_weights *weights, const char *prefix, char *program, size_t room) {
    char word[256], number[64];
    for (int i = 0; i < cln_weights_count(weights); i++) {
        cln_weight_info info = cln_weights_info(weights, i);
        append(program, room, "'%s", prefix);
        snprintf(word, sizeof word, "%s ~%d:%lld:Float@0:", info.name, i, (long long)info.count);
        append(program, room, "%s", word);
        int64_t stride = info.count;
        for (int k = 0; k < 2 * info.rank; k++) {
            stride = k < info.rank ? info.count : stride / info.shape[k - info.rank];
            snprintf(number, sizeof number, "%lld", (long long)(k < info.rank ? info.shape[k] : stride));
            append(program, room, k == info.rank ? ":%s" : k > 0 ? ",%s" : "%s", number);
        }
        append(program, room, "%s", " ");
    }
}

/* Writes a legacy file of `object`, a program with %s where the tensors go. */
static char *write_checkpoint(cln_weights *weights, const char *name, const char *object, const char *prefix) {
    enum { ROOM = 1 << 15 };
    char *tensors = calloc(1, ROOM), *program = calloc(1, ROOM), keys[1024] = "] ( ", key[32];
    ck_assert(tensors && program);
    describe_weights(weights, prefix, tensors, ROOM);
    snprintf(program, ROOM, object, tensors);
    for (int i = 0; i < cln_weights_count(weights); i++) {
        snprintf(key, sizeof key, "%d", i);
        append(keys, sizeof keys, "'%s ", key);
    }
    append(keys, sizeof keys, "%s", "e .");
    bytes b = {NULL, 0, 0};
    legacy_add(&b, program, keys);
    for (int i = 0; i < cln_weights_count(weights); i++) {
        int64_t count = cln_weights_info(weights, i).count;
        float *values = malloc((size_t)count * sizeof *values);
        ok(cln_weights_get(weights, i, CLN_VALUE, values, count));
        bytes_add_number(&b, (uint64_t)count, 8);
        bytes_add(&b, values, (size_t)count * sizeof *values);
        free(values);
    }
    file_write(folder, name, b.at, b.size);
    bytes_free(&b);
    free(program);
    free(tensors);
    return path_of(folder, name);
}

/* What PyTorch Lightning writes. */
#define LIGHTNING(more)                                                                                                \
    "} ( 'epoch #171 'pytorch-lightning_version '1.0.2 'state_dict /collections:OrderedDict ) R ( %s u "               \
    "'hyper_parameters } ( 'model_name 'ResNet 'model_hparams } ( 'num_classes #10 'num_blocks ] ( #1 #1 e 'c_hidden " \
    "] ( #8 #8 e " more "u 'optimizer_name 'Adam 'optimizer_hparams } ( 'lr %%0.001 'weight_decay %%0.0001 u u u "     \
    "."

START_TEST(lightning_checkpoints) {
    static const char *const objects[] = {LIGHTNING(""), LIGHTNING("'block_name 'PreActResNetBlock ")};
    tiny_net n = tiny_new(tiny_json[_i]);
    char *own = path_of(folder, "own.safetensors");
    char *imported = write_checkpoint(n.weights, "imported.ckpt", objects[_i], "model.");
    cln_score expected, found;
    cln_training_record record;
    const cln_metadata metadata[] = {{"model", "ResNet"}, {"hparams", tiny_json[_i]}};
    ok(cln_weights_save(ctx, n.weights, own, metadata, 2));
    ok(evaluate(own, data, NULL, &expected));
    ok(evaluate(imported, data, NULL, &found));
    ck_assert_int_eq(found.count, TINY_TEST);
    ck_assert_int_eq(found.correct, expected.correct);
    ck_assert_double_eq(found.loss, expected.loss);
    ok(cln_training_record_read(ctx, imported, &record));
    ck_assert_str_eq(record.model, _i ? "ResNetPreAct" : "ResNet");
    ck_assert_int_eq(record.epochs, 171);
    ck_assert_int_eq(record.optimizer.kind, CLN_ADAMW);
    ck_assert_float_eq(record.learning_rate, 0.001f);
    ck_assert_float_eq(record.optimizer.weight_decay, 0.0001f);
    ck_assert(!record.has_split);
    free(own);
    free(imported);
    tiny_free(&n);
}
END_TEST

/* The published normalisation goes with such a checkpoint, whatever the data's own would be. */
START_TEST(validation_is_drawn_where_the_file_does_not_say) {
    tiny_net n = tiny_new(tiny_json[0]);
    char *path = write_checkpoint(n.weights, "imported.ckpt", LIGHTNING(""), "model.");
    cln_evaluate_options o = {.weights = path, .data = data, .batch_size = 8, .subset = CLN_SUBSET_VALIDATION};
    cln_score score, other;
    o.models = cln_models(&o.model_count);
    expect_status(cln_evaluate(ctx, device, &o, &score), CLN_INVALID_FILE,
                  "it does not say which images its training held back");
    o.draw_split = true;
    o.seed = 42;
    o.validation = 0.25;
    ok(cln_evaluate(ctx, device, &o, &score));
    ck_assert_int_eq(score.count, TINY_TRAIN / 4);
    o.normalize = "cifar10";
    ok(cln_evaluate(ctx, device, &o, &other));
    ck_assert_double_eq(score.loss, other.loss);
    o.normalize = "dataset";
    ok(cln_evaluate(ctx, device, &o, &other));
    ck_assert_double_ne(score.loss, other.loss);
    free(path);
    tiny_free(&n);
}
END_TEST

START_TEST(bare_state_dicts) {
    tiny_net n = tiny_new(tiny_json[0]);
    char *path = write_checkpoint(n.weights, "imported.pth", "} ( %s u .", "");
    cln_score score;
    cln_evaluate_options o = {.weights = path, .data = data, .batch_size = 32, .hparams = tiny_json[0]};
    expect_status(evaluate(path, data, NULL, &score), CLN_INVALID_FILE, "its metadata names no model; say which one");
    expect_status(
        evaluate(path, data, "ResNet", &score), CLN_INVALID_FILE,
        "weights of another network: tensor 'input_net.0.weight' has shape [8x3x3x3], the network expects [16x3x3x3]");
    expect_status(evaluate(path, data, "DenseNet", &score), CLN_INVALID_FILE, "has shape [8x3x3x3]");
    o.model = cln_model_find("ResNet");
    ok(cln_evaluate(ctx, device, &o, &score));
    ck_assert_int_eq(score.count, TINY_TEST);
    free(path);
    tiny_free(&n);
}
END_TEST

START_TEST(checkpoints_of_other_code) {
    static const struct {
        const char *object;
        cln_status status;
        const char *message;
    } cases[] = {
        {LIGHTNING("'dropout %%0.5 "), CLN_INVALID_FILE,
         "imported.ckpt': hyper-parameters of ResNet: there is no 'dropout'"},
        {LIGHTNING("'block_name N "), CLN_INVALID_FILE, "block_name: expected one of ResNetBlock"},
        {LIGHTNING("'act_fn_name 'swish "), CLN_INVALID_FILE, "act_fn_name: expected one of"},
        {LIGHTNING("'num_classes #7 "), CLN_INVALID_ARGUMENT, "knows 7 classes"},
        {"} ( 'state_dict } ( %s u 'hyper_parameters } 'model_name 'VGG s u .", CLN_INVALID_FILE,
         "unknown model 'VGG'"},
        {"} ( 'state_dict } ( %s u 'hyper_parameters } 'lr %%0.1 s u .", CLN_INVALID_FILE, "names no model"},
        {"} ( 'state_dict } ( %s u 'hyper_parameters #5 u .", CLN_INVALID_FILE, "names no model"},
        {"} ( 'state_dict } ( %s 'extra ~0:216:Float@0:1:1 u 'hyper_parameters } ( 'model_name 'ResNet 'model_hparams "
         "} ( "
         "'num_blocks ] ( #1 #1 e 'c_hidden ] ( #8 #8 e u u u .",
         CLN_INVALID_FILE, "it has a tensor 'extra' that the network lacks"},
    };
    tiny_net n = tiny_new(tiny_json[0]);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = write_checkpoint(n.weights, "imported.ckpt", cases[i].object, "model.");
        cln_score score;
        expect_status(evaluate(path, data, NULL, &score), cases[i].status, cases[i].message);
        free(path);
    }
    tiny_free(&n);
}
END_TEST

/* --- the published checkpoints --- */

static const struct {
    const char *name, *model;
    int correct, validated; /* of the sample: of its 1,017 test images, of its 518 images of the validation set */
} published[] = {{"GoogleNet", "GoogleNet", 915, 468},
                 {"ResNet", "ResNet", 923, 479},
                 {"ResNetPreAct", "ResNetPreAct", 930, 474},
                 {"DenseNet", "DenseNet", 915, 475}};

/* The sample of CIFAR-10, unpacked; NULL if it is not there. */
static char *unpack_sample(void) {
    char *archive = shared_path("data/cifar-10-sample-binary.tar.xz", "the published checkpoints");
    if (!archive)
        return NULL;
    char command[4096], *sample = path_of(folder, "sample");
    folder_make(folder, "sample");
    snprintf(command, sizeof command, "tar -xJf '%s' -C '%s'", archive, sample);
    int status = system(command);
    free(archive);
    if (status == 0)
        return sample;
    skip("the published checkpoints", "tar and xz are needed to unpack the sample");
    free(sample);
    return NULL;
}

/* Of the published split, a permutation of CIFAR-10's training images, what the sample has: the first 1,017 images of
 * each file. Writes the list; returns how many of the last 5,000, which validate, are in it. NULL: not there. */
static char *write_sample_split(int *validation_count) {
    enum { ALL = 50000, TRAINED = 45000, FILE_ALL = 10000, FILE_SAMPLE = 1017 };
    char *path = shared_path("reference/torch-randperm-50000-seed42.txt", "validation by the published split");
    FILE *from = path ? fopen(path, "r") : NULL;
    free(path);
    if (!from)
        return NULL;
    char *list = path_of(folder, "split.txt");
    FILE *to = fopen(list, "w");
    ck_assert_ptr_nonnull(to);
    *validation_count = 0;
    for (int i = 0, index; i < ALL; i++) {
        ck_assert_int_eq(fscanf(from, "%d", &index), 1);
        if (index % FILE_ALL >= FILE_SAMPLE)
            continue;
        fprintf(to, "%d\n", index / FILE_ALL * FILE_SAMPLE + index % FILE_ALL);
        *validation_count += i >= TRAINED;
    }
    fclose(from);
    fclose(to);
    return list;
}

static void check_validation(const char *weights, const char *sample, int correct) {
    cln_evaluate_options o = {
        .weights = weights, .data = sample, .batch_size = 128, .workers = 2, .subset = CLN_SUBSET_VALIDATION};
    cln_score score;
    int count;
    char *list = write_sample_split(&count);
    if (!list)
        return;
    o.models = cln_models(&o.model_count);
    o.split_indices = list;
    o.validation = count;
    ok(cln_evaluate(ctx, device, &o, &score));
    ck_assert_int_eq(score.count, 518);
    ck_assert_int_eq(score.correct, correct);
    free(list);
}

/* The logits of everything in the test set, through the public interface alone. */
static float *compute_logits(const char *path, const cln_model *model, const cln_dataset *set) {
    enum { BATCH = 128 };
    cln_weights_file *file;
    cln_weights *weights;
    cln_plan *plan;
    cln_loader *loader;
    const cln_batch *batch;
    cln_graph *g = cln_graph_new(ctx);
    cln_tensor image = cln_input(g, "image", BATCH, 3, 32, 32), logits = model->build(g, image, model->defaults);
    cln_plan_options options = {.outputs = &logits, .output_count = 1};
    cln_loader_options how = {.batch_size = BATCH, .workers = 2};
    float *all = calloc((size_t)set->count + BATCH, 10 * sizeof *all);
    ck_assert_ptr_nonnull(all);
    ok(cln_weights_file_read(ctx, path, &file));
    ok(cln_weights_new(device, g, 0, &weights));
    ok(cln_weights_load(ctx, weights, file, path));
    ok(cln_plan_build(device, g, weights, &options, &plan));
    ok(cln_normalization_choose(ctx, "cifar10", NULL, &how.normalization));
    ok(cln_loader_new(ctx, set, NULL, 0, &how, &loader));
    ok(cln_loader_start(loader, 0, 0));
    for (;;) {
        ok(cln_loader_next(loader, &batch));
        if (!batch)
            break;
        ok(cln_plan_write(plan, image, batch->images, BATCH * 3 * 32 * 32));
        ok(cln_plan_step(plan, 0));
        ok(cln_plan_read(plan, logits, all + batch->index * BATCH * 10, BATCH * 10));
    }
    cln_loader_free(loader);
    cln_plan_free(plan);
    cln_weights_free(weights);
    cln_weights_file_free(file);
    cln_graph_free(g);
    return all;
}

/* Relative, the whole tensor: float32 sums of another order, through some 20 layers. */
static const double logits_tolerance = 1e-4;

static void compare_logits(const char *name, const float *found, int64_t count) {
    char file_name[64];
    cln_safetensors *file;
    snprintf(file_name, sizeof file_name, "pretrained/%s.logits.safetensors", name);
    char *path = shared_path(file_name, name);
    ck_assert_ptr_nonnull(path);
    ok(cln_safetensors_read(ctx, path, &file));
    const cln_file_tensor *t = cln_safetensors_find(file, "logits");
    ck_assert_int_eq(t->count, count);
    float *expected = malloc((size_t)count * sizeof *expected);
    double error = 0, size = 0;
    cln_file_tensor_to_float(t, expected);
    for (int64_t i = 0; i < count; i++) {
        error += pow((double)found[i] - (double)expected[i], 2);
        size += pow((double)expected[i], 2);
    }
    ck_assert_msg(sqrt(error / size) <= logits_tolerance, "%s: relative error %g", name, sqrt(error / size));
    free(expected);
    cln_safetensors_free(file);
    free(path);
}

START_TEST(published_checkpoints) {
    char name[64], *sample = unpack_sample();
    if (!sample)
        return;
    cln_dataset *set;
    ok(cln_dataset_load(ctx, sample, CLN_SPLIT_TEST, NULL, &set));
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        snprintf(name, sizeof name, "pretrained/%s.ckpt", published[i].name);
        char *path = shared_path(name, name);
        if (!path)
            break;
        cln_training_record record;
        cln_score score;
        ok(cln_training_record_read(ctx, path, &record));
        ck_assert_str_eq(record.model, published[i].model);
        ok(evaluate(path, sample, NULL, &score));
        ck_assert_int_eq(score.count, 1017);
        ck_assert_int_eq(score.correct, published[i].correct);
        float *logits = compute_logits(path, cln_model_find(published[i].model), set);
        compare_logits(published[i].name, logits, set->count * 10);
        check_validation(path, sample, published[i].validated);
        free(logits);
        free(path);
    }
    cln_dataset_free(set);
    free(sample);
}
END_TEST

static void set_up(void) {
    folder = folder_new();
    data = path_of(folder, "data");
    folder_make(folder, "data");
    tiny_write(data);
}

static void tear_down(void) {
    free(data);
    folder_remove(folder);
}

static void add_tests(TCase *tests) {
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, lightning_checkpoints, 0, 2);
    tcase_add_test(tests, validation_is_drawn_where_the_file_does_not_say);
    tcase_add_test(tests, bare_state_dicts);
    tcase_add_test(tests, checkpoints_of_other_code);
    tcase_add_test(tests, published_checkpoints);
}

int main(void) {
    return suite_run_on_device("pretrained", add_tests);
}
