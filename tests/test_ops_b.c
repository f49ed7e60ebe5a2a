/* Pooling, linear, loss, accuracy, optimisers, and convolution by GEMM, on a device: against naive references in double
 * precision, against directional differences, and with what they refuse. Every case runs with the device's own channel
 * blocks and again as a GPU would be used: blocks of 4, groups of 64. */
#include "../src/ocl/ocl.h"
#include "clnet/plan.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cln_context *ctx;
static cln_device *device;
static cln__caps own_caps;

enum { CONFIGURATIONS = 2, MAX_PARTS = 3 };

static void configure(int index) {
    device->caps = own_caps;
    if (index == 0)
        return;
    device->caps.is_cpu = false;
    device->caps.block = own_caps.block == 4 ? 16 : 4;
    device->caps.work_group = own_caps.max_work_group < 64 ? (int)own_caps.max_work_group : 64;
}

static void ok(cln_status status) {
    ck_assert_msg(status == CLN_OK, "%s", cln_context_error(ctx));
}

static int64_t count_of(cln_shape s) {
    return s.n * s.c * s.h * s.w;
}

/* Numbers in [-1, 1) that depend on `seed` alone. */
static float *noise(int64_t count, unsigned seed) {
    float *values = malloc((size_t)count * sizeof *values);
    ck_assert_ptr_nonnull(values);
    for (int64_t i = 0; i < count; i++)
        values[i] = 2 * cln__uniform(cln__philox(seed, 0, (uint64_t)i).word[0]) - 1;
    return values;
}

static double *zeros(int64_t count) {
    double *values = calloc((size_t)count, sizeof *values);
    ck_assert_ptr_nonnull(values);
    return values;
}

/* |ours - truth| / |truth|; not-a-number never passes. */
static void check_near(const float *ours, const double *truth, int64_t count, double tolerance, const char *what) {
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += (ours[i] - truth[i]) * (ours[i] - truth[i]);
        norm += truth[i] * truth[i];
    }
    double error = sqrt(difference) / fmax(sqrt(norm), 1e-30);
    ck_assert_msg(norm == 0 ? difference == 0 : error <= tolerance, "%s: error %g, at most %g", what, error, tolerance);
}

/* --- one operator between an input, which may be a concatenation, and an upstream gradient --- */

typedef struct trial {
    cln_graph *g;
    cln_tensor part[MAX_PARTS], x, y, dy;
    int parts;
    cln_weights *weights;
    cln_plan *plan;
    float *xs, *ys, *dys, *dxs;
    cln_shape x_shape, y_shape;
} trial;

/* The input of `shape`; 25 channels come as 8 + 12 + 5, so that their blocks have gaps. */
static trial trial_begin(cln_shape shape) {
    static const int split[] = {8, 12, 5};
    trial t = {.g = cln_graph_new(ctx), .parts = shape.c == 25 ? 3 : 1, .x_shape = shape};
    for (int i = 0; i < t.parts; i++)
        t.part[i] =
            cln_input(t.g, cln_name(t.g, "x%d", i), shape.n, t.parts > 1 ? split[i] : shape.c, shape.h, shape.w);
    t.x = t.parts > 1 ? cln_concat(t.g, t.part, t.parts) : t.part[0];
    t.xs = noise(count_of(shape), 1);
    return t;
}

/* Writes t->xs, which is in the order of the whole input, part by part. */
static void write_x(trial *t) {
    int64_t pixels = t->x_shape.h * t->x_shape.w, first = 0;
    for (int i = 0; i < t->parts; i++) {
        int64_t size = cln_tensor_shape(t->g, t->part[i]).c * pixels, whole = t->x_shape.c * pixels;
        float *values = malloc((size_t)(size * t->x_shape.n) * sizeof *values);
        for (int64_t n = 0; n < t->x_shape.n; n++)
            memcpy(values + n * size, t->xs + n * whole + first, (size_t)size * sizeof *values);
        ok(cln_plan_write(t->plan, t->part[i], values, size * t->x_shape.n));
        free(values);
        first += size;
    }
}

static void read_dx(trial *t) {
    int64_t pixels = t->x_shape.h * t->x_shape.w, first = 0;
    for (int i = 0; i < t->parts; i++) {
        int64_t size = cln_tensor_shape(t->g, t->part[i]).c * pixels, whole = t->x_shape.c * pixels;
        float *values = malloc((size_t)(size * t->x_shape.n) * sizeof *values);
        ok(cln_plan_read_gradient(t->plan, t->part[i], values, size * t->x_shape.n));
        for (int64_t n = 0; n < t->x_shape.n; n++)
            memcpy(t->dxs + n * whole + first, values + n * size, (size_t)size * sizeof *values);
        free(values);
        first += size;
    }
}

static void forward(trial *t) {
    write_x(t);
    ok(cln_plan_write(t->plan, t->dy, t->dys, count_of(t->y_shape)));
    ok(cln_plan_step(t->plan, 0));
    ok(cln_plan_read(t->plan, t->y, t->ys, count_of(t->y_shape)));
}

/* Builds the plan around `y` and runs it once. `variant` may be NULL. */
static void trial_run(trial *t, cln_tensor y, const char *variant) {
    t->y = y;
    t->y_shape = cln_tensor_shape(t->g, y);
    t->dy = cln_input(t->g, "dy", t->y_shape.n, t->y_shape.c, t->y_shape.h, t->y_shape.w);
    ok(cln_graph_status(t->g));
    ok(cln_weights_new(device, t->g, 5, &t->weights));
    cln_plan_options options = {.training = true,
                                .loss = t->y,
                                .has_upstream = true,
                                .upstream = t->dy,
                                .outputs = &t->y,
                                .output_count = 1,
                                .gradients = t->part,
                                .gradient_count = t->parts,
                                .variant = variant};
    ok(cln_plan_build(device, t->g, t->weights, &options, &t->plan));
    t->dys = noise(count_of(t->y_shape), 2);
    t->ys = malloc((size_t)count_of(t->y_shape) * sizeof *t->ys);
    t->dxs = malloc((size_t)count_of(t->x_shape) * sizeof *t->dxs);
    forward(t);
    read_dx(t);
}

/* <dy, f(x + e v) - f(x - e v)> / 2e against <dx, v>, as a fraction of |dx||v|. */
static void check_direction(trial *t, double tolerance) {
    const float e = 0.0078125f;
    int64_t count = count_of(t->x_shape);
    float *v = noise(count, 3);
    double slope = 0, expected = 0, dx2 = 0, v2 = 0;
    for (int sign = -1; sign <= 1; sign += 2) {
        for (int64_t i = 0; i < count; i++)
            t->xs[i] += (float)sign * e * v[i];
        forward(t);
        for (int64_t i = 0; i < count_of(t->y_shape); i++)
            slope += sign * (double)t->dys[i] * t->ys[i] / (2 * e);
        for (int64_t i = 0; i < count; i++)
            t->xs[i] -= (float)sign * e * v[i];
    }
    for (int64_t i = 0; i < count; i++) {
        expected += (double)t->dxs[i] * v[i];
        dx2 += (double)t->dxs[i] * t->dxs[i];
        v2 += (double)v[i] * v[i];
    }
    ck_assert_msg(fabs(slope - expected) <= tolerance * sqrt(dx2 * v2),
                  "slope %g along a direction, the gradient says %g", slope, expected);
    free(v);
}

/* Whether the plan's text mentions `word`. */
static bool plan_mentions(const cln_plan *plan, const char *word) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(out);
    cln_plan_print(plan, out);
    fclose(out);
    bool found = strstr(text, word) != NULL;
    free(text);
    return found;
}

static void trial_end(trial *t) {
    cln_plan_free(t->plan);
    cln_weights_free(t->weights);
    cln_graph_free(t->g);
    free(t->xs);
    free(t->ys);
    free(t->dys);
    free(t->dxs);
}

/* --- pooling --- */

typedef struct pool_case {
    cln_shape x;
    int kernel, stride, padding;
} pool_case;

/* One of everything, planar images, primes, 17 channels, gaps, windows apart, windows larger than the image. */
static const pool_case pool_cases[] = {
    {{1, 1, 1, 1}, 1, 1, 0},  {{2, 3, 8, 6}, 3, 2, 1},  {{3, 1, 5, 7}, 3, 2, 1}, {{2, 17, 7, 11}, 3, 1, 1},
    {{2, 25, 9, 5}, 3, 2, 1}, {{1, 5, 13, 7}, 2, 3, 0}, {{2, 6, 2, 3}, 5, 1, 2},
};

/* Quantised, so that there are ties, and below zero, so that a padding of zeros would win. */
static void make_ties(float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        x[i] = floorf(x[i] * 3) - 4;
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
    if (ties)
        make_ties(t.xs, count_of(p->x));
    trial_run(&t, (average ? cln_avgpool : cln_maxpool)(t.g, t.x, p->kernel, p->stride, p->padding), NULL);
    double *y = zeros(count_of(t.y_shape)), *dx = zeros(count_of(t.x_shape));
    naive_pool(&t, p, average, y, dx);
    check_near(t.ys, y, count_of(t.y_shape), average ? 1e-6 : 0, "y");
    check_near(t.dxs, dx, count_of(t.x_shape), 1e-6, "dx");
    if (average) /* linear: only rounding, enlarged by 1 / (2 e) */
        check_direction(&t, 1e-5);
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
    configure(_i);
    for (size_t i = 0; i < sizeof pool_cases / sizeof *pool_cases; i++)
        check_pool(&pool_cases[i], true, false);
}
END_TEST

START_TEST(global_avgpool_matches_the_reference) {
    static const cln_shape shapes[] = {{1, 1, 1, 1}, {2, 3, 5, 7}, {3, 17, 3, 11}, {2, 25, 8, 8}, {1, 1, 9, 2}};
    configure(_i);
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
    ck_assert_msg(plan_mentions(t.plan, word), "the plan does not use %s", variant);
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
    configure(_i);
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
    configure(_i);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (_i == 0 || i < 5)
            check_conv(&cases[i], "im2col");
}
END_TEST

START_TEST(linear_matches_the_reference) {
    static const int sizes[][3] = {{1, 1, 5}, {5, 33, 10}, {17, 25, 19}, {9, 64, 16}};
    static const char *const variants[] = {"direct", "gemm"};
    configure(_i);
    for (int i = 0; i < 8; i++) {
        const int *s = sizes[i / 2];
        trial t = trial_begin((cln_shape){s[0], s[1], 1, 1});
        trial_run(&t, cln_linear(t.g, t.x, "head", s[2]), variants[i % 2]);
        ck_assert(plan_mentions(t.plan, i % 2 ? "linear 'head' gemm " : "linear 'head' direct "));
        check_products(&t, &(cln_conv2d_options){.kernel_h = 1, .kernel_w = 1, .bias = true});
        check_direction(&t, 1e-4);
        trial_end(&t);
    }
}
END_TEST

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
    write_x(&t);
    ok(cln_plan_write_labels(t.plan, label, labels, p->rows));
    ok(cln_plan_step(t.plan, 0));
    read_dx(&t);
    float loss, hits;
    double truth, *dx = zeros(count);
    ok(cln_plan_read(t.plan, outputs[0], &loss, 1));
    ok(cln_plan_read(t.plan, outputs[1], &hits, 1));
    naive_loss(p, t.xs, labels, &truth, dx);
    check_near(&loss, &truth, 1, 1e-6, "loss");
    check_near(t.dxs, dx, count, 1e-5, "gradient of the logits");
    ck_assert_int_eq((int)hits, naive_hits(p, t.xs, labels));
    free(dx);
    trial_end(&t);
}

START_TEST(loss_and_accuracy_match_the_reference) {
    static const loss_case cases[] = {
        {1, 5, 0, 1, 1},     {8, 10, 0, 1, 8},   {5, 7, 0.1f, 2, 5},  {13, 17, 0.3f, 1, 9},
        {7, 25, 0.1f, 1, 4}, {4, 10, 0, 500, 4}, {6, 10, 0.1f, 1, 0}, {3, 1, 0, 1, 3},
    };
    configure(_i);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_loss(&cases[i]);
}
END_TEST

/* --- optimisers --- */

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
        write_x(&l.t);
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
    configure(_i);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_optimizer(&cases[i]);
}
END_TEST

START_TEST(an_undefined_loss_changes_no_weight) {
    configure(_i);
    learner l = learner_begin(&(cln_optimizer){.kind = CLN_SGD, .momentum = 0.9f});
    float *before = get_weight(&l.t, 0, CLN_VALUE), loss;
    l.t.xs[3] = INFINITY;
    write_x(&l.t);
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

int main(void) {
    if (cln_context_new(&ctx) != CLN_OK)
        return EXIT_FAILURE;
    if (cln_device_open(ctx, NULL, &device) != CLN_OK) {
        printf("skipped: %s\n", cln_context_error(ctx));
        cln_context_free(ctx);
        return getenv("CI") ? EXIT_FAILURE : EXIT_SUCCESS;
    }
    own_caps = device->caps;
    TCase *tcase = tcase_create("operators b");
    tcase_set_timeout(tcase, 0);
    tcase_add_loop_test(tcase, maxpool_matches_the_reference, 0, CONFIGURATIONS);
    tcase_add_loop_test(tcase, maxpool_shows_what_is_not_a_number, 0, CONFIGURATIONS);
    tcase_add_loop_test(tcase, avgpool_matches_the_reference, 0, CONFIGURATIONS);
    tcase_add_loop_test(tcase, global_avgpool_matches_the_reference, 0, CONFIGURATIONS);
    tcase_add_loop_test(tcase, conv2d_gemm_matches_the_reference, 0, CONFIGURATIONS);
    tcase_add_loop_test(tcase, conv2d_im2col_matches_the_reference, 0, CONFIGURATIONS);
    tcase_add_loop_test(tcase, linear_matches_the_reference, 0, CONFIGURATIONS);
    tcase_add_loop_test(tcase, loss_and_accuracy_match_the_reference, 0, CONFIGURATIONS);
    tcase_add_loop_test(tcase, optimizers_match_the_recipe, 0, CONFIGURATIONS);
    tcase_add_loop_test(tcase, an_undefined_loss_changes_no_weight, 0, CONFIGURATIONS);
    tcase_add_test(tcase, bad_shapes_are_refused_by_name);
    tcase_add_test(tcase, optimizers_have_names_and_limits);
    Suite *suite = suite_create("operators b");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    cln_device_free(device);
    cln_context_free(ctx);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
