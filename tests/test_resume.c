/* Runs that are interrupted and gone on with end as if nothing had happened. */
#include "clnet/models.h"
#include "files.h"
#include "runs.h"
#include "suite.h"
#include "tiny.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whether tensor `name` has the same bytes in both files. */
static bool same_tensor(const char *a, const char *b, const char *name) {
    const char *const files[2] = {a, b};
    cln_safetensors *opened[2];
    const cln_file_tensor *t[2];
    for (int i = 0; i < 2; i++) {
        char *path = path_of(run_root, files[i]);
        ok(cln_safetensors_read(ctx, path, &opened[i]));
        t[i] = cln_safetensors_find(opened[i], name);
        ck_assert_msg(t[i] && t[i]->dtype == CLN_F32, "%s: no %s", files[i], name);
        free(path);
    }
    bool same = t[0]->count == t[1]->count && memcmp(t[0]->data, t[1]->data, (size_t)t[0]->count * 4) == 0;
    for (int i = 0; i < 2; i++)
        cln_safetensors_free(opened[i]);
    return same;
}

/* The network of RUN_FIT for the 100 classes of other/. */
#define OTHER_CLASSES                                                                                                  \
    "fit --model ResNet --hparams '{\"num_blocks\": [1], \"c_hidden\": [8]}' --data other --batch-size 16 "            \
    "--val-split 20 "

/* --- interruptions --- */

START_TEST(killed_with_sgd) {
    runs_kill("sgd", "--epochs 10 --save-every 0.02 --milestones 4,7", 6, 1);
}
END_TEST

/* What excludes options of killed_with_everything. */
START_TEST(killed_with_adamw) {
    runs_kill("adamw",
              "--epochs 8 --optimizer adamw --lr-scheduler cosine --min-lr 1e-5 --warmup-epochs 2 --overfit-batches 4 "
              "--gradient-clip-val 0.01 --gradient-clip-algorithm value --save-top-k 3 --monitor val_loss "
              "--no-save-last --normalize dataset --workers 0",
              4, 2);
}
END_TEST

/* All options that go together. Updates are of several steps, so the run is left between two of them only; the weights
 * are of another number of classes, a part of them frozen; the last epoch is cut short. */
START_TEST(killed_with_everything) {
    char indices[4 * TINY_TRAIN + 1] = "";
    for (int i = 0, at = 0; i < TINY_TRAIN; i++)
        at += sprintf(indices + at, "%d ", i * 7 % TINY_TRAIN);
    file_write(run_root, "indices.txt", indices, strlen(indices));
    run_well(OTHER_CLASSES "--epochs 1 --out pre");
    runs_kill("all",
              "--epochs 20 --max-steps 39 --save-every 0.001 --init-weights pre/best.safetensors "
              "--freeze 'input_net.*,*.net.1.*' --lr-scheduler onecycle --warmup-steps 3 --nesterov "
              "--no-cycle-momentum --accumulate-grad-batches 4 --gradient-clip-val 0.5 --no-weight-decay-norm-bias "
              "--label-smoothing 0.1 --model-ema --model-ema-decay 0.9 --model-ema-warmup "
              "--hflip 0.3 --scale 0.5,1 --ratio 0.8,1.2 --random-crop-padding 4 --padding-mode reflect "
              "--color-jitter 0.4,0.4,0.4,0.1 --cutout 8 --reprob 0.5 --mixup 0.4 --cutmix 1 "
              "--patience 9 --min-delta 0.01 --monitor val_loss --save-top-k 2 --limit-train-batches 0.9 "
              "--limit-val-batches 1 --limit-test-batches 0.5 --check-val-every-n-epoch 2 --num-sanity-val-steps 1 "
              "--split-indices indices.txt --detect-anomaly --profiler --json-lines",
              9, 3);
    ck_assert(same_tensor("pre/best.safetensors", "all-whole/resume.safetensors", "input_net.0.weight"));
    ck_assert(same_tensor("pre/best.safetensors", "all-whole/last.safetensors", "input_net.0.weight"));
    ck_assert(same_tensor("pre/best.safetensors", "all-whole/last.safetensors", "blocks.0.net.1.bias"));
    ck_assert(!same_tensor("pre/best.safetensors", "all-whole/last.safetensors", "blocks.0.net.0.weight"));
    ck_assert(!same_tensor("pre/best.safetensors", "all-whole/last.safetensors", "input_net.1.running_mean"));
}
END_TEST

/* What a run began with belongs to it; the file itself is not needed to go on. */
START_TEST(first_weights_belong_to_the_run) {
    run_well(OTHER_CLASSES "--epochs 1 --out first");
    run_well(OTHER_CLASSES "--epochs 1 --seed 43 --out second");
    run_well(RUN_FIT "--epochs 1 --milestones 1 --init-weights first/last.safetensors --out from");
    ck_assert_ptr_nonnull(strstr(run_output, "weights: 15 of 17 tensors from 'first/last.safetensors'; left as they "
                                             "were: output_net.2.weight (10x8 here, 100x8 there)"));
    run_fails(RUN_FIT "--epochs 2 --milestones 1 --init-weights second/last.safetensors --out from --resume last", 2,
              "its run has init_weights 'checksum' \"");
    run_fails(RUN_FIT "--epochs 2 --milestones 1 --out from --resume last", 2,
              "its run has init_weights {\"checksum\":");
    run_fails(RUN_FIT "--epochs 2 --milestones 1 --freeze '*.bias' --init-weights first/last.safetensors --out from "
                      "--resume last",
              2, "recipe 'freeze' none, this one \"*.bias\"");
    char *path = path_of(run_root, "first/last.safetensors");
    ck_assert_int_eq(unlink(path), 0);
    free(path);
    run_well(RUN_FIT "--epochs 2 --milestones 1 --init-weights first/last.safetensors --out from --resume last");
    ck_assert_ptr_null(strstr(run_output, "weights: "));
}
END_TEST

/* The signal comes in mid-epoch; the command that is printed then goes on. */
static void interrupt(const char *name, int number, int expected) {
    char arguments[1024], folder[64];
    snprintf(arguments, sizeof arguments, RUN_FIT "--epochs 40 --out %s", name);
    run r = run_start("", arguments);
    ck_assert_msg(run_prints(&r, "ready after"), "%s", run_errors);
    run_signal(&r, number);
    ck_assert_int_eq(run_end(&r), expected);
    ck_assert_ptr_nonnull(strstr(run_errors, "stopping after this step"));
    ck_assert_ptr_nonnull(strstr(run_output, "of 40 epochs are complete. To go on:\n"));
    char *command = strstr(run_output, "To go on:\n") + strlen("To go on:\n"), program[1024];
    snprintf(program, sizeof program, "%s/cltrain ", getenv("CLNET_BIN_DIR"));
    ck_assert_msg(strncmp(command, program, strlen(program)) == 0, "%s", command);
    snprintf(arguments, sizeof arguments, "%s", command + strlen(program));
    arguments[strcspn(arguments, "\n")] = '\0';
    run_well(arguments);
    snprintf(folder, sizeof folder, "%s", name);
    runs_same("whole40", folder);
}

START_TEST(interrupted) {
    if (!run_has("whole40"))
        run_well(RUN_FIT "--epochs 40 --out whole40");
    interrupt("sigint", SIGINT, 130);
    interrupt("sigterm", SIGTERM, 143);
}
END_TEST

START_TEST(second_interrupt_ends_at_once) {
    run r = run_start("", RUN_FIT "--epochs 1000000 --out twice");
    ck_assert(run_prints(&r, "preparing"));
    run_signal(&r, SIGTERM);
    ck_assert(run_prints(&r, "stopping after this step"));
    run_signal(&r, SIGINT);
    int status = run_end(&r);
    ck_assert_msg(status == -SIGINT || status == 143, "status %d", status); /* 143: it was already done */
}
END_TEST

START_TEST(more_epochs_with_the_same_milestones) {
    run_well(RUN_FIT "--epochs 4 --milestones 2 --save-top-k 0 --out longer-whole");
    run_well(RUN_FIT "--epochs 2 --milestones 2 --save-top-k 0 --out longer");
    run_well(RUN_FIT "--epochs 4 --milestones 2 --save-top-k 0 --resume longer");
    runs_same("longer-whole", "longer");
    /* A run that is complete is only tested. */
    run_well(RUN_FIT "--epochs 4 --milestones 2 --save-top-k 0 --resume longer/resume.safetensors");
    ck_assert_ptr_null(strstr(run_output, "epoch 4/4  lr"));
    ck_assert_ptr_nonnull(strstr(run_output, "weights of epoch 4 of 4"));
    runs_same("longer-whole", "longer");
}
END_TEST

START_TEST(more_epochs_would_change_a_cosine) {
    run_well(RUN_FIT "--epochs 1 --lr-scheduler cosine --out wave");
    run_fails(RUN_FIT "--epochs 2 --lr-scheduler cosine --resume wave", 2,
              "recipe 'epochs' 1, this one 2 (there may be more only where");
}
END_TEST

/* A run that stopped early goes on with the test only; one that was stopped before counts on from where it was. */
START_TEST(an_early_stop_is_final) {
    run_well(RUN_FIT "--epochs 40 --patience 2 --monitor val_loss --min-delta 0.3 --out early");
    ck_assert_ptr_nonnull(strstr(run_output, "early stopping: val_loss has not improved enough on the "));
    run_well(RUN_FIT "--epochs 40 --patience 2 --monitor val_loss --min-delta 0.3 --resume early");
    ck_assert_ptr_null(strstr(run_output, "/40  lr"));
    ck_assert_ptr_nonnull(strstr(run_output, "weights of epoch "));
    run_fails(RUN_FIT "--epochs 40 --patience 3 --monitor val_loss --min-delta 0.3 --resume early", 2,
              "monitor 'patience' 2, this one 3");
    run_fails(RUN_FIT "--epochs 40 --patience 2 --monitor val_loss --min-delta 0.2 --resume early", 2,
              "monitor 'min_delta' 0.3, this one 0.2");
}
END_TEST

START_TEST(nothing_to_resume_begins) {
    run_well(RUN_FIT "--epochs 1 --out nothing --resume last");
    ck_assert_ptr_nonnull(strstr(run_errors, "warning: there is nothing to resume in 'nothing'"));
    run_fails(RUN_FIT "--epochs 1 --out nothing2 --resume nothing2/resume.safetensors", 4,
              "nothing2/resume.safetensors");
}
END_TEST

/* --- through the library: a network with dropout, stopped after any step --- */

static cln_tensor build(cln_graph *g, cln_tensor x, const void *hparams) {
    (void)hparams;
    const cln_conv2d_options conv = {.out_channels = 8, .kernel_h = 3, .kernel_w = 3, .padding = 1};
    x = cln_activate(g, cln_conv2d(g, x, "0", &conv), CLN_RELU);
    x = cln_dropout(g, cln_flatten(g, cln_global_avgpool(g, x)), 0.5f);
    return cln_linear(g, x, "1", 10);
}

static const cln_recipe recipe = {
    .optimizer = {.kind = CLN_ADAM}, .learning_rate = 1e-2f, .gamma = 1, .epochs = 2, .batch_size = 20};
static const cln_model model = {.name = "Dropout", .description = "", .recipe = &recipe, .build = build};

typedef struct counter {
    int steps, stop; /* how many were told of; after how many to stop */
} counter;

static void count(void *user, const cln_fit_event *event) {
    ((counter *)user)->steps += event->stage == CLN_FIT_STEP;
}

static bool is_enough(void *user) {
    const counter *c = user;
    return c->steps >= c->stop;
}

static int steps_made; /* by the last fit */

static cln_fit_result fit(const char *name, const char *resume, int steps, int accumulate) {
    char *data = path_of(run_root, "data"), *out = path_of(run_root, name),
         *state = resume ? path_of(run_root, resume) : NULL;
    counter c = {.stop = steps};
    cln_fit_result result;
    cln_fit_options o = {.model = &model,
                         .recipe = recipe,
                         .data = data,
                         .validation = 20,
                         .seed = 7,
                         .out = out,
                         .resume = state,
                         .on_event = count,
                         .should_stop = is_enough,
                         .user = &c};
    o.recipe.optimizer.accumulate = accumulate;
    ok(cln_fit(ctx, device, &o, &result));
    steps_made = c.steps;
    free(data);
    free(out);
    free(state);
    return result;
}

/* No step is made twice. Dropout draws by steps, which are not the updates where 1 + _i of them make one. */
START_TEST(stopped_after_any_step_with_dropout) {
    char whole[32];
    snprintf(whole, sizeof whole, "dropout-whole-%d", _i);
    fit(whole, NULL, 1000, 1 + _i);
    int all = steps_made;
    for (int steps = 0; steps <= 10; steps++) {
        char name[32], state[64];
        snprintf(name, sizeof name, "dropout-%d-%d", _i, steps);
        snprintf(state, sizeof state, "%s/resume.safetensors", name);
        cln_fit_result r = fit(name, NULL, steps, 1 + _i);
        ck_assert(r.stopped);
        ck_assert_int_le(r.epochs, 2);
        int made = steps_made;
        r = fit(name, state, 1000, 1 + _i);
        ck_assert_int_eq(made + steps_made, all);
        ck_assert(!r.stopped);
        ck_assert_int_eq(r.epochs, 2);
        runs_same(whole, name);
        expect_no_warning();
    }
}
END_TEST

/* --- the suite --- */

/* In the layout of CIFAR-100: two labels an image. */
static void write_other(void) {
    enum { RECORD = 3074 };
    static unsigned char records[TINY_TRAIN * RECORD];
    char *other = path_of(run_root, "other");
    folder_make(run_root, "other");
    for (int i = 0; i < TINY_TRAIN * RECORD; i++)
        records[i] = (unsigned char)(i % RECORD == 0 ? 0 : i % RECORD == 1 ? i % 100 : i * 7 % 251);
    file_write(other, "train.bin", records, sizeof records);
    file_write(other, "test.bin", records, (size_t)TINY_TEST * RECORD);
    free(other);
}

static void add_tests(TCase *tests) {
    if (!suite_has_programs())
        return;
    run_fixture(tests);
    tcase_add_unchecked_fixture(tests, write_other, NULL);
    tcase_add_test(tests, killed_with_sgd);
    tcase_add_test(tests, killed_with_adamw);
    tcase_add_test(tests, killed_with_everything);
    tcase_add_test(tests, first_weights_belong_to_the_run);
    tcase_add_test(tests, an_early_stop_is_final);
    tcase_add_test(tests, interrupted);
    tcase_add_test(tests, second_interrupt_ends_at_once);
    tcase_add_test(tests, more_epochs_with_the_same_milestones);
    tcase_add_test(tests, more_epochs_would_change_a_cosine);
    tcase_add_test(tests, nothing_to_resume_begins);
    tcase_add_loop_test(tests, stopped_after_any_step_with_dropout, 0, 2);
}

int main(void) {
    return suite_run_on_device("resume", add_tests);
}
