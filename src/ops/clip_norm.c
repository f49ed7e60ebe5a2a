/* clip_norm: by what all gradients are multiplied so that their L2 norm stays below a limit. */
#include "optimizer.h"

enum { MOST_PARTS = 1024 };

/* Vectors of a range that a work-item adds up, and how many items that makes. */
static int64_t run_of(const cln__lowering *l, int64_t vectors) {
    int64_t run = cln__divide_up(vectors, l->caps->is_cpu ? l->caps->items_target : MOST_PARTS);
    return run > 0 ? run : 1;
}

static int64_t parts_of(const cln__lowering *l, const cln__range *r) {
    int64_t vectors = (r->end - r->first) / l->caps->block;
    return cln__divide_up(vectors, run_of(l, vectors));
}

/* Sums over the vectors of a range, behind the `count` ones that there are; how many there are then. */
static int64_t add_parts(cln__lowering *l, const cln_optimizer *o, const cln__range *r, cln_tensor parts,
                         int64_t count) {
    int width = l->caps->block;
    int64_t first = r->first / width, vectors = (r->end - r->first) / width, more = parts_of(l, r);
    cln__step *step = cln__step_new(l, "clip_norm", "clip_norm_part");
    cln__step_define(l, step, "V=%d", width);
    step->bytes = 4.0 * (double)(r->end - r->first);
    cln__arg_region(step, cln__gradients_region(o), CLN__READ);
    cln__arg_int(step, first);
    cln__arg_int(step, first + vectors);
    cln__arg_int(step, run_of(l, vectors));
    cln__arg_tensor(step, parts, CLN__WRITE);
    cln__arg_int(step, count);
    cln__step_items(step, more, 1, 1);
    return count + more;
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    const cln_optimizer *o = node->attrs;
    cln__range r = {.end = 0};
    int64_t count = 0;
    while (cln__range_next(l, NULL, &r))
        count += parts_of(l, &r);
    cln_tensor parts = cln__scratch(l, count + 1);
    r = (cln__range){.end = 0};
    count = 0;
    while (cln__range_next(l, NULL, &r))
        count = add_parts(l, o, &r, parts, count);
    cln__step *step = cln__step_new(l, "clip_norm", "clip_norm");
    cln__step_define(l, step, "V=%d", l->caps->block);
    cln__arg_tensor(step, parts, CLN__READ);
    cln__arg_int(step, count);
    cln__arg_float(step, (double)o->clip);
    cln__arg_tensor(step, cln__output(node, 0), CLN__WRITE);
    return l->status;
}

const cln__op cln__op_clip_norm = {
    .name = "clip_norm", .attrs_size = sizeof(cln_optimizer), .outputs = 1, .lower = lower, .updates = true};
