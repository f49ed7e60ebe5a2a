/* A graph and its weights to an ONNX file. */
#include "../onnx/onnx.h"
#include "../ops/fold.h"
#include "clnet/export.h"
#include "weights_table.h"

#include <stdlib.h>

/* What is written: a copy of the graph, which folding changes, and the values of its parameters, by tensor. */
typedef struct writing {
    cln_graph *graph;
    float **values;
    int value_count; /* room, for one more tensor a node too */
} writing;

static bool is_weight(const cln__tensor *t) {
    return t->role == CLN__PARAM || t->role == CLN__STATE;
}

static cln_status check(cln_context *ctx, const char *path, const cln_graph *g, const cln_file_tensor *tensors,
                        size_t count) {
    cln_weight_info *infos;
    int info_count;
    CLN_TRY(cln__graph_weights(ctx, g, &infos, &info_count));
    cln_status status = cln__weights_match(ctx, path, infos, info_count, tensors, count);
    int64_t bytes = 0;
    for (int i = 0; status == CLN_OK && i < info_count; i++) {
        bytes += infos[i].count * (int64_t)sizeof(float);
        if (bytes > CLN__ONNX_MAX)
            status =
                cln__fail(ctx, CLN_UNSUPPORTED,
                          "cannot write '%s': the weights up to '%s' have %lld bytes, an ONNX file holds at most %d",
                          path, infos[i].name, (long long)bytes, CLN__ONNX_MAX);
    }
    free(infos);
    return status;
}

static cln_status prepare(cln_context *ctx, writing *w, const cln_graph *g, const cln_file_tensor *tensors,
                          size_t count) {
    w->value_count = g->tensor_count + g->node_count;
    w->graph = cln__graph_clone(g);
    w->values = calloc((size_t)w->value_count + 1, sizeof *w->values);
    if (!w->graph || !w->values)
        return cln__fail_memory(ctx, "a copy of the network");
    for (int i = 0; i < g->tensor_count; i++) {
        if (!is_weight(&g->tensors[i]))
            continue;
        const cln_file_tensor *t = cln__tensor_find(tensors, count, g->tensors[i].name);
        w->values[i] = malloc((size_t)t->count * sizeof(float));
        if (!w->values[i])
            return cln__fail_memory(ctx, "a copy of the weights");
        cln_file_tensor_to_float(t, w->values[i]);
    }
    return CLN_OK;
}

static cln_status write_model(cln_context *ctx, const char *path, const writing *w, cln_tensor output,
                              const cln__onnx_options *options) {
    cln__onnx *model;
    uint8_t *bytes;
    size_t size;
    CLN_TRY(cln__onnx_build(w->graph, output, (const float *const *)w->values, options, &model));
    cln_status status = cln__onnx_pack(model, &bytes, &size);
    cln__onnx_free(model);
    if (status == CLN_OK)
        status = cln_file_write(ctx, path, bytes, size);
    free(bytes);
    return status;
}

static cln_status check_normalization(cln_context *ctx, const cln_graph *g, const cln_normalization *n) {
    for (int i = 0; n && i < g->tensor_count; i++)
        if (g->tensors[i].role == CLN__INPUT && !g->tensors[i].is_int && g->tensors[i].shape.c != n->channels)
            return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                             "export to ONNX: the normalisation is for %d channels, the input '%s' has %lld",
                             n->channels, g->tensors[i].name, (long long)g->tensors[i].shape.c);
    return CLN_OK;
}

cln_status cln_onnx_write(cln_context *ctx, const char *path, const cln_graph *g, cln_tensor output,
                          const cln_file_tensor *tensors, size_t count, const cln_onnx_options *options) {
    cln_onnx_options o = options ? *options : (cln_onnx_options){0};
    const cln__onnx_options inner = {.mean = o.normalization ? o.normalization->mean : NULL,
                                     .deviation = o.normalization ? o.normalization->deviation : NULL,
                                     .metadata = o.metadata,
                                     .metadata_count = o.metadata_count};
    writing w = {NULL, NULL, 0};
    CLN_TRY(cln_graph_status(g));
    if (output.id < 0 || output.id >= g->tensor_count)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "cannot write '%s': the output is not a tensor of the graph", path);
    CLN_TRY(check_normalization(ctx, g, o.normalization));
    CLN_TRY(check(ctx, path, g, tensors, count));
    cln_status status = prepare(ctx, &w, g, tensors, count);
    if (status == CLN_OK && o.fold_batchnorm)
        status = cln__fold_batchnorm(w.graph, output, w.values);
    if (status == CLN_OK)
        status = write_model(ctx, path, &w, output, &inner);
    for (int i = 0; w.values && i < w.value_count; i++)
        free(w.values[i]);
    free(w.values);
    cln_graph_free(w.graph);
    return status;
}

cln_status cln_onnx_save(cln_context *ctx, cln_weights *weights, const char *path, const cln_graph *graph,
                         cln_tensor output, const cln_onnx_options *options) {
    cln__collected c;
    cln_status status = cln__weights_collect(ctx, weights, &c);
    if (status == CLN_OK)
        status = cln_onnx_write(ctx, path, graph, output, c.tensors, c.count, options);
    free(c.values);
    free(c.tensors);
    return status;
}
