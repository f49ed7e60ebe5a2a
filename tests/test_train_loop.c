/* What happens around the training steps: early stopping, limits, trial runs, a look at validation before training, and
 * at gradients and weights after each step. */
#include "../src/train/trainer.h"
#include "clnet/models.h"
#include "files.h"
#include "suite.h"
#include "tiny.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_EPOCHS = 64 };

static char *data, *out; /* folders */
static void *hparams;

/* What a run told of, by epoch from 1. */
typedef struct seen {
    int epochs, stops_early;
    int64_t training_steps, steps[MAX_EPOCHS + 1];
    int64_t validated[MAX_EPOCHS + 1]; /* images */
    double accuracy[MAX_EPOCHS + 1], loss[MAX_EPOCHS + 1], train_loss[MAX_EPOCHS + 1];
    cln_score sanity;
} seen;

static void watch(void *user, const cln_fit_event *e) {
    seen *s = user;
    if (e->stage == CLN_FIT_READY)
        s->sanity = e->sanity;
    s->training_steps += e->stage == CLN_FIT_STEP;
    if (e->stage != CLN_FIT_EPOCH)
        return;
    ck_assert_int_eq(e->epoch, ++s->epochs);
    s->steps[e->epoch] = e->step;
    s->validated[e->epoch] = e->validation.count;
    s->accuracy[e->epoch] = e->validation.accuracy;
    s->loss[e->epoch] = e->validation.loss;
    s->train_loss[e->epoch] = e->train_loss;
    s->stops_early += e->stopping.now;
}

/* 100 images train in 6 batches of 16, 20 validate in 2, 30 test in 2. */
static cln_fit_options tiny_options(seen *s) {
    cln_fit_options o = {.model = cln_model_find("ResNet"), .data = data, .out = out, .seed = 42, .validation = 20};
    o.hparams = hparams;
    o.recipe = *o.model->recipe;
    o.recipe.epochs = 3;
    o.recipe.batch_size = 16;
    o.recipe.milestones.count = 0;
    o.on_event = watch;
    o.user = s;
    *s = (seen){0};
    return o;
}

static cln_fit_result fit(const cln_fit_options *o) {
    cln_fit_result result;
    folder_empty(out);
    ok(cln_fit(ctx, device, o, &result));
    return result;
}

static void fails(const cln_fit_options *o, cln_status expected, const char *message) {
    cln_fit_result result;
    folder_empty(out);
    cln_status status = cln_fit(ctx, device, o, &result);
    ck_assert_msg(status == expected, "status %d: %s", (int)status, cln_context_error(ctx));
    expect_message(message);
}

/* What is told of the time that is left, by a run whose first update takes SLOW_S longer than others. */
enum { SLOW_S = 2 };
typedef struct timed {
    int64_t steps;
    double left[32]; /* after step 1, 2, ... */
    bool slept;
} timed;

static void watch_time(void *user, const cln_fit_event *e) {
    timed *s = user;
    if (e->stage == CLN_FIT_STEP)
        s->left[s->steps++] = e->seconds_left;
}

/* Asked after the run has begun to count. */
static bool sleep_once(void *user) {
    timed *s = user;
    if (!s->slept)
        nanosleep(&(struct timespec){.tv_sec = SLOW_S}, NULL);
    s->slept = true;
    return false;
}

START_TEST(the_first_update_says_nothing_of_the_time_left) {
    seen unused;
    timed s = {.steps = 0};
    cln_fit_options o = tiny_options(&unused);
    int accumulate = _i ? 3 : 1;
    o.recipe.optimizer.accumulate = accumulate;
    o.on_event = watch_time;
    o.should_stop = sleep_once;
    o.user = &s;
    fit(&o);
    ck_assert_int_eq(s.steps, 18);
    for (int i = 0; i < 18; i++)
        if (i < accumulate)
            ck_assert(isnan(s.left[i]));
        else
            ck_assert_msg(s.left[i] < SLOW_S, "after step %d: %g s", i + 1, s.left[i]);
}
END_TEST

/* Lightning's rule, on the scores that were told. */
static int stop_of(const seen *s, const double *score, bool lowest, int patience, double min_delta) {
    double best = lowest ? HUGE_VAL : -HUGE_VAL;
    for (int epoch = 1, waited = 0; epoch <= s->epochs; epoch++) {
        bool better = lowest ? score[epoch] + min_delta < best : score[epoch] - min_delta > best;
        best = better ? score[epoch] : best;
        waited = better ? 0 : waited + 1;
        if (waited >= patience)
            return epoch;
    }
    return 0;
}

START_TEST(stops_early) {
    static const struct {
        cln_monitor monitor;
        int patience;
        double min_delta;
    } cases[] = {{CLN_MONITOR_DEFAULT, 1, 0},
                 {CLN_MONITOR_VAL_ACC, 3, 0.1},
                 {CLN_MONITOR_VAL_LOSS, 2, 0.02},
                 {CLN_MONITOR_TRAIN_LOSS, 2, 0.2}};
    seen s;
    cln_fit_options o = tiny_options(&s);
    o.recipe.epochs = MAX_EPOCHS;
    o.monitor = cases[_i].monitor;
    o.patience = cases[_i].patience;
    o.min_delta = cases[_i].min_delta;
    cln_fit_result r = fit(&o);
    bool lowest = o.monitor == CLN_MONITOR_VAL_LOSS || o.monitor == CLN_MONITOR_TRAIN_LOSS;
    const double *score = o.monitor == CLN_MONITOR_VAL_LOSS     ? s.loss
                          : o.monitor == CLN_MONITOR_TRAIN_LOSS ? s.train_loss
                                                                : s.accuracy;
    ck_assert_int_lt(s.epochs, MAX_EPOCHS);
    ck_assert_int_eq(stop_of(&s, score, lowest, o.patience, o.min_delta), s.epochs);
    ck_assert_int_eq(s.stops_early, 1);
    ck_assert(r.stopped_early && !r.stopped);
    ck_assert_int_eq(r.epochs, s.epochs);
    ck_assert_int_eq(r.test.count, TINY_TEST);
}
END_TEST

START_TEST(patience_needs_scores) {
    seen s;
    cln_fit_options o = tiny_options(&s);
    o.validation = 0;
    o.patience = 2;
    fails(&o, CLN_INVALID_ARGUMENT, "early stopping by val_acc: no images are held back");
    o.patience = -1;
    fails(&o, CLN_INVALID_ARGUMENT, "patience -1");
}
END_TEST

START_TEST(limits) {
    seen s;
    cln_fit_options o = tiny_options(&s);
    o.limit_train_batches = 0.5;
    o.limit_val_batches = 1;
    o.limit_test_batches = 0.01; /* at least one */
    cln_fit_result r = fit(&o);
    ck_assert_int_eq(s.training_steps, 3 * 3);
    ck_assert_int_eq(s.validated[1], 16);
    ck_assert_int_eq(r.test.count, 16);
    o = tiny_options(&s);
    o.limit_train_batches = 100;
    o.limit_val_batches = o.limit_test_batches = -1;
    r = fit(&o);
    ck_assert_int_eq(s.training_steps, 3 * 6);
    ck_assert_int_eq(s.validated[3], 0);
    ck_assert_int_eq(r.test.count, 0);
    ck_assert_int_eq(r.best_epoch, 3);
    o.limit_train_batches = -1;
    fails(&o, CLN_INVALID_ARGUMENT, "limited to -1 batches");
}
END_TEST

START_TEST(steps_and_validations) {
    seen s;
    cln_fit_options o = tiny_options(&s);
    o.recipe.epochs = 10;
    o.max_steps = 27;
    o.check_val_every_n_epoch = 2;
    cln_fit_result r = fit(&o);
    ck_assert_int_eq(s.training_steps, 27);
    ck_assert_int_eq(r.epochs, 5);
    ck_assert_int_eq(s.steps[4], 6);
    ck_assert_int_eq(s.steps[5], 3);
    for (int epoch = 1; epoch <= 5; epoch++)
        ck_assert_int_eq(s.validated[epoch], epoch % 2 ? 0 : 20);
    ck_assert(r.best_epoch == 2 || r.best_epoch == 4);
    o = tiny_options(&s);
    o.max_steps = 1000;
    ck_assert_int_eq(fit(&o).epochs, 3);
}
END_TEST

/* The same images in each epoch: without augmentation's chance to help, they are learnt by heart. */
START_TEST(overfits) {
    seen s;
    cln_fit_options o = tiny_options(&s);
    o.recipe.epochs = 40;
    o.recipe.learning_rate = 0.03f;
    o.overfit_batches = 1;
    fit(&o);
    ck_assert_int_eq(s.training_steps, 40);
    ck_assert_int_eq(s.validated[1], 16);
    ck_assert_msg(s.train_loss[40] < 0.5 * s.train_loss[1], "%g, then %g", s.train_loss[1], s.train_loss[40]);
}
END_TEST

START_TEST(a_trial_run_writes_nothing) {
    char *folder = path_of(data, "nothing");
    seen s;
    cln_fit_options o = tiny_options(&s);
    o.out = folder;
    o.fast_dev_run = 2;
    o.limit_train_batches = 5;
    o.max_steps = 1;
    o.sanity_val_steps = 2;
    cln_fit_result r = fit(&o);
    ck_assert_int_eq(s.epochs, 1);
    ck_assert_int_eq(s.training_steps, 2);
    ck_assert_int_eq(s.validated[1], 20);
    ck_assert_int_eq(s.sanity.count, 0);
    ck_assert_int_eq(r.test.count, TINY_TEST);
    ck_assert(!r.best_saved);
    ck_assert_int_ne(access(folder, F_OK), 0);
    free(folder);
}
END_TEST

static char *read_weights(size_t *size) {
    char *path = path_of(out, "last.safetensors"), *bytes = malloc(1 << 20);
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    *size = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    free(path);
    return bytes;
}

/* Neither a look beforehand nor one after each step changes a bit. */
START_TEST(looking_changes_nothing) {
    seen s;
    size_t a_size, b_size;
    cln_fit_options o = tiny_options(&s);
    fit(&o);
    char *a = read_weights(&a_size);
    o = tiny_options(&s);
    o.sanity_val_steps = 1;
    o.detect_anomaly = true;
    fit(&o);
    ck_assert_int_eq(s.sanity.count, 16);
    ck_assert(isfinite(s.sanity.loss) && s.sanity.loss > 0);
    o = tiny_options(&s);
    o.sanity_val_steps = -1;
    fit(&o);
    ck_assert_int_eq(s.sanity.count, 20);
    char *b = read_weights(&b_size);
    ck_assert(a_size == b_size && memcmp(a, b, a_size) == 0);
    free(a);
    free(b);
}
END_TEST

/* --- profiles --- */

START_TEST(a_profile_tells_where_time_goes) {
    seen s;
    size_t a_size, b_size;
    static cln_fit_profile profile;
    cln_fit_options o = tiny_options(&s);
    o.recipe.lr_scheduler = CLN_LR_ONECYCLE;
    fit(&o);
    char *a = read_weights(&a_size);
    o = tiny_options(&s);
    o.recipe.lr_scheduler = CLN_LR_ONECYCLE;
    o.profile = &profile;
    o.sanity_val_steps = 1;
    double start_s = cln__now_s();
    fit(&o);
    double seconds = cln__now_s() - start_s, sum = 0;
    char *b = read_weights(&b_size);
    ck_assert(a_size == b_size && memcmp(a, b, a_size) == 0);
    for (int i = 0; i < CLN_PHASE_COUNT; i++) {
        ck_assert_msg(profile.phase_s[i] > 0, "%s", cln_phase_name((cln_phase)i));
        sum += profile.phase_s[i];
    }
    ck_assert_msg(sum <= seconds && sum > 0.5 * seconds, "%g of %g s", sum, seconds);
    ck_assert_int_eq(profile.timed_steps, 5);
    double kernels = 0;
    int launches = 0;
    for (int i = 0; i < profile.op_count; i++) {
        kernels += profile.ops[i].seconds;
        launches += profile.ops[i].launches;
        if (i > 0)
            ck_assert_double_le(profile.ops[i].seconds, profile.ops[i - 1].seconds);
    }
    ck_assert_double_eq_tol(kernels, profile.kernels_s, 1e-9);
    ck_assert_int_eq(launches % 5, 0);
    free(a);
    free(b);

    /* The trace: every kernel of the timed steps, and the phases. */
    char *path = path_of(out, "trace.json"), *text = calloc(1, 1 << 22);
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_gt(fread(text, 1, (1 << 22) - 1, file), 0);
    fclose(file);
    cJSON *trace = cJSON_Parse(text), *event;
    ck_assert_ptr_nonnull(trace);
    int on_device = 0, steps = 0;
    cJSON_ArrayForEach(event, cJSON_GetObjectItem(trace, "traceEvents")) {
        const char *phase = cJSON_GetStringValue(cJSON_GetObjectItem(event, "ph"));
        if (strcmp(phase, "X") != 0)
            continue;
        ck_assert_double_ge(cJSON_GetNumberValue(cJSON_GetObjectItem(event, "ts")), 0);
        ck_assert_double_ge(cJSON_GetNumberValue(cJSON_GetObjectItem(event, "dur")), 0);
        on_device += cJSON_GetNumberValue(cJSON_GetObjectItem(event, "tid")) == 2;
        steps += strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(event, "name")), "training steps") == 0;
    }
    ck_assert_int_eq(on_device, launches);
    ck_assert_int_ge(steps, 18);
    cJSON_Delete(trace);
    free(text);
    remove(path);
    free(path);
}
END_TEST

/* --- anomalies --- */

static cln_tensor build_linear(cln_graph *g, cln_tensor x, const void *unused) {
    (void)unused;
    return cln_linear(g, cln_flatten(g, x), "only", 10);
}

static const cln_recipe steep_recipe = {
    .optimizer = {.kind = CLN_SGD}, .learning_rate = 3e38f, .gamma = 1, .epochs = 1, .batch_size = 16};
static const cln_model steep = {.name = "Steep", .description = "", .recipe = &steep_recipe, .build = build_linear};

/* Inputs of 1000 give gradients above 1, and these times the learning rate infinite weights in step 1, whose loss is
 * finite; only that of step 2 would tell. */
START_TEST(an_anomaly_is_named) {
    seen s;
    cln_fit_options o = tiny_options(&s);
    o.model = &steep;
    o.hparams = NULL;
    o.recipe = steep_recipe;
    o.normalize = "0,0,0/0.001,0.001,0.001";
    fails(&o, CLN_DIVERGED, "in epoch 1, step 2 of 6");
    o.detect_anomaly = true;
    fails(&o, CLN_DIVERGED, "an anomaly in epoch 1, step 1 of 6 (learning rate 3e+38): the loss is finite, but 'only.");
    /* Where no step follows, the weights are looked at. */
    o.detect_anomaly = false;
    o.limit_train_batches = 1;
    fails(&o, CLN_DIVERGED, "after epoch 1, step 1 of 1 (learning rate 3e+38) 'only.");
    char warning[256];
    while (cln_context_take_warning(ctx, warning, sizeof warning)) /* of the normalisation */
        ;
}
END_TEST

static void set_up(void) {
    data = folder_new();
    out = folder_new();
    tiny_write(data);
    ok(cln_hparams_new(ctx, cln_model_find("ResNet"), "{\"num_blocks\": [1], \"c_hidden\": [8]}", &hparams));
}

static void tear_down(void) {
    free(hparams);
    folder_remove(data);
    folder_remove(out);
}

static void add_tests(TCase *tests) {
    tcase_add_unchecked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, the_first_update_says_nothing_of_the_time_left, 0, 2);
    tcase_add_loop_test(tests, stops_early, 0, 4);
    tcase_add_test(tests, patience_needs_scores);
    tcase_add_test(tests, limits);
    tcase_add_test(tests, steps_and_validations);
    tcase_add_test(tests, overfits);
    tcase_add_test(tests, a_trial_run_writes_nothing);
    tcase_add_test(tests, looking_changes_nothing);
    tcase_add_test(tests, a_profile_tells_where_time_goes);
    tcase_add_test(tests, an_anomaly_is_named);
}

int main(void) {
    return suite_run_on_device("train_loop", add_tests);
}
