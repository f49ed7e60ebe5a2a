/* Activations, sums and dropout on a device, against naive float64 references; and a network of operators of every
 * memory layout against finite differences. */
#include "trial.h"

#include <math.h>
#include <stdlib.h>

/* --- activation --- */

static double activation(cln_activation kind, double x, double *slope) {
    double tail = 0.5 * (1 + erf(x / sqrt(2.0))), t = tanh(x);
    switch (kind) {
    case CLN_RELU:
        *slope = x > 0;
        return x > 0 ? x : 0;
    case CLN_LEAKY_RELU:
        *slope = x > 0 ? 1 : 0.01;
        return x * *slope;
    case CLN_TANH:
        *slope = 1 - t * t;
        return t;
    case CLN_GELU:
        *slope = tail + x * exp(-x * x / 2) / sqrt(2 * 3.14159265358979323846);
        return x * tail;
    default:
        *slope = 1;
        return x;
    }
}

static void check_activation(cln_shape shape) {
    int64_t count = count_of(shape);
    double *truth = zeros(count), *dx = zeros(count);
    for (cln_activation kind = CLN_IDENTITY; kind <= CLN_GELU; kind++) {
        trial t = trial_begin();
        operand *x = trial_input(&t, shape);
        cln_tensor y = cln_activate(t.g, x->whole, kind);
        ck_assert_int_eq(y.id == x->whole.id, kind == CLN_IDENTITY);
        trial_run(&t, y);
        for (int64_t i = 0; i < count; i++) {
            truth[i] = activation(kind, x->values[i], &dx[i]);
            dx[i] *= t.y.gradient[i];
        }
        check_close(cln_activation_name(kind), t.y.values, truth, count, TOLERANCE);
        check_close("its gradient", x->gradient, dx, count, TOLERANCE);
        trial_end(&t);
    }
    free(truth);
    free(dx);
}

START_TEST(activations_and_their_gradients) {
    configure(_i);
    each_form(check_activation);
}
END_TEST

START_TEST(activations_have_names_and_gains) {
    for (cln_activation kind = CLN_IDENTITY, back; kind <= CLN_GELU; kind++) {
        ck_assert(cln_activation_parse(cln_activation_name(kind), &back));
        ck_assert_int_eq(back, kind);
        ck_assert_double_eq_tol(cln_activation_gain(kind), kind == CLN_TANH ? 5.0 / 3 : sqrt(2.0), 1e-7);
    }
    cln_activation out = CLN_TANH;
    ck_assert(!cln_activation_parse("swish", &out) && !cln_activation_parse(NULL, &out));
    ck_assert_int_eq(out, CLN_TANH);
}
END_TEST

/* What is not a number must come through, or a diverged training could not be found. */
START_TEST(relu_keeps_nan) {
    configure(_i);
    trial t = trial_begin();
    operand *x = trial_input(&t, (cln_shape){1, 5, 1, 1});
    x->values[2] = NAN;
    trial_evaluate(&t, cln_activate(t.g, x->whole, CLN_RELU));
    ck_assert(isnan(t.y.values[2]) && !isnan(t.y.values[1]));
    trial_end(&t);
}
END_TEST

/* --- add --- */

static void check_add(cln_shape shape) {
    int64_t count = count_of(shape);
    double *sum = zeros(count), *dy = zeros(count);
    for (int mixed = 0; mixed < 4; mixed++) {
        trial t = trial_begin();
        operand *p = (mixed & 1 ? trial_input : trial_plain_input)(&t, shape);
        operand *q = (mixed & 2 ? trial_input : trial_plain_input)(&t, shape);
        trial_run(&t, cln_add(t.g, p->whole, q->whole));
        for (int64_t i = 0; i < count; i++) {
            sum[i] = (double)p->values[i] + q->values[i];
            dy[i] = t.y.gradient[i];
        }
        check_close("add", t.y.values, sum, count, TOLERANCE);
        check_close("its first gradient", p->gradient, dy, count, 0);
        check_close("its second gradient", q->gradient, dy, count, 0);
        trial_end(&t);
    }
    free(sum);
    free(dy);
}

START_TEST(add_of_any_two_layouts) {
    configure(_i);
    each_form(check_add);
}
END_TEST

START_TEST(add_of_different_shapes_is_refused) {
    cln_graph *g = cln_graph_new(ctx);
    check_refused(g, cln_add(g, cln_input(g, "a", 2, 3, 4, 5), cln_input(g, "b", 2, 3, 5, 4)),
                  "add 'add': its inputs have different shapes, 2x3x4x5 and 2x3x5x4");
}
END_TEST

/* y = tanh(x) + x + x: three contributions to one gradient, and an operand that is the other one too. */
static void check_accumulation(cln_shape shape) {
    trial t = trial_begin();
    operand *x = trial_input(&t, shape);
    trial_run(&t, cln_add(t.g, cln_activate(t.g, x->whole, CLN_TANH), cln_add(t.g, x->whole, x->whole)));
    double *truth = zeros(count_of(shape)), *dx = zeros(count_of(shape));
    for (int64_t i = 0; i < count_of(shape); i++) {
        double tanh_x = tanh(x->values[i]);
        truth[i] = tanh_x + 2 * (double)x->values[i];
        dx[i] = t.y.gradient[i] * (3 - tanh_x * tanh_x);
    }
    check_close("sum", t.y.values, truth, count_of(shape), TOLERANCE);
    check_close("gradient", x->gradient, dx, count_of(shape), TOLERANCE);
    free(truth);
    free(dx);
    trial_end(&t);
}

START_TEST(gradients_accumulate) {
    configure(_i);
    each_form(check_accumulation);
}
END_TEST

/* Without an upstream gradient it is one everywhere. */
static void check_ones(cln_shape shape) {
    trial t = trial_begin();
    operand *x = trial_input(&t, shape);
    cln_tensor y = cln_add(t.g, x->whole, x->whole);
    trial_build(&t, &(cln_plan_options){.training = true, .loss = y, .outputs = &y, .output_count = 1});
    trial_step(&t, 0);
    for (int64_t i = 0; i < count_of(shape); i++) {
        ck_assert_float_eq(t.y.values[i], 2 * x->values[i]);
        ck_assert_float_eq(x->gradient[i], 2);
    }
    trial_end(&t);
}

START_TEST(default_upstream_is_ones) {
    configure(_i);
    each_form(check_ones);
}
END_TEST

/* --- dropout --- */

/* The layer's number is that of its node. */
static bool kept(float p, int layer, uint64_t step, int64_t element) {
    cln__random r =
        cln__philox(cln__stream_key(5, CLN__STREAM_DROPOUT), step + ((uint64_t)layer << 40), (uint64_t)element);
    return cln__uniform(r.word[0]) >= p;
}

static void check_dropout(cln_shape shape) {
    const float p = 0.3f;
    trial t = trial_begin();
    operand *x = trial_input(&t, shape);
    int layer = t.g->node_count;
    trial_run(&t, cln_dropout(t.g, x->whole, p));
    for (uint64_t step = 0; step < 2; step++) {
        for (int64_t i = 0; i < count_of(shape); i++) {
            float factor = kept(p, layer, step, i) ? 1 / (1 - p) : 0;
            ck_assert_float_eq_tol(t.y.values[i], factor * x->values[i], 1e-6f);
            ck_assert_float_eq_tol(x->gradient[i], factor * t.y.gradient[i], 1e-6f);
        }
        trial_step(&t, 0);
    }
    trial_end(&t);
}

START_TEST(dropout_mask_depends_on_no_layout) {
    configure(_i);
    each_form(check_dropout);
}
END_TEST

START_TEST(dropout_rate_and_layers_differ) {
    trial t = trial_begin();
    operand *x = trial_input(&t, (cln_shape){4, 17, 32, 32});
    for (int64_t i = 0; i < count_of(x->shape); i++)
        x->values[i] = 1;
    trial_run(&t, cln_dropout(t.g, cln_dropout(t.g, x->whole, 0.5f), 0.5f));
    int64_t left = 0;
    for (int64_t i = 0; i < count_of(x->shape); i++)
        left += t.y.values[i] != 0;
    ck_assert_double_eq_tol((double)left / (double)count_of(x->shape), 0.25, 0.01);
    trial_end(&t);
}
END_TEST

static void check_no_dropout(bool training, float p) {
    trial t = trial_begin();
    operand *x = trial_plain_input(&t, (cln_shape){2, 25, 3, 3});
    (training ? trial_run : trial_evaluate)(&t, cln_dropout(t.g, cln_activate(t.g, x->whole, CLN_RELU), p));
    for (int64_t i = 0; i < count_of(x->shape); i++)
        ck_assert_float_eq(t.y.values[i], x->values[i] > 0 ? x->values[i] : 0);
    ck_assert_int_eq(cln_plan_get_memory(t.plan).steps, training ? 2 : 1); /* relu and its gradient */
    trial_end(&t);
}

START_TEST(dropout_takes_no_step_where_it_does_nothing) {
    configure(_i);
    check_no_dropout(false, 0.5f);
    check_no_dropout(true, 0);
}
END_TEST

START_TEST(dropout_of_everything_is_refused) {
    cln_graph *g = cln_graph_new(ctx);
    check_refused(g, cln_dropout(g, cln_input(g, "x", 1, 1, 1, 1), 1),
                  "dropout: the probability 1 is not at least 0 and below 1");
}
END_TEST

/* --- finite differences --- */

static void check_differences(cln_shape shape) {
    if (shape.n * shape.h * shape.w < 5)
        return;
    trial t = trial_begin();
    cln_tensor x = trial_input(&t, shape)->whole;
    cln_tensor bent = cln_activate(t.g, cln_batchnorm(t.g, x, "bn0", NULL), CLN_TANH);
    cln_tensor both[2] = {bent, cln_activate(t.g, x, CLN_GELU)};
    cln_tensor joined = cln_dropout(t.g, cln_batchnorm(t.g, cln_concat(t.g, both, 2), "bn1", NULL), 0.25f);
    trial_run(&t, cln_flatten(t.g, cln_add(t.g, joined, cln_concat(t.g, (cln_tensor[]){x, bent}, 2))));
    trial_check_direction(&t, 4e-3); /* the third derivative along a direction of many dimensions, and rounding */
    trial_end(&t);
}

START_TEST(gradients_agree_with_finite_differences) {
    configure(_i);
    each_form(check_differences);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_loop_test(tests, activations_and_their_gradients, 0, CONFIGURATIONS);
    tcase_add_test(tests, activations_have_names_and_gains);
    tcase_add_loop_test(tests, relu_keeps_nan, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, add_of_any_two_layouts, 0, CONFIGURATIONS);
    tcase_add_test(tests, add_of_different_shapes_is_refused);
    tcase_add_loop_test(tests, gradients_accumulate, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, default_upstream_is_ones, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, dropout_mask_depends_on_no_layout, 0, CONFIGURATIONS);
    tcase_add_test(tests, dropout_rate_and_layers_differ);
    tcase_add_loop_test(tests, dropout_takes_no_step_where_it_does_nothing, 0, CONFIGURATIONS);
    tcase_add_test(tests, dropout_of_everything_is_refused);
    tcase_add_loop_test(tests, gradients_agree_with_finite_differences, 0, CONFIGURATIONS);
}

int main(void) {
    return suite_run_on_device("elementwise", add_tests);
}
