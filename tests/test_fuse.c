/* What is done on the way of something else, seen in the steps of plans. Needs no device; that the fused steps compute
 * the same is what test_network.c checks. */
#include "planning.h"

#include <string.h>

static cln_tensor image;

/* A training plan that also keeps `kept`, and the gradient of `asked`, where these are given. */
static void make_training(cln_tensor features, cln_tensor kept, cln_tensor asked) {
    cln_tensor loss = classify(features, cln_labels(g, "label", cln_tensor_shape(g, image).n));
    make(&(cln__plan_request){.training = true,
                              .loss = loss,
                              .upstream = CLN_NO_TENSOR,
                              .outputs = (const cln_tensor[]){loss, kept},
                              .output_count = kept.id >= 0 ? 2 : 1,
                              .gradients = &asked,
                              .gradient_count = asked.id >= 0 ? 1 : 0,
                              .variant = variant});
}

static void train(cln_tensor features) {
    make_training(features, CLN_NO_TENSOR, CLN_NO_TENSOR);
}

/* The steps whose kernel begins with `kernel`. */
static int steps(const char *kernel) {
    int count = 0;
    for (int s = 0; s < plan.step_count; s++)
        count += strncmp(plan.steps[s].kernel, kernel, strlen(kernel)) == 0;
    return count;
}

/* Those of the kernel `kernel` that are compiled with `define`. */
static int steps_with(const char *kernel, const char *define) {
    int count = 0;
    for (int s = 0; s < plan.step_count; s++)
        count += strcmp(plan.steps[s].kernel, kernel) == 0 && strstr(plan.steps[s].defines, define) != NULL;
    return count;
}

static cln_tensor norm(cln_tensor x, const char *name) {
    return cln_batchnorm(g, x, name, NULL);
}

static cln_tensor relu(cln_tensor x) {
    return cln_activate(g, x, CLN_RELU);
}

/* conv, batch normalisation, activation */
static cln_tensor unit(cln_tensor x, const char *name, int channels, int kernel, cln_activation activation) {
    return cln_activate(g, norm(conv(x, name, channels, kernel), cln_name(g, "%s.norm", name)), activation);
}

/* of 16 channels, so that it is laid in a block as the others are */
static void begin(void) {
    setup();
    image = cln_input(g, "image", 2, 16, 8, 8);
}

/* Checks that neither normalisation nor its gradient has a pass over a tensor of its own. */
static void check_all_fused(void) {
    ck_assert_int_eq(steps("batchnorm_part"), 0);
    ck_assert_int_eq(steps("batchnorm_normalise"), 0);
    ck_assert_int_eq(steps("activation_"), 0);
    ck_assert_int_eq(steps("batchnorm_grad_part"), 0);
    ck_assert_int_eq(steps("batchnorm_grad_input"), 0);
}

/* --- training --- */

START_TEST(what_a_convolution_reads_is_normalised_on_load) {
    static const cln_activation functions[] = {CLN_RELU, CLN_LEAKY_RELU, CLN_IDENTITY};
    int kernel = 1 + _i / 3 * 2;
    cln_tensor x = unit(image, "a", 32, kernel, functions[_i % 3]);
    train(conv(x, "b", 16, kernel));
    check_all_fused();
    ck_assert_int_eq(steps("batchnorm_prepare"), 1);
}
END_TEST

START_TEST(other_activations_are_steps) {
    cln_tensor x = unit(image, "a", 32, 3, _i ? CLN_GELU : CLN_TANH);
    train(conv(x, "b", 16, 3));
    ck_assert_int_eq(steps("batchnorm_normalise"), 1);
    ck_assert_int_eq(steps("activation_forward"), 1);
    ck_assert_int_eq(steps("activation_grad"), 1);
    ck_assert_int_eq(steps("batchnorm_part"), 0); /* the convolution's kernel still leaves the moments */
}
END_TEST

START_TEST(a_tensor_that_is_kept_is_written) {
    cln_tensor x = unit(image, "a", 32, 3, CLN_RELU);
    make_training(conv(x, "b", 16, 3), x, CLN_NO_TENSOR);
    ck_assert_int_eq(steps("batchnorm_normalise"), 1);
    ck_assert_int_eq(steps("activation_"), 0); /* with its activation */
}
END_TEST

START_TEST(a_gradient_that_is_asked_for_is_written) {
    cln_tensor x = conv(image, "a", 32, 3);
    make_training(conv(relu(norm(x, "norm")), "b", 16, 3), CLN_NO_TENSOR, x);
    ck_assert_int_le(steps("batchnorm_grad_input"), 1);
    ck_assert_int_eq(steps("batchnorm_normalise"), 0);
    ck_assert(plan.kept[plan.gradients->gradient[x.id]]);
}
END_TEST

START_TEST(a_residual_joins_in_one_step) {
    cln_tensor x = unit(image, "stem", 16, 3, CLN_RELU);
    cln_tensor y = norm(conv(unit(x, "a", 16, 3, CLN_RELU), "b", 16, 3), "b.norm");
    cln_tensor z = relu(_i ? cln_add(g, x, y) : cln_add(g, y, x));
    train(conv(z, "next", 16, 3));
    ck_assert_int_eq(steps_with("batchnorm_normalise", "-DKIND=1 -DADD=2 -DADD_KIND=1"), 1);
    ck_assert_int_eq(steps("batchnorm_normalise"), 1); /* the stem is normalised as the addition loads it */
    ck_assert_int_eq(steps("activation_forward"), 0);
    ck_assert_int_eq(steps("add"), 0); /* the gradients meet in memory */
}
END_TEST

/* An addition applies its activation to the sum. */
START_TEST(an_activation_before_an_addition_is_not_done_behind_it) {
    cln_tensor x = unit(image, "a", 16, 3, CLN_RELU);
    train(cln_add(g, x, conv(x, "b", 16, 3)));
    ck_assert_int_eq(steps_with("batchnorm_normalise", "-DADD=1"), 0);
}
END_TEST

/* x's gradient is that of two convolutions, added before its mask, and z's is x's behind it and the addition's. */
START_TEST(gradients_are_added_in_one_memory_at_a_time) {
    cln_tensor z = conv(image, "z", 16, 3), x = relu(norm(z, "norm"));
    cln_tensor y = cln_add(g, conv(x, "a", 16, 3), conv(x, "b", 16, 3));
    train(cln_add(g, y, z));
    for (int s = 0; s < plan.step_count; s++)
        ck_assert(!strstr(plan.steps[s].defines, "-DDX_BEFORE=1 -DDX_AFTER=1"));
    ck_assert_int_eq(steps("batchnorm_normalise"), 0);
}
END_TEST

START_TEST(a_dense_block_grows_in_place) {
    cln_tensor x = conv(image, "stem", 16, 3);
    for (int i = 0; i < 3; i++) {
        cln_tensor y = conv(relu(norm(x, cln_name(g, "n%d", i))), cln_name(g, "c%d", i), 32, 1);
        y = conv(relu(norm(y, cln_name(g, "m%d", i))), cln_name(g, "d%d", i), 16, 3);
        x = cln_concat(g, (cln_tensor[]){y, x}, 2);
    }
    train(conv(relu(norm(x, "last")), "next", 16, 1));
    check_all_fused();
    ck_assert_int_eq(steps("copy"), 0);
    ck_assert_int_eq(steps("add"), 0);
    ck_assert_int_eq(plan.layouts.of[x.id].stored, 64);
}
END_TEST

START_TEST(pointwise_convolutions_of_one_tensor_become_one) {
    cln_tensor x = unit(image, "stem", 32, 3, CLN_RELU), parts[3];
    parts[0] = unit(x, "a", 24, 1, CLN_RELU);
    parts[1] = unit(unit(x, "b1", 16, 1, CLN_RELU), "b3", 16, 3, CLN_RELU);
    parts[2] = unit(unit(x, "c1", 32, 1, CLN_RELU), "c3", 16, 3, CLN_RELU);
    train(conv(cln_concat(g, parts, 3), "next", 16, 3));
    check_all_fused();
    ck_assert_int_eq(steps("conv2d_pointwise_grad"), 1);
    ck_assert_int_eq(steps("conv2d_pointwise"), 2);
    ck_assert_int_eq(steps("copy_columns"), 6);
    ck_assert_int_eq(steps("copy"), 6 + 6); /* and vectors: what the gradients of the parts are told by */
    ck_assert_int_eq(steps("add"), 0);
}
END_TEST

START_TEST(ragged_parts_are_not_merged) {
    cln_tensor a = conv(image, "a", 8, 1), b = conv(image, "b", 12, 1);
    train(cln_concat(g, (cln_tensor[]){a, b}, 2));
    ck_assert_int_eq(steps("copy_columns"), 0);
    ck_assert_int_eq(steps("conv2d_pointwise"), 4);
}
END_TEST

START_TEST(moments_are_taken_once) {
    cln_tensor x = conv(image, "a", 16, 3);
    cln_tensor y = conv(relu(norm(x, "one")), "b", 16, 3), z = conv(relu(norm(x, "two")), "c", 16, 3);
    train(cln_concat(g, (cln_tensor[]){y, z}, 2));
    ck_assert_int_eq(steps("batchnorm_moments"), 1);
    ck_assert_int_eq(steps("batchnorm_prepare"), 2);
    ck_assert_int_eq(steps("batchnorm_normalise"), 0);
}
END_TEST

START_TEST(variants_that_do_not_fuse_get_numbers) {
    variant = "reference";
    train(conv(unit(image, "a", 32, 3, CLN_RELU), "b", 16, 3));
    ck_assert_int_eq(steps("batchnorm_normalise"), 1);
    ck_assert_int_eq(steps("batchnorm_part"), 1);
    ck_assert_int_eq(steps("batchnorm_grad_part"), 1);
    ck_assert_int_eq(steps("batchnorm_grad_input"), 1);
}
END_TEST

START_TEST(a_gpu_runs_every_layer_by_itself) {
    caps.is_cpu = false;
    cln_tensor x = unit(image, "stem", 32, 3, CLN_RELU), parts[2];
    for (int i = 0; i < 2; i++)
        parts[i] = unit(x, cln_name(g, "part%d", i), 16, 1, CLN_RELU);
    train(conv(cln_concat(g, parts, 2), "next", 16, 3));
    ck_assert_int_eq(steps("batchnorm_normalise"), 3);
    ck_assert_int_eq(steps("batchnorm_part"), 3);
    ck_assert_int_eq(steps("copy_columns"), 0);
    for (int s = 0; s < plan.step_count; s++)
        ck_assert_msg(!strstr(plan.steps[s].kernel, "winograd") && !strstr(plan.steps[s].kernel, "pointwise"),
                      "step %d is %s", s, plan.steps[s].kernel);
}
END_TEST

/* --- evaluation --- */

START_TEST(normalisation_goes_into_the_weights) {
    cln_tensor x = unit(image, "a", 32, 3, CLN_RELU);
    x = norm(conv(unit(x, "b", 16, 1, CLN_LEAKY_RELU), "c", 16, 3), "c.norm");
    make_evaluation(x);
    check_all_fused();
    ck_assert_int_eq(steps("conv2d_fold"), 3);
    ck_assert_int_eq(plan.step_count - steps("conv2d"), 3); /* batchnorm_running */
}
END_TEST

START_TEST(what_is_kept_is_not_folded) {
    cln_tensor x = conv(image, "a", 32, 3), y = norm(x, "norm"), z = relu(y);
    make(&(cln__plan_request){
        .loss = CLN_NO_TENSOR, .upstream = CLN_NO_TENSOR, .outputs = (const cln_tensor[]){x, y, z}, .output_count = 3});
    ck_assert_int_eq(steps("conv2d_fold"), 0);
    ck_assert_int_eq(steps("batchnorm_normalise"), 1);
    ck_assert_int_eq(steps("activation_forward"), 1);
}
END_TEST

/* One that reads the weights only; what it leaves keeps its memory. */
START_TEST(what_rests_on_the_weights_alone_is_prepared) {
    make_evaluation(unit(unit(image, "a", 32, 3, CLN_RELU), "b", 16, 3, CLN_RELU));
    int weights = steps("conv2d_fold") + steps("conv2d_winograd_weights") + steps("batchnorm_running");
    ck_assert_int_eq(weights, 6);
    ck_assert_int_eq(plan.prepared_count, weights);
    for (int s = 0; s < plan.step_count; s++) {
        bool convolves = strcmp(plan.steps[s].kernel, "conv2d_winograd") == 0;
        ck_assert_int_eq(convolves, s >= plan.prepared_count);
    }
    train(image);
    ck_assert_int_eq(plan.prepared_count, 0);
}
END_TEST

START_TEST(a_pooling_is_done_while_a_convolution_loads) {
    static const struct {
        int stride, kernel; /* of the pooling, of the convolution */
        const char *variant;
        bool read_twice, pooled;
    } cases[] = {
        {1, 1, NULL, false, true},      {2, 1, NULL, false, false}, {1, 3, NULL, false, false},
        {1, 1, "direct", false, false}, {1, 1, NULL, true, false},
    };
    cln_tensor pool = cln_maxpool(g, unit(image, "a", 32, 3, CLN_RELU), 3, cases[_i].stride, 1);
    cln_tensor y = unit(pool, "b", 32, cases[_i].kernel, CLN_RELU);
    variant = cases[_i].variant;
    make_evaluation(cases[_i].read_twice ? cln_add(g, y, pool) : y);
    ck_assert_int_eq(steps("maxpool"), !cases[_i].pooled);
    ck_assert_int_eq(steps_with("conv2d_pointwise", "-DPOOLED=1"), cases[_i].pooled);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_checked_fixture(tests, begin, teardown);
    tcase_add_loop_test(tests, what_a_convolution_reads_is_normalised_on_load, 0, 6);
    tcase_add_loop_test(tests, other_activations_are_steps, 0, 2);
    tcase_add_test(tests, a_tensor_that_is_kept_is_written);
    tcase_add_test(tests, a_gradient_that_is_asked_for_is_written);
    tcase_add_loop_test(tests, a_residual_joins_in_one_step, 0, 2);
    tcase_add_test(tests, an_activation_before_an_addition_is_not_done_behind_it);
    tcase_add_test(tests, gradients_are_added_in_one_memory_at_a_time);
    tcase_add_test(tests, a_dense_block_grows_in_place);
    tcase_add_test(tests, pointwise_convolutions_of_one_tensor_become_one);
    tcase_add_test(tests, ragged_parts_are_not_merged);
    tcase_add_test(tests, moments_are_taken_once);
    tcase_add_test(tests, variants_that_do_not_fuse_get_numbers);
    tcase_add_test(tests, a_gpu_runs_every_layer_by_itself);
    tcase_add_test(tests, normalisation_goes_into_the_weights);
    tcase_add_test(tests, what_rests_on_the_weights_alone_is_prepared);
    tcase_add_loop_test(tests, a_pooling_is_done_while_a_convolution_loads, 0, 5);
    tcase_add_test(tests, what_is_kept_is_not_folded);
}

int main(void) {
    return suite_run("fuse", add_tests);
}
