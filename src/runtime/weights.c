/* The parameters and running statistics of a network on a device, by the names that PyTorch gives them. */
#include "runtime.h"

#include "../ops/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

cln_status cln__buffer_new(cln_device *device, uint64_t bytes, const char *what, cl_mem *out) {
    cl_int code = CL_MEM_OBJECT_ALLOCATION_FAILURE;
    *out = NULL;
    if (bytes <= device->caps.max_alloc_bytes)
        *out = clCreateBuffer(device->cl, CL_MEM_READ_WRITE, (size_t)bytes, NULL, &code);
    if (!*out)
        return cln__fail_cl(device, code, "clCreateBuffer",
                            "allocating %llu bytes for %s (the device gives at most %llu in one piece)",
                            (unsigned long long)bytes, what, (unsigned long long)device->caps.max_alloc_bytes);
    const cl_float zero = 0;
    code = clEnqueueFillBuffer(device->queue, *out, &zero, sizeof zero, 0, (size_t)bytes, 0, NULL, NULL);
    if (code == CL_SUCCESS)
        return CLN_OK;
    clReleaseMemObject(*out);
    *out = NULL;
    return cln__fail_cl(device, code, "clEnqueueFillBuffer", "clearing %llu bytes for %s", (unsigned long long)bytes,
                        what);
}

static int64_t region_elements(const cln_weights *w, cln__region region) {
    return region == CLN__STATES ? w->layouts.states_elements : w->layouts.values_elements;
}

cln_status cln__weights_region(cln_weights *w, cln__region region, cl_mem *out) {
    static const char *const names[CLN__REGION_COUNT] = {
        [CLN__VALUES] = "the parameters",       [CLN__GRADS] = "the parameters' gradients",
        [CLN__SLOT0] = "the optimiser's state", [CLN__SLOT1] = "the optimiser's second state",
        [CLN__SUMS] = "the sums of gradients",  [CLN__STATES] = "the running statistics",
    };
    if (!w->region[region]) {
        int64_t elements = region_elements(w, region);
        uint64_t bytes = (uint64_t)(elements ? elements : 1) * sizeof(float);
        CLN_TRY(cln__buffer_new(w->device, bytes, names[region], &w->region[region]));
    }
    *out = w->region[region];
    return CLN_OK;
}

/* --- initial values --- */

/* Two words give one normal number (Box and Muller). */
static float normal(uint32_t a, uint32_t b) {
    double u = (a + 0.5) / 4294967296.0, v = b / 4294967296.0;
    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

static void initial_values(const cln__tensor *t, uint64_t key, int index, float *values, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        cln__random r = cln__philox(key, (uint64_t)index, (uint64_t)i);
        switch (t->initial) {
        case CLN__ZEROS:
            values[i] = 0;
            break;
        case CLN__ONES:
            values[i] = 1;
            break;
        case CLN__NORMAL:
            values[i] = t->scale * normal(r.word[0], r.word[1]);
            break;
        case CLN__UNIFORM:
            values[i] = t->scale * (2 * cln__uniform(r.word[0]) - 1);
            break;
        }
    }
}

static cln_status initialise(cln_weights *w, uint64_t seed) {
    uint64_t key = cln__stream_key(seed, CLN__STREAM_INIT);
    for (int i = 0; i < w->count; i++) {
        int64_t count = cln_weights_info(w, i).count;
        float *values = malloc((size_t)count * sizeof *values);
        if (!values)
            return cln__fail_memory(w->device->ctx, "initial weights");
        initial_values(&w->graph->tensors[w->tensors[i]], key, i, values, count);
        cln_status status = cln_weights_set(w, i, CLN_VALUE, values, count);
        free(values);
        CLN_TRY(status);
    }
    return CLN_OK;
}

/* --- the object --- */

static cln_status fill(cln_weights *w, const cln_graph *graph, uint64_t seed) {
    w->graph = cln__graph_clone(graph);
    w->tensors = malloc(sizeof(int) * (size_t)(graph->tensor_count + 1));
    if (!w->graph || !w->tensors)
        return cln__fail_memory(w->device->ctx, "the weights");
    CLN_TRY(cln__layouts_build(w->graph, &w->device->caps, &w->layouts));
    for (int i = 0; i < graph->tensor_count; i++)
        if (graph->tensors[i].role == CLN__PARAM || graph->tensors[i].role == CLN__STATE)
            w->tensors[w->count++] = i;
    return initialise(w, seed);
}

cln_status cln_weights_new(cln_device *device, const cln_graph *graph, uint64_t seed, cln_weights **out) {
    *out = NULL;
    CLN_TRY(graph->status);
    cln_weights *w = calloc(1, sizeof *w);
    if (!w)
        return cln__fail_memory(device->ctx, "the weights");
    w->device = device;
    w->version = 1;
    cln_status status = fill(w, graph, seed);
    if (status != CLN_OK) {
        cln_weights_free(w);
        return status;
    }
    *out = w;
    return CLN_OK;
}

void cln_weights_free(cln_weights *w) {
    if (!w)
        return;
    for (int i = 0; i < CLN__REGION_COUNT; i++)
        if (w->region[i])
            clReleaseMemObject(w->region[i]);
    if (w->average)
        clReleaseKernel(w->average);
    cln__layouts_free(&w->layouts);
    cln_graph_free(w->graph);
    free(w->tensors);
    free(w);
}

int cln_weights_count(const cln_weights *w) {
    return w->count;
}

cln_weight_info cln_weights_info(const cln_weights *w, int index) {
    if (index < 0 || index >= w->count)
        return (cln_weight_info){.name = ""};
    return cln__weight_info(&w->graph->tensors[w->tensors[index]]);
}

/* --- get and set --- */

static cln__region slot_region(const cln__tensor *t, cln_slot slot) {
    static const cln__region regions[CLN_SLOT_COUNT] = {CLN__VALUES, CLN__GRADS, CLN__SLOT0, CLN__SLOT1};
    return t->role == CLN__STATE ? CLN__STATES : regions[slot];
}

static cln_status check_access(cln_weights *w, int index, cln_slot slot, int64_t count) {
    cln_weight_info info = cln_weights_info(w, index);
    if (index < 0 || index >= w->count || slot < 0 || slot >= CLN_SLOT_COUNT || (slot != CLN_VALUE && !info.trainable))
        return cln__fail(w->device->ctx, CLN_INVALID_ARGUMENT, "there is no weight %d with slot %d", index, (int)slot);
    if (count != info.count)
        return cln__fail(w->device->ctx, CLN_INVALID_ARGUMENT, "weight '%s' has %lld values, not %lld", info.name,
                         (long long)info.count, (long long)count);
    return CLN_OK;
}

/* Copies the packed tensor between the device and `packed`. */
static cln_status move(cln_weights *w, int index, cln_slot slot, float *packed, bool to_device) {
    int id = w->tensors[index];
    cl_mem buffer;
    CLN_TRY(cln__weights_region(w, slot_region(&w->graph->tensors[id], slot), &buffer));
    size_t offset = (size_t)w->layouts.of[id].region_offset * sizeof(float);
    size_t bytes = (size_t)cln__span(w->graph, &w->layouts, id) * sizeof(float);
    cl_command_queue queue = w->device->queue;
    cl_int code = to_device ? clEnqueueWriteBuffer(queue, buffer, CL_TRUE, offset, bytes, packed, 0, NULL, NULL)
                            : clEnqueueReadBuffer(queue, buffer, CL_TRUE, offset, bytes, packed, 0, NULL, NULL);
    if (code == CL_SUCCESS)
        return CLN_OK;
    return cln__fail_cl(w->device, code, to_device ? "clEnqueueWriteBuffer" : "clEnqueueReadBuffer", "weight '%s'",
                        w->graph->tensors[id].name);
}

static cln_status new_packed(cln_weights *w, int index, float **packed) {
    *packed = malloc((size_t)cln__span(w->graph, &w->layouts, w->tensors[index]) * sizeof(float));
    return *packed ? CLN_OK : cln__fail_memory(w->device->ctx, "a weight");
}

cln_status cln_weights_get(cln_weights *w, int index, cln_slot slot, float *out, int64_t count) {
    CLN_TRY(check_access(w, index, slot, count));
    int id = w->tensors[index];
    if (!w->region[slot_region(&w->graph->tensors[id], slot)]) {
        memset(out, 0, (size_t)count * sizeof *out);
        return CLN_OK;
    }
    float *packed;
    CLN_TRY(new_packed(w, index, &packed));
    cln_status status = move(w, index, slot, packed, false);
    if (status == CLN_OK)
        cln__unpack(w->graph, &w->layouts, id, packed, out);
    free(packed);
    return status;
}

cln_status cln_weights_set(cln_weights *w, int index, cln_slot slot, const float *values, int64_t count) {
    CLN_TRY(check_access(w, index, slot, count));
    float *packed;
    CLN_TRY(new_packed(w, index, &packed));
    cln__pack(w->graph, &w->layouts, w->tensors[index], values, packed);
    cln_status status = move(w, index, slot, packed, true);
    w->version++;
    free(packed);
    return status;
}
