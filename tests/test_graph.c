/* Building graphs: shapes, names, the first error kept, differentiation, text. Needs no device. */
#include "../src/graph/autodiff.h"
#include "../src/ops/conv2d.h"
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cln_graph *g;

static void setup(void) {
    g = cln_graph_new(ctx);
    ck_assert_ptr_nonnull(g);
}

static void teardown(void) {
    cln_graph_free(g);
}

static void check_ok(void) {
    ck_assert_msg(cln_graph_status(g) == CLN_OK, "%s", cln_context_error(ctx));
}

static void check_shape(cln_tensor x, int64_t n, int64_t c, int64_t h, int64_t w) {
    char found[96], expected[96];
    check_ok();
    cln__shape_text(cln_tensor_shape(g, x), found);
    ck_assert_str_eq(found, cln__shape_text((cln_shape){n, c, h, w}, expected));
}

/* A failed graph says so for ever: with its first message, and invalid tensors. */
static void check_failed(const char *message) {
    ck_assert_int_eq(cln_graph_status(g), CLN_INVALID_ARGUMENT);
    ck_assert_str_eq(cln_context_error(ctx), message);
    int nodes = g->node_count, tensors = g->tensor_count;
    cln_tensor x = cln_input(g, "after", 1, 1, 1, 1);
    ck_assert_int_lt(x.id, 0);
    ck_assert_int_lt(cln_labels(g, "labels after", 1).id, 0);
    ck_assert_int_lt(cln_activate(g, x, CLN_RELU).id, 0);
    ck_assert_int_lt(cln_linear(g, x, "linear after", 0).id, 0);
    ck_assert_int_lt(cln_conv2d(g, x, "conv after", &(cln_conv2d_options){.out_channels = -1}).id, 0);
    ck_assert_int_lt(cln_concat(g, &x, 1).id, 0);
    ck_assert_str_eq(cln_name(g, "%d", 5), "");
    cln_graph_fail(g, "a later failure");
    ck_assert_int_eq(g->node_count, nodes);
    ck_assert_int_eq(g->tensor_count, tensors);
    ck_assert_int_eq(cln_graph_status(g), CLN_INVALID_ARGUMENT);
    ck_assert_str_eq(cln_context_error(ctx), message);
}

static cln_conv2d_options square(int channels, int kernel) {
    return (cln_conv2d_options){
        .out_channels = channels, .kernel_h = kernel, .kernel_w = kernel, .padding = kernel / 2};
}

static cln_tensor conv(cln_tensor x, const char *name, int channels, int kernel) {
    cln_conv2d_options o = square(channels, kernel);
    return cln_conv2d(g, x, name, &o);
}

static cln_tensor image(int64_t n, int64_t c, int64_t h, int64_t w) {
    return cln_input(g, "image", n, c, h, w);
}

/* --- shapes --- */

START_TEST(shapes_are_inferred) {
    cln_tensor x = image(2, 3, 17, 11);
    cln_conv2d_options o = {.out_channels = 8, .kernel_h = 5, .kernel_w = 3, .stride = 2, .padding = 1, .dilation = 2};
    cln_tensor y = cln_conv2d(g, x, "conv", &o);
    check_shape(y, 2, 8, 6, 5); /* (17 + 2 - 9) / 2 + 1, (11 + 2 - 5) / 2 + 1 */
    check_shape(cln__find_tensor(g, "conv.weight"), 8, 3, 5, 3);
    check_shape(cln_maxpool(g, x, 3, 2, 1), 2, 3, 9, 6);
    check_shape(cln_avgpool(g, x, 2, 2, 0), 2, 3, 8, 5);
    check_shape(cln_concat(g, (cln_tensor[]){x, x, x}, 3), 2, 9, 17, 11);
    check_shape(cln_add(g, x, x), 2, 3, 17, 11);
    check_shape(cln_flatten(g, y), 2, 240, 1, 1);
    cln_tensor features = cln_flatten(g, cln_global_avgpool(g, y));
    check_shape(features, 2, 8, 1, 1);
    cln_tensor logits = cln_linear(g, cln_dropout(g, features, 0.5f), "head", 10);
    check_shape(logits, 2, 10, 1, 1);
    check_shape(cln_softmax_ce(g, logits, cln_labels(g, "label", 2), 0), 1, 1, 1, 1);
}
END_TEST

START_TEST(unknown_tensors_have_no_shape) {
    cln_shape shape = cln_tensor_shape(g, (cln_tensor){7});
    ck_assert(shape.n == 0 && shape.c == 0 && shape.h == 0 && shape.w == 0);
}
END_TEST

START_TEST(a_graph_can_be_tried_at_another_batch) {
    cln_tensor x = image(4, 3, 8, 8), y = conv(x, "conv", 5, 3);
    cln_tensor z = cln_concat(g, (cln_tensor[]){y, x}, 2);
    check_ok();
    cln_graph *copy = cln__graph_clone(g);
    ck_assert_ptr_nonnull(copy);
    ck_assert_int_eq(cln__graph_rebatch(copy, 9), CLN_OK);
    ck_assert_int_eq(cln_tensor_shape(copy, z).n, 9);
    ck_assert_int_eq(cln_tensor_shape(copy, y).c, 5);
    ck_assert_int_eq(cln_tensor_shape(g, z).n, 4);
    ck_assert_int_eq(cln__graph_rebatch(copy, INT64_MAX / 2), CLN_INVALID_ARGUMENT);
    cln_graph_free(copy);
}
END_TEST

/* --- failures --- */

START_TEST(weights_must_fit_the_input) {
    cln_tensor x = image(1, 32, 4, 4);
    cln__conv2d_attrs attrs = {.kernel_h = 1, .kernel_w = 1, .stride = 1, .dilation = 1, .groups = 1};
    cln_tensor w = cln__param_add(g, CLN__PARAM, "blocks.3.net.0", "weight", (cln_shape){16, 64, 1, 1}, CLN__WEIGHT, x,
                                  CLN__NORMAL, 1);
    cln_tensor y = cln__node_add(g, &cln__op_conv2d, "blocks.3.net.0", &attrs, (cln_tensor[]){x, w}, 2);
    ck_assert_int_lt(y.id, 0);
    check_failed("conv2d 'blocks.3.net.0': weight expects 64 input channels, input has 32");
}
END_TEST

START_TEST(kernels_must_fit_the_image) {
    cln_conv2d_options o = {.out_channels = 4, .kernel_h = 3, .kernel_w = 5, .padding = 1, .dilation = 2};
    cln_conv2d(g, image(1, 3, 6, 6), "wide", &o);
    check_failed("conv2d 'wide': a 3x5 kernel with dilation 2 and padding 1 does not fit a 6x6 input");
}
END_TEST

START_TEST(options_must_be_in_range) {
    cln_conv2d_options o = square(4, 3);
    o.stride = -1;
    cln_conv2d(g, image(1, 3, 6, 6), "back", &o);
    check_failed("conv2d 'back': out_channels 4, kernel 3x3, stride -1, padding 1, dilation 1, groups 1: out of range");
}
END_TEST

START_TEST(groups_must_divide_the_channels) {
    cln_conv2d_options o = square(8, 3);
    o.groups = 4;
    cln_conv2d(g, image(1, 6, 4, 4), "grouped", &o);
    check_failed("conv2d 'grouped': 6 input and 8 output channels cannot be split in 4 groups");
}
END_TEST

START_TEST(names_must_differ) {
    cln_tensor x = image(1, 3, 4, 4);
    conv(conv(x, "same", 4, 3), "same", 4, 3);
    check_failed("'same.weight': there is already a tensor of this name; layers need names of their own");
}
END_TEST

#define SHAPE_LIMITS                                                                                                   \
    "is empty or too large: of all its images together there may be 2^30-1 pixels and 2^48 numbers, and 2^26 channels"

START_TEST(empty_shapes_fail) {
    image(1, 3, 0, 4);
    check_failed("'image': shape 1x3x0x4 " SHAPE_LIMITS);
}
END_TEST

START_TEST(overflowing_inputs_fail) {
    image((int64_t)1 << 40, 1 << 10, 1 << 10, 1 << 10);
    check_failed("'image': shape 1099511627776x1024x1024x1024 " SHAPE_LIMITS);
}
END_TEST

START_TEST(overflowing_outputs_fail) {
    cln_tensor x = image((1 << 18) - 1, 1, 64, 64);
    conv(x, "huge", 1 << 19, 1);
    check_failed("conv2d 'huge': its output shape 262143x524288x64x64 " SHAPE_LIMITS);
}
END_TEST

START_TEST(sums_need_equal_shapes) {
    cln_tensor x = image(1, 3, 4, 4);
    cln_add(g, x, conv(x, "conv", 5, 3));
    check_failed("add 'add': its inputs have different shapes, 1x3x4x4 and 1x5x4x4");
}
END_TEST

START_TEST(concatenations_need_equal_images) {
    cln_tensor x = image(1, 3, 4, 4);
    cln_concat(g, (cln_tensor[]){x, cln_maxpool(g, x, 2, 2, 0)}, 2);
    check_failed("concat 'concat': input 1 has shape 1x3x2x2, input 0 has 1x3x4x4: only the channels may differ");
}
END_TEST

START_TEST(foreign_tensors_are_refused) {
    cln_tensor x = image(1, 3, 4, 4);
    cln_add(g, x, (cln_tensor){99});
    check_failed("add 'add': input 1 is not a tensor of this graph");
}
END_TEST

START_TEST(linear_layers_take_flat_input) {
    cln_linear(g, image(2, 3, 4, 4), "head", 10);
    check_failed("linear 'head': its input has 4x4 pixels an image, it takes flat features: use cln_flatten or "
                 "cln_global_avgpool first");
}
END_TEST

START_TEST(models_may_fail_with_a_message_of_their_own) {
    cln_graph_fail(g, "MyNet: depth is %d, expected %s", 7, "an even number");
    check_failed("MyNet: depth is 7, expected an even number");
}
END_TEST

/* --- names --- */

START_TEST(made_names_live_as_long_as_the_graph) {
    const char *names[200];
    for (int i = 0; i < 200; i++)
        names[i] = cln_name(g, "blocks.%d.%s", i, "net");
    ck_assert_str_eq(names[0], "blocks.0.net");
    ck_assert_str_eq(names[199], "blocks.199.net");
}
END_TEST

/* --- layers --- */

START_TEST(layers_tell_parameters_and_multiply_adds) {
    cln_conv2d_options o = {.out_channels = 6, .kernel_h = 3, .kernel_w = 3, .padding = 1, .groups = 3, .bias = true};
    cln_tensor y = cln_conv2d(g, image(2, 3, 8, 8), "conv", &o);
    y = cln_batchnorm(g, y, "norm", NULL);
    cln_linear(g, cln_flatten(g, y), "head", 10);
    check_ok();
    ck_assert_int_eq(cln_graph_layers(g), 4);
    cln_layer first = cln_graph_layer(g, 0), norm = cln_graph_layer(g, 1), head = cln_graph_layer(g, 3);
    ck_assert_str_eq(first.name, "conv");
    ck_assert_str_eq(first.op, "conv2d");
    ck_assert_int_eq(first.parameters, 6 * 9 + 6);
    ck_assert_int_eq(first.multiply_adds, 2 * 6 * 64 * 9);
    ck_assert_int_eq(norm.parameters, 12); /* the running statistics are not trained */
    ck_assert_int_eq(norm.multiply_adds, 0);
    ck_assert_str_eq(head.name, "head");
    ck_assert_int_eq(head.parameters, 384 * 10 + 10);
    ck_assert_int_eq(head.multiply_adds, 2 * 384 * 10);
    ck_assert_int_eq(head.output.c, 10);
    ck_assert_int_eq(cln_graph_parameters(g), 60 + 12 + 3850);
    ck_assert_str_eq(cln_graph_layer(g, 4).name, "");
    ck_assert_str_eq(cln_graph_layer(g, -1).name, "");
}
END_TEST

/* --- text --- */

static void check_text(const char *expected) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(out);
    cln_graph_print(g, out);
    ck_assert_int_eq(fclose(out), 0);
    ck_assert_msg(strcmp(text, expected) == 0, "expected:\n%s\nfound:\n%s", expected, text);
    free(text);
}

/* A stem, a residual block, a classifier. */
static cln_tensor small_network(void) {
    cln_tensor x = conv(image(2, 3, 8, 8), "stem", 20, 3);
    cln_tensor y = cln_activate(g, cln_batchnorm(g, x, "block.norm", NULL), CLN_RELU);
    cln_conv2d_options o = {.out_channels = 20, .kernel_h = 1, .kernel_w = 1, .bias = true};
    y = cln_add(g, cln_conv2d(g, y, "block.conv", &o), x);
    y = cln_linear(g, cln_flatten(g, cln_global_avgpool(g, y)), "head", 10);
    return cln_softmax_ce(g, y, cln_labels(g, "label", 2), 0.1f);
}

START_TEST(a_graph_prints_a_line_a_node) {
    small_network();
    check_ok();
    check_text(
        "input image: 2x3x8x8\n"
        "input label: 2x1x1x1\n"
        "%2 = conv2d(image, stem.weight) kernel 3x3 stride 1 padding 1: 2x20x8x8  # stem\n"
        "%7, %8, %9, %10, %11 = batchnorm(%2, block.norm.weight, block.norm.bias, block.norm.running_mean, "
        "block.norm.running_var) eps 1e-05 momentum 0.1: 2x20x8x8  # block.norm\n"
        "%12 = activation(%7) relu: 2x20x8x8  # relu\n"
        "%15 = conv2d(%12, block.conv.weight, block.conv.bias) kernel 1x1 stride 1 padding 0: 2x20x8x8  # block.conv\n"
        "%16 = add(%15, %2): 2x20x8x8  # add\n"
        "%17 = global_avgpool(%16): 2x20x1x1  # global_avgpool\n"
        "%18 = flatten(%17): 2x20x1x1  # flatten\n"
        "%21 = linear(%18, head.weight, head.bias): 2x10x1x1  # head\n"
        "%23, %24, %25 = softmax_ce(%21, label) label smoothing 0.1: 1x1x1x1  # softmax_ce\n");
}
END_TEST

/* --- differentiation --- */

static cln__gradients *differentiate(cln_tensor target, cln_tensor upstream, const cln_tensor *also, int count) {
    cln__gradients *grads;
    cln_status status = cln__differentiate(g, target, upstream, also, count, &grads);
    ck_assert_msg(status == CLN_OK, "%s", cln_context_error(ctx));
    return grads;
}

/* No gradient of the image, which is not asked for; the gradient of the stem's output is a sum of two. */
START_TEST(gradients_are_nodes_in_reverse_order) {
    cln__gradients_free(differentiate(small_network(), CLN_NO_TENSOR, NULL, 0));
    check_text(
        "input image: 2x3x8x8\n"
        "input label: 2x1x1x1\n"
        "%2 = conv2d(image, stem.weight) kernel 3x3 stride 1 padding 1: 2x20x8x8  # stem\n"
        "%7, %8, %9, %10, %11 = batchnorm(%2, block.norm.weight, block.norm.bias, block.norm.running_mean, "
        "block.norm.running_var) eps 1e-05 momentum 0.1: 2x20x8x8  # block.norm\n"
        "%12 = activation(%7) relu: 2x20x8x8  # relu\n"
        "%15 = conv2d(%12, block.conv.weight, block.conv.bias) kernel 1x1 stride 1 padding 0: 2x20x8x8  # block.conv\n"
        "%16 = add(%15, %2): 2x20x8x8  # add\n"
        "%17 = global_avgpool(%16): 2x20x1x1  # global_avgpool\n"
        "%18 = flatten(%17): 2x20x1x1  # flatten\n"
        "%21 = linear(%18, head.weight, head.bias): 2x10x1x1  # head\n"
        "%23, %24, %25 = softmax_ce(%21, label) label smoothing 0.1: 1x1x1x1  # softmax_ce\n"
        "%26 = constant(%23) 1: 1x1x1x1  # constant\n"
        "%27 = softmax_ce_grad(%24, label, %25, %26) label smoothing 0.1: 2x10x1x1  # softmax_ce\n"
        "%28 = channel_sum(%27): 1x10x1x1  # channel_sum\n"
        "%29 = linear_grad_weight(%18, %27, head.weight): 10x20x1x1  # head\n"
        "%30 = linear_grad_input(%27, head.weight, %18): 2x20x1x1  # head\n"
        "%31 = unflatten(%30, %17): 2x20x1x1  # flatten\n"
        "%32 = global_avgpool_grad(%31, %16): 2x20x8x8  # global_avgpool\n"
        "%33 = slice(%32, %2) from channel 0: 2x20x8x8  # slice\n"
        "%34, %35, %36 = conv2d_grad(%32, %12, block.conv.weight) kernel 1x1 stride 1 padding 0: 2x20x8x8  # "
        "block.conv\n"
        "%37 = activation_grad(%34, %12) relu: 2x20x8x8  # relu\n"
        "%38, %39, %40, %41, %42 = batchnorm_grad(%37, %2, %8, %9, %10) eps 1e-05 momentum 0.1: 2x20x8x8  # "
        "block.norm\n"
        "%43 = add(%33, %38): 2x20x8x8  # add\n"
        "%44, %45, %46 = conv2d_grad(%43, image, stem.weight) kernel 3x3 stride 1 padding 1: 2x3x8x8  # stem\n");
    for (int i = 0; i < g->node_count; i++)
        ck_assert(g->nodes[i].is_forward == (i < 9));
}
END_TEST

START_TEST(every_parameter_gets_a_gradient_of_its_shape) {
    cln__gradients *grads = differentiate(small_network(), CLN_NO_TENSOR, NULL, 0);
    for (int i = 0; i < grads->count; i++) {
        cln_tensor dx = cln__gradient_of(grads, (cln_tensor){i});
        cln__role role = g->tensors[i].role;
        if (role == CLN__PARAM)
            ck_assert_int_ge(dx.id, 0);
        if (role == CLN__INPUT || role == CLN__STATE)
            ck_assert_int_lt(dx.id, 0);
        if (dx.id >= 0)
            ck_assert(cln__shape_equal(g->tensors[i].shape, cln_tensor_shape(g, dx)));
    }
    cln__gradients_free(grads);
}
END_TEST

START_TEST(gradients_of_inputs_come_when_asked_for) {
    cln_tensor x = image(1, 3, 4, 4), other = cln_input(g, "other", 1, 3, 4, 4);
    cln_tensor y = cln_activate(g, cln_add(g, x, other), CLN_TANH), dy = cln_input(g, "dy", 1, 3, 4, 4);
    cln__gradients *grads = differentiate(y, dy, &x, 1);
    ck_assert_int_ge(cln__gradient_of(grads, x).id, 0);
    ck_assert_int_lt(cln__gradient_of(grads, other).id, 0);
    const cln__node *node = &g->nodes[g->tensors[cln__gradient_of(grads, y).id].producer];
    ck_assert_ptr_eq(node->op, &cln__op_slice); /* the upstream gradient, laid out like y */
    ck_assert_int_eq(node->inputs[0], dy.id);
    cln__gradients_free(grads);
}
END_TEST

/* y = x + x: dx = dy + dy. */
START_TEST(contributions_are_summed) {
    cln_tensor x = image(1, 3, 4, 4), y = cln_add(g, x, x), dy = cln_input(g, "dy", 1, 3, 4, 4);
    cln__gradients *grads = differentiate(y, dy, &x, 1);
    cln_tensor dx = cln__gradient_of(grads, x);
    const cln__node *node = &g->nodes[g->tensors[dx.id].producer];
    ck_assert_ptr_eq(node->op, &cln__op_add);
    ck_assert_int_eq(node->inputs[0], cln__gradient_of(grads, y).id);
    cln__gradients_free(grads);
}
END_TEST

START_TEST(what_depends_on_no_parameter_gets_no_node) {
    cln_tensor y = cln_activate(g, image(1, 3, 4, 4), CLN_RELU);
    cln__gradients *grads = differentiate(y, CLN_NO_TENSOR, NULL, 0);
    ck_assert_int_lt(cln__gradient_of(grads, y).id, 0);
    cln__gradients_free(grads);
}
END_TEST

START_TEST(wrong_targets_are_refused) {
    cln_tensor x = image(1, 3, 4, 4), y = conv(x, "conv", 4, 3), unknown = {77};
    cln__gradients *grads;
    ck_assert_int_eq(cln__differentiate(g, unknown, CLN_NO_TENSOR, NULL, 0, &grads), CLN_INVALID_ARGUMENT);
    ck_assert_ptr_null(grads);
    ck_assert_str_eq(cln_context_error(ctx), "differentiate: the loss is not a tensor of this graph");
    ck_assert_int_eq(cln__differentiate(g, y, CLN_NO_TENSOR, &unknown, 1, &grads), CLN_INVALID_ARGUMENT);
    ck_assert_str_eq(cln_context_error(ctx), "differentiate: requested input 0 is not a tensor of this graph");
    ck_assert_int_eq(cln__differentiate(g, y, x, NULL, 0, &grads), CLN_INVALID_ARGUMENT);
    ck_assert_ptr_null(grads);
    check_failed("differentiate: the upstream gradient's shape is not the target's");
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, shapes_are_inferred);
    tcase_add_test(tests, unknown_tensors_have_no_shape);
    tcase_add_test(tests, a_graph_can_be_tried_at_another_batch);
    tcase_add_test(tests, weights_must_fit_the_input);
    tcase_add_test(tests, kernels_must_fit_the_image);
    tcase_add_test(tests, options_must_be_in_range);
    tcase_add_test(tests, groups_must_divide_the_channels);
    tcase_add_test(tests, names_must_differ);
    tcase_add_test(tests, empty_shapes_fail);
    tcase_add_test(tests, overflowing_inputs_fail);
    tcase_add_test(tests, overflowing_outputs_fail);
    tcase_add_test(tests, sums_need_equal_shapes);
    tcase_add_test(tests, concatenations_need_equal_images);
    tcase_add_test(tests, foreign_tensors_are_refused);
    tcase_add_test(tests, linear_layers_take_flat_input);
    tcase_add_test(tests, models_may_fail_with_a_message_of_their_own);
    tcase_add_test(tests, made_names_live_as_long_as_the_graph);
    tcase_add_test(tests, layers_tell_parameters_and_multiply_adds);
    tcase_add_test(tests, a_graph_prints_a_line_a_node);
    tcase_add_test(tests, gradients_are_nodes_in_reverse_order);
    tcase_add_test(tests, every_parameter_gets_a_gradient_of_its_shape);
    tcase_add_test(tests, gradients_of_inputs_come_when_asked_for);
    tcase_add_test(tests, contributions_are_summed);
    tcase_add_test(tests, what_depends_on_no_parameter_gets_no_node);
    tcase_add_test(tests, wrong_targets_are_refused);
}

int main(void) {
    return suite_run("graph", add_tests);
}
