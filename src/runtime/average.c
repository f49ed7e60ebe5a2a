/* Moving averages of weights, kept in weights of their own. */
#include "runtime.h"

#include <stdlib.h>

static cln_status fail(cln_weights *w, cl_int code, const char *call) {
    return cln__fail_cl(w->device, code, call, "averaging the weights");
}

static cln_status average_region(cln_weights *average, cln_weights *w, cln__region region, float share) {
    cl_mem into, from;
    CLN_TRY(cln__weights_region(average, region, &into));
    CLN_TRY(cln__weights_region(w, region, &from));
    int64_t elements = region == CLN__STATES ? w->layouts.states_elements : w->layouts.values_elements;
    cl_int vectors = (cl_int)(elements / w->device->caps.block);
    size_t local = (size_t)w->device->caps.work_group;
    size_t global = (size_t)cln__round_up(vectors, (int64_t)local);
    if (vectors == 0)
        return CLN_OK;
    cl_kernel kernel = average->average;
    cl_int code = clSetKernelArg(kernel, 0, sizeof into, &into);
    code = code == CL_SUCCESS ? clSetKernelArg(kernel, 1, sizeof from, &from) : code;
    code = code == CL_SUCCESS ? clSetKernelArg(kernel, 2, sizeof vectors, &vectors) : code;
    code = code == CL_SUCCESS ? clSetKernelArg(kernel, 3, sizeof share, &share) : code;
    if (code != CL_SUCCESS)
        return fail(average, code, "clSetKernelArg");
    code = clEnqueueNDRangeKernel(w->device->queue, kernel, 1, NULL, &global, &local, 0, NULL, NULL);
    return code == CL_SUCCESS ? CLN_OK : fail(average, code, "clEnqueueNDRangeKernel");
}

cln_status cln_weights_average(cln_weights *average, cln_weights *w, double decay) {
    if (average->layouts.values_elements != w->layouts.values_elements ||
        average->layouts.states_elements != w->layouts.states_elements || average->device != w->device)
        return cln__fail(w->device->ctx, CLN_INVALID_ARGUMENT,
                         "cln_weights_average: the two are weights of different networks");
    if (!(decay >= 0 && decay <= 1))
        return cln__fail(w->device->ctx, CLN_INVALID_ARGUMENT, "cln_weights_average: decay %g, expected 0 to 1", decay);
    char *defines = cln__format(" -DV=%d", w->device->caps.block);
    if (!defines)
        return cln__fail_memory(w->device->ctx, "averaging the weights");
    cln_status status = CLN_OK;
    if (!average->average)
        status = cln__kernel_new(w->device, "average", defines, "average", &average->average);
    if (status == CLN_OK)
        status = average_region(average, w, CLN__VALUES, (float)(1 - decay));
    if (status == CLN_OK)
        status = average_region(average, w, CLN__STATES, (float)(1 - decay));
    average->version++;
    free(defines);
    return status;
}
