/* src/tune, without a device: the database and what may be wrong with its file, several processes, JSON; and the
 * signatures of computations. */
#include "../src/ops/conv2d_case.h"
#include "../src/tune/store.h"
#include "child.h"
#include "files.h"
#include "suite.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SIGNATURE(n) "conv2d forward x=" #n "x16x32x32/16 y=" #n "x32x32x32/16 k=3x3 s=1 p=1 d=1 g=1"

static char *folder, *path;

static void set_up(void) {
    folder = folder_new();
    path = path_of(folder, "tuning.sqlite");
}

static void tear_down(void) {
    free(path);
    folder_remove(folder);
}

static cln_tuning *open_db(void) {
    cln_tuning *db;
    ok(cln_tuning_open(ctx, path, true, &db));
    ck_assert_ptr_nonnull(db);
    return db;
}

static cln_tuning_record record(const char *signature, const char *candidate) {
    return (cln_tuning_record){.device = "a device",
                               .driver = "1.0",
                               .kernels = "0123",
                               .signature = signature,
                               .candidate = candidate,
                               .rule = "staged",
                               .seconds = 0.001,
                               .rule_seconds = 0.0015,
                               .time_s = 1700000000};
}

static int count_records(void) {
    cln_tuning *db = open_db();
    cln_tuning_record *records;
    int count;
    ok(cln_tuning_records(db, &records, &count));
    free(records);
    cln_tuning_close(db);
    return count;
}

static void execute(const char *sql) {
    sqlite3 *db;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* --- records --- */

START_TEST(results_are_kept_and_replaced) {
    cln_tuning_record *records, r = record(SIGNATURE(1), "winograd");
    int count;
    cln_tuning *db = open_db();
    ok(cln_tuning_save(db, &r));
    r.driver = "2.0"; /* another driver's is another result */
    ok(cln_tuning_save(db, &r));
    r = record(SIGNATURE(1), "direct TW=8 NB=2");
    ok(cln_tuning_save(db, &r));
    cln_tuning_close(db);
    db = open_db();
    ck_assert_str_eq(cln_tuning_path(db), path);
    ok(cln_tuning_records(db, &records, &count));
    ck_assert_int_eq(count, 2);
    ck_assert_str_eq(records[0].driver, "1.0");
    ck_assert_str_eq(records[0].signature, SIGNATURE(1));
    ck_assert_str_eq(records[0].candidate, "direct TW=8 NB=2");
    ck_assert_str_eq(records[0].rule, "staged");
    ck_assert_double_eq(records[0].rule_seconds, 0.0015);
    ck_assert_int_eq(records[0].time_s, 1700000000);
    ck_assert_str_eq(records[1].candidate, "winograd");
    free(records);
    cln_tuning_close(db);
}
END_TEST

START_TEST(an_absent_file_is_no_failure) {
    cln_tuning *db;
    ok(cln_tuning_open(ctx, path, false, &db));
    ck_assert_ptr_null(db);
    ck_assert_int_ne(access(path, F_OK), 0);
    ck_assert_int_eq(cln_tuning_open(ctx, "/proc/none/tuning.sqlite", true, &db), CLN_IO);
    expect_message("/proc/none/tuning.sqlite");
}
END_TEST

/* Whoever runs this as root can read what nobody may: a folder and a loop of links are refused to everyone. */
START_TEST(a_file_that_cannot_be_opened_is_not_absent) {
    cln_tuning *db;
    folder_make(folder, "tuning.sqlite");
    ck_assert_int_eq(cln_tuning_open(ctx, path, false, &db), CLN_IO);
    ck_assert_ptr_null(db);
    expect_message(path);
    ck_assert_int_eq(cln_tuning_open(ctx, path, true, &db), CLN_IO);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(symlink("tuning.sqlite", path), 0);
    ck_assert_int_eq(cln_tuning_open(ctx, path, false, &db), CLN_IO);
    expect_message(path);
    for (int create = 0; create < 2; create++) {
        ck_assert_int_eq(cln_tuning_open(ctx, "", create, &db), CLN_INVALID_ARGUMENT);
        ck_assert_ptr_null(db);
        expect_message("the file name of the tuner's database is empty");
    }
}
END_TEST

/* A file that is refused is byte for byte what it was. */
static void refused(const char *message) {
    cln_tuning *db;
    static char before[1 << 16], after[1 << 16];
    FILE *file = fopen(path, "rb");
    size_t size = fread(before, 1, sizeof before, file);
    fclose(file);
    ck_assert_int_eq(cln_tuning_open(ctx, path, true, &db), CLN_INVALID_FILE);
    ck_assert_ptr_null(db);
    expect_message(message);
    expect_message(path);
    file = fopen(path, "rb");
    ck_assert_uint_eq(fread(after, 1, sizeof after, file), size);
    fclose(file);
    ck_assert_int_eq(memcmp(before, after, size), 0);
}

START_TEST(other_files_are_left_alone) {
    file_write(folder, "tuning.sqlite", "this is no database, and long enough to be looked at as one", 60);
    refused("not a database");
    file_remove(folder, "tuning.sqlite");
    execute("CREATE TABLE results (a)");
    refused("another program");
    file_remove(folder, "tuning.sqlite");
    cln_tuning_close(open_db());
    execute("PRAGMA user_version = 2");
    refused("has version 2, this library knows version 1");
}
END_TEST

START_TEST(damage_within_is_found) {
    cln_tuning_record *records;
    int count;
    cln_tuning *db = open_db();
    char signature[200];
    for (int i = 1; i <= 200; i++) {
        snprintf(signature, sizeof signature, "conv2d forward x=%dx16x32x32/16 y=%dx16x32x32/16 k=3x3 s=1 p=1 d=1 g=1",
                 i, i);
        cln_tuning_record r = record(signature, "direct");
        ok(cln_tuning_save(db, &r));
    }
    cln_tuning_close(db);
    FILE *file = fopen(path, "r+b");
    for (long at = 4096; at < 40000; at++) {
        fseek(file, at, SEEK_SET);
        fputc(0xa5, file);
    }
    fclose(file);
    ok(cln_tuning_open(ctx, path, false, &db));
    ck_assert_int_eq(cln_tuning_records(db, &records, &count), CLN_INVALID_FILE);
    expect_message("it is left as it is");
    cln_tuning_close(db);
}
END_TEST

/* --- several processes --- */

enum { EACH = 40 };

/* Saves results of its own, and all of those of the other. */
static int child_save(const char *file) {
    char signature[200];
    for (int i = 1; i <= EACH; i++) {
        cln_tuning *db;
        snprintf(signature, sizeof signature, "signature %d of %ld", i, i % 2 ? (long)getpid() : 0);
        cln_tuning_record r = record(signature, "direct");
        if (cln_tuning_open(ctx, file, true, &db) != CLN_OK || cln_tuning_save(db, &r) != CLN_OK)
            return 1;
        cln_tuning_close(db);
    }
    return 0;
}

START_TEST(two_processes_save_at_once) {
    pid_t a = start_child("save", path), b = start_child("save", path);
    ck_assert_int_eq(wait_child(a), 0);
    ck_assert_int_eq(wait_child(b), 0);
    ck_assert_int_eq(count_records(), EACH + EACH / 2);
}
END_TEST

static void *let_go(void *holder) {
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    return sqlite3_exec(holder, "ROLLBACK", NULL, NULL, NULL) == SQLITE_OK ? holder : NULL;
}

/* Another process that is about to make the tables, and then does not. */
START_TEST(whoever_comes_second_waits) {
    sqlite3 *holder;
    pthread_t thread;
    void *done;
    ck_assert_int_eq(sqlite3_open(path, &holder), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(holder, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    ck_assert_int_eq(pthread_create(&thread, NULL, let_go, holder), 0);
    cln_tuning *db = open_db();
    cln_tuning_record r = record(SIGNATURE(1), "direct");
    ok(cln_tuning_save(db, &r));
    cln_tuning_close(db);
    ck_assert_int_eq(pthread_join(thread, &done), 0);
    ck_assert_ptr_eq(done, holder);
    sqlite3_close(holder);
    ck_assert_int_eq(count_records(), 1);
}
END_TEST

/* --- JSON --- */

START_TEST(export_and_import) {
    char *json, *again;
    int count;
    cln_tuning *db = open_db();
    cln_tuning_record a = record(SIGNATURE(1), "winograd"), b = record(SIGNATURE(2), "direct TW=8 NB=2");
    ok(cln_tuning_save(db, &a));
    ok(cln_tuning_save(db, &b));
    ok(cln_tuning_export(db, &json));
    cln_tuning_close(db);
    file_remove(folder, "tuning.sqlite");
    db = open_db();
    ok(cln_tuning_import(db, json, &count));
    ck_assert_int_eq(count, 2);
    ok(cln_tuning_export(db, &again));
    ck_assert_str_eq(json, again);
    free(json);
    free(again);
    cln_tuning_close(db);
}
END_TEST

#define HEAD "{\"clnet_tuning\": 1, \"results\": ["
#define WITH_DEVICE(device)                                                                                            \
    "{\"device\": \"" device "\", \"driver\": \"d\", \"kernels\": \"k\", \"candidate\": \"direct\", "                  \
    "\"rule\": \"direct\", \"signature\": \"" SIGNATURE(2) "\", \"seconds\": 1, \"rule_seconds\": 1, \"time_s\": 1}"
#define TEXTS                                                                                                          \
    "\"device\": \"d\", \"driver\": \"d\", \"kernels\": \"k\", \"candidate\": \"direct\", \"rule\": \"direct\", "
#define GOOD "{" TEXTS "\"signature\": \"" SIGNATURE(1) "\", \"seconds\": 1, \"rule_seconds\": 1, \"time_s\": 1}"
static const char *const bad_imports[] = {
    "",
    "[]",
    "{\"clnet_tuning\": 2, \"results\": []}",
    "{\"results\": []}",
    HEAD GOOD "]} and more",
    HEAD GOOD ", 3]}",
    HEAD GOOD ", " WITH_DEVICE("") "]}",
    HEAD GOOD ", " WITH_DEVICE("\\u001b[2J") "]}",
    HEAD GOOD ", " WITH_DEVICE("a\\nb") "]}",
    HEAD GOOD ", " WITH_DEVICE("\x7f") "]}",
    HEAD GOOD ", {" TEXTS "\"signature\": \"conv2d\", \"seconds\": 1, \"rule_seconds\": 1, \"time_s\": 1}]}",
    HEAD GOOD ", {" TEXTS "\"signature\": \"" SIGNATURE(2) "\", \"seconds\": -1, \"rule_seconds\": 1, \"time_s\": 1}]}",
    HEAD GOOD ", {" TEXTS "\"signature\": \"" SIGNATURE(2) "\", \"seconds\": 1, \"time_s\": 1}]}",
};

START_TEST(bad_imports_change_nothing) {
    int count;
    cln_tuning *db = open_db();
    ck_assert_int_eq(cln_tuning_import(db, bad_imports[_i], &count), CLN_INVALID_FILE);
    expect_message("import: ");
    ck_assert_int_eq(count, 0);
    cln_tuning_close(db);
    ck_assert_int_eq(count_records(), 0);
}
END_TEST

START_TEST(choices_as_json) {
    const cln_choice choices[] = {{"a \"b\"", "direct"}, {"c", "staged"}, {"c", "staged"}};
    cln_choices read;
    char *json = cln_choices_print(choices, 3);
    ck_assert_str_eq(json, "{\"a \\\"b\\\"\":\"direct\",\"c\":\"staged\"}");
    ck_assert_int_eq(cln_choices_parse(json, &read), CLN_OK);
    ck_assert_int_eq(read.count, 2);
    ck_assert_str_eq(read.of[0].signature, "a \"b\"");
    ck_assert_str_eq(read.of[1].candidate, "staged");
    cln_choices_free(&read);
    free(json);
    ck_assert_int_eq(cln_choices_parse("{\"a\": 1}", &read), CLN_INVALID_FILE);
    ck_assert_int_eq(cln_choices_parse("[\"a\"]", &read), CLN_INVALID_FILE);
    ck_assert_int_eq(cln_choices_parse("{", &read), CLN_INVALID_FILE);
}
END_TEST

/* --- signatures --- */

static const char *const signatures[] = {
    SIGNATURE(128),
    ("conv2d backward x=16x16x32x32/16 y=16x16x32x32/16 k=3x3 s=1 p=1 d=1 g=1 load_scale load_shift dy_scale dy_slope "
     "dy_shift dx dx_scale load_act=relu mask=relu sums=x"),
    "conv2d grad_weight x=1x3x9x9/1 y=1x16x3x3/16 k=5x3 s=2 p=2 d=2 g=1",
    "conv2d forward x=1x16x4x4/16 y=1x16x4x4/16 k=1x1 s=1 p=0 d=1 g=4 bias moments act=leakyrelu",
};
static const char *const no_signatures[] = {
    "",
    "conv2d",
    "conv2d sideways x=1x16x4x4/16 y=1x16x4x4/16 k=1x1 s=1 p=0 d=1 g=1",
    "conv2d forward x=0x16x4x4/16 y=0x16x4x4/16 k=1x1 s=1 p=0 d=1 g=1",
    "conv2d forward x=1x16x4x4/16 y=1x16x4x4/16 k=1x1 s=0 p=0 d=1 g=1",
    "conv2d forward x=1x16x4x4/16 y=1x16x4x4/16 k=1x1 s=1 p=0 d=1 g=0",
    "conv2d forward x=1x16x4x4/16 y=1x16x4x4/16 k=1x1 s=1 p=0 d=1 g=3",
    "conv2d forward x=999999999x999999999x999999999x999999999/16 y=1x16x4x4/16 k=1x1 s=1 p=0 d=1 g=1",
    "conv2d forward x=1x16x4x4/16 y=1x16x4x4/16 k=1x1 s=1 p=0 d=1 g=1 unknown",
    "conv2d forward x=1x16x4x4/16 y=1x16x4x4/16 k=1x1 s=1 p=0 d=1 g=1 act=sine",
    "conv2d forward x=1x16x4x4/16 y=1x16x4x4/16 k=1x1 s=1 p=0 d=1 g=1 sums=",
    "conv2d forward x=1x16x4x4/16 y=1x16x4x4/16 k=1x1 s=1 p=0 d=1 g=1 ",
    "conv2d forward x=1x16x4x4/16 y=1x16x4x4/16 k=1x1 s=1 p=0 d=1 g=1 moments bias",
};

START_TEST(signatures_are_read_as_they_are_written) {
    cln__conv2d_case c;
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        ck_assert_msg(cln__conv2d_case_parse(signatures[i], &c) == CLN_OK, "%s", signatures[i]);
        char *text = cln__conv2d_case_print(&c);
        ck_assert_str_eq(text, signatures[i]);
        free(text);
    }
    ck_assert_int_eq(cln__conv2d_case_parse(signatures[1], &c), CLN_OK);
    ck_assert(c.pass == CLN__BACKWARD && c.load_scale && c.dx_scale && !c.dx_before && !c.bias);
    ck_assert(c.load_act == CLN_RELU && c.act == CLN_IDENTITY && c.mask == CLN_RELU && c.sums == CLN__SUMS_OF_X);
    for (size_t i = 0; i < sizeof no_signatures / sizeof *no_signatures; i++)
        ck_assert_msg(cln__conv2d_case_parse(no_signatures[i], &c) == CLN_INVALID_FILE, "%s", no_signatures[i]);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, results_are_kept_and_replaced);
    tcase_add_test(tests, an_absent_file_is_no_failure);
    tcase_add_test(tests, a_file_that_cannot_be_opened_is_not_absent);
    tcase_add_test(tests, other_files_are_left_alone);
    tcase_add_test(tests, damage_within_is_found);
    tcase_add_test(tests, two_processes_save_at_once);
    tcase_add_test(tests, whoever_comes_second_waits);
    tcase_add_test(tests, export_and_import);
    tcase_add_loop_test(tests, bad_imports_change_nothing, 0, sizeof bad_imports / sizeof *bad_imports);
    tcase_add_test(tests, choices_as_json);
    tcase_add_test(tests, signatures_are_read_as_they_are_written);
}

int main(int argc, char **argv) {
    static const child_task tasks[] = {{"save", child_save}, {NULL, NULL}};
    return is_child(argc, argv) ? child_run(argv, tasks) : suite_run("tuning_store", add_tests);
}
