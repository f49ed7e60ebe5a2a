/* Placing tensors in memory: nothing is overwritten that is still needed, and little is wasted. Needs no device. */
#include "planning.h"

#include <stdlib.h>
#include <string.h>

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
        if (addresses[i] < 0 || addresses[i] >= size) /* no assertion for each: Check notes every one in a file */
            ck_abort_msg("tensor %d leaves its arena", tensor);
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
    variant = "reference"; /* which needs no memory of its own */
    make_evaluation(x);
    uint64_t stage = 2 * 16 * 64 * sizeof(float);
    ck_assert_int_eq(plan.arenas.count, 1);
    ck_assert_uint_eq(plan.unshared_bytes, 13 * stage);
    ck_assert_uint_eq(plan.planned_bytes, 3 * stage);
    check_memory("chain");
}
END_TEST

START_TEST(element_wise_operators_work_in_place) {
    cln_tensor x = cln_input(g, "image", 2, 16, 8, 8), y = conv(x, "conv", 16, 3);
    cln_tensor a = cln_activate(g, y, CLN_RELU), b = cln_activate(g, a, CLN_TANH), z = conv(b, "next", 16, 3);
    variant = "reference"; /* which fuses nothing */
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
    variant = "reference";
    make_evaluation(parts[0]);
    ck_assert_int_eq(plan.arenas.count, 4); /* the image and six stages, two a piece */
    ck_assert_uint_le(plan.planned_bytes, 8 * stage);
    check_memory("split");
}
END_TEST

START_TEST(a_tensor_larger_than_an_allocation_is_named) {
    cln_tensor y = conv(cln_input(g, "image", 2, 16, 8, 8), "conv", 32, 3);
    caps.max_alloc_bytes = 10000;
    variant = "reference";
    ck_assert_int_eq(try_plan(y), CLN_OUT_OF_MEMORY);
    ck_assert_str_eq(cln_context_error(ctx), "conv2d 'conv': a tensor of shape 2x32x8x8 needs 16384 bytes in one "
                                             "piece; the device allocates at most 10000 at "
                                             "a time: use a smaller batch");
    ck_assert_ptr_null(plan.graph);
}
END_TEST

START_TEST(too_many_pieces_fail) {
    cln_tensor x = cln_input(g, "image", 1, 16, 8, 8), parts[80];
    for (int i = 0; i < 80; i++)
        parts[i] = conv(x, cln_name(g, "conv%d", i), 16, 3);
    for (int i = 79; i > 0; i--)
        parts[i - 1] = cln_add(g, parts[i - 1], parts[i]);
    caps.max_alloc_bytes = 4096;
    variant = "reference"; /* which adds in steps of their own, and needs no memory of its own */
    ck_assert_int_eq(try_plan(parts[0]), CLN_OUT_OF_MEMORY);
    ck_assert_str_eq(cln_context_error(ctx),
                     "the plan needs more than 64 allocations of 4096 bytes: use a smaller batch");
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, no_value_is_overwritten_before_its_last_use);
    tcase_add_test(tests, memory_is_shared);
    tcase_add_test(tests, element_wise_operators_work_in_place);
    tcase_add_test(tests, what_is_read_again_is_not_overwritten);
    tcase_add_test(tests, kept_and_given_tensors_are_not_overwritten);
    tcase_add_test(tests, arenas_are_split_where_allocations_are_limited);
    tcase_add_test(tests, a_tensor_larger_than_an_allocation_is_named);
    tcase_add_test(tests, too_many_pieces_fail);
}

int main(void) {
    int status = suite_run("place", add_tests);
    free(addresses);
    return status;
}
