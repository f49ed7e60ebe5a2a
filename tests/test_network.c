/* Whole plans of random networks against a naive twin, and against each other: losses, every value, every gradient.
 * What goes wrong only between operators shows here: shared memory, views, gaps among channels, padding lanes,
 * gradients that meet.
 *
 *   test_network [first [count [side]]]     other networks than the suite's, each in every configuration */
#include "../src/runtime/runtime.h"
#include "networks.h"
#include "numbers.h"
#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int first_network = 0, network_count = 6, side = 9;
static bool thorough = false;

/* --- the ways to run a network --- */

typedef struct configuration {
    const char *name, *variant;
    int block; /* 0: the device as it is; else used as a GPU would be, with blocks of so many channels */
    bool keep; /* keeps every value, so that none is overwritten; else there is as little memory as can be */
} configuration;

static const configuration configurations[] = {
    {"default", NULL, 0, false},     {"kept", "reference", 0, true}, {"reference", "reference", 0, false},
    {"blocks of 4", NULL, 4, false}, {"im2col", "im2col", 8, false},
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
    float *gradients[MAX_VALUES]; /* of the inputs */
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

static void make_plans(running *r) {
    cln_tensor inputs[MAX_VALUES], all[MAX_VALUES];
    int input_count = 0, count = r->n->value_count;
    for (int i = 0; i < count; i++) {
        all[i] = r->n->values[i].t;
        if (r->n->values[i].operation == INPUT)
            inputs[input_count++] = all[i];
    }
    cln_plan_options options = {.loss = all[count - 1],
                                .outputs = r->c->keep ? all : &all[count - 1],
                                .output_count = r->c->keep ? count : 1,
                                .variant = r->c->variant};
    ok(cln_plan_build(device, r->n->g, r->weights, &options, &r->evaluation));
    options.training = true;
    options.gradients = inputs;
    options.gradient_count = input_count;
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
        if (v->operation != INPUT)
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
        if (n->values[i].operation == INPUT)
            check_equal(n, how, "the gradient of an input", got->gradients[i], expected->gradients[i],
                        count_of(n->values[i].shape));
}

/* The slope of the twin's loss along a random direction of `data` is what the gradient says. */
static void check_slope(network *n, const char *what, double *data, const float *gradient, int64_t count) {
    const double e = 1e-6;
    double *v = zeros(count), *start = zeros(count);
    double expected = 0, g2 = 0, v2 = 0, slope = 0;
    memcpy(start, data, (size_t)count * sizeof *data);
    for (int64_t i = 0; i < count; i++) {
        v[i] = network_draw(n);
        expected += v[i] * gradient[i];
        g2 += pow(gradient[i], 2);
        v2 += v[i] * v[i];
    }
    for (int sign = -1; sign <= 1; sign += 2) {
        for (int64_t i = 0; i < count; i++)
            data[i] = start[i] + sign * e * v[i];
        slope += sign * network_loss(n, true) / (2 * e);
    }
    memcpy(data, start, (size_t)count * sizeof *data);
    ck_assert_msg(fabs(slope - expected) <= 1e-4 * sqrt(g2 * v2) + 1e-6 * sqrt(v2),
                  "network %d: the slope along %s is %.9g, its gradient says %.9g", n->seed, what, slope, expected);
    free(v);
    free(start);
}

static void check_slopes(network *n, const result *r) {
    for (int i = 0; i < n->param_count; i++)
        if (n->params[i].trainable)
            check_slope(n, n->params[i].name, n->params[i].data, r->params[i], n->params[i].count);
    for (int i = 0; i < n->value_count; i++)
        if (n->values[i].operation == INPUT)
            check_slope(n, "an input", n->values[i].data, r->gradients[i], count_of(n->values[i].shape));
}

START_TEST(random_networks_agree_with_their_twins) {
    network *n = network_new(first_network + _i, side);
    double loss = network_loss(n, true), evaluation_loss = network_loss(n, false);
    result results[CONFIGURATIONS] = {0};
    for (int i = 0; i < CONFIGURATIONS; i++) {
        if (!thorough && i >= 2 && i != 2 + n->seed % (CONFIGURATIONS - 2))
            continue;
        run(n, &configurations[i], &results[i]);
        check_loss(n, configurations[i].name, results[i].loss, loss);
        check_loss(n, configurations[i].name, results[i].evaluation_loss, evaluation_loss);
        compare(n, configurations[i].name, &results[i], &results[0]);
    }
    check_slopes(n, &results[0]);
    for (int i = 0; i < CONFIGURATIONS; i++)
        free_result(&results[i]);
    network_free(n);
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
    tcase_add_loop_test(tests, random_networks_agree_with_their_twins, 0, network_count);
    tcase_add_test(tests, weights_with_other_gaps_are_refused);
}

int main(int argc, char **argv) {
    thorough = argc > 1;
    first_network = argc > 1 ? atoi(argv[1]) : first_network;
    network_count = argc > 2 ? atoi(argv[2]) : network_count;
    side = argc > 3 ? atoi(argv[3]) : side;
    return suite_run_on_device("network", add_tests);
}
