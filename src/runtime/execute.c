/* One step: set the arguments that change, enqueue every launch in order, and return without waiting. */
#include "runtime.h"

#include <math.h>

static cl_int set_patch(cln_plan *plan, const cln__patch *patch, const float *scalars) {
    cl_kernel kernel = plan->kernels[patch->step];
    if (patch->arg->kind == CLN__ARG_SCALAR)
        return clSetKernelArg(kernel, patch->index, sizeof(float), &scalars[patch->arg->scalar]);
    cl_ulong2 key = {{patch->arg->key, (cl_ulong)plan->steps}};
    return clSetKernelArg(kernel, patch->index, sizeof key, &key);
}

cln_status cln__step_begin(cln_plan *plan, cln_rates rates) {
    double t = (double)(plan->updates + 1), momentum = (double)(rates.momentum > 0 ? rates.momentum : plan->momentum);
    const float scalars[CLN__SCALAR_COUNT] = {
        [CLN__LEARNING_RATE] = rates.learning_rate,
        [CLN__MOMENTUM] = (float)momentum,
        [CLN__REST] = (float)(1 - momentum),
        [CLN__KEEP] = plan->accumulated > 0 ? 1 : 0,
        [CLN__BIAS_CORRECTION1] = (float)(1 - pow(momentum, t)),
        [CLN__BIAS_CORRECTION2] = (float)(1 - pow(plan->beta2, t)),
    };
    for (int i = 0; i < plan->patch_count; i++) {
        cl_int code = set_patch(plan, &plan->patches[i], scalars);
        if (code != CL_SUCCESS)
            return cln__fail_cl(plan->device, code, "clSetKernelArg", "preparing a step");
    }
    if (plan->prepared != plan->weights->version)
        CLN_TRY(cln__enqueue(plan, 0, plan->host.prepared_count));
    plan->prepared = plan->weights->version;
    return CLN_OK;
}

cln_status cln__launch(cln_plan *plan, int index, cl_command_queue queue, cl_event *event) {
    const cln__step *step = &plan->host.steps[index];
    plan->weights->version += plan->changes_weights;
    if (step->kind == CLN__GEMM)
        return cln__gemm_enqueue(plan, step, queue, event);
    cl_int code = clEnqueueNDRangeKernel(queue, plan->kernels[index], 3, NULL, plan->global[index], plan->local[index],
                                         0, NULL, event);
    if (code == CL_SUCCESS)
        return CLN_OK;
    const cln__node *node = &plan->host.graph->nodes[step->node];
    return cln__fail_cl(plan->device, code, "clEnqueueNDRangeKernel",
                        "%s '%s': kernel %s with %zux%zux%zu work-items in groups of %zu", node->op->name, node->name,
                        step->kernel, plan->global[index][0], plan->global[index][1], plan->global[index][2],
                        plan->local[index][0]);
}

cln_status cln__enqueue(cln_plan *plan, int first, int last) {
    for (int i = first; i < last; i++)
        CLN_TRY(cln__launch(plan, i, plan->device->queue, NULL));
    return CLN_OK;
}

void cln__step_end(cln_plan *plan, bool update) {
    plan->steps++;
    plan->accumulated = update ? 0 : plan->accumulated + 1;
    plan->updates += update && plan->updates_weights;
}

static cln_status end_step(cln_plan *plan, bool update) {
    cln__step_end(plan, update);
    cl_int code = clFlush(plan->device->queue);
    return code == CL_SUCCESS ? CLN_OK : cln__fail_cl(plan->device, code, "clFlush", "starting a step");
}

cln_status cln_plan_step(cln_plan *plan, float learning_rate) {
    return cln_plan_step_at(plan, (cln_rates){.learning_rate = learning_rate});
}

cln_status cln_plan_step_at(cln_plan *plan, cln_rates rates) {
    CLN_TRY(cln__step_begin(plan, rates));
    CLN_TRY(cln__enqueue(plan, plan->host.prepared_count, plan->host.step_count));
    return end_step(plan, true);
}

cln_status cln_plan_accumulate(cln_plan *plan) {
    if (!plan->accumulates)
        return cln__fail(plan->device->ctx, CLN_INVALID_ARGUMENT,
                         "cln_plan_accumulate: the plan's optimiser makes an update of each step");
    CLN_TRY(cln__step_begin(plan, (cln_rates){0}));
    for (int i = plan->host.prepared_count; i < plan->host.step_count; i++)
        if (!plan->host.steps[i].updates)
            CLN_TRY(cln__launch(plan, i, plan->device->queue, NULL));
    return end_step(plan, false);
}

cln_status cln_plan_finish(cln_plan *plan) {
    cl_int code = clFinish(plan->device->queue);
    return code == CL_SUCCESS ? CLN_OK : cln__fail_cl(plan->device, code, "clFinish", "waiting for the steps");
}

int64_t cln_plan_updates(const cln_plan *plan) {
    return plan->updates;
}

void cln_plan_set_updates(cln_plan *plan, int64_t updates) {
    plan->updates = updates;
    plan->steps = updates;
    plan->accumulated = 0;
}

void cln_plan_set_steps(cln_plan *plan, int64_t steps) {
    plan->steps = steps;
}
