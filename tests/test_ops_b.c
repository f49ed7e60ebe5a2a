/* Pooling, linear, and convolution by GEMM: against naive references in double precision, against directional
 * differences, and with what they refuse. */
#include "trial.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- pooling --- */

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
        x[i] = floorf(x[i] * 3) - 4;
}

/* All different, and further apart than the steps of trial_check_direction. */
static void make_distinct(float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        x[i] = 0.05f * (float)(i * 7919 % count) - 10;
}

static void naive_pool(const trial *t, const pool_case *p, bool average, double *y, double *dx) {
    cln_shape s = t->x_shape, o = t->y_shape;
    for (int64_t plane = 0; plane < s.n * s.c; plane++)
        for (int64_t pixel = 0; pixel < o.h * o.w; pixel++) {
            int64_t best = -1, at = plane * o.h * o.w + pixel;
            double sum = 0, share = t->dys[at] / ((double)p->kernel * p->kernel);
            for (int ky = 0; ky < p->kernel; ky++)
                for (int kx = 0; kx < p->kernel; kx++) {
                    int64_t iy = pixel / o.w * p->stride - p->padding + ky,
                            ix = pixel % o.w * p->stride - p->padding + kx;
                    if (iy < 0 || iy >= s.h || ix < 0 || ix >= s.w)
                        continue;
                    int64_t from = (plane * s.h + iy) * s.w + ix;
                    best = best < 0 || t->xs[from] > t->xs[best] ? from : best;
                    sum += t->xs[from];
                    dx[from] += average ? share : 0;
                }
            y[at] = average ? sum / ((double)p->kernel * p->kernel) : t->xs[best];
            dx[best] += average ? 0 : t->dys[at];
        }
}

static void check_pool(const pool_case *p, bool average, bool ties) {
    trial t = trial_begin(p->x);
    (ties ? make_ties : make_distinct)(t.xs, count_of(p->x));
    trial_run(&t, (average ? cln_avgpool : cln_maxpool)(t.g, t.x, p->kernel, p->stride, p->padding), NULL);
    double *y = zeros(count_of(t.y_shape)), *dx = zeros(count_of(t.x_shape));
    naive_pool(&t, p, average, y, dx);
    check_near(t.ys, y, count_of(t.y_shape), average ? 1e-6 : 0, "y");
    check_near(t.dxs, dx, count_of(t.x_shape), 1e-6, "dx");
    if (!ties) /* linear for such small steps: only rounding, enlarged by 1 / (2 e) */
        trial_check_direction(&t, 1e-3);
    free(y);
    free(dx);
    trial_end(&t);
}

START_TEST(maxpool_matches_the_reference) {
    trial_configure(_i);
    for (size_t i = 0; i < sizeof pool_cases / sizeof *pool_cases; i++) {
        check_pool(&pool_cases[i], false, false);
        check_pool(&pool_cases[i], false, true);
    }
}
END_TEST

START_TEST(maxpool_shows_what_is_not_a_number) {
    trial_configure(_i);
    trial t = trial_begin((cln_shape){1, 5, 4, 4});
    t.xs[5] = NAN;
    trial_run(&t, cln_maxpool(t.g, t.x, 2, 2, 0), NULL);
    ck_assert(isnan(t.ys[0]));
    for (int i = 1; i < 20; i++)
        ck_assert(!isnan(t.ys[i]));
    trial_end(&t);
}
END_TEST

START_TEST(avgpool_matches_the_reference) {
    trial_configure(_i);
    for (size_t i = 0; i < sizeof pool_cases / sizeof *pool_cases; i++)
        check_pool(&pool_cases[i], true, false);
}
END_TEST

START_TEST(global_avgpool_matches_the_reference) {
    static const cln_shape shapes[] = {{1, 1, 1, 1}, {2, 3, 5, 7}, {3, 17, 3, 11}, {2, 25, 8, 8}, {1, 1, 9, 2}};
    trial_configure(_i);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        trial t = trial_begin(shapes[i]);
        trial_run(&t, cln_global_avgpool(t.g, t.x), NULL);
        int64_t pixels = shapes[i].h * shapes[i].w;
        double *y = zeros(count_of(t.y_shape)), *dx = zeros(count_of(t.x_shape));
        for (int64_t k = 0; k < count_of(t.x_shape); k++) {
            y[k / pixels] += t.xs[k] / (double)pixels;
            dx[k] = t.dys[k / pixels] / (double)pixels;
        }
        check_near(t.ys, y, count_of(t.y_shape), 1e-6, "y");
        check_near(t.dxs, dx, count_of(t.x_shape), 1e-6, "dx");
        free(y);
        free(dx);
        trial_end(&t);
    }
}
END_TEST

/* --- convolution by GEMM, and linear, which is one of a single pixel --- */

typedef struct conv_case {
    cln_shape x;
    cln_conv2d_options o;
} conv_case;

static void naive_conv(const trial *t, const cln_conv2d_options *o, const float *w, const float *bias, double *y,
                       double *dx, double *dw, double *db) {
    cln_shape s = t->x_shape, p = t->y_shape;
    int stride = o->stride ? o->stride : 1, dilation = o->dilation ? o->dilation : 1;
    for (int64_t at = 0; at < count_of(p); at++) {
        int64_t ox = at % p.w, oy = at / p.w % p.h, out = at / (p.w * p.h) % p.c, n = at / (p.w * p.h * p.c);
        y[at] = bias ? bias[out] : 0;
        db[out] += t->dys[at];
        for (int64_t k = 0; k < s.c * o->kernel_h * o->kernel_w; k++) {
            int64_t c = k / (o->kernel_h * o->kernel_w);
            int64_t iy = oy * stride - o->padding + k / o->kernel_w % o->kernel_h * dilation;
            int64_t ix = ox * stride - o->padding + k % o->kernel_w * dilation;
            if (iy < 0 || iy >= s.h || ix < 0 || ix >= s.w)
                continue;
            int64_t from = ((n * s.c + c) * s.h + iy) * s.w + ix, weight = out * s.c * o->kernel_h * o->kernel_w + k;
            y[at] += (double)t->xs[from] * w[weight];
            dx[from] += (double)t->dys[at] * w[weight];
            dw[weight] += (double)t->dys[at] * t->xs[from];
        }
    }
}

static float *get_weight(const trial *t, int index, cln_slot slot) {
    int64_t count = cln_weights_info(t->weights, index).count;
    float *values = malloc((size_t)count * sizeof *values);
    ok(cln_weights_get(t->weights, index, slot, values, count));
    return values;
}

/* Compares a trial whose weights are a layer's weight and, with `o->bias`, bias. Sums of up to some thousand products:
 * 1e-5 of the whole. */
static void check_products(trial *t, const cln_conv2d_options *o) {
    int64_t weights = cln_weights_info(t->weights, 0).count;
    float *w = get_weight(t, 0, CLN_VALUE), *dws = get_weight(t, 0, CLN_GRADIENT);
    float *bias = o->bias ? get_weight(t, 1, CLN_VALUE) : NULL, *dbs = o->bias ? get_weight(t, 1, CLN_GRADIENT) : NULL;
    double *y = zeros(count_of(t->y_shape)), *dx = zeros(count_of(t->x_shape)), *dw = zeros(weights);
    double *db = zeros(t->y_shape.c);
    naive_conv(t, o, w, bias, y, dx, dw, db);
    check_near(t->ys, y, count_of(t->y_shape), 1e-5, "y");
    check_near(t->dxs, dx, count_of(t->x_shape), 1e-5, "dx");
    check_near(dws, dw, weights, 1e-5, "gradient of the weight");
    if (o->bias)
        check_near(dbs, db, t->y_shape.c, 1e-5, "gradient of the bias");
    free(w);
    free(dws);
    free(bias);
    free(dbs);
    free(y);
    free(dx);
    free(dw);
    free(db);
}

static void check_conv(const conv_case *c, const char *variant) {
    trial t = trial_begin(c->x);
    trial_run(&t, cln_conv2d(t.g, t.x, "conv", &c->o), variant);
    char word[64];
    snprintf(word, sizeof word, "conv2d 'conv' %s ", variant);
    ck_assert_msg(trial_plan_mentions(&t, word), "the plan does not use %s", variant);
    check_products(&t, &c->o);
    trial_end(&t);
}

START_TEST(conv2d_gemm_matches_the_reference) {
    static const conv_case cases[] = {
        {{1, 1, 1, 1}, {.out_channels = 5, .kernel_h = 1, .kernel_w = 1, .bias = true}},
        {{2, 3, 7, 5}, {.out_channels = 17, .kernel_h = 1, .kernel_w = 1, .bias = true}},
        {{2, 25, 5, 3}, {.out_channels = 16, .kernel_h = 1, .kernel_w = 1}},
        {{3, 16, 4, 4}, {.out_channels = 12, .kernel_h = 1, .kernel_w = 1}},
        {{3, 40, 1, 1}, {.out_channels = 33, .kernel_h = 1, .kernel_w = 1}},
    };
    trial_configure(_i);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_conv(&cases[i], "gemm");
}
END_TEST

START_TEST(conv2d_im2col_matches_the_reference) {
    static const conv_case cases[] = {
        {{1, 1, 1, 1}, {.out_channels = 5, .kernel_h = 3, .kernel_w = 3, .padding = 1, .bias = true}},
        {{2, 3, 7, 9}, {.out_channels = 17, .kernel_h = 3, .kernel_w = 3, .padding = 1, .stride = 2, .bias = true}},
        {{2, 25, 5, 7}, {.out_channels = 16, .kernel_h = 3, .kernel_w = 1, .stride = 3}},
        {{1, 6, 11, 8}, {.out_channels = 7, .kernel_h = 3, .kernel_w = 3, .padding = 2, .dilation = 2, .bias = true}},
        {{2, 1, 6, 6}, {.out_channels = 8, .kernel_h = 1, .kernel_w = 1, .stride = 2}},
        /* more than the workspace holds: two chunks with blocks of 16 channels */
        {{6, 5, 64, 64}, {.out_channels = 5, .kernel_h = 7, .kernel_w = 7, .padding = 3, .bias = true}},
    };
    trial_configure(_i);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (_i == 0 || i < 5)
            check_conv(&cases[i], "im2col");
}
END_TEST

START_TEST(linear_matches_the_reference) {
    static const int sizes[][3] = {{1, 1, 5}, {5, 33, 10}, {17, 25, 19}, {9, 64, 16}};
    static const char *const variants[] = {"direct", "gemm"};
    trial_configure(_i);
    for (int i = 0; i < 8; i++) {
        const int *s = sizes[i / 2];
        trial t = trial_begin((cln_shape){s[0], s[1], 1, 1});
        trial_run(&t, cln_linear(t.g, t.x, "head", s[2]), variants[i % 2]);
        ck_assert(trial_plan_mentions(&t, i % 2 ? "linear 'head' gemm " : "linear 'head' direct "));
        check_products(&t, &(cln_conv2d_options){.kernel_h = 1, .kernel_w = 1, .bias = true});
        trial_check_direction(&t, 1e-4);
        trial_end(&t);
    }
}
END_TEST

/* Channels first..first+count-1 of `values`, which has those of `s`; the caller frees them. */
static float *channels_of(const float *values, cln_shape s, int64_t first, int64_t count) {
    int64_t pixels = s.h * s.w;
    float *part = malloc((size_t)(s.n * count * pixels) * sizeof *part);
    for (int64_t n = 0; n < s.n; n++)
        memcpy(part + n * count * pixels, values + (n * s.c + first) * pixels, (size_t)(count * pixels) * sizeof *part);
    return part;
}

/* Two layers side by side: both write into the wider tensor, and read their part of its gradient. */
static void check_side_by_side(cln_shape x, const char *variant, bool linear) {
    static const int outs[] = {16, 21};
    cln_conv2d_options o[2];
    trial t = trial_begin(x);
    cln_tensor y[2];
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "b" : "a";
        o[i] = (cln_conv2d_options){.out_channels = outs[i], .kernel_h = 1, .kernel_w = 1, .bias = linear};
        y[i] = linear ? cln_linear(t.g, t.x, name, outs[i]) : cln_conv2d(t.g, t.x, name, &o[i]);
    }
    trial_run(&t, cln_concat(t.g, y, 2), variant);
    double *dx = zeros(count_of(x));
    for (int i = 0; i < 2; i++) {
        trial part = t;
        int first = linear ? 2 * i : i;
        part.y_shape.c = outs[i];
        part.ys = channels_of(t.ys, t.y_shape, i ? outs[0] : 0, outs[i]);
        part.dys = channels_of(t.dys, t.y_shape, i ? outs[0] : 0, outs[i]);
        float *w = get_weight(&t, first, CLN_VALUE), *bias = linear ? get_weight(&t, first + 1, CLN_VALUE) : NULL;
        double *truth = zeros(count_of(part.y_shape)), *dw = zeros(outs[i] * x.c), *db = zeros(outs[i]);
        naive_conv(&part, &o[i], w, bias, truth, dx, dw, db);
        check_near(part.ys, truth, count_of(part.y_shape), 1e-5, "y");
        free(part.ys);
        free(part.dys);
        free(w);
        free(bias);
        free(truth);
        free(dw);
        free(db);
    }
    check_near(t.dxs, dx, count_of(x), 1e-5, "dx");
    free(dx);
    trial_end(&t);
}

START_TEST(layers_may_write_into_a_concatenation) {
    trial_configure(_i);
    check_side_by_side((cln_shape){3, 33, 1, 1}, "direct", true);
    check_side_by_side((cln_shape){3, 33, 1, 1}, "gemm", true);
    check_side_by_side((cln_shape){3, 33, 1, 1}, "gemm", false);
    check_side_by_side((cln_shape){2, 16, 3, 5}, "gemm", false);
    check_side_by_side((cln_shape){1, 16, 3, 5}, "gemm", false);
}
END_TEST

/* --- what is refused --- */

static void check_graph_error(cln_graph *g, const char *expected) {
    ck_assert_int_eq(cln_graph_status(g), CLN_INVALID_ARGUMENT);
    ck_assert_msg(strstr(cln_context_error(ctx), expected) != NULL, "%s", cln_context_error(ctx));
    cln_graph_free(g);
}

START_TEST(bad_shapes_are_refused_by_name) {
    cln_graph *g[8];
    cln_tensor x[8], flat[8], labels[8];
    for (int i = 0; i < 8; i++) {
        g[i] = cln_graph_new(ctx);
        x[i] = cln_input(g[i], "x", 2, 5, 4, 4);
        flat[i] = cln_global_avgpool(g[i], x[i]);
        labels[i] = cln_labels(g[i], "label", i == 3 ? 3 : 2);
    }
    cln_maxpool(g[0], x[0], 3, 1, 2);
    check_graph_error(g[0], "maxpool 'maxpool': kernel 3, stride 1, padding 2: out of range");
    cln_avgpool(g[1], x[1], 5, 1, 0);
    check_graph_error(g[1], "avgpool 'avgpool': a 5x5 kernel with padding 0 does not fit a 4x4 input");
    cln_linear(g[2], x[2], "head", 10);
    check_graph_error(g[2], "linear 'head': its input has 4x4 pixels an image");
    cln_softmax_ce(g[3], flat[3], labels[3], 0);
    check_graph_error(g[3], "softmax_ce 'softmax_ce': 2 rows of logits need as many labels");
    cln_softmax_ce(g[4], flat[4], labels[4], 1.5f);
    check_graph_error(g[4], "label smoothing 1.5 is not between 0 and 1");
    cln_accuracy(g[5], x[5], labels[5]);
    check_graph_error(g[5], "accuracy 'accuracy': its logits have 4x4 pixels");
    cln_linear(g[6], flat[6], "head", 0);
    check_graph_error(g[6], "linear 'head': 0 output features");
    cln_softmax_ce(g[7], flat[7], flat[7], 0);
    check_graph_error(g[7], "2 rows of logits need as many labels");
}
END_TEST

static void add_tests(TCase *tcase) {
    tcase_add_loop_test(tcase, maxpool_matches_the_reference, 0, TRIAL_CONFIGURATIONS);
    tcase_add_loop_test(tcase, maxpool_shows_what_is_not_a_number, 0, TRIAL_CONFIGURATIONS);
    tcase_add_loop_test(tcase, avgpool_matches_the_reference, 0, TRIAL_CONFIGURATIONS);
    tcase_add_loop_test(tcase, global_avgpool_matches_the_reference, 0, TRIAL_CONFIGURATIONS);
    tcase_add_loop_test(tcase, conv2d_gemm_matches_the_reference, 0, TRIAL_CONFIGURATIONS);
    tcase_add_loop_test(tcase, conv2d_im2col_matches_the_reference, 0, TRIAL_CONFIGURATIONS);
    tcase_add_loop_test(tcase, linear_matches_the_reference, 0, TRIAL_CONFIGURATIONS);
    tcase_add_loop_test(tcase, layers_may_write_into_a_concatenation, 0, TRIAL_CONFIGURATIONS);
    tcase_add_test(tcase, bad_shapes_are_refused_by_name);
}

int main(void) {
    return trial_suite("operators b", add_tests);
}
