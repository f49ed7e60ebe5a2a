/* See op_case.h. */
#include "op_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cln_context *ctx;
cln_device *device;
cln__caps device_caps;

void ok(cln_status status) {
    ck_assert_msg(status == CLN_OK, "%s", cln_context_error(ctx));
}

/* --- numbers --- */

int64_t count_of(cln_shape s) {
    return s.n * s.c * s.h * s.w;
}

float noise(uint64_t stream, int64_t i) {
    cln__random r = cln__philox(stream, 1, (uint64_t)i);
    double u = (r.word[0] + 0.5) / 4294967296.0, v = r.word[1] / 4294967296.0;
    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

float *noises(uint64_t stream, int64_t count) {
    float *values = malloc((size_t)count * sizeof *values);
    for (int64_t i = 0; i < count; i++)
        values[i] = noise(stream, i);
    return values;
}

void check_sums(const char *what, const float *got, const double *expected, int64_t count, double tolerance,
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

void check_close(const char *what, const float *got, const double *expected, int64_t count, double tolerance) {
    check_sums(what, got, expected, count, tolerance, 0);
}

/* --- a tensor made of inputs --- */

field make_field(cln_graph *g, const char *name, cln_shape s, bool gaps, uint64_t stream) {
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

static void write_inputs(op_case *b) {
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

void read_gradients(op_case *b) {
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

void step(op_case *b) {
    poison(b->plan);
    write_inputs(b);
    ok(cln_plan_step(b->plan, 0));
    ok(cln_plan_read(b->plan, b->y, b->out, count_of(cln_tensor_shape(b->g, b->y))));
    check_padding(b->plan, b->y.id);
    if (b->upstream.id >= 0)
        read_gradients(b);
}

op_case run(cln_graph *g, cln_tensor y, field *a, field *second, bool training) {
    op_case b = {.g = g, .y = y, .fields = {a, second}, .field_count = second ? 2 : 1, .upstream = CLN_NO_TENSOR};
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

void finish(op_case *b) {
    cln_plan_free(b->plan);
    cln_weights_free(b->weights);
    cln_graph_free(b->g);
    for (int k = 0; k < b->field_count; k++)
        free_field(b->fields[k]);
    free(b->dy);
    free(b->out);
}

void get_weight(op_case *b, const char *name, cln_slot slot, float *out, int64_t count) {
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

void each_form(void (*body)(cln_shape shape, bool gaps)) {
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

int run_on_device(Suite *suite) {
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
