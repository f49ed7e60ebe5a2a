/* Element-wise operators, concatenation, flatten, dropout and channel sums on a device, against naive float64
 * references and finite differences. */
#include "op_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

static void check_activation(cln_shape shape, bool gaps) {
    for (cln_activation kind = CLN_IDENTITY; kind <= CLN_GELU; kind++) {
        cln_graph *g = cln_graph_new(ctx);
        field x = make_field(g, "x", shape, gaps, 1);
        cln_tensor y = cln_activate(g, x.whole, kind);
        ck_assert_int_eq(y.id == x.whole.id, kind == CLN_IDENTITY);
        op_case b = run(g, y, &x, NULL, true);
        int64_t count = count_of(shape);
        double *truth = malloc(sizeof(double) * (size_t)count), *dx = malloc(sizeof(double) * (size_t)count);
        for (int64_t i = 0; i < count; i++) {
            truth[i] = activation(kind, x.values[i], &dx[i]);
            dx[i] *= b.dy[i];
        }
        check_close(cln_activation_name(kind), b.out, truth, count, TOLERANCE);
        check_close("its gradient", x.gradient, dx, count, TOLERANCE);
        free(truth);
        free(dx);
        finish(&b);
    }
}

START_TEST(activations_and_their_gradients) {
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
    cln_graph *g = cln_graph_new(ctx);
    field x = make_field(g, "x", (cln_shape){1, 5, 1, 1}, false, 1);
    x.values[2] = NAN;
    op_case b = run(g, cln_activate(g, x.whole, CLN_RELU), &x, NULL, false);
    ck_assert(isnan(b.out[2]) && !isnan(b.out[1]));
    finish(&b);
}
END_TEST

/* --- add --- */

static void check_add(cln_shape shape, bool gaps) {
    for (int mixed = 0; mixed < 4; mixed++) {
        cln_graph *g = cln_graph_new(ctx);
        field p = make_field(g, "p", shape, gaps && mixed & 1, 1), q = make_field(g, "q", shape, gaps && mixed & 2, 2);
        op_case b = run(g, cln_add(g, p.whole, q.whole), &p, &q, true);
        int64_t count = count_of(shape);
        double *sum = malloc(sizeof(double) * (size_t)count), *dy = malloc(sizeof(double) * (size_t)count);
        for (int64_t i = 0; i < count; i++) {
            sum[i] = (double)p.values[i] + q.values[i];
            dy[i] = b.dy[i];
        }
        check_close("add", b.out, sum, count, TOLERANCE);
        check_close("its first gradient", p.gradient, dy, count, 0);
        check_close("its second gradient", q.gradient, dy, count, 0);
        free(sum);
        free(dy);
        finish(&b);
    }
}

START_TEST(add_of_any_two_layouts) {
    each_form(check_add);
}
END_TEST

START_TEST(add_of_different_shapes_is_refused) {
    cln_graph *g = cln_graph_new(ctx);
    cln_tensor y = cln_add(g, cln_input(g, "a", 2, 3, 4, 5), cln_input(g, "b", 2, 3, 5, 4));
    ck_assert_int_lt(y.id, 0);
    ck_assert_str_eq(cln_context_error(ctx), "add 'add': its inputs have different shapes, 2x3x4x5 and 2x3x5x4");
    cln_graph_free(g);
}
END_TEST

/* y = tanh(x) + x + x: three contributions to one gradient, and an operand that is the other one too. */
static void check_accumulation(cln_shape shape, bool gaps) {
    cln_graph *g = cln_graph_new(ctx);
    field x = make_field(g, "x", shape, gaps, 1);
    cln_tensor y = cln_add(g, cln_activate(g, x.whole, CLN_TANH), cln_add(g, x.whole, x.whole));
    op_case b = run(g, y, &x, NULL, true);
    double *truth = malloc(sizeof(double) * (size_t)count_of(shape));
    double *dx = malloc(sizeof(double) * (size_t)count_of(shape));
    for (int64_t i = 0; i < count_of(shape); i++) {
        double t = tanh(x.values[i]);
        truth[i] = t + 2 * (double)x.values[i];
        dx[i] = b.dy[i] * (3 - t * t);
    }
    check_close("sum", b.out, truth, count_of(shape), TOLERANCE);
    check_close("gradient", x.gradient, dx, count_of(shape), TOLERANCE);
    free(truth);
    free(dx);
    finish(&b);
}

START_TEST(gradients_accumulate) {
    each_form(check_accumulation);
}
END_TEST

/* --- concat, slice --- */

/* concat(concat(p, q), tanh(p), p): nested, repeated, a view and copies; planar inputs too. */
static void check_concat(cln_shape shape, bool gaps) {
    cln_graph *g = cln_graph_new(ctx);
    cln_shape other = shape;
    other.c = 3;
    field p = make_field(g, "p", shape, gaps, 1), q = make_field(g, "q", other, false, 2);
    cln_tensor inner[2] = {p.whole, q.whole};
    cln_tensor outer[3] = {cln_concat(g, inner, 2), cln_activate(g, p.whole, CLN_TANH), p.whole};
    op_case b = run(g, cln_concat(g, outer, 3), &p, &q, true);
    int64_t pixels = shape.h * shape.w, channels = 3 * shape.c + 3;
    double *y = malloc(sizeof(double) * (size_t)(shape.n * channels * pixels));
    double *dp = calloc((size_t)count_of(shape), 8), *dq = calloc((size_t)count_of(other), 8);
    for (int64_t n = 0, i = 0; n < shape.n; n++)
        for (int64_t k = 0; k < channels; k++)
            for (int64_t at = 0; at < pixels; at++, i++) {
                int64_t c = k < shape.c ? k : k < shape.c + 3 ? k - shape.c : (k - 3) % shape.c;
                if (k >= shape.c && k < shape.c + 3) {
                    y[i] = q.values[(n * 3 + c) * pixels + at];
                    dq[(n * 3 + c) * pixels + at] += b.dy[i];
                    continue;
                }
                double x = p.values[(n * shape.c + c) * pixels + at], t = tanh(x);
                bool tanned = k >= shape.c && k < 2 * shape.c + 3;
                y[i] = tanned ? t : x;
                dp[(n * shape.c + c) * pixels + at] += tanned ? b.dy[i] * (1 - t * t) : b.dy[i];
            }
    check_close("concat", b.out, y, shape.n * channels * pixels, TOLERANCE);
    check_close("its first gradient", p.gradient, dp, count_of(shape), TOLERANCE);
    check_close("its second gradient", q.gradient, dq, count_of(other), TOLERANCE);
    free(y);
    free(dp);
    free(dq);
    finish(&b);
}

START_TEST(concat_copies_what_it_must) {
    each_form(check_concat);
}
END_TEST

/* Branches write their place in the concatenation, and its gradient is shown to them: no step but theirs. */
START_TEST(concat_of_branches_takes_no_step) {
    cln_graph *g = cln_graph_new(ctx);
    field x = make_field(g, "x", (cln_shape){2, 16, 6, 6}, false, 1);
    cln_tensor branches[2] = {cln_activate(g, x.whole, CLN_TANH), cln_activate(g, x.whole, CLN_RELU)};
    op_case b = run(g, cln_concat(g, branches, 2), &x, NULL, true);
    /* tanh, relu, their gradients, and the sum of those */
    ck_assert_int_eq(cln_plan_get_memory(b.plan).steps, 5);
    finish(&b);
}
END_TEST

START_TEST(concat_refuses) {
    cln_graph *g = cln_graph_new(ctx);
    cln_tensor xs[2] = {cln_input(g, "a", 2, 3, 4, 5), cln_input(g, "b", 2, 7, 4, 6)};
    ck_assert_int_lt(cln_concat(g, xs, 2).id, 0);
    ck_assert_str_eq(cln_context_error(ctx),
                     "concat 'concat': input 1 has shape 2x7x4x6, input 0 has 2x3x4x5: only the channels may differ");
    cln_graph_free(g);
    g = cln_graph_new(ctx);
    ck_assert_int_lt(cln_concat(g, NULL, 0).id, 0);
    ck_assert_str_eq(cln_context_error(ctx), "concat: 0 inputs: at least 1 is needed");
    cln_graph_free(g);
}
END_TEST

/* --- flatten --- */

static void check_flatten(cln_shape shape, bool gaps) {
    for (int twice = 0; twice < 2; twice++) { /* of an input, and of what a node made */
        cln_graph *g = cln_graph_new(ctx);
        field x = make_field(g, "x", shape, gaps, 1);
        cln_tensor y = cln_flatten(g, twice ? cln_add(g, x.whole, x.whole) : x.whole);
        ck_assert_int_eq(cln_tensor_shape(g, y).c, shape.c * shape.h * shape.w);
        op_case b = run(g, y, &x, NULL, true);
        for (int64_t i = 0; i < count_of(shape); i++) {
            ck_assert_float_eq(b.out[i], (float)(1 + twice) * x.values[i]);
            ck_assert_float_eq(x.gradient[i], (float)(1 + twice) * b.dy[i]);
        }
        finish(&b);
    }
}

START_TEST(flatten_and_back) {
    each_form(check_flatten);
}
END_TEST

/* --- dropout --- */

/* The layer's number is that of its node. */
static bool kept(float p, int layer, uint64_t at_step, int64_t element) {
    cln__random r =
        cln__philox(cln__stream_key(5, CLN__STREAM_DROPOUT), at_step + ((uint64_t)layer << 40), (uint64_t)element);
    return cln__uniform(r.word[0]) >= p;
}

static void check_dropout(cln_shape shape, bool gaps) {
    const float p = 0.3f;
    cln_graph *g = cln_graph_new(ctx);
    field x = make_field(g, "x", shape, gaps, 1);
    int layer = g->node_count;
    op_case b = run(g, cln_dropout(g, x.whole, p), &x, NULL, true);
    for (uint64_t at_step = 0; at_step < 2; at_step++) {
        for (int64_t i = 0; i < count_of(shape); i++) {
            float factor = kept(p, layer, at_step, i) ? 1 / (1 - p) : 0;
            ck_assert_float_eq_tol(b.out[i], factor * x.values[i], 1e-6f);
            ck_assert_float_eq_tol(x.gradient[i], factor * b.dy[i], 1e-6f);
        }
        step(&b);
    }
    finish(&b);
}

START_TEST(dropout_mask_depends_on_no_layout) {
    each_form(check_dropout);
}
END_TEST

START_TEST(dropout_rate_and_layers_differ) {
    cln_graph *g = cln_graph_new(ctx);
    field x = make_field(g, "x", (cln_shape){4, 17, 32, 32}, false, 1);
    for (int64_t i = 0; i < count_of(x.shape); i++)
        x.values[i] = 1;
    op_case b = run(g, cln_dropout(g, cln_dropout(g, x.whole, 0.5f), 0.5f), &x, NULL, true);
    int64_t left = 0;
    for (int64_t i = 0; i < count_of(x.shape); i++)
        left += b.out[i] != 0;
    ck_assert_double_eq_tol((double)left / (double)count_of(x.shape), 0.25, 0.01);
    finish(&b);
}
END_TEST

static void check_no_dropout(bool training, float p) {
    cln_graph *g = cln_graph_new(ctx);
    field x = make_field(g, "x", (cln_shape){2, 25, 3, 3}, false, 1);
    cln_tensor y = cln_dropout(g, cln_activate(g, x.whole, CLN_RELU), p);
    op_case b = run(g, y, &x, NULL, training);
    for (int64_t i = 0; i < count_of(x.shape); i++)
        ck_assert_float_eq(b.out[i], x.values[i] > 0 ? x.values[i] : 0);
    ck_assert_int_eq(cln_plan_get_memory(b.plan).steps, training ? 2 : 1); /* relu and its gradient */
    finish(&b);
}

START_TEST(dropout_takes_no_step_where_it_does_nothing) {
    check_no_dropout(false, 0.5f);
    check_no_dropout(true, 0);
    cln_graph *g = cln_graph_new(ctx);
    ck_assert_int_lt(cln_dropout(g, cln_input(g, "x", 1, 1, 1, 1), 1).id, 0);
    ck_assert_str_eq(cln_context_error(ctx), "dropout: the probability 1 is not at least 0 and below 1");
    cln_graph_free(g);
}
END_TEST

/* --- channel_sum, constant --- */

static void check_bias(cln_shape shape, bool gaps) {
    if (shape.c != 25 && shape.w != 31) /* convolutions are compiled for each shape */
        return;
    for (int out = 3; out <= 20; out += 17) { /* 3: dy comes planar, y is not */
        cln_graph *g = cln_graph_new(ctx);
        field x = make_field(g, "x", shape, gaps, 1);
        cln_conv2d_options o = {.out_channels = out, .kernel_h = 1, .kernel_w = 1, .bias = true};
        op_case b = run(g, cln_conv2d(g, x.whole, "conv", &o), &x, NULL, true);
        double sum[64] = {0};
        float got[64];
        int64_t pixels = shape.h * shape.w;
        for (int64_t i = 0; i < shape.n * out * pixels; i++)
            sum[i / pixels % out] += b.dy[i];
        get_weight(&b, "conv.bias", CLN_GRADIENT, got, out);
        check_sums("bias", got, sum, out, TOLERANCE, sqrt((double)(shape.n * pixels)));
        finish(&b);
    }
}

START_TEST(bias_gradients_are_channel_sums) {
    each_form(check_bias);
}
END_TEST

/* Without an upstream gradient it is one everywhere. */
static void check_ones(cln_shape shape, bool gaps) {
    cln_graph *g = cln_graph_new(ctx);
    field x = make_field(g, "x", shape, gaps, 1);
    op_case b = run(g, cln_add(g, x.whole, x.whole), &x, NULL, false);
    cln_plan *plan = b.plan;
    cln_plan_options options = {.training = true,
                                .loss = b.y,
                                .outputs = &b.y,
                                .output_count = 1,
                                .gradients = x.part,
                                .gradient_count = x.parts};
    ok(cln_plan_build(device, g, b.weights, &options, &b.plan));
    step(&b);
    read_gradients(&b);
    for (int64_t i = 0; i < count_of(shape); i++)
        ck_assert_float_eq(x.gradient[i], 2);
    cln_plan_free(plan);
    finish(&b);
}

START_TEST(default_upstream_is_ones) {
    each_form(check_ones);
}
END_TEST

/* --- finite differences --- */

/* sum of y * dy */
static double objective(const op_case *b) {
    double sum = 0;
    for (int64_t i = 0; i < count_of(cln_tensor_shape(b->g, b->y)); i++)
        sum += (double)b->out[i] * b->dy[i];
    return sum;
}

/* Moves inputs and weights by `by` along a direction; returns the gradient's component along it. */
static double move(op_case *b, double by) {
    double slope = 0;
    field *x = b->fields[0];
    for (int64_t i = 0; i < count_of(x->shape); i++) {
        slope += (double)x->gradient[i] * noise(500, i);
        x->values[i] += (float)(by * noise(500, i));
    }
    for (int k = 0; k < cln_weights_count(b->weights); k++) {
        cln_weight_info info = cln_weights_info(b->weights, k);
        if (!info.trainable)
            continue;
        float *w = malloc((size_t)info.count * sizeof *w), *dw = malloc((size_t)info.count * sizeof *dw);
        ok(cln_weights_get(b->weights, k, CLN_VALUE, w, info.count));
        ok(cln_weights_get(b->weights, k, CLN_GRADIENT, dw, info.count));
        for (int64_t i = 0; i < info.count; i++) {
            slope += (double)dw[i] * noise((uint64_t)(501 + k), i);
            w[i] += (float)(by * noise((uint64_t)(501 + k), i));
        }
        ok(cln_weights_set(b->weights, k, CLN_VALUE, w, info.count));
        free(w);
        free(dw);
    }
    return slope;
}

static double objective_at(op_case *b, double by) {
    move(b, by);
    cln_plan_set_updates(b->plan, 0); /* the same dropout mask */
    step(b);
    return objective(b);
}

static void check_differences(cln_shape shape, bool gaps) {
    const double h = 1.0 / 256;
    if (shape.n * shape.h * shape.w < 5)
        return;
    cln_graph *g = cln_graph_new(ctx);
    field x = make_field(g, "x", shape, gaps, 1);
    cln_tensor t = cln_activate(g, cln_batchnorm(g, x.whole, "bn0", NULL), CLN_TANH);
    cln_tensor both[2] = {t, cln_activate(g, x.whole, CLN_GELU)};
    cln_tensor joined = cln_dropout(g, cln_batchnorm(g, cln_concat(g, both, 2), "bn1", NULL), 0.25f);
    cln_tensor y = cln_flatten(g, cln_add(g, joined, cln_concat(g, (cln_tensor[]){x.whole, t}, 2)));
    op_case b = run(g, y, &x, NULL, true);
    double slope = move(&b, 0);
    double ahead = objective_at(&b, h), behind = objective_at(&b, -2 * h);
    double measured = (ahead - behind) / (2 * h);
    /* The third derivative along a direction of many dimensions, and rounding. */
    ck_assert_msg(fabs(measured - slope) <= 4e-3 * (fabs(slope) + 1), "slope %g, measured %g", slope, measured);
    finish(&b);
}

START_TEST(gradients_agree_with_finite_differences) {
    each_form(check_differences);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("operators: element-wise and layout");
    TCase *tests = tcase_create("on a device");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, activations_and_their_gradients);
    tcase_add_test(tests, activations_have_names_and_gains);
    tcase_add_test(tests, relu_keeps_nan);
    tcase_add_test(tests, add_of_any_two_layouts);
    tcase_add_test(tests, add_of_different_shapes_is_refused);
    tcase_add_test(tests, gradients_accumulate);
    tcase_add_test(tests, concat_copies_what_it_must);
    tcase_add_test(tests, concat_of_branches_takes_no_step);
    tcase_add_test(tests, concat_refuses);
    tcase_add_test(tests, flatten_and_back);
    tcase_add_test(tests, dropout_mask_depends_on_no_layout);
    tcase_add_test(tests, dropout_rate_and_layers_differ);
    tcase_add_test(tests, dropout_takes_no_step_where_it_does_nothing);
    tcase_add_test(tests, bias_gradients_are_channel_sums);
    tcase_add_test(tests, default_upstream_is_ones);
    tcase_add_test(tests, gradients_agree_with_finite_differences);
    suite_add_tcase(suite, tests);
    return run_on_device(suite);
}
