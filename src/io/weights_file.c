/* Weights to safetensors, and from any file of weights. */
#include "clnet/plan.h"

#include "weights_table.h"

#include <stdlib.h>

cln_status cln_weights_save(cln_context *ctx, cln_weights *w, const char *path, const cln_metadata *metadata,
                            size_t metadata_count) {
    cln__collected c;
    cln_status status = cln__weights_collect(ctx, w, &c);
    if (status == CLN_OK)
        status = cln_safetensors_write(ctx, path, c.tensors, c.count, metadata, metadata_count);
    free(c.values);
    free(c.tensors);
    return status;
}

static cln_status match(cln_context *ctx, const cln_weights *w, const cln_weights_file *file, const char *path) {
    int count = cln_weights_count(w);
    cln_weight_info *infos = malloc(sizeof *infos * (size_t)(count + 1));
    cln_file_tensor *tensors = malloc(sizeof *tensors * (cln_weights_file_count(file) + 1));
    for (int i = 0; infos && i < count; i++)
        infos[i] = cln_weights_info(w, i);
    for (size_t i = 0; tensors && i < cln_weights_file_count(file); i++)
        tensors[i] = *cln_weights_file_at(file, i);
    cln_status status = infos && tensors
                            ? cln__weights_match(ctx, path, infos, count, tensors, cln_weights_file_count(file))
                            : cln__fail_memory(ctx, "loading the weights");
    free(infos);
    free(tensors);
    return status;
}

cln_status cln_weights_load(cln_context *ctx, cln_weights *w, const cln_weights_file *file, const char *path) {
    CLN_TRY(match(ctx, w, file, path));
    for (int i = 0; i < cln_weights_count(w); i++) {
        cln_weight_info info = cln_weights_info(w, i);
        float *values = malloc((size_t)info.count * sizeof *values);
        if (!values)
            return cln__fail_memory(ctx, "loading the weights");
        cln_file_tensor_to_float(cln_weights_file_find(file, info.name), values);
        cln_status status = cln_weights_set(w, i, CLN_VALUE, values, info.count);
        free(values);
        CLN_TRY(status);
    }
    return CLN_OK;
}
