/* What the tuner tries: choices in plans, and trials of computations with all that is fused into them. */
#include "../src/runtime/tuning.h"
#include "../src/tune/trial.h"
#include "suite.h"
#include "trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- a small network --- */

typedef struct network {
    cln_graph *g;
    cln_tensor loss;
    cln_weights *weights;
    cln_plan_options options;
} network;

static cln_tensor conv(cln_graph *g, cln_tensor x, const char *name, int channels, int kernel, int stride) {
    return cln_conv2d(
        g, x, name,
        &(cln_conv2d_options){
            .out_channels = channels, .kernel_h = kernel, .kernel_w = kernel, .stride = stride, .padding = kernel / 2});
}

/* Something of everything that is fused: normalised and activated inputs, residuals, a stride, a concatenation with
 * gaps among its channels, one with a gap before a single pixel's convolution, a pooling on load. */
static network network_make(bool training) {
    static const cln_batchnorm_options defaults = {.eps = 0};
    network n = {.g = cln_graph_new(ctx)};
    cln_tensor image = cln_input(n.g, "image", 4, 3, 8, 8), label = cln_labels(n.g, "label", 4);
    cln_tensor x = conv(n.g, image, "c0", 8, 3, 1);
    x = cln_activate(n.g, cln_batchnorm(n.g, x, "n0", &defaults), CLN_RELU);
    cln_tensor y = conv(n.g, x, "c1", 8, 3, 1);
    y = cln_activate(n.g, cln_batchnorm(n.g, y, "n1", &defaults), CLN_RELU);
    y = cln_batchnorm(n.g, conv(n.g, y, "c2", 8, 3, 1), "n2", &defaults);
    x = cln_activate(n.g, cln_add(n.g, x, y), CLN_RELU);
    cln_tensor both[] = {x, conv(n.g, x, "c3", 12, 5, 1)};
    x = cln_concat(n.g, both, 2);
    x = cln_activate(n.g, cln_batchnorm(n.g, x, "n3", &defaults), CLN_LEAKY_RELU);
    x = conv(n.g, x, "c4", 16, 1, 1);
    x = conv(n.g, cln_maxpool(n.g, x, 3, 1, 1), "c6", 16, 1, 1);
    x = cln_activate(n.g, cln_batchnorm(n.g, x, "n4", &defaults), CLN_RELU);
    x = conv(n.g, x, "c5", 20, 3, 2);
    x = cln_linear(n.g, cln_flatten(n.g, cln_global_avgpool(n.g, x)), "head", 5);
    n.loss = cln_softmax_ce(n.g, x, label, 0);
    ok(cln_graph_status(n.g));
    ok(cln_weights_new(device, n.g, 1, &n.weights));
    n.options = (cln_plan_options){.training = training, .loss = n.loss};
    n.options.optimizer.kind = training ? CLN_SGD : CLN_NO_OPTIMIZER;
    return n;
}

/* The options' outputs must not move. */
static cln_plan_options with_loss(const network *n) {
    cln_plan_options o = n->options;
    o.outputs = &n->loss;
    o.output_count = 1;
    return o;
}

static void network_end(network *n) {
    cln_weights_free(n->weights);
    cln_graph_free(n->g);
}

/* --- choices --- */

static const char *chosen(const cln_plan *plan, const char *signature) {
    for (int i = 0; i < cln_plan_choices(plan); i++)
        if (strcmp(cln_plan_choice(plan, i).signature, signature) == 0)
            return cln_plan_choice(plan, i).candidate;
    return "";
}

/* Every candidate of every computation, asked for, is what the plan then has; and back with the plan's own choices. */
START_TEST(plans_follow_choices) {
    configure(_i / 2);
    network n = network_make(_i % 2 == 0);
    cln_plan_options o = with_loss(&n);
    cln__decisions decisions;
    ok(cln__plan_decisions(ctx, device, n.g, &o, true, &decisions));
    ck_assert_int_ge(decisions.count, 5);
    int tried = 0;
    for (int i = 0; i < decisions.count; i++) {
        char *rest, *candidate = strtok_r(decisions.of[i].candidates, "\n", &rest);
        ck_assert_str_eq(candidate, decisions.of[i].candidate);
        for (; candidate; candidate = strtok_r(NULL, "\n", &rest), tried++) {
            const cln_choice choice = {decisions.of[i].signature, candidate};
            cln__decisions now;
            o.choices = &choice;
            o.choice_count = 1;
            o.choices_required = true;
            ok(cln__plan_decisions(ctx, device, n.g, &o, false, &now));
            ck_assert_int_eq(now.count, decisions.count);
            for (int k = 0; k < now.count; k++)
                ck_assert_str_eq(now.of[k].candidate, k == i ? candidate : decisions.of[k].candidate);
            cln__decisions_free(&now);
        }
    }
    ck_assert_int_gt(tried, decisions.count);
    cln__decisions_free(&decisions);
    network_end(&n);
}
END_TEST

START_TEST(choices_that_do_not_fit) {
    static const char *const wrong[] = {"nonsense", "direct TW=1000000 NB=0", "direct ", "gemm TW=1", ""};
    network n = network_make(true);
    cln_plan_options o = with_loss(&n);
    cln_plan *plan, *again;
    ok(cln_plan_build(device, n.g, n.weights, &o, &plan));
    cln_choice choice = cln_plan_choice(plan, 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const cln_choice asked = {choice.signature, wrong[i]};
        o.choices = &asked;
        o.choice_count = 1;
        o.choices_required = false;
        ok(cln_plan_build(device, n.g, n.weights, &o, &again));
        ck_assert_str_eq(chosen(again, choice.signature), choice.candidate);
        cln_plan_free(again);
        o.choices_required = true;
        ck_assert_int_eq(cln_plan_build(device, n.g, n.weights, &o, &again), CLN_UNSUPPORTED);
        expect_message("that is to be used again is not there");
        expect_message("conv2d 'c0'");
    }
    cln_plan_free(plan);
    network_end(&n);
}
END_TEST

/* A candidate's parameters are among those that the variant offers, or it is none. */
START_TEST(parameters_that_are_not_offered_are_not_taken) {
    network n = network_make(true);
    cln_plan_options o = with_loss(&n);
    cln__decisions decisions;
    int tried = 0;
    ok(cln__plan_decisions(ctx, device, n.g, &o, true, &decisions));
    for (int i = 0; i < decisions.count; i++) {
        char *rest, *candidate = strtok_r(decisions.of[i].candidates, "\n", &rest);
        for (; candidate; candidate = strtok_r(NULL, "\n", &rest), tried++) {
            char wrong[128];
            snprintf(wrong, sizeof wrong, "%s%s", candidate, strchr(candidate, ' ') ? "0" : " TW=1000000");
            const cln_choice choice = {decisions.of[i].signature, wrong};
            cln__decisions now;
            o.choices = &choice;
            o.choice_count = 1;
            ok(cln__plan_decisions(ctx, device, n.g, &o, false, &now));
            ck_assert_str_eq(now.of[i].candidate, decisions.of[i].candidate);
            cln__decisions_free(&now);
        }
    }
    ck_assert_int_gt(tried, decisions.count);
    cln__decisions_free(&decisions);
    network_end(&n);
}
END_TEST

/* --- trials --- */

/* Each computation of the network can be tried alone, and each candidate gives what the reference does. */
START_TEST(every_candidate_is_right) {
    configure(_i / 2);
    network n = network_make(_i % 2 == 0);
    cln_plan_options o = with_loss(&n);
    cln__decisions decisions;
    ok(cln__plan_decisions(ctx, device, n.g, &o, false, &decisions));
    for (int i = 0; i < decisions.count; i++) {
        cln__trial t;
        char *candidates, *rest;
        ok(cln__trial_new(ctx, device, decisions.of[i].signature, &t));
        ok(cln__trial_expect(&t));
        ok(cln__trial_candidates(&t, &candidates));
        for (char *c = strtok_r(candidates, "\n", &rest); c; c = strtok_r(NULL, "\n", &rest)) {
            cln_plan *plan;
            double seconds;
            ok(cln__trial_build(&t, c, &plan));
            cln_status status = cln__trial_check(&t, plan);
            ck_assert_msg(status == CLN_OK, "%s of %s: %s", c, t.signature, cln_context_error(ctx));
            ok(cln__trial_time(&t, plan, &seconds));
            ck_assert(seconds > 0 && seconds < 60);
            cln_plan_free(plan);
        }
        free(candidates);
        cln__trial_free(&t);
    }
    cln__decisions_free(&decisions);
    network_end(&n);
}
END_TEST

/* What is made of the weights is made in each step of a training, and once for many of an evaluation. */
START_TEST(a_trial_counts_what_its_step_does) {
    static const struct {
        const char *fused;
        int steps; /* of the variant */
    } cases[] = {{"act=relu", 1}, {"moments", 2}};
    for (int i = 0; i < 2; i++) {
        char signature[160];
        cln__trial t;
        cln_plan *plan;
        snprintf(signature, sizeof signature, "conv2d forward x=2x16x12x12/16 y=2x16x12x12/16 k=3x3 s=1 p=1 d=1 g=1 %s",
                 cases[i].fused);
        ok(cln__trial_new(ctx, device, signature, &t));
        ok(cln__trial_build(&t, "winograd", &plan));
        int steps = cln_plan_get_memory(plan).steps, counted = 0;
        cln_step_time *times = calloc((size_t)steps, sizeof *times);
        ok(cln_plan_profile(plan, 0, times));
        for (int s = 0; s < steps; s++)
            counted += strcmp(times[s].variant, "winograd") == 0;
        ck_assert_int_eq(counted, cases[i].steps);
        free(times);
        cln_plan_free(plan);
        cln__trial_free(&t);
    }
}
END_TEST

START_TEST(a_wrong_result_is_found) {
    cln__trial t;
    cln_plan *plan;
    ok(cln__trial_new(ctx, device, "conv2d forward x=1x16x8x8/16 y=1x16x8x8/16 k=3x3 s=1 p=1 d=1 g=1", &t));
    ok(cln__trial_expect(&t));
    for (int i = 0; i < 1024; i++)
        t.expected[CLN__RESULT_Y][i] *= 1.001f;
    ok(cln__trial_build(&t, "direct", &plan));
    ck_assert_int_eq(cln__trial_check(&t, plan), CLN_FAILED);
    expect_message("the result is wrong: its error relative to its size is 0.001");
    cln_plan_free(plan);
    cln__trial_free(&t);
    /* A shape that is no convolution's; one that cannot be made of plain inputs. */
    ok(cln__trial_new(ctx, device, "conv2d forward x=1x16x8x8/16 y=1x16x9x8/16 k=3x3 s=1 p=1 d=1 g=1", &t));
    ck_assert_int_eq(cln__trial_expect(&t), CLN_INVALID_ARGUMENT);
    cln__trial_free(&t);
    ok(cln__trial_new(ctx, device, "conv2d forward x=1x16x8x8/7 y=1x16x8x8/16 k=3x3 s=1 p=1 d=1 g=1", &t));
    char *candidates;
    ck_assert_int_eq(cln__trial_candidates(&t, &candidates), CLN_UNSUPPORTED);
    expect_message("cannot be tried alone");
    cln__trial_free(&t);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_loop_test(tests, plans_follow_choices, 0, 2 * CONFIGURATIONS);
    tcase_add_test(tests, choices_that_do_not_fit);
    tcase_add_test(tests, parameters_that_are_not_offered_are_not_taken);
    tcase_add_loop_test(tests, every_candidate_is_right, 0, 4); /* as it is, and as a GPU */
    tcase_add_test(tests, a_trial_counts_what_its_step_does);
    tcase_add_test(tests, a_wrong_result_is_found);
}

int main(void) {
    return suite_run_on_device("tuning_trial", add_tests);
}
