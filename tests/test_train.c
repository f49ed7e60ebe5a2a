/* src/train on a device, through the public interface: the same seed gives the same bytes, the split is kept, scores
 * are reproduced from files, and what goes wrong is told. */
#include "clnet/models.h"
#include "files.h"
#include "suite.h"
#include "tiny.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cln_fit_options tiny_options(const char *out) {
    cln_fit_options o = {
        .model = cln_model_find("ResNet"), .data = tiny_data, .out = out, .seed = 42, .validation = 20};
    o.hparams = tiny_hparams;
    o.recipe = *o.model->recipe;
    o.recipe.epochs = 2;
    o.recipe.batch_size = 16;
    o.recipe.milestones = (cln_ints){1, {1}};
    return o;
}

static cln_fit_result fit(const cln_fit_options *options) {
    cln_fit_result result;
    ok(cln_fit(ctx, device, options, &result));
    return result;
}

static char *read_all(const char *folder, const char *name, size_t *size) {
    char *path = path_of(folder, name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "no %s", path);
    char *bytes = malloc(1 << 20);
    *size = fread(bytes, 1, (1 << 20) - 1, file);
    bytes[*size] = '\0';
    fclose(file);
    free(path);
    return bytes;
}

static bool same_file(const char *a, const char *b, const char *name) {
    size_t a_size, b_size;
    char *a_bytes = read_all(a, name, &a_size), *b_bytes = read_all(b, name, &b_size);
    bool same = a_size == b_size && memcmp(a_bytes, b_bytes, a_size) == 0;
    free(a_bytes);
    free(b_bytes);
    return same;
}

START_TEST(same_seed_same_bytes) {
    char *root = folder_new(), *a = path_of(root, "a/deep"), *b = path_of(root, "b"), *c = path_of(root, "c");
    cln_fit_options o = tiny_options(a);
    fit(&o);
    o.out = b;
    o.workers = 3;
    fit(&o);
    ck_assert(same_file(a, b, "last.safetensors"));
    ck_assert(same_file(a, b, "best.safetensors"));
    o.out = c;
    o.seed = 43;
    fit(&o);
    ck_assert(!same_file(a, c, "last.safetensors"));
    free(a);
    free(b);
    free(c);
    folder_remove(root);
}
END_TEST

typedef struct seen {
    int loaded, ready, steps, epochs, tests;
    float rates[2];
} seen;

static void watch(void *user, const cln_fit_event *e) {
    seen *s = user;
    s->loaded += e->stage == CLN_FIT_LOADED;
    s->ready += e->stage == CLN_FIT_READY;
    s->steps += e->stage == CLN_FIT_STEP;
    s->tests += e->stage == CLN_FIT_TEST;
    ck_assert_int_eq(e->training_images, TINY_TRAIN - 20);
    if (e->stage == CLN_FIT_EPOCH) {
        ck_assert_int_eq(e->steps, (TINY_TRAIN - 20) / 16);
        ck_assert_int_eq(e->step, e->steps);
        s->rates[s->epochs++] = e->learning_rate;
    }
}

static cln_score evaluate(const char *weights, cln_subset subset, int batch_size) {
    cln_evaluate_options o = {.weights = weights, .data = tiny_data, .subset = subset, .batch_size = batch_size};
    cln_score score;
    o.models = cln_models(&o.model_count);
    ok(cln_evaluate(ctx, device, &o, &score));
    return score;
}

START_TEST(events_files_and_scores) {
    char *out = folder_new(), *best = path_of(out, "best.safetensors");
    seen s = {0};
    cln_fit_options o = tiny_options(out);
    o.on_event = watch;
    o.user = &s;
    cln_fit_result r = fit(&o);
    ck_assert_int_eq(s.loaded, 1);
    ck_assert_int_eq(s.ready, 1);
    ck_assert_int_eq(s.steps, 12);
    ck_assert_int_eq(s.epochs, 2);
    ck_assert_int_eq(s.tests, 1);
    ck_assert_float_eq(s.rates[0], 0.1f);
    ck_assert_float_eq_tol(s.rates[1], 0.01f, 1e-8f);

    size_t size;
    char *csv = read_all(out, "metrics.csv", &size);
    ck_assert_ptr_eq(strstr(csv, "epoch,lr-SGD,train_loss,train_acc,val_loss,val_acc,images_per_s\n1,0.1,"), csv);
    ck_assert_ptr_nonnull(strstr(csv, "\n2,0.01,"));
    free(csv);

    ck_assert_int_eq(r.validation.count, 20);
    ck_assert_int_eq(r.test.count, TINY_TEST);
    /* The same numbers from the file, whatever the batch; a last batch of one image is padded. */
    cln_score test = evaluate(best, CLN_SUBSET_TEST, 29), validation = evaluate(best, CLN_SUBSET_VALIDATION, 16);
    ck_assert_int_eq(test.correct, r.test.correct);
    ck_assert_int_eq(test.count, TINY_TEST);
    ck_assert_double_eq_tol(test.loss, r.test.loss, 1e-4 * r.test.loss);
    ck_assert_int_eq(validation.correct, r.validation.correct);
    ck_assert_int_eq(validation.count, 20);
    ck_assert_int_eq(evaluate(best, CLN_SUBSET_TRAINING, 16).count, TINY_TRAIN - 20);
    free(best);
    folder_remove(out);
}
END_TEST

START_TEST(without_validation_the_last_counts) {
    char *out = folder_new(), *best = path_of(out, "best.safetensors"), *last = path_of(out, "last.safetensors");
    cln_fit_options o = tiny_options(out);
    o.validation = 0;
    cln_fit_result r = fit(&o);
    ck_assert_int_eq(r.best_epoch, 2);
    ck_assert_int_eq(r.validation.count, 0);
    ck_assert_ptr_null(fopen(best, "rb"));
    ck_assert_int_eq(evaluate(last, CLN_SUBSET_TEST, 128).correct, r.test.correct);
    ck_assert_int_eq(evaluate(last, CLN_SUBSET_TRAINING, 128).count, TINY_TRAIN);
    cln_evaluate_options e = {.weights = last, .data = tiny_data, .subset = CLN_SUBSET_VALIDATION, .batch_size = 8};
    cln_score score;
    e.models = cln_models(&e.model_count);
    expect_status(cln_evaluate(ctx, device, &e, &score), CLN_INVALID_ARGUMENT, "held no images back");
    e.subset = CLN_SUBSET_TEST;
    e.model = cln_model_find("ResNetPreAct");
    e.hparams = TINY_HPARAMS;
    expect_status(cln_evaluate(ctx, device, &e, &score), CLN_INVALID_FILE,
                  "weights of another network: tensor 'blocks.0.net.0.weight'");
    free(best);
    free(last);
    folder_remove(out);
}
END_TEST

/* Every optimiser learns which grey level is which class; smoothing and a share for validation go along. */
START_TEST(it_learns) {
    static const cln_optimizer optimizers[] = {{.kind = CLN_SGD, .momentum = 0.9f, .weight_decay = 1e-4f},
                                               {.kind = CLN_ADAM, .weight_decay = 1e-4f},
                                               {.kind = CLN_ADAMW, .weight_decay = 1e-4f},
                                               {.kind = CLN_ADAMW, .weight_decay = 1e-4f}};
    const cln_augmentation mixed = {.hflip = 0.5, .mixup = 0.4, .cutmix = 1};
    char *out = folder_new();
    cln_fit_options o = tiny_options(out);
    o.recipe.optimizer = optimizers[_i];
    o.recipe.learning_rate = _i == 0 ? 0.03f : 0.01f;
    o.recipe.milestones.count = 0;
    o.recipe.epochs = 20;
    o.label_smoothing = 0.05f;
    o.validation = 0;
    if (_i == 3) /* mixed images and labels */
        o.augmentation = &mixed;
    cln_fit_result r = fit(&o);
    ck_assert_msg(r.test.accuracy > 0.4, "accuracy %g", r.test.accuracy); /* chance is 0.1 */
    folder_remove(out);
}
END_TEST

/* What is far from the recipe is recorded with the weights, and told where the images do not allow it. */
START_TEST(augmentation_is_the_runs_own) {
    char *root = folder_new(), *a = path_of(root, "a"), *b = path_of(root, "b"), *c = path_of(root, "c");
    char *d = path_of(root, "d");
    cln_augmentation recipe = cln_augmentation_default(), mixed = {.crop_padding = 4, .mixup = 0.2, .cutmix = 1};
    cln_fit_options o = tiny_options(a);
    fit(&o);
    o.out = b;
    o.augmentation = &recipe;
    fit(&o);
    ck_assert(same_file(a, b, "last.safetensors"));
    o.out = c;
    o.augmentation = &mixed;
    fit(&o);
    ck_assert(!same_file(a, c, "last.safetensors"));
    size_t size;
    char *bytes = read_all(c, "last.safetensors", &size);
    /* The header, a JSON text behind 8 bytes. */
    ck_assert_ptr_nonnull(strstr(bytes + 8, "\\\"random_crop_padding\\\":4"));
    ck_assert_ptr_nonnull(strstr(bytes + 8, "\\\"mixup\\\":0.2,\\\"cutmix\\\":1}"));
    free(bytes);
    mixed.crop_padding = 32;
    o.out = d;
    cln_fit_result r;
    expect_status(cln_fit(ctx, device, &o, &r), CLN_INVALID_ARGUMENT,
                  "a padding of 32 pixels; it must be less than the sides of the images, which are 32x32");
    free(d);
    free(a);
    free(b);
    free(c);
    folder_remove(root);
}
END_TEST

START_TEST(divergence_names_step_and_layer) {
    char *out = folder_new();
    cln_fit_options o = tiny_options(out);
    o.recipe.learning_rate = 1e30f;
    cln_fit_result r;
    expect_status(cln_fit(ctx, device, &o, &r), CLN_DIVERGED, "in epoch 1, step ");
    expect_status(CLN_DIVERGED, CLN_DIVERGED, "of 6 (learning rate 1e+30): the first ");
    ck_assert_msg(strstr(cln_context_error(ctx), "_net.") || strstr(cln_context_error(ctx), "blocks."), "%s",
                  cln_context_error(ctx));
    folder_remove(out);
}
END_TEST

START_TEST(bad_options_are_told) {
    char *out = folder_new();
    cln_fit_result r;
    cln_fit_options good = tiny_options(out), o = good;
    o.recipe.batch_size = 101;
    expect_status(cln_fit(ctx, device, &o, &r), CLN_INVALID_ARGUMENT,
                  "a batch of 101 is larger than the data: 100 images to train on (120, 20 of them held back");
    o = good;
    o.validation = 120;
    expect_status(cln_fit(ctx, device, &o, &r), CLN_INVALID_ARGUMENT,
                  "the training set has 120 images, and none would be left");
    o.validation = 1.5;
    expect_status(cln_fit(ctx, device, &o, &r), CLN_INVALID_ARGUMENT, "validation split 1.5");
    o = good;
    o.recipe.milestones = (cln_ints){2, {5, 5}};
    expect_status(cln_fit(ctx, device, &o, &r), CLN_INVALID_ARGUMENT, "found 5 after 5");
    o = good;
    o.data = "/nowhere";
    expect_status(cln_fit(ctx, device, &o, &r), CLN_IO, "/nowhere");
    o = good;
    o.out = "/dev/null/x";
    expect_status(cln_fit(ctx, device, &o, &r), CLN_IO, "/dev/null");
    folder_remove(out);
}
END_TEST

static void add_tests(TCase *tests) {
    tiny_fixture(tests);
    tcase_add_test(tests, same_seed_same_bytes);
    tcase_add_test(tests, events_files_and_scores);
    tcase_add_test(tests, without_validation_the_last_counts);
    tcase_add_loop_test(tests, it_learns, 0, 4);
    tcase_add_test(tests, augmentation_is_the_runs_own);
    tcase_add_test(tests, divergence_names_step_and_layer);
    tcase_add_test(tests, bad_options_are_told);
}

int main(void) {
    return suite_run_on_device("train", add_tests);
}
