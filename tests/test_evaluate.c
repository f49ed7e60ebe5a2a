/* Evaluations against numbers computed by others, a classifier against the evaluation of the same images. */
#include "../src/io/file.h"
#include "clnet/evaluate.h"
#include "clnet/models.h"
#include "files.h"
#include "pictures.h"
#include "suite.h"
#include "tiny.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *folder, *data, *weights; /* of this suite; the tiny data set; a network trained on it for an epoch */

/* --- from logits --- */

enum { ROWS = 12, CLASSES = 4 };

/* Normal numbers rounded to two digits; what follows was computed of them by NumPy 2.4 (confusion, top-k by a stable
 * argsort, calibration by Guo's formula) and PyTorch 2.13 (cross_entropy) in double precision. */
static const float some_logits[ROWS][CLASSES] = {
    {2.25f, -0.26f, 1.28f, 0.21f},    {-1.07f, 0.72f, 2.61f, 1.89f},   {-1.41f, -0.53f, -1.25f, 0.08f},
    {-4.65f, -0.44f, -2.49f, -1.46f}, {-1.09f, 1.37f, 0.82f, 2.09f},   {-0.26f, 2.73f, -1.33f, 0.7f},
    {1.81f, 2.19f, -1.49f, -1.84f},   {-0.92f, 0.44f, -2.02f, -0.42f}, {-0.32f, 1.08f, 0.43f, 2.71f},
    {-1.31f, -0.26f, 1.57f, 2.99f},   {-0.52f, 3.03f, 2.69f, 1.56f},   {0.53f, -0.63f, 2.92f, 3.92f}};
static const int32_t some_labels[ROWS] = {0, 0, 1, 2, 1, 2, 1, 0, 2, 2, 0, 0};
static const int64_t some_confusion[CLASSES][CLASSES] = {{1, 2, 1, 1}, {0, 1, 0, 2}, {0, 2, 0, 2}, {0, 0, 0, 0}};

static cln_evaluation *measure(int top_k) {
    cln_evaluation *e;
    ok(cln_evaluation_from_logits(ctx, some_logits[0], some_labels, ROWS, CLASSES, NULL, top_k, &e));
    return e;
}

START_TEST(scores_are_those_of_numpy) {
    static const double top[] = {2 / 12.0, 5 / 12.0, 9 / 12.0, 1};
    for (int k = 1; k <= 4; k++) {
        cln_evaluation *e = measure(k);
        ck_assert_int_eq(e->top_k, k);
        ck_assert_double_eq_tol(e->top_k_accuracy, top[k - 1], 1e-12);
        cln_evaluation_free(e);
    }
    cln_evaluation *e = measure(0);
    ck_assert_int_eq(e->top_k, 4); /* five, but there are only four classes */
    ck_assert_int_eq(e->score.correct, 2);
    ck_assert_int_eq(e->score.count, ROWS);
    ck_assert_double_eq_tol(e->score.loss, 2.389833960, 1e-6); /* the logits are floats here */
    ck_assert_double_eq_tol(e->calibration_error, 0.470852271, 1e-6);
    ck_assert_mem_eq(e->confusion, some_confusion, sizeof some_confusion);
    ck_assert_double_eq_tol(e->classes[0].accuracy, 0.2, 1e-12);
    ck_assert_double_eq_tol(e->classes[0].precision, 1, 1e-12);
    ck_assert_double_eq_tol(e->classes[0].f1, 1 / 3.0, 1e-12);
    ck_assert_double_eq_tol(e->classes[1].accuracy, 1 / 3.0, 1e-12);
    ck_assert_double_eq_tol(e->classes[1].precision, 0.2, 1e-12);
    ck_assert_double_eq_tol(e->classes[1].f1, 0.25, 1e-12);
    ck_assert(isnan(e->classes[3].accuracy)); /* no image is of that class */
    ck_assert_double_eq(e->classes[3].precision, 0);
    ck_assert_int_eq(e->predictions[5].prediction, 1);
    ck_assert_double_eq_tol((double)e->predictions[5].probability, 0.834117420, 1e-6);
    ck_assert_str_eq(e->class_names[3], "3");
    ck_assert_ptr_null(e->data);
    cln_evaluation_free(e);
    cln_evaluation_free(NULL);
}
END_TEST

START_TEST(ties_and_bins) {
    /* Equal logits: the first class, as in training; probability 1/2 is in bin (7/15, 8/15]. */
    static const float logits[] = {1, 1, 0, 40};
    static const int32_t labels[] = {1, 1};
    cln_evaluation *e;
    ok(cln_evaluation_from_logits(ctx, logits, labels, 2, 2, NULL, 1, &e));
    ck_assert_int_eq(e->predictions[0].prediction, 0);
    ck_assert_int_eq(e->predictions[1].prediction, 1);
    ck_assert_double_eq(e->top_k_accuracy, 0.5);
    ck_assert_int_eq(e->bins[7].count, 1);
    ck_assert_int_eq(e->bins[14].count, 1);
    ck_assert_double_eq(e->bins[14].accuracy, 1);
    ck_assert(isnan(e->bins[0].accuracy));
    ck_assert_double_eq_tol(e->calibration_error, 0.25, 1e-12);
    cln_evaluation_free(e);
    int top[4];
    cln_top_k((const float[]){1, 3, 3, 2}, 4, 4, top);
    static const int order[] = {1, 2, 3, 0};
    ck_assert_mem_eq(top, order, sizeof order);
    cln_top_k((const float[]){1, 3, 3, 2}, 4, 1, top);
    ck_assert_int_eq(top[0], 1);
}
END_TEST

START_TEST(what_is_undefined_is_said_so) {
    static const float logits[] = {NAN, 1, 2, 0, 1e30f, -1e30f};
    static const int32_t labels[] = {0, 0, 1};
    cln_evaluation *e;
    ok(cln_evaluation_from_logits(ctx, logits, labels, 3, 2, NULL, 0, &e));
    ck_assert(isnan(e->calibration_error));
    ck_assert(!isfinite(e->score.loss));
    ck_assert_int_eq(e->score.count, 3);
    int64_t wrong[3];
    ck_assert_int_eq(cln_evaluation_mistakes(e, wrong, 3), e->score.count - e->score.correct);
    cln_evaluation_free(e);
}
END_TEST

START_TEST(bad_logits_are_told) {
    static const int32_t labels[] = {0, 4};
    static const char *const names[] = {"a", "b", "\xff", "d"};
    cln_evaluation *e;
    expect_status(cln_evaluation_from_logits(ctx, some_logits[0], labels, 2, 4, NULL, 0, &e), CLN_INVALID_ARGUMENT,
                  "image 1 has label 4, expected 0 to 3");
    expect_status(cln_evaluation_from_logits(ctx, some_logits[0], labels, 0, 4, NULL, 0, &e), CLN_INVALID_ARGUMENT,
                  "0 images of 4 classes");
    expect_status(cln_evaluation_from_logits(ctx, some_logits[0], labels, 1, 4, names, 0, &e), CLN_INVALID_ARGUMENT,
                  "the name of class 2, '\xff', is not UTF-8");
    ck_assert_ptr_null(e);
}
END_TEST

START_TEST(mistakes_are_sorted) {
    cln_evaluation *e = measure(0);
    int64_t wrong[ROWS];
    ck_assert_int_eq(cln_evaluation_mistakes(e, wrong, ROWS), 10);
    ck_assert_int_eq(wrong[0], 5);
    for (int i = 1; i < 10; i++)
        ck_assert(e->predictions[wrong[i - 1]].probability >= e->predictions[wrong[i]].probability);
    for (int most = 0; most <= 12; most++) {
        int64_t some[ROWS];
        int64_t count = cln_evaluation_mistakes(e, some, most);
        ck_assert_int_eq(count, most < 10 ? most : 10);
        ck_assert_mem_eq(some, wrong, (size_t)count * sizeof *some);
    }
    cln_evaluation_free(e);
}
END_TEST

/* However many there are said to be: what cannot fail needs no way to say so. */
START_TEST(mistakes_need_no_memory) {
    static const cln_prediction all[] = {{0, 1, 0, 0.5f}, {1, 1, 0, 0.75f}, {2, 1, 0, NAN}, {3, 0, 0, 1}};
    const cln_evaluation many = {.score = {.count = 4, .correct = -((int64_t)1 << 58)},
                                 .predictions = (cln_prediction *)all};
    int64_t wrong[4];
    ck_assert_int_eq(cln_evaluation_mistakes(&many, wrong, 4), 3);
    ck_assert_mem_eq(wrong, ((const int64_t[]){1, 0, 2}), 3 * sizeof *wrong);
}
END_TEST

static void check_text(const char *path, const char *expected) {
    uint8_t *bytes;
    size_t size;
    ok(cln__file_read(ctx, path, 1 << 20, &bytes, &size));
    ck_assert_msg(size == strlen(expected) && memcmp(bytes, expected, size) == 0, "%.*s", (int)size, (char *)bytes);
    free(bytes);
}

START_TEST(comma_separated_values) {
    static const float logits[] = {0, 1, 1, 0};
    static const int32_t labels[] = {1, 1};
    static const char *const names[] = {"plain", "with \"quotes\", commas"};
    char *path = path_of(folder, "table.csv");
    cln_evaluation *e;
    ok(cln_evaluation_from_logits(ctx, logits, labels, 2, 2, names, 0, &e));
    ok(cln_evaluation_write_classes(ctx, e, path));
    check_text(path, "class,name,images,predicted,correct,accuracy,precision,f1\n"
                     "0,plain,0,1,0,,0.000000,0.000000\n"
                     "1,\"with \"\"quotes\"\", commas\",2,1,1,0.500000,1.000000,0.666667\n");
    ok(cln_evaluation_write_confusion(ctx, e, path));
    check_text(path,
               "true class,plain,\"with \"\"quotes\"\", commas\"\nplain,0,0\n\"with \"\"quotes\"\", commas\",1,1\n");
    ok(cln_evaluation_write_predictions(ctx, e, path));
    check_text(path, "index,label,prediction,probability\n0,1,1,0.731059\n1,1,0,0.731059\n");
    expect_status(cln_evaluation_write_classes(ctx, e, "/nowhere/x.csv"), CLN_IO, "/nowhere/x.csv");
    cln_evaluation_free(e);
    free(path);
}
END_TEST

/* By NumPy 2.4 of the published checkpoints' logits on the sample of CIFAR-10: right among the first 1, 3 and 5, the
 * expected calibration error with 15 bins, the loss, and the diagonal of the confusion matrix. */
static const struct {
    const char *name;
    int64_t top[3];
    double calibration_error, loss;
    int64_t diagonal[10];
} published[] = {
    {"GoogleNet", {915, 1001, 1013}, 0.076030337, 0.496854610, {90, 87, 85, 84, 82, 75, 106, 99, 103, 104}},
    {"ResNet", {923, 1006, 1016}, 0.056754441, 0.345091803, {93, 87, 87, 87, 86, 75, 106, 99, 101, 102}},
    {"ResNetPreAct", {930, 1006, 1017}, 0.054921514, 0.345305806, {91, 87, 93, 87, 83, 75, 107, 98, 105, 104}},
    {"DenseNet", {915, 1005, 1016}, 0.071241628, 0.423203503, {89, 89, 87, 86, 82, 77, 105, 93, 104, 103}},
};

START_TEST(published_logits) {
    char name[64];
    snprintf(name, sizeof name, "pretrained/%s.logits.safetensors", published[_i].name);
    char *path = shared_path(name, "scores of published logits");
    if (!path)
        return;
    cln_safetensors *file;
    ok(cln_safetensors_read(ctx, path, &file));
    const cln_file_tensor *logits = cln_safetensors_find(file, "logits"), *labels = cln_safetensors_find(file, "label");
    int64_t count = labels->count, *label = malloc((size_t)count * sizeof *label);
    float *values = malloc((size_t)logits->count * sizeof *values);
    int32_t *classes = malloc((size_t)count * sizeof *classes);
    cln_file_tensor_to_float(logits, values);
    cln_file_tensor_to_int64(labels, label);
    for (int64_t i = 0; i < count; i++)
        classes[i] = (int32_t)label[i];
    for (int k = 0; k < 3; k++) {
        cln_evaluation *e;
        ok(cln_evaluation_from_logits(ctx, values, classes, count, 10, NULL, 2 * k + 1, &e));
        ck_assert_int_eq(e->score.count, 1017);
        ck_assert_int_eq(e->score.correct, published[_i].top[0]);
        ck_assert_double_eq_tol(e->top_k_accuracy, (double)published[_i].top[k] / 1017, 1e-12);
        ck_assert_double_eq_tol(e->calibration_error, published[_i].calibration_error, 1e-6);
        ck_assert_double_eq_tol(e->score.loss, published[_i].loss, 1e-6);
        for (int c = 0; c < 10; c++)
            ck_assert_int_eq(e->classes[c].correct, published[_i].diagonal[c]);
        cln_evaluation_free(e);
    }
    free(values);
    free(classes);
    free(label);
    cln_safetensors_free(file);
    free(path);
}
END_TEST

/* --- from a weights file --- */

static cln_evaluate_options how(cln_subset subset) {
    cln_evaluate_options o = {.weights = weights, .data = data, .subset = subset, .batch_size = 16};
    o.models = cln_models(&o.model_count);
    return o;
}

START_TEST(evaluation_agrees_with_the_score) {
    static const cln_subset subsets[] = {CLN_SUBSET_TEST, CLN_SUBSET_VALIDATION, CLN_SUBSET_TRAINING};
    bool *seen = calloc(TINY_TRAIN, sizeof *seen);
    for (int i = 0; i < 3; i++) {
        cln_evaluate_options o = how(subsets[i]);
        cln_score score;
        cln_evaluation *e;
        ok(cln_evaluate(ctx, device, &o, &score));
        ok(cln_evaluation_new(ctx, device, &o, &e));
        ck_assert_int_eq(e->score.correct, score.correct);
        ck_assert_int_eq(e->score.count, score.count);
        ck_assert_double_eq_tol(e->score.loss, score.loss, 1e-5 * score.loss); /* that one is a mean of floats */
        ck_assert_int_eq(e->num_classes, 10);
        ck_assert_str_eq(e->class_names[9], "truck");
        for (int64_t k = 0; k < score.count; k++) {
            ck_assert_int_eq(e->predictions[k].label, e->data->labels[e->predictions[k].index]);
            if (subsets[i] != CLN_SUBSET_TEST)
                seen[e->predictions[k].index] = true;
        }
        cln_evaluation_free(e);
    }
    for (int i = 0; i < TINY_TRAIN; i++) /* held back, or not */
        ck_assert(seen[i]);
    free(seen);
}
END_TEST

/* --- classifying --- */

static cln_classifier *open_classifier(int batch_size) {
    cln_classifier_options o = {.weights = weights, .batch_size = batch_size};
    cln_classifier *c;
    o.models = cln_models(&o.model_count);
    ok(cln_classifier_new(ctx, device, &o, &c));
    return c;
}

/* An image of a data set, pixel after pixel, with `components`: grey or colour (the grey is of the red channel). */
static cln_image to_image(const cln_dataset *d, int64_t index, int components) {
    size_t plane = (size_t)d->height * (size_t)d->width;
    const uint8_t *planes = d->images + (size_t)index * 3 * plane;
    cln_image image = {d->height, d->width, components, malloc(plane * (size_t)components)};
    for (size_t i = 0; i < plane; i++)
        for (int c = 0; c < components; c++)
            image.pixels[i * (size_t)components + (size_t)c] =
                c == 3 || (components == 2 && c == 1) ? 77 : planes[(size_t)(components > 2 ? c : 0) * plane + i];
    return image;
}

START_TEST(classifier_agrees_with_the_evaluation) {
    enum { COUNT = TINY_TEST };
    cln_evaluate_options o = how(CLN_SUBSET_TEST);
    cln_evaluation *e;
    cln_image images[COUNT];
    float *probabilities = malloc(COUNT * 10 * sizeof *probabilities);
    cln_classifier *c = open_classifier(7);
    ok(cln_evaluation_new(ctx, device, &o, &e));
    for (int i = 0; i < COUNT; i++)
        images[i] = to_image(e->data, i, i % 2 ? 3 : 4); /* transparency is dropped */
    ok(cln_classifier_predict(c, images, COUNT, probabilities));
    ck_assert_int_eq(cln_classifier_classes(c), 10);
    ck_assert_str_eq(cln_classifier_class_name(c, 0), "airplane");
    ck_assert_ptr_null(cln_classifier_class_name(c, 10));
    ck_assert_ptr_null(cln_classifier_class_name(c, -1));
    for (int i = 0; i < COUNT; i++) {
        int best;
        double sum = 0;
        cln_top_k(probabilities + i * 10, 10, 1, &best);
        for (int k = 0; k < 10; k++)
            sum += (double)probabilities[i * 10 + k];
        ck_assert_double_eq_tol(sum, 1, 1e-5);
        ck_assert_int_eq(best, e->predictions[i].prediction);
        ck_assert_float_eq_tol(probabilities[i * 10 + best], e->predictions[i].probability, 1e-5f);
    }
    for (int i = 0; i < COUNT; i++)
        cln_image_free(&images[i]);
    cln_classifier_free(c);
    cln_evaluation_free(e);
    free(probabilities);
}
END_TEST

/* A flat image is the same at any size, whether grey or coloured. */
START_TEST(sizes_and_colours_are_converted) {
    static uint8_t pixels[200 * 300 * 4];
    memset(pixels, 90, sizeof pixels);
    const cln_image images[] = {
        {32, 32, 3, pixels}, {200, 300, 3, pixels}, {1, 1, 1, pixels}, {7, 100, 2, pixels}, {100, 7, 4, pixels}};
    float probabilities[5][10];
    cln_classifier *c = open_classifier(0);
    ok(cln_classifier_predict(c, images, 5, probabilities[0]));
    for (int i = 1; i < 5; i++)
        ck_assert_mem_eq(probabilities[i], probabilities[0], sizeof probabilities[0]);
    const cln_image bad = {32, 32, 5, pixels};
    expect_status(cln_classifier_predict(c, &bad, 1, probabilities[0]), CLN_INVALID_ARGUMENT,
                  "32x32 with 5 components");
    cln_classifier_free(c);
    cln_classifier_free(NULL);
}
END_TEST

START_TEST(image_files) {
    static const uint8_t rgba[] = {1, 2, 3, 4, 5, 6, 7, 8};
    char *path = path_of(folder, "small.png");
    cln_image image;
    picture_write(folder, "small.png", 2, 1, 4, rgba);
    ok(cln_image_read(ctx, path, &image));
    ck_assert_int_eq(image.width, 2);
    ck_assert_int_eq(image.height, 1);
    ck_assert_int_eq(image.components, 4);
    ck_assert_mem_eq(image.pixels, rgba, sizeof rgba);
    cln_image_free(&image);
    ck_assert_ptr_null(image.pixels);
    picture_bytes(folder, "small.png", "\x89PNG\r\n\x1a\nrubbish", 15);
    expect_status(cln_image_read(ctx, path, &image), CLN_INVALID_FILE, "small.png");
    expect_status(cln_image_read(ctx, "/nowhere.png", &image), CLN_IO, "/nowhere.png");
    free(path);
}
END_TEST

START_TEST(what_a_classifier_cannot_use_is_told) {
    static const char *const nine[] = {"1", "2", "3", "4", "5", "6", "7", "8", "9"};
    static const char *const bad[] = {"1", "2", "3", "4", "5", "6", "7", "8", "9", "\xc3"};
    cln_classifier_options good = {.weights = weights}, o = good;
    cln_classifier *c;
    good.models = cln_models(&good.model_count);
    o = good;
    o.class_names = nine;
    o.class_count = 9;
    expect_status(cln_classifier_new(ctx, device, &o, &c), CLN_INVALID_ARGUMENT, "knows 10 classes, and 9 are named");
    o.class_names = bad;
    o.class_count = 10;
    expect_status(cln_classifier_new(ctx, device, &o, &c), CLN_INVALID_ARGUMENT, "the name of class 9");
    o = good;
    o.normalize = "dataset";
    expect_status(cln_classifier_new(ctx, device, &o, &c), CLN_INVALID_ARGUMENT,
                  "there is no data set to compute it from");
    o.normalize = "0.5/0.5";
    expect_status(cln_classifier_new(ctx, device, &o, &c), CLN_INVALID_ARGUMENT,
                  "is for images of 3 channels, the normalisation for 1");
    o = good;
    o.image_height = o.image_width = 16;
    expect_status(cln_classifier_new(ctx, device, &o, &c), CLN_INVALID_ARGUMENT, "is for images of 32x32, not 16x16");
    o = good;
    o.weights = "/nowhere";
    expect_status(cln_classifier_new(ctx, device, &o, &c), CLN_IO, "/nowhere");
    ck_assert_ptr_null(c);
}
END_TEST

/* --- set-up --- */

static void set_up(void) {
    cln_fit_options o = {.model = cln_model_find("ResNet"), .seed = 42, .validation = 20};
    cln_fit_result result;
    void *hparams;
    folder = folder_new();
    data = path_of(folder, "data");
    char *out = path_of(folder, "run");
    folder_make(folder, "data");
    tiny_write(data);
    ok(cln_hparams_new(ctx, o.model, TINY_HPARAMS, &hparams));
    o.data = data;
    o.out = out;
    o.hparams = hparams;
    o.recipe = *o.model->recipe;
    o.recipe.epochs = 1;
    o.recipe.batch_size = 16;
    o.recipe.milestones.count = 0;
    ok(cln_fit(ctx, device, &o, &result));
    weights = path_of(out, "last.safetensors");
    free(hparams);
    free(out);
}

static void tear_down(void) {
    free(weights);
    free(data);
    folder_remove(folder);
}

static void add_tests(TCase *tests) {
    tcase_add_unchecked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, scores_are_those_of_numpy);
    tcase_add_test(tests, ties_and_bins);
    tcase_add_test(tests, what_is_undefined_is_said_so);
    tcase_add_test(tests, bad_logits_are_told);
    tcase_add_test(tests, mistakes_are_sorted);
    tcase_add_test(tests, mistakes_need_no_memory);
    tcase_add_test(tests, comma_separated_values);
    tcase_add_loop_test(tests, published_logits, 0, (int)(sizeof published / sizeof *published));
    tcase_add_test(tests, evaluation_agrees_with_the_score);
    tcase_add_test(tests, classifier_agrees_with_the_evaluation);
    tcase_add_test(tests, sizes_and_colours_are_converted);
    tcase_add_test(tests, image_files);
    tcase_add_test(tests, what_a_classifier_cannot_use_is_told);
}

int main(void) {
    return suite_run_on_device("evaluate", add_tests);
}
