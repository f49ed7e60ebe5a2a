/* A step with the time of every launch, by the device's own clock. Everything is enqueued at once, as in a plain step,
 * on a queue that is made for it: one that takes times may be slower, so the device's own does not. */
#include "runtime.h"

#include <stdlib.h>

typedef struct profile {
    cln_plan *plan;
    cl_command_queue queue;
    cl_event *events; /* by step */
} profile;

static cln_status open_queue(profile *p) {
    cln_device *device = p->plan->device;
    cl_int code;
    p->queue = clCreateCommandQueue(device->cl, device->id, CL_QUEUE_PROFILING_ENABLE, &code);
    if (code != CL_SUCCESS)
        return cln__fail_cl(device, code, "clCreateCommandQueue", "profiling a step");
    p->events = calloc((size_t)p->plan->host.step_count + 1, sizeof *p->events);
    return p->events ? CLN_OK : cln__fail_memory(device->ctx, "the times of a step");
}

static cln_status run(profile *p, cln_rates rates) {
    CLN_TRY(cln__step_begin(p->plan, rates));
    CLN_TRY(cln_plan_finish(p->plan));
    for (int i = p->plan->host.prepared_count; i < p->plan->host.step_count; i++)
        CLN_TRY(cln__launch(p->plan, i, p->queue, &p->events[i]));
    cl_int code = clFinish(p->queue);
    if (code != CL_SUCCESS)
        return cln__fail_cl(p->plan->device, code, "clFinish", "waiting for a profiled step");
    cln__step_end(p->plan, true);
    return CLN_OK;
}

static cln_status read_clock(const profile *p, int step, cl_profiling_info which, cl_ulong *ns) {
    cl_int code = clGetEventProfilingInfo(p->events[step], which, sizeof *ns, ns, NULL);
    if (code == CL_SUCCESS)
        return CLN_OK;
    return cln__fail_cl(p->plan->device, code, "clGetEventProfilingInfo", "reading the time of kernel %s",
                        p->plan->host.steps[step].kernel);
}

/* A GEMM may be several kernels, of which only the last has an event: it begins where the step before it ended. */
static cln_status read_times(const profile *p, cln_step_time *times) {
    const cln__host_plan *host = &p->plan->host;
    cl_ulong first = 0, before = 0;
    int begin = host->prepared_count;
    for (int i = begin; i < host->step_count; i++) {
        const cln__step *step = &host->steps[i];
        const cln__node *node = &host->graph->nodes[step->node];
        cl_ulong start, end;
        CLN_TRY(read_clock(p, i, CL_PROFILING_COMMAND_START, &start));
        CLN_TRY(read_clock(p, i, CL_PROFILING_COMMAND_END, &end));
        if (step->kind == CLN__GEMM && i > begin)
            start = before;
        first = i > begin ? first : start;
        times[i - begin] = (cln_step_time){.layer = node->name,
                                           .op = node->op->name,
                                           .variant = step->variant,
                                           .why_not = step->why_not ? step->why_not : "",
                                           .kernel = step->kernel,
                                           .flops = step->flops,
                                           .bytes = step->bytes,
                                           .start_s = (double)(start - first) * 1e-9,
                                           .seconds = (double)(end - start) * 1e-9};
        before = end;
    }
    return CLN_OK;
}

cln_status cln_plan_profile_at(cln_plan *plan, cln_rates rates, cln_step_time *times) {
    profile p = {.plan = plan};
    cln_status status = open_queue(&p);
    if (status == CLN_OK)
        status = run(&p, rates);
    if (status == CLN_OK)
        status = read_times(&p, times);
    if (p.queue)
        clFinish(p.queue);
    for (int i = 0; i < plan->host.step_count && p.events; i++)
        if (p.events[i])
            clReleaseEvent(p.events[i]);
    free(p.events);
    if (p.queue)
        clReleaseCommandQueue(p.queue);
    return status;
}

cln_status cln_plan_profile(cln_plan *plan, float learning_rate, cln_step_time *times) {
    return cln_plan_profile_at(plan, (cln_rates){.learning_rate = learning_rate}, times);
}
