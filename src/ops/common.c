/* What operators share when lowering: the launch over every vector of a tensor, and copies between layouts. */
#include "ops.h"

#include <limits.h>

enum { LEAST_RUN = 64 }; /* vectors that are worth a work-item on a CPU */

/* Pixels for a work-item, where an image's pixels are visited `times` times. */
static int64_t pixel_run(const cln__lowering *l, int64_t pixels, int64_t times) {
    if (!l->caps->is_cpu)
        return 1;
    int64_t run = cln__divide_up(pixels, cln__divide_up(l->caps->items_target, times));
    run = run < LEAST_RUN ? LEAST_RUN : run;
    return run < pixels ? run : pixels;
}

static void launch(cln__lowering *l, cln__step *step, cln_shape shape, int64_t blocks) {
    int64_t pixels = shape.h * shape.w, run = pixel_run(l, pixels, blocks * shape.n);
    if (pixels > INT_MAX || shape.n > INT_MAX)
        cln__lower_fail(l, CLN_UNSUPPORTED, "%lld images of %lld pixels are more than kernels can count",
                        (long long)shape.n, (long long)pixels);
    cln__arg_int(step, pixels);
    cln__arg_int(step, run);
    cln__step_items(step, cln__divide_up(pixels, run), blocks, shape.n);
}

void cln__step_each_vector(cln__lowering *l, cln__step *step, cln_tensor x) {
    cln__step_define(l, step, "B=%d", cln__layout_of(l, x).block);
    launch(l, step, cln__shape_of(l, x), cln__blocks(l, x));
}

/* How many of the channels from `first` on (`limit` at most) have stored numbers that follow each other. */
static int64_t contiguous(const cln__layout *layout, int64_t first, int64_t limit) {
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
        run = contiguous(&target, b, contiguous(&source, a, count - done));
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
        run = contiguous(&layout, c, channels - c);
        cln__step *step = cln__step_new(l, "copy", "fill");
        cln__step_define(l, step, "FROM=%d", layout.block);
        cln__step_define(l, step, "TO=%d", layout.block);
        cln__arg_tensor(step, x, CLN__WRITE);
        cln__arg_float(step, value);
        write_lanes(l, step, x, layout.map[c], run, lanes_of(&layout, channels, c, run));
    }
    return l->status;
}
