/* Convolutions on a device, by each variant: against a naive reference in double precision. */
#include "layers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct conv_case {
    cln_shape x;
    cln_conv2d_options o;
} conv_case;

/* The caller ends the trial. */
static trial run_conv(const conv_case *c, const char *variant) {
    char word[64];
    trial t = trial_begin();
    operand *x = trial_input(&t, c->x);
    t.variant = variant;
    trial_run(&t, cln_conv2d(t.g, x->whole, "conv", &c->o));
    snprintf(word, sizeof word, "conv2d 'conv' %s ", variant);
    ck_assert_msg(trial_plan_mentions(&t, word), "the plan does not use %s", variant);
    check_only_layer(&t, "conv", &c->o);
    return t;
}

static void check_conv(const conv_case *c, const char *variant) {
    trial t = run_conv(c, variant);
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

static const conv_case tiled[] = {
    {{2, 5, 13, 19}, {.out_channels = 60, .kernel_h = 3, .kernel_w = 3, .padding = 1, .bias = true}},
    {{1, 6, 6, 10}, {.out_channels = 60, .kernel_h = 2, .kernel_w = 4, .padding = 1}},
    {{2, 13, 13, 19}, {.out_channels = 30, .kernel_h = 3, .kernel_w = 3, .padding = 1}},
    {{1, 7, 6, 10}, {.out_channels = 27, .kernel_h = 2, .kernel_w = 4, .padding = 1, .bias = true}},
    {{2, 3, 13, 19}, {.out_channels = 13, .kernel_h = 4, .kernel_w = 4, .padding = 2}},
    {{1, 8, 6, 10}, {.out_channels = 11, .kernel_h = 4, .kernel_w = 4, .padding = 1}},
    {{2, 60, 13, 19}, {.out_channels = 18, .kernel_h = 3, .kernel_w = 3, .padding = 1, .stride = 2}},
};
static const char *const tiles[] = {
    "TILE_M=128 -DTILE_N=64", "TILE_M=64 -DTILE_N=64",  "TILE_M=128 -DTILE_N=32",
    "TILE_M=64 -DTILE_N=32",  "TILE_M=128 -DTILE_N=16", "TILE_M=64 -DTILE_N=16",
};
static const char *const weight_tiles[] = {
    "TILE_M=64 -DTILE_N=64", "TILE_M=32 -DTILE_N=64",  "TILE_M=64 -DTILE_N=32",
    "TILE_M=32 -DTILE_N=32", "TILE_M=128 -DTILE_N=16", "TILE_M=64 -DTILE_N=16",
};
enum { TILES = sizeof tiles / sizeof *tiles, CASES = sizeof tiled / sizeof *tiled };

/* Notes which of the tiles the kernels of `source` have. */
static void see_tiles(const trial *t, const char *source, const char *const *names, bool seen[TILES]) {
    const cln__host_plan *plan = &t->plan->host;
    for (int i = 0; i < plan->step_count; i++)
        for (int k = 0; k < TILES; k++)
            if (strcmp(plan->steps[i].source, source) == 0 && strstr(plan->steps[i].defines, names[k]))
                seen[k] = true;
}

/* A device that a few work-items fill gets the tiles that do least work: among these cases, each of them. */
START_TEST(every_implicit_tile_matches_the_reference) {
    bool seen[TILES] = {false}, weight_seen[TILES] = {false};
    configure(2);
    device->caps.items_target = 1;
    for (int i = 0; i < CASES; i++) {
        trial t = run_conv(&tiled[i], "implicit");
        see_tiles(&t, "conv2d_implicit", tiles, seen);
        see_tiles(&t, "conv2d_implicit_grad_weight", weight_tiles, weight_seen);
        trial_end(&t);
    }
    for (int i = 0; i < TILES; i++) {
        ck_assert_msg(seen[i], "no case has the tile %s", tiles[i]);
        ck_assert_msg(weight_seen[i], "no case has the tile %s for the gradient of the weight", weight_tiles[i]);
    }
}
END_TEST

/* A device that no number of work-items fills: 36 parts, merged in two steps. */
START_TEST(implicit_merges_many_parts) {
    configure(2);
    device->caps.items_target = 1 << 20;
    check_conv(&(conv_case){{5, 8, 30, 30}, {.out_channels = 4, .kernel_h = 3, .kernel_w = 3, .padding = 1}},
               "implicit");
}
END_TEST

static bool chooses(const conv_case *c, const char *variant) {
    char word[64];
    trial t = trial_begin();
    trial_run(&t, cln_conv2d(t.g, trial_input(&t, c->x)->whole, "conv", &c->o));
    snprintf(word, sizeof word, "conv2d 'conv' %s ", variant);
    bool found = trial_plan_mentions(&t, word);
    trial_end(&t);
    return found;
}

START_TEST(implicit_is_for_gpus) {
    const conv_case *c = &windows[2];
    configure(0);
    ck_assert_int_eq(chooses(c, "implicit"), !device->caps.is_cpu);
    configure(2);
    ck_assert(chooses(c, "implicit"));
    ck_assert(!chooses(&grouped[0], "implicit"));
    device->caps.max_work_group = 32;
    ck_assert(!chooses(c, "implicit"));
    configure(2);
    device->caps.local_bytes = 4096;
    ck_assert(!chooses(c, "implicit"));
}
END_TEST

/* --- fused variants --- */

/* They serve CPUs; 0: with the device's own blocks, else with others. */
enum { BLOCK_SIZES = 3 };
static bool configure_cpu(int index) {
    static const int blocks[BLOCK_SIZES] = {0, 4, 8};
    configure(0);
    if (index > 0)
        device->caps.block = blocks[index];
    return device->caps.is_cpu;
}

/* Odd sizes, one more than a tile or a chunk of pixels, channels that fill no block, gaps. */
static const conv_case fused_pointwise[] = {
    {{1, 5, 1, 1}, {.out_channels = 3, .kernel_h = 1, .kernel_w = 1, .bias = true}},
    {{3, 40, 1, 1}, {.out_channels = 33, .kernel_h = 1, .kernel_w = 1}},
    {{1, 8, 17, 1}, {.out_channels = 8, .kernel_h = 1, .kernel_w = 1, .bias = true}},
    {{3, 24, 4, 4}, {.out_channels = 12, .kernel_h = 1, .kernel_w = 1}},
    {{3, 25, 7, 5}, {.out_channels = 48, .kernel_h = 1, .kernel_w = 1, .bias = true}},
    {{1, 300, 3, 3}, {.out_channels = 20, .kernel_h = 1, .kernel_w = 1}},
};
static const conv_case fused_windows[] = {
    {{1, 5, 1, 1}, {.out_channels = 3, .kernel_h = 3, .kernel_w = 3, .padding = 1, .bias = true}},
    {{3, 12, 9, 17}, {.out_channels = 24, .kernel_h = 3, .kernel_w = 3, .padding = 1, .bias = true}},
    {{3, 25, 7, 5}, {.out_channels = 17, .kernel_h = 3, .kernel_w = 3, .padding = 1, .stride = 2, .bias = true}},
    {{1, 8, 9, 18}, {.out_channels = 48, .kernel_h = 5, .kernel_w = 5, .padding = 2, .stride = 2}},
    {{2, 24, 8, 7}, {.out_channels = 40, .kernel_h = 3, .kernel_w = 1, .stride = 3}},
    {{2, 16, 11, 10}, {.out_channels = 8, .kernel_h = 2, .kernel_w = 4, .padding = 1, .stride = 3, .bias = true}},
    {{3, 16, 9, 6}, {.out_channels = 33, .kernel_h = 1, .kernel_w = 1, .stride = 2}},
    {{2, 8, 5, 5}, {.out_channels = 12, .kernel_h = 1, .kernel_w = 1, .stride = 3, .padding = 1}},
};

/* One more than a tile of 4 or 2, several images at once, the last of them fewer, bands of a large image. */
static const conv_case winograd[] = {
    {{1, 5, 1, 1}, {.out_channels = 3, .kernel_h = 3, .kernel_w = 3, .padding = 1, .bias = true}},
    {{3, 8, 5, 9}, {.out_channels = 12, .kernel_h = 3, .kernel_w = 3, .padding = 1}},
    {{3, 25, 7, 5}, {.out_channels = 48, .kernel_h = 3, .kernel_w = 3, .padding = 1, .bias = true}},
    {{17, 48, 8, 8}, {.out_channels = 24, .kernel_h = 3, .kernel_w = 3, .padding = 1}},
    {{1, 64, 61, 40}, {.out_channels = 9, .kernel_h = 3, .kernel_w = 3, .padding = 1}},
    {{2, 17, 1, 3}, {.out_channels = 12, .kernel_h = 5, .kernel_w = 5, .padding = 2}},
    {{3, 12, 9, 5}, {.out_channels = 48, .kernel_h = 5, .kernel_w = 5, .padding = 2, .bias = true}},
};

START_TEST(pointwise_matches_the_reference) {
    if (configure_cpu(_i))
        CHECK_CONVS(fused_pointwise, "pointwise");
}
END_TEST

START_TEST(staged_matches_the_reference) {
    if (configure_cpu(_i))
        CHECK_CONVS(fused_windows, "staged");
}
END_TEST

START_TEST(winograd_matches_the_reference) {
    if (configure_cpu(_i))
        CHECK_CONVS(winograd, "winograd");
}
END_TEST

static const conv_case not_winograd[] = {
    {{1, 8, 7, 5}, {.out_channels = 8, .kernel_h = 3, .kernel_w = 3, .padding = 1, .stride = 2}},
    {{1, 8, 7, 5}, {.out_channels = 8, .kernel_h = 3, .kernel_w = 3}},
    {{1, 8, 7, 5}, {.out_channels = 8, .kernel_h = 3, .kernel_w = 5, .padding = 1}},
    {{1, 8, 7, 5}, {.out_channels = 8, .kernel_h = 7, .kernel_w = 7, .padding = 3}},
    {{1, 8, 7, 5}, {.out_channels = 8, .kernel_h = 3, .kernel_w = 3, .padding = 1, .dilation = 2}},
    {{1, 8, 7, 5}, {.out_channels = 8, .kernel_h = 3, .kernel_w = 3, .padding = 1, .groups = 2}},
    {{1, 160, 2, 1500}, {.out_channels = 1, .kernel_h = 3, .kernel_w = 3, .padding = 1}}, /* private memory */
};

START_TEST(winograd_refuses_others) {
    configure(0);
    for (size_t i = 0; device->caps.is_cpu && i < sizeof not_winograd / sizeof *not_winograd; i++) {
        trial t = trial_begin();
        t.variant = "winograd";
        operand *x = trial_input(&t, not_winograd[i].x);
        trial_evaluate(&t, cln_conv2d(t.g, x->whole, "conv", &not_winograd[i].o));
        ck_assert(!trial_plan_mentions(&t, "conv2d 'conv' winograd "));
        trial_end(&t);
    }
}
END_TEST

static void set_weight(trial *t, const char *name, float value) {
    for (int i = 0; i < cln_weights_count(t->weights); i++) {
        cln_weight_info info = cln_weights_info(t->weights, i);
        float *values = floats(info.count);
        for (int64_t k = 0; k < info.count; k++)
            values[k] = value;
        if (strcmp(info.name, name) == 0)
            ok(cln_weights_set(t->weights, i, CLN_VALUE, values, info.count));
        free(values);
    }
}

/* The moments of an epilogue, of values whose mean is thousands of deviations: what they normalise has mean 0, variance
 * 1. They drift from image to image, and the mean must follow; its own rounding is 6e-8 of it. */
static void check_large_mean(const char *variant, int kernel, cln_shape shape, float mean) {
    cln_conv2d_options o = {
        .out_channels = (int)shape.c, .kernel_h = kernel, .kernel_w = kernel, .padding = kernel / 2, .bias = true};
    trial t = trial_begin();
    t.variant = variant;
    operand *x = trial_input(&t, shape);
    const int64_t pixels = shape.h * shape.w;
    for (int64_t i = 0; i < count_of(shape); i++)
        x->values[i] += (float)(i / pixels / shape.c % 8);
    cln_tensor y = cln_conv2d(t.g, x->whole, "conv", &o);
    y = cln_batchnorm(t.g, y, "norm", NULL);
    trial_build(&t, &(cln_plan_options){.training = true, .loss = y, .outputs = &y, .output_count = 1});
    char word[40];
    snprintf(word, sizeof word, "conv2d 'conv' %s ", variant);
    ck_assert(trial_plan_mentions(&t, word));
    set_weight(&t, "conv.bias", mean);
    set_weight(&t, "norm.weight", 1);
    set_weight(&t, "norm.bias", 0);
    trial_step(&t, 0);
    for (int64_t c = 0; c < shape.c; c++) {
        double sum = 0, squares = 0, count = (double)(shape.n * pixels);
        for (int64_t i = 0; i < shape.n * pixels; i++) {
            double value = t.y.values[(i / pixels * shape.c + c) * pixels + i % pixels];
            sum += value;
            squares += value * value;
        }
        ck_assert_double_eq_tol(sum / count, 0, 6e-8 * mean);
        ck_assert_double_eq_tol(squares / count, 1, 3e-5);
    }
    trial_end(&t);
}

/* Also where an item, of the few that a single core gets, has so many pixels that one more tile hardly moves the mean.
 */
START_TEST(fused_moments_bear_large_means) {
    if (!configure_cpu(0))
        return;
    device->caps.compute_units = 1;
    const cln_shape shapes[] = {{3, 8, 17, 15}, {64, 8, 64, 64}};
    const float means[] = {1000, 8000};
    for (int i = 0; i < 2; i++) {
        check_large_mean("winograd", 3, shapes[i], means[i]);
        check_large_mean("winograd", 5, shapes[i], means[i]);
        check_large_mean("staged", 3, shapes[i], means[i]);
        check_large_mean("pointwise", 1, shapes[i], means[i]);
    }
}
END_TEST

/* Planar images, whose gradient no fused variant makes: the plan is that of a first layer, without it. */
START_TEST(staged_takes_planar_images) {
    if (!configure_cpu(_i))
        return;
    for (int channels = 1; channels <= 4; channels++) {
        cln_conv2d_options o = {
            .out_channels = 16 + channels, .kernel_h = 3, .kernel_w = 3, .padding = 1, .stride = channels % 2 + 1};
        trial t = trial_begin();
        t.variant = "staged";
        cln_tensor x = trial_input(&t, (cln_shape){2, channels, 9, 18})->whole;
        t.weights_only = true;
        trial_run(&t, cln_conv2d(t.g, x, "conv", &o));
        ck_assert(trial_plan_mentions(&t, "conv2d 'conv' staged "));
        ck_assert(trial_plan_mentions(&t, "conv2d_grad 'conv' staged "));
        double *dx = zeros(count_of(t.x[0].shape));
        check_layer(&t, "conv", &o, &t.y, dx);
        free(dx);
        trial_end(&t);
    }
}
END_TEST

/* A network in which everything is fused somewhere: normalisation and activation on load, moments, corrected gradients
 * that are kept for a second reader, masks, sums, additions before and after. */
static cln_tensor block_of(cln_graph *g, cln_tensor x, const cln_conv2d_options *o) {
    cln_activation leaky = CLN_LEAKY_RELU;
    cln_tensor a = cln_activate(g, cln_batchnorm(g, cln_conv2d(g, x, "first", o), "n1", NULL), CLN_RELU);
    cln_tensor b = cln_activate(g, cln_batchnorm(g, cln_conv2d(g, a, "second", o), "n2", NULL), leaky);
    cln_tensor c = cln_batchnorm(g, cln_conv2d(g, b, "third", o), "n3", NULL);
    cln_tensor d = cln_activate(g, cln_add(g, c, cln_batchnorm(g, cln_conv2d(g, a, "aside", o), "n4", NULL)), leaky);
    return cln_conv2d(g, d, "last", o);
}

typedef struct outcome {
    float *y, *dx, *dw[5];
    int64_t values, inputs, weights[5];
} outcome;

static const char *const block_weights[] = {"first.weight", "second.weight", "third.weight", "aside.weight",
                                            "last.weight"};

static outcome run_block(const char *variant, cln_shape shape, const cln_conv2d_options *o) {
    trial t = trial_begin();
    t.variant = variant;
    trial_run(&t, block_of(t.g, trial_input(&t, shape)->whole, o));
    char word[64];
    snprintf(word, sizeof word, "conv2d 'second' %s ", variant);
    ck_assert_msg(trial_plan_mentions(&t, word), "the plan does not use %s", variant);
    outcome r = {.values = count_of(t.y.shape), .inputs = count_of(shape)};
    r.y = floats(r.values);
    memcpy(r.y, t.y.values, (size_t)r.values * sizeof *r.y);
    r.dx = floats(r.inputs);
    memcpy(r.dx, t.x[0].gradient, (size_t)r.inputs * sizeof *r.dx);
    for (int i = 0; i < 5; i++) {
        r.dw[i] = trial_weight(&t, block_weights[i], CLN_GRADIENT);
        r.weights[i] = (i == 0 ? shape.c : o->out_channels) * o->out_channels * o->kernel_h * o->kernel_w;
    }
    trial_end(&t);
    return r;
}

static void check_same(const char *what, const float *got, const float *want, int64_t count) {
    double *truth = zeros(count);
    for (int64_t i = 0; i < count; i++)
        truth[i] = want[i];
    check_close(what, got, truth, count, 1e-4); /* five layers, the normalisations' variances of 30 to 100 values */
    free(truth);
}

static void check_block(const char *variant, cln_shape shape, const cln_conv2d_options *o) {
    outcome got = run_block(variant, shape, o), want = run_block("reference", shape, o);
    check_same("y", got.y, want.y, got.values);
    check_same("dx", got.dx, want.dx, got.inputs);
    for (int i = 0; i < 5; i++) {
        check_same(block_weights[i], got.dw[i], want.dw[i], got.weights[i]);
        free(got.dw[i]);
        free(want.dw[i]);
    }
    free(got.y);
    free(want.y);
    free(got.dx);
    free(want.dx);
}

START_TEST(pointwise_fuses) {
    if (configure_cpu(_i))
        check_block("pointwise", (cln_shape){3, 24, 7, 5},
                    &(cln_conv2d_options){.out_channels = 20, .kernel_h = 1, .kernel_w = 1, .bias = true});
}
END_TEST

START_TEST(staged_fuses) {
    if (configure_cpu(_i))
        check_block("staged", (cln_shape){3, 24, 7, 5},
                    &(cln_conv2d_options){.out_channels = 20, .kernel_h = 3, .kernel_w = 3, .padding = 1});
}
END_TEST

START_TEST(winograd_fuses) {
    if (!configure_cpu(_i))
        return;
    check_block("winograd", (cln_shape){3, 24, 7, 5},
                &(cln_conv2d_options){.out_channels = 20, .kernel_h = 3, .kernel_w = 3, .padding = 1});
    check_block("winograd", (cln_shape){3, 20, 8, 8},
                &(cln_conv2d_options){.out_channels = 24, .kernel_h = 5, .kernel_w = 5, .padding = 2, .bias = true});
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
    tcase_add_test(tests, every_implicit_tile_matches_the_reference);
    tcase_add_test(tests, implicit_merges_many_parts);
    tcase_add_test(tests, implicit_is_for_gpus);
    tcase_add_loop_test(tests, pointwise_matches_the_reference, 0, BLOCK_SIZES);
    tcase_add_loop_test(tests, staged_matches_the_reference, 0, BLOCK_SIZES);
    tcase_add_loop_test(tests, staged_takes_planar_images, 0, BLOCK_SIZES);
    tcase_add_loop_test(tests, pointwise_fuses, 0, BLOCK_SIZES);
    tcase_add_loop_test(tests, staged_fuses, 0, BLOCK_SIZES);
    tcase_add_loop_test(tests, winograd_matches_the_reference, 0, BLOCK_SIZES);
    tcase_add_loop_test(tests, winograd_fuses, 0, BLOCK_SIZES);
    tcase_add_test(tests, winograd_refuses_others);
    tcase_add_test(tests, fused_moments_bear_large_means);
    tcase_add_loop_test(tests, groups_match_the_reference, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, convolutions_may_write_into_a_concatenation, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, bias_gradients_are_channel_sums, 0, CONFIGURATIONS);
}

int main(void) {
    return suite_run_on_device("conv2d", add_tests);
}
