/* What graphs and plans refuse, and how far their counting goes. Needs no device. */
#include "../src/ops/ops.h"
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cln_graph *g;

static void new_graph(void) {
    g = cln_graph_new(ctx);
    ck_assert_ptr_nonnull(g);
}

static void free_graph(void) {
    cln_graph_free(g);
}

static void expect_failure(const char *part) {
    ck_assert_int_eq(cln_graph_status(g), CLN_INVALID_ARGUMENT);
    expect_message(part);
}

/* --- graphs --- */

START_TEST(a_node_that_fails_leaves_a_graph_that_can_be_looked_at) {
    cln_tensor x = cln_input(g, "x", 2, 4, 8, 8);
    cln_tensor good = cln_activate(g, x, CLN_RELU);
    cln_concat(g, (cln_tensor[]){good, CLN_NO_TENSOR}, 2);
    expect_failure("concat 'concat': input 1 is not a tensor of this graph");
    ck_assert_int_eq(cln_graph_layers(g), 1);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(out);
    cln_graph_print(g, out);
    fclose(out);
    ck_assert_str_eq(text, "input x: 2x4x8x8\n%1 = activation(x) relu: 2x4x8x8  # relu\n");
    free(text);
}
END_TEST

START_TEST(labels_are_no_activations) {
    cln_activate(g, cln_labels(g, "labels", 4), CLN_TANH);
    expect_failure("activation 'tanh': input 0 is labels");
}
END_TEST

START_TEST(what_kernels_cannot_count_is_refused) {
    cln_input(g, "x", 1, 1, 1 << 16, 1 << 16);
    expect_failure("'x': shape 1x1x65536x65536 is empty or too large");
}
END_TEST

/* 2^30 pixels, and one image less. */
START_TEST(the_pixels_of_a_batch_are_counted) {
    ck_assert_int_ge(cln_input(g, "fits", (1 << 20) - 1, 1, 32, 32).id, 0);
    ok(cln_graph_status(g));
    cln_input(g, "x", 1 << 20, 1, 32, 32);
    expect_failure("'x': shape 1048576x1x32x32 is empty or too large: of all its images together there may be 2^30-1 "
                   "pixels and 2^48 numbers, and 2^26 channels");
}
END_TEST

START_TEST(features_that_kernels_cannot_count_are_refused) {
    cln_flatten(g, cln_input(g, "x", 1, 32, 2048, 2048));
    expect_failure("flatten 'flatten': its output shape 1x134217728x1x1 is empty or too large");
}
END_TEST

START_TEST(another_batch_is_of_the_inputs_that_have_it) {
    cln_tensor x = cln_input(g, "x", 8, 4, 2, 2), up = cln_input(g, "upstream", 1, 1, 1, 1);
    cln_tensor labels = cln_labels(g, "labels", 8);
    cln_tensor loss = cln_softmax_ce(g, cln_linear(g, cln_flatten(g, x), "head", 3), labels, 0);
    ok(cln_graph_status(g));
    ck_assert_int_eq(cln__batch(g), 8);
    ok(cln__graph_rebatch(g, 3));
    ck_assert_int_eq(cln_tensor_shape(g, x).n, 3);
    ck_assert_int_eq(cln_tensor_shape(g, labels).n, 3);
    ck_assert_int_eq(cln_tensor_shape(g, up).n, cln_tensor_shape(g, loss).n);
}
END_TEST

/* --- plans --- */

static cln_status make(const cln__plan_request *request, cln__caps caps, cln__host_plan *plan) {
    ok(cln_graph_status(g));
    return cln__plan_make(ctx, g, &caps, request, 0, plan);
}

START_TEST(an_optimiser_needs_a_loss) {
    cln_tensor y = cln_linear(g, cln_input(g, "x", 2, 4, 1, 1), "head", 3);
    cln__plan_request request = {.training = true,
                                 .loss = CLN_NO_TENSOR,
                                 .upstream = CLN_NO_TENSOR,
                                 .outputs = &y,
                                 .output_count = 1,
                                 .optimizer = {.kind = CLN_SGD}};
    cln__host_plan plan;
    ck_assert_int_eq(make(&request, cln__caps_default(), &plan), CLN_INVALID_ARGUMENT);
    expect_message("there is no loss to optimise");
}
END_TEST

/* 2^36 weights: more vectors of 16 than an int holds. */
START_TEST(a_step_that_counts_too_far_is_refused) {
    cln_tensor y = cln_linear(g, cln_input(g, "x", 1, 1 << 18, 1, 1), "head", 1 << 18);
    cln__plan_request request = {
        .training = true, .loss = y, .upstream = CLN_NO_TENSOR, .optimizer = {.kind = CLN_SGD}};
    cln__host_plan plan;
    ck_assert_int_eq(make(&request, cln__caps_default(), &plan), CLN_UNSUPPORTED);
    expect_message("optimizer 'optimizer': kernel optimizer_sgd cannot count to 4294983680");
}
END_TEST

/* The variant that does a convolution of `rows` rows of 16384 pixels and 16 channels, and why others do not. */
static const cln__step *convolution(int64_t rows, bool is_cpu, cln__host_plan *plan) {
    cln__caps caps = cln__caps_default();
    caps.is_cpu = is_cpu;
    caps.memory_bytes = caps.max_alloc_bytes = (uint64_t)1 << 40;
    cln_graph_free(g);
    new_graph();
    cln_tensor y = cln_conv2d(g, cln_input(g, "x", 1, 16, rows, 1 << 14), "c",
                              &(cln_conv2d_options){.out_channels = 16, .kernel_h = 3, .kernel_w = 3, .padding = 1});
    cln__plan_request request = {.loss = CLN_NO_TENSOR, .upstream = CLN_NO_TENSOR, .outputs = &y, .output_count = 1};
    ok(make(&request, caps, plan));
    return &plan->steps[plan->step_count - 1];
}

/* Variants count the numbers of an image in int; the reference does what they refuse. */
START_TEST(a_variant_that_counts_too_far_leaves_it_to_another) {
    static const char *const refused[][2] = {
        {"implicit: ", "direct: an image, the weights or the work-items exceed 2^31"},
        {"staged: an image, the pixels or the weights exceed 2^31", "direct: an image, the weights"}};
    for (int is_cpu = 0; is_cpu < 2; is_cpu++) {
        cln__host_plan plan;
        const cln__step *step = convolution((1 << 13) - 1, is_cpu, &plan);
        ck_assert_str_ne(step->variant, "reference");
        cln__plan_drop(&plan);
        step = convolution(1 << 13, is_cpu, &plan);
        ck_assert_str_eq(step->variant, "reference");
        for (int i = 0; i < 2; i++)
            ck_assert_msg(strstr(step->why_not, refused[is_cpu][i]) != NULL, "%s", step->why_not);
        cln__plan_drop(&plan);
    }
}
END_TEST

/* CLBlast counts in int: what it reads begins below 2^31 elements, however much the device allocates in one piece. */
START_TEST(arenas_end_where_clblast_stops_counting) {
    const uint64_t usual = (uint64_t)8 << 30, image = (uint64_t)16 << 26; /* bytes of an image of 2^24 pixels */
    cln__caps caps = cln__caps_default();
    caps.memory_bytes = caps.max_alloc_bytes = (uint64_t)1 << 40;
    cln_tensor x = cln_input(g, "x", 5, 16, 4096, 4096), y = x;
    for (int i = 0; i < 3; i++)
        y = cln_activate(g, cln_maxpool(g, y, 3, 1, 1), CLN_TANH);
    cln__plan_request request = {.loss = CLN_NO_TENSOR, .upstream = CLN_NO_TENSOR, .outputs = &y, .output_count = 1};
    cln__host_plan plan;
    ok(make(&request, caps, &plan));
    ck_assert_int_eq(plan.arenas.count, 3);
    for (int i = 0; i < plan.arenas.count; i++)
        ck_assert_uint_eq(plan.arenas.bytes[i], 5 * image);
    cln__plan_drop(&plan);
    /* A tensor that is larger by itself is served all the same. */
    ok(cln__graph_rebatch(g, 12));
    ok(make(&request, caps, &plan));
    for (int i = 0; i < plan.arenas.count; i++)
        ck_assert_uint_eq(plan.arenas.bytes[i], 12 * image);
    ck_assert_uint_lt(usual, 12 * image);
    cln__plan_drop(&plan);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_checked_fixture(tests, new_graph, free_graph);
    tcase_add_test(tests, a_node_that_fails_leaves_a_graph_that_can_be_looked_at);
    tcase_add_test(tests, labels_are_no_activations);
    tcase_add_test(tests, what_kernels_cannot_count_is_refused);
    tcase_add_test(tests, the_pixels_of_a_batch_are_counted);
    tcase_add_test(tests, features_that_kernels_cannot_count_are_refused);
    tcase_add_test(tests, another_batch_is_of_the_inputs_that_have_it);
    tcase_add_test(tests, an_optimiser_needs_a_loss);
    tcase_add_test(tests, a_step_that_counts_too_far_is_refused);
    tcase_add_test(tests, a_variant_that_counts_too_far_leaves_it_to_another);
    tcase_add_test(tests, arenas_end_where_clblast_stops_counting);
}

int main(void) {
    return suite_run("limits", add_tests);
}
