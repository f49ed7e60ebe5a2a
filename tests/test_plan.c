/* From graphs to plans: layouts, views, steps, text. Needs no device. */
#include "planning.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void make_training(cln_tensor loss) {
    make(&(cln__plan_request){.training = true,
                              .loss = loss,
                              .upstream = CLN_NO_TENSOR,
                              .outputs = &loss,
                              .output_count = 1,
                              .optimizer = {.kind = CLN_SGD, .momentum = 0.9f}});
}

static const cln__layout *layout(cln_tensor x) {
    return &plan.layouts.of[x.id];
}

static int steps_of(const cln__op *op) {
    int count = 0;
    for (int s = 0; s < plan.step_count; s++)
        count += plan.graph->nodes[plan.steps[s].node].op == op;
    return count;
}

/* --- channel blocks --- */

START_TEST(activations_lie_in_channel_blocks) {
    cln_tensor x = cln_input(g, "image", 2, 24, 4, 6), y = conv(x, "conv", 20, 3);
    make_evaluation(y);
    const cln__layout *l = layout(x);
    ck_assert(l->block == 16 && l->stored == 32 && l->dense);
    ck_assert(l->pixel == 16 && l->block_stride == 4 * 6 * 16 && l->image == 2 * 4 * 6 * 16);
    ck_assert_int_eq(l->elements, 2 * l->image);
    ck_assert_int_eq(l->map[23], 23);
    const cln__layout *w = layout(cln__find_tensor(g, "conv.weight"));
    ck_assert_int_eq(w->elements, 9 * 32 * 32); /* padding included, zeros */
    ck_assert_int_eq(w->region, CLN__VALUES);
}
END_TEST

START_TEST(images_of_few_channels_are_planar) {
    cln_tensor x = cln_input(g, "image", 2, 3, 4, 6), features = cln_input(g, "features", 2, 3, 1, 1);
    cln_tensor y = cln_add(g, cln_flatten(g, cln_global_avgpool(g, x)), features);
    make_evaluation(y);
    ck_assert(layout(x)->block == 1 && layout(x)->stored == 3 && layout(x)->pixel == 1);
    ck_assert(layout(features)->block == 16);
}
END_TEST

/* --- concatenation --- */

START_TEST(concatenated_tensors_are_written_in_place) {
    cln_tensor x = cln_input(g, "image", 2, 3, 5, 5), parts[4];
    const int channels[4] = {24, 48, 12, 12}, starts[4] = {0, 32, 80, 96};
    for (int i = 0; i < 4; i++)
        parts[i] = conv(x, cln_name(g, "branch%d", i), channels[i], 1);
    cln_tensor y = cln_concat(g, parts, 4), z = conv(y, "next", 8, 3);
    make_evaluation(z);
    const cln__layout *whole = layout(y);
    ck_assert_int_eq(steps_of(&cln__op_concat), 0);
    ck_assert(whole->stored == 112 && !whole->dense);
    for (int i = 0, c = 0; i < 4; c += channels[i++]) {
        const cln__layout *part = layout(parts[i]);
        ck_assert_int_eq(part->root, y.id);
        ck_assert_int_eq(part->offset, starts[i] * 25);
        ck_assert_int_eq(part->image, whole->image);
        ck_assert_int_eq(whole->map[c], starts[i]);
        ck_assert_int_eq(whole->map[c + channels[i] - 1], starts[i] + channels[i] - 1);
    }
    /* The weight that meets the gaps has rows for them. */
    ck_assert_int_eq(layout(cln__find_tensor(g, "next.weight"))->elements, 9 * 112 * 16);
}
END_TEST

START_TEST(whole_blocks_join_without_gaps) {
    cln_tensor x = cln_input(g, "image", 1, 3, 5, 5);
    cln_tensor y = cln_concat(g, (cln_tensor[]){conv(x, "a", 32, 1), conv(x, "b", 20, 1)}, 2);
    make_evaluation(y);
    ck_assert(layout(y)->dense && layout(y)->stored == 64);
}
END_TEST

START_TEST(nested_concatenations_share_one_storage) {
    cln_tensor x = cln_input(g, "image", 2, 3, 4, 4), a = conv(x, "a", 12, 1), b = conv(x, "b", 20, 1);
    cln_tensor inner = cln_concat(g, (cln_tensor[]){a, b}, 2), c = conv(x, "c", 16, 1);
    cln_tensor outer = cln_concat(g, (cln_tensor[]){c, inner}, 2);
    make_evaluation(outer);
    ck_assert_int_eq(steps_of(&cln__op_concat), 0);
    ck_assert(layout(a)->root == outer.id && layout(b)->root == outer.id && layout(inner)->root == outer.id);
    ck_assert_int_eq(layout(inner)->offset, 16 * 16);
    ck_assert_int_eq(layout(b)->offset, (16 + 16) * 16);
    ck_assert_int_eq(layout(outer)->map[16 + 12], 32);
}
END_TEST

/* Each layer appends to what came before, as in a dense block: the older part can be in place only in the last. */
START_TEST(growing_concatenations_copy_what_is_used_twice) {
    cln_tensor x = cln_input(g, "image", 1, 3, 4, 4), y = conv(x, "stem", 16, 1);
    for (int i = 0; i < 3; i++)
        y = cln_concat(g, (cln_tensor[]){conv(y, cln_name(g, "layer%d", i), 16, 1), y}, 2);
    make_evaluation(y);
    ck_assert_int_eq(layout(y)->stored, 64);
    ck_assert_int_eq(steps_of(&cln__op_concat), 0); /* nested, so all of it lies in the last */
}
END_TEST

START_TEST(inputs_and_repeated_tensors_are_copied) {
    cln_tensor x = cln_input(g, "image", 1, 20, 4, 4), y = conv(x, "conv", 16, 1);
    cln_tensor z = cln_concat(g, (cln_tensor[]){x, y, y}, 3);
    make_evaluation(z);
    ck_assert_int_eq(layout(x)->root, x.id);
    ck_assert_int_eq(layout(y)->root, z.id);
    ck_assert_int_eq(steps_of(&cln__op_concat), 2);
}
END_TEST

START_TEST(a_tensor_begins_one_concatenation_only) {
    cln_tensor x = cln_input(g, "image", 1, 3, 4, 4), a = conv(x, "a", 16, 1), b = conv(x, "b", 16, 1);
    cln_tensor first = cln_concat(g, (cln_tensor[]){a, b}, 2), second = cln_concat(g, (cln_tensor[]){a, b}, 2);
    make_evaluation(cln_add(g, first, second));
    ck_assert_int_eq(layout(a)->root, layout(b)->root);
    ck_assert_int_eq(steps_of(&cln__op_concat), 2);
}
END_TEST

/* Memory: a, b, a copy of a. */
START_TEST(what_ends_one_concatenation_may_begin_another) {
    cln_tensor x = cln_input(g, "image", 1, 3, 4, 4), a = conv(x, "a", 16, 3), b = conv(x, "b", 16, 3);
    cln_tensor first = cln_concat(g, (cln_tensor[]){a, b}, 2), second = cln_concat(g, (cln_tensor[]){b, a}, 2);
    make_evaluation(cln_add(g, first, second));
    ck_assert_int_eq(layout(first)->root, layout(second)->root);
    ck_assert_int_eq(layout(second)->offset, 16 * 16);
    ck_assert_int_eq(steps_of(&cln__op_concat), 1);
}
END_TEST

START_TEST(planar_images_are_laid_in_blocks_when_joined) {
    cln_tensor x = cln_input(g, "image", 1, 3, 4, 4), y = conv(x, "conv", 16, 1);
    cln_tensor z = cln_concat(g, (cln_tensor[]){x, y}, 2);
    make_evaluation(z);
    ck_assert(layout(z)->block == 16 && layout(z)->dense && layout(z)->stored == 32);
    ck_assert_int_eq(layout(y)->root, y.id); /* starts at channel 3, inside a block */
    ck_assert_int_gt(steps_of(&cln__op_concat), 0);
}
END_TEST

START_TEST(grouped_convolutions_see_no_gaps) {
    cln_tensor x = cln_input(g, "image", 1, 3, 4, 4), a = conv(x, "a", 12, 1), b = conv(x, "b", 12, 1);
    cln_tensor y = cln_concat(g, (cln_tensor[]){a, b}, 2);
    cln_tensor z = cln_conv2d(g, y, "grouped",
                              &(cln_conv2d_options){.out_channels = 24, .kernel_h = 1, .kernel_w = 1, .groups = 3});
    make_evaluation(z);
    ck_assert(layout(y)->dense && layout(y)->stored == 32);
    ck_assert_int_eq(layout(a)->root, a.id); /* its padding would be where b's channels are */
    ck_assert_int_gt(steps_of(&cln__op_concat), 0);
}
END_TEST

START_TEST(gradients_of_concatenations_are_views) {
    cln_tensor x = cln_input(g, "image", 2, 3, 5, 5), label = cln_labels(g, "label", 2), parts[3];
    for (int i = 0; i < 3; i++)
        parts[i] = cln_activate(g, conv(x, cln_name(g, "branch%d", i), 12 + 8 * i, 1), CLN_RELU);
    make_training(classify(cln_concat(g, parts, 3), label));
    int slices = 0;
    for (int i = 0; i < plan.graph->node_count; i++) {
        const cln__node *node = &plan.graph->nodes[i];
        if (node->op != &cln__op_slice)
            continue;
        slices++;
        ck_assert_int_eq(plan.layouts.of[node->outputs[0]].root, plan.layouts.of[node->inputs[0]].root);
    }
    ck_assert_int_eq(slices, 3);
    ck_assert_int_eq(steps_of(&cln__op_slice), 0);
    ck_assert_int_eq(steps_of(&cln__op_concat), 0);
}
END_TEST

/* --- weights --- */

START_TEST(parameter_gradients_lie_where_the_optimiser_looks) {
    cln_tensor x = cln_input(g, "image", 2, 3, 5, 5), label = cln_labels(g, "label", 2);
    cln_tensor y = cln_batchnorm(g, conv(x, "conv", 20, 3), "norm", NULL);
    make_training(classify(y, label));
    int parameters = 0;
    for (int i = 0; i < plan.gradients->count; i++) {
        const cln__layout *value = &plan.layouts.of[i];
        if (plan.graph->tensors[i].role == CLN__STATE)
            ck_assert_int_eq(value->region, CLN__STATES);
        if (plan.graph->tensors[i].role != CLN__PARAM)
            continue;
        const cln__layout *gradient = &plan.layouts.of[plan.gradients->gradient[i]];
        parameters++;
        ck_assert_int_eq(value->region, CLN__VALUES);
        ck_assert_int_eq(gradient->region, CLN__GRADS);
        ck_assert_int_eq(gradient->region_offset, value->region_offset);
        ck_assert_int_eq(value->region_offset * (int64_t)sizeof(float) % (int64_t)caps.alignment_bytes, 0);
    }
    ck_assert_int_eq(parameters, 5);
    ck_assert_int_eq(steps_of(&cln__op_optimizer), 1);
    ck_assert_ptr_eq(plan.graph->nodes[plan.steps[plan.step_count - 1].node].op, &cln__op_optimizer);
}
END_TEST

/* --- failures --- */

START_TEST(failed_graphs_and_unknown_outputs_make_no_plan) {
    cln_tensor x = cln_input(g, "image", 1, 16, 8, 8);
    ck_assert_int_eq(try_plan((cln_tensor){5}), CLN_INVALID_ARGUMENT);
    ck_assert_str_eq(cln_context_error(ctx), "plan: output 0 is not a tensor of this graph");
    cln_graph_fail(g, "no such network");
    ck_assert_int_eq(try_plan(x), CLN_INVALID_ARGUMENT);
    ck_assert_str_eq(cln_context_error(ctx), "no such network");
}
END_TEST

/* --- text --- */

static void check_text(const char *expected) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(out);
    cln__plan_text(&plan, out);
    ck_assert_int_eq(fclose(out), 0);
    ck_assert_msg(strcmp(text, expected) == 0, "expected:\n%s\nfound:\n%s", expected, text);
    free(text);
}

/* Kernel choices are of no interest here, so every convolution takes the reference. */
START_TEST(a_plan_prints_a_line_a_step) {
    cln_tensor x = cln_input(g, "image", 2, 3, 8, 8), label = cln_labels(g, "label", 2);
    cln_tensor a = cln_activate(g, conv(x, "a", 20, 3), CLN_RELU), b = conv(x, "b", 12, 1);
    cln_tensor loss = classify(cln_concat(g, (cln_tensor[]){a, b}, 2), label);
    make(&(cln__plan_request){
        .loss = CLN_NO_TENSOR, .upstream = CLN_NO_TENSOR, .outputs = &loss, .output_count = 1, .variant = "reference"});
    check_text(
        "   0 conv2d 'a' reference conv2d_reference.conv2d_forward [64 2 2] %0@0:10240 %2@values:0 %2@values:0 "
        "=%3@0:6144 -DXB=1 -DYB=16 -DKH=3 -DKW=3 -DS=1 -DP=1 -DD=1 -DC=3 -DO=32 -DOS=32 -DGROUPS=1 -DBIAS=0\n"
        "   1 activation 'relu' activation.activation_forward [1 2 2] %3@0:6144 =%4@0:0 -DKIND=1 -DB=16\n"
        "   2 conv2d 'b' reference conv2d_reference.conv2d_forward [64 1 2] %0@0:10240 %5@values:864 %5@values:864 "
        "=%6@0:2048 -DXB=1 -DYB=16 -DKH=1 -DKW=1 -DS=1 -DP=0 -DD=1 -DC=3 -DO=16 -DOS=16 -DGROUPS=1 -DBIAS=0\n"
        "   3 global_avgpool 'global_avgpool' global_avgpool.global_avgpool_forward [6 1 1] %7@0:0 =%8@0:6144 -DB=16\n"
        "   4 linear 'head' direct linear.linear_forward [1 1 1] %9@0:6144 %10@values:928 %11@values:1696 =%12@0:0 "
        "-DXB=16 -DYB=16 -DTILE=8\n"
        "   5 softmax_ce 'softmax_ce' softmax_ce.softmax_ce_rows [2 1 1] %12@0:0 %1@0:10624 =%14@0:32 =%16@0:64 "
        "-DB=16\n"
        "   6 softmax_ce 'softmax_ce' softmax_ce.softmax_ce_mean [1 1 1] %16@0:64 =%13@0:0 =%15@0:32\n"
        "7 steps, 1 arenas, 42624 bytes planned, 68128 bytes with one buffer a tensor\n");
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, activations_lie_in_channel_blocks);
    tcase_add_test(tests, images_of_few_channels_are_planar);
    tcase_add_test(tests, concatenated_tensors_are_written_in_place);
    tcase_add_test(tests, whole_blocks_join_without_gaps);
    tcase_add_test(tests, nested_concatenations_share_one_storage);
    tcase_add_test(tests, growing_concatenations_copy_what_is_used_twice);
    tcase_add_test(tests, inputs_and_repeated_tensors_are_copied);
    tcase_add_test(tests, a_tensor_begins_one_concatenation_only);
    tcase_add_test(tests, what_ends_one_concatenation_may_begin_another);
    tcase_add_test(tests, planar_images_are_laid_in_blocks_when_joined);
    tcase_add_test(tests, grouped_convolutions_see_no_gaps);
    tcase_add_test(tests, gradients_of_concatenations_are_views);
    tcase_add_test(tests, parameter_gradients_lie_where_the_optimiser_looks);
    tcase_add_test(tests, failed_graphs_and_unknown_outputs_make_no_plan);
    tcase_add_test(tests, a_plan_prints_a_line_a_step);
}

int main(void) {
    return suite_run("plan", add_tests);
}
