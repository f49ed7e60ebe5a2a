/* Element-wise operators, batch normalisation, concatenation, flatten and dropout, on a device, against naive float64
 * references. Every case runs as on a CPU and as on a GPU (other channel blocks, other launches), with memory that
 * holds no numbers beforehand, and every kept tensor must have zeros in its padding. */
#include "../src/ops/ops.h"
#include "../src/runtime/runtime.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Single precision against double: a few roundings an element, in the norm. */
static const double TOLERANCE = 1e-6;

static cln_context *ctx;
static cln_device *device;
static cln__caps device_caps;

static void ok(cln_status status) {
    ck_assert_msg(status == CLN_OK, "%s", cln_context_error(ctx));
}

/* --- numbers --- */

static int64_t count_of(cln_shape s) {
    return s.n * s.c * s.h * s.w;
}

static float noise(uint64_t stream, int64_t i) {
    cln__random r = cln__philox(stream, 1, (uint64_t)i);
    double u = (r.word[0] + 0.5) / 4294967296.0, v = r.word[1] / 4294967296.0;
    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

static float *noises(uint64_t stream, int64_t count) {
    float *values = malloc((size_t)count * sizeof *values);
    for (int64_t i = 0; i < count; i++)
        values[i] = noise(stream, i);
    return values;
}

/* `least`: of the norm that the error is held against, for sums in which much may cancel. */
static void check_sums(const char *what, const float *got, const double *expected, int64_t count, double tolerance,
                       double least) {
    double error = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        error += (got[i] - expected[i]) * (got[i] - expected[i]);
        norm += expected[i] * expected[i];
    }
    error = sqrt(error);
    norm = fmax(sqrt(norm), least);
    ck_assert_msg(error <= tolerance * norm, "%s: error %g of %g", what, error, norm);
}

static void check_close(const char *what, const float *got, const double *expected, int64_t count, double tolerance) {
    check_sums(what, got, expected, count, tolerance, 0);
}

/* --- a tensor made of inputs --- */

/* One input, or the concatenation of three: as 8 + 12 + 5 channels, which leaves gaps among the stored channels. */
typedef struct field {
    cln_tensor whole, part[3];
    int parts;
    cln_shape shape;
    float *values, *gradient;
} field;

static field make_field(cln_graph *g, const char *name, cln_shape s, bool gaps, uint64_t stream) {
    static const int64_t share[3] = {8, 12, 5};
    field f = {.parts = gaps ? 3 : 1, .shape = s};
    for (int i = 0; i < f.parts; i++)
        f.part[i] = cln_input(g, cln_name(g, "%s%d", name, i), s.n, gaps ? share[i] : s.c, s.h, s.w);
    f.whole = gaps ? cln_concat(g, f.part, 3) : f.part[0];
    f.values = noises(stream, count_of(s));
    f.gradient = calloc((size_t)count_of(s), sizeof *f.gradient);
    ck_assert_int_eq(cln_tensor_shape(g, f.whole).c, s.c);
    return f;
}

static void free_field(field *f) {
    free(f->values);
    free(f->gradient);
}

/* Copies the channels of part `i` out of or into the whole's NCHW array. */
static void move_part(const field *f, float *whole, int64_t first, int64_t channels, float *part, bool take) {
    int64_t pixels = f->shape.h * f->shape.w;
    for (int64_t n = 0; n < f->shape.n; n++) {
        float *w = whole + (n * f->shape.c + first) * pixels, *p = part + n * channels * pixels;
        memcpy(take ? p : w, take ? w : p, (size_t)(channels * pixels) * sizeof(float));
    }
}

/* --- a plan around an operator --- */

typedef struct bench {
    cln_graph *g;
    cln_weights *weights;
    cln_plan *plan;
    field *fields[2];
    int field_count;
    cln_tensor y, upstream;
    float *dy, *out;
} bench;

/* Fills what the plan computes with NaN. */
static void poison(cln_plan *plan) {
    const cl_float nan = NAN;
    for (int i = 0; i < plan->host.arenas.count; i++)
        ck_assert_int_eq(clEnqueueFillBuffer(device->queue, plan->arenas[i], &nan, sizeof nan, 0,
                                             (size_t)plan->host.arenas.bytes[i], 0, NULL, NULL),
                         CL_SUCCESS);
}

static void check_padding(cln_plan *plan, int id) {
    const cln__layout *l = &plan->host.layouts.of[id];
    cln_shape s = plan->host.graph->tensors[id].shape;
    cln__place_of place;
    ok(cln__plan_locate(plan, id, &place));
    int64_t span = cln__span(plan->host.graph, &plan->host.layouts, id);
    float *packed = malloc((size_t)span * sizeof *packed);
    ck_assert_int_eq(clEnqueueReadBuffer(device->queue, place.buffer, CL_TRUE, place.offset * sizeof(float),
                                         (size_t)span * sizeof(float), packed, 0, NULL, NULL),
                     CL_SUCCESS);
    for (int64_t lane = 0, c = 0; lane < l->stored; lane++) {
        if (c < s.c && l->map[c] == lane) {
            c++;
            continue;
        }
        for (int64_t n = 0; n < s.n; n++)
            for (int64_t p = 0; p < s.h * s.w; p++) {
                float pad = packed[n * l->image + lane / l->block * l->block_stride + p * l->pixel + lane % l->block];
                ck_assert_msg(pad == 0, "padding lane %lld of tensor %d holds %g", (long long)lane, id, (double)pad);
            }
    }
    free(packed);
}

static void write_inputs(bench *b) {
    for (int k = 0; k < b->field_count; k++) {
        field *f = b->fields[k];
        for (int64_t i = 0, first = 0, channels; i < f->parts; i++, first += channels) {
            cln_shape s = cln_tensor_shape(b->g, f->part[i]);
            channels = s.c;
            float *part = malloc((size_t)count_of(s) * sizeof *part);
            move_part(f, f->values, first, channels, part, true);
            ok(cln_plan_write(b->plan, f->part[i], part, count_of(s)));
            free(part);
        }
    }
    if (b->upstream.id >= 0)
        ok(cln_plan_write(b->plan, b->upstream, b->dy, count_of(cln_tensor_shape(b->g, b->upstream))));
}

static void read_gradients(bench *b) {
    for (int k = 0; k < b->field_count; k++) {
        field *f = b->fields[k];
        for (int64_t i = 0, first = 0, channels; i < f->parts; i++, first += channels) {
            cln_shape s = cln_tensor_shape(b->g, f->part[i]);
            channels = s.c;
            float *part = malloc((size_t)count_of(s) * sizeof *part);
            ok(cln_plan_read_gradient(b->plan, f->part[i], part, count_of(s)));
            check_padding(b->plan, cln__gradient_of(b->plan->host.gradients, f->part[i]).id);
            move_part(f, f->gradient, first, channels, part, false);
            free(part);
        }
    }
}

static void step(bench *b) {
    poison(b->plan);
    write_inputs(b);
    ok(cln_plan_step(b->plan, 0));
    ok(cln_plan_read(b->plan, b->y, b->out, count_of(cln_tensor_shape(b->g, b->y))));
    check_padding(b->plan, b->y.id);
    if (b->upstream.id >= 0)
        read_gradients(b);
}

/* Plans y = ...(the fields), with dy from outside where `training`, and runs a step. */
static bench run(cln_graph *g, cln_tensor y, field *a, field *second, bool training) {
    bench b = {.g = g, .y = y, .fields = {a, second}, .field_count = second ? 2 : 1, .upstream = CLN_NO_TENSOR};
    cln_tensor wanted[6];
    int count = 0;
    for (int k = 0; k < b.field_count; k++)
        for (int i = 0; i < b.fields[k]->parts; i++)
            wanted[count++] = b.fields[k]->part[i];
    cln_shape s = cln_tensor_shape(g, y);
    ok(cln_graph_status(g));
    if (training)
        b.upstream = cln_input(g, "dy", s.n, s.c, s.h, s.w);
    b.dy = noises(99, count_of(s));
    b.out = malloc((size_t)count_of(s) * sizeof *b.out);
    cln_plan_options options = {.training = training,
                                .loss = y,
                                .has_upstream = training,
                                .upstream = b.upstream,
                                .outputs = &y,
                                .output_count = 1,
                                .gradients = wanted,
                                .gradient_count = training ? count : 0,
                                .variant = "reference",
                                .seed = 5};
    ok(cln_weights_new(device, g, 3, &b.weights));
    for (int i = 0; i < cln_weights_count(b.weights); i++) {
        cln_weight_info info = cln_weights_info(b.weights, i);
        float *values = noises((uint64_t)(200 + i), info.count);
        for (int64_t k = 0; k < info.count; k++)
            values[k] = strstr(info.name, "running_var") ? values[k] * values[k] + 0.5f : values[k];
        ok(cln_weights_set(b.weights, i, CLN_VALUE, values, info.count));
        free(values);
    }
    ok(cln_plan_build(device, g, b.weights, &options, &b.plan));
    step(&b);
    return b;
}

static void finish(bench *b) {
    cln_plan_free(b->plan);
    cln_weights_free(b->weights);
    cln_graph_free(b->g);
    for (int k = 0; k < b->field_count; k++)
        free_field(b->fields[k]);
    free(b->dy);
    free(b->out);
}

static void get_weight(bench *b, const char *name, cln_slot slot, float *out, int64_t count) {
    for (int i = 0; i < cln_weights_count(b->weights); i++)
        if (strcmp(cln_weights_info(b->weights, i).name, name) == 0) {
            ok(cln_weights_get(b->weights, i, slot, out, count));
            return;
        }
    ck_abort_msg("no weight %s", name);
}

/* --- the shapes of every test --- */

typedef struct form {
    cln_shape shape;
    bool gaps;
} form;

static const form forms[] = {
    {{1, 1, 1, 1}, false},  {{2, 1, 5, 7}, false},   {{3, 3, 4, 5}, false},
    {{2, 17, 5, 7}, false}, {{3, 16, 1, 1}, false},  {{2, 25, 3, 7}, true},
    {{5, 25, 1, 1}, true},  {{1, 5, 33, 31}, false}, {{7, 37, 2, 1}, false},
};
enum { FORMS = sizeof forms / sizeof *forms };

/* Runs `body` in every form, as on a CPU and as on a GPU. */
static void each_form(void (*body)(cln_shape shape, bool gaps)) {
    for (int gpu = 0; gpu < 2; gpu++) {
        device->caps = device_caps;
        if (gpu) {
            device->caps.is_cpu = false;
            device->caps.block = 4;
            device->caps.work_group = 8;
            device->caps.items_target = 4096;
        }
        for (int i = 0; i < FORMS; i++)
            body(forms[i].shape, forms[i].gaps);
    }
    device->caps = device_caps;
}

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
        bench b = run(g, y, &x, NULL, true);
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
    bench b = run(g, cln_activate(g, x.whole, CLN_RELU), &x, NULL, false);
    ck_assert(isnan(b.out[2]) && !isnan(b.out[1]));
    finish(&b);
}
END_TEST

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

static void check_norm_weights(bench *b, const norm *r, const field *x, bool running) {
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
    bench b = run(g, cln_batchnorm(g, x.whole, "bn", &(cln_batchnorm_options){.use_running = use_running}), &x, NULL,
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

static void check_many_parts(cln_shape shape, bool gaps) {
    (void)shape;
    if (gaps)
        return;
    check_norm((cln_shape){13, 17, 19, 23}, false, true, false, 0, TOLERANCE);
}

/* More parts than one work-item merges. */
START_TEST(batchnorm_merges_many_parts) {
    int usual = device_caps.items_target;
    device_caps.items_target = 1 << 14;
    check_many_parts(forms[0].shape, false);
    device->caps.items_target = 1 << 14;
    check_many_parts(forms[0].shape, false);
    device->caps.is_cpu = false;
    device->caps.work_group = 8;
    check_many_parts(forms[0].shape, false);
    device_caps.items_target = usual;
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
    bench b = run(g, cln_batchnorm(g, x.whole, "bn", NULL), &x, NULL, true);
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

/* --- add --- */

static void check_add(cln_shape shape, bool gaps) {
    for (int mixed = 0; mixed < 4; mixed++) {
        cln_graph *g = cln_graph_new(ctx);
        field p = make_field(g, "p", shape, gaps && mixed & 1, 1), q = make_field(g, "q", shape, gaps && mixed & 2, 2);
        bench b = run(g, cln_add(g, p.whole, q.whole), &p, &q, true);
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
    bench b = run(g, y, &x, NULL, true);
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
    bench b = run(g, cln_concat(g, outer, 3), &p, &q, true);
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
    bench b = run(g, cln_concat(g, branches, 2), &x, NULL, true);
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
        bench b = run(g, y, &x, NULL, true);
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
    bench b = run(g, cln_dropout(g, x.whole, p), &x, NULL, true);
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
    bench b = run(g, cln_dropout(g, cln_dropout(g, x.whole, 0.5f), 0.5f), &x, NULL, true);
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
    bench b = run(g, y, &x, NULL, training);
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
        bench b = run(g, cln_conv2d(g, x.whole, "conv", &o), &x, NULL, true);
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
    bench b = run(g, cln_add(g, x.whole, x.whole), &x, NULL, false);
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
static double objective(const bench *b) {
    double sum = 0;
    for (int64_t i = 0; i < count_of(cln_tensor_shape(b->g, b->y)); i++)
        sum += (double)b->out[i] * b->dy[i];
    return sum;
}

/* Moves inputs and weights by `by` along a direction; returns the gradient's component along it. */
static double move(bench *b, double by) {
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

static double objective_at(bench *b, double by) {
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
    bench b = run(g, y, &x, NULL, true);
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
    Suite *suite = suite_create("operators: element-wise, normalisation, layout");
    TCase *tests = tcase_create("on a device");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, activations_have_names_and_gains);
    tcase_add_test(tests, activations_and_their_gradients);
    tcase_add_test(tests, relu_keeps_nan);
    tcase_add_test(tests, batchnorm_in_training_and_evaluation);
    tcase_add_test(tests, batchnorm_merges_many_parts);
    tcase_add_test(tests, batchnorm_of_a_large_mean);
    tcase_add_test(tests, batchnorm_of_a_constant_is_the_bias);
    tcase_add_test(tests, batchnorm_starts_and_refuses);
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

    if (cln_context_new(&ctx) != CLN_OK)
        return EXIT_FAILURE;
    if (cln_device_open(ctx, NULL, &device) != CLN_OK) {
        printf("skipped: %s\n", cln_context_error(ctx));
        cln_context_free(ctx);
        return EXIT_SUCCESS;
    }
    device_caps = device->caps;
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    cln_device_free(device);
    cln_context_free(ctx);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
