/* Whole plans of random networks against a naive twin, and against each other: losses, every value, every gradient.
 * What goes wrong only between operators shows here: shared memory, views, gaps among channels, padding lanes,
 * gradients that meet.
 *
 *   test_network [first [count [side [blocks]]]]    other networks than the suite's, each in every configuration */
#include "../src/runtime/runtime.h"
#include "networks.h"
#include "numbers.h"
#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int first_network = 0, network_count = 6, side = 9;
static bool thorough = false, only_blocks = false;

/* --- the ways to run a network --- */

typedef struct configuration {
    const char *name, *variant;
    int block; /* 0: the device as it is; else used as a GPU would be, with blocks of so many channels */
    int keep;  /* every value that is a multiple of it, with its gradient, so that none is overwritten; 0: as little as
                  can be */
} configuration;

static const configuration configurations[] = {
    {"kept", "reference", 0, 1},      {"default", NULL, 0, 0},     {"some kept", NULL, 0, 3},
    {"reference", "reference", 0, 0}, {"blocks of 4", NULL, 4, 0}, {"im2col", "im2col", 8, 0},
};
enum { CONFIGURATIONS = sizeof configurations / sizeof *configurations };

static void configure(const configuration *c) {
    device->caps = device_caps;
    if (!c->block)
        return;
    device->caps.is_cpu = false;
    device->caps.block = c->block;
    device->caps.work_group = (int)cln__least((int64_t)device_caps.max_work_group, 64);
    device->caps.items_target = 2048;
}

typedef struct result {
    double loss, evaluation_loss;
    float *params[MAX_PARAMS];    /* gradients; of running statistics what they are after a step */
    float *gradients[MAX_VALUES]; /* of the inputs, and of values that are kept; else NULL */
} result;

typedef struct running {
    network *n;
    const configuration *c;
    cln_weights *weights;
    cln_plan *training, *evaluation;
    int weight_of[MAX_PARAMS];
} running;

static void make_weights(running *r) {
    ok(cln_weights_new(device, r->n->g, 3, &r->weights));
    ck_assert_int_eq(cln_weights_count(r->weights), r->n->param_count);
    for (int i = 0; i < r->n->param_count; i++) {
        const param *p = &r->n->params[i];
        for (int k = 0; k < r->n->param_count; k++)
            if (strcmp(cln_weights_info(r->weights, k).name, p->name) == 0)
                r->weight_of[i] = k;
        ok(cln_weights_set(r->weights, r->weight_of[i], CLN_VALUE, p->start, p->count));
    }
}

/* The loss is kept anyway. */
static bool is_kept(const running *r, int index) {
    return (r->c->keep && index % r->c->keep == 0) || index == r->n->value_count - 1;
}

static bool has_gradient(const running *r, int index) {
    return r->n->values[index].operation == INPUT || (is_kept(r, index) && index < r->n->value_count - 1);
}

static void make_plans(running *r) {
    cln_tensor outputs[MAX_VALUES], gradients[MAX_VALUES];
    int output_count = 0, gradient_count = 0;
    for (int i = 0; i < r->n->value_count; i++) {
        if (is_kept(r, i))
            outputs[output_count++] = r->n->values[i].t;
        if (has_gradient(r, i))
            gradients[gradient_count++] = r->n->values[i].t;
    }
    cln_plan_options options = {.loss = r->n->values[r->n->value_count - 1].t,
                                .outputs = outputs,
                                .output_count = output_count,
                                .variant = r->c->variant};
    ok(cln_plan_build(device, r->n->g, r->weights, &options, &r->evaluation));
    options.training = true;
    options.gradients = gradients;
    options.gradient_count = gradient_count;
    ok(cln_plan_build(device, r->n->g, r->weights, &options, &r->training));
}

/* Memory that nobody has written holds no numbers. */
static void spoil(cln_plan *plan) {
    const cl_float nothing = NAN;
    for (int i = 0; i < plan->host.arenas.count; i++)
        ck_assert_int_eq(clEnqueueFillBuffer(device->queue, plan->arenas[i], &nothing, sizeof nothing, 0,
                                             (size_t)plan->host.arenas.bytes[i], 0, NULL, NULL),
                         CL_SUCCESS);
}

static void write_inputs(running *r, cln_plan *plan) {
    for (int i = 0; i < r->n->value_count; i++) {
        const value *v = &r->n->values[i];
        int64_t count = count_of(v->shape);
        if (v->operation != INPUT)
            continue;
        float *data = floats(count);
        for (int64_t k = 0; k < count; k++)
            data[k] = (float)v->data[k];
        ok(cln_plan_write(plan, v->t, data, count));
        free(data);
    }
    ok(cln_plan_write_labels(plan, r->n->labels, r->n->label_values, r->n->batch));
}

static float step(running *r, cln_plan *plan) {
    float loss;
    cln_plan_set_updates(plan, 0); /* the same dropout every time */
    ok(cln_plan_step(plan, 0));
    ok(cln_plan_read(plan, r->n->values[r->n->value_count - 1].t, &loss, 1));
    return loss;
}

/* --- checks of kept values --- */

static void check_lanes(running *r, cln_plan *plan, const value *v) {
    const cln__layout *l = &plan->host.layouts.of[v->t.id];
    int64_t span = cln__span(plan->host.graph, &plan->host.layouts, v->t.id), pixels = v->shape.h * v->shape.w;
    cln__place_of place;
    float *data = floats(span);
    ok(cln__plan_locate(plan, v->t.id, &place));
    ck_assert_int_eq(clEnqueueReadBuffer(device->queue, place.buffer, CL_TRUE, place.offset * sizeof(float),
                                         (size_t)span * sizeof(float), data, 0, NULL, NULL),
                     CL_SUCCESS);
    int64_t wrong = -1;
    for (int64_t s = 0, c = 0; s < l->stored; s++) {
        if (c < v->shape.c && l->map[c] == s) {
            c++;
            continue;
        }
        for (int64_t i = 0; i < v->shape.n * pixels; i++)
            if (data[i / pixels * l->image + s / l->block * l->block_stride + i % pixels * l->pixel + s % l->block] !=
                0)
                wrong = s;
    }
    free(data);
    ck_assert_msg(wrong < 0, "network %d, tensor %d: lane %d is padding, and not zero", r->n->seed, v->t.id,
                  (int)wrong);
}

/* After the twin has computed the same. */
static void check_values(running *r, cln_plan *plan) {
    for (int i = 0; i < r->n->value_count; i++) {
        const value *v = &r->n->values[i];
        int64_t count = count_of(v->shape);
        if (!is_kept(r, i))
            continue;
        float *data = floats(count);
        double scale = 0, error = 0;
        ok(cln_plan_read(plan, v->t, data, count));
        for (int64_t k = 0; k < count; k++) {
            double e = fabs(data[k] - v->data[k]);
            scale = fmax(scale, fabs(v->data[k]));
            error = fmax(error, isnan(e) ? INFINITY : e);
        }
        ck_assert_msg(error <= 2e-4 * scale + 1e-5, "network %d, tensor %d is up to %g from the twin's, of %g",
                      r->n->seed, v->t.id, error, scale);
        free(data);
        check_lanes(r, plan, v);
    }
}

/* --- a run --- */

static void read_results(running *r, result *out) {
    for (int i = 0; i < r->n->param_count; i++) {
        const param *p = &r->n->params[i];
        out->params[i] = floats(p->count);
        ok(cln_weights_get(r->weights, r->weight_of[i], p->trainable ? CLN_GRADIENT : CLN_VALUE, out->params[i],
                           p->count));
    }
    for (int i = 0; i < r->n->value_count; i++) {
        const value *v = &r->n->values[i];
        if (!has_gradient(r, i))
            continue;
        out->gradients[i] = floats(count_of(v->shape));
        ok(cln_plan_read_gradient(r->training, v->t, out->gradients[i], count_of(v->shape)));
    }
}

static void run(network *n, const configuration *c, result *out) {
    running r = {.n = n, .c = c};
    configure(c);
    make_weights(&r);
    make_plans(&r);
    spoil(r.training);
    spoil(r.evaluation);
    write_inputs(&r, r.training);
    write_inputs(&r, r.evaluation);

    out->evaluation_loss = step(&r, r.evaluation);
    network_loss(n, false);
    if (c->keep)
        check_values(&r, r.evaluation);
    out->loss = step(&r, r.training);
    network_loss(n, true);
    if (c->keep)
        check_values(&r, r.training);
    read_results(&r, out);
    /* The second step finds the memory as the first one left it. */
    double again = step(&r, r.training);
    ck_assert_msg(again == out->loss, "network %d, %s: two equal steps give %.9g and %.9g", n->seed, c->name, out->loss,
                  again);
    cln_plan_free(r.training);
    cln_plan_free(r.evaluation);
    cln_weights_free(r.weights);
}

static void free_result(result *r) {
    for (int i = 0; i < MAX_PARAMS; i++)
        free(r->params[i]);
    for (int i = 0; i < MAX_VALUES; i++)
        free(r->gradients[i]);
}

/* --- comparisons --- */

static void check_loss(const network *n, const char *what, double got, double expected) {
    ck_assert_msg(fabs(got - expected) <= 2e-5 * fmax(1, fabs(expected)), "network %d, %s: loss %.9g, the twin's %.9g",
                  n->seed, what, got, expected);
}

/* In the norm; what is left of gradients that cancel is noise. */
static void check_equal(const network *n, const char *how, const char *what, const float *got, const float *expected,
                        int64_t count) {
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += pow((double)got[i] - expected[i], 2);
        norm += pow(expected[i], 2);
    }
    ck_assert_msg(sqrt(difference) <= 1e-4 * sqrt(norm) + 2e-6, "network %d, %s: %s is %g away, of %g", n->seed, how,
                  what, sqrt(difference), sqrt(norm));
}

static void compare(const network *n, const char *how, const result *got, const result *expected) {
    for (int i = 0; i < n->param_count; i++)
        check_equal(n, how, n->params[i].name, got->params[i], expected->params[i], n->params[i].count);
    for (int i = 0; i < n->value_count; i++)
        if (got->gradients[i] && expected->gradients[i])
            check_equal(n, how, cln_name(n->g, "the gradient of value %d", i), got->gradients[i],
                        expected->gradients[i], count_of(n->values[i].shape));
}

/* The slope of the twin's loss along a random direction of all `data` is what the gradients say. */
static void check_slope(network *n, const char *what, double *const *data, const float *const *gradient,
                        const int64_t *counts, int count, int64_t total) {
    const double e = 1e-7; /* rarely beyond a kink */
    double *v = zeros(total), *start = zeros(total);
    double expected = 0, g2 = 0, v2 = 0, slope = 0;
    int64_t i = 0;
    for (int k = 0; k < count; k++)
        for (int64_t j = 0; j < counts[k]; j++, i++) {
            start[i] = data[k][j];
            v[i] = network_draw(n);
            expected += v[i] * gradient[k][j];
            g2 += pow(gradient[k][j], 2);
            v2 += v[i] * v[i];
        }
    for (int sign = -1; sign <= 2; sign++) { /* back to the start at last */
        i = 0;
        for (int k = 0; k < count; k++)
            for (int64_t j = 0; j < counts[k]; j++, i++)
                data[k][j] = start[i] + (sign < 2 ? sign : 0) * e * v[i];
        if (sign * sign == 1)
            slope += sign * network_loss(n, true) / (2 * e);
    }
    ck_assert_msg(fabs(slope - expected) <= 1e-4 * sqrt(g2 * v2) + 1e-6 * sqrt(v2),
                  "network %d: the slope along %s is %.9g, its gradient says %.9g", n->seed, what, slope, expected);
    free(v);
    free(start);
}

static void check_slope_of(network *n, const char *what, double *data, const float *gradient, int64_t count) {
    check_slope(n, what, &data, &gradient, &count, 1, count);
}

static void check_slopes(network *n, const result *r) {
    for (int i = 0; i < n->param_count; i++)
        if (n->params[i].trainable)
            check_slope_of(n, n->params[i].name, n->params[i].data, r->params[i], n->params[i].count);
    for (int i = 0; i < n->value_count; i++)
        if (n->values[i].operation == INPUT)
            check_slope_of(n, "an input", n->values[i].data, r->gradients[i], count_of(n->values[i].shape));
}

/* Along all parameters and inputs at once, for networks that are too large to do it for each. */
static void check_slope_of_all(network *n, const result *r) {
    int count = 0;
    double *data[MAX_PARAMS + MAX_VALUES];
    const float *gradient[MAX_PARAMS + MAX_VALUES];
    int64_t counts[MAX_PARAMS + MAX_VALUES], total = 0;
    for (int i = 0; i < n->param_count + n->value_count; i++) {
        int k = i - n->param_count;
        if (k < 0 ? !n->params[i].trainable : n->values[k].operation != INPUT)
            continue;
        data[count] = k < 0 ? n->params[i].data : n->values[k].data;
        gradient[count] = k < 0 ? r->params[i] : r->gradients[k];
        counts[count] = k < 0 ? n->params[i].count : count_of(n->values[k].shape);
        total += counts[count++];
    }
    check_slope(n, "everything", data, gradient, counts, count, total);
}

static void check_configurations(network *n, const bool tried[CONFIGURATIONS],
                                 void (*check)(network *n, const result *r)) {
    double loss = network_loss(n, true), evaluation_loss = network_loss(n, false);
    result results[CONFIGURATIONS] = {0};
    for (int i = 0; i < CONFIGURATIONS; i++) {
        if (!tried[i])
            continue;
        run(n, &configurations[i], &results[i]);
        check_loss(n, configurations[i].name, results[i].loss, loss);
        check_loss(n, cln_name(n->g, "%s in evaluation", configurations[i].name), results[i].evaluation_loss,
                   evaluation_loss);
        compare(n, configurations[i].name, &results[i], &results[0]);
    }
    check(n, &results[0]);
    for (int i = 0; i < CONFIGURATIONS; i++)
        free_result(&results[i]);
    network_free(n);
}

START_TEST(random_networks_agree_with_their_twins) {
    network *n = network_new(first_network + _i, side);
    bool tried[CONFIGURATIONS];
    for (int i = 0; i < CONFIGURATIONS; i++)
        tried[i] = thorough || i < 2 || i == 2 + n->seed % (CONFIGURATIONS - 2);
    check_configurations(n, tried, check_slopes);
}
END_TEST

/* By seed and size: each was wrong once. */
static const int blocks[][2] = {{1, 7}, {5, 6}, {7, 6}, {33, 5}, {58, 5}};
enum { BLOCKS = sizeof blocks / sizeof *blocks };

START_TEST(random_blocks_agree_with_their_twins) {
    network *n = thorough ? network_of_blocks_new(first_network + _i, side)
                          : network_of_blocks_new(blocks[_i][0], blocks[_i][1]);
    check_configurations(n, (const bool[CONFIGURATIONS]){true, true, true}, check_slope_of_all);
}
END_TEST

/* --- weights shared by plans --- */

/* Two values of 8 and 9 channels side by side, convolved: with a second, grouped, convolution they have no gaps. */
static cln_graph *make_joined(bool grouped, cln_tensor *y) {
    cln_graph *g = cln_graph_new(ctx);
    cln_tensor parts[2];
    cln_conv2d_options one = {.kernel_h = 1, .kernel_w = 1};
    for (int i = 0; i < 2; i++) {
        one.out_channels = 8 + i;
        parts[i] = cln_conv2d(g, cln_input(g, i ? "b" : "a", 1, 3, 4, 4), i ? "b" : "a", &one);
    }
    cln_tensor all = cln_concat(g, parts, 2);
    *y = cln_conv2d(g, all, "y", &one);
    one.groups = one.out_channels = 17;
    if (grouped)
        cln_conv2d(g, all, "z", &one);
    ok(cln_graph_status(g));
    return g;
}

START_TEST(weights_with_other_gaps_are_refused) {
    cln_tensor y, unused;
    cln_graph *gaps = make_joined(false, &y), *dense = make_joined(true, &unused);
    cln_weights *weights;
    cln_plan *plan;
    ok(cln_weights_new(device, dense, 1, &weights));
    cln_plan_options options = {.outputs = &y, .output_count = 1};
    ck_assert_int_eq(cln_plan_build(device, gaps, weights, &options, &plan), CLN_INVALID_ARGUMENT);
    expect_message("the weights' 'y.weight' is another network's");
    cln_weights_free(weights);
    cln_graph_free(gaps);
    cln_graph_free(dense);
}
END_TEST

static void add_tests(TCase *tests) {
    if (!only_blocks)
        tcase_add_loop_test(tests, random_networks_agree_with_their_twins, 0, network_count);
    tcase_add_loop_test(tests, random_blocks_agree_with_their_twins, 0, thorough ? network_count : BLOCKS);
    tcase_add_test(tests, weights_with_other_gaps_are_refused);
}

int main(int argc, char **argv) {
    thorough = argc > 1;
    first_network = argc > 1 ? atoi(argv[1]) : first_network;
    network_count = argc > 2 ? atoi(argv[2]) : network_count;
    side = argc > 3 ? atoi(argv[3]) : side;
    only_blocks = argc > 4;
    return suite_run_on_device("network", add_tests);
}
