/* Convolutions on a device, by each variant: against a naive reference in double precision. */
#include "layers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct conv_case {
    cln_shape x;
    cln_conv2d_options o;
} conv_case;

static void check_conv(const conv_case *c, const char *variant) {
    char word[64];
    trial t = trial_begin();
    operand *x = trial_input(&t, c->x);
    t.variant = variant;
    trial_run(&t, cln_conv2d(t.g, x->whole, "conv", &c->o));
    snprintf(word, sizeof word, "conv2d 'conv' %s ", variant);
    ck_assert_msg(trial_plan_mentions(&t, word), "the plan does not use %s", variant);
    check_only_layer(&t, "conv", &c->o);
    trial_end(&t);
}

static const conv_case pointwise[] = {
    {{1, 1, 1, 1}, {.out_channels = 5, .kernel_h = 1, .kernel_w = 1, .bias = true}},
    {{2, 3, 7, 5}, {.out_channels = 17, .kernel_h = 1, .kernel_w = 1, .bias = true}},
    {{2, 25, 5, 3}, {.out_channels = 16, .kernel_h = 1, .kernel_w = 1}},
    {{3, 16, 4, 4}, {.out_channels = 12, .kernel_h = 1, .kernel_w = 1}},
    {{3, 40, 1, 1}, {.out_channels = 33, .kernel_h = 1, .kernel_w = 1}},
};
static const conv_case windows[] = {
    {{1, 1, 1, 1}, {.out_channels = 5, .kernel_h = 3, .kernel_w = 3, .padding = 1, .bias = true}},
    {{2, 3, 7, 9}, {.out_channels = 17, .kernel_h = 3, .kernel_w = 3, .padding = 1, .stride = 2, .bias = true}},
    {{2, 25, 5, 7}, {.out_channels = 16, .kernel_h = 3, .kernel_w = 1, .stride = 3}},
    {{1, 6, 11, 8}, {.out_channels = 7, .kernel_h = 3, .kernel_w = 3, .padding = 2, .dilation = 2, .bias = true}},
    {{2, 1, 6, 6}, {.out_channels = 8, .kernel_h = 1, .kernel_w = 1, .stride = 2}},
};
static const conv_case grouped[] = {
    {{2, 12, 5, 7},
     {.out_channels = 18, .kernel_h = 3, .kernel_w = 3, .padding = 2, .dilation = 2, .groups = 3, .bias = true}},
    {{2, 25, 4, 5}, {.out_channels = 25, .kernel_h = 3, .kernel_w = 3, .stride = 2, .groups = 25}},
};
#define CHECK_CONVS(cases, variant) check_convs(cases, sizeof(cases) / sizeof *(cases), variant)

static void check_convs(const conv_case *cases, size_t count, const char *variant) {
    for (size_t i = 0; i < count; i++)
        check_conv(&cases[i], variant);
}

START_TEST(gemm_matches_the_reference) {
    configure(_i);
    CHECK_CONVS(pointwise, "gemm");
}
END_TEST

START_TEST(im2col_matches_the_reference) {
    configure(_i);
    CHECK_CONVS(windows, "im2col");
}
END_TEST

/* More than the workspace of im2col holds: two chunks with blocks of 16 channels. */
START_TEST(im2col_works_in_chunks) {
    check_conv(
        &(conv_case){{6, 5, 64, 64}, {.out_channels = 5, .kernel_h = 7, .kernel_w = 7, .padding = 3, .bias = true}},
        "im2col");
}
END_TEST

START_TEST(direct_matches_the_reference) {
    configure(_i);
    CHECK_CONVS(windows, "direct");
    check_conv(&pointwise[2], "direct"); /* the others take long to compile and are no different */
}
END_TEST

START_TEST(implicit_matches_the_reference) {
    configure(_i);
    CHECK_CONVS(pointwise, "implicit");
    CHECK_CONVS(windows, "implicit");
}
END_TEST

/* The variant that takes what no other does. */
START_TEST(groups_match_the_reference) {
    configure(_i);
    CHECK_CONVS(grouped, "reference");
}
END_TEST

START_TEST(convolutions_may_write_into_a_concatenation) {
    configure(_i);
    check_side_by_side((cln_shape){3, 33, 1, 1}, "gemm", false);
    check_side_by_side((cln_shape){2, 16, 3, 5}, "gemm", false);
    check_side_by_side((cln_shape){1, 16, 3, 5}, "gemm", false);
}
END_TEST

static void check_bias(cln_shape shape) {
    if (shape.c != GAPPED_CHANNELS && shape.w != 31) /* convolutions are compiled for each shape */
        return;
    for (int out = 3; out <= 20; out += 17) { /* 3: dy comes planar, y is not */
        cln_conv2d_options o = {.out_channels = out, .kernel_h = 1, .kernel_w = 1, .bias = true};
        trial t = trial_begin();
        t.variant = "reference";
        trial_run(&t, cln_conv2d(t.g, trial_input(&t, shape)->whole, "conv", &o));
        int64_t pixels = shape.h * shape.w;
        double *sum = zeros(out);
        for (int64_t i = 0; i < shape.n * out * pixels; i++)
            sum[i / pixels % out] += t.y.gradient[i];
        float *got = trial_weight(&t, "conv.bias", CLN_GRADIENT);
        check_sums("bias", got, sum, out, TOLERANCE, sqrt((double)(shape.n * pixels)));
        free(got);
        free(sum);
        trial_end(&t);
    }
}

START_TEST(bias_gradients_are_channel_sums) {
    configure(_i);
    each_form(check_bias);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_loop_test(tests, gemm_matches_the_reference, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, im2col_matches_the_reference, 0, CONFIGURATIONS);
    tcase_add_test(tests, im2col_works_in_chunks);
    tcase_add_loop_test(tests, direct_matches_the_reference, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, implicit_matches_the_reference, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, groups_match_the_reference, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, convolutions_may_write_into_a_concatenation, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, bias_gradients_are_channel_sums, 0, CONFIGURATIONS);
}

int main(void) {
    return suite_run_on_device("conv2d", add_tests);
}
