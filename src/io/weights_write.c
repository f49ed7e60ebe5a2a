/* The weights of a graph, from tensors of any type, to a safetensors file of one type. */
#include "clnet/export.h"
#include "weights_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rounds what `from` holds to the type of `to`, whose data is at `data`. */
static cln_status convert(cln_context *ctx, const char *path, const cln_file_tensor *from, const cln_file_tensor *to,
                          void *data) {
    float *values = malloc(2 * (size_t)to->count * sizeof *values), *back = values + to->count;
    if (!values)
        return cln__fail_memory(ctx, "a weight");
    cln_file_tensor_to_float(from, values);
    cln_floats_to_dtype(values, to->count, to->dtype, data);
    cln_file_tensor_to_float(to, back);
    cln_status status = CLN_OK;
    for (int64_t i = 0; i < to->count && status == CLN_OK; i++)
        if (isinf(back[i]) && !isinf(values[i]))
            status = cln__fail(ctx, CLN_INVALID_ARGUMENT,
                               "cannot write '%s': tensor '%s' holds %g, which is too large for %s", path, to->name,
                               (double)values[i], cln_dtype_name(to->dtype));
    free(values);
    return status;
}

/* All weights, in one piece of memory, and the table of them. The caller frees both, also after a failure. */
typedef struct rounded {
    uint8_t *data;
    cln_file_tensor *tensors;
} rounded;

static cln_status round_all(cln_context *ctx, const char *path, const cln_weight_info *infos, int info_count,
                            const cln_file_tensor *tensors, size_t count, cln_dtype dtype, rounded *out) {
    size_t elements = 0, width = cln_dtype_size(dtype);
    for (int i = 0; i < info_count; i++)
        elements += (size_t)infos[i].count;
    out->data = malloc(elements * width + 1);
    out->tensors = malloc(sizeof *out->tensors * (size_t)(info_count + 1));
    if (!out->data || !out->tensors)
        return cln__fail_memory(ctx, "a copy of the weights");
    uint8_t *at = out->data;
    for (int i = 0; i < info_count; i++) {
        cln_file_tensor *t = &out->tensors[i];
        *t = (cln_file_tensor){.name = infos[i].name, .dtype = dtype, .rank = infos[i].rank, .count = infos[i].count};
        memcpy(t->shape, infos[i].shape, sizeof infos[i].shape);
        t->data = at;
        CLN_TRY(convert(ctx, path, cln__tensor_find(tensors, count, t->name), t, at));
        at += (size_t)t->count * width;
    }
    return CLN_OK;
}

cln_status cln_weights_write(cln_context *ctx, const char *path, const cln_graph *graph, const cln_file_tensor *tensors,
                             size_t count, cln_dtype dtype, const cln_metadata *metadata, size_t metadata_count) {
    cln_weight_info *infos;
    int info_count;
    rounded r = {NULL, NULL};
    if (dtype != CLN_F32 && dtype != CLN_F16 && dtype != CLN_BF16)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "cannot write '%s': weights are written as F32, F16 or BF16, not %s", path,
                         cln_dtype_name(dtype));
    CLN_TRY(cln_graph_status(graph));
    CLN_TRY(cln__graph_weights(ctx, graph, &infos, &info_count));
    cln_status status = cln__weights_match(ctx, path, infos, info_count, tensors, count);
    if (status == CLN_OK)
        status = round_all(ctx, path, infos, info_count, tensors, count, dtype, &r);
    if (status == CLN_OK)
        status = cln_safetensors_write(ctx, path, r.tensors, (size_t)info_count, metadata, metadata_count);
    free(r.data);
    free(r.tensors);
    free(infos);
    return status;
}
