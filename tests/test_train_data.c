/* Training's side of the data, through the public interface on a device: splits by a list, image folders and their
 * size, and the look at the normalised batches. */
#include "clnet/models.h"
#include "files.h"
#include "pictures.h"
#include "suite.h"
#include "tiny.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *out; /* an empty folder for each test */

static cln_fit_options options(void) {
    cln_fit_options o = {
        .model = cln_model_find("ResNet"), .data = tiny_data, .out = out, .seed = 1, .hparams = tiny_hparams};
    o.recipe = *o.model->recipe;
    o.recipe.epochs = 1;
    o.recipe.batch_size = 8;
    o.recipe.milestones.count = 0;
    return o;
}

static void fails(const cln_fit_options *o, cln_status status, const char *message) {
    cln_fit_result result;
    ck_assert_int_eq(cln_fit(ctx, device, o, &result), status);
    expect_message(message);
}

static cln_evaluate_options evaluation(const char *weights, const char *path, cln_subset subset) {
    cln_evaluate_options e = {.weights = weights, .data = path, .subset = subset, .batch_size = 8};
    e.models = cln_models(&e.model_count);
    return e;
}

static cln_score score(const cln_evaluate_options *e) {
    cln_score s;
    ok(cln_evaluate(ctx, device, e, &s));
    return s;
}

/* --- splits by a list --- */

/* Every third image of the tiny data set, from the last on. */
static char *write_list(void) {
    char text[512] = "", number[16];
    for (int i = TINY_TRAIN - 1; i >= 0; i -= 3) {
        snprintf(number, sizeof number, "%d\n", i);
        strcat(text, number);
    }
    file_write(out, "list", text, strlen(text));
    return path_of(out, "list");
}

START_TEST(list_is_kept) {
    char *list = write_list(), *weights = path_of(out, "last.safetensors");
    cln_fit_options o = options();
    cln_fit_result r;
    o.split_indices = list;
    o.validation = 0.25;
    ok(cln_fit(ctx, device, &o, &r));
    ck_assert_int_eq(r.validation.count, 10);
    /* From the weights file alone, the list being gone ... */
    file_remove(out, "list");
    cln_evaluate_options e = evaluation(weights, tiny_data, CLN_SUBSET_VALIDATION);
    cln_score kept = score(&e);
    ck_assert_int_eq(kept.count, 10);
    ck_assert_int_eq(kept.correct, r.validation.correct);
    ck_assert_double_eq_tol(kept.loss, r.validation.loss, 1e-4 * fabs(r.validation.loss));
    e.subset = CLN_SUBSET_TRAINING;
    ck_assert_int_eq(score(&e).count, 30);
    /* ... or by a list that is given: as many held back as before, or as asked for. */
    free(list);
    list = write_list();
    e.split_indices = list;
    e.subset = CLN_SUBSET_VALIDATION;
    ck_assert_int_eq(score(&e).count, 10);
    e.validation = 4;
    ck_assert_int_eq(score(&e).count, 4);
    e.validation = 40;
    cln_score s;
    ck_assert_int_eq(cln_evaluate(ctx, device, &e, &s), CLN_INVALID_ARGUMENT);
    expect_message("validation split 40: the list has 40 images, and none would be left");
    free(list);
    free(weights);
}
END_TEST

START_TEST(bad_lists) {
    char *list = path_of(out, "list");
    cln_fit_options o = options();
    o.split_indices = list;
    fails(&o, CLN_IO, "cannot open '");
    file_write(out, "list", "1 2 120", 7);
    fails(&o, CLN_INVALID_FILE, "number 3 (counted from 1) is '120', expected a whole number from 0 to 119");
    file_write(out, "list", "1 2 3 2", 7);
    fails(&o, CLN_INVALID_FILE, "2 occurs twice");
    file_write(out, "list", "1 2 3", 5);
    fails(&o, CLN_INVALID_ARGUMENT, "a batch of 8 is larger than the data: 3 images to train on");
    free(list);
}
END_TEST

/* --- image folders --- */

static void make_pictures(const char *split, int count) {
    char name[64];
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s/%c/%02d.png", split, 'a' + i % 2, i);
        picture_flat(out, name, 10 + i % 2, 12, 3, 40 + 150 * (i % 2) + i);
    }
}

START_TEST(image_folder) {
    make_pictures("train", 20);
    make_pictures("val", 6);
    char *runs = path_of(out, "runs"), *weights = path_of(runs, "last.safetensors");
    cln_fit_options o = options();
    cln_fit_result r;
    o.data = out;
    o.out = runs;
    fails(&o, CLN_INVALID_ARGUMENT, "give --image-size");
    o.image_height = 8;
    o.image_width = 16;
    ok(cln_fit(ctx, device, &o, &r));
    ck_assert_int_eq(r.test.count, 6);
    /* The weights know the size. */
    cln_evaluate_options e = evaluation(weights, out, CLN_SUBSET_TEST);
    ck_assert_int_eq(score(&e).correct, r.test.correct);
    e.image_height = e.image_width = 8;
    cln_score s;
    ck_assert_int_eq(cln_evaluate(ctx, device, &e, &s), CLN_INVALID_ARGUMENT);
    expect_message("is for images of 3x8x16, those of '");
    /* A class that only the test knows. */
    folder_empty(runs);
    picture_flat(out, "val/c/1.png", 8, 8, 3, 1);
    fails(&o, CLN_INVALID_FILE, "val' has a class 'c' that the training images lack");
    free(weights);
    free(runs);
}
END_TEST

START_TEST(other_formats_are_not_resized) {
    cln_fit_options o = options();
    o.image_height = o.image_width = 16;
    fails(&o, CLN_INVALID_ARGUMENT, "its images are 32x32, and only those of an image folder can be resized to 16x16");
}
END_TEST

/* --- the look at the batches --- */

static void keep_loaded(void *user, const cln_fit_event *event) {
    if (event->stage == CLN_FIT_LOADED)
        *(cln_fit_event *)user = *event;
}

START_TEST(batches_are_measured) {
    cln_fit_options o = options();
    cln_fit_result r;
    cln_fit_event loaded;
    char warning[512];
    o.normalize = "dataset";
    o.on_event = keep_loaded;
    o.user = &loaded;
    ok(cln_fit(ctx, device, &o, &r));
    for (int c = 0; c < 3; c++) {
        ck_assert_float_eq_tol(loaded.batch_mean[c], 0, 1e-4f);
        ck_assert_float_eq_tol(loaded.batch_deviation[c], 1, 1e-4f);
    }
    ck_assert(!cln_context_take_warning(ctx, warning, sizeof warning));
    folder_empty(out);
    o.normalize = "0,0,0.5/1,0.01,0.2";
    ok(cln_fit(ctx, device, &o, &r));
    ck_assert_float_ge(loaded.batch_mean[1], 10);
    ck_assert(cln_context_take_warning(ctx, warning, sizeof warning));
    ck_assert_ptr_nonnull(strstr(warning, "normalisation: channel 0 of the training images comes out with mean 0."));
    ck_assert(cln_context_take_warning(ctx, warning, sizeof warning));
    ck_assert_ptr_nonnull(strstr(warning, "channel 1 of"));
    ck_assert(!cln_context_take_warning(ctx, warning, sizeof warning));
}
END_TEST

static void open_folder(void) {
    out = folder_new();
}

static void remove_folder(void) {
    folder_remove(out);
}

static void add_tests(TCase *tests) {
    tiny_fixture(tests);
    tcase_add_checked_fixture(tests, open_folder, remove_folder);
    tcase_add_test(tests, list_is_kept);
    tcase_add_test(tests, bad_lists);
    tcase_add_test(tests, image_folder);
    tcase_add_test(tests, other_formats_are_not_resized);
    tcase_add_test(tests, batches_are_measured);
}

int main(void) {
    return suite_run_on_device("train_data", add_tests);
}
