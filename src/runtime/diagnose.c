/* Finding where numbers stop being finite: runs the forward part step by step and looks at each output. */
#include "runtime.h"

#include <math.h>
#include <stdlib.h>

static bool all_finite(const float *values, int64_t count) {
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

static cln_status output_finite(cln_plan *plan, int tensor, bool *finite) {
    int64_t count = 0;
    cln__shape_count(plan->host.graph->tensors[tensor].shape, &count);
    float *values = malloc((size_t)count * sizeof *values);
    if (!values)
        return cln__fail_memory(plan->device->ctx, "looking for the first layer that is not finite");
    cln_status status = cln__plan_read(plan, tensor, values, count);
    *finite = status != CLN_OK || all_finite(values, count);
    free(values);
    return status;
}

/* The layer of what the step writes that is not finite, or NULL: its own, but that of a batch normalisation whose
 * vectors another layer's steps compute. Scratch memory may hold anything, and its output until its last step. */
static cln_status look_at(cln_plan *plan, const cln__step *step, bool last, const char **layer) {
    const cln_graph *g = plan->host.graph;
    for (int a = 0; a < step->arg_count && !*layer; a++) {
        const cln__arg *arg = &step->args[a];
        bool written = arg->kind == CLN__ARG_TENSOR && (arg->access & CLN__WRITE);
        int producer = written ? g->tensors[arg->tensor].producer : -1;
        bool finite = true;
        if (producer >= 0 && (last || producer != step->node))
            CLN_TRY(output_finite(plan, arg->tensor, &finite));
        if (!finite)
            *layer = g->nodes[last ? step->node : producer].name;
    }
    return CLN_OK;
}

/* Steps from `first` on of one node, which ends before `end`. */
static cln_status look_at_node(cln_plan *plan, int first, int end, const char **layer) {
    for (int s = first; s < end && !*layer; s++) {
        CLN_TRY(cln__enqueue(plan, s, s + 1));
        CLN_TRY(look_at(plan, &plan->host.steps[s], s == end - 1, layer));
    }
    return CLN_OK;
}

cln_status cln_plan_find_nonfinite(cln_plan *plan, const char **layer) {
    *layer = NULL;
    const cln__host_plan *host = &plan->host;
    for (int first = 0, end; first < host->step_count && !*layer; first = end) {
        if (!host->graph->nodes[host->steps[first].node].is_forward)
            break;
        for (end = first; end < host->step_count && host->steps[end].node == host->steps[first].node;)
            end++;
        CLN_TRY(look_at_node(plan, first, end, layer));
    }
    return CLN_OK;
}

cln_status cln_weights_find_nonfinite(cln_weights *weights, cln_slot slot, const char **name) {
    *name = NULL;
    for (int k = 0; k < weights->count && !*name; k++) {
        int i = slot == CLN_GRADIENT ? weights->count - 1 - k : k;
        cln_weight_info info = cln_weights_info(weights, i);
        if (slot != CLN_VALUE && !info.trainable)
            continue;
        float *values = malloc((size_t)info.count * sizeof *values);
        if (!values)
            return cln__fail_memory(weights->device->ctx, "looking for weights that are not finite");
        cln_status status = cln_weights_get(weights, i, slot, values, info.count);
        if (status == CLN_OK && !all_finite(values, info.count))
            *name = info.name;
        free(values);
        CLN_TRY(status);
    }
    return CLN_OK;
}
