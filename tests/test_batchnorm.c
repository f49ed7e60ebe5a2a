/* Batch normalisation on a device, against a naive float64 reference. */
#include "trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- batchnorm --- */

typedef struct norm {
    double *y, *dx, *dgamma, *dbeta, *mean, *var;
} norm;

/* mean and var: given where `running`, else made. */
static norm reference_norm(const operand *x, const float *dy, const float *gamma, const float *beta, const float *mean,
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

static void check_weight(trial *t, const char *name, cln_slot slot, const double *truth, int64_t count, double least) {
    float *got = trial_weight(t, name, slot);
    check_sums(name, got, truth, count, TOLERANCE, least);
    free(got);
}

static void check_norm_weights(trial *t, const norm *r, bool running) {
    cln_shape s = t->x[0].shape;
    double *mean = zeros(s.c), *var = zeros(s.c), size = (double)(s.n * s.h * s.w);
    for (int64_t c = 0; c < s.c; c++) {
        float old_mean = noise(WEIGHT_STREAM + 2, c), old_var = noise(WEIGHT_STREAM + 3, c);
        old_var = old_var * old_var + 0.5f;
        mean[c] = running ? old_mean : 0.9 * old_mean + 0.1 * r->mean[c];
        var[c] = running ? old_var : 0.9 * old_var + 0.1 * r->var[c] * size / (size - 1);
    }
    check_weight(t, "bn.running_mean", CLN_VALUE, mean, s.c, 0);
    check_weight(t, "bn.running_var", CLN_VALUE, var, s.c, 0);
    if (t->training) {
        check_weight(t, "bn.weight", CLN_GRADIENT, r->dgamma, s.c, sqrt(size));
        check_weight(t, "bn.bias", CLN_GRADIENT, r->dbeta, s.c, sqrt(size));
    }
    free(mean);
    free(var);
}

static void check_norm(cln_shape shape, bool training, bool use_running, float offset, double tolerance) {
    bool running = use_running || !training;
    trial t = trial_begin();
    operand *x = trial_input(&t, shape);
    for (int64_t i = 0; i < count_of(shape); i++)
        x->values[i] += offset;
    (training ? trial_run : trial_evaluate)(
        &t, cln_batchnorm(t.g, x->whole, "bn", &(cln_batchnorm_options){.use_running = use_running}));
    float *weights[4];
    for (int i = 0; i < 4; i++)
        weights[i] = noises((uint64_t)(WEIGHT_STREAM + i), shape.c);
    for (int64_t c = 0; c < shape.c; c++)
        weights[3][c] = weights[3][c] * weights[3][c] + 0.5f;
    norm r = reference_norm(x, t.y.gradient, weights[0], weights[1], weights[2], weights[3], running);
    check_close("batchnorm", t.y.values, r.y, count_of(shape), tolerance);
    if (training)
        check_close("its gradient", x->gradient, r.dx, count_of(shape), 2 * tolerance);
    if (offset == 0)
        check_norm_weights(&t, &r, running);
    free_norm(&r);
    for (int i = 0; i < 4; i++)
        free(weights[i]);
    trial_end(&t);
}

static void check_norms(cln_shape shape) {
    /* Of few elements, some channel's deviation may be small against the elements, and its rounding counts. */
    if (shape.n * shape.h * shape.w > 4)
        check_norm(shape, true, false, 0, 2 * TOLERANCE);
    check_norm(shape, true, true, 0, TOLERANCE);
    check_norm(shape, false, false, 0, TOLERANCE);
}

START_TEST(batchnorm_in_training_and_evaluation) {
    configure(_i);
    each_form(check_norms);
}
END_TEST

/* More parts than one work-item merges. */
START_TEST(batchnorm_merges_many_parts) {
    configure(_i);
    device->caps.items_target = 1 << 14;
    for (int own_block = 0; own_block < 2; own_block++) {
        check_norm((cln_shape){13, 17, 19, 23}, true, false, 0, TOLERANCE);
        device->caps.block = device_caps.block;
    }
}
END_TEST

/* The mean itself has a rounding of 3e-5 then, against a deviation of 1. */
START_TEST(batchnorm_of_a_large_mean) {
    configure(_i);
    check_norm((cln_shape){8, 17, 16, 16}, true, false, 1000, 1e-4);
}
END_TEST

/* x * scale + shift is exact to the last bit of shift, which is up to 37.3 * 316 here, as there is no deviation. */
START_TEST(batchnorm_of_a_constant_is_the_bias) {
    configure(_i);
    trial t = trial_begin();
    operand *x = trial_input(&t, (cln_shape){4, 5, 8, 8});
    for (int64_t i = 0; i < count_of(x->shape); i++)
        x->values[i] = 37.3f;
    trial_run(&t, cln_batchnorm(t.g, x->whole, "bn", NULL));
    for (int64_t i = 0; i < count_of(x->shape); i++)
        ck_assert_float_eq_tol(t.y.values[i], noise(WEIGHT_STREAM + 1, i / 64 % 5), 1e-3f);
    trial_end(&t);
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

static void add_tests(TCase *tests) {
    tcase_add_loop_test(tests, batchnorm_in_training_and_evaluation, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, batchnorm_merges_many_parts, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, batchnorm_of_a_large_mean, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, batchnorm_of_a_constant_is_the_bias, 0, CONFIGURATIONS);
    tcase_add_test(tests, batchnorm_starts_and_refuses);
}

int main(void) {
    return suite_run_on_device("batchnorm", add_tests);
}
