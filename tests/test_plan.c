/* From graphs to plans: layouts, views, steps, memory. Needs no device. */
#include "../src/ops/ops.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cln_context *ctx;
static cln_graph *g;
static cln__caps caps;
static cln__host_plan plan;

static void setup(void) {
    ck_assert_int_eq(cln_context_new(&ctx), CLN_OK);
    g = cln_graph_new(ctx);
    ck_assert_ptr_nonnull(g);
    caps = cln__caps_default();
    plan = (cln__host_plan){0};
}

static void teardown(void) {
    cln__plan_drop(&plan);
    cln_graph_free(g);
    cln_context_free(ctx);
}

/* --- making graphs and plans --- */

static cln_tensor conv(cln_tensor x, const char *name, int channels, int kernel) {
    return cln_conv2d(
        g, x, name,
        &(cln_conv2d_options){.out_channels = channels, .kernel_h = kernel, .kernel_w = kernel, .padding = kernel / 2});
}

static cln_tensor classify(cln_tensor x, cln_tensor label) {
    cln_tensor features = cln_flatten(g, cln_global_avgpool(g, x));
    return cln_softmax_ce(g, cln_linear(g, features, "head", 10), label, 0);
}

static void make(const cln__plan_request *request) {
    cln__plan_drop(&plan);
    cln_status status = cln__plan_make(ctx, g, &caps, request, 0, &plan);
    ck_assert_msg(status == CLN_OK, "%s", cln_context_error(ctx));
}

static void make_evaluation(cln_tensor output) {
    make(&(cln__plan_request){.loss = CLN_NO_TENSOR, .upstream = CLN_NO_TENSOR, .outputs = &output, .output_count = 1});
}

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

START_TEST(a_tensor_lies_in_one_concatenation_only) {
    cln_tensor x = cln_input(g, "image", 1, 3, 4, 4), a = conv(x, "a", 16, 1), b = conv(x, "b", 16, 1);
    cln_tensor first = cln_concat(g, (cln_tensor[]){a, b}, 2), second = cln_concat(g, (cln_tensor[]){b, a}, 2);
    make_evaluation(cln_add(g, first, second));
    ck_assert_int_eq(layout(a)->root, layout(b)->root);
    ck_assert_int_eq(steps_of(&cln__op_concat), 2);
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

/* --- memory --- */

static int64_t *addresses; /* of one tensor's elements, in its arena */

/* Lists where the elements of `tensor` lie, padding included. */
static int64_t list_addresses(int tensor) {
    const cln__layout *l = &plan.layouts.of[tensor], *root = &plan.layouts.of[l->root];
    const cln__tensor *t = &plan.graph->tensors[tensor];
    int64_t start = plan.address_of[l->root] + l->offset, count = 0;
    addresses = realloc(addresses, (size_t)(root->elements + 1) * sizeof *addresses);
    ck_assert_ptr_nonnull(addresses);
    if (t->packing == CLN__WEIGHT) {
        while (count < l->elements) {
            addresses[count] = start + count;
            count++;
        }
        return count;
    }
    for (int64_t n = 0; n < t->shape.n; n++)
        for (int64_t b = 0; b < l->stored / l->block; b++)
            for (int64_t p = 0; p < t->shape.h * t->shape.w; p++)
                for (int64_t i = 0; i < l->block; i++)
                    addresses[count++] = start + n * l->image + b * l->block_stride + p * l->pixel + i;
    return count;
}

/* Whose value each float of each arena holds: a root, or -1. */
static int *owner[CLN__MAX_ARENAS];

static bool in_arena(int tensor) {
    return plan.layouts.of[plan.layouts.of[tensor].root].region == CLN__ARENA;
}

static int *arena(int tensor) {
    int index = plan.arena_of[plan.layouts.of[tensor].root];
    ck_assert_msg(index >= 0 && index < plan.arenas.count, "tensor %d has no address", tensor);
    return owner[index];
}

static bool holds(int tensor) {
    const int *owners = arena(tensor);
    for (int64_t i = 0, count = list_addresses(tensor); i < count; i++)
        if (owners[addresses[i]] != plan.layouts.of[tensor].root)
            return false;
    return true;
}

static void write_to(int tensor) {
    int *owners = arena(tensor);
    int64_t size = (int64_t)(plan.arenas.bytes[plan.arena_of[plan.layouts.of[tensor].root]] / sizeof(float));
    for (int64_t i = 0, count = list_addresses(tensor); i < count; i++) {
        ck_assert_msg(addresses[i] >= 0 && addresses[i] < size, "tensor %d leaves its arena", tensor);
        owners[addresses[i]] = plan.layouts.of[tensor].root;
    }
}

/* Whether the step may overwrite `tensor`, which it reads: the first input of an operator that works in place. */
static bool may_vanish(const cln__step *step, int tensor) {
    const cln__node *node = &plan.graph->nodes[step->node];
    return node->op->in_place && node->inputs[0] == tensor;
}

static void run_step(int index, const char *what) {
    const cln__step *step = &plan.steps[index];
    for (int pass = 0; pass < 3; pass++)
        for (int a = 0; a < step->arg_count; a++) {
            const cln__arg *arg = &step->args[a];
            if (arg->kind != CLN__ARG_TENSOR || !in_arena(arg->tensor))
                continue;
            if (pass == 0 && (arg->access & CLN__READ))
                ck_assert_msg(holds(arg->tensor), "%s: step %d (%s) reads tensor %d, which is overwritten", what, index,
                              step->kernel, arg->tensor);
            if (pass == 1 && (arg->access & CLN__WRITE))
                write_to(arg->tensor);
            if (pass == 2 && arg->access == CLN__READ && !may_vanish(step, arg->tensor))
                ck_assert_msg(holds(arg->tensor), "%s: step %d (%s) overwrites tensor %d while reading it", what, index,
                              step->kernel, arg->tensor);
        }
}

/* Plays the plan: every value read must still be there. */
static void check_memory(const char *what) {
    for (int i = 0; i < plan.arenas.count; i++) {
        ck_assert_uint_le(plan.arenas.bytes[i], caps.max_alloc_bytes);
        owner[i] = malloc(plan.arenas.bytes[i]);
        ck_assert_ptr_nonnull(owner[i]);
        memset(owner[i], 0xff, plan.arenas.bytes[i]);
    }
    for (int i = 0; i < plan.graph->tensor_count; i++) {
        int root = plan.layouts.of[i].root;
        if (in_arena(i) && plan.arena_of[root] >= 0)
            ck_assert_int_eq(plan.address_of[root] * (int64_t)sizeof(float) % (int64_t)caps.alignment_bytes, 0);
        if (plan.graph->tensors[i].role == CLN__INPUT)
            write_to(i);
    }
    for (int s = 0; s < plan.step_count; s++)
        run_step(s, what);
    for (int i = 0; i < plan.graph->tensor_count; i++)
        if (plan.graph->tensors[i].role == CLN__INPUT || (plan.kept[i] && in_arena(i)))
            ck_assert_msg(holds(i), "%s: tensor %d is not kept", what, i);
    for (int i = 0; i < plan.arenas.count; i++)
        free(owner[i]);
}

static uint64_t state;
static int draw(int limit) {
    cln__random r = cln__philox(state, 0, state >> 32);
    state += (uint64_t)1 << 32;
    return (int)(r.word[0] % (uint32_t)limit);
}

/* One more operator on tensors drawn from `xs`. */
static cln_tensor random_node(const cln_tensor *xs, int count, int index) {
    cln_tensor x = xs[draw(count)], same[3] = {x, x, x};
    cln_shape shape = cln_tensor_shape(g, x);
    for (int i = 1; i < 3; i++)
        for (int tries = 0; tries < 8; tries++) {
            cln_tensor y = xs[draw(count)];
            if (cln_tensor_shape(g, y).h == shape.h)
                same[i] = y;
        }
    switch (draw(9)) {
    case 0:
        return conv(x, cln_name(g, "conv%d", index), 1 + draw(40), 1 + 2 * draw(2));
    case 1:
        return cln_conv2d(
            g, x, cln_name(g, "conv%d", index),
            &(cln_conv2d_options){
                .out_channels = 2 * (int)shape.c, .kernel_h = 1, .kernel_w = 1, .groups = (int)shape.c, .bias = true});
    case 2:
        return cln_batchnorm(g, x, cln_name(g, "norm%d", index), NULL);
    case 3:
        return cln_activate(g, x, draw(2) ? CLN_RELU : CLN_GELU);
    case 4:
        return cln_add(g, x, conv(same[1], cln_name(g, "conv%d", index), (int)shape.c, 1));
    case 5:
        return cln_dropout(g, x, 0.5f);
    case 6:
        return shape.h > 4 && draw(2) ? cln_avgpool(g, x, 2, 2, 0) : cln_maxpool(g, x, 3, 1, 1);
    default:
        return cln_concat(g, same, 2 + draw(2));
    }
}

static cln_tensor random_network(int nodes, cln_tensor *image) {
    cln_tensor xs[64];
    int count = 1;
    *image = xs[0] = cln_input(g, "image", 1 + draw(3), 1 + draw(24), 8, 8);
    for (int i = 0; i < nodes; i++) {
        int window = count < 6 ? count : 6; /* mostly recent ones, so that chains and branches both appear */
        cln_tensor y = random_node(xs + count - window, window, i);
        if (cln_tensor_shape(g, y).c < 200)
            xs[count++] = y;
    }
    return classify(xs[count - 1], cln_labels(g, "label", cln_tensor_shape(g, xs[0]).n));
}

static void check_random(int seed, bool training) {
    static const int blocks[] = {16, 4, 1}, alignments[] = {64, 128, 4096};
    char what[64];
    cln_tensor image, loss;
    snprintf(what, sizeof what, "%s network %d", training ? "training" : "evaluation", seed);
    state = (uint64_t)seed;
    cln_graph_free(g);
    g = cln_graph_new(ctx);
    loss = random_network(6 + draw(16), &image);
    ck_assert_msg(cln_graph_status(g) == CLN_OK, "%s: %s", what, cln_context_error(ctx));
    caps = cln__caps_default();
    caps.block = blocks[draw(3)];
    caps.alignment_bytes = (uint64_t)alignments[draw(3)];
    caps.is_cpu = draw(2);
    if (draw(2))
        caps.max_alloc_bytes = 400000;
    const cln_tensor outputs[2] = {loss, image};
    make(&(cln__plan_request){.training = training,
                              .loss = training ? loss : CLN_NO_TENSOR,
                              .upstream = CLN_NO_TENSOR,
                              .outputs = outputs,
                              .output_count = 1 + draw(2),
                              .gradients = &image,
                              .gradient_count = training ? draw(2) : 0,
                              .optimizer = {.kind = draw(2) ? CLN_SGD : CLN_ADAM}});
    check_memory(what);
}

START_TEST(no_value_is_overwritten_before_its_last_use) {
    for (int seed = 0; seed < 150; seed++)
        check_random(seed, seed % 3 != 0);
}
END_TEST

/* Twelve equal stages, of which two at most are alive at a time, beside the image, which stays. */
START_TEST(memory_is_shared) {
    cln_tensor x = cln_input(g, "image", 2, 16, 8, 8);
    for (int i = 0; i < 12; i++)
        x = conv(x, cln_name(g, "conv%d", i), 16, 3);
    make_evaluation(x);
    uint64_t stage = 2 * 16 * 64 * sizeof(float);
    ck_assert_int_eq(plan.arenas.count, 1);
    ck_assert_uint_eq(plan.unshared_bytes, 12 * stage);
    ck_assert_uint_eq(plan.planned_bytes, 3 * stage);
    check_memory("chain");
}
END_TEST

START_TEST(element_wise_operators_work_in_place) {
    cln_tensor x = cln_input(g, "image", 2, 16, 8, 8), y = conv(x, "conv", 16, 3);
    cln_tensor a = cln_activate(g, y, CLN_RELU), b = cln_activate(g, a, CLN_TANH), z = conv(b, "next", 16, 3);
    make_evaluation(z);
    ck_assert(plan.address_of[a.id] == plan.address_of[y.id] && plan.address_of[b.id] == plan.address_of[y.id]);
    ck_assert(plan.address_of[z.id] != plan.address_of[y.id]);
    check_memory("in place");
}
END_TEST

START_TEST(what_is_read_again_is_not_overwritten) {
    cln_tensor x = cln_input(g, "image", 2, 16, 8, 8), y = conv(x, "conv", 16, 3);
    cln_tensor a = cln_activate(g, y, CLN_RELU), sum = cln_add(g, a, y);
    make_evaluation(sum);
    ck_assert(plan.address_of[a.id] != plan.address_of[y.id]);
    ck_assert(plan.address_of[sum.id] == plan.address_of[a.id]);
    make_evaluation(a); /* the sum, though nobody asks for it, still reads y */
    ck_assert(plan.address_of[a.id] != plan.address_of[y.id]);
    check_memory("read again");
}
END_TEST

START_TEST(kept_and_given_tensors_are_not_overwritten) {
    cln_tensor x = cln_input(g, "image", 2, 16, 8, 8), a = cln_activate(g, x, CLN_RELU);
    cln_tensor b = cln_activate(g, a, CLN_TANH);
    const cln_tensor outputs[2] = {a, b};
    make(&(cln__plan_request){.loss = CLN_NO_TENSOR, .upstream = CLN_NO_TENSOR, .outputs = outputs, .output_count = 2});
    ck_assert(plan.address_of[a.id] != plan.address_of[x.id]);
    ck_assert(plan.address_of[b.id] != plan.address_of[a.id]);
    check_memory("kept");
}
END_TEST

START_TEST(arenas_are_split_where_allocations_are_limited) {
    cln_tensor x = cln_input(g, "image", 2, 16, 8, 8), parts[6];
    for (int i = 0; i < 6; i++)
        parts[i] = conv(x, cln_name(g, "conv%d", i), 16, 3);
    for (int i = 5; i > 0; i--)
        parts[i - 1] = cln_add(g, parts[i - 1], parts[i]);
    uint64_t stage = 2 * 16 * 64 * sizeof(float);
    caps.max_alloc_bytes = 2 * stage;
    make_evaluation(parts[0]);
    ck_assert_int_eq(plan.arenas.count, 4); /* the image and six stages, two a piece */
    ck_assert_uint_le(plan.planned_bytes, 8 * stage);
    check_memory("split");
}
END_TEST

static cln_status try_plan(cln_tensor output) {
    cln__plan_drop(&plan);
    cln__plan_request request = {
        .loss = CLN_NO_TENSOR, .upstream = CLN_NO_TENSOR, .outputs = &output, .output_count = 1};
    return cln__plan_make(ctx, g, &caps, &request, 0, &plan);
}

START_TEST(a_tensor_larger_than_an_allocation_is_named) {
    cln_tensor y = conv(cln_input(g, "image", 2, 16, 8, 8), "conv", 32, 3);
    caps.max_alloc_bytes = 10000;
    ck_assert_int_eq(try_plan(y), CLN_OUT_OF_MEMORY);
    ck_assert_str_eq(cln_context_error(ctx),
                     "a tensor of shape 2x32x8x8 needs 16384 bytes in one piece; the device allocates at most 10000 at "
                     "a time: use a smaller batch");
    ck_assert_ptr_null(plan.graph);
}
END_TEST

START_TEST(too_many_pieces_fail) {
    cln_tensor x = cln_input(g, "image", 1, 16, 8, 8), parts[80];
    for (int i = 0; i < 80; i++)
        parts[i] = conv(x, cln_name(g, "conv%d", i), 16, 1);
    for (int i = 79; i > 0; i--)
        parts[i - 1] = cln_add(g, parts[i - 1], parts[i]);
    caps.max_alloc_bytes = 4096;
    ck_assert_int_eq(try_plan(parts[0]), CLN_OUT_OF_MEMORY);
    ck_assert_str_eq(cln_context_error(ctx), "the plan needs more than 64 allocations of 4096 bytes");
}
END_TEST

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
        "7 steps, 1 arenas, 42624 bytes planned, 66568 bytes with one buffer a tensor\n");
}
END_TEST

int main(void) {
    TCase *tcase = tcase_create("plan");
    tcase_set_timeout(tcase, 0);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, activations_lie_in_channel_blocks);
    tcase_add_test(tcase, images_of_few_channels_are_planar);
    tcase_add_test(tcase, concatenated_tensors_are_written_in_place);
    tcase_add_test(tcase, whole_blocks_join_without_gaps);
    tcase_add_test(tcase, nested_concatenations_share_one_storage);
    tcase_add_test(tcase, growing_concatenations_copy_what_is_used_twice);
    tcase_add_test(tcase, inputs_and_repeated_tensors_are_copied);
    tcase_add_test(tcase, a_tensor_lies_in_one_concatenation_only);
    tcase_add_test(tcase, planar_images_are_laid_in_blocks_when_joined);
    tcase_add_test(tcase, grouped_convolutions_see_no_gaps);
    tcase_add_test(tcase, gradients_of_concatenations_are_views);
    tcase_add_test(tcase, parameter_gradients_lie_where_the_optimiser_looks);
    tcase_add_test(tcase, no_value_is_overwritten_before_its_last_use);
    tcase_add_test(tcase, memory_is_shared);
    tcase_add_test(tcase, element_wise_operators_work_in_place);
    tcase_add_test(tcase, what_is_read_again_is_not_overwritten);
    tcase_add_test(tcase, kept_and_given_tensors_are_not_overwritten);
    tcase_add_test(tcase, arenas_are_split_where_allocations_are_limited);
    tcase_add_test(tcase, a_tensor_larger_than_an_allocation_is_named);
    tcase_add_test(tcase, too_many_pieces_fail);
    tcase_add_test(tcase, failed_graphs_and_unknown_outputs_make_no_plan);
    tcase_add_test(tcase, a_plan_prints_a_line_a_step);
    Suite *suite = suite_create("plan");
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    free(addresses);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
