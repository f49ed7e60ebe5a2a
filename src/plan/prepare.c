/* Steps of an evaluation that depend on nothing but the weights: batch normalisation folded into them, and their
 * transforms. Such steps come first in the plan, in their order, and the runtime repeats them only after the weights
 * have changed. No operator writes twice what others read in between. */
#include "plan.h"

#include <stdlib.h>

typedef struct preparing {
    const cln__host_plan *plan;
    bool *written; /* by root: by a step that is not prepared, or by the host */
} preparing;

static const cln__layout *storage_of(const cln__host_plan *plan, const cln__arg *arg) {
    return &plan->layouts.of[plan->layouts.of[arg->tensor].root];
}

/* A step that writes what others write too, or reads what changes from step to step, is repeated. */
static bool is_repeated(const preparing *p, const cln__step *step) {
    for (int i = 0; i < step->arg_count; i++) {
        const cln__arg *arg = &step->args[i];
        if (arg->kind == CLN__ARG_SCALAR || arg->kind == CLN__ARG_KEY || arg->kind == CLN__ARG_REGION)
            return true;
        if (arg->kind != CLN__ARG_TENSOR)
            continue;
        const cln__layout *storage = storage_of(p->plan, arg);
        bool weights = storage->region != CLN__ARENA;
        if (weights ? arg->access != CLN__READ : p->written[storage->root])
            return true;
    }
    return false;
}

static bool mark_writes(preparing *p, const cln__step *step) {
    bool changed = false;
    for (int i = 0; i < step->arg_count; i++) {
        const cln__arg *arg = &step->args[i];
        if (arg->kind != CLN__ARG_TENSOR || !(arg->access & CLN__WRITE))
            continue;
        int root = storage_of(p->plan, arg)->root;
        changed |= !p->written[root];
        p->written[root] = true;
    }
    return changed;
}

/* Begins with the host's inputs and adds what is made of them, until nothing is added. */
static void find_repeated(preparing *p, bool *repeated) {
    const cln__host_plan *plan = p->plan;
    for (int i = 0; i < plan->graph->tensor_count; i++)
        if (plan->graph->tensors[i].role == CLN__INPUT)
            p->written[plan->layouts.of[i].root] = true;
    for (bool changed = true; changed;) {
        changed = false;
        for (int s = 0; s < plan->step_count; s++)
            if (!repeated[s] && is_repeated(p, &plan->steps[s]))
                repeated[s] = changed = true;
        for (int s = 0; s < plan->step_count; s++)
            if (repeated[s])
                changed |= mark_writes(p, &plan->steps[s]);
    }
}

static void partition(cln__host_plan *plan, const bool *repeated, cln__step *sorted) {
    int count = 0;
    for (int part = 0; part < 2; part++) {
        for (int s = 0; s < plan->step_count; s++)
            if (repeated[s] == (part == 1))
                sorted[count++] = plan->steps[s];
        plan->prepared_count = part == 0 ? count : plan->prepared_count;
    }
    free(plan->steps);
    plan->steps = sorted;
}

cln_status cln__prepared_first(cln_context *ctx, cln__host_plan *plan) {
    preparing p = {.plan = plan, .written = calloc((size_t)plan->layouts.count + 1, sizeof(bool))};
    bool *repeated = calloc((size_t)plan->step_count + 1, sizeof *repeated);
    cln__step *sorted = malloc(sizeof *sorted * ((size_t)plan->step_count + 1));
    cln_status status = CLN_OK;
    if (!p.written || !repeated || !sorted) {
        status = cln__fail_memory(ctx, "the order of the plan's steps");
        free(sorted);
    } else {
        find_repeated(&p, repeated);
        partition(plan, repeated, sorted);
    }
    free(p.written);
    free(repeated);
    return status;
}
