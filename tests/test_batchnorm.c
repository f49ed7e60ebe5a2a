/* Batch normalisation on a device, against a naive float64 reference. */
#include "op_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- batchnorm --- */

typedef struct norm {
    double *y, *dx, *dgamma, *dbeta, *mean, *var;
} norm;

/* mean and var: given where `running`, else made. */
static norm reference_norm(const field *x, const float *dy, const float *gamma, const float *beta, const float *mean,
                           const float *var, bool running) {
    cln_shape s = x->shape;
    int64_t pixels = s.h * s.w, count = count_of(s);
    double size = (double)(s.n * pixels);
    norm r = {.y = calloc((size_t)count, 8),
              .dx = calloc((size_t)count, 8),
              .dgamma = calloc((size_t)s.c, 8),
              .dbeta = calloc((size_t)s.c, 8),
              .mean = calloc((size_t)s.c, 8),
              .var = calloc((size_t)s.c, 8)};
#define EACH(c, i)                                                                                                     \
    for (int64_t n = 0; n < s.n; n++)                                                                                  \
        for (int64_t p = 0, i; p < pixels && (i = (n * s.c + (c)) * pixels + p, true); p++)
    for (int64_t c = 0; c < s.c; c++) {
        EACH(c, i) r.mean[c] += x->values[i] / size;
        EACH(c, i) r.var[c] += (x->values[i] - r.mean[c]) * (x->values[i] - r.mean[c]) / size;
        double m = running ? mean[c] : r.mean[c], invstd = 1 / sqrt((running ? var[c] : r.var[c]) + (double)1e-5f);
        EACH(c, i) {
            double xhat = (x->values[i] - m) * invstd;
            r.y[i] = gamma[c] * xhat + beta[c];
            r.dbeta[c] += dy[i];
            r.dgamma[c] += dy[i] * xhat;
        }
        EACH(c, i) {
            double xhat = (x->values[i] - m) * invstd;
            double through = running ? 0 : (r.dbeta[c] + xhat * r.dgamma[c]) / size;
            r.dx[i] = gamma[c] * invstd * (dy[i] - through);
        }
    }
    return r;
}

static void free_norm(norm *r) {
    free(r->y);
    free(r->dx);
    free(r->dgamma);
    free(r->dbeta);
    free(r->mean);
    free(r->var);
}

static void check_norm_weights(op_case *b, const norm *r, const field *x, bool running) {
    enum { LIMIT = 64 };
    float got[LIMIT], *before_mean = noises(202, LIMIT), *before_var = noises(203, LIMIT);
    double mean[LIMIT], var[LIMIT], size = (double)(x->shape.n * x->shape.h * x->shape.w);
    int64_t channels = x->shape.c;
    for (int64_t c = 0; c < channels; c++) {
        double start = (double)(float)(before_var[c] * before_var[c] + 0.5f);
        mean[c] = running ? before_mean[c] : 0.9 * before_mean[c] + 0.1 * r->mean[c];
        var[c] = running ? start : 0.9 * start + 0.1 * r->var[c] * size / (size - 1);
    }
    get_weight(b, "bn.running_mean", CLN_VALUE, got, channels);
    check_close("running_mean", got, mean, channels, TOLERANCE);
    get_weight(b, "bn.running_var", CLN_VALUE, got, channels);
    check_close("running_var", got, var, channels, TOLERANCE);
    if (b->upstream.id >= 0) {
        get_weight(b, "bn.weight", CLN_GRADIENT, got, channels);
        check_sums("dgamma", got, r->dgamma, channels, TOLERANCE, sqrt(size));
        get_weight(b, "bn.bias", CLN_GRADIENT, got, channels);
        check_sums("dbeta", got, r->dbeta, channels, TOLERANCE, sqrt(size));
    }
    free(before_mean);
    free(before_var);
}

static void check_norm(cln_shape shape, bool gaps, bool training, bool use_running, float offset, double tolerance) {
    cln_graph *g = cln_graph_new(ctx);
    bool running = use_running || !training;
    field x = make_field(g, "x", shape, gaps, 1);
    for (int64_t i = 0; i < count_of(shape); i++)
        x.values[i] += offset;
    op_case b = run(g, cln_batchnorm(g, x.whole, "bn", &(cln_batchnorm_options){.use_running = use_running}), &x, NULL,
                    training);
    float *weights[4];
    for (int i = 0; i < 4; i++)
        weights[i] = noises((uint64_t)(200 + i), shape.c);
    for (int64_t c = 0; c < shape.c; c++)
        weights[3][c] = weights[3][c] * weights[3][c] + 0.5f;
    norm r = reference_norm(&x, b.dy, weights[0], weights[1], weights[2], weights[3], running);
    check_close("batchnorm", b.out, r.y, count_of(shape), tolerance);
    if (training)
        check_close("its gradient", x.gradient, r.dx, count_of(shape), 2 * tolerance);
    if (offset == 0)
        check_norm_weights(&b, &r, &x, running);
    free_norm(&r);
    for (int i = 0; i < 4; i++)
        free(weights[i]);
    finish(&b);
}

static void check_norms(cln_shape shape, bool gaps) {
    /* Of few elements, some channel's deviation may be small against the elements, and its rounding counts. */
    if (shape.n * shape.h * shape.w > 4)
        check_norm(shape, gaps, true, false, 0, 2 * TOLERANCE);
    check_norm(shape, gaps, true, true, 0, TOLERANCE);
    check_norm(shape, gaps, false, false, 0, TOLERANCE);
}

START_TEST(batchnorm_in_training_and_evaluation) {
    each_form(check_norms);
}
END_TEST

/* More parts than one work-item merges. */
START_TEST(batchnorm_merges_many_parts) {
    for (int gpu = 0; gpu < 2; gpu++) {
        device->caps.items_target = 1 << 14;
        device->caps.is_cpu = !gpu;
        device->caps.work_group = gpu ? 8 : 1;
        check_norm((cln_shape){13, 17, 19, 23}, false, true, false, 0, TOLERANCE);
    }
    device->caps = device_caps;
}
END_TEST

/* The mean itself has a rounding of 3e-5 then, against a deviation of 1. */
START_TEST(batchnorm_of_a_large_mean) {
    check_norm((cln_shape){8, 17, 16, 16}, false, true, false, 1000, 1e-4);
}
END_TEST

START_TEST(batchnorm_of_a_constant_is_the_bias) {
    cln_graph *g = cln_graph_new(ctx);
    field x = make_field(g, "x", (cln_shape){4, 5, 8, 8}, false, 1);
    for (int64_t i = 0; i < count_of(x.shape); i++)
        x.values[i] = 37.3f;
    op_case b = run(g, cln_batchnorm(g, x.whole, "bn", NULL), &x, NULL, true);
    for (int64_t i = 0; i < count_of(x.shape); i++)
        ck_assert_float_eq_tol(b.out[i], noise(201, i / 64 % 5), 1e-5f);
    finish(&b);
}
END_TEST

START_TEST(batchnorm_starts_and_refuses) {
    cln_graph *g = cln_graph_new(ctx);
    cln_tensor x = cln_input(g, "x", 1, 6, 1, 1), y = cln_batchnorm(g, x, "bn", NULL);
    cln_weights *weights;
    cln_plan *plan;
    float values[6];
    static const char *const names[] = {"bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"};
    ok(cln_weights_new(device, g, 1, &weights));
    ck_assert_int_eq(cln_weights_count(weights), 4);
    for (int i = 0; i < 4; i++) {
        ck_assert_str_eq(cln_weights_info(weights, i).name, names[i]);
        ok(cln_weights_get(weights, i, CLN_VALUE, values, 6));
        ck_assert_float_eq(values[5], i == 0 || i == 3 ? 1 : 0);
    }
    cln_plan_options options = {.training = true, .loss = y};
    ck_assert_int_eq(cln_plan_build(device, g, weights, &options, &plan), CLN_INVALID_ARGUMENT);
    ck_assert_str_eq(cln_context_error(ctx), "batchnorm 'bn': training needs more than one value a channel, its input "
                                             "has one image of one pixel");
    cln_batchnorm(g, x, "worse", &(cln_batchnorm_options){.eps = -1});
    ck_assert_str_eq(cln_context_error(ctx), "batchnorm 'worse': eps -1, momentum 0.1: out of range");
    cln_weights_free(weights);
    cln_graph_free(g);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("operators: batch normalisation");
    TCase *tests = tcase_create("on a device");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, batchnorm_in_training_and_evaluation);
    tcase_add_test(tests, batchnorm_merges_many_parts);
    tcase_add_test(tests, batchnorm_of_a_large_mean);
    tcase_add_test(tests, batchnorm_of_a_constant_is_the_bias);
    tcase_add_test(tests, batchnorm_starts_and_refuses);
    suite_add_tcase(suite, tests);
    return run_on_device(suite);
}
