/* Sizes at the ends of what is usual: one of everything, thousands of channels, large images, many classes; each
 * against the float64 reference of clbench verify --self. And devices that allocate little in one piece. Larger and
 * deeper things are in test_slow_limits.c. */
#include "../bench/self.h"
#include "../src/runtime/runtime.h"
#include "sizes.h"
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const self_op ops[] = {
    {"conv2d, one of everything", "conv2d", "{\"out\": 1, \"kernel\": 1}", 4, {1, 1, 1, 1}, {0}},
    {"conv2d, one pixel under nine taps", "conv2d", "{\"out\": 3, \"kernel\": 3, \"padding\": 1}", 4, {1, 1, 1, 1}, {0}},
    {"conv2d, a kernel as large as the image", "conv2d", "{\"out\": 2, \"kernel\": [16, 16]}", 4, {1, 1, 16, 16}, {0}},
    {"batchnorm, one channel", "batchnorm", "{}", 4, {5, 1, 1, 1}, {0}},
    {"relu, one of everything", "relu", "{}", 4, {1, 1, 1, 1}, {0}},
    {"add, one of everything", "add", "{}", 4, {1, 1, 1, 1}, {1}},
    {"concat, one of everything", "concat", "{}", 4, {1, 1, 1, 1}, {1, 1}},
    {"maxpool, one pixel", "maxpool", "{\"kernel\": 3, \"stride\": 2, \"padding\": 1}", 4, {1, 1, 1, 1}, {0}},
    {"global_avgpool, one of everything", "global_avgpool", "{}", 4, {1, 1, 1, 1}, {0}},
    {"linear, one of everything", "linear", "{\"out\": 1}", 2, {1, 1}, {0}},
    {"softmax_ce, one class", "softmax_ce", "{}", 2, {1, 1}, {0}},

    {"conv2d 1x1 from 4096 channels", "conv2d", "{\"out\": 16, \"kernel\": 1}", 4, {2, 4096, 3, 3}, {0}},
    {"conv2d 1x1 to 4096 channels", "conv2d", "{\"out\": 4096, \"kernel\": 1}", 4, {2, 16, 3, 3}, {0}},
    {"conv2d 3x3 from 4096 channels", "conv2d", "{\"out\": 8, \"kernel\": 3, \"padding\": 1}", 4, {1, 4096, 4, 4}, {0}},
    {"conv2d 3x3, each of 4096 channels alone", "conv2d", "{\"out\": 4096, \"kernel\": 3, \"padding\": 1, \"groups\": 4096}", 4, {1, 4096, 4, 4}, {0}},
    {"batchnorm of 4096 channels", "batchnorm", "{}", 4, {2, 4096, 4, 4}, {0}},
    {"concat to 4096 channels", "concat", "{}", 4, {1, 4000, 3, 3}, {95, 1}},
    {"linear from 4096 to 1000", "linear", "{\"out\": 1000}", 2, {4, 4096}, {0}},
    {"softmax_ce of 1000 classes", "softmax_ce", "{}", 2, {64, 1000}, {0}},
    {"softmax_ce of 1001 classes, smoothed", "softmax_ce", "{\"label_smoothing\": 0.1}", 2, {3, 1001}, {0}},

    {"conv2d 3x3 of 512x512", "conv2d", "{\"out\": 4, \"kernel\": 3, \"padding\": 1}", 4, {1, 3, 512, 512}, {0}},
    {"conv2d 7x7 stride 2 of 512x512", "conv2d", "{\"out\": 4, \"kernel\": 7, \"stride\": 2, \"padding\": 3}", 4, {1, 1, 512, 512}, {0}},
    {"conv2d of a line of 4096 pixels", "conv2d", "{\"out\": 16, \"kernel\": [1, 3]}", 4, {1, 16, 1, 4096}, {0}},
    {"conv2d of a column of 4096 pixels", "conv2d", "{\"out\": 16, \"kernel\": [3, 1]}", 4, {1, 16, 4096, 1}, {0}},
    {"batchnorm of 512x512", "batchnorm", "{}", 4, {1, 4, 512, 512}, {0}},
    {"maxpool of 512x512", "maxpool", "{\"kernel\": 3, \"stride\": 2, \"padding\": 1}", 4, {1, 4, 512, 512}, {0}},
    {"avgpool of 512x512", "avgpool", "{\"kernel\": 2}", 4, {1, 4, 512, 512}, {0}},
    {"global_avgpool of 512x512", "global_avgpool", "{}", 4, {1, 4, 512, 512}, {0}},
};

static const self_model models[] = {
    {"ResNet on one pixel and channel", "ResNet", "{\"num_classes\": 1, \"in_channels\": 1, \"c_hidden\": [1, 1], \"num_blocks\": [1, 1], \"act_fn_name\": \"gelu\"}",
     "SGD", "{\"lr\": 0.05, \"momentum\": 0.9}", {2, 1, 1, 1}, 1, NULL},
    {"ResNet on one image", "ResNet", "{\"num_classes\": 2, \"c_hidden\": [4, 8], \"num_blocks\": [1, 1], \"act_fn_name\": \"gelu\"}",
     "SGD", "{\"lr\": 0.01, \"momentum\": 0.9}", {1, 3, 12, 12}, 2, NULL},
    {"DenseNet for 1000 classes", "DenseNet", "{\"num_classes\": 1000, \"num_layers\": [1, 1], \"bn_size\": 2, \"growth_rate\": 4, \"act_fn_name\": \"tanh\"}",
     "AdamW", "{\"lr\": 0.002}", {4, 3, 12, 10}, 1000, NULL},
};
/* clang-format on */
enum { OPS = sizeof ops / sizeof *ops, MODELS = sizeof models / sizeof *models };

START_TEST(operators_agree_with_the_reference) {
    for (int i = 0; i < OPS; i++)
        sizes_check_op(&ops[i]);
}
END_TEST

START_TEST(networks_agree_with_the_reference) {
    for (int i = 0; i < MODELS; i++)
        sizes_check_model(&models[i], NULL);
}
END_TEST

/* --- devices that allocate little in one piece --- */

enum { IMAGES = 4, SIDE = 32 };

static cln_graph *small_network(int64_t batch, cln_tensor *image, cln_tensor *label, cln_tensor *loss) {
    cln_graph *g = cln_graph_new(ctx);
    *image = cln_input(g, "image", batch, 3, SIDE, SIDE);
    *label = cln_labels(g, "label", batch);
    cln_tensor x = *image;
    for (int i = 0; i < 4; i++) {
        cln_conv2d_options conv = {.out_channels = 16 + 8 * i, .kernel_h = 3, .kernel_w = 3, .padding = 1};
        x = cln_conv2d(g, x, cln_name(g, "conv%d", i), &conv);
        x = cln_activate(g, cln_batchnorm(g, x, cln_name(g, "norm%d", i), NULL), CLN_RELU);
    }
    *loss = cln_softmax_ce(g, cln_linear(g, cln_flatten(g, cln_global_avgpool(g, x)), "head", 10), *label, 0);
    ok(cln_graph_status(g));
    return g;
}

/* Five steps where the device allocates at most `max_alloc` bytes at once; how many arenas the plan has. */
static int train(uint64_t max_alloc, float losses[5]) {
    cln_tensor image, label, loss;
    cln_graph *g = small_network(IMAGES, &image, &label, &loss);
    cln_weights *weights;
    cln_plan *plan;
    enum { PIXELS = IMAGES * 3 * SIDE * SIDE };
    float *pixels = malloc(PIXELS * sizeof *pixels);
    ck_assert_ptr_nonnull(pixels);
    for (int i = 0; i < PIXELS; i++)
        pixels[i] = (float)(i * 37 % 1009) / 500 - 1;
    device->caps.max_alloc_bytes = max_alloc;
    cln_plan_options options = {
        .training = true, .loss = loss, .optimizer = {.kind = CLN_SGD}, .outputs = &loss, .output_count = 1};
    ok(cln_weights_new(device, g, 1, &weights));
    ok(cln_plan_build(device, g, weights, &options, &plan));
    ok(cln_plan_write(plan, image, pixels, PIXELS));
    ok(cln_plan_write_labels(plan, label, (int32_t[IMAGES]){1, 7, 3, 9}, IMAGES));
    for (int i = 0; i < 5; i++) {
        ok(cln_plan_step(plan, 0.1f));
        ok(cln_plan_read(plan, loss, &losses[i], 1));
    }
    int arenas = plan->host.arenas.count;
    for (int i = 0; i < arenas; i++)
        ck_assert_uint_le(plan->host.arenas.bytes[i], max_alloc);
    free(pixels);
    cln_plan_free(plan);
    cln_weights_free(weights);
    cln_graph_free(g);
    return arenas;
}

/* The largest tensor is of 40 channels, in 3 blocks of 16 at most. */
static const uint64_t largest_bytes = (uint64_t)IMAGES * 48 * SIDE * SIDE * sizeof(float);

START_TEST(memory_in_pieces_changes_no_bit) {
    float whole[5], pieces[5];
    ck_assert_int_eq(train(device_caps.max_alloc_bytes, whole), 1);
    ck_assert_int_gt(train(largest_bytes, pieces), 1);
    ck_assert_mem_eq(whole, pieces, sizeof whole);
    ck_assert_float_lt(whole[4], whole[0]);
}
END_TEST

/* The message names layer, shape, need and limit, and the batch size that it says does fit. */
START_TEST(a_layer_that_is_too_large_is_named) {
    cln_tensor image, label, loss;
    cln_plan *plan;
    cln_weights *weights;
    char expected[160];
    device->caps.max_alloc_bytes = largest_bytes;
    for (int64_t batch = 10 * IMAGES, fits = 0; batch > 0; batch = batch == fits ? 0 : fits) {
        cln_graph *g = small_network(batch, &image, &label, &loss);
        cln_plan_options options = {.training = true, .loss = loss, .optimizer = {.kind = CLN_SGD}};
        ok(cln_weights_new(device, g, 1, &weights));
        cln_status status = cln_plan_build(device, g, weights, &options, &plan);
        ck_assert_int_eq(status, batch == fits ? CLN_OK : CLN_OUT_OF_MEMORY);
        if (batch != fits) {
            expect_message("conv2d");
            snprintf(expected, sizeof expected, "the device allocates at most %llu at a time: use a smaller batch; ",
                     (unsigned long long)largest_bytes);
            expect_message(expected);
            const char *told = strstr(cln_context_error(ctx), "the largest batch size that fits is ");
            ck_assert_msg(told != NULL, "%s", cln_context_error(ctx));
            fits = atoi(told + strlen("the largest batch size that fits is "));
            ck_assert_int_ge(fits, IMAGES);
            ck_assert_int_lt(fits, 10 * IMAGES);
        }
        cln_plan_free(plan);
        cln_weights_free(weights);
        cln_graph_free(g);
    }
}
END_TEST

/* Weights lie in one piece. */
START_TEST(weights_that_are_too_large_are_told) {
    cln_graph *g = cln_graph_new(ctx);
    cln_weights *weights;
    cln_linear(g, cln_input(g, "x", 1, 100, 1, 1), "head", 100);
    ok(cln_graph_status(g));
    device->caps.max_alloc_bytes = 40000;
    ck_assert_int_eq(cln_weights_new(device, g, 1, &weights), CLN_OUT_OF_MEMORY);
    expect_message("bytes for the parameters (the device gives at most 40000 in one piece)");
    cln_graph_free(g);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_test(tests, operators_agree_with_the_reference);
    tcase_add_test(tests, networks_agree_with_the_reference);
    tcase_add_test(tests, memory_in_pieces_changes_no_bit);
    tcase_add_test(tests, a_layer_that_is_too_large_is_named);
    tcase_add_test(tests, weights_that_are_too_large_are_told);
}

int main(void) {
    return suite_run_on_device("extreme_sizes", add_tests);
}
