/* cln_plan_build: a host plan, checked against the device's memory, its programs compiled, its buffers made. */
#include "runtime.h"

#include <stdlib.h>
#include <string.h>

/* --- does it fit? --- */

static uint64_t weights_bytes(const cln__host_plan *host) {
    bool used[CLN__REGION_COUNT] = {[CLN__VALUES] = true, [CLN__STATES] = true};
    for (int i = 0; i < host->layouts.count; i++)
        used[host->layouts.of[i].region] = true;
    for (int s = 0; s < host->step_count; s++)
        for (int a = 0; a < host->steps[s].arg_count; a++)
            if (host->steps[s].args[a].kind == CLN__ARG_REGION)
                used[host->steps[s].args[a].region] = true;
    uint64_t bytes = 0;
    for (int r = CLN__ARENA + 1; r < CLN__REGION_COUNT; r++)
        if (used[r])
            bytes += 4 * (uint64_t)(r == CLN__STATES ? host->layouts.states_elements : host->layouts.values_elements);
    return bytes;
}

static uint64_t memory_limit(const cln_device *device, const cln_plan_options *options) {
    return options->memory_limit_bytes ? options->memory_limit_bytes : device->caps.memory_bytes;
}

static bool batch_fits(cln_plan *plan, const cln_graph *graph, const cln__plan_request *request, int64_t batch,
                       uint64_t limit) {
    cln__host_plan trial;
    if (cln__plan_make(plan->device->ctx, graph, &plan->device->caps, request, batch, &trial) != CLN_OK)
        return false;
    bool fits = trial.planned_bytes + weights_bytes(&trial) <= limit;
    cln__plan_drop(&trial);
    return fits;
}

static int64_t largest_batch(cln_plan *plan, const cln_graph *graph, const cln__plan_request *request, uint64_t limit) {
    int64_t fits = 0, fails = cln__batch(graph);
    while (fails - fits > 1) {
        int64_t middle = fits + (fails - fits) / 2;
        if (batch_fits(plan, graph, request, middle, limit))
            fits = middle;
        else
            fails = middle;
    }
    return fits;
}

/* `need` says what is needed. */
static cln_status fail_fit(cln_plan *plan, const cln_graph *graph, const cln__plan_request *request, uint64_t limit,
                           const char *need) {
    double mib = 1024.0 * 1024.0;
    int64_t batch = largest_batch(plan, graph, request, limit);
    return cln__fail(
        plan->device->ctx, CLN_OUT_OF_MEMORY, "%s; %s has %.1f MiB, at most %.1f MiB in one piece: %s%lld", need,
        plan->device->info.name, (double)limit / mib, (double)plan->device->caps.max_alloc_bytes / mib,
        batch ? "the largest batch size that fits is " : "not even one image fits, the largest batch size is ",
        (long long)batch);
}

/* With the message of the failure that was, which names what is too large. */
static cln_status fail_misfit(cln_plan *plan, const cln_graph *graph, const cln__plan_request *request,
                              uint64_t limit) {
    char *message = cln__error_copy(plan->device->ctx);
    if (!message)
        return CLN_OUT_OF_MEMORY;
    cln_status status = fail_fit(plan, graph, request, limit, message);
    free(message);
    return status;
}

static cln_status make_host_plan(cln_plan *plan, const cln_graph *graph, const cln__plan_request *request,
                                 const cln_plan_options *options) {
    char need[160];
    uint64_t limit = memory_limit(plan->device, options);
    cln_status status = cln__plan_make(plan->device->ctx, graph, &plan->device->caps, request, 0, &plan->host);
    if (plan->host.misfit)
        return fail_misfit(plan, graph, request, limit);
    CLN_TRY(status);
    uint64_t weights = weights_bytes(&plan->host);
    if (plan->host.planned_bytes + weights <= limit)
        return CLN_OK;
    snprintf(need, sizeof need, "batch size %lld needs %.1f MiB for activations and %.1f MiB for weights",
             (long long)cln__batch(graph), (double)plan->host.planned_bytes / (1024.0 * 1024.0),
             (double)weights / (1024.0 * 1024.0));
    return fail_fit(plan, graph, request, limit, need);
}

/* --- buffers --- */

static cln_status make_arenas(cln_plan *plan) {
    for (int i = 0; i < plan->host.arenas.count; i++)
        if (plan->host.arenas.bytes[i])
            CLN_TRY(cln__buffer_new(plan->device, plan->host.arenas.bytes[i], "activations", &plan->arenas[i]));
    return CLN_OK;
}

static cln_status make_staging(cln_plan *plan) {
    const cln_graph *g = plan->host.graph;
    plan->staging = calloc((size_t)g->tensor_count, sizeof *plan->staging);
    if (!plan->staging)
        return cln__fail_memory(plan->device->ctx, "the plan's inputs");
    for (int i = 0; i < g->tensor_count; i++) {
        if (g->tensors[i].role != CLN__INPUT)
            continue;
        cln__staging *s = &plan->staging[plan->staging_count++];
        s->tensor = i;
        for (int k = 0; k < CLN__STAGING; k++) {
            s->host[k] = malloc((size_t)cln__span(g, &plan->host.layouts, i) * sizeof(float));
            if (!s->host[k])
                return cln__fail_memory(plan->device->ctx, "the plan's inputs");
        }
    }
    return CLN_OK;
}

/* Whether the plan's tensor `ours` lies as the weights keep theirs: in the same place, with the same gaps. */
static bool same_weight(const cln_plan *plan, int ours, int theirs) {
    const cln__tensor *a = &plan->host.graph->tensors[ours], *b = &plan->weights->graph->tensors[theirs];
    const cln__layout *of = plan->host.layouts.of, *kept = plan->weights->layouts.of;
    if (!cln__shape_equal(a->shape, b->shape) || of[ours].elements != kept[theirs].elements ||
        of[ours].region_offset != kept[theirs].region_offset || (a->like < 0) != (b->like < 0))
        return false;
    if (a->packing != CLN__WEIGHT)
        return cln__same_channels(&of[ours], &kept[theirs], a->shape.c);
    return cln__same_channels(&of[a->like_out], &kept[b->like_out], a->shape.n) &&
           (a->like < 0 || cln__same_channels(&of[a->like], &kept[b->like], a->shape.c));
}

/* The plan's parameters must lie where the weights keep them: both come from the same builder. */
static cln_status check_weights(cln_plan *plan) {
    const cln_graph *g = plan->host.graph;
    const cln_weights *w = plan->weights;
    for (int i = 0; i < g->tensor_count; i++) {
        const cln__tensor *t = &g->tensors[i];
        if (t->role != CLN__PARAM && t->role != CLN__STATE)
            continue;
        int id = cln__find_tensor(w->graph, t->name).id;
        if (id < 0)
            return cln__fail(plan->device->ctx, CLN_INVALID_ARGUMENT, "the weights have no '%s'", t->name);
        if (!same_weight(plan, i, id))
            return cln__fail(plan->device->ctx, CLN_INVALID_ARGUMENT, "the weights' '%s' is another network's",
                             t->name);
    }
    return CLN_OK;
}

cln_status cln__plan_locate(cln_plan *plan, int id, cln__place_of *out) {
    const cln__layout *view = &plan->host.layouts.of[id];
    const cln__layout *root = &plan->host.layouts.of[view->root];
    int64_t start = root->region_offset;
    if (root->region != CLN__ARENA) {
        CLN_TRY(cln__weights_region(plan->weights, root->region, &out->buffer));
    } else {
        int arena = plan->host.arena_of[view->root];
        if (arena < 0)
            return cln__fail(plan->device->ctx, CLN_INVALID_ARGUMENT, "tensor %d is not computed by this plan", id);
        out->buffer = plan->arenas[arena];
        start = plan->host.address_of[view->root];
    }
    out->offset = (cl_ulong)(start + view->offset);
    out->image = (cl_ulong)view->image;
    out->block_stride = (cl_ulong)view->block_stride;
    out->pixel = (cl_ulong)view->pixel;
    return CLN_OK;
}

/* --- kernels --- */

static cln_status fail_arg(cln_plan *plan, const cln__step *step, int arg, cl_int code) {
    const cln__node *node = &plan->host.graph->nodes[step->node];
    return cln__fail_cl(plan->device, code, "clSetKernelArg", "%s '%s': argument %d of kernel %s in cl/%s.cl",
                        node->op->name, node->name, arg, step->kernel, step->source);
}

/* Sets one argument; *index is the kernel argument it starts at, and moves on. */
static cl_int set_arg(cln_plan *plan, cl_kernel kernel, const cln__arg *arg, cl_uint *index, cln_status *status) {
    static const float zero_scalar = 0;
    static const cl_ulong2 zero_key;
    cln__place_of place;
    cl_mem buffer;
    switch (arg->kind) {
    case CLN__ARG_TENSOR: {
        if ((*status = cln__plan_locate(plan, arg->tensor, &place)) != CLN_OK)
            return CL_SUCCESS;
        cl_int code = clSetKernelArg(kernel, (*index)++, sizeof(cl_mem), &place.buffer);
        cl_ulong4 view = {{place.offset, place.image, place.block_stride, place.pixel}};
        return code == CL_SUCCESS ? clSetKernelArg(kernel, (*index)++, sizeof view, &view) : code;
    }
    case CLN__ARG_REGION:
        if ((*status = cln__weights_region(plan->weights, arg->region, &buffer)) != CLN_OK)
            return CL_SUCCESS;
        return clSetKernelArg(kernel, (*index)++, sizeof(cl_mem), &buffer);
    case CLN__ARG_INT:
        return clSetKernelArg(kernel, (*index)++, sizeof(cl_int), &(cl_int){(cl_int)arg->i});
    case CLN__ARG_FLOAT:
        return clSetKernelArg(kernel, (*index)++, sizeof(float), &arg->f);
    case CLN__ARG_SCALAR:
        return clSetKernelArg(kernel, (*index)++, sizeof(float), &zero_scalar);
    case CLN__ARG_KEY:
        return clSetKernelArg(kernel, (*index)++, sizeof zero_key, &zero_key);
    }
    return CL_INVALID_VALUE;
}

static cln_status set_args(cln_plan *plan, int index) {
    const cln__step *step = &plan->host.steps[index];
    cl_uint position = 0;
    for (int i = 0; i < step->arg_count; i++) {
        const cln__arg *arg = &step->args[i];
        cln_status status = CLN_OK;
        if (arg->kind == CLN__ARG_SCALAR || arg->kind == CLN__ARG_KEY)
            plan->patches[plan->patch_count++] = (cln__patch){index, position, arg};
        cl_int code = set_arg(plan, plan->kernels[index], arg, &position, &status);
        CLN_TRY(status);
        if (code != CL_SUCCESS)
            return fail_arg(plan, step, i, code);
    }
    return CLN_OK;
}

/* Groups of caps.work_group along axis 0 where the step does not say, as large as the kernel allows. */
static cln_status set_range(cln_plan *plan, int index) {
    const cln__step *step = &plan->host.steps[index];
    size_t limit = 1;
    cl_int code = clGetKernelWorkGroupInfo(plan->kernels[index], plan->device->id, CL_KERNEL_WORK_GROUP_SIZE,
                                           sizeof limit, &limit, NULL);
    if (code != CL_SUCCESS)
        return cln__fail_cl(plan->device, code, "clGetKernelWorkGroupInfo", "kernel %s", step->kernel);
    for (int axis = 0; axis < 3; axis++) {
        size_t usual = axis == 0 ? (size_t)plan->device->caps.work_group : 1;
        size_t local = step->local[axis] ? step->local[axis] : usual < limit ? usual : limit;
        plan->local[index][axis] = local;
        plan->global[index][axis] = (size_t)cln__round_up((int64_t)step->global[axis], (int64_t)local);
    }
    return CLN_OK;
}

static cln_status bind_kernel(cln_plan *plan, int index) {
    const cln__step *step = &plan->host.steps[index];
    CLN_TRY(cln__kernel_new(plan->device, step->source, step->defines, step->kernel, &plan->kernels[index]));
    CLN_TRY(set_args(plan, index));
    return set_range(plan, index);
}

static cln_status bind_kernels(cln_plan *plan) {
    int count = 0;
    cln__program_name *programs = calloc((size_t)plan->host.step_count + 1, sizeof *programs);
    if (!programs)
        return cln__fail_memory(plan->device->ctx, "the plan's programs");
    for (int i = 0; i < plan->host.step_count; i++)
        if (plan->host.steps[i].kind == CLN__KERNEL)
            programs[count++] = (cln__program_name){plan->host.steps[i].source, plan->host.steps[i].defines};
    cln__programs_prepare(plan->device, programs, count);
    free(programs);
    for (int i = 0; i < plan->host.step_count; i++)
        if (plan->host.steps[i].kind == CLN__KERNEL)
            CLN_TRY(bind_kernel(plan, i));
    return CLN_OK;
}

/* CLBlast compiles at the first call for a shape class, so every GEMM runs once now, on buffers that hold zeros. */
static cln_status bind_gemms(cln_plan *plan) {
    size_t largest = 0;
    for (int i = 0; i < plan->host.step_count; i++) {
        size_t bytes = 0;
        if (plan->host.steps[i].kind == CLN__GEMM)
            CLN_TRY(cln__gemm_temp_bytes(plan, &plan->host.steps[i], &bytes));
        largest = bytes > largest ? bytes : largest;
    }
    if (largest)
        CLN_TRY(cln__buffer_new(plan->device, largest, "CLBlast's workspace", &plan->gemm_temp));
    for (int i = 0; i < plan->host.step_count; i++)
        if (plan->host.steps[i].kind == CLN__GEMM)
            CLN_TRY(cln__gemm_enqueue(plan, &plan->host.steps[i], plan->device->queue, NULL));
    return CLN_OK;
}

static cln_status bind(cln_plan *plan) {
    size_t steps = (size_t)plan->host.step_count + 1;
    plan->kernels = calloc(steps, sizeof *plan->kernels);
    plan->global = calloc(steps, sizeof *plan->global);
    plan->local = calloc(steps, sizeof *plan->local);
    plan->patches = calloc(steps * CLN__MAX_ARGS, sizeof *plan->patches);
    if (!plan->kernels || !plan->global || !plan->local || !plan->patches)
        return cln__fail_memory(plan->device->ctx, "the plan's kernels");
    CLN_TRY(check_weights(plan));
    CLN_TRY(make_arenas(plan));
    CLN_TRY(make_staging(plan));
    CLN_TRY(bind_kernels(plan));
    CLN_TRY(bind_gemms(plan));
    return cln_plan_finish(plan);
}

/* --- the object --- */

cln__plan_request cln__plan_request_of(const cln_plan_options *o) {
    return (cln__plan_request){.training = o->training,
                               .loss = o->training ? o->loss : CLN_NO_TENSOR,
                               .upstream = o->has_upstream ? o->upstream : CLN_NO_TENSOR,
                               .outputs = o->outputs,
                               .output_count = o->output_count,
                               .gradients = o->gradients,
                               .gradient_count = o->gradient_count,
                               .optimizer = o->optimizer,
                               .variant = o->variant,
                               .choices = o->choices,
                               .choice_count = o->choice_count,
                               .choices_required = o->choices_required,
                               .seed = o->seed};
}

cln_status cln_plan_build(cln_device *device, const cln_graph *graph, cln_weights *weights,
                          const cln_plan_options *options, cln_plan **out) {
    *out = NULL;
    cln_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return cln__fail_memory(device->ctx, "a plan");
    plan->device = device;
    plan->weights = weights;
    plan->updates_weights = options->training && options->optimizer.kind != CLN_NO_OPTIMIZER;
    plan->changes_weights = options->training;
    plan->accumulates = plan->updates_weights && options->optimizer.accumulate > 1;
    cln_optimizer optimizer = cln__optimizer_filled(&options->optimizer);
    plan->momentum = optimizer.kind == CLN_SGD ? optimizer.momentum : optimizer.beta1;
    plan->beta2 = optimizer.beta2;
    cln__plan_request request = cln__plan_request_of(options);
    cln_status status = make_host_plan(plan, graph, &request, options);
    if (status == CLN_OK)
        status = bind(plan);
    if (status != CLN_OK) {
        cln_plan_free(plan);
        return status;
    }
    *out = plan;
    return CLN_OK;
}

static void release_events(cln_plan *plan) {
    for (int i = 0; i < CLN__TICKETS; i++)
        if (plan->tickets[i])
            clReleaseEvent(plan->tickets[i]);
    for (int i = 0; i < plan->staging_count; i++)
        for (int k = 0; k < CLN__STAGING; k++) {
            if (plan->staging[i].sent[k])
                clReleaseEvent(plan->staging[i].sent[k]);
            free(plan->staging[i].host[k]);
        }
}

void cln_plan_free(cln_plan *plan) {
    if (!plan)
        return;
    clFinish(plan->device->queue); /* transfers may still use the host buffers */
    release_events(plan);
    for (int i = 0; i < plan->host.step_count && plan->kernels; i++)
        if (plan->kernels[i])
            clReleaseKernel(plan->kernels[i]);
    for (int i = 0; i < CLN__MAX_ARENAS; i++)
        if (plan->arenas[i])
            clReleaseMemObject(plan->arenas[i]);
    if (plan->gemm_temp)
        clReleaseMemObject(plan->gemm_temp);
    free(plan->staging);
    free(plan->kernels);
    free(plan->global);
    free(plan->local);
    free(plan->patches);
    cln__plan_drop(&plan->host);
    free(plan);
}

static cln_plan_memory memory_of(const cln__host_plan *host) {
    return (cln_plan_memory){.planned_bytes = host->planned_bytes,
                             .unshared_bytes = host->unshared_bytes,
                             .weights_bytes = weights_bytes(host),
                             .steps = host->step_count - host->prepared_count};
}

cln_plan_memory cln_plan_get_memory(const cln_plan *plan) {
    return memory_of(&plan->host);
}

cln_status cln_plan_estimate(cln_device *device, const cln_graph *graph, const cln_plan_options *options, int64_t batch,
                             cln_plan_memory *out) {
    cln__plan_request request = cln__plan_request_of(options);
    cln__host_plan host;
    *out = (cln_plan_memory){0};
    CLN_TRY(cln__plan_make(device->ctx, graph, &device->caps, &request, batch, &host));
    *out = memory_of(&host);
    cln__plan_drop(&host);
    return CLN_OK;
}

void cln_plan_print(const cln_plan *plan, FILE *out) {
    cln__plan_text(&plan->host, out);
}
