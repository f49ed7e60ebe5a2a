/* The tuner on a device: candidates that fail, hang or are wrong, and runs that go on with the kernels that they began
 * with. */
#include "../src/runtime/tuning.h"
#include "../src/tune/protocol.h"
#include "../src/tune/trial.h"
#include "clnet/models.h"
#include "clnet/train.h"
#include "files.h"
#include "runs.h"
#include "suite.h"
#include "tiny.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- tuning --- */

typedef struct seen {
    int begun, measured, saved, lost, count, known;
    double saved_seconds;
    char message[256], lost_candidate[256];
    char saved_candidate[256];
    bool stop;
} seen;

static void watch(void *user, const cln_tune_event *e) {
    seen *s = user;
    s->begun += e->stage == CLN_TUNE_BEGIN;
    s->measured += e->stage == CLN_TUNE_CANDIDATE;
    s->saved += e->stage == CLN_TUNE_SAVED;
    s->count = e->count;
    s->known = e->known;
    if (e->stage == CLN_TUNE_SAVED) {
        snprintf(s->saved_candidate, sizeof s->saved_candidate, "%s", e->candidate);
        s->saved_seconds = e->seconds;
    }
    if (e->stage != CLN_TUNE_LOST)
        return;
    s->lost++;
    snprintf(s->message, sizeof s->message, "%s", e->message);
    snprintf(s->lost_candidate, sizeof s->lost_candidate, "%s", e->candidate ? e->candidate : "");
}

static bool stops(void *user) {
    return ((seen *)user)->saved > 0;
}

/* A graph with one computation, which several variants can do, one of them `direct` with alternatives. */
static cln_graph *one_conv(cln_tensor *y) {
    cln_graph *g = cln_graph_new(ctx);
    *y = cln_conv2d(g, cln_input(g, "x", 2, 16, 8, 8), "conv",
                    &(cln_conv2d_options){.out_channels = 32, .kernel_h = 3, .kernel_w = 3, .padding = 1});
    return g;
}

/* One with several computations. */
static cln_graph *some_convs(cln_tensor *y) {
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    cln_graph *g = cln_graph_new(ctx);
    *y = cln_input(g, "x", 2, 16, 8, 8);
    for (int i = 0; i < 5; i++)
        *y = cln_conv2d(g, *y, names[i],
                        &(cln_conv2d_options){.out_channels = 16 * i + 16, .kernel_h = 3, .kernel_w = 3, .padding = 1});
    return g;
}

static cln_tune_result tune(const cln_graph *g, cln_tensor y, const char *database, const char *fault, seen *s,
                            cln_tune_options o) {
    char program[1024];
    snprintf(program, sizeof program, "%s/clbench", getenv("CLNET_BIN_DIR"));
    const char *const worker[] = {program, "tune-worker", NULL};
    char *path = path_of(run_root, database);
    cln_plan_options plan = {.loss = CLN_NO_TENSOR, .outputs = &y, .output_count = 1};
    cln_tune_job job = {g, &plan};
    cln_tune_result result;
    *s = (seen){.begun = 0};
    o.path = path;
    o.worker = o.worker ? o.worker : worker;
    o.on_event = watch;
    o.user = s;
    o.fault = fault;
    ok(cln_tune(ctx, device, &job, 1, &o, &result));
    ck_assert_int_eq(s->begun, 1);
    free(path);
    return result;
}

static cln_choices load(const char *database) {
    char *path = path_of(run_root, database);
    cln_choices choices;
    ok(cln_choices_load(ctx, device, path, &choices));
    free(path);
    return choices;
}

START_TEST(results_are_saved_and_known) {
    cln_tensor y;
    cln_graph *g = one_conv(&y);
    seen s;
    cln_tune_result r = tune(g, y, "known.sqlite", NULL, &s, (cln_tune_options){.budget_s = 0});
    ck_assert_msg(r.tuned == 1 && r.known == 0 && r.left == 0 && r.lost == 0 && s.saved == 1, "%s: %s",
                  s.lost_candidate, s.message);
    cln_choices choices = load("known.sqlite");
    ck_assert_int_eq(choices.count, 1);
    ck_assert_str_eq(choices.of[0].candidate, s.saved_candidate);
    cln_choices_free(&choices);
    r = tune(g, y, "known.sqlite", NULL, &s, (cln_tune_options){.budget_s = 0});
    ck_assert(r.tuned == 0 && r.known == 1 && r.left == 0 && s.known == 1 && s.count == 0);
    r = tune(g, y, "known.sqlite", NULL, &s, (cln_tune_options){.again = true});
    ck_assert(r.tuned == 1 && r.known == 0);
    /* Another driver's results are not ours. */
    char *path = path_of(run_root, "known.sqlite"), text[CLN_TUNING_KEY];
    cln_tuning *db;
    cln_tuning_record *records, key;
    int count;
    ok(cln_tuning_open(ctx, path, false, &db));
    ok(cln_tuning_records(db, &records, &count));
    cln_tuning_key(device, text, &key);
    ck_assert_str_eq(records[0].driver, key.driver);
    cln_tuning_close(db);
    free(path);
    path = path_of(run_root, "other.sqlite");
    ok(cln_tuning_open(ctx, path, true, &db));
    records[0].driver = "another";
    ok(cln_tuning_save(db, &records[0]));
    cln_tuning_close(db);
    free(path);
    free(records);
    choices = load("other.sqlite");
    ck_assert_int_eq(choices.count, 0);
    cln_choices_free(&choices);
    cln_graph_free(g);
}
END_TEST

static int count_candidates(const cln_graph *g, cln_tensor y) {
    cln_plan_options plan = {.loss = CLN_NO_TENSOR, .outputs = &y, .output_count = 1};
    cln__decisions decisions;
    int count = 0;
    ok(cln__plan_decisions(ctx, device, g, &plan, true, &decisions));
    ck_assert_int_eq(decisions.count, 1);
    for (const char *c = decisions.of[0].candidates; *c; c++)
        count += *c == '\n';
    cln__decisions_free(&decisions);
    return count;
}

static const struct {
    const char *fault, *message, *lost;
} faults[] = {
    {"crash direct TW", "it crashed", "direct TW"},
    {"hang direct TW", "no result within 2 s", "direct TW"},
    {"wrong direct TW", "the result is wrong", "direct TW"},
};

/* What is lost is that candidate, and those after it are measured. */
START_TEST(a_candidate_that_fails_is_lost_alone) {
    cln_tensor y;
    cln_graph *g = one_conv(&y);
    char database[32];
    seen s;
    snprintf(database, sizeof database, "fault%d.sqlite", _i);
    bool hangs = strncmp(faults[_i].fault, "hang", 4) == 0;
    cln_tune_result r = tune(g, y, database, faults[_i].fault, &s, (cln_tune_options){.timeout_s = hangs ? 2 : 0});
    ck_assert_int_ge(r.lost, 1);
    ck_assert_int_eq(s.lost, r.lost);
    ck_assert_int_eq(s.measured, count_candidates(g, y) - r.lost);
    ck_assert_msg(strstr(s.message, faults[_i].message) != NULL, "%s", s.message);
    ck_assert_msg(strncmp(s.lost_candidate, faults[_i].lost, strlen(faults[_i].lost)) == 0, "%s", s.lost_candidate);
    ck_assert_int_eq(r.tuned, 1);
    ck_assert_int_eq(strncmp(s.saved_candidate, faults[_i].lost, strlen(faults[_i].lost)) == 0, 0);
    cln_graph_free(g);
}
END_TEST

/* Then the others are measured without it beside them. */
START_TEST(what_the_rules_choose_may_fail) {
    cln_tensor y;
    cln_graph *g = one_conv(&y);
    cln_plan_options plan = {.loss = CLN_NO_TENSOR, .outputs = &y, .output_count = 1};
    cln__decisions decisions;
    seen s;
    char fault[300];
    ok(cln__plan_decisions(ctx, device, g, &plan, false, &decisions));
    snprintf(fault, sizeof fault, "crash %s", decisions.of[0].candidate);
    cln_tune_result r = tune(g, y, "rule.sqlite", fault, &s, (cln_tune_options){.budget_s = 0});
    ck_assert(r.lost >= 1 && r.tuned == 1);
    ck_assert_str_ne(s.saved_candidate, decisions.of[0].candidate);
    cln__decisions_free(&decisions);
    cln_graph_free(g);
}
END_TEST

/* A worker that is a script, with three candidates: what it says is as protocol.h has it. */
#define SCRIPT                                                                                                         \
    "say() { echo \"clnet-tune: $*\"; }; tried() { say try $1 $2; say done $1 $3 1; }\n"                               \
    "confirms() { say confirming $1 $2; test $3 != crash || kill -9 $$; test $3 != hang || exec sleep 9; \n"           \
    "say confirm $1 $3 1; say end; }\nsay candidates 3\n"
#define FIRST "if test $3 = 0; then tried 0 rule 1; tried 1 fast 0.5; "
static const struct {
    const char *script, *saved;
    double seconds;
    int measured, lost;
} scripts[] = {
    {SCRIPT FIRST "tried 2 slow 0.9; confirms 1 fast 0.6; fi", "fast", 0.6, 3, 0},
    {SCRIPT FIRST "tried 2 slow 0.9; confirms 1 fast 0.99; fi", "rule", 1, 3, 0},
    /* What confirms fails, hangs, or is said to fail. */
    {SCRIPT FIRST "tried 2 slow 0.9; confirms 1 fast crash; fi", "rule", 1, 3, 1},
    {SCRIPT FIRST "tried 2 slow 0.9; confirms 1 fast hang; fi", "rule", 1, 3, 1},
    {SCRIPT FIRST "tried 2 slow 0.9; say confirming 1 fast; say failed x; fi", "rule", 1, 3, 1},
    /* It ends before, and after. */
    {SCRIPT FIRST "tried 2 slow 0.9; fi", "rule", 1, 3, 0},
    {SCRIPT FIRST "tried 2 slow 0.9; say end; fi", "rule", 1, 3, 0},
    {SCRIPT FIRST "tried 2 slow 0.9; say confirming 1 fast; say confirm 1 0.6 1; kill -9 $$; fi", "fast", 0.6, 3, 0},
    /* The last candidate is lost: another worker is told which is the best, and confirms it, or fails too. */
    {SCRIPT FIRST "say try 2 bad; exit 1; fi; test \"$3 $6 $7\" = \"3 1 0.5\" && confirms 1 fast 0.6", "fast", 0.6, 2,
     1},
    {SCRIPT FIRST "say try 2 bad; say bad 2 x; sleep 9; fi; confirms $6 fast 0.6", "fast", 0.6, 2, 1},
    {SCRIPT FIRST "say try 2 bad; say refused 2 x; confirms 1 fast 0.6; fi", "fast", 0.6, 2, 1},
    {SCRIPT FIRST "say try 2 bad; exit 1; fi; exit 1", "rule", 1, 2, 1},
    /* The best is that of the worker before, or not. */
    {SCRIPT "if test $3 = 0; then tried 0 rule 1; say try 1 bad; exit 1; fi; tried 2 fast 0.4; confirms 2 fast 0.5",
     "fast", 0.5, 2, 1},
};

START_TEST(what_is_not_confirmed_is_not_preferred) {
    cln_tensor y;
    cln_graph *g = one_conv(&y);
    char database[32];
    seen s;
    snprintf(database, sizeof database, "script%d.sqlite", _i);
    file_write(run_root, "worker.sh", scripts[_i].script, strlen(scripts[_i].script));
    char *script = path_of(run_root, "worker.sh");
    const char *const worker[] = {"/bin/sh", script, NULL};
    cln_tune_result r = tune(g, y, database, NULL, &s, (cln_tune_options){.worker = worker, .timeout_s = 1.5});
    ck_assert_int_eq(r.tuned, 1);
    ck_assert_str_eq(s.saved_candidate, scripts[_i].saved);
    ck_assert_double_eq_tol(s.saved_seconds, scripts[_i].seconds, 1e-9);
    ck_assert_int_eq(s.measured, scripts[_i].measured);
    ck_assert_int_eq(r.lost, scripts[_i].lost);
    free(script);
    cln_graph_free(g);
}
END_TEST

START_TEST(time_and_requests_to_stop_are_kept) {
    cln_tensor y;
    cln_graph *g = some_convs(&y);
    seen s;
    cln_tune_result r = tune(g, y, "stop.sqlite", NULL, &s, (cln_tune_options){.should_stop = stops});
    ck_assert(r.tuned == 1 && r.left == s.count - 1 && s.count > 3);
    cln_choices choices = load("stop.sqlite");
    ck_assert_int_eq(choices.count, 1);
    cln_choices_free(&choices);
    r = tune(g, y, "stop.sqlite", NULL, &s, (cln_tune_options){.budget_s = 1e-3});
    ck_assert(r.tuned == 0 && r.known == 1 && r.left == s.count);
    cln_graph_free(g);
}
END_TEST

START_TEST(a_worker_that_cannot_be_started) {
    cln_tensor y;
    cln_graph *g = one_conv(&y);
    char *path = path_of(run_root, "none.sqlite");
    cln_plan_options plan = {.loss = CLN_NO_TENSOR, .outputs = &y, .output_count = 1};
    cln_tune_job job = {g, &plan};
    cln_tune_result result;
    static const char *const absent[] = {"/none/clbench", "tune-worker", NULL}, *const deaf[] = {"/bin/true", NULL};
    ck_assert_int_eq(cln_tune(ctx, device, &job, 1, &(cln_tune_options){.path = path, .worker = absent}, &result),
                     CLN_IO);
    expect_message("cannot start '/none/clbench'");
    ok(cln_tune(ctx, device, &job, 1, &(cln_tune_options){.path = path, .worker = deaf}, &result));
    ck_assert(result.tuned == 0 && result.left == 1);
    free(path);
    cln_graph_free(g);
}
END_TEST

START_TEST(a_database_that_cannot_be_read_is_a_warning) {
    cln_choices choices = load("absent.sqlite");
    ck_assert_int_eq(choices.count, 0);
    expect_no_warning();
    file_write(run_root, "bad.sqlite", "this is no database at all", 26);
    choices = load("bad.sqlite");
    ck_assert_int_eq(choices.count, 0);
    expect_warning("kernels are used as if never tuned: ");
}
END_TEST

/* --- the programs --- */

static cln_choices recorded(const char *out) {
    char name[64];
    cln_safetensors *file;
    cln_choices choices;
    snprintf(name, sizeof name, "%s/resume.safetensors", out);
    char *path = path_of(run_root, name);
    ok(cln_safetensors_read(ctx, path, &file));
    const char *text = cln_safetensors_metadata(file, "choices");
    ck_assert_ptr_nonnull(text);
    ck_assert_int_eq(cln_choices_parse(text, &choices), CLN_OK);
    cln_safetensors_free(file);
    free(path);
    return choices;
}

/* A database with a choice against the rules for everything that has one. Returns how many. */
static int save_others(const char *database, const cln_choices *rules) {
    char *path = path_of(run_root, database), text[CLN_TUNING_KEY];
    cln_tuning *db;
    cln_tuning_record r = {.rule = "", .seconds = 1, .rule_seconds = 2};
    int count = 0;
    cln_tuning_key(device, text, &r);
    ok(cln_tuning_open(ctx, path, true, &db));
    for (int i = 0; i < rules->count; i++) {
        cln__trial t;
        char *candidates, *rest;
        ok(cln__trial_new(ctx, device, rules->of[i].signature, &t));
        ok(cln__trial_candidates(&t, &candidates));
        strtok_r(candidates, "\n", &rest);
        r.signature = rules->of[i].signature;
        r.candidate = strtok_r(NULL, "\n", &rest);
        if (r.candidate) {
            ok(cln_tuning_save(db, &r));
            count++;
        }
        free(candidates);
        cln__trial_free(&t);
    }
    cln_tuning_close(db);
    free(path);
    return count;
}

/* The database has other results when the run is resumed, and none when it is resumed again. */
START_TEST(a_resumed_run_uses_its_own_kernels) {
    run_well(RUN_FIT "--epochs 1 --no-tuning --out rules");
    cln_choices rules = recorded("rules");
    ck_assert_int_gt(rules.count, 3);
    int others = save_others("fit.sqlite", &rules), differ = 0;
    ck_assert_int_gt(others, 0);
    run_well(RUN_FIT "--epochs 3 --milestones 2 --tuning fit.sqlite --out whole");
    cln_choices used = recorded("whole");
    ck_assert_int_eq(used.count, rules.count);
    for (int i = 0; i < used.count; i++)
        differ += strcmp(used.of[i].candidate, rules.of[i].candidate) != 0;
    ck_assert_int_eq(differ, others);
    run_well(RUN_FIT "--epochs 1 --milestones 2 --tuning fit.sqlite --out cut");
    file_remove(run_root, "fit.sqlite");
    run_well(RUN_FIT "--epochs 2 --milestones 2 --no-tuning --out cut --resume last");
    run_well(RUN_FIT "--epochs 3 --milestones 2 --tuning fit.sqlite --out cut --resume last");
    ck_assert_msg(*run_errors == '\0', "%s", run_errors);
    runs_same("whole", "cut");
    run_well(RUN_FIT "--epochs 4 --milestones 2 --tuning none.sqlite --benchmark --out cut --resume last");
    ck_assert_ptr_nonnull(strstr(run_errors, "no kernels are measured: "));
    ck_assert_int_eq(run_all("", RUN_FIT "--budget 4"), 2);
    cln_choices_free(&rules);
    cln_choices_free(&used);
}
END_TEST

START_TEST(fit_benchmarks_first) {
    run_well(RUN_FIT "--epochs 1 --benchmark --budget 12 --tuning bench.sqlite --out bench");
    ck_assert_ptr_nonnull(strstr(run_output, "computations to measure, 0 known; at most 12 s"));
    cln_choices choices = load("bench.sqlite"), used = recorded("bench");
    ck_assert_int_gt(choices.count, 0);
    for (int i = 0; i < choices.count; i++)
        for (int k = 0; k < used.count; k++)
            if (strcmp(choices.of[i].signature, used.of[k].signature) == 0)
                ck_assert_str_eq(choices.of[i].candidate, used.of[k].candidate);
    cln_choices_free(&choices);
    cln_choices_free(&used);
    ck_assert_int_eq(run_all("", RUN_FIT "--benchmark --no-tuning"), 2);
}
END_TEST

/* clbench tune with `arguments` in the folder of the databases; its exit status. */
static int bench(const char *arguments) {
    char command[2048];
    int length = snprintf(command, sizeof command, "cd '%s' && '%s/clbench' tune %s >output 2>errors", run_root,
                          getenv("CLNET_BIN_DIR"), arguments);
    ck_assert_int_lt(length, (int)sizeof command);
    int status = system(command);
    return WEXITSTATUS(status);
}

START_TEST(clbench_tunes_lists_and_exchanges) {
    static const char conv[] = "--model ResNet --hparams '" TINY_HPARAMS "' --batch-size 2 --tuning cli.sqlite ";
    char arguments[512];
    snprintf(arguments, sizeof arguments, "%s --budget 12", conv);
    ck_assert_int_eq(bench(arguments), 0);
    cln_choices choices = load("cli.sqlite"), copied;
    ck_assert_int_gt(choices.count, 0);
    ck_assert_int_eq(bench("--tuning cli.sqlite --export cli.json"), 0);
    ck_assert_int_eq(bench("--tuning copy.sqlite --import cli.json --list"), 0);
    copied = load("copy.sqlite");
    ck_assert_int_eq(copied.count, choices.count);
    ck_assert_int_eq(bench("--tuning absent.sqlite --list"), 0);
    ck_assert_int_eq(bench("--tuning absent.sqlite --export -"), 4);
    ck_assert_int_eq(bench("--tuning copy.sqlite --import absent.json"), 4);
    ck_assert_int_eq(bench("--tuning copy.sqlite --import copy.sqlite"), 4); /* has zeros: no text */
    ck_assert_int_eq(bench("--tuning cli.json --list"), 3);
    ck_assert_int_eq(bench("--model ResNet --list"), 2);
    ck_assert_int_eq(bench(""), 2);
    cln_choices_free(&choices);
    cln_choices_free(&copied);
}
END_TEST

static void add_tests(TCase *tests) {
    if (!suite_has_programs())
        return;
    run_fixture(tests);
    tcase_add_test(tests, results_are_saved_and_known);
    tcase_add_loop_test(tests, a_candidate_that_fails_is_lost_alone, 0, sizeof faults / sizeof *faults);
    tcase_add_test(tests, what_the_rules_choose_may_fail);
    tcase_add_loop_test(tests, what_is_not_confirmed_is_not_preferred, 0, sizeof scripts / sizeof *scripts);
    tcase_add_test(tests, time_and_requests_to_stop_are_kept);
    tcase_add_test(tests, a_worker_that_cannot_be_started);
    tcase_add_test(tests, a_database_that_cannot_be_read_is_a_warning);
    tcase_add_test(tests, a_resumed_run_uses_its_own_kernels);
    tcase_add_test(tests, fit_benchmarks_first);
    tcase_add_test(tests, clbench_tunes_lists_and_exchanges);
}

int main(void) {
    return suite_run_on_device("tuning", add_tests);
}
