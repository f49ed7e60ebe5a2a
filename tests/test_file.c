/* Whole files: read with a limit, written so that nobody sees half of one. */
#include "../src/io/file.h"
#include "../src/train/folder.h"
#include "files.h"
#include "suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *folder;

/* What was called since the test began, a letter each: a file synced, renamed, its folder synced. */
static char calls[32];

static void note(char call) {
    size_t length = strlen(calls);
    if (length + 1 < sizeof calls)
        calls[length] = call;
}

/* In place of the C library's, for the objects that are tested. */
int fsync(int fd) {
    struct stat info;
    note(fstat(fd, &info) == 0 && S_ISDIR(info.st_mode) ? 'd' : 'f');
    return fdatasync(fd);
}

int rename(const char *from, const char *to) {
    note('r');
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

static void setup(void) {
    memset(calls, 0, sizeof calls);
    folder = folder_new();
}

static void teardown(void) {
    folder_remove(folder);
}

static void expect_content(const char *name, size_t limit, const void *bytes, size_t size) {
    char *path = path_of(folder, name);
    uint8_t *data;
    size_t got;
    cln_status status = cln__file_read(ctx, path, limit, &data, &got);
    ck_assert_msg(status == CLN_OK, "%s", cln_context_error(ctx));
    ck_assert_uint_eq(got, size);
    ck_assert_ptr_nonnull(data);
    if (size > 0)
        ck_assert_mem_eq(data, bytes, size);
    free(data);
    free(path);
}

static void expect_read_failure(const char *name, size_t limit, cln_status status, const char *message) {
    char *path = path_of(folder, name);
    uint8_t *data;
    size_t got;
    ck_assert_int_eq(cln__file_read(ctx, path, limit, &data, &got), status);
    ck_assert_ptr_null(data);
    expect_message(message);
    free(path);
}

START_TEST(reads) {
    file_write(folder, "plain", "hello", 5);
    file_write(folder, "empty", "", 0);
    file_write(folder, "hello.gz", "hello", 5);
    file_write(folder, "empty.gz", "", 0);
    expect_content("plain", 5, "hello", 5);
    expect_content("empty", 0, "", 0);
    expect_content("hello.gz", 5, "hello", 5);
    expect_content("empty.gz", 0, "", 0);
    expect_read_failure("plain", 4, CLN_INVALID_FILE, "plain' holds more than the 4 bytes that are accepted here");
    expect_read_failure("hello.gz", 4, CLN_INVALID_FILE, "holds more than the 4 bytes");
    expect_read_failure("absent", 4, CLN_IO, "absent': No such file or directory");
    expect_read_failure(".", 4, CLN_IO, "is a folder, not a regular file");
    char *path = path_of(folder, "pipe");
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    free(path);
    expect_read_failure("pipe", 4, CLN_IO, "is a device, pipe or socket, not a regular file");
}
END_TEST

START_TEST(reads_large_gz) {
    size_t size = 3000001;
    uint8_t *bytes = calloc(size, 1);
    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * i >> 8);
    file_write(folder, "large.gz", bytes, size);
    expect_content("large.gz", size, bytes, size);
    expect_content("large.gz", SIZE_MAX, bytes, size);
    expect_read_failure("large.gz", size - 1, CLN_INVALID_FILE, "holds more than the 3000000 bytes");
    char *path = path_of(folder, "large.gz");
    struct stat info;
    ck_assert_int_eq(stat(path, &info), 0);
    /* Cut within the checksum behind the data. */
    ck_assert_int_eq(truncate(path, info.st_size - 3), 0);
    expect_read_failure("large.gz", size, CLN_INVALID_FILE, "is damaged or truncated");
    free(path);
    free(bytes);
}
END_TEST

START_TEST(writes_and_replaces) {
    char *path = path_of(folder, "file");
    cln__bytes parts[] = {{"one", 3}, {NULL, 0}, {" two", 4}};
    ck_assert_int_eq(cln__file_write_atomic(ctx, path, parts, 3), CLN_OK);
    expect_content("file", 100, "one two", 7);
    ck_assert_int_eq(cln__file_write_atomic(ctx, path, parts, 1), CLN_OK);
    expect_content("file", 100, "one", 3);
    ck_assert_int_eq(cln__file_write_atomic(ctx, path, NULL, 0), CLN_OK);
    expect_content("file", 100, "", 0);
    ck_assert_int_eq(folder_count(folder), 1);
    free(path);
}
END_TEST

/* A power failure leaves the old file or the new one. */
START_TEST(writes_are_on_the_disk_before_they_count) {
    char *path = path_of(folder, "file");
    ok(cln_file_write(ctx, path, "new", 3));
    ck_assert_str_eq(calls, "frd");
    free(path);
}
END_TEST

START_TEST(writes_beside_the_program) {
    /* A name without a folder is in the working folder. */
    char *before = getcwd(NULL, 0);
    ck_assert_ptr_nonnull(before);
    ck_assert_int_eq(chdir(folder), 0);
    cln__bytes part = {"x", 1};
    cln_status status = cln__file_write_atomic(ctx, "bare", &part, 1);
    ck_assert_int_eq(chdir(before), 0);
    free(before);
    ck_assert_int_eq(status, CLN_OK);
    expect_content("bare", 1, "x", 1);
}
END_TEST

START_TEST(a_failed_write_leaves_the_old_file) {
    file_write(folder, "file", "old", 3);
    char *path = path_of(folder, "file");
    static char large[65536];
    cln__bytes parts[] = {{"new", 3}, {large, sizeof large}};
    file_limit(4096);
    cln_status status = cln__file_write_atomic(ctx, path, parts, 2);
    file_limit(0);
    ck_assert_int_eq(status, CLN_IO);
    expect_message("cannot write '");
    expect_message("file': File too large");
    expect_content("file", 3, "old", 3);
    ck_assert_int_eq(folder_count(folder), 1);
    free(path);
}
END_TEST

START_TEST(write_failures) {
    cln__bytes part = {"new", 3};
    char *path = path_of(folder, "none/file");
    ck_assert_int_eq(cln__file_write_atomic(ctx, path, &part, 1), CLN_IO);
    expect_message("cannot create '");
    expect_message("No such file or directory");
    free(path);
    folder_make(folder, "sub");
    path = path_of(folder, "sub");
    ck_assert_int_eq(cln__file_write_atomic(ctx, path, &part, 1), CLN_IO);
    expect_message("cannot put the new file in place of '");
    free(path);
    ck_assert_int_eq(folder_count(folder), 1);
}
END_TEST

/* A run is told before anything is prepared. */
START_TEST(unwritable_folder) {
    file_write(folder, "file", "old", 3);
    char *path = path_of(folder, "file");
    cln__bytes part = {"new", 3};
    cln__folder run;
    folder_allow(folder, false);
    cln_status status = cln__file_write_atomic(ctx, path, &part, 1);
    char *why = cln__error_copy(ctx);
    cln_status run_status = cln__folder_open(ctx, folder, &run);
    folder_allow(folder, true);
    cln__folder_close(&run);
    ck_assert_int_eq(status, CLN_IO);
    ck_assert_msg(strstr(why, "cannot create") && strstr(why, "Permission denied"), "%s", why);
    expect_content("file", 3, "old", 3);
    expect_status(run_status, CLN_IO, "cannot write into the folder");
    expect_message("Permission denied");
    free(why);
    free(path);
}
END_TEST

START_TEST(a_line_that_cannot_be_added_is_told) {
    char name[] = "metrics.csv";
    cln__folder run = {.csv = fopen("/dev/full", "a"), .metrics = name};
    if (!run.csv) {
        skip("metrics on a full disk", "there is no /dev/full");
        return;
    }
    expect_status(cln__folder_log(ctx, &run, &(cln_fit_event){.epoch = 1}), CLN_IO, "cannot write 'metrics.csv'");
    fclose(run.csv);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, reads);
    tcase_add_test(tests, reads_large_gz);
    tcase_add_test(tests, writes_and_replaces);
    tcase_add_test(tests, writes_are_on_the_disk_before_they_count);
    tcase_add_test(tests, writes_beside_the_program);
    tcase_add_test(tests, a_failed_write_leaves_the_old_file);
    tcase_add_test(tests, write_failures);
    tcase_add_test(tests, unwritable_folder);
    tcase_add_test(tests, a_line_that_cannot_be_added_is_told);
}

int main(void) {
    return suite_run("file", add_tests);
}
