/* What a run leaves in its folder for people and programs, where that folder is, and what --json-lines prints. */
#include "clnet/models.h"
#include "clnet/train.h"
#include "events.h"
#include "files.h"
#include "runs.h"
#include "suite.h"
#include "tiny.h"

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder that another process makes first, just when it is tried: in place of the C library's, for the objects that
 * are tested. */
static bool another_is_faster;

int mkdir(const char *path, mode_t mode) {
    if (another_is_faster && strstr(path, "/version_")) {
        another_is_faster = false;
        mkdirat(AT_FDCWD, path, mode);
    }
    return mkdirat(AT_FDCWD, path, mode);
}

/* --- numbered folders --- */

static void expect_new(const char *expected) {
    char *path, *full = path_of(run_root, expected), *base = path_of(run_root, "numbered");
    ok(cln_run_folder_new(ctx, base, "Net", &path));
    ck_assert_str_eq(path, full);
    free(path);
    free(full);
    free(base);
}

static void expect_latest(const char *expected) {
    char *path, *full = path_of(run_root, expected), *base = path_of(run_root, "numbered");
    ok(cln_run_folder_latest(ctx, base, "Net", &path));
    ck_assert_str_eq(path, full);
    free(path);
    free(full);
    free(base);
}

START_TEST(folders_are_numbered_from_the_highest) {
    char *path, *base = path_of(run_root, "numbered");
    ok(cln_run_folder_latest(ctx, base, "Net", &path));
    ck_assert_ptr_null(path);
    expect_new("numbered/Net/version_0");
    file_write(run_root, "numbered/Net/version_0/resume.safetensors", "", 0);
    expect_new("numbered/Net/version_1"); /* nothing to resume in it */
    expect_latest("numbered/Net/version_0");
    file_write(run_root, "numbered/Net/version_1/resume.safetensors", "", 0);
    expect_latest("numbered/Net/version_1");
    folder_make(run_root, "numbered/Net/version_9");
    folder_make(run_root, "numbered/Net/version_012");
    folder_make(run_root, "numbered/Net/version_99999999999");
    folder_make(run_root, "numbered/Net/version_x");
    file_write(run_root, "numbered/Net/version_10", "a file", 6);
    expect_new("numbered/Net/version_11");
    another_is_faster = true;
    expect_new("numbered/Net/version_13");
    folder_make(run_root, "numbered/Net/version_999999999");
    ck_assert_int_eq(cln_run_folder_new(ctx, base, "Net", &path), CLN_IO);
    expect_message("there is no next number");
    ck_assert_int_eq(cln_run_folder_new(ctx, "/proc/nowhere", "Net", &path), CLN_IO);
    free(base);
}
END_TEST

START_TEST(runs_without_a_folder_get_the_next) {
    run_well(RUN_FIT "--epochs 1 --milestones 1 --resume last");
    ck_assert_ptr_nonnull(strstr(run_errors, "nothing to resume in 'runs/ResNet/version_0'"));
    run_well(RUN_FIT "--epochs 1 --milestones 1");
    ck_assert_ptr_nonnull(strstr(run_output, "\nruns/ResNet/version_1/best.safetensors\n"));
    ck_assert(run_has("runs/ResNet/version_0/metrics.csv") && !run_has("runs/ResNet/version_2"));
    run_well(RUN_FIT "--epochs 2 --milestones 1 --resume last");
    ck_assert_ptr_nonnull(strstr(run_output, "going on after epoch 1/2"));
    ck_assert_ptr_nonnull(strstr(run_output, "\nruns/ResNet/version_1/"));
    /* What fails before it writes leaves no folder behind. */
    ck_assert_int_eq(run_all("", RUN_FIT "--data nowhere --epochs 1"), 4);
    ck_assert(!run_has("runs/ResNet/version_2"));
}
END_TEST

/* --- files --- */

START_TEST(the_summary_is_that_of_the_command) {
    run_well(RUN_FIT "--epochs 1 --out files");
    char *text = run_read("files/summary.txt", NULL);
    run_well("summary --model ResNet --hparams '{\"num_blocks\": [1], \"c_hidden\": [8]}'");
    ck_assert_str_eq(text, run_output);
    free(text);
}
END_TEST

/* Before the data are loaded, and with all that is there left as it is. */
START_TEST(a_new_run_needs_a_folder_without_one) {
    run_well(RUN_FIT "--epochs 2 --save-top-k 2 --profiler --out again");
    char *folder = path_of(run_root, "again"), *metrics = run_read("again/metrics.csv", NULL);
    ck_assert(run_has("again/epoch=02.safetensors") && run_has("again/trace.json"));
    int before = folder_count(folder);
    run_fails(
        RUN_FIT "--data nowhere --epochs 1 --out again", 2,
        "cltrain: 'again' already holds best.safetensors: --resume last goes on with the run there; choose another "
        "--out, or remove that folder\n");
    run_fails(RUN_FIT "--data nowhere --init-weights again/best.safetensors --out again", 2,
              "'again' already holds best");
    char *after = run_read("again/metrics.csv", NULL);
    ck_assert_int_eq(folder_count(folder), before);
    ck_assert_str_eq(metrics, after);
    free(folder);
    free(metrics);
    free(after);
}
END_TEST

/* The other finds the folder in use, or, if it is late, with the first one's state. */
START_TEST(of_two_at_once_one_trains) {
    run_well(RUN_FIT "--epochs 2 --out alone");
    run both[2];
    for (int i = 0; i < 2; i++)
        both[i] = run_start("", RUN_FIT "--epochs 2 --out both");
    int first = run_end(&both[0]), second = run_end(&both[1]);
    ck_assert_msg((first == 0 && second == 2) || (first == 2 && second == 0), "statuses %d and %d", first, second);
    runs_same("alone", "both");
}
END_TEST

static void let_another_begin(void *user, const cln_fit_event *event) {
    if (event->stage == CLN_FIT_LOADED)
        file_write(user, "resume.safetensors", "another run", 11);
}

/* One that began, and may have ended, between the first look into the folder and its claim. */
START_TEST(a_run_that_began_meanwhile_is_found) {
    char *data = path_of(run_root, "data"), *out = path_of(run_root, "meanwhile");
    folder_make(run_root, "meanwhile");
    const cln_model *model = cln_model_find("ResNet");
    cln_fit_options o = {
        .model = model, .recipe = *model->recipe, .data = data, .out = out, .on_event = let_another_begin, .user = out};
    o.recipe.epochs = 1;
    o.recipe.batch_size = 16;
    o.recipe.milestones.count = 0;
    cln_fit_result result;
    expect_status(cln_fit(ctx, device, &o, &result), CLN_INVALID_ARGUMENT, "already holds resume.safetensors");
    char *state = run_read("meanwhile/resume.safetensors", NULL);
    ck_assert_str_eq(state, "another run");
    free(state);
    free(data);
    free(out);
}
END_TEST

START_TEST(a_run_in_progress_is_not_gone_on_with) {
    run r = run_start("", RUN_FIT "--epochs 200 --milestones 1 --out busy");
    ck_assert_msg(run_prints(&r, "epoch 1/"), "%s", run_errors);
    run_signal(&r, SIGSTOP);
    run second = run_start("", RUN_FIT "--epochs 200 --milestones 1 --out busy --resume last");
    int status = run_end(&second);
    run_signal(&r, SIGKILL);
    ck_assert_msg(status == 2, "status %d: %s", status, run_errors);
    ck_assert_str_eq(run_errors,
                     "cltrain: another run is being trained in 'busy': wait for its end, or choose another --out\n");
    run_end(&r);
}
END_TEST

/* Any file of a run is in the way of a new one, whatever else is there is not. */
START_TEST(files_of_a_run_are_told_from_others) {
    static const char *const ours[] = {"resume.safetensors",
                                       "best.safetensors",
                                       "last.safetensors",
                                       "epoch=07.safetensors",
                                       "metrics.csv",
                                       "config.yaml",
                                       "summary.txt",
                                       "curves.png",
                                       "trace.json",
                                       "race.json",
                                       "events.out.tfevents.0000000001.host.1.0.clnet"};
    static const char *const others[] = {"epoch=.safetensors",      "epoch=1.safetensors.bak", "lr_find.csv", "notes",
                                         "my-epoch=01.safetensors", "last.safetensors.tmp-7-0"};
    folder_make(run_root, "shared");
    char *folder = path_of(run_root, "shared"), message[128];
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        file_write(folder, others[i], "x", 1);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        file_write(folder, ours[i], "x", 1);
        snprintf(message, sizeof message, "'shared' already holds %s: %s", ours[i],
                 i == 0 ? "--resume last goes on with the run there" : "choose another --out");
        run_fails(RUN_FIT "--data nowhere --out shared", 2, message);
        file_remove(folder, ours[i]);
    }
    run_well(RUN_FIT "--epochs 1 --out shared");
    for (size_t i = 0; i + 1 < sizeof others / sizeof *others; i++) { /* the last one was half of a file */
        char *path = path_of("shared", others[i]);
        ck_assert_msg(run_has(path), "no %s", path);
        free(path);
    }
    free(folder);
}
END_TEST

/* The `column`-th number (from 0) of line `line` (from 1) of metrics.csv. */
static double metric(const char *csv, int line, int column) {
    for (; line > 0; line--)
        csv = strchr(csv, '\n') + 1;
    for (; column > 0; column--)
        csv = strchr(csv, ',') + 1;
    return atof(csv);
}

/* The step at which a run of two epochs was tested. */
static int64_t tested_at(const char *out, const char *options) {
    char *command = cln__format(RUN_FIT "--epochs 2 --out %s %s", out, options);
    run_well(command);
    char *folder = path_of(run_root, out), *name = events_name(folder), *path = path_of(folder, name);
    events *e = events_read(path);
    int64_t step = 0;
    ck_assert_int_eq(events_scalar(e, "test_acc", &step, NULL), 1);
    events_free(e);
    free(command);
    free(folder);
    free(name);
    free(path);
    return step;
}

START_TEST(curves_count_updates) {
    int64_t plain = tested_at("plain", ""), batches = plain / 2;
    ck_assert_int_eq(tested_at("accumulated", "--accumulate-grad-batches 2"), 2 * ((batches + 1) / 2));
}
END_TEST

/* The state of a run with averaged weights has two sets of them. */
START_TEST(an_averaged_state_is_exported) {
    run_well(RUN_FIT "--epochs 1 --model-ema --out averaged");
    run_well("export --format onnx --weights averaged/resume.safetensors --out state.onnx");
    run_well("export --format onnx --weights averaged/last.safetensors --out last.onnx");
    char *state = path_of(run_root, "state.onnx"), *last = path_of(run_root, "last.onnx");
    struct stat a, b;
    ck_assert(stat(state, &a) == 0 && stat(last, &b) == 0);
    ck_assert_int_gt(a.st_size, 1000);
    free(state);
    free(last);
}
END_TEST

START_TEST(curves_have_lightnings_steps) {
    static const char *const tags[] = {"epoch", "lr-SGD", "train_loss", "train_acc", "val_loss", "val_acc"};
    run_well(RUN_FIT "--epochs 4 --milestones 2 --out curves");
    char *folder = path_of(run_root, "curves"), *name = events_name(folder), *path = path_of(folder, name);
    char *csv = run_read("curves/metrics.csv", NULL);
    events *e = events_read(path);
    int at = 0;
    int64_t steps = 0, step;
    float value;
    for (int i = 0; i < e->count; i++) {
        const Cln__Tb__Value *v = e->at[i]->what_case == CLN__TB__EVENT__WHAT_SUMMARY ? e->at[i]->summary->value[0] : 0;
        if (!v || strcmp(v->tag, "train_loss") != 0)
            continue;
        steps = steps ? steps : e->at[i]->step + 1;
        at++;
        ck_assert_int_eq(e->at[i]->step, at * steps - 1);
        ck_assert_double_eq_tol((double)v->simple_value, metric(csv, at, 2), 1e-6);
    }
    ck_assert_int_eq(at, 4);
    ck_assert_int_ge(steps, 2);
    for (int i = 1; i < 6; i++) {
        ck_assert_int_eq(events_scalar(e, tags[i], &step, &value), 4);
        ck_assert_int_eq(step, i == 1 ? 3 * steps : 4 * steps - 1);
        ck_assert_double_eq_tol((double)value, metric(csv, 4, i), 1e-6);
    }
    ck_assert_int_eq(events_scalar(e, "epoch", &step, &value), 5);
    ck_assert_int_eq(step, 4 * steps);
    ck_assert_float_eq(value, 4);
    ck_assert_int_eq(events_scalar(e, "test_acc", &step, &value), 1);
    ck_assert_int_eq(step, 4 * steps);
    ck_assert_int_eq(events_scalar(e, "test_loss", NULL, NULL), 1);
    events_free(e);
    free(csv);
    free(path);
    free(name);
    free(folder);
}
END_TEST

/* A rate that changes at every step is drawn at every 50th, and the tag names the optimiser. */
START_TEST(rates_that_change_are_drawn_more_often) {
    run_well(RUN_FIT "--batch-size 1 --epochs 1 --optimizer adamw --lr-scheduler cosine --no-save-last --out rates");
    char *folder = path_of(run_root, "rates"), *name = events_name(folder), *path = path_of(folder, name);
    events *e = events_read(path);
    int64_t last, step;
    float value;
    events_scalar(e, "train_loss", &last, NULL);
    ck_assert_int_eq(events_scalar(e, "lr-AdamW", &step, &value), last / 50 + 1);
    ck_assert_int_eq(step, last / 50 * 50);
    ck_assert_float_lt(value, 1e-3f);
    events_free(e);
    free(path);
    free(name);
    free(folder);
}
END_TEST

/* --- --json-lines --- */

enum { MOST_LINES = 64 };
typedef struct lines {
    int count;
    cJSON *at[MOST_LINES];
} lines;

/* Every line is an object with "event". */
static lines parse_output(void) {
    lines l = {.count = 0};
    for (char *line = run_output, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        ck_assert_ptr_nonnull(end);
        *end = '\0';
        ck_assert_int_lt(l.count, MOST_LINES);
        l.at[l.count] = cJSON_ParseWithOpts(line, NULL, true);
        ck_assert_msg(cJSON_IsObject(l.at[l.count]), "%s", line);
        ck_assert(cJSON_IsString(cJSON_GetObjectItem(l.at[l.count++], "event")));
    }
    return l;
}

static void lines_free(lines *l) {
    for (int i = 0; i < l->count; i++)
        cJSON_Delete(l->at[i]);
}

static const char *text_of(const cJSON *object, const char *name) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(object, name));
    ck_assert_msg(text != NULL, "no text '%s'", name);
    return text;
}

static double number_of(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItem(object, name);
    ck_assert_msg(cJSON_IsNumber(item), "no number '%s'", name);
    return item->valuedouble;
}

START_TEST(json_lines_tell_all_of_a_run) {
    static const char *const names[] = {"train_loss", "train_acc", "val_loss", "val_acc"};
    run_well(RUN_FIT "--epochs 3 --json-lines --out lines");
    char *csv = run_read("lines/metrics.csv", NULL);
    lines l = parse_output();
    ck_assert_int_eq(l.count, 5);
    ck_assert_str_eq(text_of(l.at[0], "event"), "start");
    ck_assert_str_eq(text_of(l.at[0], "model"), "ResNet");
    ck_assert_str_eq(text_of(l.at[0], "out"), "lines");
    ck_assert_str_eq(text_of(l.at[0], "optimizer"), "sgd");
    ck_assert_double_eq(number_of(l.at[0], "epochs_done"), 0);
    for (int i = 1; i <= 3; i++) {
        ck_assert_str_eq(text_of(l.at[i], "event"), "epoch");
        ck_assert_double_eq(number_of(l.at[i], "epoch"), i);
        for (int k = 0; k < 4; k++)
            ck_assert_double_eq_tol(number_of(l.at[i], names[k]), metric(csv, i, k + 2), 1e-6);
        ck_assert(cJSON_IsBool(cJSON_GetObjectItem(l.at[i], "best")));
    }
    ck_assert_str_eq(text_of(l.at[4], "event"), "test");
    ck_assert_str_eq(text_of(l.at[4], "weights"), "lines/best.safetensors");
    ck_assert_double_eq(number_of(l.at[4], "count"), TINY_TEST);
    ck_assert_double_eq_tol(number_of(l.at[4], "test_acc"), number_of(l.at[4], "correct") / TINY_TEST, 1e-6);
    lines_free(&l);
    free(csv);
    run_well("fit --pretrained lines/best.safetensors --data data --json-lines");
    l = parse_output();
    ck_assert_int_eq(l.count, 1);
    ck_assert_str_eq(text_of(l.at[0], "event"), "test");
    lines_free(&l);
}
END_TEST

START_TEST(json_lines_tell_of_a_stop_and_how_to_go_on) {
    char command[1024];
    run r = run_start("", RUN_FIT "--epochs 1000000 --json-lines --save-last --out stop");
    ck_assert_msg(run_prints(&r, "\"event\":\"epoch\""), "%s", run_errors);
    run_signal(&r, SIGTERM);
    ck_assert_int_eq(run_end(&r), 143);
    char *last = strstr(run_output, "{\"event\":\"stopped\"");
    ck_assert_ptr_nonnull(last);
    memmove(run_output, last, strlen(last) + 1);
    lines l = parse_output();
    ck_assert_str_eq(text_of(l.at[0], "event"), "stopped");
    ck_assert_double_eq(number_of(l.at[0], "signal"), SIGTERM);
    ck_assert_double_ge(number_of(l.at[0], "epochs_done"), 1);
    snprintf(command, sizeof command, "%s", text_of(l.at[0], "command"));
    ck_assert_ptr_nonnull(strstr(command, "--json-lines --save-last --out stop --resume last"));
    lines_free(&l);
}
END_TEST

START_TEST(json_lines_tell_of_failures) {
    static const struct {
        const char *arguments;
        int status;
        const char *message;
    } cases[] = {{RUN_FIT "--data nowhere --json-lines --out bad", 4, "nowhere"},
                 {RUN_FIT "--lr 1e30 --json-lines --out bad", 8, "training stopped"},
                 {RUN_FIT "--device none --json-lines --out bad", 5, "none"}};
    int status = run_all("", cases[_i].arguments);
    ck_assert_msg(status == cases[_i].status, "status %d: %s", status, run_errors);
    lines l = parse_output();
    const cJSON *last = l.at[l.count - 1];
    ck_assert_str_eq(text_of(last, "event"), "error");
    ck_assert_double_eq(number_of(last, "status"), cases[_i].status);
    ck_assert_msg(strstr(text_of(last, "message"), cases[_i].message) != NULL, "%s", text_of(last, "message"));
    lines_free(&l);
}
END_TEST

START_TEST(json_lines_are_utf8_whatever_a_folder_is_called) {
    run_well(RUN_FIT "--epochs 1 --limit-test-batches 0 --json-lines --out any\xff");
    ck_assert(cln_is_utf8(run_output));
    lines l = parse_output();
    ck_assert_str_eq(text_of(l.at[0], "out"), "any\xef\xbf\xbd");
    lines_free(&l);
}
END_TEST

START_TEST(json_lines_stand_alone) {
    ck_assert_int_eq(run_all("", RUN_FIT "--json-lines --quiet"), 2);
    ck_assert_ptr_nonnull(strstr(run_errors, "--json-lines and --quiet exclude each other"));
    ck_assert_int_eq(run_all("", RUN_FIT "--json-lines --print-plan"), 2);
    ck_assert_str_eq(run_output, "");
}
END_TEST

static void add_tests(TCase *tests) {
    if (!suite_has_programs())
        return;
    run_fixture(tests);
    tcase_add_test(tests, folders_are_numbered_from_the_highest);
    tcase_add_test(tests, runs_without_a_folder_get_the_next);
    tcase_add_test(tests, the_summary_is_that_of_the_command);
    tcase_add_test(tests, a_new_run_needs_a_folder_without_one);
    tcase_add_test(tests, of_two_at_once_one_trains);
    tcase_add_test(tests, a_run_that_began_meanwhile_is_found);
    tcase_add_test(tests, a_run_in_progress_is_not_gone_on_with);
    tcase_add_test(tests, files_of_a_run_are_told_from_others);
    tcase_add_test(tests, curves_count_updates);
    tcase_add_test(tests, an_averaged_state_is_exported);
    tcase_add_test(tests, curves_have_lightnings_steps);
    tcase_add_test(tests, rates_that_change_are_drawn_more_often);
    tcase_add_test(tests, json_lines_tell_all_of_a_run);
    tcase_add_test(tests, json_lines_tell_of_a_stop_and_how_to_go_on);
    tcase_add_loop_test(tests, json_lines_tell_of_failures, 0, 3);
    tcase_add_test(tests, json_lines_are_utf8_whatever_a_folder_is_called);
    tcase_add_test(tests, json_lines_stand_alone);
}

int main(void) {
    return suite_run_on_device("run_folder", add_tests);
}
