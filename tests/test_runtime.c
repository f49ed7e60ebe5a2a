/* Weights and plans on a device, through the public interface: what fits, what is kept, what is shared, what is
 * reported when numbers stop being finite. */
#include "clnet/plan.h"
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct network {
    cln_graph *g;
    cln_tensor x, labels, logits, loss;
} network;

/* conv, batch norm, relu, concatenation of unequal parts, pooling, linear: one of each kind of memory. */
static network make_network(int64_t batch) {
    network n = {.g = cln_graph_new(ctx)};
    n.x = cln_input(n.g, "image", batch, 3, 8, 8);
    n.labels = cln_labels(n.g, "label", batch);
    cln_tensor parts[2];
    for (int i = 0; i < 2; i++) {
        cln_tensor h =
            cln_conv2d(n.g, n.x, cln_name(n.g, "conv%d", i),
                       &(cln_conv2d_options){.out_channels = 5 + 7 * i, .kernel_h = 3, .kernel_w = 3, .padding = 1});
        h = cln_batchnorm(n.g, h, cln_name(n.g, "norm%d", i), NULL);
        parts[i] = cln_activate(n.g, h, CLN_RELU);
    }
    cln_tensor h = cln_flatten(n.g, cln_global_avgpool(n.g, cln_concat(n.g, parts, 2)));
    n.logits = cln_linear(n.g, h, "head", 10);
    n.loss = cln_softmax_ce(n.g, n.logits, n.labels, 0);
    ok(cln_graph_status(n.g));
    return n;
}

static cln_plan_options training(const network *n) {
    return (cln_plan_options){.training = true,
                              .loss = n->loss,
                              .optimizer = {.kind = CLN_SGD, .momentum = 0.9f},
                              .outputs = &n->loss,
                              .output_count = 1};
}

static void write_batch(cln_plan *plan, const network *n, float scale) {
    int64_t batch = cln_tensor_shape(n->g, n->labels).n, count = batch * 3 * 8 * 8;
    float *images = malloc((size_t)count * sizeof *images);
    int32_t *labels = malloc((size_t)batch * sizeof *labels);
    for (int64_t i = 0; i < count; i++)
        images[i] = scale * sinf((float)(i * 37 % 1009));
    for (int64_t i = 0; i < batch; i++)
        labels[i] = (int32_t)(i % 10);
    ok(cln_plan_write(plan, n->x, images, count));
    ok(cln_plan_write_labels(plan, n->labels, labels, batch));
    free(images);
    free(labels);
}

static float step_loss(cln_plan *plan, const network *n, float lr) {
    int ticket;
    float loss;
    ok(cln_plan_step(plan, lr));
    ok(cln_plan_request_scalar(plan, n->loss, &ticket));
    ok(cln_plan_fetch(plan, ticket, &loss));
    return loss;
}

START_TEST(training_lowers_the_loss_and_evaluation_shares_the_weights) {
    network n = make_network(12);
    cln_weights *weights;
    cln_plan *train, *eval;
    ok(cln_weights_new(device, n.g, 1, &weights));
    cln_plan_options options = training(&n);
    ok(cln_plan_build(device, n.g, weights, &options, &train));
    ok(cln_plan_build(device, n.g, weights, &(cln_plan_options){.outputs = &n.loss, .output_count = 1}, &eval));
    write_batch(train, &n, 1);
    write_batch(eval, &n, 1);
    float before = step_loss(eval, &n, 0), first = step_loss(train, &n, 0.1f), last = first;
    for (int i = 0; i < 60; i++)
        last = step_loss(train, &n, 0.1f);
    ck_assert_float_lt(last, 0.9f * first);
    /* With the weights at rest, the running statistics settle on the batch's, and evaluation agrees with training. */
    for (int i = 0; i < 100; i++)
        last = step_loss(train, &n, 0);
    float after = step_loss(eval, &n, 0);
    ck_assert_float_lt(after, before);
    ck_assert_float_eq_tol(after, last, 0.02f * last);
    ck_assert_int_eq(cln_plan_updates(train), 161);
    cln_plan_memory memory = cln_plan_get_memory(train);
    ck_assert_uint_gt(memory.planned_bytes, 0);
    ck_assert_uint_lt(memory.planned_bytes, memory.unshared_bytes);
    cln_plan_free(train);
    cln_plan_free(eval);
    cln_weights_free(weights);
    cln_graph_free(n.g);
}
END_TEST

/* What evaluation makes of the weights once is made again. */
START_TEST(evaluation_sees_weights_that_are_set) {
    network n = make_network(3);
    float losses[3];
    cln_weights *weights;
    cln_plan *eval;
    ok(cln_weights_new(device, n.g, 1, &weights));
    ok(cln_plan_build(device, n.g, weights, &(cln_plan_options){.outputs = &n.loss, .output_count = 1}, &eval));
    write_batch(eval, &n, 1);
    int64_t count = cln_weights_info(weights, 0).count;
    float *values = malloc((size_t)count * sizeof *values), *zeros = calloc((size_t)count, sizeof *zeros);
    ok(cln_weights_get(weights, 0, CLN_VALUE, values, count));
    losses[0] = step_loss(eval, &n, 0);
    ok(cln_weights_set(weights, 0, CLN_VALUE, zeros, count));
    losses[1] = step_loss(eval, &n, 0);
    ok(cln_weights_set(weights, 0, CLN_VALUE, values, count));
    losses[2] = step_loss(eval, &n, 0);
    ck_assert_float_ne(losses[0], losses[1]);
    ck_assert_float_eq(losses[0], losses[2]);
    free(values);
    free(zeros);
    cln_plan_free(eval);
    cln_weights_free(weights);
    cln_graph_free(n.g);
}
END_TEST

START_TEST(a_profiled_step_is_a_step_with_times) {
    network n = make_network(12);
    float losses[2];
    for (int profiled = 0; profiled < 2; profiled++) {
        cln_weights *weights;
        cln_plan *plan;
        ok(cln_weights_new(device, n.g, 1, &weights));
        cln_plan_options options = training(&n);
        ok(cln_plan_build(device, n.g, weights, &options, &plan));
        write_batch(plan, &n, 1);
        int steps = cln_plan_get_memory(plan).steps;
        cln_step_time *times = calloc((size_t)steps, sizeof *times);
        if (profiled)
            ok(cln_plan_profile(plan, 0.1f, times));
        else
            ok(cln_plan_step(plan, 0.1f));
        ck_assert_int_eq(cln_plan_updates(plan), 1);
        losses[profiled] = step_loss(plan, &n, 0);
        for (int s = 0; s < steps && profiled; s++) {
            ck_assert_msg(times[s].seconds >= 0 && times[s].seconds < 60, "step %d: %g s", s, times[s].seconds);
            double end_s = s ? times[s - 1].start_s + times[s - 1].seconds : 0;
            ck_assert_msg(times[s].start_s >= end_s - 1e-9, "step %d begins before the one before it ends", s);
            ck_assert_double_gt(times[s].bytes, 0);
        }
        free(times);
        cln_plan_free(plan);
        cln_weights_free(weights);
    }
    ck_assert_float_eq(losses[0], losses[1]);
    cln_graph_free(n.g);
}
END_TEST

START_TEST(weights_come_back_as_they_were_set) {
    network n = make_network(2);
    cln_weights *weights;
    ok(cln_weights_new(device, n.g, 1, &weights));
    for (int i = 0; i < cln_weights_count(weights); i++) {
        cln_weight_info info = cln_weights_info(weights, i);
        float *set = malloc((size_t)info.count * sizeof *set), *got = malloc((size_t)info.count * sizeof *got);
        for (int64_t k = 0; k < info.count; k++)
            set[k] = (float)(k + 1) / (float)(i + 1);
        ok(cln_weights_set(weights, i, CLN_VALUE, set, info.count));
        ok(cln_weights_get(weights, i, CLN_VALUE, got, info.count));
        ck_assert_mem_eq(set, got, (size_t)info.count * sizeof *set);
        free(set);
        free(got);
    }
    ck_assert_int_eq(cln_weights_set(weights, 0, CLN_VALUE, NULL, 3), CLN_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(cln_context_error(ctx), "weight 'conv0.weight' has 135 values, not 3"));
    cln_weights_free(weights);
    cln_graph_free(n.g);
}
END_TEST

START_TEST(initial_weights_depend_on_the_seed_alone) {
    network n = make_network(2);
    float values[3][135];
    for (int i = 0; i < 3; i++) {
        cln_weights *weights;
        ok(cln_weights_new(device, n.g, i == 2 ? 8 : 7, &weights));
        ok(cln_weights_get(weights, 0, CLN_VALUE, values[i], 135));
        cln_weights_free(weights);
    }
    ck_assert_mem_eq(values[0], values[1], sizeof values[0]);
    ck_assert_mem_ne(values[0], values[2], sizeof values[0]);
    cln_graph_free(n.g);
}
END_TEST

START_TEST(a_plan_that_does_not_fit_names_the_largest_batch_that_does) {
    network n = make_network(64), smaller;
    cln_weights *weights;
    cln_plan *plan;
    ok(cln_weights_new(device, n.g, 1, &weights));
    cln_plan_options options = training(&n);
    options.memory_limit_bytes = 400000;
    ck_assert_int_eq(cln_plan_build(device, n.g, weights, &options, &plan), CLN_OUT_OF_MEMORY);
    ck_assert_ptr_null(plan);
    const char *message = cln_context_error(ctx);
    ck_assert_ptr_nonnull(strstr(message, "batch size 64 needs"));
    const char *found = strstr(message, "the largest batch size that fits is ");
    ck_assert_msg(found != NULL, "%s", message);
    int batch = atoi(found + strlen("the largest batch size that fits is "));
    ck_assert_int_gt(batch, 0);
    ck_assert_int_lt(batch, 64);
    for (int more = 0; more < 2; more++) {
        smaller = make_network(batch + more);
        cln_plan_options again = training(&smaller);
        again.memory_limit_bytes = options.memory_limit_bytes;
        ck_assert_int_eq(cln_plan_build(device, smaller.g, weights, &again, &plan), more ? CLN_OUT_OF_MEMORY : CLN_OK);
        cln_plan_free(plan);
        cln_graph_free(smaller.g);
    }
    cln_weights_free(weights);
    cln_graph_free(n.g);
}
END_TEST

START_TEST(only_kept_tensors_can_be_read) {
    network n = make_network(2);
    cln_weights *weights;
    cln_plan *plan;
    float logits[20];
    ok(cln_weights_new(device, n.g, 1, &weights));
    cln_plan_options options = training(&n);
    ok(cln_plan_build(device, n.g, weights, &options, &plan));
    ck_assert_int_eq(cln_plan_read(plan, n.logits, logits, 20), CLN_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(cln_context_error(ctx), "is not among the outputs"));
    ck_assert_int_eq(cln_plan_write(plan, n.labels, logits, 20), CLN_INVALID_ARGUMENT);
    ck_assert_int_eq(cln_plan_write(plan, n.x, logits, 20), CLN_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(cln_context_error(ctx), "input 'image' takes 384 values, 20 were given"));
    cln_plan_free(plan);
    cln_weights_free(weights);
    cln_graph_free(n.g);
}
END_TEST

START_TEST(the_first_layer_that_is_not_finite_is_named_and_weights_stay) {
    network n = make_network(4);
    cln_weights *weights;
    cln_plan *plan;
    const char *layer, *weight;
    float before[135], after[135], gamma[12];
    ok(cln_weights_new(device, n.g, 1, &weights));
    cln_plan_options options = training(&n);
    ok(cln_plan_build(device, n.g, weights, &options, &plan));
    write_batch(plan, &n, 1);
    ok(cln_plan_find_nonfinite(plan, &layer));
    ck_assert_ptr_null(layer);
    ok(cln_weights_get(weights, 0, CLN_VALUE, before, 135));
    for (int i = 0; i < cln_weights_count(weights); i++)
        if (strcmp(cln_weights_info(weights, i).name, "norm1.weight") == 0) {
            ok(cln_weights_get(weights, i, CLN_VALUE, gamma, 12));
            gamma[7] = INFINITY;
            ok(cln_weights_set(weights, i, CLN_VALUE, gamma, 12));
        }
    ck_assert(!isfinite(step_loss(plan, &n, 0.1f)));
    ok(cln_weights_get(weights, 0, CLN_VALUE, after, 135));
    ck_assert_mem_eq(before, after, sizeof before);
    ok(cln_plan_find_nonfinite(plan, &layer));
    ck_assert_str_eq(layer, "norm1");
    ok(cln_weights_find_nonfinite(weights, CLN_VALUE, &weight));
    ck_assert_str_eq(weight, "norm1.weight");
    cln_plan_free(plan);
    cln_weights_free(weights);
    cln_graph_free(n.g);
}
END_TEST

/* Of gradients the last, where the trouble began on its way to the input. */
START_TEST(the_last_gradient_that_is_not_finite_is_named) {
    network n = make_network(4);
    cln_weights *weights;
    cln_plan *plan;
    const char *name, *last = NULL;
    float values[512];
    ok(cln_weights_new(device, n.g, 1, &weights));
    cln_plan_options options = training(&n);
    ok(cln_plan_build(device, n.g, weights, &options, &plan));
    write_batch(plan, &n, 1);
    step_loss(plan, &n, 0.1f);
    ok(cln_weights_find_nonfinite(weights, CLN_GRADIENT, &name));
    ck_assert_ptr_null(name);
    for (int i = 0; i < 4; i++) {
        cln_weight_info info = cln_weights_info(weights, i);
        if (!info.trainable || info.count > 512)
            continue;
        ok(cln_weights_get(weights, i, CLN_GRADIENT, values, info.count));
        values[info.count - 1] = NAN;
        ok(cln_weights_set(weights, i, CLN_GRADIENT, values, info.count));
        last = info.name;
    }
    ok(cln_weights_find_nonfinite(weights, CLN_GRADIENT, &name));
    ck_assert_ptr_nonnull(last);
    ck_assert_str_eq(name, last);
    ok(cln_weights_find_nonfinite(weights, CLN_VALUE, &name));
    ck_assert_ptr_null(name);
    cln_plan_free(plan);
    cln_weights_free(weights);
    cln_graph_free(n.g);
}
END_TEST

/* In evaluation the normalisation is in the convolution's weights. */
START_TEST(a_layer_that_is_not_finite_is_told_from_what_is_fused_with_it) {
    static const char *const layers[] = {"conv0", "norm0", "conv1", "norm1", "head"};
    network n = make_network(4);
    for (int training_too = 0; training_too < 2; training_too++) {
        cln_weights *weights;
        cln_plan *plan;
        const char *layer;
        ok(cln_weights_new(device, n.g, 1, &weights));
        cln_plan_options options = training(&n);
        options.training = training_too;
        if (!training_too)
            options.optimizer = (cln_optimizer){.kind = CLN_NO_OPTIMIZER};
        ok(cln_plan_build(device, n.g, weights, &options, &plan));
        write_batch(plan, &n, 1);
        for (int i = 0; i < cln_weights_count(weights); i++) {
            cln_weight_info info = cln_weights_info(weights, i);
            if (strcmp(info.name, cln_name(n.g, "%s.weight", layers[_i])) != 0)
                continue;
            float *values = malloc((size_t)info.count * sizeof *values);
            ok(cln_weights_get(weights, i, CLN_VALUE, values, info.count));
            values[1] = NAN;
            ok(cln_weights_set(weights, i, CLN_VALUE, values, info.count));
            free(values);
        }
        ok(cln_plan_find_nonfinite(plan, &layer));
        ck_assert_ptr_nonnull(layer);
        ck_assert_str_eq(layer, layers[_i]);
        cln_plan_free(plan);
        cln_weights_free(weights);
    }
    cln_graph_free(n.g);
}
END_TEST

START_TEST(an_unknown_variant_is_refused) {
    network n = make_network(2);
    cln_weights *weights;
    cln_plan *plan;
    ok(cln_weights_new(device, n.g, 1, &weights));
    cln_plan_options options = training(&n);
    options.variant = "dirct";
    ck_assert_int_eq(cln_plan_build(device, n.g, weights, &options, &plan), CLN_INVALID_ARGUMENT);
    expect_message("there is no kernel variant 'dirct'; there are pointwise, ");
    expect_message("im2col and reference");
    cln_weights_free(weights);
    cln_graph_free(n.g);
}
END_TEST

START_TEST(weights_of_another_network_are_refused) {
    network n = make_network(2);
    cln_graph *other = cln_graph_new(ctx);
    cln_tensor x = cln_input(other, "image", 2, 3, 8, 8);
    cln_tensor y =
        cln_conv2d(other, x, "conv0", &(cln_conv2d_options){.out_channels = 6, .kernel_h = 3, .kernel_w = 3});
    cln_weights *weights;
    cln_plan *plan;
    ok(cln_weights_new(device, n.g, 1, &weights));
    cln_plan_options options = {.outputs = &y, .output_count = 1};
    ck_assert_int_eq(cln_plan_build(device, other, weights, &options, &plan), CLN_INVALID_ARGUMENT);
    ck_assert_ptr_nonnull(strstr(cln_context_error(ctx), "'conv0.weight' is another network's"));
    cln_weights_free(weights);
    cln_graph_free(n.g);
    cln_graph_free(other);
}
END_TEST

static float *values_of(cln_weights *w, int index) {
    int64_t count = cln_weights_info(w, index).count;
    float *values = malloc((size_t)count * sizeof *values);
    ok(cln_weights_get(w, index, CLN_VALUE, values, count));
    return values;
}

/* As torch.lerp: exact where the decay is 0 or 1. An evaluation sees the new values, which it prepares from. */
START_TEST(averages_move_towards_the_weights) {
    static const double decays[] = {0.75, 0.2, 1, 0};
    network n = make_network(2);
    cln_weights *average, *weights;
    cln_plan *plan, *trainer;
    cln_plan_options options = {.outputs = &n.loss, .output_count = 1}, more = training(&n);
    ok(cln_weights_new(device, n.g, 1, &average));
    ok(cln_weights_new(device, n.g, 2, &weights));
    ok(cln_plan_build(device, n.g, weights, &more, &trainer)); /* moves the statistics too */
    ok(cln_plan_build(device, n.g, average, &options, &plan));
    write_batch(trainer, &n, 1);
    write_batch(plan, &n, 1);
    for (size_t k = 0; k < sizeof decays / sizeof *decays; k++) {
        double share = (double)(float)(1 - decays[k]), furthest = 0;
        ok(cln_plan_step(trainer, 0.1f));
        float before_loss = step_loss(plan, &n, 0);
        float *before[32];
        for (int i = 0; i < cln_weights_count(average); i++)
            before[i] = values_of(average, i);
        ok(cln_weights_average(average, weights, decays[k]));
        for (int i = 0; i < cln_weights_count(average); i++) {
            float *after = values_of(average, i), *to = values_of(weights, i);
            for (int64_t j = 0; j < cln_weights_info(average, i).count; j++) {
                double a = before[i][j], b = to[j], expected = a + share * (b - a);
                furthest = fmax(furthest, fabs(after[j] - expected) / (fabs(a) + fabs(b) + 1e-30));
                if (decays[k] == 0 && after[j] != to[j])
                    furthest = 1;
            }
            free(after);
            free(to);
            free(before[i]);
        }
        ck_assert_msg(furthest < 2e-7, "decay %g: off by %g", decays[k], furthest);
        ck_assert((step_loss(plan, &n, 0) != before_loss) == (decays[k] < 1));
    }
    ck_assert_int_eq(cln_weights_average(average, weights, 1.5), CLN_INVALID_ARGUMENT);
    expect_message("decay 1.5, expected 0 to 1");
    cln_plan_free(plan);
    cln_plan_free(trainer);
    cln_weights_free(average);
    cln_weights_free(weights);
    cln_graph_free(n.g);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_test(tests, training_lowers_the_loss_and_evaluation_shares_the_weights);
    tcase_add_test(tests, evaluation_sees_weights_that_are_set);
    tcase_add_test(tests, a_profiled_step_is_a_step_with_times);
    tcase_add_test(tests, weights_come_back_as_they_were_set);
    tcase_add_test(tests, initial_weights_depend_on_the_seed_alone);
    tcase_add_test(tests, a_plan_that_does_not_fit_names_the_largest_batch_that_does);
    tcase_add_test(tests, only_kept_tensors_can_be_read);
    tcase_add_test(tests, the_first_layer_that_is_not_finite_is_named_and_weights_stay);
    tcase_add_test(tests, the_last_gradient_that_is_not_finite_is_named);
    tcase_add_loop_test(tests, a_layer_that_is_not_finite_is_told_from_what_is_fused_with_it, 0, 5);
    tcase_add_test(tests, averages_move_towards_the_weights);
    tcase_add_test(tests, an_unknown_variant_is_refused);
    tcase_add_test(tests, weights_of_another_network_are_refused);
}

int main(void) {
    return suite_run_on_device("runtime", add_tests);
}
