/* Flip and random resized crop: against the reference, and by properties. */
#include "../src/data/augment.h"
#include "clnet/safetensors.h"
#include "files.h"
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Images of any bytes, from the counter. */
static void fill_random(uint8_t *bytes, size_t size, uint64_t key) {
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)cln__philox(key, 0, i).word[0];
}

/* By the recipe. */
static cln__draw draw(uint64_t seed, int64_t epoch, int64_t sample, int height, int width) {
    cln_augmentation a = cln_augmentation_default();
    return cln__augment_draw(&a, seed, epoch, sample, height, width);
}

START_TEST(whole_box_is_identity) {
    static const int sizes[][2] = {{1, 1}, {1, 7}, {7, 1}, {5, 9}, {32, 32}, {33, 31}};
    uint8_t image[3 * 33 * 33], out[sizeof image], again[sizeof image];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int h = sizes[i][0], w = sizes[i][1], box[4] = {0, 0, h, w};
        size_t size = (size_t)(3 * h * w);
        fill_random(image, size, i);
        ck_assert_int_eq(cln_augment_crop_flip(ctx, image, 3, h, w, false, box, out), CLN_OK);
        ck_assert_mem_eq(out, image, size);
        ck_assert_int_eq(cln_augment_crop_flip(ctx, image, 3, h, w, true, box, out), CLN_OK);
        for (int r = 0; r < 3 * h; r++)
            for (int x = 0; x < w; x++)
                ck_assert_uint_eq(out[r * w + x], image[r * w + w - 1 - x]);
        ck_assert_int_eq(cln_augment_crop_flip(ctx, out, 3, h, w, true, box, again), CLN_OK);
        ck_assert_mem_eq(again, image, size);
    }
}
END_TEST

/* The same in plain double precision, pixel by pixel. */
static int naive_pass(double position, int crop, const int *row) {
    double below = floor(position), f = position - below;
    int a = (int)below < 0 ? 0 : (int)below, b = (int)below + 1 < crop ? (int)below + 1 : crop - 1;
    return (int)floor(row[a] * (1 - f) + row[b] * f + 0.5);
}

static int naive_pixel(const uint8_t *plane, int h, int w, bool flip, const int box[4], int y, int x) {
    int column[64], row[64];
    for (int r = 0; r < box[2]; r++) {
        for (int c = 0; c < box[3]; c++) {
            int from = box[1] + c;
            row[c] = plane[(box[0] + r) * w + (flip ? w - 1 - from : from)];
        }
        column[r] = naive_pass((x + 0.5) * box[3] / w - 0.5, box[3], row);
    }
    return naive_pass((y + 0.5) * box[2] / h - 0.5, box[2], column);
}

START_TEST(any_box_is_bilinear) {
    uint8_t image[2 * 24 * 40], out[sizeof image];
    const int h = 24, w = 40;
    fill_random(image, sizeof image, 99);
    int most = 0;
    for (uint64_t i = 0; i < 60; i++) {
        cln__random r = cln__philox(5, 0, i);
        int bh = 1 + (int)(r.word[0] % 24), bw = 1 + (int)(r.word[1] % 40);
        int box[4] = {(int)(r.word[2] % (unsigned)(h - bh + 1)), (int)(r.word[3] % (unsigned)(w - bw + 1)), bh, bw};
        ck_assert_int_eq(cln_augment_crop_flip(ctx, image, 2, h, w, i % 2, box, out), CLN_OK);
        for (int c = 0; c < 2; c++)
            for (int y = 0; y < h; y++)
                for (int x = 0; x < w; x++) {
                    int wanted = naive_pixel(image + c * h * w, h, w, i % 2, box, y, x);
                    int error = abs(out[(c * h + y) * w + x] - wanted);
                    most = error > most ? error : most;
                }
    }
    /* Weights of 22 bits may tip a half to the other side. */
    ck_assert_int_le(most, 1);
}
END_TEST

/* The definition, pixel by pixel: two neighbours, 22 bits of weight. Sizes whose weights are coarse and fine, and lines
 * longer than a run. */
static int exact_pass(int at, int crop, int size, const int *line) {
    double position = (at + 0.5) * crop / size - 0.5, below = floor(position);
    int64_t weight = (int64_t)((position - below) * (1 << 22) + 0.5);
    int a = below < 0 ? 0 : (int)below, b = (int)below + 1 < crop ? (int)below + 1 : crop - 1;
    return (int)((line[a] * ((1 << 22) - weight) + line[b] * weight + (1 << 21)) >> 22);
}

static void expect_exact(const uint8_t *image, const uint8_t *out, int h, int w, bool flip, const int box[4]) {
    static int line[300], middle[300][300]; /* by column */
    for (int r = 0; r < box[2]; r++) {
        for (int c = 0; c < box[3]; c++) {
            int from = box[1] + c;
            line[c] = image[(box[0] + r) * w + (flip ? w - 1 - from : from)];
        }
        for (int x = 0; x < w; x++)
            middle[x][r] = exact_pass(x, box[3], w, line);
    }
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            int wanted = exact_pass(y, box[2], h, middle[x]), found = out[y * w + x];
            if (found != wanted)
                ck_abort_msg("%dx%d, crop %dx%d at %d,%d, flip %d: pixel %d,%d is %d, expected %d", h, w, box[2],
                             box[3], box[0], box[1], flip, y, x, found, wanted);
        }
}

START_TEST(any_box_is_exact) {
    static const int sizes[][2] = {{2, 2}, {32, 32}, {64, 16}, {33, 32}, {28, 28}, {17, 128}, {130, 256}, {9, 300}};
    static uint8_t image[2 * 300 * 300], out[sizeof image];
    fill_random(image, sizeof image, 7);
    for (uint64_t i = 0; i < 160; i++) {
        cln__random r = cln__philox(6, 0, i);
        int h = sizes[i % 8][0], w = sizes[i % 8][1];
        int bh = 1 + (int)(r.word[0] % (unsigned)h), bw = 1 + (int)(r.word[1] % (unsigned)w);
        bh = r.word[0] >> 30 ? bh : h; /* a quarter whole each way */
        bw = r.word[1] >> 30 ? bw : w;
        int box[4] = {(int)(r.word[2] % (unsigned)(h - bh + 1)), (int)(r.word[3] % (unsigned)(w - bw + 1)), bh, bw};
        bool flip = r.word[3] >> 31;
        ck_assert_int_eq(cln_augment_crop_flip(ctx, image, 2, h, w, flip, box, out), CLN_OK);
        expect_exact(image, out, h, w, flip, box);
        expect_exact(image + h * w, out + h * w, h, w, flip, box);
    }
}
END_TEST

START_TEST(bad_boxes) {
    static const int bad[][4] = {{-1, 0, 2, 2}, {0, -1, 2, 2}, {0, 0, 0, 2}, {0, 0, 2, 0},
                                 {0, 0, 5, 2},  {0, 0, 2, 5},  {3, 0, 2, 2}, {0, 2147483647, 2, 2147483647}};
    uint8_t image[16] = {0}, out[16];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(cln_augment_crop_flip(ctx, image, 1, 4, 4, false, bad[i], out), CLN_INVALID_ARGUMENT);
        ck_assert_ptr_nonnull(strstr(cln_context_error(ctx), "is not within the image of 4x4"));
    }
    ck_assert_int_eq(cln_augment_crop_flip(ctx, image, 0, 4, 4, false, bad[0], out), CLN_INVALID_ARGUMENT);
}
END_TEST

START_TEST(draws_follow_the_recipe) {
    int flips = 0, tops = 0, whole = 0;
    double area = 0, ratio = 0;
    const int n = 20000;
    for (int i = 0; i < n; i++) {
        cln__draw a = draw(3, 1, i, 32, 32), b = draw(3, 1, i, 32, 32);
        ck_assert(a.flip == b.flip && memcmp(a.box, b.box, sizeof a.box) == 0);
        ck_assert(a.box[0] >= 0 && a.box[1] >= 0 && a.box[0] + a.box[2] <= 32 && a.box[1] + a.box[3] <= 32);
        /* sqrt(0.8 / 1.1) of 32 is 27.3 */
        ck_assert(a.box[2] >= 27 && a.box[3] >= 27);
        flips += a.flip;
        tops += a.box[0] * 2 == 32 - a.box[2] ? 0 : a.box[0] * 2 < 32 - a.box[2] ? 1 : -1;
        whole += a.box[2] == 32 && a.box[3] == 32;
        area += a.box[2] * a.box[3] / 1024.0 / n;
        ratio += log((double)a.box[3] / a.box[2]) / n;
    }
    /* 4 deviations of a fair coin, and of a symmetric position. */
    ck_assert_int_lt(abs(flips - n / 2), 300);
    ck_assert_int_lt(abs(tops), 600);
    ck_assert_int_gt(whole, 0);
    ck_assert_int_lt(whole, n / 10);
    /* The middle of log 0.9 and log 1.1, but for sides that do not fit. */
    ck_assert_double_eq_tol(ratio, -0.005, 0.003);
    /* A little under 0.9: the larger areas fit less often. */
    ck_assert_double_eq_tol(area, 0.89, 0.02);
}
END_TEST

START_TEST(draws_depend_on_seed_epoch_sample) {
    int same[3] = {0};
    for (int i = 0; i < 1000; i++) {
        cln__draw a = draw(3, 1, i, 32, 32);
        cln__draw other[3] = {draw(4, 1, i, 32, 32), draw(3, 2, i, 32, 32), draw(3, 1, i + 1, 32, 32)};
        for (int k = 0; k < 3; k++)
            same[k] += a.flip == other[k].flip && memcmp(a.box, other[k].box, sizeof a.box) == 0;
    }
    for (int k = 0; k < 3; k++)
        ck_assert_int_lt(same[k], 50);
}
END_TEST

START_TEST(oblong_images_fall_back) {
    static const struct { int height, width, box[4]; } cases[] = {{10, 40, {0, 14, 10, 11}}, {40, 10, {14, 0, 11, 10}}};
    for (int i = 0; i < 2; i++) {
        cln__draw a = draw(1, 0, 0, cases[i].height, cases[i].width);
        ck_assert_mem_eq(a.box, cases[i].box, sizeof a.box);
    }
}
END_TEST

static float *floats_of(const cln_safetensors *file, const char *name) {
    const cln_file_tensor *tensor = cln_safetensors_find(file, name);
    ck_assert_ptr_nonnull(tensor);
    float *values = malloc((size_t)tensor->count * sizeof *values);
    ck_assert_ptr_nonnull(values);
    cln_file_tensor_to_float(tensor, values);
    return values;
}

START_TEST(reference_images) {
    char *path = shared_path("golden/augment-crop-flip.safetensors", "augmentation against the reference");
    if (!path)
        return;
    cln_safetensors *file;
    ck_assert_int_eq(cln_safetensors_read(ctx, path, &file), CLN_OK);
    float *images = floats_of(file, "image"), *boxes = floats_of(file, "box"), *flips = floats_of(file, "flip"),
          *results = floats_of(file, "result");
    int64_t count = cln_safetensors_find(file, "flip")->count;
    for (int64_t i = 0; i < count; i++) {
        uint8_t image[3072], out[3072];
        int box[4];
        for (int k = 0; k < 3072; k++)
            image[k] = (uint8_t)images[i * 3072 + k];
        for (int k = 0; k < 4; k++)
            box[k] = (int)boxes[i * 4 + k];
        ck_assert_int_eq(cln_augment_crop_flip(ctx, image, 3, 32, 32, flips[i] > 0, box, out), CLN_OK);
        /* To the bit, though one grey level would do: the weights are PIL's. */
        for (int k = 0; k < 3072; k++)
            ck_assert_int_eq(out[k], (int)results[i * 3072 + k]);
    }
    free(images);
    free(boxes);
    free(flips);
    free(results);
    cln_safetensors_free(file);
    free(path);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_test(tests, whole_box_is_identity);
    tcase_add_test(tests, any_box_is_bilinear);
    tcase_add_test(tests, any_box_is_exact);
    tcase_add_test(tests, bad_boxes);
    tcase_add_test(tests, draws_follow_the_recipe);
    tcase_add_test(tests, draws_depend_on_seed_epoch_sample);
    tcase_add_test(tests, oblong_images_fall_back);
    tcase_add_test(tests, reference_images);
}

int main(void) {
    return suite_run("augment", add_tests);
}
