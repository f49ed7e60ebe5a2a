/* The optimisers on a device: against the recipe in double precision. */
#include "trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The recipe, from the device's own gradients: one step on one parameter tensor. */
static void naive_update(const cln_optimizer *o, int64_t t, double rate, int64_t count, const double *g, double *w,
                         double *m, double *v) {
    double beta1 = o->beta1 != 0 ? o->beta1 : 0.9f, beta2 = o->beta2 != 0 ? o->beta2 : 0.999f;
    double eps = o->eps != 0 ? o->eps : 1e-8;
    for (int64_t i = 0; i < count; i++) {
        double gradient = g[i] + (o->kind == CLN_ADAMW ? 0 : o->weight_decay * w[i]);
        if (o->kind == CLN_SGD) {
            m[i] = t == 1 ? gradient : o->momentum * m[i] + gradient;
            w[i] -= rate * (o->nesterov ? gradient + o->momentum * m[i] : m[i]);
            continue;
        }
        m[i] = beta1 * m[i] + (1 - beta1) * gradient;
        v[i] = beta2 * v[i] + (1 - beta2) * gradient * gradient;
        double decay = o->kind == CLN_ADAMW ? rate * o->weight_decay * w[i] : 0;
        w[i] -= decay + rate * m[i] / (1 - pow(beta1, (double)t)) / (sqrt(v[i] / (1 - pow(beta2, (double)t))) + eps);
    }
}

/* A network of one linear layer over 8 + 12 + 5 features: padding and gaps within the weight. */
enum { ROWS = 6, FEATURES = GAPPED_CHANNELS, CLASSES = 7 };

static trial begin_learning(const cln_optimizer *o) {
    static const int32_t labels[ROWS] = {0, 3, 6, 2, 5, 1};
    trial t = trial_begin();
    cln_tensor logits = cln_linear(t.g, trial_input(&t, (cln_shape){ROWS, FEATURES, 1, 1})->whole, "head", CLASSES);
    cln_tensor loss = cln_softmax_ce(t.g, logits, trial_labels(&t, labels, ROWS), 0);
    trial_build(
        &t, &(cln_plan_options){.training = true, .loss = loss, .optimizer = *o, .outputs = &loss, .output_count = 1});
    return t;
}

/* What follows one network: its two parameters, and the gradients that count for the next update. */
enum { PARAMETERS = 2 };
typedef struct twin {
    double *w, *m, *v, *g;
} twin;

static const char *const names[PARAMETERS] = {"head.weight", "head.bias"};
static const int64_t counts[PARAMETERS] = {CLASSES * FEATURES, CLASSES};

static void begin_twins(trial *t, twin *twins) {
    for (int p = 0; p < PARAMETERS; p++) {
        float *w = trial_weight(t, names[p], CLN_VALUE);
        twins[p] = (twin){zeros(counts[p]), zeros(counts[p]), zeros(counts[p]), zeros(counts[p])};
        for (int64_t i = 0; i < counts[p]; i++)
            twins[p].w[i] = w[i];
        free(w);
    }
}

static void end_twins(twin *twins) {
    for (int p = 0; p < PARAMETERS; p++) {
        free(twins[p].w);
        free(twins[p].m);
        free(twins[p].v);
        free(twins[p].g);
    }
}

/* Adds the device's own gradients. */
static void add_gradients(trial *t, twin *twins, double share) {
    for (int p = 0; p < PARAMETERS; p++) {
        float *g = trial_weight(t, names[p], CLN_GRADIENT);
        for (int64_t i = 0; i < counts[p]; i++)
            twins[p].g[i] += share * g[i];
        free(g);
    }
}

/* clip_grad_norm_ and clip_grad_value_. */
static void clip(const cln_optimizer *o, twin *twins) {
    double norm = 0, limit = o->clip;
    for (int p = 0; p < PARAMETERS; p++)
        for (int64_t i = 0; i < counts[p]; i++)
            norm += twins[p].g[i] * twins[p].g[i];
    double scale = fmin(1, limit / (sqrt(norm) + 1e-6));
    ck_assert(limit == 0 || limit > 50 || o->clip_kind == CLN_CLIP_VALUE || scale < 1); /* or nothing is tested */
    for (int p = 0; p < PARAMETERS && limit > 0; p++)
        for (int64_t i = 0; i < counts[p]; i++) {
            double *g = &twins[p].g[i];
            *g = o->clip_kind == CLN_CLIP_NORM ? scale * *g : fmax(-limit, fmin(limit, *g));
        }
}

/* Updates the twins and compares. */
static void check_update(trial *t, twin *twins, const cln_optimizer *o, int step, double rate) {
    clip(o, twins);
    for (int p = 0; p < PARAMETERS; p++) {
        cln_optimizer own = *o;
        if (o->no_weight_decay_norm_bias && p == 1)
            own.weight_decay = 0;
        naive_update(&own, step, rate, counts[p], twins[p].g, twins[p].w, twins[p].m, twins[p].v);
        float *w = trial_weight(t, names[p], CLN_VALUE);
        check_close(names[p], w, twins[p].w, counts[p], 1e-6);
        memset(twins[p].g, 0, (size_t)counts[p] * sizeof *twins[p].g);
        free(w);
    }
}

/* The third update is of one step less than the others, as at the end of an epoch; the momentum changes. */
static void check_optimizer(const cln_optimizer *o) {
    trial t = begin_learning(o);
    twin twins[PARAMETERS];
    int group = o->accumulate > 1 ? o->accumulate : 1, stream = 10;
    begin_twins(&t, twins);
    for (int update = 1; update <= 5; update++) {
        cln_rates rates = {.learning_rate = update < 4 ? 0.05f : 0.01f, .momentum = update == 4 ? 0.7f : 0};
        int steps = update == 3 && group > 1 ? group - 1 : group;
        for (int k = 1; k <= steps; k++) {
            for (int64_t i = 0; i < ROWS * FEATURES; i++)
                t.x[0].values[i] = noise((uint64_t)stream, i);
            stream++;
            if (k < steps)
                trial_accumulate(&t);
            else
                trial_step_at(&t, rates);
            add_gradients(&t, twins, 1.0 / group);
        }
        cln_optimizer now = *o;
        if (rates.momentum > 0 && o->kind != CLN_SGD)
            now.beta1 = rates.momentum;
        else if (rates.momentum > 0 && o->momentum > 0)
            now.momentum = rates.momentum;
        check_update(&t, twins, &now, update, (double)rates.learning_rate);
        ck_assert_int_eq(cln_plan_updates(t.plan), update);
    }
    end_twins(twins);
    trial_end(&t);
}

START_TEST(optimizers_match_the_recipe) {
    static const cln_optimizer cases[] = {
        {.kind = CLN_SGD, .weight_decay = 0.1f},
        {.kind = CLN_SGD, .weight_decay = 0.1f, .momentum = 0.9f},
        {.kind = CLN_SGD, .weight_decay = 0.1f, .momentum = 0.9f, .nesterov = true},
        {.kind = CLN_ADAM, .weight_decay = 0.1f},
        {.kind = CLN_ADAMW, .weight_decay = 0.1f},
        {.kind = CLN_ADAMW, .beta1 = 0.8f, .beta2 = 0.95f, .eps = 1e-4f},
        {.kind = CLN_ADAMW, .weight_decay = 0.1f, .no_weight_decay_norm_bias = true},
        {.kind = CLN_SGD, .weight_decay = 0.1f, .momentum = 0.9f, .accumulate = 3},
        {.kind = CLN_ADAMW, .weight_decay = 0.1f, .accumulate = 2},
        {.kind = CLN_SGD, .weight_decay = 0.1f, .momentum = 0.9f, .clip = 0.3f},
        {.kind = CLN_SGD, .clip = 100},
        {.kind = CLN_ADAM, .weight_decay = 0.1f, .clip = 0.02f, .clip_kind = CLN_CLIP_VALUE},
        {.kind = CLN_SGD, .weight_decay = 0.1f, .momentum = 0.9f, .accumulate = 3, .clip = 0.2f},
        {.kind = CLN_SGD, .accumulate = 2, .clip = 0.02f, .clip_kind = CLN_CLIP_VALUE},
    };
    configure(_i);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_optimizer(&cases[i]);
}
END_TEST

START_TEST(an_undefined_loss_changes_no_weight) {
    configure(_i);
    trial t = begin_learning(&(cln_optimizer){.kind = CLN_SGD, .momentum = 0.9f});
    float *before = trial_weight(&t, "head.weight", CLN_VALUE);
    t.x[0].values[3] = INFINITY;
    t.training = false; /* reads no gradient: it is undefined in its padding too */
    trial_step(&t, 0.1f);
    ck_assert(!isfinite(t.y.values[0]));
    float *after = trial_weight(&t, "head.weight", CLN_VALUE);
    ck_assert_mem_eq(before, after, CLASSES * FEATURES * sizeof *after);
    free(before);
    free(after);
    trial_end(&t);
}
END_TEST

/* A step that goes wrong adds nothing to the others of its update. */
START_TEST(an_undefined_loss_accumulates_nothing) {
    configure(_i);
    trial t = begin_learning(&(cln_optimizer){.kind = CLN_SGD, .accumulate = 2});
    twin twins[PARAMETERS];
    begin_twins(&t, twins);
    float first = t.x[0].values[3];
    t.x[0].values[3] = INFINITY;
    t.training = false;
    trial_accumulate(&t);
    ck_assert(!isfinite(t.y.values[0]));
    t.x[0].values[3] = first;
    trial_step(&t, 0.1f);
    add_gradients(&t, twins, 0.5);
    check_update(&t, twins, &(cln_optimizer){.kind = CLN_SGD}, 1, (double)0.1f);
    end_twins(twins);
    trial_end(&t);
}
END_TEST

START_TEST(accumulating_must_be_planned) {
    trial t = begin_learning(&(cln_optimizer){.kind = CLN_SGD});
    ck_assert_int_eq(cln_plan_accumulate(t.plan), CLN_INVALID_ARGUMENT);
    expect_message("makes an update of each step");
    trial_end(&t);
}
END_TEST

START_TEST(optimizers_have_names_and_limits) {
    cln_optimizer_kind kind;
    ck_assert(cln_optimizer_parse("adamw", &kind) && kind == CLN_ADAMW);
    ck_assert(cln_optimizer_parse("adam", &kind) && kind == CLN_ADAM);
    ck_assert(cln_optimizer_parse("muon", &kind) && kind == CLN_MUON);
    ck_assert(cln_optimizer_parse("sgd", &kind) && kind == CLN_SGD);
    ck_assert(!cln_optimizer_parse("SGDM", &kind));
    cln_graph *g = cln_graph_new(ctx);
    cln_tensor logits = cln_linear(g, cln_input(g, "x", 2, 5, 1, 1), "head", 5);
    cln_tensor loss = cln_softmax_ce(g, logits, cln_labels(g, "label", 2), 0);
    cln_plan_options options = {.training = true, .loss = loss, .optimizer = {.kind = CLN_SGD, .nesterov = true}};
    cln_weights *weights;
    cln_plan *plan;
    ok(cln_weights_new(device, g, 3, &weights));
    ck_assert_int_eq(cln_plan_build(device, g, weights, &options, &plan), CLN_INVALID_ARGUMENT);
    expect_message("Nesterov's needs a momentum");
    cln_weights_free(weights);
    cln_graph_free(g);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_loop_test(tests, optimizers_match_the_recipe, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, an_undefined_loss_changes_no_weight, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, an_undefined_loss_accumulates_nothing, 0, CONFIGURATIONS);
    tcase_add_test(tests, accumulating_must_be_planned);
    tcase_add_test(tests, optimizers_have_names_and_limits);
}

int main(void) {
    return suite_run_on_device("optimizer", add_tests);
}
