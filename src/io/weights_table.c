/* Collecting from a device, comparing names and shapes: see weights_table.h. */
#include "weights_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t total_count(const cln_weights *w) {
    int64_t total = 0;
    for (int i = 0; i < cln_weights_count(w); i++)
        total += cln_weights_info(w, i).count;
    return total;
}

static cln_status collect(cln_weights *w, cln__collected *c) {
    int64_t at = 0;
    for (size_t i = 0; i < c->count; i++) {
        cln_weight_info info = cln_weights_info(w, (int)i);
        cln_file_tensor *t = &c->tensors[i];
        *t = (cln_file_tensor){.name = info.name, .dtype = CLN_F32, .rank = info.rank, .count = info.count};
        memcpy(t->shape, info.shape, sizeof info.shape);
        t->data = c->values + at;
        CLN_TRY(cln_weights_get(w, (int)i, CLN_VALUE, c->values + at, info.count));
        at += info.count;
    }
    return CLN_OK;
}

cln_status cln__weights_collect(cln_context *ctx, cln_weights *w, cln__collected *out) {
    *out = (cln__collected){.values = malloc((size_t)(total_count(w) + 1) * sizeof(float)),
                            .tensors = calloc((size_t)cln_weights_count(w) + 1, sizeof(cln_file_tensor)),
                            .count = (size_t)cln_weights_count(w)};
    return out->values && out->tensors ? collect(w, out) : cln__fail_memory(ctx, "a copy of the weights");
}

cln_status cln__graph_weights(cln_context *ctx, const cln_graph *g, cln_weight_info **out, int *count) {
    *count = 0;
    *out = malloc(sizeof **out * (size_t)(g->tensor_count + 1));
    if (!*out)
        return cln__fail_memory(ctx, "the names of the weights");
    for (int i = 0; i < g->tensor_count; i++)
        if (g->tensors[i].role == CLN__PARAM || g->tensors[i].role == CLN__STATE)
            (*out)[(*count)++] = cln__weight_info(&g->tensors[i]);
    return CLN_OK;
}

const cln_file_tensor *cln__tensor_find(const cln_file_tensor *tensors, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(tensors[i].name, name) == 0)
            return &tensors[i];
    return NULL;
}

void cln__axes_text(int rank, const int64_t *shape, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i ? "x" : "", (long long)shape[i]);
}

bool cln__weight_fits(const cln_weight_info *weight, const cln_file_tensor *t) {
    return t && t->rank == weight->rank && memcmp(t->shape, weight->shape, sizeof(int64_t) * (size_t)t->rank) == 0;
}

static cln_status check(cln_context *ctx, const char *path, const cln_weight_info *weight, const cln_file_tensor *t) {
    char expected[100], found[200];
    if (!t)
        return cln__fail(ctx, CLN_INVALID_FILE, "%s: weights of another network: it has no tensor '%s'", path,
                         weight->name);
    if (cln__weight_fits(weight, t))
        return CLN_OK;
    cln__axes_text(weight->rank, weight->shape, expected, sizeof expected);
    cln__axes_text(t->rank, t->shape, found, sizeof found);
    return cln__fail(ctx, CLN_INVALID_FILE,
                     "%s: weights of another network: tensor '%s' has shape [%s], the network expects [%s]", path,
                     weight->name, found, expected);
}

static bool is_known(const cln_weight_info *weights, int count, const char *name) {
    static const char suffix[] = "num_batches_tracked";
    size_t length = strlen(name);
    if (length >= sizeof suffix - 1 && strcmp(name + length - (sizeof suffix - 1), suffix) == 0)
        return true;
    for (int i = 0; i < count; i++)
        if (strcmp(weights[i].name, name) == 0)
            return true;
    return false;
}

cln_status cln__weights_match(cln_context *ctx, const char *path, const cln_weight_info *weights, int weight_count,
                              const cln_file_tensor *tensors, size_t tensor_count) {
    for (int i = 0; i < weight_count; i++)
        CLN_TRY(check(ctx, path, &weights[i], cln__tensor_find(tensors, tensor_count, weights[i].name)));
    for (size_t i = 0; i < tensor_count; i++)
        if (!is_known(weights, weight_count, tensors[i].name))
            return cln__fail(ctx, CLN_INVALID_FILE,
                             "%s: weights of another network: it has a tensor '%s' that the network lacks", path,
                             tensors[i].name);
    return CLN_OK;
}
