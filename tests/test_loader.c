/* The loader: the same batches whatever the workers, orders by epoch, partial batches, rejected options. */
#include "clnet/data.h"
#include "suite.h"

#include <stdlib.h>
#include <string.h>

enum { COUNT = 53, CHANNELS = 2, SIDE = 6, PLANE = SIDE * SIDE, IMAGE = CHANNELS * PLANE, SIZE = 8 };

static cln_dataset dataset;

/* Image i is a gradient that begins at i, so that samples, rows and columns differ. */
static void setup(void) {
    dataset = (cln_dataset){.count = COUNT, .channels = CHANNELS, .height = SIDE, .width = SIDE, .num_classes = COUNT};
    dataset.images = malloc(COUNT * IMAGE);
    dataset.labels = malloc(COUNT * sizeof *dataset.labels);
    ck_assert(dataset.images && dataset.labels);
    for (int i = 0; i < COUNT; i++) {
        dataset.labels[i] = i;
        for (int p = 0; p < IMAGE; p++)
            dataset.images[i * IMAGE + p] = (uint8_t)(i + 3 * p);
    }
}

static void teardown(void) {
    free(dataset.images);
    free(dataset.labels);
}

static cln_loader_options plain_options(void) {
    return (cln_loader_options){
        .batch_size = SIZE,
        .seed = 5,
        .normalization = {.channels = CHANNELS, .mean = {0.5f, 0.25f}, .deviation = {0.25f, 2.0f}},
    };
}

static cln_loader *make(const cln_loader_options *options, const int64_t *indices, int64_t count) {
    cln_loader *loader = NULL;
    cln_status status = cln_loader_new(ctx, &dataset, indices, count, options, &loader);
    ck_assert_msg(status == CLN_OK, "%s", cln_context_error(ctx));
    return loader;
}

static const cln_batch *next(cln_loader *loader) {
    const cln_batch *batch;
    ck_assert_int_eq(cln_loader_next(loader, &batch), CLN_OK);
    return batch;
}

/* An epoch from batch `first`, all batches one after another. */
typedef struct epoch {
    int64_t batches, count;
    float images[8 * SIZE * IMAGE];
    int32_t labels[8 * SIZE];
} epoch;

static epoch *collect(cln_loader *loader, int64_t number, int64_t first) {
    epoch *e = calloc(1, sizeof *e);
    ck_assert_ptr_nonnull(e);
    ck_assert_int_eq(cln_loader_start(loader, number, first), CLN_OK);
    for (const cln_batch *b; (b = next(loader)); e->batches++) {
        ck_assert_int_lt(e->batches, 8);
        ck_assert_int_eq(b->index, first + e->batches);
        ck_assert_int_eq(b->size, SIZE);
        memcpy(e->images + e->batches * SIZE * IMAGE, b->images, SIZE * IMAGE * sizeof *e->images);
        memcpy(e->labels + e->batches * SIZE, b->labels, SIZE * sizeof *e->labels);
        e->count += b->count;
    }
    ck_assert_ptr_null(next(loader));
    return e;
}

START_TEST(plain_batches) {
    cln_loader_options options = plain_options();
    cln_loader *loader = make(&options, NULL, 0);
    ck_assert_int_eq(cln_loader_batches(loader), 7);
    epoch *e = collect(loader, 0, 0);
    ck_assert_int_eq(e->batches, 7);
    ck_assert_int_eq(e->count, COUNT);
    for (int i = 0; i < 56; i++) {
        ck_assert_int_eq(e->labels[i], i < COUNT ? i : -1);
        for (int p = 0; p < IMAGE; p++) {
            double mean = p < PLANE ? 0.5 : 0.25, deviation = p < PLANE ? 0.25 : 2.0;
            float wanted = i < COUNT ? (float)(((uint8_t)(i + 3 * p) / 255.0 - mean) / deviation) : 0.0f;
            ck_assert_float_eq(e->images[i * IMAGE + p], wanted);
        }
    }
    free(e);
    cln_loader_free(loader);
}
END_TEST

START_TEST(last_batch_is_partial_or_dropped) {
    cln_loader_options options = plain_options();
    cln_loader *loader = make(&options, NULL, 0);
    ck_assert_int_eq(cln_loader_start(loader, 0, 6), CLN_OK);
    ck_assert_int_eq(next(loader)->count, COUNT - 48);
    cln_loader_free(loader);
    options.drop_last = true;
    loader = make(&options, NULL, 0);
    ck_assert_int_eq(cln_loader_batches(loader), 6);
    epoch *e = collect(loader, 0, 0);
    ck_assert_int_eq(e->count, 48);
    free(e);
    cln_loader_free(loader);
    /* A whole number of batches has no partial one. */
    int64_t indices[16] = {0};
    options.drop_last = false;
    loader = make(&options, indices, 16);
    ck_assert_int_eq(cln_loader_batches(loader), 2);
    cln_loader_free(loader);
}
END_TEST

START_TEST(indices_pick_samples) {
    const int64_t indices[5] = {50, 3, 3, 0, 52};
    cln_loader_options options = plain_options();
    cln_loader *loader = make(&options, indices, 5);
    epoch *e = collect(loader, 0, 0);
    ck_assert_int_eq(e->count, 5);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(e->labels[i], indices[i]);
    free(e);
    cln_loader_free(loader);
}
END_TEST

START_TEST(workers_do_not_show) {
    static const int workers[] = {0, 1, 3, 20};
    cln_loader_options options = plain_options();
    options.shuffle = true;
    options.augmentation = cln_augmentation_default();
    epoch *wanted[3] = {NULL, NULL, NULL};
    for (size_t w = 0; w < sizeof workers / sizeof *workers; w++) {
        options.workers = workers[w];
        cln_loader *loader = make(&options, NULL, 0);
        for (int k = 0; k < 3; k++) {
            epoch *e = collect(loader, k, 0);
            if (!wanted[k]) {
                wanted[k] = e;
                continue;
            }
            ck_assert_mem_eq(e, wanted[k], sizeof *e);
            free(e);
        }
        cln_loader_free(loader);
    }
    for (int k = 0; k < 3; k++)
        free(wanted[k]);
}
END_TEST

START_TEST(epochs_and_seeds_differ) {
    cln_loader_options options = plain_options();
    options.shuffle = true;
    cln_loader *loader = make(&options, NULL, 0);
    epoch *a = collect(loader, 0, 0), *b = collect(loader, 1, 0);
    options.seed = 6;
    cln_loader *other = make(&options, NULL, 0);
    epoch *c = collect(other, 0, 0);
    ck_assert_mem_ne(a->labels, b->labels, sizeof a->labels);
    ck_assert_mem_ne(a->labels, c->labels, sizeof a->labels);
    int seen[COUNT] = {0};
    for (int i = 0; i < COUNT; i++)
        seen[b->labels[i]]++;
    for (int i = 0; i < COUNT; i++)
        ck_assert_int_eq(seen[i], 1);
    free(a);
    free(b);
    free(c);
    cln_loader_free(other);
    cln_loader_free(loader);
}
END_TEST

START_TEST(augmentation_differs_by_epoch) {
    cln_loader_options options = plain_options();
    options.augmentation = cln_augmentation_default();
    cln_loader *loader = make(&options, NULL, 0);
    epoch *a = collect(loader, 0, 0), *b = collect(loader, 1, 0);
    ck_assert_mem_eq(a->labels, b->labels, sizeof a->labels);
    ck_assert_mem_ne(a->images, b->images, sizeof a->images);
    free(a);
    free(b);
    cln_loader_free(loader);
}
END_TEST

START_TEST(restarts) {
    cln_loader_options options = plain_options();
    options.shuffle = true;
    options.augmentation = cln_augmentation_default();
    for (options.workers = 0; options.workers <= 3; options.workers += 3) {
        cln_loader *loader = make(&options, NULL, 0);
        epoch *all = collect(loader, 4, 0);
        /* Dropped half way, with batches prepared that nobody takes. */
        ck_assert_int_eq(cln_loader_start(loader, 9, 0), CLN_OK);
        next(loader);
        for (int first = 0; first <= 7; first++) {
            epoch *rest = collect(loader, 4, first);
            ck_assert_int_eq(rest->batches, 7 - first);
            size_t labels = (size_t)rest->batches * SIZE;
            ck_assert_mem_eq(rest->labels, all->labels + first * SIZE, labels * sizeof *rest->labels);
            ck_assert_mem_eq(rest->images, all->images + first * SIZE * IMAGE, labels * IMAGE * sizeof *rest->images);
            free(rest);
        }
        free(all);
        cln_loader_free(loader);
    }
}
END_TEST

START_TEST(a_batch_stays_until_the_next_call) {
    cln_loader_options options = plain_options();
    options.workers = 2;
    cln_loader *loader = make(&options, NULL, 0);
    for (int64_t k = 0; k < 20; k++) {
        ck_assert_int_eq(cln_loader_start(loader, k, 0), CLN_OK);
        for (const cln_batch *b; (b = next(loader));)
            for (int64_t i = 0; i < b->count; i++)
                ck_assert_int_eq(b->labels[i], b->index * SIZE + i);
    }
    cln_loader_free(loader);
}
END_TEST

START_TEST(freed_at_any_time) {
    cln_loader_free(NULL);
    cln_loader_options options = plain_options();
    options.workers = 3;
    for (int i = 0; i < 20; i++) {
        cln_loader *loader = make(&options, NULL, 0);
        if (i % 3 > 0)
            ck_assert_int_eq(cln_loader_start(loader, i, 0), CLN_OK);
        if (i % 3 > 1)
            next(loader);
        cln_loader_free(loader);
    }
}
END_TEST

static void expect_failure(const cln_loader_options *options, const int64_t *indices, int64_t count,
                           const char *message) {
    cln_loader *loader = NULL;
    ck_assert_int_eq(cln_loader_new(ctx, &dataset, indices, count, options, &loader), CLN_INVALID_ARGUMENT);
    ck_assert_ptr_null(loader);
    ck_assert_msg(strstr(cln_context_error(ctx), message) != NULL, "'%s' is not in the message: %s", message,
                  cln_context_error(ctx));
}

START_TEST(bad_options) {
    cln_loader_options options = plain_options();
    const int64_t beyond[2] = {0, COUNT}, before[1] = {-1};
    expect_failure(&options, beyond, 2, "sample 53 is not among the 53 of the data set");
    expect_failure(&options, before, 1, "sample -1 is not among");
    expect_failure(&options, beyond, 0, "no batch of 8 can be made of 0 samples");
    dataset.labels[7] = COUNT;
    expect_failure(&options, NULL, 0, "sample 7 has label 53, expected 0 to 52");
    dataset.labels[7] = 7;
    options.batch_size = 0;
    expect_failure(&options, NULL, 0, "batch size 0, expected 1 or more");
    options.batch_size = 54;
    options.drop_last = true;
    expect_failure(&options, NULL, 0, "no batch of 54 can be made of 53 samples when a partial batch is dropped");
    options = plain_options();
    options.workers = 65;
    expect_failure(&options, NULL, 0, "65 workers, expected 0 to 64");
    options = plain_options();
    options.normalization.channels = 3;
    expect_failure(&options, NULL, 0, "the normalisation is for 3 channels, the images have 2");
    options = plain_options();
    options.normalization.deviation[1] = 0;
    expect_failure(&options, NULL, 0, "deviations must be above zero");
    options = plain_options();
    options.batch_size = INT64_MAX;
    cln_loader *loader;
    ck_assert_int_eq(cln_loader_new(ctx, &dataset, NULL, 0, &options, &loader), CLN_OUT_OF_MEMORY);
}
END_TEST

START_TEST(bad_calls) {
    cln_loader_options options = plain_options();
    cln_loader *loader = make(&options, NULL, 0);
    const cln_batch *batch;
    ck_assert_int_eq(cln_loader_next(loader, &batch), CLN_INVALID_ARGUMENT);
    ck_assert_int_eq(cln_loader_start(loader, 0, 8), CLN_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(cln_context_error(ctx), "from batch 8, but an epoch has 7 batches"));
    ck_assert_int_eq(cln_loader_start(loader, -1, 0), CLN_INVALID_ARGUMENT);
    ck_assert_int_eq(cln_loader_start(loader, 0, -1), CLN_INVALID_ARGUMENT);
    cln_loader_free(loader);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, plain_batches);
    tcase_add_test(tests, last_batch_is_partial_or_dropped);
    tcase_add_test(tests, indices_pick_samples);
    tcase_add_test(tests, workers_do_not_show);
    tcase_add_test(tests, epochs_and_seeds_differ);
    tcase_add_test(tests, augmentation_differs_by_epoch);
    tcase_add_test(tests, restarts);
    tcase_add_test(tests, a_batch_stays_until_the_next_call);
    tcase_add_test(tests, freed_at_any_time);
    tcase_add_test(tests, bad_options);
    tcase_add_test(tests, bad_calls);
}

int main(void) {
    return suite_run("loader", add_tests);
}
