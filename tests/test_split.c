/* Dividing the training images: PyTorch's random_split, and lists. */
#include "../src/train/division.h"
#include "files.h"
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST(split_is_a_permutation) {
    int64_t *train, *validation;
    ck_assert_int_eq(cln_split_indices(ctx, 1000, 300, 7, &train, &validation), CLN_OK);
    int seen[1000] = {0};
    for (int i = 0; i < 700; i++)
        seen[train[i]]++;
    for (int i = 0; i < 300; i++)
        seen[validation[i]]++;
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(seen[i], 1);
    int64_t *again, *none;
    /* The low 32 bits of the seed count, as in PyTorch. */
    ck_assert_int_eq(cln_split_indices(ctx, 1000, 0, 7 + (UINT64_C(5) << 32), &again, &none), CLN_OK);
    ck_assert_ptr_null(none);
    ck_assert_mem_eq(again, train, 700 * sizeof *train);
    ck_assert_mem_eq(again + 700, validation, 300 * sizeof *train);
    free(again);
    ck_assert_int_eq(cln_split_indices(ctx, 1000, 0, 8, &again, &none), CLN_OK);
    ck_assert_mem_ne(again, train, 700 * sizeof *train);
    free(again);
    free(train);
    free(validation);
}
END_TEST

START_TEST(split_known_values) {
    /* The first values of torch.randperm(50000) seeded with 42. */
    int64_t *train, *validation;
    ck_assert_int_eq(cln_split_indices(ctx, 50000, 5000, 42, &train, &validation), CLN_OK);
    ck_assert_int_eq(train[0], 37542);
    ck_assert_int_eq(train[1], 44491);
    ck_assert_int_eq(train[2], 216);
    char *path = shared_path("reference/torch-randperm-50000-seed42.txt", "the whole reference permutation");
    FILE *file = path ? fopen(path, "r") : NULL;
    long value;
    for (int i = 0; file && i < 50000; i++) {
        ck_assert_int_eq(fscanf(file, "%ld", &value), 1);
        ck_assert_int_eq(i < 45000 ? train[i] : validation[i - 45000], value);
    }
    if (file)
        fclose(file);
    free(path);
    free(train);
    free(validation);
}
END_TEST

START_TEST(split_bad_counts) {
    int64_t *train, *validation;
    ck_assert_int_eq(cln_split_indices(ctx, 0, 0, 1, &train, &validation), CLN_INVALID_ARGUMENT);
    expect_message("0 samples, expected 1 to");
    ck_assert_int_eq(cln_split_indices(ctx, 10, 10, 1, &train, &validation), CLN_INVALID_ARGUMENT);
    expect_message("10 of 10 samples for validation");
    ck_assert_int_eq(cln_split_indices(ctx, 10, -1, 1, &train, &validation), CLN_INVALID_ARGUMENT);
    ck_assert_int_eq(cln_split_indices(ctx, INT64_MAX, 1, 1, &train, &validation), CLN_INVALID_ARGUMENT);
    ck_assert_ptr_null(train);
    ck_assert_int_eq(cln_split_indices(ctx, 1, 0, 1, &train, &validation), CLN_OK);
    ck_assert_int_eq(train[0], 0);
    free(train);
}
END_TEST

static void expect_division(const char *text, double held_back, const char *train, const char *validation) {
    cln__division d;
    char name[] = "x", *printed;
    ok(cln__divide_by_text(ctx, 10, held_back, name, text, strlen(text), &d));
    int64_t *kept = d.validation, count = d.validation_count;
    ck_assert_int_eq(d.validation == NULL, count == 0);
    d.validation_count = 0;
    ck_assert_str_eq(printed = cln__division_print(&d), train);
    free(printed);
    cln__division v = {.train = kept, .train_count = count};
    ck_assert_str_eq(printed = cln__division_print(&v), validation);
    free(printed);
    cln__division_free(&d);
}

START_TEST(split_by_list) {
    expect_division("3 1 4\n\t5 9\r\n", 2, "3 1 4", "5 9");
    expect_division("3 1 4 5 9", 0, "3 1 4 5 9", "");
    expect_division("3 1 4 5 9", 0.2, "3 1 4 5", "9");
    expect_division("0000 9", 0.01, "0", "9");
    expect_division(" 9 8 7 6 5 4 3 2 1 0", 9, "9", "8 7 6 5 4 3 2 1 0");
    static const struct {
        const char *text, *message;
        double held_back;
    } bad[] = {
        {"", "split indices in 'list': there are none", 0},
        {" \n", "there are none", 0},
        {"1 2 10", "number 3 (counted from 1) is '10', expected a whole number from 0 to 9", 0},
        {"1 99999999999999999999999", "number 2 (counted from 1) is '99999999999999999999999', expected", 0},
        {"1 -2", "number 2 (counted from 1) is '-2', expected a whole number", 0},
        {"1,2", "number 1 (counted from 1) is '1,2', expected a whole number", 0},
        {"1 2 0x3", "number 3 (counted from 1) is '0x3', expected", 0},
        {"1 2 1", "split indices in 'list': 1 occurs twice", 0},
        {"1 2 3", "validation split 3: the list has 3 images, and none would be left", 3},
        {"1 2 3", "validation split 1.5: expected a share", 1.5},
        {"1 2 3", "validation split -1: expected a share", -1},
    };
    cln__division d;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t size = strlen(bad[i].text);
        char *text = malloc(size + 1); /* without an end, so that the sanitizer sees reads beyond */
        ck_assert_ptr_nonnull(text);
        memcpy(text, bad[i].text, size);
        ck_assert_int_ne(cln__divide_by_text(ctx, 10, bad[i].held_back, "list", text, size, &d), CLN_OK);
        ck_assert_ptr_null(d.train);
        expect_message(bad[i].message);
        free(text);
    }
    int64_t *indices, count;
    ck_assert_int_eq(cln_split_parse(ctx, "x", "0", 1, 0, &indices, &count), CLN_INVALID_ARGUMENT);
    ck_assert_int_eq(cln_split_parse(ctx, "x", "1\0002", 3, 10, &indices, &count), CLN_INVALID_FILE);
}
END_TEST

START_TEST(split_by_file) {
    char *folder = folder_new();
    file_write(folder, "list", "2 0\n1", 5);
    char *path = path_of(folder, "list"), *none = path_of(folder, "none");
    cln__division d;
    ok(cln__divide(ctx, 3, 1, 42, path, &d));
    ck_assert_int_eq(d.train_count, 2);
    ck_assert_int_eq(d.train[0], 2);
    ck_assert_int_eq(d.train[1], 0);
    ck_assert_int_eq(d.validation_count, 1);
    ck_assert_int_eq(d.validation[0], 1);
    cln__division_free(&d);
    ck_assert_int_eq(cln__divide(ctx, 3, 1, 42, none, &d), CLN_IO);
    expect_message("cannot open '");
    free(path);
    free(none);
    /* The published split from its list and from its seed. */
    path = shared_path("reference/torch-randperm-50000-seed42.txt", "the reference permutation as a list");
    if (path) {
        cln__division by_seed;
        ok(cln__divide(ctx, 50000, 0.1, 0, path, &d));
        ok(cln__divide(ctx, 50000, 5000, 42, NULL, &by_seed));
        ck_assert_int_eq(d.train_count, 45000);
        ck_assert_mem_eq(d.train, by_seed.train, 45000 * sizeof *d.train);
        ck_assert_mem_eq(d.validation, by_seed.validation, 5000 * sizeof *d.train);
        cln__division_free(&d);
        cln__division_free(&by_seed);
    }
    free(path);
    folder_remove(folder);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_test(tests, split_is_a_permutation);
    tcase_add_test(tests, split_known_values);
    tcase_add_test(tests, split_bad_counts);
    tcase_add_test(tests, split_by_list);
    tcase_add_test(tests, split_by_file);
}

int main(void) {
    return suite_run("split", add_tests);
}
