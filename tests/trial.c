/* Trials of operators on a device: see trial.h. */
#include "trial.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UPSTREAM_STREAM = 99, DIRECTION_STREAM = 500 };

void configure(int index) {
    device->caps = device_caps;
    if (index == 0)
        return;
    size_t group = index == 1 ? 64 : 8;
    device->caps.is_cpu = false;
    device->caps.block = index == 1 && device_caps.block == 4 ? 16 : 4;
    device->caps.work_group = (int)(group < device_caps.max_work_group ? group : device_caps.max_work_group);
    if (index == 2)
        device->caps.items_target = 4096;
}

void each_form(void (*body)(cln_shape shape)) {
    static const cln_shape forms[] = {
        {1, 1, 1, 1},  {2, 1, 5, 7},  {3, 3, 4, 5},   {2, 17, 5, 7}, {3, 16, 1, 1},
        {2, 25, 3, 7}, {5, 25, 1, 1}, {1, 5, 33, 31}, {7, 37, 2, 1},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        body(forms[i]);
}

void check_refused(cln_graph *g, cln_tensor y, const char *message) {
    ck_assert_int_lt(y.id, 0);
    ck_assert_int_eq(cln_graph_status(g), CLN_INVALID_ARGUMENT);
    ck_assert_str_eq(cln_context_error(ctx), message);
    cln_graph_free(g);
}

/* --- the graph --- */

trial trial_begin(void) {
    return (trial){
        .g = cln_graph_new(ctx), .labels = CLN_NO_TENSOR, .others = CLN_NO_TENSOR, .upstream = CLN_NO_TENSOR};
}

static operand *add_input(trial *t, cln_shape shape, const int64_t *channels, int parts) {
    ck_assert_int_lt(t->inputs, TRIAL_INPUTS);
    operand *x = &t->x[t->inputs];
    *x = (operand){.parts = parts, .shape = shape};
    for (int i = 0; i < parts; i++)
        x->part[i] = cln_input(t->g, cln_name(t->g, "x%d.%d", t->inputs, i), shape.n, channels[i], shape.h, shape.w);
    x->whole = parts > 1 ? cln_concat(t->g, x->part, parts) : x->part[0];
    x->values = noises((uint64_t)++t->inputs, count_of(shape));
    x->gradient = floats(count_of(shape));
    ck_assert_int_eq(cln_tensor_shape(t->g, x->whole).c, shape.c);
    return x;
}

operand *trial_plain_input(trial *t, cln_shape shape) {
    return add_input(t, shape, &shape.c, 1);
}

operand *trial_input(trial *t, cln_shape shape) {
    static const int64_t split[TRIAL_PARTS] = {8, 12, 5};
    return shape.c == GAPPED_CHANNELS ? add_input(t, shape, split, TRIAL_PARTS) : trial_plain_input(t, shape);
}

cln_tensor trial_labels(trial *t, const int32_t *values, int64_t rows) {
    t->label_values = values;
    return t->labels = cln_labels(t->g, "label", rows);
}

void trial_mixture(trial *t, const int32_t *others, const float *shares, int64_t rows) {
    t->other_values = others;
    t->share_values = shares;
    t->others = cln_labels(t->g, "other", rows);
    t->shares = cln_input(t->g, "share", rows, 1, 1, 1);
}

/* --- the plan --- */

static void set_weights(trial *t) {
    ok(cln_weights_new(device, t->g, 3, &t->weights));
    for (int i = 0; i < cln_weights_count(t->weights); i++) {
        cln_weight_info info = cln_weights_info(t->weights, i);
        float *values = noises((uint64_t)(WEIGHT_STREAM + i), info.count);
        if (strstr(info.name, "running_var"))
            for (int64_t k = 0; k < info.count; k++)
                values[k] = values[k] * values[k] + 0.5f;
        ok(cln_weights_set(t->weights, i, CLN_VALUE, values, info.count));
        free(values);
    }
}

void trial_build(trial *t, const cln_plan_options *options) {
    cln_tensor wanted[TRIAL_INPUTS * TRIAL_PARTS];
    int count = 0;
    for (int k = 0; k < t->inputs; k++)
        for (int i = 0; i < t->x[k].parts; i++)
            wanted[count++] = t->x[k].part[i];
    cln_plan_options o = *options;
    o.gradients = wanted;
    o.gradient_count = o.training && !t->weights_only ? count : 0;
    o.variant = t->variant;
    o.seed = 5;
    t->training = o.training;
    t->y.whole = o.outputs[0];
    t->y.shape = cln_tensor_shape(t->g, t->y.whole);
    t->y.values = floats(count_of(t->y.shape));
    t->y.gradient = noises(UPSTREAM_STREAM, count_of(t->y.shape));
    ok(cln_graph_status(t->g));
    set_weights(t);
    ok(cln_plan_build(device, t->g, t->weights, &o, &t->plan));
}

void trial_run(trial *t, cln_tensor y) {
    cln_shape s = cln_tensor_shape(t->g, y);
    t->upstream = cln_input(t->g, "dy", s.n, s.c, s.h, s.w);
    trial_build(t, &(cln_plan_options){.training = true,
                                       .loss = y,
                                       .has_upstream = true,
                                       .upstream = t->upstream,
                                       .outputs = &y,
                                       .output_count = 1});
    trial_step(t, 0);
}

void trial_evaluate(trial *t, cln_tensor y) {
    trial_build(t, &(cln_plan_options){.loss = CLN_NO_TENSOR, .outputs = &y, .output_count = 1});
    trial_step(t, 0);
}

void trial_end(trial *t) {
    cln_plan_free(t->plan);
    cln_weights_free(t->weights);
    cln_graph_free(t->g);
    for (int k = 0; k < t->inputs; k++) {
        free(t->x[k].values);
        free(t->x[k].gradient);
    }
    free(t->y.values);
    free(t->y.gradient);
}

/* --- a step --- */

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
    float *packed = floats(span);
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
                if (pad != 0) /* no assertion for each: Check notes every one in a file */
                    ck_abort_msg("padding lane %lld of tensor %d holds %g", (long long)lane, id, (double)pad);
            }
    }
    free(packed);
}

/* Copies the channels from `first` on out of (`take`) or into the whole's array. */
static void copy_part(float *part, cln_shape s, float *whole, int64_t channels, int64_t first, bool take) {
    int64_t pixels = s.h * s.w, count = s.c * pixels;
    for (int64_t n = 0; n < s.n; n++) {
        float *w = whole + (n * channels + first) * pixels, *p = part + n * count;
        memcpy(take ? p : w, take ? w : p, (size_t)count * sizeof(float));
    }
}

/* Writes the values of an input, or reads its gradient. */
static void transfer(trial *t, operand *x, bool write) {
    int64_t first = 0;
    for (int i = 0; i < x->parts; i++) {
        cln_shape s = cln_tensor_shape(t->g, x->part[i]);
        float *part = floats(count_of(s));
        if (write) {
            copy_part(part, s, x->values, x->shape.c, first, true);
            ok(cln_plan_write(t->plan, x->part[i], part, count_of(s)));
        } else {
            ok(cln_plan_read_gradient(t->plan, x->part[i], part, count_of(s)));
            check_padding(t->plan, cln__gradient_of(t->plan->host.gradients, x->part[i]).id);
            copy_part(part, s, x->gradient, x->shape.c, first, false);
        }
        free(part);
        first += s.c;
    }
}

static void step(trial *t, const cln_rates *rates) {
    poison(t->plan);
    for (int k = 0; k < t->inputs; k++)
        transfer(t, &t->x[k], true);
    if (t->labels.id >= 0)
        ok(cln_plan_write_labels(t->plan, t->labels, t->label_values, cln_tensor_shape(t->g, t->labels).n));
    if (t->others.id >= 0) {
        int64_t rows = cln_tensor_shape(t->g, t->others).n;
        ok(cln_plan_write_labels(t->plan, t->others, t->other_values, rows));
        ok(cln_plan_write(t->plan, t->shares, t->share_values, rows));
    }
    if (t->upstream.id >= 0)
        ok(cln_plan_write(t->plan, t->upstream, t->y.gradient, count_of(t->y.shape)));
    ok(rates ? cln_plan_step_at(t->plan, *rates) : cln_plan_accumulate(t->plan));
    ok(cln_plan_read(t->plan, t->y.whole, t->y.values, count_of(t->y.shape)));
    check_padding(t->plan, t->y.whole.id);
    for (int k = 0; k < t->inputs && t->training && !t->weights_only; k++)
        transfer(t, &t->x[k], false);
}

void trial_step(trial *t, float learning_rate) {
    step(t, &(cln_rates){.learning_rate = learning_rate});
}

void trial_step_at(trial *t, cln_rates rates) {
    step(t, &rates);
}

void trial_accumulate(trial *t) {
    step(t, NULL);
}

float *trial_weight(trial *t, const char *name, cln_slot slot) {
    for (int i = 0; i < cln_weights_count(t->weights); i++) {
        cln_weight_info info = cln_weights_info(t->weights, i);
        if (strcmp(info.name, name) == 0) {
            float *values = floats(info.count);
            ok(cln_weights_get(t->weights, i, slot, values, info.count));
            return values;
        }
    }
    ck_abort_msg("no weight %s", name);
    return NULL;
}

bool trial_plan_mentions(const trial *t, const char *text) {
    char *plan = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&plan, &size);
    ck_assert_ptr_nonnull(out);
    cln_plan_print(t->plan, out);
    fclose(out);
    bool found = strstr(plan, text) != NULL;
    free(plan);
    return found;
}

/* --- finite differences --- */

typedef struct direction {
    double slope, gradient2, direction2; /* <gradient, v>, <gradient, gradient>, <v, v> */
} direction;

static void move_array(direction *d, float *values, const float *gradient, int64_t count, uint64_t stream, double by) {
    for (int64_t i = 0; i < count; i++) {
        double v = noise(stream, i);
        d->slope += gradient[i] * v;
        d->gradient2 += (double)gradient[i] * gradient[i];
        d->direction2 += v * v;
        values[i] += (float)(by * v);
    }
}

/* Moves inputs and weights by `by` along a direction, which is described with the gradients of the last step. */
static direction move(trial *t, double by) {
    direction d = {0};
    uint64_t stream = DIRECTION_STREAM;
    for (int k = 0; k < t->inputs; k++)
        move_array(&d, t->x[k].values, t->x[k].gradient, count_of(t->x[k].shape), stream++, by);
    for (int i = 0; i < cln_weights_count(t->weights); i++) {
        cln_weight_info info = cln_weights_info(t->weights, i);
        if (!info.trainable)
            continue;
        float *w = trial_weight(t, info.name, CLN_VALUE), *dw = trial_weight(t, info.name, CLN_GRADIENT);
        move_array(&d, w, dw, info.count, stream++, by);
        ok(cln_weights_set(t->weights, i, CLN_VALUE, w, info.count));
        free(w);
        free(dw);
    }
    return d;
}

static double objective_at(trial *t, double by) {
    double sum = 0;
    move(t, by);
    cln_plan_set_updates(t->plan, 0); /* the same dropout mask */
    trial_step(t, 0);
    for (int64_t i = 0; i < count_of(t->y.shape); i++)
        sum += (double)t->y.values[i] * t->y.gradient[i];
    return sum;
}

void trial_check_direction(trial *t, double tolerance) {
    const double h = 1.0 / 256;
    direction d = move(t, 0);
    double ahead = objective_at(t, h), behind = objective_at(t, -2 * h), measured = (ahead - behind) / (2 * h);
    double scale = fmin(fabs(d.slope) + 1, sqrt(d.gradient2 * d.direction2));
    ck_assert_msg(fabs(measured - d.slope) <= tolerance * scale, "along a direction the slope is %g, measured %g",
                  d.slope, measured);
}
