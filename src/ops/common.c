/* What operators share: shape rules, the launch over every vector of a tensor, copies between layouts. */
#include "ops.h"

cln_status cln__infer_like_1(cln_graph *g, const cln__node *node) {
    return cln__set_output(g, node, 0, cln__input_shape(g, node, 1), CLN__LIKE, node->inputs[1]);
}

cln_status cln__infer_like_2(cln_graph *g, const cln__node *node) {
    return cln__set_output(g, node, 0, cln__input_shape(g, node, 2), CLN__LIKE, node->inputs[2]);
}

cln_status cln__infer_weight_like_2(cln_graph *g, const cln__node *node) {
    const cln__tensor w = *cln__at(g, node->inputs[2]);
    CLN_TRY(cln__set_output(g, node, 0, w.shape, CLN__WEIGHT, w.like));
    cln__at(g, node->outputs[0])->like_out = w.like_out;
    return CLN_OK;
}

cln_status cln__check_labelled_rows(cln_graph *g, const cln__node *node, int input) {
    const cln__tensor *labels = cln__at(g, node->inputs[input]);
    cln_shape x = cln__input_shape(g, node, 0);
    if (x.h != 1 || x.w != 1)
        return cln__node_fail(g, node, CLN_INVALID_ARGUMENT, "its logits have %lldx%lld pixels, they must be flat",
                              (long long)x.h, (long long)x.w);
    if (!labels->is_int || labels->shape.n != x.n)
        return cln__node_fail(g, node, CLN_INVALID_ARGUMENT, "%lld rows of logits need as many labels (cln_labels)",
                              (long long)x.n);
    return CLN_OK;
}

enum { LEAST_RUN = 64 }; /* vectors that are worth a work-item on a CPU */

/* Pixels for a work-item, where an image's pixels are visited `times` times. */
static int64_t pixel_run(const cln__lowering *l, int64_t pixels, int64_t times) {
    if (!l->caps->is_cpu)
        return 1;
    int64_t run = cln__divide_up(pixels, cln__divide_up(l->caps->items_target, times));
    return cln__least(cln__most(run, LEAST_RUN), pixels);
}

static void launch(cln__lowering *l, cln__step *step, cln_shape shape, int64_t blocks) {
    int64_t pixels = shape.h * shape.w, run = pixel_run(l, pixels, blocks * shape.n);
    cln__arg_int(step, pixels);
    cln__arg_int(step, run);
    cln__step_items(step, cln__divide_up(pixels, run), blocks, shape.n);
}

void cln__step_each_vector(cln__lowering *l, cln__step *step, cln_tensor x) {
    cln__step_define(l, step, "B=%d", cln__layout_of(l, x).block);
    launch(l, step, cln__shape_of(l, x), cln__blocks(l, x));
}

void cln__step_each_row(cln__lowering *l, cln__step *step, cln_tensor x) {
    cln_shape shape = cln__shape_of(l, x);
    int64_t blocks = cln__blocks(l, x);
    int64_t run = cln__divide_up(pixel_run(l, shape.h * shape.w, blocks * shape.n), shape.w);
    cln__step_define(l, step, "B=%d", cln__layout_of(l, x).block);
    cln__arg_int(step, run);
    cln__step_items(step, cln__divide_up(shape.h, run), blocks, shape.n);
}

bool cln__exceeds_caches(const cln__lowering *l, cln_tensor x, int times) {
    enum { L2_BYTES = 1 << 20 }; /* a usual second-level cache, of a core */
    cln_shape shape = cln__shape_of(l, x);
    int64_t bytes = (int64_t)sizeof(float) * shape.n * shape.h * shape.w * cln__layout_of(l, x).stored;
    return bytes > (int64_t)times * L2_BYTES * l->caps->compute_units;
}

bool cln__streams(const cln__lowering *l, cln_tensor x) {
    bool aligned = cln__layout_of(l, x).block * sizeof(float) == 64; /* non-temporal stores are whole cache lines */
    return l->caps->is_cpu && aligned && cln__exceeds_caches(l, x, 1);
}

int64_t cln__channel_run(const cln__layout *layout, int64_t first, int64_t limit) {
    int64_t count = 1;
    while (count < limit && layout->map[first + count] == layout->map[first] + count)
        count++;
    return count;
}

/* The lanes from channel `first` on that `count` channels fill, with the padding that follows them: each channel owns
 * the padding between it and the next one, so that copies which cover all channels cover all padding. */
static int64_t lanes_of(const cln__layout *layout, int64_t channels, int64_t first, int64_t count) {
    int64_t end = first + count < channels ? layout->map[first + count] : layout->stored;
    return end - layout->map[first];
}

/* Adds the arguments for writing lanes first..first+lanes-1 of `to`, and launches over the blocks that they touch. */
static void write_lanes(cln__lowering *l, cln__step *step, cln_tensor to, int64_t first, int64_t count, int64_t lanes) {
    int block = cln__layout_of(l, to).block;
    cln__arg_int(step, first);
    cln__arg_int(step, count);
    cln__arg_int(step, lanes);
    launch(l, step, cln__shape_of(l, to), (first + lanes - 1) / block - first / block + 1);
}

cln_status cln__lower_copy(cln__lowering *l, cln_tensor from, int64_t first_from, cln_tensor to, int64_t first_to,
                           int64_t count) {
    cln__layout source = cln__layout_of(l, from), target = cln__layout_of(l, to);
    for (int64_t done = 0, run; done < count; done += run) {
        int64_t a = first_from + done, b = first_to + done;
        run = cln__channel_run(&target, b, cln__channel_run(&source, a, count - done));
        cln__step *step = cln__step_new(l, "copy", "copy");
        cln__step_define(l, step, "FROM=%d", source.block);
        cln__step_define(l, step, "TO=%d", target.block);
        cln__arg_tensor(step, from, CLN__READ);
        cln__arg_tensor(step, to, CLN__WRITE);
        cln__arg_int(step, source.map[a]);
        write_lanes(l, step, to, target.map[b], run, lanes_of(&target, cln__shape_of(l, to).c, b, run));
    }
    return l->status;
}

cln_status cln__lower_fill(cln__lowering *l, cln_tensor x, double value) {
    cln__layout layout = cln__layout_of(l, x);
    int64_t channels = cln__shape_of(l, x).c;
    for (int64_t c = 0, run; c < channels; c += run) {
        run = cln__channel_run(&layout, c, channels - c);
        cln__step *step = cln__step_new(l, "copy", "fill");
        cln__step_define(l, step, "FROM=%d", layout.block);
        cln__step_define(l, step, "TO=%d", layout.block);
        cln__arg_tensor(step, x, CLN__WRITE);
        cln__arg_float(step, value);
        write_lanes(l, step, x, layout.map[c], run, lanes_of(&layout, channels, c, run));
    }
    return l->status;
}
