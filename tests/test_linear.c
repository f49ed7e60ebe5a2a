/* Linear layers on a device, by both variants: against a naive reference and finite differences. */
#include "layers.h"

START_TEST(linear_matches_the_reference) {
    static const int sizes[][3] = {{1, 1, 5}, {5, 33, 10}, {17, 25, 19}, {9, 64, 16}};
    static const char *const variants[] = {"direct", "gemm"};
    configure(_i);
    for (int i = 0; i < 8; i++) {
        const int *s = sizes[i / 2];
        trial t = trial_begin();
        operand *x = trial_input(&t, (cln_shape){s[0], s[1], 1, 1});
        t.variant = variants[i % 2];
        trial_run(&t, cln_linear(t.g, x->whole, "head", s[2]));
        ck_assert(trial_plan_mentions(&t, i % 2 ? "linear 'head' gemm " : "linear 'head' direct "));
        check_only_layer(&t, "head", &(cln_conv2d_options){.kernel_h = 1, .kernel_w = 1, .bias = true});
        trial_check_direction(&t, 1e-4);
        trial_end(&t);
    }
}
END_TEST

START_TEST(linear_layers_may_write_into_a_concatenation) {
    configure(_i);
    check_side_by_side((cln_shape){3, 33, 1, 1}, "direct", true);
    check_side_by_side((cln_shape){3, 33, 1, 1}, "gemm", true);
}
END_TEST

START_TEST(bad_sizes_are_refused) {
    cln_graph *g = cln_graph_new(ctx);
    check_refused(g, cln_linear(g, cln_input(g, "x", 2, 5, 4, 4), "head", 10),
                  "linear 'head': its input has 4x4 pixels an image, it takes flat features: use cln_flatten or "
                  "cln_global_avgpool first");
    g = cln_graph_new(ctx);
    check_refused(g, cln_linear(g, cln_input(g, "x", 2, 5, 1, 1), "head", 0),
                  "linear 'head': 0 output features: at least 1 is needed");
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_loop_test(tests, linear_matches_the_reference, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, linear_layers_may_write_into_a_concatenation, 0, CONFIGURATIONS);
    tcase_add_test(tests, bad_sizes_are_refused);
}

int main(void) {
    return suite_run_on_device("linear", add_tests);
}
