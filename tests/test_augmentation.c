/* The parts of an augmentation: what is drawn, padded crops and erased boxes, limits, and the picture of it all. */
#include "../src/data/augment.h"
#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void fill_random(uint8_t *bytes, size_t size, uint64_t key) {
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)cln__philox(key, 0, i).word[0];
}

/* --- what is drawn --- */

/* What the recipe draws is part of every published result: these checksums are those of the first version. */
START_TEST(the_recipe_draws_what_it_always_did) {
    static const struct {
        int height, width;
        uLong crc;
    } cases[] = {{32, 32, 0x95fa2de1}, {28, 60, 0x544dc807}, {60, 28, 0xd21ecefa},
                 {1, 1, 0xb53851ba},   {1, 9, 0x886ae1b9},   {224, 200, 0x7afcf94f}};
    const cln_augmentation a = cln_augmentation_default();
    uLong crc = crc32(0, NULL, 0);
    for (int64_t epoch = 0; epoch < 4; epoch++)
        for (int64_t i = 0; i < 5000; i++) {
            cln__draw d = cln__augment_draw(&a, 42, epoch, i, cases[_i].height, cases[_i].width);
            const int32_t drawn[] = {d.flip, d.box[0], d.box[1], d.box[2], d.box[3]};
            crc = crc32(crc, (const unsigned char *)drawn, sizeof drawn);
        }
    ck_assert_uint_eq(crc, cases[_i].crc);
}
END_TEST

static const cln_augmentation everything = {.hflip = 0.25,
                                            .scale = {0.3, 1},
                                            .ratio = {0.5, 2},
                                            .crop_padding = 4,
                                            .padding_mode = CLN_PAD_REFLECT,
                                            .brightness = 0.4,
                                            .contrast = 0.3,
                                            .saturation = 2,
                                            .hue = 0.1,
                                            .cutout = 9,
                                            .erasing = 0.75,
                                            .mixup = 0.2,
                                            .cutmix = 1};

/* The parts must not share their numbers: switching one off leaves the others as they were. */
START_TEST(parts_are_drawn_apart) {
    for (int64_t i = 0; i < 300; i++) {
        cln__draw all = cln__augment_draw(&everything, 1, 0, i, 32, 32);
        cln_augmentation a = everything;
        a.hflip = a.brightness = a.contrast = a.saturation = a.hue = 0;
        a.scale = (cln_range){0, 0};
        cln__draw few = cln__augment_draw(&a, 1, 0, i, 32, 32);
        ck_assert_mem_eq(few.shift, all.shift, sizeof all.shift);
        ck_assert_mem_eq(few.cutout, all.cutout, sizeof all.cutout);
        ck_assert_mem_eq(few.erased, all.erased, sizeof all.erased);
    }
}
END_TEST

START_TEST(draws_are_within_their_bounds) {
    enum { COUNT = 24000 };
    int flips = 0, erased = 0, firsts[CLN__COLOURS] = {0}, shifts[2][9] = {{0}};
    double factor[CLN__COLOURS] = {0};
    for (int64_t i = 0; i < COUNT; i++) {
        cln__draw d = cln__augment_draw(&everything, 7, 3, i, 32, 40);
        bool seen[CLN__COLOURS] = {false};
        flips += d.flip;
        firsts[d.order[0]]++;
        for (int k = 0; k < CLN__COLOURS; k++) {
            ck_assert(!seen[d.order[k]]);
            seen[d.order[k]] = true;
            factor[k] += d.factor[k] / COUNT;
        }
        ck_assert(d.factor[CLN__BRIGHTNESS] >= 0.6 && d.factor[CLN__BRIGHTNESS] <= 1.4);
        ck_assert(d.factor[CLN__SATURATION] >= 0 && d.factor[CLN__SATURATION] <= 3);
        ck_assert(d.factor[CLN__HUE] >= -0.1 && d.factor[CLN__HUE] <= 0.1);
        for (int k = 0; k < 2; k++)
            shifts[k][d.shift[k] + 4]++;
        const int *c = d.cutout, *e = d.erased;
        ck_assert(c[0] >= 0 && c[1] >= 0 && c[0] + c[2] <= 32 && c[1] + c[3] <= 40 && c[2] >= 4 && c[2] <= 9);
        erased += e[2] > 0;
        if (e[2] > 0) {
            double area = e[2] * e[3] / (32.0 * 40);
            ck_assert(e[0] >= 0 && e[1] >= 0 && e[0] + e[2] <= 32 && e[1] + e[3] <= 40);
            ck_assert(area > 0.015 && area < 0.36);
        }
    }
    /* 4 deviations. */
    ck_assert_int_lt(abs(flips - COUNT / 4), 270);
    ck_assert_int_lt(abs(erased - COUNT * 3 / 4), 270);
    for (int k = 0; k < CLN__COLOURS; k++)
        ck_assert_int_lt(abs(firsts[k] - COUNT / 4), 270);
    for (int k = 0; k < 18; k++)
        ck_assert_int_lt(abs(shifts[k / 9][k % 9] - COUNT / 9), 195);
    ck_assert_double_eq_tol(factor[CLN__BRIGHTNESS], 1, 0.006);
    ck_assert_double_eq_tol(factor[CLN__SATURATION], 1.5, 0.03); /* from 0, not from 1 - 2, to 3 */
    ck_assert_double_eq_tol(factor[CLN__HUE], 0, 0.0015);
}
END_TEST

START_TEST(probabilities_of_nought_and_one) {
    cln_augmentation a = {.hflip = 1, .erasing = 1}, none = {.hflip = 0};
    for (int64_t i = 0; i < 1000; i++) {
        cln__draw d = cln__augment_draw(&a, 7, 3, i, 32, 32), n = cln__augment_draw(&none, 7, 3, i, 32, 32);
        ck_assert(d.flip && d.erased[2] > 0);
        ck_assert(!n.flip && n.erased[2] == 0 && n.cutout[2] == 0);
    }
}
END_TEST

/* --- what is done --- */

static int reflected(int at, int size) {
    return at < 0 ? -at : at >= size ? 2 * size - 2 - at : at;
}

START_TEST(padded_crops) {
    static const int sizes[][2] = {{1, 1}, {1, 7}, {7, 2}, {5, 9}};
    uint8_t image[2 * 45], out[sizeof image];
    fill_random(image, sizeof image, 1);
    for (int s = 0; s < 4; s++)
        for (int k = 0; k < 8; k++) {
            int h = sizes[s][0], w = sizes[s][1], shift[2] = {k & 1 ? h - 1 : 1 - h, k & 2 ? w - 1 : 1 - w}, wrong = 0;
            bool flip = k & 4;
            for (int mode = CLN_PAD_CONSTANT; mode <= CLN_PAD_REFLECT; mode++) {
                cln__crop_shift(image, 2, h, w, flip, shift, (cln_padding)mode, out);
                for (int i = 0; i < 2 * h * w; i++) {
                    int y = i % (h * w) / w + shift[0], x = i % w + shift[1];
                    bool inside = y >= 0 && y < h && x >= 0 && x < w;
                    int column = reflected(x, w), from = reflected(y, h) * w + (flip ? w - 1 - column : column);
                    int wanted = inside || mode == CLN_PAD_REFLECT ? image[i / (h * w) * h * w + from] : 0;
                    wrong += out[i] != wanted;
                }
            }
            ck_assert_int_eq(wrong, 0);
        }
}
END_TEST

/* What torchvision 0.28.0 on PyTorch 2.13.0 makes of [[1, 2, 3], [4, 5, 6]] by RandomCrop((2, 3), padding=1,
 * padding_mode="reflect") where it draws (0, 0) and (2, 2); its compiled operators, which take no part, were left out.
 */
START_TEST(reflection_is_torchvisions) {
    static const uint8_t image[6] = {1, 2, 3, 4, 5, 6}, first[6] = {5, 4, 5, 2, 1, 2}, last[6] = {5, 6, 5, 2, 3, 2};
    static const int up[2] = {-1, -1}, down[2] = {1, 1};
    uint8_t out[6];
    cln__crop_shift(image, 1, 2, 3, false, up, CLN_PAD_REFLECT, out);
    ck_assert_mem_eq(out, first, 6);
    cln__crop_shift(image, 1, 2, 3, false, down, CLN_PAD_REFLECT, out);
    ck_assert_mem_eq(out, last, 6);
}
END_TEST

START_TEST(boxes_become_zero) {
    float image[2 * 6 * 7];
    const cln__draw d = {.cutout = {1, 2, 3, 4}, .erased = {5, 0, 1, 7}};
    for (int i = 0; i < 84; i++)
        image[i] = (float)(i + 1);
    cln__augment_erase(&d, 2, 6, 7, image);
    for (int i = 0; i < 84; i++) {
        int y = i % 42 / 7, x = i % 7;
        bool zero = (y >= 1 && y < 4 && x >= 2 && x < 6) || y == 5;
        ck_assert_float_eq(image[i], zero ? 0 : (float)(i + 1));
    }
}
END_TEST

START_TEST(nothing_is_copied_where_nothing_is_done) {
    uint8_t image[3 * 16], scratch[2 * sizeof image];
    cln_augmentation a = {.cutout = 3, .mixup = 1};
    cln__draw d = cln__augment_draw(&a, 1, 0, 0, 4, 4);
    ck_assert_ptr_eq(cln__augment_pixels(&a, &d, image, 3, 4, 4, scratch), image);
}
END_TEST

/* --- images of all sizes, through the loader --- */

static cln_dataset some_images(int count, int channels, int height, int width) {
    cln_dataset d = {.count = count, .channels = channels, .height = height, .width = width, .num_classes = 2};
    size_t bytes = (size_t)(count * channels * height * width);
    d.images = malloc(bytes);
    d.labels = calloc((size_t)count, sizeof *d.labels);
    ck_assert(d.images && d.labels);
    fill_random(d.images, bytes, 9);
    return d;
}

static void free_images(cln_dataset *d) {
    free(d->images);
    free(d->labels);
}

static cln_loader_options options_for(const cln_dataset *d, const cln_augmentation *a) {
    cln_loader_options o = {.batch_size = 3, .seed = 1, .augmentation = *a};
    o.normalization.channels = d->channels;
    for (int c = 0; c < d->channels; c++) {
        o.normalization.mean[c] = 0.5f;
        o.normalization.deviation[c] = 0.25f;
    }
    return o;
}

START_TEST(images_of_all_sizes) {
    static const int sizes[][3] = {{1, 1, 1}, {3, 1, 1}, {1, 1, 17}, {3, 19, 2}, {3, 5, 64}, {1, 130, 7}};
    const int *s = sizes[_i];
    cln_dataset d = some_images(7, s[0], s[1], s[2]);
    cln_augmentation a = everything;
    a.crop_padding = s[1] < s[2] ? s[1] - 1 : s[2] - 1;
    a.cutout = 20;
    cln_loader_options o = options_for(&d, &a);
    for (int modes = 0; modes < 4; modes++) {
        cln_loader *loader;
        const cln_batch *b;
        o.augmentation.scale.high = modes & 1;
        o.augmentation.scale.low = modes & 1 ? 0.01 : 0;
        o.augmentation.hflip = modes & 2 ? 0.5 : 0;
        ok(cln_loader_new(ctx, &d, NULL, 0, &o, &loader));
        for (int epoch = 0; epoch < 40; epoch++) {
            ok(cln_loader_start(loader, epoch, 0));
            for (ok(cln_loader_next(loader, &b)); b; ok(cln_loader_next(loader, &b)))
                for (int64_t i = 0; i < b->size * s[0] * s[1] * s[2]; i++)
                    if (!(b->images[i] >= -2 && b->images[i] <= 2))
                        ck_abort_msg("pixel %lld is %g", (long long)i, (double)b->images[i]);
        }
        cln_loader_free(loader);
    }
    free_images(&d);
}
END_TEST

/* --- limits --- */

static void refused(const cln_augmentation *a, int channels, const char *message) {
    ck_assert_int_eq(cln__augmentation_check(ctx, a, channels, 8, 6), CLN_INVALID_ARGUMENT);
    expect_message(message);
}

START_TEST(limits) {
#define REFUSED(channels, message, ...) refused(&(const cln_augmentation){__VA_ARGS__}, channels, message)
    REFUSED(3, "probability of a flip 1.5, expected 0 to 1", .hflip = 1.5);
    REFUSED(3, "probability of a flip nan", .hflip = NAN);
    REFUSED(3, "resized crops of scale 0.9 to 0.5", .scale = {0.9, 0.5}, .ratio = {1, 1});
    REFUSED(3, "resized crops of scale 0 to 1", .scale = {0, 1}, .ratio = {1, 1});
    REFUSED(3, "resized crops of scale 0.5 to 1.1", .scale = {0.5, 1.1}, .ratio = {1, 1});
    REFUSED(3, "resized crops of scale nan", .scale = {NAN, NAN}, .ratio = {1, 1});
    REFUSED(3, "resized crops of ratio 0 to 0", .scale = {0.5, 1});
    REFUSED(3, "resized crops of ratio 2 to 1", .scale = {0.5, 1}, .ratio = {2, 1});
    REFUSED(3, "a padding of 6 pixels; it must be less than the sides of the images, which are 8x6", .crop_padding = 6);
    REFUSED(3, "a padding of -1 pixels", .crop_padding = -1);
    REFUSED(3, "padding mode 2 is not known", .padding_mode = (cln_padding)2);
    REFUSED(3, "brightness jitter -0.1, expected 0 to 1000", .brightness = -0.1);
    REFUSED(3, "contrast jitter inf", .contrast = INFINITY);
    REFUSED(3, "saturation jitter nan", .saturation = NAN);
    REFUSED(3, "hue jitter 0.6, expected 0 to 0.5", .hue = 0.6);
    REFUSED(2, "colour jitter is for images of 1 or 3 channels, these have 2", .hue = 0.1);
    REFUSED(3, "side of the cutout -1", .cutout = -1);
    REFUSED(3, "probability of erasing 2", .erasing = 2);
    REFUSED(3, "alpha of mixup -1, expected 0 to 1e+06", .mixup = -1);
    REFUSED(3, "alpha of CutMix nan", .cutmix = NAN);
#undef REFUSED
    ok(cln__augmentation_check(ctx, &everything, 3, 8, 6));
    cln_dataset d = some_images(4, 3, 2, 9);
    cln_loader_options o = options_for(&d, &everything);
    cln_loader *loader;
    ck_assert_int_eq(cln_loader_new(ctx, &d, NULL, 0, &o, &loader), CLN_INVALID_ARGUMENT);
    expect_message("which are 2x9");
    free_images(&d);
}
END_TEST

/* --- the picture --- */

enum { GAP = 2, BACKGROUND = 230 };

static const uint8_t *pixel(const cln_image *p, int y, int x) {
    return p->pixels + 3 * (y * p->width + x);
}

/* Flipped images under their originals, every pixel. */
START_TEST(grid_shows_originals_above) {
    cln_dataset d = some_images(5, _i ? 3 : 1, 4, 6);
    cln_augmentation a = {.hflip = 1};
    cln_loader_options o = options_for(&d, &a);
    const int64_t indices[3] = {4, 0, 2};
    cln_image p;
    int wrong = 0;
    ok(cln_augmentation_grid(ctx, &d, indices, 3, &o, 0, &p));
    ck_assert_int_eq(p.width, 3 * (6 + GAP) + GAP);
    ck_assert_int_eq(p.height, 2 * (4 + GAP) + GAP);
    for (int y = 0; y < p.height; y++)
        for (int x = 0; x < p.width; x++) {
            int column = x / (6 + GAP), row = y / (4 + GAP), iy = y % (4 + GAP) - GAP, ix = x % (6 + GAP) - GAP;
            for (int c = 0; c < 3; c++) {
                int wanted = BACKGROUND;
                if (iy >= 0 && ix >= 0)
                    wanted =
                        d.images[((indices[column] * d.channels + (_i ? c : 0)) * 4 + iy) * 6 + (row ? 5 - ix : ix)];
                wrong += pixel(&p, y, x)[c] != wanted;
            }
        }
    ck_assert_int_eq(wrong, 0);
    cln_image_free(&p);
    free_images(&d);
}
END_TEST

START_TEST(grid_shows_the_mean_where_erased) {
    cln_dataset d = some_images(2, 3, 4, 4);
    cln_augmentation a = {.cutout = 100};
    cln_loader_options o = options_for(&d, &a);
    cln_image p;
    ok(cln_augmentation_grid(ctx, &d, NULL, 1, &o, 0, &p));
    ck_assert_int_eq(p.width, 4 + 2 * GAP);
    for (int y = 4 + 2 * GAP; y < p.height - GAP; y++)
        for (int x = GAP; x < p.width - GAP; x++)
            ck_assert_uint_eq(pixel(&p, y, x)[1], 128);
    cln_image_free(&p);
    free_images(&d);
}
END_TEST

START_TEST(grid_refuses) {
    cln_dataset d = some_images(2, 2, 4, 4);
    cln_augmentation a = {.hflip = 1};
    cln_loader_options o = options_for(&d, &a);
    const int64_t beyond = 2;
    cln_image p;
    ck_assert_int_eq(cln_augmentation_grid(ctx, &d, NULL, 1, &o, 0, &p), CLN_INVALID_ARGUMENT);
    expect_message("images of 2 channels cannot be shown");
    ck_assert_ptr_null(p.pixels);
    d.channels = o.normalization.channels = 1;
    ck_assert_int_eq(cln_augmentation_grid(ctx, &d, &beyond, 1, &o, 0, &p), CLN_INVALID_ARGUMENT);
    expect_message("sample 2 is not among the 2");
    ck_assert_int_eq(cln_augmentation_grid(ctx, &d, NULL, 0, &o, 0, &p), CLN_INVALID_ARGUMENT);
    expect_message("batch size 0");
    free_images(&d);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_loop_test(tests, the_recipe_draws_what_it_always_did, 0, 6);
    tcase_add_test(tests, parts_are_drawn_apart);
    tcase_add_test(tests, draws_are_within_their_bounds);
    tcase_add_test(tests, probabilities_of_nought_and_one);
    tcase_add_test(tests, padded_crops);
    tcase_add_test(tests, reflection_is_torchvisions);
    tcase_add_test(tests, boxes_become_zero);
    tcase_add_test(tests, nothing_is_copied_where_nothing_is_done);
    tcase_add_loop_test(tests, images_of_all_sizes, 0, 6);
    tcase_add_test(tests, limits);
    tcase_add_loop_test(tests, grid_shows_originals_above, 0, 2);
    tcase_add_test(tests, grid_shows_the_mean_where_erased);
    tcase_add_test(tests, grid_refuses);
}

int main(void) {
    return suite_run("augmentation", add_tests);
}
