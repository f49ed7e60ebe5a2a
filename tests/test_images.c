/* Folders of images: what is found, in which order, decoded and resized how, and what is refused. */
#include "../src/data/image.h"
#include "clnet/data.h"
#include "files.h"
#include "pictures.h"
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *folder;

static void setup(void) {
    folder = folder_new();
}

static void teardown(void) {
    folder_remove(folder);
}

static cln_dataset *load(cln_split split, int height, int width, int channels) {
    cln_dataset *dataset = NULL;
    const cln_dataset_options options = {height, width, channels};
    ok(cln_dataset_load(ctx, folder, split, &options, &dataset));
    return dataset;
}

static void fails_resized(cln_split split, int height, int width, int channels, cln_status status,
                          const char *message) {
    cln_dataset *dataset = NULL;
    const cln_dataset_options options = {height, width, channels};
    ck_assert_int_eq(cln_dataset_load(ctx, folder, split, &options, &dataset), status);
    ck_assert_ptr_null(dataset);
    expect_message(message);
}

static void fails(cln_split split, cln_status status, const char *message) {
    fails_resized(split, 0, 0, 0, status, message);
}

/* 5x4 in RGBA, every component different from its neighbours. */
static void make_pattern(uint8_t *rgba) {
    for (int i = 0; i < 5 * 4 * 4; i++)
        rgba[i] = (uint8_t)(i * 53 + i / 7);
}

static void keep(const uint8_t *rgba, int components, uint8_t *out) {
    for (int i = 0; i < 20; i++)
        for (int c = 0; c < components; c++)
            *out++ = rgba[4 * i + c];
}

static void check_planes(const uint8_t *planes, const uint8_t *rgba, int tolerance) {
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 20; i++)
            ck_assert_int_le(abs(*planes++ - rgba[4 * i + c]), tolerance);
}

/* --- what is read --- */

START_TEST(formats) {
    uint8_t rgba[80], pixels[80];
    make_pattern(rgba);
    static const struct {
        const char *name;
        int components, tolerance;
    } files[] = {
        {"train/x/0.png", 3, 0}, {"train/x/1.png", 4, 0}, {"train/x/2.bmp", 3, 0}, {"train/x/3.tga", 3, 0},
        {"train/x/4.ppm", 3, 0}, {"train/x/5.tga", 4, 0}, {"train/x/6.bmp", 4, 0},
    };
    int count = (int)(sizeof files / sizeof *files);
    for (int i = 0; i < count; i++) {
        keep(rgba, files[i].components, pixels);
        picture_write(folder, files[i].name, 5, 4, files[i].components, pixels);
    }
    /* Lossy, so of one colour: JPEG is right to a few levels, HDR has a gamma of 2.2 on top. */
    picture_flat(folder, "train/y/flat.jpg", 5, 4, 3, 100);
    picture_flat(folder, "train/y/light.hdr", 5, 4, 3, 255);
    cln_dataset *d = load(CLN_SPLIT_TRAIN, 0, 0, 0);
    ck_assert_str_eq(d->format, "images");
    ck_assert_int_eq(d->count, count + 2);
    ck_assert_int_eq(d->channels, 3);
    ck_assert_int_eq(d->height, 4);
    ck_assert_int_eq(d->width, 5);
    ck_assert_int_eq(d->num_classes, 2);
    for (int i = 0; i < count; i++)
        check_planes(d->images + i * 60, rgba, files[i].tolerance);
    for (int i = 0; i < 60; i++) {
        ck_assert_int_le(abs(d->images[count * 60 + i] - 100), 2);
        ck_assert_int_ge(d->images[(count + 1) * 60 + i], 253);
    }
    cln_dataset_free(d);
}
END_TEST

START_TEST(sixteen_bits) {
    static const char pgm[] = "P5 3 2 65535\n\x01\xff\x02\xff\x03\xff\x04\x00\x05\x00\x06\x00";
    picture_bytes(folder, "train/a/1.pgm", pgm, sizeof pgm - 1);
    fails(CLN_SPLIT_TRAIN, CLN_UNSUPPORTED, "1.pgm' is PNM of 16 bits, which cannot be read; 8 bits can");
}
END_TEST

START_TEST(order_and_classes) {
    /* By bytes: capitals first, 10 before 9, and not by the user's language. */
    static const char *const names[] = {"B/10.pgm", "B/9.pgm", "B/Z.pgm", "B/a.pgm", "a b/x.pgm", "zoo/\xc3\xa9.pgm"};
    static const int labels[] = {0, 0, 0, 0, 1, 2};
    char name[64];
    for (int i = 5; i >= 0; i--) {
        snprintf(name, sizeof name, "train/%s", names[i]);
        picture_flat(folder, name, 2, 2, 1, 10 + i);
    }
    picture_bytes(folder, "train/README", "no class", 8);
    picture_bytes(folder, "train/B/.hidden", "no image", 8);
    picture_bytes(folder, "train/.hidden/x.png", "no image", 8);
    picture_flat(folder, "val/zoo/1.pgm", 2, 2, 1, 99);
    folder_make(folder, "val/B");
    cln_dataset *d = load(CLN_SPLIT_TRAIN, 0, 0, 0);
    ck_assert_int_eq(d->count, 6);
    ck_assert_int_eq(d->num_classes, 3);
    ck_assert_str_eq(d->class_names[0], "B");
    ck_assert_str_eq(d->class_names[1], "a b");
    ck_assert_str_eq(d->class_names[2], "zoo");
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(d->labels[i], labels[i]);
        ck_assert_int_eq(d->images[i * 4], 10 + i);
    }
    cln_dataset_free(d);
    d = load(CLN_SPLIT_TEST, 0, 0, 0);
    ck_assert_int_eq(d->count, 1);
    ck_assert_int_eq(d->num_classes, 3);
    ck_assert_int_eq(d->labels[0], 2);
    cln_dataset_free(d);
    /* Beside test, val is something else. */
    picture_flat(folder, "test/B/1.pgm", 2, 2, 1, 55);
    d = load(CLN_SPLIT_TEST, 0, 0, 0);
    ck_assert_int_eq(d->labels[0], 0);
    ck_assert_int_eq(d->images[0], 55);
    cln_dataset_free(d);
}
END_TEST

START_TEST(grey_and_colour) {
    picture_flat(folder, "train/a/1.png", 3, 2, 1, 7);
    picture_flat(folder, "train/a/2.png", 3, 2, 2, 8);
    cln_dataset *d = load(CLN_SPLIT_TRAIN, 0, 0, 0);
    ck_assert_int_eq(d->channels, 1);
    ck_assert_int_eq(d->images[0], 7);
    ck_assert_int_eq(d->images[6], 8);
    cln_dataset_free(d);
    /* A single coloured one among them makes all three-channelled. */
    static const uint8_t red_green_blue[] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255};
    picture_write(folder, "train/a/3.png", 3, 2, 3, red_green_blue);
    d = load(CLN_SPLIT_TRAIN, 0, 0, 0);
    ck_assert_int_eq(d->channels, 3);
    for (int i = 0; i < 18; i++)
        ck_assert_int_eq(d->images[i], 7);
    static const uint8_t planes[] = {255, 0, 0, 255, 0, 0, 0, 255, 0, 0, 255, 0, 0, 0, 255, 0, 0, 255};
    ck_assert_mem_eq(d->images + 36, planes, 18);
    cln_dataset_free(d);
    /* Unless one is wanted: the luminances are PIL's. */
    d = load(CLN_SPLIT_TRAIN, 0, 0, 1);
    ck_assert_int_eq(d->channels, 1);
    ck_assert_int_eq(d->images[12], 76);
    ck_assert_int_eq(d->images[13], 150);
    ck_assert_int_eq(d->images[14], 29);
    cln_dataset_free(d);
}
END_TEST

START_TEST(many_in_parallel) {
    char name[64];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "train/%d/%03d.png", i % 3, i);
        picture_flat(folder, name, 8, 8, 1, i % 256);
    }
    cln_dataset *d = load(CLN_SPLIT_TRAIN, 4, 4, 0);
    ck_assert_int_eq(d->count, 300);
    for (int k = 0; k < 300; k++) {
        int i = k % 100 * 3 + k / 100;
        ck_assert_int_eq(d->labels[k], k / 100);
        ck_assert_int_eq(d->images[k * 16], i % 256);
        ck_assert_int_eq(d->images[k * 16 + 15], i % 256);
    }
    cln_dataset_free(d);
}
END_TEST

/* --- sizes --- */

START_TEST(resized_as_by_pil) {
    uint8_t source[7 * 13], out[200];
    for (int y = 0; y < 7; y++)
        for (int x = 0; x < 13; x++)
            source[13 * y + x] = (uint8_t)(x * 37 + y * 91 + x * x * y * 5);
    /* By Pillow 12.0.0: Image.fromarray(source).resize((width, height), Image.BILINEAR) */
    static const struct {
        int height, width;
        uint8_t pixels[60];
    } cases[] = {
        {4, 5, {88, 141, 153, 92, 143, 132, 131, 158, 103, 71, 94, 92, 82, 124, 124, 104, 153, 135, 179, 161}},
        {9, 6, {29,  100, 177, 70,  88,  159, 94,  155, 158, 122, 115, 159, 148, 159, 161, 152, 90,  94,
                151, 121, 153, 162, 56,  37,  64,  84,  75,  177, 107, 123, 103, 87,  49,  98,  100, 123,
                107, 90,  119, 91,  151, 124, 100, 119, 172, 130, 190, 145, 98,  173, 153, 181, 181, 187}},
        {3, 20, {78,  98,  119, 116, 139, 170, 142, 138, 153, 207, 182, 75,  101, 103, 67,  100, 118, 94,  132, 170,
                 92,  110, 124, 100, 87,  87,  131, 123, 80,  84,  112, 166, 172, 138, 54,  82,  112, 115, 95,  76,
                 121, 98,  81,  120, 118, 102, 149, 172, 177, 88,  81,  156, 137, 144, 191, 183, 163, 134, 141, 153}}};
    cln__image image = {.planes = source, .channels = 1, .height = 7, .width = 13};
    for (int i = 0; i < 3; i++) {
        ok(cln__image_resize(ctx, &image, cases[i].height, cases[i].width, out));
        ck_assert_mem_eq(out, cases[i].pixels, (size_t)(cases[i].height * cases[i].width));
    }
    ok(cln__image_resize(ctx, &image, 7, 13, out));
    ck_assert_mem_eq(out, source, sizeof source);
}
END_TEST

START_TEST(sizes) {
    picture_flat(folder, "train/a/1.ppm", 6, 4, 3, 200);
    picture_flat(folder, "train/a/2.ppm", 5, 4, 3, 100);
    fails(CLN_SPLIT_TRAIN, CLN_INVALID_ARGUMENT,
          "a/2.ppm' is 4x5, the first one 4x6 (height x width): give --image-size");
    cln_dataset *d = load(CLN_SPLIT_TRAIN, 3, 8, 0);
    ck_assert_int_eq(d->height, 3);
    ck_assert_int_eq(d->width, 8);
    for (int i = 0; i < 144; i++)
        ck_assert_int_eq(d->images[i], i < 72 ? 200 : 100);
    cln_dataset_free(d);
    fails_resized(CLN_SPLIT_TRAIN, 3, 0, 0, CLN_INVALID_ARGUMENT, "images of 3x0 are wanted");
    fails_resized(CLN_SPLIT_TRAIN, 5000, 10, 0, CLN_INVALID_ARGUMENT, "expected sides of 1 to 4096");
    fails_resized(CLN_SPLIT_TRAIN, -1, -1, 0, CLN_INVALID_ARGUMENT, "images of -1x-1 are wanted");
    fails_resized(CLN_SPLIT_TRAIN, 0, 0, 2, CLN_INVALID_ARGUMENT, "2 channels are wanted, expected 1 or 3");
}
END_TEST

/* --- bad images --- */

/* The only image is folder/train/a/<name>. */
static void fails_as(const char *name, const void *bytes, size_t size, const char *message) {
    char inner[64];
    snprintf(inner, sizeof inner, "train/a/%s", name);
    picture_bytes(folder, inner, bytes, size);
    fails(CLN_SPLIT_TRAIN, CLN_INVALID_FILE, message);
    expect_message(name);
    file_remove(folder, inner);
}

START_TEST(no_images) {
    fails_as("empty.png", "", 0, "is not an image that can be read (");
    fails_as("note.txt", "remember the milk", 17, "note.txt' is not an image that can be read (");
    fails_as("wide.pgm", "P5 40000 1 255\n", 15, "is 1x40000 (height x width), expected sides of 1 to 32768");
    fails_as("huge.pgm", "P5 30000 30000 255\n", 19, "at most 67108864 pixels");
    fails_as("none.pgm", "P5 0 4 255\n", 11, "none.pgm'");
    fails_as("short.pgm", "P5 4 4 255\n0123456789", 21, "short.pgm' cannot be decoded (the file ends too early)");
    /* What stb_image 2.27 would read on for ever. */
    static const char hdr[] = "#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 9 +X 9\n\x02\x02\x00\x09\x85\x01";
    fails_as("cut.hdr", hdr, sizeof hdr - 1, "the file ends too early");
    fails_as("none.gif", "GIF89a\1\0\1\0\0\0\0;", 14, "none.gif' cannot be decoded (it holds no picture)");
}
END_TEST

/* Cut anywhere before its last bytes, which are padding or an end mark in some formats, no image is accepted. */
START_TEST(truncated_images) {
    static const struct {
        const char *name;
        size_t spare;
    } files[] = {{"train/a/1.png", 0}, {"train/a/1.jpg", 0}, {"train/a/1.bmp", 3},
                 {"train/a/1.tga", 0}, {"train/a/1.ppm", 0}, {"train/a/1.hdr", 0}};
    uint8_t rgba[80], pixels[60], bytes[4096];
    make_pattern(rgba);
    keep(rgba, 3, pixels);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        picture_write(folder, files[i].name, 5, 4, 3, pixels);
        char *path = path_of(folder, files[i].name);
        FILE *file = fopen(path, "rb");
        size_t size = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        for (size_t length = 1; length + files[i].spare < size; length++) {
            uint8_t *part = malloc(length); /* so that the sanitizer sees its end */
            ck_assert_ptr_nonnull(part);
            memcpy(part, bytes, length);
            cln__image image = {.planes = NULL};
            cln_status status = cln__image_examine(ctx, path, part, length, &image);
            if (status == CLN_OK)
                status = cln__image_decode(ctx, path, part, length, &image);
            ck_assert_msg(status == CLN_INVALID_FILE, "%s cut to %zu of %zu bytes", files[i].name, length, size);
            ck_assert_ptr_null(image.planes);
            free(part);
        }
        free(path);
    }
}
END_TEST

START_TEST(jpeg_with_too_many_symbols) {
    picture_flat(folder, "train/a/1.jpg", 8, 8, 3, 50);
    char *path = path_of(folder, "train/a/1.jpg");
    uint8_t bytes[4096];
    FILE *file = fopen(path, "rb");
    size_t size = fread(bytes, 1, sizeof bytes, file), at = 0;
    fclose(file);
    free(path);
    while (bytes[at] != 0xff || bytes[at + 1] != 0xc4)
        at++;
    memset(bytes + at + 5, 255, 16); /* how many codes of each length the first table has */
    fails_as("1.jpg", bytes, size, "is damaged: a Huffman table of more than 256 symbols");
    /* The same where the file ends within the table. */
    fails_as("1.jpg", bytes, at + 9, "1.jpg'");
}
END_TEST

START_TEST(all_bad_images_are_listed) {
    char name[64];
    picture_flat(folder, "train/a/00.png", 2, 2, 1, 1);
    for (int i = 1; i < 10; i++) {
        snprintf(name, sizeof name, "train/a/%02d.png", i);
        picture_bytes(folder, name, "nothing", 7);
        if (i == 2) {
            fails(CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "2 of 3 images cannot be used: '");
            expect_message("a/01.png' is not an image that can be read (");
            expect_message("; '");
            expect_message("a/02.png' is not an image");
        }
    }
    fails(CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "more than 5 of 10 images cannot be used: '");
    for (int i = 1; i <= 5; i++) {
        snprintf(name, sizeof name, "a/%02d.png' is not an image", i);
        expect_message(name);
    }
    ck_assert_ptr_null(strstr(cln_context_error(ctx), "06.png"));
}
END_TEST

/* --- bad folders --- */

START_TEST(bad_folders) {
    picture_flat(folder, "test/a/1.png", 2, 2, 1, 1);
    fails(CLN_SPLIT_TRAIN, CLN_IO, "there is no folder train in it");
    cln_dataset *d = load(CLN_SPLIT_TEST, 0, 0, 0); /* alone, it tells its classes itself */
    ck_assert_int_eq(d->num_classes, 1);
    cln_dataset_free(d);
    folder_make(folder, "train");
    fails(CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "train' has no folders, expected one for each class");
    folder_make(folder, "train/b");
    fails(CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "class 'b' of '");
    expect_message("train' has no images");
    fails(CLN_SPLIT_TEST, CLN_INVALID_FILE, "test' has a class 'a' that the training images lack");
    picture_bytes(folder, "train/b/inner/1.png", "", 0);
    fails(CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "train/b/inner' is a folder, expected an image");
    char *bad = path_of(folder, "train/\xff");
    char *good = path_of(folder, "train/b");
    ck_assert_int_eq(rename(good, bad), 0);
    fails(CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "train': the name of class 0, '\xff', is not UTF-8");
    free(bad);
    free(good);
}
END_TEST

START_TEST(no_test_folder) {
    picture_flat(folder, "train/a/1.png", 2, 2, 1, 1);
    fails(CLN_SPLIT_TEST, CLN_IO, "there is no folder test or val in it");
    folder_make(folder, "val");
    folder_make(folder, "val/a");
    fails(CLN_SPLIT_TEST, CLN_INVALID_FILE, "val' has no images");
    picture_bytes(folder, "test", "", 0);
    fails(CLN_SPLIT_TEST, CLN_INVALID_FILE, "test' is not a folder");
}
END_TEST

static void link_to(const char *target, const char *name) {
    char *path = path_of(folder, name);
    ck_assert_int_eq(symlink(target, path), 0);
    free(path);
}

START_TEST(links) {
    char *other = cln__format("%s-other", folder); /* whose name begins with that of the data set */
    ck_assert_int_eq(mkdir(other, 0700), 0);
    picture_flat(other, "1.png", 2, 2, 1, 9);
    picture_flat(folder, "train/a/1.png", 2, 2, 1, 5);
    /* Within the data set they are followed ... */
    link_to("1.png", "train/a/2.png");
    link_to("a", "train/b");
    link_to("train", "test");
    cln_dataset *d = load(CLN_SPLIT_TEST, 0, 0, 0);
    ck_assert_int_eq(d->count, 4);
    ck_assert_int_eq(d->num_classes, 2);
    cln_dataset_free(d);
    /* ... out of it they are not, be they images, classes or splits. */
    link_to(other, "train/c");
    fails(CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "train/c' is a symbolic link that leads out of the data set, or nowhere");
    file_remove(folder, "train/c");
    char *outside = path_of(other, "1.png");
    link_to(outside, "train/a/3.png");
    fails(CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "train/a/3.png' is a symbolic link that leads out");
    file_remove(folder, "train/a/3.png");
    link_to("nowhere", "train/a/3.png");
    fails(CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "train/a/3.png' is a symbolic link that leads out");
    file_remove(folder, "train/a/3.png");
    file_remove(folder, "test");
    link_to(other, "test");
    fails(CLN_SPLIT_TEST, CLN_INVALID_FILE, "test' is a symbolic link that leads out");
    free(outside);
    folder_remove(other);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, formats);
    tcase_add_test(tests, sixteen_bits);
    tcase_add_test(tests, order_and_classes);
    tcase_add_test(tests, grey_and_colour);
    tcase_add_test(tests, many_in_parallel);
    tcase_add_test(tests, resized_as_by_pil);
    tcase_add_test(tests, sizes);
    tcase_add_test(tests, no_images);
    tcase_add_test(tests, truncated_images);
    tcase_add_test(tests, jpeg_with_too_many_symbols);
    tcase_add_test(tests, all_bad_images_are_listed);
    tcase_add_test(tests, bad_folders);
    tcase_add_test(tests, no_test_folder);
    tcase_add_test(tests, links);
}

int main(void) {
    return suite_run("images", add_tests);
}
