/* The optimisers on a device: against the recipe in double precision. */
#include "trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The recipe, from the device's own gradients: one step on one parameter tensor. */
static void naive_update(const cln_optimizer *o, int64_t t, double rate, int64_t count, const float *g, double *w,
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

static void check_optimizer(const cln_optimizer *o) {
    static const char *const names[2] = {"head.weight", "head.bias"};
    static const int64_t counts[2] = {CLASSES * FEATURES, CLASSES};
    trial t = begin_learning(o);
    double *state[2][3];
    for (int p = 0; p < 2; p++) {
        float *w = trial_weight(&t, names[p], CLN_VALUE);
        for (int k = 0; k < 3; k++)
            state[p][k] = zeros(counts[p]);
        for (int64_t i = 0; i < counts[p]; i++)
            state[p][0][i] = w[i];
        free(w);
    }
    for (int step = 1; step <= 5; step++) {
        float rate = step < 4 ? 0.05f : 0.01f;
        for (int64_t i = 0; i < ROWS * FEATURES; i++)
            t.x[0].values[i] = noise((uint64_t)(10 + step), i);
        trial_step(&t, rate);
        for (int p = 0; p < 2; p++) {
            float *w = trial_weight(&t, names[p], CLN_VALUE), *g = trial_weight(&t, names[p], CLN_GRADIENT);
            naive_update(o, step, rate, counts[p], g, state[p][0], state[p][1], state[p][2]);
            check_close(names[p], w, state[p][0], counts[p], 1e-6);
            free(w);
            free(g);
        }
    }
    for (int k = 0; k < 6; k++)
        free(state[k / 3][k % 3]);
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

START_TEST(optimizers_have_names_and_limits) {
    cln_optimizer_kind kind;
    ck_assert(cln_optimizer_parse("adamw", &kind) && kind == CLN_ADAMW);
    ck_assert(cln_optimizer_parse("adam", &kind) && kind == CLN_ADAM);
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
    tcase_add_test(tests, optimizers_have_names_and_limits);
}

int main(void) {
    return suite_run_on_device("optimizer", add_tests);
}
