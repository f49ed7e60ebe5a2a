/* The loss, the accuracy and the optimisers: against naive references in double precision. */
#include "trial.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- loss and accuracy --- */

typedef struct loss_case {
    int rows, classes;
    float smoothing, scale;
    int labelled; /* the first rows; the others have labels outside the classes */
} loss_case;

static void naive_loss(const loss_case *p, const float *x, const int32_t *labels, double *loss, double *dx) {
    double e = p->smoothing, total = 0;
    for (int n = 0; n < p->labelled; n++) {
        const float *row = x + n * p->classes;
        double largest = row[0], sum = 0, logs = 0;
        for (int k = 1; k < p->classes; k++)
            largest = fmax(largest, row[k]);
        for (int k = 0; k < p->classes; k++)
            sum += exp(row[k] - largest);
        for (int k = 0; k < p->classes; k++) {
            logs += row[k] - largest - log(sum);
            dx[n * p->classes + k] =
                (exp(row[k] - largest) / sum - (k == labels[n] ? 1 - e : 0) - e / p->classes) / p->labelled;
        }
        total -= (1 - e) * (row[labels[n]] - largest - log(sum)) + e / p->classes * logs;
    }
    *loss = p->labelled ? total / p->labelled : 0;
}

/* The reference's loss along a direction against our gradient: second order in the step, hence the tolerance. */
static void check_slope(const loss_case *p, const trial *t, const int32_t *labels) {
    const float e = 0.0078125f;
    int64_t count = count_of(t->x_shape);
    float *v = noise(count, 3), *moved = noise(count, 4);
    double losses[2], expected = 0, size = 0, *unused = zeros(count);
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < count; i++)
            moved[i] = t->xs[i] + (side ? e : -e) * v[i];
        naive_loss(p, moved, labels, &losses[side], unused);
    }
    for (int64_t i = 0; i < count; i++) {
        expected += (double)t->dxs[i] * v[i];
        size += (double)t->dxs[i] * t->dxs[i];
    }
    ck_assert_double_eq_tol((losses[1] - losses[0]) / (2 * e), expected, 1e-3 * sqrt(size) + 1e-12);
    free(v);
    free(moved);
    free(unused);
}

static int naive_hits(const loss_case *p, const float *x, const int32_t *labels) {
    int hits = 0;
    for (int n = 0; n < p->rows; n++) {
        int best = 0;
        for (int k = 1; k < p->classes; k++)
            best = x[n * p->classes + k] > x[n * p->classes + best] ? k : best;
        hits += best == labels[n];
    }
    return hits;
}

static void check_loss(const loss_case *p) {
    trial t = trial_begin((cln_shape){p->rows, p->classes, 1, 1});
    int32_t labels[64];
    for (int n = 0; n < p->rows; n++)
        labels[n] = n < p->labelled ? n * 7 % p->classes : n % 2 ? -1 - n : p->classes + n;
    cln_tensor label = cln_labels(t.g, "label", p->rows);
    cln_tensor outputs[2] = {cln_softmax_ce(t.g, t.x, label, p->smoothing), cln_accuracy(t.g, t.x, label)};
    ok(cln_graph_status(t.g));
    ok(cln_weights_new(device, t.g, 1, &t.weights));
    cln_plan_options options = {.training = true,
                                .loss = outputs[0],
                                .outputs = outputs,
                                .output_count = 2,
                                .gradients = t.part,
                                .gradient_count = t.parts};
    ok(cln_plan_build(device, t.g, t.weights, &options, &t.plan));
    int64_t count = (int64_t)p->rows * p->classes;
    for (int64_t i = 0; i < count; i++) /* coarse, so that there are ties */
        t.xs[i] = p->scale * floorf(t.xs[i] * 4);
    t.dxs = malloc((size_t)count * sizeof *t.dxs);
    trial_write_x(&t);
    ok(cln_plan_write_labels(t.plan, label, labels, p->rows));
    ok(cln_plan_step(t.plan, 0));
    trial_read_dx(&t);
    float loss, hits;
    double truth, *dx = zeros(count);
    ok(cln_plan_read(t.plan, outputs[0], &loss, 1));
    ok(cln_plan_read(t.plan, outputs[1], &hits, 1));
    naive_loss(p, t.xs, labels, &truth, dx);
    check_near(&loss, &truth, 1, 1e-6, "loss");
    check_near(t.dxs, dx, count, 1e-5, "gradient of the logits");
    ck_assert_int_eq((int)hits, naive_hits(p, t.xs, labels));
    if (p->scale < 10) /* beyond, the softmax is a step */
        check_slope(p, &t, labels);
    free(dx);
    trial_end(&t);
}

START_TEST(loss_and_accuracy_match_the_reference) {
    static const loss_case cases[] = {
        {1, 5, 0, 1, 1},     {8, 10, 0, 1, 8},   {5, 7, 0.1f, 2, 5},  {13, 17, 0.3f, 1, 9},
        {7, 25, 0.1f, 1, 4}, {4, 10, 0, 500, 4}, {6, 10, 0.1f, 1, 0}, {3, 1, 0, 1, 3},
    };
    trial_configure(_i);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_loss(&cases[i]);
}
END_TEST

/* --- optimisers --- */

static float *get_weight(const trial *t, int index, cln_slot slot) {
    int64_t count = cln_weights_info(t->weights, index).count;
    float *values = malloc((size_t)count * sizeof *values);
    ok(cln_weights_get(t->weights, index, slot, values, count));
    return values;
}

/* The recipe in double precision, from the device's own gradients: one step on one parameter tensor. */
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
typedef struct learner {
    trial t;
    cln_tensor loss, label;
} learner;

static learner learner_begin(const cln_optimizer *o) {
    static const int32_t labels[6] = {0, 3, 6, 2, 5, 1};
    learner l = {.t = trial_begin((cln_shape){6, 25, 1, 1})};
    trial *t = &l.t;
    l.label = cln_labels(t->g, "label", 6);
    l.loss = cln_softmax_ce(t->g, cln_linear(t->g, t->x, "head", 7), l.label, 0);
    ok(cln_graph_status(t->g));
    ok(cln_weights_new(device, t->g, 3, &t->weights));
    cln_plan_options options = {
        .training = true, .loss = l.loss, .optimizer = *o, .outputs = &l.loss, .output_count = 1};
    ok(cln_plan_build(device, t->g, t->weights, &options, &t->plan));
    ok(cln_plan_write_labels(t->plan, l.label, labels, 6));
    return l;
}

static void check_optimizer(const cln_optimizer *o) {
    learner l = learner_begin(o);
    int64_t counts[2] = {7 * 25, 7};
    double *state[2][3];
    for (int p = 0; p < 2; p++) {
        float *w = get_weight(&l.t, p, CLN_VALUE);
        for (int k = 0; k < 3; k++)
            state[p][k] = zeros(counts[p]);
        for (int64_t i = 0; i < counts[p]; i++)
            state[p][0][i] = w[i];
        free(w);
    }
    for (int step = 1; step <= 5; step++) {
        double rate = step < 4 ? 0.05 : 0.01;
        free(l.t.xs);
        l.t.xs = noise(6 * 25, (unsigned)(10 + step));
        trial_write_x(&l.t);
        ok(cln_plan_step(l.t.plan, (float)rate));
        for (int p = 0; p < 2; p++) {
            float *w = get_weight(&l.t, p, CLN_VALUE), *g = get_weight(&l.t, p, CLN_GRADIENT);
            naive_update(o, step, (float)rate, counts[p], g, state[p][0], state[p][1], state[p][2]);
            check_near(w, state[p][0], counts[p], 1e-6, p ? "bias" : "weight");
            free(w);
            free(g);
        }
    }
    for (int k = 0; k < 6; k++)
        free(state[k / 3][k % 3]);
    trial_end(&l.t);
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
    trial_configure(_i);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_optimizer(&cases[i]);
}
END_TEST

START_TEST(an_undefined_loss_changes_no_weight) {
    trial_configure(_i);
    learner l = learner_begin(&(cln_optimizer){.kind = CLN_SGD, .momentum = 0.9f});
    float *before = get_weight(&l.t, 0, CLN_VALUE), loss;
    l.t.xs[3] = INFINITY;
    trial_write_x(&l.t);
    ok(cln_plan_step(l.t.plan, 0.1f));
    ok(cln_plan_read(l.t.plan, l.loss, &loss, 1));
    ck_assert(!isfinite(loss));
    float *after = get_weight(&l.t, 0, CLN_VALUE);
    ck_assert_mem_eq(before, after, 7 * 25 * sizeof *after);
    free(before);
    free(after);
    trial_end(&l.t);
}
END_TEST

START_TEST(optimizers_have_names_and_limits) {
    cln_optimizer_kind kind;
    ck_assert(cln_optimizer_parse("adamw", &kind) && kind == CLN_ADAMW);
    ck_assert(cln_optimizer_parse("adam", &kind) && kind == CLN_ADAM);
    ck_assert(cln_optimizer_parse("sgd", &kind) && kind == CLN_SGD);
    ck_assert(!cln_optimizer_parse("SGDM", &kind));
    trial t = trial_begin((cln_shape){2, 5, 1, 1});
    cln_tensor label = cln_labels(t.g, "label", 2);
    cln_tensor loss = cln_softmax_ce(t.g, cln_linear(t.g, t.x, "head", 5), label, 0);
    ok(cln_weights_new(device, t.g, 3, &t.weights));
    cln_plan_options options = {.training = true, .loss = loss, .optimizer = {.kind = CLN_SGD, .nesterov = true}};
    ck_assert_int_eq(cln_plan_build(device, t.g, t.weights, &options, &t.plan), CLN_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(cln_context_error(ctx), "Nesterov's needs a momentum"));
    trial_end(&t);
}
END_TEST

static void add_tests(TCase *tcase) {
    tcase_add_loop_test(tcase, loss_and_accuracy_match_the_reference, 0, TRIAL_CONFIGURATIONS);
    tcase_add_loop_test(tcase, optimizers_match_the_recipe, 0, TRIAL_CONFIGURATIONS);
    tcase_add_loop_test(tcase, an_undefined_loss_changes_no_weight, 0, TRIAL_CONFIGURATIONS);
    tcase_add_test(tcase, optimizers_have_names_and_limits);
}

int main(void) {
    return trial_suite("learning", add_tests);
}
