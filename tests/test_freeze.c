/* Parameters that are not trained: they keep their bits whatever the update is, the others are trained as ever, and
 * nothing is computed for them. And weights of a network with another head. */
#include "../src/graph/graph.h"
#include "clnet/models.h"
#include "files.h"
#include "numbers.h"
#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 6, SIDE = 16 };

static const char *const all[] = {"ResNet", "ResNetPreAct", "DenseNet", "GoogleNet"};
enum { MODELS = sizeof all / sizeof *all };
static const char *const hparams_of[] = {"{\"num_blocks\": [1, 2], \"c_hidden\": [8, 16]}",
                                         "{\"num_blocks\": [1, 2], \"c_hidden\": [8, 16]}",
                                         "{\"num_layers\": [2, 2], \"growth_rate\": 8}", "{}"};

/* --- a network that is trained --- */

typedef struct net {
    cln_graph *g;
    cln_tensor x, labels, logits, loss;
    cln_weights *weights;
    cln_plan *plan;
} net;

static net net_new(int model, const char *hparams_json, const char *freeze) {
    const cln_model *m = cln_model_find(all[model]);
    net n = {.g = cln_graph_new(ctx)};
    void *hparams;
    ok(cln_hparams_new(ctx, m, hparams_json, &hparams));
    n.x = cln_input(n.g, "image", BATCH, 3, SIDE, SIDE);
    n.labels = cln_labels(n.g, "label", BATCH);
    n.logits = m->build(n.g, n.x, hparams);
    n.loss = cln_softmax_ce(n.g, n.logits, n.labels, 0);
    free(hparams);
    ok(cln_graph_status(n.g));
    if (freeze)
        ok(cln_graph_freeze(n.g, freeze));
    ok(cln_weights_new(device, n.g, 3, &n.weights));
    return n;
}

static void net_plan(net *n, const cln_optimizer *optimizer) {
    cln_plan_options o = {
        .training = true, .loss = n->loss, .optimizer = *optimizer, .outputs = &n->loss, .output_count = 1};
    static const int32_t labels[BATCH] = {0, 3, 6, 2, 5, 1};
    float *x = noises(1, BATCH * 3 * SIDE * SIDE);
    ok(cln_plan_build(device, n->g, n->weights, &o, &n->plan));
    ok(cln_plan_write(n->plan, n->x, x, BATCH * 3 * SIDE * SIDE));
    ok(cln_plan_write_labels(n->plan, n->labels, labels, BATCH));
    free(x);
}

static void net_free(net *n) {
    cln_plan_free(n->plan);
    cln_weights_free(n->weights);
    cln_graph_free(n->g);
}

static float *value_of(const net *n, int index) {
    cln_weight_info info = cln_weights_info(n->weights, index);
    float *values = floats(info.count);
    ok(cln_weights_get(n->weights, index, CLN_VALUE, values, info.count));
    return values;
}

static bool is_frozen(const net *n, const char *name) {
    for (int i = 0; i < n->g->tensor_count; i++)
        if (n->g->tensors[i].name && strcmp(n->g->tensors[i].name, name) == 0)
            return n->g->tensors[i].frozen;
    ck_abort_msg("there is no %s", name);
}

/* Whether tensor `index` has the same bits in both. */
static bool same(const net *a, const net *b, int index) {
    float *x = value_of(a, index), *y = value_of(b, index);
    bool equal = memcmp(x, y, (size_t)cln_weights_info(a->weights, index).count * sizeof *x) == 0;
    free(x);
    free(y);
    return equal;
}

/* --- what is frozen --- */

static const struct {
    int model;
    const char *patterns;
} patterns[] = {
    {0, "input_net.*"},
    {0, "input_net.*,blocks.0.*,blocks.[1-2].net.[0-1].*"},
    {0, "*.bias"},
    {0, "blocks[,.\\]*,input_net.*"},           /* a backslash is a character like any other */
    {0, "blocks.*"},                            /* gradients pass through to what lies below */
    {0, "input_net.0.*,blocks.*.net.0.weight"}, /* normalisations of what is not trained */
    {1, "input_net.*,blocks.0.*"},
    {1, "*.net.2.*,*.net.3.*,input_net.0.weight"},
    {2, "input_net.*,blocks.0.*"},
    {2, "blocks.*.net.2.weight,*.bias"},
    {3, "input_net.*,inception_blocks.[0-4].*"},
    {3, "*conv_1x1*"}, /* one of several convolutions that are done as one */
    {3, "*.weight"},
};
enum { PATTERNS = sizeof patterns / sizeof *patterns };

static const cln_optimizer optimizers[] = {
    {.kind = CLN_SGD, .momentum = 0.9f, .weight_decay = 0.1f, .accumulate = 2, .clip = 0.1f},
    {.kind = CLN_ADAMW, .weight_decay = 0.1f, .clip = 0.1f, .clip_kind = CLN_CLIP_VALUE},
    {.kind = CLN_MUON, .weight_decay = 0.1f, .no_weight_decay_norm_bias = true, .accumulate = 2, .clip = 0.1f},
    {.kind = CLN_ADAM, .weight_decay = 0.1f, .no_weight_decay_norm_bias = true},
};

/* The values after training differ from those before where they are trained, and nowhere else; so do those of a moving
 * average. */
static void check_moved(const net *n, const net *before, const char *what) {
    for (int i = 0; i < cln_weights_count(n->weights); i++) {
        cln_weight_info info = cln_weights_info(n->weights, i);
        bool stays = info.trainable && is_frozen(n, info.name);
        ck_assert_msg(same(n, before, i) == stays, "%s: %s %s", what, info.name, stays ? "has moved" : "has not moved");
    }
}

START_TEST(frozen_parameters_keep_their_bits) {
    int model = patterns[_i].model;
    for (size_t k = 0; k < sizeof optimizers / sizeof *optimizers; k++) {
        net n = net_new(model, hparams_of[model], patterns[_i].patterns);
        net before = net_new(model, hparams_of[model], NULL), average = net_new(model, hparams_of[model], NULL);
        net_plan(&n, &optimizers[k]);
        for (int update = 0; update < 3; update++) {
            if (optimizers[k].accumulate > 1)
                ok(cln_plan_accumulate(n.plan));
            ok(cln_plan_step(n.plan, 0.05f));
            ok(cln_weights_average(average.weights, n.weights, update == 1 ? 0.3 : 0.7));
        }
        check_moved(&n, &before, patterns[_i].patterns);
        cln_weights *own = n.weights;
        n.weights = average.weights;
        check_moved(&n, &before, "average");
        n.weights = own;
        net_free(&average);
        net_free(&before);
        net_free(&n);
    }
}
END_TEST

/* The step from `before` to `n`, which is that from `before` to `whole`: kernels may be others, hence the tolerance. */
static void check_same_step(const net *n, const net *whole, const net *before, int index) {
    cln_weight_info info = cln_weights_info(n->weights, index);
    float *got = value_of(n, index), *expected = value_of(whole, index), *first = value_of(before, index);
    double *steps = zeros(info.count);
    for (int64_t i = 0; i < info.count; i++) {
        got[i] -= first[i];
        steps[i] = (double)expected[i] - (double)first[i];
    }
    check_sums(info.name, got, steps, info.count, 1e-3, 1e-5); /* the bias before a normalisation has no gradient */
    free(got);
    free(expected);
    free(first);
    free(steps);
}

START_TEST(the_others_are_trained_as_ever) {
    static const cln_optimizer sgd = {.kind = CLN_SGD};
    int model = patterns[_i].model;
    net n = net_new(model, hparams_of[model], patterns[_i].patterns);
    net whole = net_new(model, hparams_of[model], NULL), before = net_new(model, hparams_of[model], NULL);
    net_plan(&n, &sgd);
    net_plan(&whole, &sgd);
    ok(cln_plan_step(n.plan, 1.0f));
    ok(cln_plan_step(whole.plan, 1.0f));
    for (int i = 0; i < cln_weights_count(n.weights); i++) {
        cln_weight_info info = cln_weights_info(n.weights, i);
        if (!info.trainable || !is_frozen(&n, info.name))
            check_same_step(&n, &whole, &before, i);
    }
    net_free(&before);
    net_free(&whole);
    net_free(&n);
}
END_TEST

static bool may_be_differentiated(const char *layer) {
    return strncmp(layer, "output_net", 10) == 0 || strcmp(layer, "softmax_ce") == 0;
}

/* Below a frozen beginning there is no backward pass. */
START_TEST(nothing_is_computed_for_them) {
    static const cln_optimizer sgd = {.kind = CLN_SGD};
    net n = net_new(0, hparams_of[0], "input_net.*,blocks.*");
    net_plan(&n, &sgd);
    int steps = cln_plan_get_memory(n.plan).steps, gradients = 0;
    cln_step_time *times = malloc(sizeof *times * (size_t)steps);
    ok(cln_plan_profile(n.plan, 0.1f, times));
    for (int i = 0; i < steps; i++) {
        bool gradient = strstr(times[i].op, "_grad") != NULL || strstr(times[i].kernel, "_grad") != NULL;
        gradients += gradient;
        ck_assert_msg(!gradient || may_be_differentiated(times[i].layer), "%s: %s %s", times[i].layer, times[i].kernel,
                      times[i].op);
    }
    ck_assert_int_gt(gradients, 0);
    free(times);
    net_free(&n);
}
END_TEST

/* Gradients that an earlier plan left on the same weights do not count in the norm that is clipped. */
START_TEST(gradients_of_before_do_not_count) {
    static const cln_optimizer sgd = {.kind = CLN_SGD}, clipped = {.kind = CLN_SGD, .accumulate = 2, .clip = 0.01f};
    net n = net_new(0, hparams_of[0], "blocks.*"), other = net_new(0, hparams_of[0], "blocks.*");
    net whole = net_new(0, hparams_of[0], NULL);
    cln_weights_free(whole.weights);
    whole.weights = n.weights;
    net_plan(&whole, &sgd);
    ok(cln_plan_step(whole.plan, 0)); /* moves running statistics only, which training does not read */
    net_plan(&n, &clipped);
    net_plan(&other, &clipped);
    ok(cln_plan_step(n.plan, 1.0f));
    ok(cln_plan_step(other.plan, 1.0f));
    for (int i = 0; i < cln_weights_count(n.weights); i++)
        ck_assert_msg(!cln_weights_info(n.weights, i).trainable || same(&n, &other, i), "%s",
                      cln_weights_info(n.weights, i).name);
    whole.weights = NULL;
    net_free(&whole);
    net_free(&other);
    net_free(&n);
}
END_TEST

START_TEST(bad_patterns_are_told) {
    static const struct {
        const char *patterns, *message;
    } bad[] = {{"input_net.*,block.*", "none matches 'block.*'; they have names like 'input_net.0.weight'"},
               {"", "none matches ''"},
               {"input_net.*,", "none matches ''"},
               {"input_net", "none matches 'input_net'"},
               {"blocks.[0,x].*,[]!,x],*", "none matches '[]!,x]'"},
               {"blocks.[[:digit:],].*,[a,b", "none matches '[a'"},
               {"conv\\[1,fc", "none matches 'conv\\[1'"},
               {"*.running_mean", "none matches '*.running_mean'"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        net n = net_new(0, hparams_of[0], NULL);
        ck_assert_int_eq(cln_graph_freeze(n.g, bad[i].patterns), CLN_INVALID_ARGUMENT);
        expect_message(bad[i].message);
        net_free(&n);
    }
    net n = net_new(0, hparams_of[0], "*");
    ck_assert_int_eq(cln_graph_frozen(n.g), cln_graph_parameters(n.g));
    cln_plan_options o = {.training = true, .loss = n.loss, .optimizer = {.kind = CLN_SGD}};
    ck_assert_int_eq(cln_plan_build(device, n.g, n.weights, &o, &n.plan), CLN_INVALID_ARGUMENT);
    expect_message("every parameter is frozen, there is nothing to train");
    net_free(&n);
}
END_TEST

/* --- weights of another head --- */

#define CLASSES(n) "{\"num_blocks\": [1], \"c_hidden\": [8], \"num_classes\": " #n "}"

/* The weights of `n` as a file, but for tensors whose name has `without` in it. */
static cln_weights_file *file_of(const net *n, const char *folder, const char *without) {
    cln_file_tensor tensors[100];
    size_t count = 0;
    char *path = path_of(folder, "w.safetensors");
    for (int i = 0; i < cln_weights_count(n->weights); i++) {
        cln_weight_info info = cln_weights_info(n->weights, i);
        if (strstr(info.name, without))
            continue;
        cln_file_tensor t = {.name = info.name, .dtype = CLN_F32, .rank = info.rank, .count = info.count};
        memcpy(t.shape, info.shape, sizeof info.shape);
        float *values = noises((uint64_t)i, info.count);
        t.data = (void *)values;
        tensors[count++] = t;
    }
    cln_weights_file *file;
    ok(cln_safetensors_write(ctx, path, tensors, count, NULL, 0));
    ok(cln_weights_file_read(ctx, path, &file));
    for (size_t i = 0; i < count; i++)
        free((void *)tensors[i].data);
    free(path);
    return file;
}

/* How many tensors of `n` are the file's; those of the head are its own where `kept`. */
static void check_taken(const net *n, const net *before, const cln_weights_file *file, bool kept) {
    for (int i = 0; i < cln_weights_count(n->weights); i++) {
        cln_weight_info info = cln_weights_info(n->weights, i);
        const cln_file_tensor *t = cln_weights_file_find(file, info.name);
        bool head = strncmp(info.name, "output_net", 10) == 0;
        float *values = value_of(n, i);
        if (head && kept)
            ck_assert_msg(same(n, before, i), "%s", info.name);
        else
            ck_assert_mem_eq(values, t->data, (size_t)info.count * sizeof *values);
        free(values);
    }
}

static const struct {
    const char *hparams, *without, *report; /* of the file; NULL: refused */
    bool kept;
    const char *message;
} transfers[] = {
    {CLASSES(7), "-",
     "15 of 17 tensors from 'F'; left as they were: output_net.2.weight (5x8 here, 7x8 there), "
     "output_net.2.bias (5 here, 7 there)",
     true, NULL},
    {CLASSES(5), "-", "all 17 tensors from 'F'", false, NULL},
    {CLASSES(5), "output_net",
     "15 of 17 tensors from 'F'; left as they were: output_net.2.weight (5x8 here, missing "
     "there), output_net.2.bias (5 here, missing there)",
     true, NULL},
    /* A head is taken as a whole or not at all. */
    {CLASSES(5), "output_net.2.bias",
     "15 of 17 tensors from 'F'; left as they were: output_net.2.weight (5x8 here, "
     "5x8 there), output_net.2.bias (5 here, missing there)",
     true, NULL},
    {CLASSES(7), "input_net.0", NULL, true, "F: weights of another network: it has no tensor 'input_net.0.weight'"},
    {"{\"num_blocks\": [1], \"c_hidden\": [9]}", "-", NULL, true,
     "F: weights of another network: tensor 'input_net.0.weight' has shape [9x3x3x3], the network expects [8x3x3x3]"},
    {"{\"num_blocks\": [2], \"c_hidden\": [8]}", "-", NULL, true,
     "F: weights of another network: it has a tensor 'blocks.1.net.0.weight' that the network lacks"},
};
enum { TRANSFERS = sizeof transfers / sizeof *transfers };

START_TEST(only_the_head_may_differ) {
    char *folder = folder_new(), *report;
    net n = net_new(0, CLASSES(5), NULL), before = net_new(0, CLASSES(5), NULL);
    net other = net_new(0, transfers[_i].hparams, NULL);
    cln_weights_file *file = file_of(&other, folder, transfers[_i].without);
    cln_status status = cln_weights_transfer(ctx, n.weights, file, "F", "output_net.2", &report);
    if (transfers[_i].report) {
        ok(status);
        ck_assert_str_eq(report, transfers[_i].report);
        check_taken(&n, &before, file, transfers[_i].kept);
    } else {
        ck_assert_int_eq(status, CLN_INVALID_FILE);
        ck_assert_ptr_null(report);
        expect_message(transfers[_i].message);
        for (int i = 0; i < cln_weights_count(n.weights); i++)
            ck_assert(same(&n, &before, i));
    }
    free(report);
    cln_weights_file_free(file);
    net_free(&other);
    net_free(&before);
    net_free(&n);
    folder_remove(folder);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_loop_test(tests, frozen_parameters_keep_their_bits, 0, PATTERNS);
    tcase_add_loop_test(tests, the_others_are_trained_as_ever, 0, PATTERNS);
    tcase_add_test(tests, nothing_is_computed_for_them);
    tcase_add_test(tests, gradients_of_before_do_not_count);
    tcase_add_test(tests, bad_patterns_are_told);
    tcase_add_loop_test(tests, only_the_head_may_differ, 0, TRANSFERS);
}

int main(void) {
    return suite_run_on_device("freeze", add_tests);
}
