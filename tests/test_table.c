/* clbench table on a tiny data set: training, interruption, what is kept, formats, weights that were found. */
#include "files.h"
#include "programs.h"
#include "runs.h"
#include "suite.h"
#include "tiny.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE "table --data data --models ResNet --epochs 2 --batch-size 16 --val-split 20 --no-speed "

static cJSON *read_json(const char *name) {
    char *path = path_of(run_root, name), text[1 << 16];
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "there is no %s", name);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    free(path);
    return cJSON_Parse(text);
}

static const cJSON *first_row(const cJSON *json) {
    return cJSON_GetArrayItem(cJSON_GetObjectItem(json, "rows"), 0);
}

static double correct_of(const cJSON *json, int index) {
    const cJSON *item = cJSON_GetArrayItem(cJSON_GetObjectItem(first_row(json), "runs"), index);
    ck_assert_double_eq(json_number(cJSON_GetObjectItem(item, "test"), "count"), TINY_TEST);
    ck_assert_double_eq(json_number(cJSON_GetObjectItem(item, "validation"), "count"), 20);
    return json_number(cJSON_GetObjectItem(item, "test"), "correct");
}

/* Two seeds: their mean, their deviation, the binomial error and the difference follow from the counts. */
START_TEST(trains_and_tests) {
    ck_assert_msg(program_run(run_root, "", "clbench " TABLE "--runs whole --seeds 2 --format json") == 0, "%s",
                  program_errors);
    ck_assert_ptr_nonnull(strstr(program_errors, "ResNet, seed 43, epoch 2 of 2: train_acc "));
    cJSON *json = program_json();
    double a = correct_of(json, 0) / TINY_TEST, b = correct_of(json, 1) / TINY_TEST, mean = (a + b) / 2;
    const cJSON *row = first_row(json), *test = cJSON_GetObjectItem(row, "test");
    ck_assert_double_eq_tol(json_number(test, "mean"), mean, 1e-6);
    ck_assert_double_eq_tol(json_number(test, "deviation"), fabs(a - b) / sqrt(2), 1e-6);
    ck_assert_double_eq_tol(json_number(test, "standard_error"), sqrt(mean * (1 - mean) / TINY_TEST), 1e-6);
    ck_assert_double_eq_tol(json_number(row, "test_difference"), mean - 0.9106, 1e-6);
    ck_assert_double_eq(json_number(json, "test_images"), TINY_TEST);
    ck_assert(cJSON_IsTrue(cJSON_GetObjectItem(json, "test_is_sample")));
    cJSON_Delete(json);
}
END_TEST

/* What is finished is not done again; the other formats show the same. */
START_TEST(goes_on_where_it_was) {
    static const char *const formats[] = {"text", "markdown", "csv", "html"};
    static const char *const shown[] = {"91.06%         272,378", "| ResNet | 91.84% | 91.06% | 272,378 | ",
                                        "\"ResNet\",0.9184,0.9106,272378,2,",
                                        "data-label=\"published: Test Accuracy\">91.06%</td>"};
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(program_run(run_root, "", "clbench " TABLE "--runs whole --seeds 2 --format %s", formats[i]),
                         0);
        ck_assert_msg(strstr(program_errors, "training") == NULL, "%s", program_errors);
        ck_assert_msg(strstr(program_output, shown[i]) != NULL, "%s: %s", formats[i], program_output);
        if (i != 2)
            ck_assert_ptr_nonnull(strstr(program_output, "a sample of the test set: 30 of CIFAR-10"));
    }
    ck_assert_int_eq(program_run(run_root, "", "clbench " TABLE "--runs whole --seeds 2 --format csv --out t.csv"), 0);
    ck_assert_str_eq(program_output, "");
}
END_TEST

/* Stopped by a signal in the first epoch, killed in a later one: the same weights and scores. */
START_TEST(survives_interruption) {
    run r = run_start_program("clbench", "", TABLE "--runs cut --seeds 2");
    ck_assert_msg(run_prints(&r, "seed 42, epoch 1 of 2"), "%s", run_errors);
    run_signal(&r, SIGTERM);
    ck_assert_int_eq(run_end(&r), 143);
    ck_assert_ptr_nonnull(strstr(run_errors, "stopped; the same command goes on"));
    r = run_start_program("clbench", "", TABLE "--runs cut --seeds 2");
    ck_assert_msg(run_prints(&r, "seed 43, epoch 1 of 2"), "%s", run_errors);
    run_signal(&r, SIGKILL);
    run_end(&r);
    ck_assert_msg(program_run(run_root, "", "clbench " TABLE "--runs cut --seeds 2 --format json") == 0, "%s",
                  program_errors);
    ck_assert_ptr_null(strstr(program_errors, "seed 42"));
    cJSON *cut = program_json(), *whole = read_json("whole/table.json");
    for (int i = 0; i < 2; i++)
        ck_assert_double_eq(correct_of(cut, i), correct_of(whole, i));
    cJSON_Delete(cut);
    cJSON_Delete(whole);
    for (int seed = 42; seed <= 43; seed++) {
        char a[64], b[64];
        snprintf(a, sizeof a, "whole/ResNet/seed_%d", seed);
        snprintf(b, sizeof b, "cut/ResNet/seed_%d", seed);
        runs_same(a, b);
    }
}
END_TEST

/* Killed between the end of a training and its row: what is trained is tested again, not trained again. */
START_TEST(a_lost_state_costs_no_training) {
    file_remove(run_root, "whole/table.json");
    ck_assert_int_eq(program_run(run_root, "", "clbench " TABLE "--runs whole --seeds 2"), 0);
    ck_assert_ptr_null(strstr(program_errors, "epoch 1"));
    file_write(run_root, "whole/table.json", "{", 1);
    ck_assert_int_eq(program_run(run_root, "", "clbench " TABLE "--runs whole --seeds 2"), 3);
    ck_assert_ptr_nonnull(strstr(program_errors, "clbench: table: 'whole/table.json': line 1 is not JSON"));
    file_remove(run_root, "whole/table.json");
}
END_TEST

/* Weights that are found are tested, their own split included; other options than those of the folder are named. */
START_TEST(found_weights) {
    char command[1024];
    folder_make(run_root, "found");
    snprintf(command, sizeof command, "cp '%s/whole/ResNet/seed_42/best.safetensors' '%s/found/ResNet.safetensors'",
             run_root, run_root);
    ck_assert_int_eq(system(command), 0);
    ck_assert_msg(program_run(run_root, "", "clbench " TABLE "--pretrained found --format json") == 0, "%s",
                  program_errors);
    cJSON *json = program_json();
    ck_assert_double_eq(json_number(cJSON_GetArrayItem(cJSON_GetObjectItem(first_row(json), "runs"), 0), "parameters"),
                        272378);
    double correct = correct_of(json, 0);
    cJSON_Delete(json);
    ck_assert_int_eq(program_run(run_root, "", "clbench " TABLE "--runs whole --format json"), 0);
    json = program_json();
    ck_assert_double_eq(correct_of(json, 0), correct);
    cJSON_Delete(json);
    ck_assert_int_eq(program_run(run_root, "", "clbench " TABLE "--runs whole --quick"), 2);
    ck_assert_ptr_nonnull(strstr(program_errors, "its run has recipe "));
}
END_TEST

/* Speeds, memory, start-up and launches; then nothing is measured again. */
START_TEST(measures) {
    static const char arguments[] =
        "clbench table --data data --pretrained found --runs speed --models ResNet --batch-size 4 "
        "--num-bench-iter 2 --format json";
    ck_assert_msg(program_run(run_root, "", arguments) == 0, "%s", program_errors);
    cJSON *json = program_json();
    const cJSON *speed = cJSON_GetObjectItem(first_row(json), "speed"), *train = cJSON_GetObjectItem(speed, "train");
    ck_assert_double_gt(json_number(train, "images_per_s"), 0);
    ck_assert_double_le(json_number(train, "p25"), json_number(train, "images_per_s"));
    ck_assert_double_ge(json_number(train, "p75"), json_number(train, "images_per_s"));
    ck_assert_double_gt(json_number(train, "planned_bytes"), 0);
    ck_assert_double_gt(json_number(speed, "start_up_s"), 0);
    ck_assert_int_gt(cJSON_GetArraySize(cJSON_GetObjectItem(speed, "launches")), 50);
    ck_assert_double_gt(json_number(cJSON_GetObjectItem(json, "machine"), "peak_gflops"), 0);
    cJSON_Delete(json);
    ck_assert_int_eq(program_run(run_root, "", arguments), 0);
    ck_assert_ptr_null(strstr(program_errors, "measuring"));
    ck_assert_int_eq(program_run(run_root, "", "clbench report --table speed/table.json --out page.html"), 0);
}
END_TEST

/* In this order: each uses what those before it have made. */
static void add_tests(TCase *tests) {
    if (!suite_has_programs() || !suite_has_device())
        return;
    run_fixture(tests);
    tcase_add_test(tests, trains_and_tests);
    tcase_add_test(tests, goes_on_where_it_was);
    tcase_add_test(tests, survives_interruption);
    tcase_add_test(tests, a_lost_state_costs_no_training);
    tcase_add_test(tests, found_weights);
    tcase_add_test(tests, measures);
}

int main(void) {
    return suite_run("table", add_tests);
}
