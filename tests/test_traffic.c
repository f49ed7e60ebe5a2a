/* The bytes that steps are held against in reports: whole tensors, padding included, each once a mode. No device. */
#include "planning.h"

#include <string.h>

/* The first step of the layer `name`; its bytes as a number of floats. */
static double floats_of(const cln__op *op, const char *name) {
    for (int s = 0; s < plan.step_count; s++) {
        const cln__node *node = &plan.graph->nodes[plan.steps[s].node];
        if (node->op == op && (!name || strcmp(node->name, name) == 0))
            return plan.steps[s].bytes / sizeof(float);
    }
    ck_abort_msg("no step of %s", op->name);
}

START_TEST(a_convolution_moves_its_input_weight_and_output) {
    cln_tensor x = cln_input(g, "image", 2, 24, 4, 6);
    variant = "reference";
    make_evaluation(conv(x, "conv", 20, 3));
    /* 24 and 20 channels are both stored as 32. */
    ck_assert_double_eq(floats_of(&cln__op_conv2d, "conv"), 2 * 32 * 24 + 9 * 32 * 32 + 2 * 32 * 24);
}
END_TEST

START_TEST(a_tensor_that_appears_twice_counts_once) {
    cln_tensor x = cln_input(g, "x", 3, 16, 5, 5), other = cln_input(g, "other", 3, 16, 5, 5);
    cln_tensor twice = cln_add(g, x, x), sum = cln_add(g, twice, other);
    make_evaluation(sum);
    ck_assert_double_eq(floats_of(&cln__op_add, NULL), 2 * 3 * 16 * 25);
    ck_assert_double_eq(plan.steps[plan.step_count - 1].bytes, 4 * 3 * 3 * 16 * 25);
}
END_TEST

START_TEST(a_view_counts_its_own_part) {
    cln_tensor x = cln_input(g, "image", 2, 3, 5, 5);
    cln_tensor parts[2] = {conv(x, "a", 32, 3), conv(x, "b", 16, 3)};
    variant = "reference";
    make_evaluation(conv(cln_concat(g, parts, 2), "next", 16, 1));
    ck_assert_double_eq(floats_of(&cln__op_conv2d, "b"), 2 * 3 * 25 + 9 * 3 * 16 + 2 * 16 * 25);
    ck_assert_double_eq(floats_of(&cln__op_conv2d, "next"), 2 * 48 * 25 + 48 * 16 + 2 * 16 * 25);
}
END_TEST

START_TEST(the_optimiser_moves_whole_regions) {
    cln_tensor loss = classify(conv(cln_input(g, "image", 2, 3, 8, 8), "conv", 16, 3), cln_labels(g, "label", 2));
    make(&(cln__plan_request){
        .training = true, .loss = loss, .upstream = CLN_NO_TENSOR, .optimizer = {.kind = CLN_SGD, .momentum = 0.9f}});
    /* Values and momentum are read and written, gradients read. */
    ck_assert_double_eq(floats_of(&cln__op_optimizer, NULL), 5 * (double)plan.layouts.values_elements);
}
END_TEST

START_TEST(a_gemm_moves_its_matrices) {
    cln_tensor x = cln_input(g, "x", 2, 3, 1, 1);
    make_evaluation(cln_add(g, x, x));
    plan.steps[0].kind = CLN__GEMM;
    plan.steps[0].gemm = (cln__gemm){.m = 5, .n = 7, .k = 11};
    plan.steps[0].bytes = 0;
    cln__traffic_count(&plan);
    ck_assert_double_eq(plan.steps[0].bytes, 4 * (5 * 11 + 11 * 7 + 5 * 7));
    plan.steps[0].gemm.beta = 1; /* reads the result, too */
    plan.steps[0].bytes = 0;
    cln__traffic_count(&plan);
    ck_assert_double_eq(plan.steps[0].bytes, 4 * (5 * 11 + 11 * 7 + 2 * 5 * 7));
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_convolution_moves_its_input_weight_and_output);
    tcase_add_test(tests, a_tensor_that_appears_twice_counts_once);
    tcase_add_test(tests, a_view_counts_its_own_part);
    tcase_add_test(tests, the_optimiser_moves_whole_regions);
    tcase_add_test(tests, a_gemm_moves_its_matrices);
}

int main(void) {
    return suite_run("traffic", add_tests);
}
