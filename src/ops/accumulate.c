/* accumulate: adds the gradients of a step to those of the steps before it, for an update of several steps. */
#include "optimizer.h"

static cln_status lower(cln__lowering *l, const cln__node *node) {
    const cln_optimizer *o = node->attrs;
    cln__range r = {.end = 0};
    while (cln__range_next(l, NULL, &r)) {
        cln__step *step = cln__step_new(l, "accumulate", "accumulate");
        cln__arg_tensor(step, cln__input(node, 0), CLN__READ);
        cln__step_vectors(l, step, r.first, r.end - r.first);
        step->bytes = 12.0 * (double)(r.end - r.first);
        cln__arg_region(step, CLN__SUMS, CLN__READ_WRITE);
        cln__arg_region(step, CLN__GRADS, CLN__READ);
        cln__arg_scalar(step, CLN__KEEP);
        cln__arg_float(step, 1.0 / o->accumulate);
    }
    return l->status;
}

const cln__op cln__op_accumulate = {.name = "accumulate", .attrs_size = sizeof(cln_optimizer), .lower = lower};
