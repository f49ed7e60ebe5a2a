/* Depth and size that take time or memory: networks of 200 layers, tensors of more than 2 GiB. */
#include "files.h"
#include "sizes.h"
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Wider than for networks of four layers: rounding adds up through the layers, whichever kernels do it, and from update
 * to update, the more so the larger they are. */
static const char tolerance[] = "{\"logits\": 1e-4, \"grad\": 1e-2, \"losses\": [1e-5, 1e-2, 1e-2, 1e-2, 1e-2]}";

/* clang-format off */
static const self_model deep[] = {
    {"ResNet of 200 layers", "ResNet", "{\"num_classes\": 3, \"c_hidden\": [8, 8, 8], \"num_blocks\": [33, 33, 33], \"act_fn_name\": \"gelu\"}",
     "SGD", "{\"lr\": 0.0001}", {4, 3, 16, 16}, 3, tolerance},
    {"DenseNet of 200 layers", "DenseNet", "{\"num_classes\": 3, \"num_layers\": [24, 24, 25, 25], \"bn_size\": 2, \"growth_rate\": 4, \"act_fn_name\": \"tanh\"}",
     "SGD", "{\"lr\": 0.001}", {4, 3, 16, 16}, 3, tolerance},
};
/* clang-format on */

START_TEST(networks_of_200_layers_agree_with_the_reference) {
    const char *variant = _i % 2 ? "reference" : NULL;
    double error = sizes_check_model(&deep[_i / 2], variant);
    printf("%s, kernels %s: gradients are off by at most %.1e\n", deep[_i / 2].title,
           variant ? variant : "of the rules", error);
}
END_TEST

/* --- a tensor of more than 2 GiB between two convolutions of one pixel each, whose result is known --- */

enum { SIDE = 3000, CHANNELS = 64, PIXELS = SIDE * SIDE };

static void set(cln_weights *weights, const char *values_of, const float *values, int64_t count) {
    for (int i = 0; i < cln_weights_count(weights); i++)
        if (strcmp(cln_weights_info(weights, i).name, values_of) == 0)
            ok(cln_weights_set(weights, i, CLN_VALUE, values, count));
}

static void check_large(const char *variant) {
    cln_graph *g = cln_graph_new(ctx);
    cln_tensor x = cln_input(g, "x", 1, 1, SIDE, SIDE);
    cln_conv2d_options up = {.out_channels = CHANNELS, .kernel_h = 1, .kernel_w = 1}, down = up;
    down.out_channels = 1;
    cln_tensor y = cln_conv2d(g, cln_conv2d(g, x, "up", &up), "down", &down);
    cln_weights *weights;
    cln_plan *plan;
    ok(cln_weights_new(device, g, 1, &weights));
    float a[CHANNELS], b[CHANNELS], *in = malloc(PIXELS * sizeof *in), *out = malloc(PIXELS * sizeof *out);
    double factor = 0, largest = 0;
    ck_assert(in && out);
    for (int i = 0; i < CHANNELS; i++) {
        a[i] = (float)(i % 7 - 3) / 8;
        b[i] = (float)(i % 5 + 1) / 16;
        factor += (double)a[i] * (double)b[i];
    }
    for (int i = 0; i < PIXELS; i++)
        in[i] = (float)(i % 1009 - 504) / 256;
    set(weights, "up.weight", a, CHANNELS);
    set(weights, "down.weight", b, CHANNELS);
    ok(cln_plan_build(device, g, weights, &(cln_plan_options){.outputs = &y, .output_count = 1, .variant = variant},
                      &plan));
    ck_assert_uint_gt(cln_plan_get_memory(plan).planned_bytes, (uint64_t)1 << 31);
    ok(cln_plan_write(plan, x, in, PIXELS));
    ok(cln_plan_step(plan, 0));
    ok(cln_plan_read(plan, y, out, PIXELS));
    for (int i = 0; i < PIXELS; i++)
        largest = fmax(largest, fabs((double)out[i] - factor * (double)in[i]));
    ck_assert_msg(largest < 1e-5, "variant %s is off by %g", variant ? variant : "of the rules", largest);
    free(in);
    free(out);
    cln_plan_free(plan);
    cln_weights_free(weights);
    cln_graph_free(g);
}

/* What the system can give without others losing theirs. */
static double free_gib(void) {
    return proc_number("/proc/meminfo", "MemAvailable:") / (1 << 20);
}

START_TEST(tensors_beyond_2_gib_are_addressed) {
    static const char *const variants[] = {NULL, "direct", "reference"};
    const uint64_t bytes = (uint64_t)PIXELS * CHANNELS * sizeof(float);
    const cln_device_info *info = cln_device_get_info(device);
    if (info->max_alloc_bytes < bytes || free_gib() < 5)
        skip("a tensor of more than 2 GiB", "the device allocates %.1f GiB of its %.1f, and %.1f are free",
             (double)info->max_alloc_bytes / (1 << 30), (double)bytes / (1 << 30), free_gib());
    else
        check_large(variants[_i]);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_loop_test(tests, networks_of_200_layers_agree_with_the_reference, 0, 4);
    tcase_add_loop_test(tests, tensors_beyond_2_gib_are_addressed, 0, 3);
}

int main(void) {
    return suite_run_on_device("slow_limits", add_tests);
}
