/* clbench race on a tiny data set: a target that is missed, one that is reached, another run beside it, interruption.
 */
#include "clnet/plot.h"
#include "files.h"
#include "programs.h"
#include "runs.h"
#include "suite.h"
#include "tiny.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { EPOCHS = 4, IMAGES = 96, UPDATES = 12 }; /* an epoch: 100 images in batches of 8, the last 4 left out */

#define NETWORK "--model ResNet --hparams '" TINY_HPARAMS "' --data data --val-split 20 "
#define RACE "race " NETWORK "--epochs 4 --batch-size 8 --lr 0.05 "

/* The validation accuracies in a run's metrics.csv; how many. */
static int accuracies(const char *name, double *values) {
    char file[128];
    cln_metrics *m;
    snprintf(file, sizeof file, "%s/metrics.csv", name);
    char *path = path_of(run_root, file);
    ck_assert_int_eq(cln_metrics_read(ctx, path, &m), CLN_OK);
    ck_assert_int_le(m->rows, EPOCHS);
    int rows = m->rows;
    memcpy(values, cln_metrics_column(m, "val_acc"), (size_t)rows * sizeof *values);
    cln_metrics_free(m);
    free(path);
    return rows;
}

static double best_of(const double *values, int count) {
    double best = 0;
    for (int i = 0; i < count; i++)
        best = fmax(best, values[i]);
    return best;
}

/* All epochs, status 1, and the best of them. */
START_TEST(missed) {
    double values[EPOCHS];
    ck_assert_msg(program_run(run_root, "", "clbench " RACE "--target 1 --out all --json") == CLN_FAILED, "%s",
                  program_errors);
    ck_assert_ptr_nonnull(strstr(program_errors, "ResNet, epoch 4 of 4: train_acc "));
    ck_assert_int_eq(accuracies("all", values), EPOCHS);
    cJSON *json = program_json();
    ck_assert(cJSON_IsFalse(cJSON_GetObjectItem(json, "reached")));
    ck_assert_double_eq(json_number(json, "accuracy"), best_of(values, EPOCHS));
    ck_assert_double_eq(json_number(json, "epochs"), EPOCHS);
    ck_assert_double_eq(json_number(json, "images"), EPOCHS * IMAGES);
    ck_assert_double_eq(json_number(json, "updates"), EPOCHS * UPDATES);
    cJSON_Delete(json);
}
END_TEST

/* Ends with the first epoch that is good enough, and does not train again when it is asked again. */
START_TEST(reached) {
    double all[EPOCHS], values[EPOCHS];
    accuracies("all", all);
    double target = best_of(all, EPOCHS);
    ck_assert_msg(program_run(run_root, "", "clbench " RACE "--target %.17g --out some", target) == 0, "%s",
                  program_errors);
    ck_assert_ptr_nonnull(strstr(program_output, "ResNet reached "));
    int epochs = accuracies("some", values);
    for (int i = 0; i < epochs; i++) {
        ck_assert_double_eq(values[i], all[i]);
        ck_assert_int_eq(values[i] >= target, i + 1 == epochs);
    }
    ck_assert_int_eq(program_run(run_root, "", "clbench " RACE "--target %.17g --out some --json", target), 0);
    ck_assert_msg(strstr(program_errors, "epoch") == strstr(program_errors, "epochs 6"), "%s", program_errors);
    cJSON *json = program_json();
    ck_assert(cJSON_IsTrue(cJSON_GetObjectItem(json, "reached")));
    ck_assert_double_eq(json_number(json, "images"), epochs * IMAGES);
    ck_assert_double_gt(json_number(json, "training_s"), 0);
    ck_assert_double_gt(json_number(json, "validation_s"), 0);
    cJSON_Delete(json);
}
END_TEST

/* The target is what the other run ended with. */
START_TEST(against) {
    double values[EPOCHS];
    ck_assert_msg(program_run(run_root, "", "cltrain fit " NETWORK "--batch-size 16 --epochs 3 --lr 1e-6 --out slow") ==
                      0,
                  "%s", program_errors);
    int count = accuracies("slow", values), first = 0;
    ck_assert_int_eq(count, 3);
    while (values[first] < values[count - 1])
        first++;
    ck_assert_msg(program_run(run_root, "", "clbench " RACE "--against slow --out fast --json") == 0, "%s",
                  program_errors);
    ck_assert_ptr_null(strstr(program_errors, "warning"));
    cJSON *json = program_json();
    const cJSON *other = cJSON_GetObjectItem(json, "against"), *whole = cJSON_GetObjectItem(other, "whole"),
                *until = cJSON_GetObjectItem(other, "until_target");
    ck_assert_double_eq(json_number(json, "target"), values[count - 1]);
    ck_assert_double_eq(json_number(whole, "images"), 3 * 96);
    ck_assert_double_eq(json_number(whole, "updates"), 3 * 6);
    ck_assert_double_eq(json_number(until, "epochs"), first + 1);
    ck_assert_double_eq_tol(json_number(whole, "ratio_images"), json_number(json, "images") / (3 * 96), 1e-6);
    ck_assert_double_eq_tol(json_number(until, "ratio_images"), json_number(json, "images") / ((first + 1) * 96), 1e-6);
    ck_assert_double_eq_tol(json_number(whole, "ratio_training"),
                            json_number(json, "training_s") / json_number(whole, "training_s"), 1e-4);
    ck_assert(cJSON_IsTrue(cJSON_GetObjectItem(other, "equal")));
    cJSON_Delete(json);
}
END_TEST

static bool is_told_once(void) {
    const char *first = strstr(program_errors, "clbench: ");
    return first && !strstr(first + 1, "clbench: ");
}

/* Another seed draws another split; other images are told from the same by their checksum. */
START_TEST(unequal) {
    ck_assert_int_le(program_run(run_root, "", "clbench " RACE "--against slow --out other-seed --seed 7"), 1);
    ck_assert_ptr_nonnull(
        strstr(program_errors, "the run in 'slow' is not on equal terms: another split, by another seed: 7 here, 42"));
    ck_assert_ptr_nonnull(strstr(program_output, "not on equal terms: another split, by another seed"));
    ck_assert_int_eq(program_run(run_root, "",
                                 "cltrain fit " NETWORK "--epochs 1 --batch-size 16 --out part "
                                 "--limit-train-batches 2"),
                     0);
    ck_assert_int_eq(program_run(run_root, "", "clbench " RACE "--against part --out never"), CLN_INVALID_FILE);
    ck_assert_ptr_nonnull(strstr(program_errors, "it used only a part of the data"));
    ck_assert(is_told_once());
    file_write(run_root, "part/metrics.csv", "epoch,lr\n1,2\n", 13);
    ck_assert_int_eq(program_run(run_root, "", "clbench " RACE "--against part --out never"), CLN_INVALID_FILE);
    ck_assert(is_told_once());
    ck_assert_int_eq(program_run(run_root, "", "clbench " RACE "--against nowhere --out never"), CLN_IO);
    ck_assert(is_told_once());
}
END_TEST

/* Stopped in the first epoch, killed in the second: the same bytes as without. */
START_TEST(survives_interruption) {
    run r = run_start_program("clbench", "", RACE "--target 1 --out cut --save-every 0");
    ck_assert_int_eq(run_end(&r), CLN_INVALID_ARGUMENT); /* an option of cltrain fit that is none of the recipe */
    r = run_start_program("clbench", "", RACE "--target 1 --out cut");
    ck_assert_msg(run_prints(&r, "epoch 1 of 4"), "%s", run_errors);
    run_signal(&r, SIGTERM);
    ck_assert_int_eq(run_end(&r), 143);
    ck_assert_ptr_nonnull(strstr(run_errors, "stopped; the same command with --out cut goes on"));
    r = run_start_program("clbench", "", RACE "--target 1 --out cut");
    ck_assert_msg(run_prints(&r, "epoch 3 of 4"), "%s", run_errors);
    run_signal(&r, SIGKILL);
    run_end(&r);
    ck_assert_int_eq(program_run(run_root, "", "clbench " RACE "--target 1 --out cut"), CLN_FAILED);
    ck_assert_ptr_null(strstr(program_errors, "epoch 2 of 4"));
    file_remove(run_root, "cut/race.json"); /* times */
    file_remove(run_root, "all/race.json");
    runs_same("all", "cut");
}
END_TEST

START_TEST(refusals) {
    ck_assert_int_eq(program_run(run_root, "", "clbench race " NETWORK), CLN_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(program_errors, "give --target with an accuracy, or --against with a run"));
    ck_assert_int_eq(program_run(run_root, "", "clbench race --model ResNet --target 0.5"), CLN_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(program_errors, "--data is missing"));
    ck_assert_int_eq(program_run(run_root, "", "clbench " RACE "--target 1 --out cut --lr 0.06"), CLN_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(program_errors, "its run has recipe 'lr' 0.05, this one 0.06"));
    /* Another schedule takes the whole place of the recipe's. */
    ck_assert_int_eq(program_run(run_root, "", "clbench " RACE "--target 1 --out cut --lr-scheduler cosine"),
                     CLN_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(program_errors, "cannot resume from 'cut/resume.safetensors': its run has recipe '"));
    file_write(run_root, "cut/race.json", "{}", 2);
    ck_assert_int_eq(program_run(run_root, "", "clbench " RACE "--target 1 --out cut"), CLN_INVALID_FILE);
    ck_assert_ptr_nonnull(strstr(program_errors, "'cut/race.json': expected a list 'validation_s'"));
    ck_assert(is_told_once());
}
END_TEST

/* In this order: each uses what those before it have made. */
static void add_tests(TCase *tests) {
    if (!suite_has_programs() || !suite_has_device())
        return;
    run_fixture(tests);
    tcase_add_test(tests, missed);
    tcase_add_test(tests, reached);
    tcase_add_test(tests, against);
    tcase_add_test(tests, unequal);
    tcase_add_test(tests, survives_interruption);
    tcase_add_test(tests, refusals);
}

int main(void) {
    return suite_run("race", add_tests);
}
