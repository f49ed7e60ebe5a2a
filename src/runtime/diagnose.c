/* Finding where numbers stop being finite: runs the forward part operator by operator and looks at each output. */
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

/* What the last of a node's steps writes: its output, or what fusion has it write instead. */
static cln_status step_finite(cln_plan *plan, const cln__step *step, bool *finite) {
    *finite = true;
    for (int a = 0; a < step->arg_count && *finite; a++)
        if (step->args[a].kind == CLN__ARG_TENSOR && (step->args[a].access & CLN__WRITE))
            CLN_TRY(output_finite(plan, step->args[a].tensor, finite));
    return CLN_OK;
}

cln_status cln_plan_find_nonfinite(cln_plan *plan, const char **layer) {
    *layer = NULL;
    const cln__host_plan *host = &plan->host;
    for (int first = 0, last; first < host->step_count; first = last) {
        const cln__node *node = &host->graph->nodes[host->steps[first].node];
        for (last = first; last < host->step_count && host->steps[last].node == host->steps[first].node;)
            last++;
        if (!node->is_forward)
            break;
        CLN_TRY(cln__enqueue(plan, first, last));
        bool finite = true;
        CLN_TRY(step_finite(plan, &host->steps[last - 1], &finite));
        if (!finite) {
            *layer = node->name;
            return CLN_OK;
        }
    }
    return CLN_OK;
}

cln_status cln_weights_find_nonfinite(cln_weights *weights, const char **name) {
    *name = NULL;
    for (int i = 0; i < weights->count && !*name; i++) {
        cln_weight_info info = cln_weights_info(weights, i);
        float *values = malloc((size_t)info.count * sizeof *values);
        if (!values)
            return cln__fail_memory(weights->device->ctx, "looking for weights that are not finite");
        cln_status status = cln_weights_get(weights, i, CLN_VALUE, values, info.count);
        if (status == CLN_OK && !all_finite(values, info.count))
            *name = info.name;
        free(values);
        CLN_TRY(status);
    }
    return CLN_OK;
}
