/* clip_norm: by what all gradients are multiplied so that their L2 norm stays below a limit. */
#include "optimizer.h"

enum { MOST_PARTS = 1024 };

static cln_status lower(cln__lowering *l, const cln__node *node) {
    const cln_optimizer *o = node->attrs;
    int width = l->caps->block;
    int64_t vectors = l->layouts->values_elements / width;
    int64_t run = cln__divide_up(vectors, l->caps->is_cpu ? l->caps->items_target : MOST_PARTS);
    int64_t count = run > 0 ? cln__divide_up(vectors, run) : 0;
    cln_tensor parts = cln__scratch(l, count + 1);
    cln__step *step = cln__step_new(l, "clip_norm", "clip_norm_part");
    cln__step_define(l, step, "V=%d", width);
    cln__arg_region(step, cln__gradients_region(o), CLN__READ);
    cln__arg_int(step, vectors);
    cln__arg_int(step, run);
    cln__arg_tensor(step, parts, CLN__WRITE);
    cln__step_items(step, count, 1, 1);
    step = cln__step_new(l, "clip_norm", "clip_norm");
    cln__step_define(l, step, "V=%d", width);
    cln__arg_tensor(step, parts, CLN__READ);
    cln__arg_int(step, count);
    cln__arg_float(step, (double)o->clip);
    cln__arg_tensor(step, cln__output(node, 0), CLN__WRITE);
    return l->status;
}

const cln__op cln__op_clip_norm = {
    .name = "clip_norm", .attrs_size = sizeof(cln_optimizer), .outputs = 1, .lower = lower, .updates = true};
