/* The files of runs that are interrupted: torn ones are mended, none is half-written, and what is kept follows the
 * monitor. */
#include "events.h"
#include "files.h"
#include "runs.h"
#include "suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Starts the run of 40 epochs into `name` and waits until some are complete. */
static run start_40(const char *name) {
    char arguments[1024];
    if (!run_has("whole40"))
        run_well(RUN_FIT "--epochs 40 --out whole40");
    snprintf(arguments, sizeof arguments, RUN_FIT "--epochs 40 --out %s", name);
    run r = run_start("", arguments);
    ck_assert_msg(run_prints(&r, "epoch 3/40"), "%s", run_errors);
    return r;
}

START_TEST(torn_metrics_are_mended) {
    size_t size;
    run r = start_40("torn");
    run_signal(&r, SIGKILL);
    run_end(&r);
    char *folder = path_of(run_root, "torn"), *csv = run_read("torn/metrics.csv", &size);
    strcpy(csv + size, "99,0.01,0.5,0.9,0.1,0.2,99.0\n4,0.0");
    file_write(folder, "metrics.csv", csv, strlen(csv));
    file_write(folder, "last.safetensors.tmp-7-0", "half", 4);
    run_well(RUN_FIT "--epochs 40 --resume torn");
    runs_same("whole40", "torn");
    ck_assert_str_eq(run_errors, "");
    free(csv);
    /* An earlier version's, which called the learning rate lr. */
    csv = run_read("torn/metrics.csv", &size);
    ck_assert_int_eq(strncmp(csv, "epoch,lr-SGD,", 13), 0);
    memmove(csv + 8, csv + 12, size - 11);
    file_write(folder, "metrics.csv", csv, strlen(csv));
    run_well(RUN_FIT "--epochs 40 --resume torn");
    runs_same("whole40", "torn");
    ck_assert_str_eq(run_errors, "");
    file_remove(folder, "metrics.csv");
    run_well(RUN_FIT "--epochs 40 --resume torn");
    ck_assert_ptr_nonnull(strstr(run_errors, "does not have all of the first 40 epochs"));
    free(csv);
    free(folder);
}
END_TEST

static void append(const char *folder, const char *name, const char *bytes) {
    char *path = path_of(folder, name);
    FILE *file = fopen(path, "ab");
    ck_assert_ptr_nonnull(file);
    fputs(bytes, file);
    fclose(file);
    free(path);
}

START_TEST(event_files_are_mended) {
    run r = start_40("events");
    run_signal(&r, SIGKILL);
    run_end(&r);
    char *folder = path_of(run_root, "events"), *name = events_name(folder);
    append(folder, name, "half a record");
    run_well(RUN_FIT "--epochs 40 --out events --resume last");
    runs_same("whole40", "events");
    ck_assert_str_eq(run_errors, "");
    /* Of a run that is complete, the test alone is done again. */
    run_well(RUN_FIT "--epochs 40 --out events --resume last");
    runs_same("whole40", "events");
    /* What is lost stays lost; the curves go on in a file that has all the rest. */
    file_remove(folder, name);
    run_well(RUN_FIT "--epochs 41 --milestones 22,33 --out events --resume last");
    ck_assert_ptr_nonnull(strstr(run_errors, "what was lost stays lost, and a new event file is begun"));
    free(name);
    name = events_name(folder);
    char *path = path_of(folder, name);
    events *e = events_read(path);
    ck_assert_ptr_nonnull(events_find(e, "_hparams_/session_start_info"));
    ck_assert_int_eq(events_scalar(e, "val_acc", NULL, NULL), 1);
    ck_assert_int_eq(events_scalar(e, "test_acc", NULL, NULL), 1);
    events_free(e);
    run_well(RUN_FIT "--epochs 1 --out eventless --no-tensorboard");
    free(folder);
    folder = path_of(run_root, "eventless");
    ck_assert_int_eq(folder_count(folder), 7);
    free(name);
    free(path);
    free(folder);
}
END_TEST

/* As on a disk that becomes full: no file may grow beyond 2 KB any more. */
START_TEST(full_disk) {
    char command[64];
    run r = start_40("full");
    snprintf(command, sizeof command, "prlimit --pid %d --fsize=2048 2>/dev/null", (int)r.pid);
    if (system(command) != 0) {
        skip("a full disk", "there is no prlimit");
        run_signal(&r, SIGKILL);
        run_end(&r);
        return;
    }
    int status = run_end(&r);
    ck_assert_msg(status == 4, "status %d: %s", status, run_errors);
    ck_assert_msg(strstr(run_errors, "cannot write 'full/") && strstr(run_errors, "too large"), "%s", run_errors);
    char *folder = path_of(run_root, "full");
    ck_assert_int_eq(folder_count(folder), 7); /* nothing half-written */
    free(folder);
    run_well(RUN_FIT "--epochs 40 --out full --resume last");
    runs_same("whole40", "full");
}
END_TEST

START_TEST(folder_that_goes_away) {
    run r = start_40("gone");
    char *from = path_of(run_root, "gone"), *to = path_of(run_root, "came-back");
    ck_assert_int_eq(rename(from, to), 0);
    int status = run_end(&r);
    ck_assert_msg(status == 4, "status %d: %s", status, run_errors);
    ck_assert_msg(strstr(run_errors, "cannot create 'gone/") != NULL, "%s", run_errors);
    run_well(RUN_FIT "--epochs 40 --out came-back --resume last");
    runs_same("whole40", "came-back");
    free(from);
    free(to);
}
END_TEST

START_TEST(what_is_kept_follows_the_monitor) {
    size_t size;
    run_well(RUN_FIT
             "--epochs 5 --lr 0.02 --monitor train_loss --save-top-k 2 --no-save-last --val-split 0 --out kept");
    char *csv = run_read("kept/metrics.csv", &size);
    double loss[6];
    int best = 1, second = 0;
    char *line = strchr(csv, '\n') + 1;
    for (int epoch = 1; epoch <= 5; epoch++, line = strchr(line, '\n') + 1)
        ck_assert_int_eq(sscanf(line, "%*d,%*f,%lf", &loss[epoch]), 1);
    for (int epoch = 2; epoch <= 5; epoch++)
        best = loss[epoch] < loss[best] ? epoch : best;
    for (int epoch = 1; epoch <= 5; epoch++)
        if (epoch != best && (second == 0 || loss[epoch] < loss[second]))
            second = epoch;
    for (int epoch = 1; epoch <= 5; epoch++) {
        char name[64];
        snprintf(name, sizeof name, "kept/epoch=%02d.safetensors", epoch);
        ck_assert_int_eq(run_has(name), epoch == best || epoch == second);
    }
    ck_assert(run_has("kept/best.safetensors") && !run_has("kept/last.safetensors"));
    free(csv);
    run_fails(RUN_FIT "--val-split 0 --monitor val_acc --out kept2", 2,
              "cannot monitor val_acc: no images are held back");
    run_fails(RUN_FIT "--save-top-k 0 --no-save-last --out kept2", 2, "no weights would be kept");
    run_well(RUN_FIT "--epochs 2 --save-top-k 0 --out kept3");
    ck_assert(!run_has("kept3/best.safetensors") && run_has("kept3/last.safetensors"));
    ck_assert_ptr_nonnull(strstr(run_output, "weights of epoch 2 of 2"));
}
END_TEST

static void add_tests(TCase *tests) {
    if (!suite_has_programs())
        return;
    run_fixture(tests);
    tcase_add_test(tests, torn_metrics_are_mended);
    tcase_add_test(tests, event_files_are_mended);
    tcase_add_test(tests, full_disk);
    tcase_add_test(tests, folder_that_goes_away);
    tcase_add_test(tests, what_is_kept_follows_the_monitor);
}

int main(void) {
    return suite_run_on_device("resume_files", add_tests);
}
