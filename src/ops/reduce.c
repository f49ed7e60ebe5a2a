/* Splitting a tensor in parts that work-items reduce, and merging the results. */
#include "reduce.h"

enum {
    FAN = 32,       /* parts that a work-item merges */
    LEAST_CPU = 64, /* vectors that are worth a part */
    LEAST_GPU = 16,
};

/* Whole images first: their pixels follow each other. */
static void split_for_cpu(cln__parts *parts, int64_t wanted, int64_t n, int64_t pixels) {
    parts->images = cln__divide_up(n, cln__least(n, wanted));
    parts->groups = cln__divide_up(n, parts->images);
    int64_t slots = cln__least(cln__divide_up(wanted, parts->groups), cln__divide_up(pixels, LEAST_CPU));
    parts->run = cln__divide_up(pixels, slots);
    parts->slots = cln__divide_up(pixels, parts->run);
}

/* Neighbouring work-items read neighbouring pixels. */
static void split_for_gpu(cln__parts *parts, int64_t wanted, int64_t n, int64_t pixels, int64_t work_group) {
    parts->slots = cln__least(pixels, cln__most(work_group, wanted / n));
    parts->images = cln__divide_up(n, cln__least(n, cln__most(1, wanted / parts->slots)));
    parts->groups = cln__divide_up(n, parts->images);
}

cln__parts cln__parts_of(cln__lowering *l, cln_tensor x, int values) {
    cln_shape shape = cln__shape_of(l, x);
    cln__layout layout = cln__layout_of(l, x);
    int64_t pixels = shape.h * shape.w, total = shape.n * pixels;
    int64_t wanted = cln__divide_up(l->caps->items_target, cln__blocks(l, x));
    wanted = cln__most(1, cln__least(wanted, total / (l->caps->is_cpu ? LEAST_CPU : LEAST_GPU)));
    cln__parts parts = {.block = layout.block, .stored = layout.stored, .row = layout.stored * values};
    if (l->caps->is_cpu)
        split_for_cpu(&parts, wanted, shape.n, pixels);
    else
        split_for_gpu(&parts, wanted, shape.n, pixels, l->caps->work_group);
    parts.count = parts.slots * parts.groups;
    parts.partial = cln__scratch(l, parts.count * parts.row);
    return parts;
}

void cln__parts_launch(cln__lowering *l, cln__step *step, const cln__parts *parts, cln_tensor x) {
    cln_shape shape = cln__shape_of(l, x);
    cln__step_define(l, step, "B=%d", parts->block);
    cln__arg_tensor(step, parts->partial, CLN__WRITE);
    cln__arg_int(step, parts->row);
    cln__arg_int(step, parts->slots);
    cln__arg_int(step, parts->run);
    cln__arg_int(step, parts->images);
    cln__arg_int(step, shape.n);
    cln__arg_int(step, shape.h * shape.w);
    cln__step_items(step, parts->slots, parts->stored / parts->block, parts->groups);
}

/* out[i] = merged rows i*group ... of the parts, floats first..first+width-1 of each. */
static cln__step *merge_step(cln__lowering *l, const cln__parts *parts, const char *source, const char *kernel,
                             cln_tensor out, int64_t group, int64_t first, int64_t width) {
    cln__step *step = cln__step_new(l, source, kernel);
    cln__step_define(l, step, "B=%d", parts->block);
    cln__arg_tensor(step, parts->partial, CLN__READ);
    cln__arg_tensor(step, out, CLN__WRITE);
    cln__arg_int(step, parts->count);
    cln__arg_int(step, group);
    cln__arg_int(step, parts->row);
    cln__arg_int(step, first);
    cln__arg_int(step, width);
    cln__step_items(step, width / parts->block, cln__divide_up(parts->count, group), 1);
    return step;
}

void cln__parts_merge(cln__lowering *l, cln__parts *parts, const char *source, const char *kernel, int64_t width) {
    while (parts->count > FAN) {
        int64_t merged = cln__divide_up(parts->count, FAN);
        cln_tensor out = cln__scratch(l, merged * parts->row);
        merge_step(l, parts, source, kernel, out, FAN, 0, width);
        parts->partial = out;
        parts->count = merged;
    }
}

void cln__parts_sum(cln__lowering *l, const cln__parts *parts, int index, cln_tensor out) {
    merge_step(l, parts, "reduce", "sum", out, parts->count, index * parts->stored, parts->stored);
}
