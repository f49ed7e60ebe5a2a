/* Data sets from disk, and their normalisation. */
#include "clnet/data.h"
#include "files.h"
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECORD = 3073 };

static char *folder;

static void setup(void) {
    folder = folder_new();
}

static void teardown(void) {
    folder_remove(folder);
}

static void expect_failure(const char *path, cln_split split, cln_status status, const char *message) {
    cln_dataset *dataset = NULL;
    ck_assert_int_eq(cln_dataset_load(ctx, path, split, NULL, &dataset), status);
    ck_assert_ptr_null(dataset);
    expect_message(message);
}

static cln_dataset *load(const char *path, cln_split split) {
    cln_dataset *dataset = NULL;
    cln_status status = cln_dataset_load(ctx, path, split, NULL, &dataset);
    ck_assert_msg(status == CLN_OK, "%s", cln_context_error(ctx));
    return dataset;
}

/* A CIFAR-10 file of `count` records: record i has label (first + i) % 10 and every byte of its image is first + i. */
static void write_cifar(const char *name, int first, int count) {
    uint8_t *bytes = malloc((size_t)count * RECORD + 1);
    ck_assert_ptr_nonnull(bytes);
    for (int i = 0; i < count; i++) {
        memset(bytes + i * RECORD, first + i, RECORD);
        bytes[i * RECORD] = (uint8_t)((first + i) % 10);
    }
    file_write(folder, name, bytes, (size_t)count * RECORD);
    free(bytes);
}

static void write_all_cifar(void) {
    for (int i = 0; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "data_batch_%d.bin", i + 1);
        write_cifar(name, 3 * i, 3);
    }
    write_cifar("test_batch.bin", 100, 2);
}

static void put32(uint8_t *p, uint32_t value) {
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* An IDX images file: every byte of image i is 10 + i. `extra` bytes more, or fewer, than the header says. */
static void write_images(const char *name, uint32_t count, uint32_t rows, uint32_t columns, int extra) {
    size_t image = (size_t)rows * columns, size = (size_t)((int)(16 + count * image) + extra);
    uint8_t *bytes = calloc(size + 16, 1);
    ck_assert_ptr_nonnull(bytes);
    put32(bytes, 0x803);
    put32(bytes + 4, count);
    put32(bytes + 8, rows);
    put32(bytes + 12, columns);
    for (size_t i = 16; i < size; i++)
        bytes[i] = (uint8_t)(10 + (i - 16) / image);
    file_write(folder, name, bytes, size);
    free(bytes);
}

static void write_labels(const char *name, const uint8_t *labels, uint32_t count, uint32_t said) {
    uint8_t bytes[64] = {0};
    put32(bytes, 0x801);
    put32(bytes + 4, said);
    memcpy(bytes + 8, labels, count);
    file_write(folder, name, bytes, 8 + count);
}

#define TRAIN_IMAGES "train-images-idx3-ubyte"
#define TRAIN_LABELS "train-labels-idx1-ubyte"
#define TEST_IMAGES "t10k-images-idx3-ubyte"
#define TEST_LABELS "t10k-labels-idx1-ubyte"

START_TEST(cifar_is_read) {
    write_all_cifar();
    cln_dataset *d = load(folder, CLN_SPLIT_TRAIN);
    ck_assert_int_eq(d->count, 15);
    ck_assert_int_eq(d->channels, 3);
    ck_assert_int_eq(d->height, 32);
    ck_assert_int_eq(d->width, 32);
    ck_assert_int_eq(d->num_classes, 10);
    ck_assert_str_eq(d->class_names[0], "airplane");
    ck_assert_str_eq(d->class_names[9], "truck");
    ck_assert_str_eq(d->format, "cifar10");
    for (int i = 0; i < 15; i++) {
        ck_assert_int_eq(d->labels[i], i % 10);
        ck_assert_uint_eq(d->images[i * 3072], (unsigned)i);
        ck_assert_uint_eq(d->images[i * 3072 + 3071], (unsigned)i);
    }
    cln_dataset_free(d);
    d = load(folder, CLN_SPLIT_TEST);
    ck_assert_int_eq(d->count, 2);
    cln_dataset_free(d);
}
END_TEST

START_TEST(cifar_in_its_subfolder) {
    char *outer = folder;
    folder_make(outer, "cifar-10-batches-bin");
    folder = path_of(outer, "cifar-10-batches-bin");
    write_all_cifar();
    cln_dataset *d = load(outer, CLN_SPLIT_TRAIN);
    ck_assert_int_eq(d->count, 15);
    cln_dataset_free(d);
    free(folder);
    folder = outer;
}
END_TEST

START_TEST(cifar_class_names) {
    write_all_cifar();
    const char *names = "a\nb\nc\nd\ne\nf\ng\nh\ni\nten\n\n";
    file_write(folder, "batches.meta.txt", names, strlen(names));
    cln_dataset *d = load(folder, CLN_SPLIT_TEST);
    ck_assert_str_eq(d->class_names[0], "a");
    ck_assert_str_eq(d->class_names[9], "ten");
    cln_dataset_free(d);
    file_write(folder, "batches.meta.txt", "a\nb\n", 4);
    expect_failure(folder, CLN_SPLIT_TEST, CLN_INVALID_FILE, "batches.meta.txt' has 2 class names, expected 10");
}
END_TEST

START_TEST(cifar_bad_files) {
    write_all_cifar();
    uint8_t record[2 * RECORD] = {0};
    file_write(folder, "data_batch_2.bin", record, 2 * RECORD - 1);
    expect_failure(
        folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE,
        "data_batch_2.bin' has 6145 bytes, expected one or more whole records of 3073 bytes (found 1 records "
        "and 3072 bytes)");
    file_write(folder, "data_batch_2.bin", record, 0);
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "data_batch_2.bin' has 0 bytes, expected");
    record[RECORD] = 10;
    file_write(folder, "data_batch_2.bin", record, sizeof record);
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE,
                   "data_batch_2.bin': record 1 (counted from 0) has label 10, expected 0 to 9");
    file_remove(folder, "data_batch_2.bin");
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_IO,
                   "data_batch_2.bin is missing, expected data_batch_1.bin to data_batch_5.bin");
    file_remove(folder, "test_batch.bin");
    expect_failure(folder, CLN_SPLIT_TEST, CLN_IO, "test_batch.bin is missing");
    folder_make(folder, "test_batch.bin");
    expect_failure(folder, CLN_SPLIT_TEST, CLN_IO, "is a folder, not a regular file");
}
END_TEST

/* A CIFAR-100 file of `count` records: record i has labels i % 20 and (first + i) % 100, and bytes of first + i. */
static void write_cifar100(const char *name, int first, int count) {
    enum { RECORD_100 = 3074 };
    uint8_t *bytes = malloc((size_t)count * RECORD_100);
    ck_assert_ptr_nonnull(bytes);
    for (int i = 0; i < count; i++) {
        memset(bytes + i * RECORD_100, first + i, RECORD_100);
        bytes[i * RECORD_100] = (uint8_t)(i % 20);
        bytes[i * RECORD_100 + 1] = (uint8_t)((first + i) % 100);
    }
    file_write(folder, name, bytes, (size_t)count * RECORD_100);
    free(bytes);
}

START_TEST(cifar100_is_read) {
    write_cifar100("train.bin", 90, 30);
    write_cifar100("test.bin", 7, 2);
    cln_dataset *d = load(folder, CLN_SPLIT_TRAIN);
    ck_assert_int_eq(d->count, 30);
    ck_assert_int_eq(d->channels, 3);
    ck_assert_int_eq(d->height, 32);
    ck_assert_int_eq(d->width, 32);
    ck_assert_int_eq(d->num_classes, 100);
    ck_assert_str_eq(d->class_names[99], "99");
    ck_assert_str_eq(d->format, "cifar100");
    for (int i = 0; i < 30; i++) {
        ck_assert_int_eq(d->labels[i], (90 + i) % 100); /* the fine ones */
        ck_assert_uint_eq(d->images[i * 3072], (unsigned)(90 + i));
        ck_assert_uint_eq(d->images[i * 3072 + 3071], (unsigned)(90 + i));
    }
    cln_dataset_free(d);
    char names[400] = "", line[16];
    for (int i = 0; i < 100; i++) {
        snprintf(line, sizeof line, "n%d\n", i);
        strcat(names, line);
    }
    file_write(folder, "fine_label_names.txt", names, strlen(names));
    d = load(folder, CLN_SPLIT_TEST);
    ck_assert_int_eq(d->count, 2);
    ck_assert_str_eq(d->class_names[0], "n0");
    ck_assert_str_eq(d->class_names[99], "n99");
    cln_normalization n; /* not that of CIFAR-10 */
    ok(cln_normalization_choose(ctx, NULL, d, &n));
    ck_assert_float_eq_tol(n.mean[0], 7.5f / 255, 1e-6f);
    cln_dataset_free(d);
    file_write(folder, "fine_label_names.txt", names, strlen(names) - 4);
    expect_failure(folder, CLN_SPLIT_TEST, CLN_INVALID_FILE, "fine_label_names.txt' has 99 class names, expected 100");
    file_write(folder, "fine_label_names.txt", "\xc0\n", 2);
    expect_failure(folder, CLN_SPLIT_TEST, CLN_INVALID_FILE, "has 1 class names, expected 100");
}
END_TEST

START_TEST(cifar100_in_its_subfolder) {
    char *outer = folder;
    folder_make(outer, "cifar-100-binary");
    folder = path_of(outer, "cifar-100-binary");
    write_cifar100("test.bin", 0, 4);
    cln_dataset *d = load(outer, CLN_SPLIT_TEST);
    ck_assert_int_eq(d->count, 4);
    cln_dataset_free(d);
    expect_failure(outer, CLN_SPLIT_TRAIN, CLN_IO, "cifar-100-binary': train.bin is missing, expected train.bin");
    free(folder);
    folder = outer;
}
END_TEST

START_TEST(cifar100_bad_files) {
    uint8_t records[2 * 3074] = {0};
    file_write(folder, "test.bin", records, 3073);
    expect_failure(folder, CLN_SPLIT_TEST, CLN_INVALID_FILE, "CIFAR-100 file '");
    expect_message("has 3073 bytes, expected one or more whole records of 3074 bytes");
    records[3074] = 20;
    file_write(folder, "test.bin", records, sizeof records);
    expect_failure(folder, CLN_SPLIT_TEST, CLN_INVALID_FILE,
                   "record 1 (counted from 0) has coarse label 20, expected 0 to 19");
    records[3074] = 19;
    records[3075] = 100;
    file_write(folder, "test.bin", records, sizeof records);
    expect_failure(folder, CLN_SPLIT_TEST, CLN_INVALID_FILE,
                   "record 1 (counted from 0) has label 100, expected 0 to 99");
}
END_TEST

START_TEST(class_names_are_utf8) {
    write_all_cifar();
    const char *names = "a\nb\nc\nd\ne\nf\ng\nh\nv\xf6gel\nten\n";
    file_write(folder, "batches.meta.txt", names, strlen(names));
    expect_failure(folder, CLN_SPLIT_TEST, CLN_INVALID_FILE,
                   "batches.meta.txt': the name of class 8, 'v\xf6gel', is not UTF-8");
}
END_TEST

START_TEST(idx_plain_and_gzipped) {
    const uint8_t labels[5] = {0, 2, 1, 2, 0};
    write_images(TRAIN_IMAGES ".gz", 5, 28, 28, 0);
    write_labels(TRAIN_LABELS, labels, 5, 5);
    cln_dataset *d = load(folder, CLN_SPLIT_TRAIN);
    ck_assert_int_eq(d->count, 5);
    ck_assert_int_eq(d->channels, 1);
    ck_assert_int_eq(d->height, 32);
    ck_assert_int_eq(d->width, 32);
    ck_assert_int_eq(d->num_classes, 3);
    ck_assert_str_eq(d->class_names[2], "2");
    ck_assert_str_eq(d->format, "idx");
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(d->labels[i], labels[i]);
        for (int y = 0; y < 32; y++)
            for (int x = 0; x < 32; x++) {
                bool inside = y >= 2 && y < 30 && x >= 2 && x < 30;
                ck_assert_int_eq(d->images[(i * 32 + y) * 32 + x], inside ? 10 + i : 0);
            }
    }
    cln_dataset_free(d);
}
END_TEST

START_TEST(idx_other_sizes_stay) {
    const uint8_t labels[2] = {1, 0};
    write_images(TEST_IMAGES, 2, 5, 7, 0);
    write_labels(TEST_LABELS ".gz", labels, 2, 2);
    cln_dataset *d = load(folder, CLN_SPLIT_TEST);
    ck_assert_int_eq(d->height, 5);
    ck_assert_int_eq(d->width, 7);
    ck_assert_int_eq(d->num_classes, 2);
    ck_assert_int_eq(d->images[35], 11);
    cln_dataset_free(d);
}
END_TEST

START_TEST(idx_classes) {
    write_images(TRAIN_IMAGES, 4, 4, 4, 0);
    write_images(TEST_IMAGES, 1, 4, 4, 0);
    /* With gaps, yet all below ten: a small subset of MNIST. */
    write_labels(TRAIN_LABELS, (const uint8_t[]){7, 0, 3, 3}, 4, 4);
    write_labels(TEST_LABELS, (const uint8_t[]){9}, 1, 1);
    cln_dataset *d = load(folder, CLN_SPLIT_TEST);
    ck_assert_int_eq(d->num_classes, 10);
    cln_dataset_free(d);
    /* From 1 on, as in some sets of letters. */
    write_labels(TRAIN_LABELS, (const uint8_t[]){1, 2, 3, 3}, 4, 4);
    d = load(folder, CLN_SPLIT_TRAIN);
    ck_assert_int_eq(d->num_classes, 4);
    cln_dataset_free(d);
    expect_failure(folder, CLN_SPLIT_TEST, CLN_INVALID_FILE, "record 0 (counted from 0) has label 9, expected 0 to 3");
    write_labels(TRAIN_LABELS, (const uint8_t[]){0, 1, 200, 2}, 4, 4);
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE,
                   TRAIN_LABELS "': record 2 (counted from 0) has label 200, expected 0 to 9");
}
END_TEST

START_TEST(idx_bad_files) {
    const uint8_t labels[3] = {0, 1, 2};
    write_images(TRAIN_IMAGES, 3, 28, 28, 0);
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_IO, "neither " TRAIN_LABELS " nor " TRAIN_LABELS ".gz is there");
    write_labels(TRAIN_LABELS, labels, 3, 3);
    expect_failure(folder, CLN_SPLIT_TEST, CLN_IO, "neither " TEST_IMAGES " nor");
    write_labels(TRAIN_LABELS, labels, 2, 2);
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE, ": 3 images in '");
    expect_message("but 2 labels in '");
    write_labels(TRAIN_LABELS, labels, 3, 4);
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE, TRAIN_LABELS "' has 11 bytes, expected 12");
    write_images(TRAIN_IMAGES, 3, 28, 28, -5);
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE,
                   TRAIN_IMAGES "' has 2363 bytes, expected 2368: a header of 16, then 3 records of 784");
    write_images(TRAIN_IMAGES, 3, 28, 28, 1);
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "has 2369 bytes, expected 2368");
    write_images(TRAIN_IMAGES, 0, 28, 28, 0);
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "holds no records");
    write_images(TRAIN_IMAGES, 1, 5000, 1, 0);
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "images of 5000x1, expected sides of 1 to 4096");
    file_write(folder, TRAIN_IMAGES, labels, 3);
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "has 3 bytes, fewer than the 16 of its header");
    file_write(folder, TRAIN_IMAGES, "", 0);
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "has 0 bytes, fewer than");
    file_write(folder, TRAIN_IMAGES, "0123456789abcdef", 16);
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE,
                   "begins with 0x30313233, expected the magic number 0x00000803");
    /* The largest counts that a header can hold. */
    file_write(folder, TRAIN_IMAGES, "\0\0\x08\x03\xff\xff\xff\xff\0\0\x10\0\0\0\x10\0", 16);
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "has 16 bytes, expected ");
}
END_TEST

START_TEST(idx_bad_gzip) {
    const uint8_t labels[3] = {0, 1, 2};
    write_labels(TRAIN_LABELS, labels, 3, 3);
    write_images(TRAIN_IMAGES ".gz", 3, 28, 28, 9);
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "has 2377 bytes when decompressed, expected 2368");
    write_images(TRAIN_IMAGES ".gz", 3, 28, 28, 0);
    char *path = path_of(folder, TRAIN_IMAGES ".gz");
    ck_assert_int_eq(truncate(path, 30), 0);
    free(path);
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "is damaged or truncated");
    file_remove(folder, TRAIN_IMAGES ".gz");
    folder_make(folder, "plain");
    char *plain = path_of(folder, "plain/x"), *gz = path_of(folder, TRAIN_IMAGES ".gz");
    file_write(folder, "plain/x", "not gzip", 8);
    ck_assert_int_eq(rename(plain, gz), 0);
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "is not a gzip file: it starts with 0x6e6f");
    file_write(folder, "plain/x", "", 0);
    ck_assert_int_eq(rename(plain, gz), 0);
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "is not a gzip file: it is empty");
    free(plain);
    free(gz);
}
END_TEST

START_TEST(bad_paths) {
    expect_failure(NULL, CLN_SPLIT_TRAIN, CLN_INVALID_ARGUMENT, "no data set given");
    expect_failure("", CLN_SPLIT_TRAIN, CLN_INVALID_ARGUMENT, "no data set given");
    expect_failure("/nonexistent/x", CLN_SPLIT_TRAIN, CLN_IO,
                   "no data set at '/nonexistent/x': there is no such folder");
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "found nothing");
    expect_message("expected CIFAR-10 binary");
    for (int i = 0; i < 7; i++) {
        char name[32];
        snprintf(name, sizeof name, "file%d.txt", i);
        file_write(folder, name, "x", 1);
    }
    expect_failure(folder, CLN_SPLIT_TRAIN, CLN_INVALID_FILE,
                   "found file0.txt, file1.txt, file2.txt, file3.txt, file4.txt and 2 more");
    char *path = path_of(folder, "file0.txt");
    expect_failure(path, CLN_SPLIT_TRAIN, CLN_INVALID_FILE, "it is a file, expected the folder of a data set");
    free(path);
}
END_TEST

START_TEST(fashion_mnist) {
    cln_dataset *d = NULL;
    if (access("/usr/share/datasets/fashion-mnist", R_OK) != 0) {
        skip("Fashion-MNIST", "Debian's package dataset-fashion-mnist is not installed");
        expect_failure("fashion-mnist", CLN_SPLIT_TEST, CLN_IO, "install Debian's package dataset-fashion-mnist");
        return;
    }
    for (int by_name = 0; by_name < 2; by_name++) {
        d = load(by_name ? "fashion-mnist" : "/usr/share/datasets/fashion-mnist/", CLN_SPLIT_TEST);
        ck_assert_int_eq(d->count, 10000);
        ck_assert_int_eq(d->height, 32);
        ck_assert_int_eq(d->num_classes, 10);
        ck_assert_str_eq(d->class_names[9], "Ankle boot");
        ck_assert_int_eq(d->labels[0], 9);
        cln_dataset_free(d);
    }
}
END_TEST

static void expect_normalization(const char *option, const cln_dataset *train, const char *message) {
    cln_normalization n;
    ck_assert_int_eq(cln_normalization_choose(ctx, option, train, &n), CLN_INVALID_ARGUMENT);
    expect_message(message);
}

START_TEST(normalization_by_option) {
    uint8_t pixels[2 * 2 * 2] = {0, 255, 10, 10, 51, 102, 10, 12};
    char idx[] = "idx", cifar[] = "cifar10";
    cln_dataset d = {.count = 2, .channels = 2, .height = 1, .width = 2, .images = pixels, .format = idx};
    cln_normalization n;
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(cln_normalization_choose(ctx, i ? "dataset" : NULL, &d, &n), CLN_OK);
        ck_assert_int_eq(n.channels, 2);
        ck_assert_float_eq_tol(n.mean[0], 0.4f, 1e-6f);
        ck_assert_float_eq_tol(n.deviation[0], (float)sqrt((0.16 + 0.36 + 0.04 + 0) / 4), 1e-6f);
        ck_assert_float_eq_tol(n.mean[1], 10.5f / 255, 1e-6f);
        ck_assert_float_eq_tol(n.deviation[1], (float)sqrt(0.75) / 255, 1e-6f);
    }
    ck_assert_int_eq(cln_normalization_choose(ctx, "0.5,-1/2,3e-1", &d, &n), CLN_OK);
    ck_assert_float_eq(n.mean[1], -1.0f);
    ck_assert_float_eq(n.deviation[1], 0.3f);
    ck_assert_int_eq(cln_normalization_choose(ctx, "cifar10", NULL, &n), CLN_OK);
    ck_assert_float_eq(n.deviation[2], 0.26158784f);
    expect_normalization("cifar10", &d, "is for 3 channels, the images have 2");
    d.channels = 3;
    d.width = 1;
    d.format = cifar;
    ck_assert_int_eq(cln_normalization_choose(ctx, NULL, &d, &n), CLN_OK);
    ck_assert_float_eq(n.mean[0], 0.49139968f);
}
END_TEST

START_TEST(normalization_bad_options) {
    uint8_t pixels[4] = {7, 7, 7, 7};
    char idx[] = "idx";
    cln_dataset d = {.count = 2, .channels = 1, .height = 1, .width = 2, .images = pixels, .format = idx};
    static const char *const bad[] = {"",
                                      "imagenet",
                                      "0.5",
                                      "0.5/",
                                      "/0.5",
                                      "0.5/0.5x",
                                      "1,2/3",
                                      "1,/2,3",
                                      "1;2/3;4",
                                      "nan/1",
                                      "1,2,3,4,5/1,2,3,4,5",
                                      "0.5/inf",
                                      "0.5 /1",
                                      "0.5/ 1",
                                      "1/1/1",
                                      "1/1,"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_normalization(bad[i], &d, "expected dataset, cifar10, or as many means as deviations");
    expect_normalization("0.5/0", &d, "deviation 0 is not above zero");
    expect_normalization("0.5/-1", &d, "deviation -1 is not above zero");
    expect_normalization("1,2/3,4", &d, "is for 2 channels, the images have 1");
    expect_normalization("dataset", &d, "every pixel of channel 0 of the training set is 7/255");
    expect_normalization("dataset", NULL, "without a training set");
    expect_normalization(NULL, NULL, "without a training set");
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, cifar_is_read);
    tcase_add_test(tests, cifar_in_its_subfolder);
    tcase_add_test(tests, cifar_class_names);
    tcase_add_test(tests, cifar_bad_files);
    tcase_add_test(tests, cifar100_is_read);
    tcase_add_test(tests, cifar100_in_its_subfolder);
    tcase_add_test(tests, cifar100_bad_files);
    tcase_add_test(tests, class_names_are_utf8);
    tcase_add_test(tests, idx_plain_and_gzipped);
    tcase_add_test(tests, idx_other_sizes_stay);
    tcase_add_test(tests, idx_classes);
    tcase_add_test(tests, idx_bad_files);
    tcase_add_test(tests, idx_bad_gzip);
    tcase_add_test(tests, bad_paths);
    tcase_add_test(tests, fashion_mnist);
    tcase_add_test(tests, normalization_by_option);
    tcase_add_test(tests, normalization_bad_options);
}

int main(void) {
    return suite_run("data", add_tests);
}
