/* How many bytes a step has to move at least: what its time is held against in reports.
 *
 * A tensor counts whole, padding included, once if it is read and once if it is written, however often the kernel
 * touches it; a GEMM's matrices count instead, since they may be a part of their tensors. Caches are not known here. */
#include "plan.h"

/* What of a storage an argument covers: two that are alike are the same memory. */
typedef struct span {
    int root;
    cln__region region;
    int64_t offset, elements;
} span;

static span span_of_tensor(const cln__host_plan *plan, int tensor) {
    const cln__layout *of = &plan->layouts.of[tensor];
    cln_shape s = plan->graph->tensors[tensor].shape;
    return (span){.root = of->root,
                  .region = plan->layouts.of[of->root].region,
                  .offset = of->offset,
                  .elements = of->elements ? of->elements : s.n * s.h * s.w * of->stored};
}

static span span_of_region(const cln__host_plan *plan, cln__region region) {
    return (span){.root = -1,
                  .region = region,
                  .elements = region == CLN__STATES ? plan->layouts.states_elements : plan->layouts.values_elements};
}

static span span_of(const cln__host_plan *plan, const cln__arg *arg) {
    return arg->kind == CLN__ARG_REGION ? span_of_region(plan, arg->region) : span_of_tensor(plan, arg->tensor);
}

static bool same(span a, span b) {
    return a.root == b.root && a.region == b.region && a.offset == b.offset && a.elements == b.elements;
}

static bool moves(const cln__arg *arg, cln__access mode) {
    return (arg->kind == CLN__ARG_TENSOR || arg->kind == CLN__ARG_REGION) && (arg->access & mode);
}

static bool counted_before(const cln__host_plan *plan, const cln__step *step, int index, cln__access mode) {
    for (int i = 0; i < index; i++)
        if (moves(&step->args[i], mode) && same(span_of(plan, &step->args[i]), span_of(plan, &step->args[index])))
            return true;
    return false;
}

static double kernel_elements(const cln__host_plan *plan, const cln__step *step) {
    static const cln__access modes[] = {CLN__READ, CLN__WRITE};
    double elements = 0;
    for (int i = 0; i < step->arg_count; i++)
        for (int m = 0; m < 2; m++)
            if (moves(&step->args[i], modes[m]) && !counted_before(plan, step, i, modes[m]))
                elements += (double)span_of(plan, &step->args[i]).elements;
    return elements;
}

static double gemm_elements(const cln__gemm *g) {
    double m = (double)g->m, n = (double)g->n, k = (double)g->k;
    return m * k + k * n + m * n * (g->beta == 0 ? 1 : 2);
}

void cln__traffic_count(cln__host_plan *plan) {
    for (int i = 0; i < plan->step_count; i++) {
        cln__step *step = &plan->steps[i];
        if (step->bytes > 0) /* the operator has counted them */
            continue;
        double elements = step->kind == CLN__GEMM ? gemm_elements(&step->gemm) : kernel_elements(plan, step);
        step->bytes = elements * (double)sizeof(float);
    }
}
