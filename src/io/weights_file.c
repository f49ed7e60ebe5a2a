/* Weights to safetensors, and from any file of weights. */
#include "clnet/plan.h"

#include "../base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All values, one after another, and the table that describes them. The caller frees both. */
typedef struct collected {
    float *values;
    cln_file_tensor *tensors;
} collected;

static int64_t total_count(const cln_weights *w) {
    int64_t total = 0;
    for (int i = 0; i < cln_weights_count(w); i++)
        total += cln_weights_info(w, i).count;
    return total;
}

static cln_status collect(cln_weights *w, collected *c) {
    int64_t at = 0;
    for (int i = 0; i < cln_weights_count(w); i++) {
        cln_weight_info info = cln_weights_info(w, i);
        cln_file_tensor *t = &c->tensors[i];
        *t = (cln_file_tensor){.name = info.name, .dtype = CLN_F32, .rank = info.rank, .count = info.count};
        memcpy(t->shape, info.shape, sizeof info.shape);
        t->data = c->values + at;
        CLN_TRY(cln_weights_get(w, i, CLN_VALUE, c->values + at, info.count));
        at += info.count;
    }
    return CLN_OK;
}

cln_status cln_weights_save(cln_context *ctx, cln_weights *w, const char *path, const cln_metadata *metadata,
                            size_t metadata_count) {
    collected c = {.values = malloc((size_t)(total_count(w) + 1) * sizeof(float)),
                   .tensors = calloc((size_t)cln_weights_count(w) + 1, sizeof(cln_file_tensor))};
    cln_status status = c.values && c.tensors ? collect(w, &c) : cln__fail_memory(ctx, "saving the weights");
    if (status == CLN_OK)
        status = cln_safetensors_write(ctx, path, c.tensors, (size_t)cln_weights_count(w), metadata, metadata_count);
    free(c.values);
    free(c.tensors);
    return status;
}

static void shape_text(int rank, const int64_t *shape, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i ? "x" : "", (long long)shape[i]);
}

static cln_status check_tensor(cln_context *ctx, const cln_weight_info *info, const cln_file_tensor *t,
                               const char *path) {
    char expected[100], found[200];
    if (!t)
        return cln__fail(ctx, CLN_INVALID_FILE, "%s: weights of another network: it has no tensor '%s'", path,
                         info->name);
    if (t->rank == info->rank && memcmp(t->shape, info->shape, sizeof(int64_t) * (size_t)info->rank) == 0)
        return CLN_OK;
    shape_text(info->rank, info->shape, expected, sizeof expected);
    shape_text(t->rank, t->shape, found, sizeof found);
    return cln__fail(ctx, CLN_INVALID_FILE,
                     "%s: weights of another network: tensor '%s' has shape [%s], the network expects [%s]", path,
                     info->name, found, expected);
}

static bool is_known(const cln_weights *w, const char *name) {
    size_t length = strlen(name);
    static const char suffix[] = "num_batches_tracked";
    if (length >= sizeof suffix - 1 && strcmp(name + length - (sizeof suffix - 1), suffix) == 0)
        return true;
    for (int i = 0; i < cln_weights_count(w); i++)
        if (strcmp(cln_weights_info(w, i).name, name) == 0)
            return true;
    return false;
}

static cln_status check_all(cln_context *ctx, const cln_weights *w, const cln_weights_file *file, const char *path) {
    for (int i = 0; i < cln_weights_count(w); i++) {
        cln_weight_info info = cln_weights_info(w, i);
        CLN_TRY(check_tensor(ctx, &info, cln_weights_file_find(file, info.name), path));
    }
    for (size_t i = 0; i < cln_weights_file_count(file); i++)
        if (!is_known(w, cln_weights_file_at(file, i)->name))
            return cln__fail(ctx, CLN_INVALID_FILE,
                             "%s: weights of another network: it has a tensor '%s' that the network lacks", path,
                             cln_weights_file_at(file, i)->name);
    return CLN_OK;
}

cln_status cln_weights_load(cln_context *ctx, cln_weights *w, const cln_weights_file *file, const char *path) {
    CLN_TRY(check_all(ctx, w, file, path));
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
