/* Pooling on a device: against naive references in double precision and finite differences. */
#include "trial.h"

#include <math.h>
#include <stdlib.h>

typedef struct pool_case {
    cln_shape x;
    int kernel, stride, padding;
} pool_case;

/* One of everything, planar images, primes, 17 channels, gaps, windows apart, windows larger than the image; few
 * different windows, since each is a program to compile. */
static const pool_case pool_cases[] = {
    {{1, 1, 1, 1}, 3, 2, 1},   {{2, 3, 8, 6}, 3, 2, 1}, {{2, 25, 9, 5}, 3, 2, 1},
    {{2, 17, 7, 11}, 5, 1, 2}, {{2, 6, 2, 3}, 5, 1, 2}, {{1, 5, 13, 7}, 2, 3, 0},
};

/* Quantised, so that there are ties, and below zero, so that a padding of zeros would win. */
static void make_ties(float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        x[i] = fminf(floorf(x[i] * 3), 2) - 4;
}

/* All different, and further apart than the steps of trial_check_direction. */
static void make_distinct(float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        x[i] = 0.05f * (float)(i * 7919 % count) - 10;
}

static void naive_pool(const operand *x, const operand *y, const pool_case *p, bool average, double *truth,
                       double *dx) {
    cln_shape s = x->shape, o = y->shape;
    for (int64_t plane = 0; plane < s.n * s.c; plane++)
        for (int64_t pixel = 0; pixel < o.h * o.w; pixel++) {
            int64_t best = -1, at = plane * o.h * o.w + pixel;
            double sum = 0, share = y->gradient[at] / ((double)p->kernel * p->kernel);
            for (int ky = 0; ky < p->kernel; ky++)
                for (int kx = 0; kx < p->kernel; kx++) {
                    int64_t iy = pixel / o.w * p->stride - p->padding + ky,
                            ix = pixel % o.w * p->stride - p->padding + kx;
                    if (iy < 0 || iy >= s.h || ix < 0 || ix >= s.w)
                        continue;
                    int64_t from = (plane * s.h + iy) * s.w + ix;
                    best = best < 0 || x->values[from] > x->values[best] ? from : best;
                    sum += x->values[from];
                    dx[from] += average ? share : 0;
                }
            truth[at] = average ? sum / ((double)p->kernel * p->kernel) : x->values[best];
            dx[best] += average ? 0 : y->gradient[at];
        }
}

static void check_pool(const pool_case *p, bool average, bool ties) {
    trial t = trial_begin();
    operand *x = trial_input(&t, p->x);
    (ties ? make_ties : make_distinct)(x->values, count_of(p->x));
    trial_run(&t, (average ? cln_avgpool : cln_maxpool)(t.g, x->whole, p->kernel, p->stride, p->padding));
    double *y = zeros(count_of(t.y.shape)), *dx = zeros(count_of(x->shape));
    naive_pool(x, &t.y, p, average, y, dx);
    check_close("y", t.y.values, y, count_of(t.y.shape), average ? 1e-6 : 0);
    check_close("dx", x->gradient, dx, count_of(x->shape), 1e-6);
    if (!ties) /* linear for such small steps: only rounding, enlarged by 1 / (2 h) */
        trial_check_direction(&t, 1e-3);
    free(y);
    free(dx);
    trial_end(&t);
}

START_TEST(maxpool_matches_the_reference) {
    configure(_i);
    for (size_t i = 0; i < sizeof pool_cases / sizeof *pool_cases; i++) {
        check_pool(&pool_cases[i], false, false);
        check_pool(&pool_cases[i], false, true);
    }
}
END_TEST

START_TEST(maxpool_shows_what_is_not_a_number) {
    configure(_i);
    trial t = trial_begin();
    operand *x = trial_input(&t, (cln_shape){1, 5, 4, 4});
    x->values[5] = NAN;
    trial_run(&t, cln_maxpool(t.g, x->whole, 2, 2, 0));
    ck_assert(isnan(t.y.values[0]));
    for (int i = 1; i < 20; i++)
        ck_assert(!isnan(t.y.values[i]));
    trial_end(&t);
}
END_TEST

/* Max pooling of one normalised and activated tensor, or of two side by side; the second normalised differently. */
static void pool_normalised(trial *t, int parts, int stride) {
    cln_tensor part[2];
    for (int i = 0; i < parts; i++) {
        operand *x = trial_plain_input(t, (cln_shape){3, 16, 7, 6});
        part[i] = cln_activate(t->g, cln_batchnorm(t->g, x->whole, i ? "b" : "a", NULL), CLN_RELU);
    }
    cln_tensor y = parts == 1 ? part[0] : cln_concat(t->g, part, 2);
    trial_run(t, cln_maxpool(t->g, y, 3, stride, 1));
}

static void check_alike(const char *what, const float *got, const float *expected, int64_t count) {
    double *truth = zeros(count);
    for (int64_t i = 0; i < count; i++)
        truth[i] = expected[i];
    check_close(what, got, truth, count, 1e-5);
    free(truth);
}

/* On a CPU the gradient's kernel also does what belongs to activation and normalisation. */
START_TEST(maxpool_behind_a_normalisation) {
    int parts = 1 + _i % 2, stride = 1 + _i / 2;
    bool fused = device_caps.is_cpu;
    configure(0);
    trial one = trial_begin();
    pool_normalised(&one, parts, stride);
    ck_assert_int_eq(trial_plan_mentions(&one, "batchnorm_grad_part"), !fused);
    ck_assert_int_eq(trial_plan_mentions(&one, "activation_grad"), !fused);
    configure(1);
    trial other = trial_begin();
    pool_normalised(&other, parts, stride);
    check_alike("y", one.y.values, other.y.values, count_of(one.y.shape));
    for (int i = 0; i < parts; i++)
        check_alike("dx", one.x[i].gradient, other.x[i].gradient, count_of(one.x[i].shape));
    trial_end(&one);
    trial_end(&other);
}
END_TEST

START_TEST(avgpool_matches_the_reference) {
    configure(_i);
    for (size_t i = 0; i < sizeof pool_cases / sizeof *pool_cases; i++)
        check_pool(&pool_cases[i], true, false);
}
END_TEST

START_TEST(global_avgpool_matches_the_reference) {
    static const cln_shape shapes[] = {{1, 1, 1, 1}, {2, 3, 5, 7}, {3, 17, 3, 11}, {2, 25, 8, 8}, {1, 1, 9, 2}};
    configure(_i);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        trial t = trial_begin();
        operand *x = trial_input(&t, shapes[i]);
        trial_run(&t, cln_global_avgpool(t.g, x->whole));
        int64_t pixels = shapes[i].h * shapes[i].w;
        double *y = zeros(count_of(t.y.shape)), *dx = zeros(count_of(x->shape));
        for (int64_t k = 0; k < count_of(x->shape); k++) {
            y[k / pixels] += x->values[k] / (double)pixels;
            dx[k] = t.y.gradient[k / pixels] / (double)pixels;
        }
        check_close("y", t.y.values, y, count_of(t.y.shape), 1e-6);
        check_close("dx", x->gradient, dx, count_of(x->shape), 1e-6);
        free(y);
        free(dx);
        trial_end(&t);
    }
}
END_TEST

START_TEST(windows_that_do_not_fit_are_refused) {
    cln_graph *g = cln_graph_new(ctx);
    check_refused(
        g, cln_maxpool(g, cln_input(g, "x", 2, 5, 4, 4), 3, 1, 2),
        "maxpool 'maxpool': kernel 3, stride 1, padding 2: out of range (a padding of more than half the kernel "
        "would make empty windows)");
    g = cln_graph_new(ctx);
    check_refused(g, cln_avgpool(g, cln_input(g, "x", 2, 5, 4, 4), 5, 1, 0),
                  "avgpool 'avgpool': a 5x5 kernel with padding 0 does not fit a 4x4 input");
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_loop_test(tests, maxpool_matches_the_reference, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, maxpool_shows_what_is_not_a_number, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, maxpool_behind_a_normalisation, 0, 4);
    tcase_add_loop_test(tests, avgpool_matches_the_reference, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, global_avgpool_matches_the_reference, 0, CONFIGURATIONS);
    tcase_add_test(tests, windows_that_do_not_fit_are_refused);
}

int main(void) {
    return suite_run_on_device("pool", add_tests);
}
