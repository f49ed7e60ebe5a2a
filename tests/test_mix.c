/* Mixup and CutMix: what is drawn, what becomes of images and labels, and the loader's batches. */
#include "../src/data/augment.h"
#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 13, CHANNELS = 3, HEIGHT = 8, WIDTH = 12, PLANE = HEIGHT * WIDTH, IMAGE = CHANNELS * PLANE };

static const cln_augmentation mixup = {.mixup = 0.4}, cutmix = {.cutmix = 1}, both = {.mixup = 0.4, .cutmix = 1};

static cln__mix draw(const cln_augmentation *a, int64_t batch, int32_t partner[ROWS]) {
    return cln__mix_draw(a, 5, 2, batch, HEIGHT, WIDTH, ROWS, partner);
}

/* --- what is drawn --- */

/* Beta(a, a) has the mean 1/2 and the variance 1 / (4 * (2 * a + 1)). */
START_TEST(lambda_is_of_the_beta_distribution) {
    static const double alphas[] = {0.1, 0.2, 0.4, 1, 2, 8};
    enum { COUNT = 20000 };
    int32_t partner[1];
    cln_augmentation a = {.mixup = alphas[_i]};
    double sum = 0, square = 0, wanted = 1 / (4 * (2 * alphas[_i] + 1));
    for (int64_t i = 0; i < COUNT; i++) {
        double lambda = cln__mix_draw(&a, 1, 0, i, 4, 4, 1, partner).lambda;
        ck_assert(lambda >= 0 && lambda <= 1);
        sum += lambda;
        square += (lambda - 0.5) * (lambda - 0.5);
    }
    /* 4 deviations of the mean; the variance's own deviation is below 1.2% of it for these. */
    ck_assert_double_eq_tol(sum / COUNT, 0.5, 4 * sqrt(wanted / COUNT));
    ck_assert_double_eq_tol(square / COUNT, wanted, 0.04 * wanted);
}
END_TEST

START_TEST(any_alpha_gives_a_number) {
    static const double alphas[] = {1e-300, 1e-6, 1e-3, 1e6};
    int32_t partner[1];
    for (size_t k = 0; k < sizeof alphas / sizeof *alphas; k++)
        for (int64_t i = 0; i < 200; i++) {
            cln_augmentation a = {.mixup = alphas[k]};
            double lambda = cln__mix_draw(&a, 1, 0, i, 4, 4, 1, partner).lambda;
            ck_assert(lambda >= 0 && lambda <= 1);
            ck_assert(k < 3 || fabs(lambda - 0.5) < 0.01);
        }
}
END_TEST

START_TEST(partners_are_a_permutation) {
    int fixed = 0;
    int32_t partner[ROWS], again[ROWS], other[ROWS];
    for (int64_t batch = 0; batch < 2000; batch++) {
        bool seen[ROWS] = {false};
        draw(&mixup, batch, partner);
        for (int i = 0; i < ROWS; i++) {
            ck_assert(partner[i] >= 0 && partner[i] < ROWS && !seen[partner[i]]);
            seen[partner[i]] = true;
            fixed += partner[i] == i;
        }
    }
    /* One fixed point on average, and a variance of one. */
    ck_assert_int_lt(abs(fixed - 2000), 180);
    ck_assert(draw(&mixup, 7, again).lambda == draw(&mixup, 7, other).lambda);
    ck_assert_mem_eq(again, other, sizeof again);
    ck_assert(draw(&mixup, 7, again).lambda != draw(&mixup, 8, other).lambda);
    ck_assert_mem_ne(again, other, sizeof again);
}
END_TEST

START_TEST(boxes_are_as_large_as_lambda_says) {
    int32_t partner[ROWS];
    double sum = 0;
    for (int64_t batch = 0; batch < 5000; batch++) {
        cln__mix m = draw(&cutmix, batch, partner);
        ck_assert(m.cuts);
        ck_assert(m.box[0] >= 0 && m.box[1] >= 0 && m.box[2] >= 0 && m.box[3] >= 0);
        ck_assert(m.box[0] + m.box[2] <= HEIGHT && m.box[1] + m.box[3] <= WIDTH);
        ck_assert_double_eq_tol(m.lambda, 1 - (double)(m.box[2] * m.box[3]) / PLANE, 1e-12);
        sum += m.lambda;
    }
    /* Uniform before the box is cut at the edges and rounded down to whole pixels: above a half after that. */
    ck_assert(sum / 5000 > 0.6 && sum / 5000 < 0.8);
}
END_TEST

START_TEST(either_is_drawn_for_a_batch) {
    int32_t partner[ROWS];
    int cuts = 0;
    for (int64_t batch = 0; batch < 2000; batch++)
        cuts += draw(&both, batch, partner).cuts;
    ck_assert_int_lt(abs(cuts - 1000), 90); /* 4 deviations of a fair coin */
    ck_assert(cln__mixes(&both) && cln__mixes(&mixup) && cln__mixes(&cutmix));
    cln_augmentation recipe = cln_augmentation_default();
    ck_assert(!cln__mixes(&recipe));
}
END_TEST

/* --- what is done --- */

static float pixel(int row, int at) {
    return (float)(row * 1000 + at);
}

START_TEST(images_are_mixed_with_their_partners) {
    static float images[ROWS * IMAGE], aside[IMAGE];
    int32_t partner[ROWS], kept[ROWS];
    for (int64_t batch = 0; batch < 40; batch++) {
        cln__mix m = draw(&both, batch, partner);
        memcpy(kept, partner, sizeof kept);
        for (int i = 0; i < ROWS * IMAGE; i++)
            images[i] = pixel(i / IMAGE, i % IMAGE);
        cln__mix_images(&m, ROWS, CHANNELS, HEIGHT, WIDTH, partner, images, aside);
        float most = 0;
        for (int i = 0; i < ROWS * IMAGE; i++) {
            int row = i / IMAGE, at = i % IMAGE, y = at % PLANE / WIDTH, x = at % WIDTH;
            bool inside = y >= m.box[0] && y < m.box[0] + m.box[2] && x >= m.box[1] && x < m.box[1] + m.box[3];
            float own = pixel(row, at), other = pixel(kept[row], at);
            float wanted = m.cuts ? inside ? other : own : (float)m.lambda * own + (float)(1 - m.lambda) * other;
            most = fmaxf(most, fabsf(images[i] - wanted));
        }
        ck_assert_float_eq(most, 0);
    }
}
END_TEST

START_TEST(the_label_that_weighs_more_comes_first) {
    const int32_t partner[3] = {1, 2, 0};
    for (int i = 0; i < 2; i++) {
        cln__mix m = {.lambda = i ? 0.3 : 0.7};
        int32_t labels[3] = {4, 5, 6}, others[3], own[3] = {4, 5, 6}, theirs[3] = {5, 6, 4};
        ck_assert_float_eq(cln__mix_labels(&m, 3, partner, labels, others), 0.7f);
        ck_assert_mem_eq(labels, i ? theirs : own, sizeof labels);
        ck_assert_mem_eq(others, i ? own : theirs, sizeof others);
    }
}
END_TEST

/* --- the loader --- */

enum { COUNT = 21, SIZE = 8 };

/* Images of one level each, which is ten times the label. */
static cln_dataset level_images(uint8_t *images, int32_t *labels) {
    for (int i = 0; i < COUNT; i++) {
        memset(images + i * PLANE, 10 * i, PLANE);
        labels[i] = i;
    }
    return (cln_dataset){.count = COUNT,
                         .channels = 1,
                         .height = HEIGHT,
                         .width = WIDTH,
                         .num_classes = COUNT,
                         .images = images,
                         .labels = labels};
}

START_TEST(batches_say_what_they_are_made_of) {
    static uint8_t images[COUNT * PLANE];
    static int32_t labels[COUNT];
    const cln_dataset d = level_images(images, labels);
    cln_loader_options o = {.batch_size = SIZE, .shuffle = true, .seed = 3};
    o.augmentation = _i ? mixup : cutmix;
    o.normalization = (cln_normalization){1, {0}, {1}};
    for (o.workers = 0; o.workers <= 3; o.workers += 3) {
        cln_loader *loader;
        const cln_batch *b;
        double most = 0;
        ok(cln_loader_new(ctx, &d, NULL, 0, &o, &loader));
        ok(cln_loader_start(loader, 1, 0));
        for (ok(cln_loader_next(loader, &b)); b; ok(cln_loader_next(loader, &b)))
            for (int i = 0; i < SIZE; i++) {
                if (i >= b->count) {
                    ck_assert(b->labels[i] == -1 && b->others[i] == -1);
                    continue;
                }
                double mean = 0, w = (double)b->weights[i];
                for (int k = 0; k < PLANE; k++)
                    mean += (double)b->images[i * PLANE + k] / PLANE;
                ck_assert(w >= 0.5 && w <= 1);
                most = fmax(most, fabs(mean * 25.5 - w * b->labels[i] - (1 - w) * b->others[i]));
            }
        ck_assert_double_lt(most, 1e-4);
        cln_loader_free(loader);
    }
}
END_TEST

START_TEST(without_mixing_there_are_no_other_labels) {
    static uint8_t images[COUNT * PLANE];
    static int32_t labels[COUNT];
    const cln_dataset d = level_images(images, labels);
    cln_loader_options o = {.batch_size = SIZE, .normalization = {1, {0}, {1}}};
    o.augmentation = cln_augmentation_default();
    cln_loader *loader;
    const cln_batch *b;
    ok(cln_loader_new(ctx, &d, NULL, 0, &o, &loader));
    ok(cln_loader_start(loader, 0, 0));
    ok(cln_loader_next(loader, &b));
    ck_assert(b->others == NULL && b->weights == NULL);
    cln_loader_free(loader);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_loop_test(tests, lambda_is_of_the_beta_distribution, 0, 6);
    tcase_add_test(tests, any_alpha_gives_a_number);
    tcase_add_test(tests, partners_are_a_permutation);
    tcase_add_test(tests, boxes_are_as_large_as_lambda_says);
    tcase_add_test(tests, either_is_drawn_for_a_batch);
    tcase_add_test(tests, images_are_mixed_with_their_partners);
    tcase_add_test(tests, the_label_that_weighs_more_comes_first);
    tcase_add_loop_test(tests, batches_say_what_they_are_made_of, 0, 2);
    tcase_add_test(tests, without_mixing_there_are_no_other_labels);
}

int main(void) {
    return suite_run("mix", add_tests);
}
