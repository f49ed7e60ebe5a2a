/* cln_export: from a weights file and its metadata back to the network, and that to a file for other programs. */
#include "clnet/export.h"
#include "../io/weights_table.h"
#include "checkpoint.h"
#include "origin.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct exporter {
    cln_context *ctx;
    const cln_export_options *options;
    cln_weights_file *file;
    cln__origin origin;
    const cln_model *model;
    void *hparams;
    cln_graph *graph;
    cln_tensor input, logits;
    bool has_normalization;
    cln_normalization normalization;
    cln_file_tensor *tensors; /* the file's weights; their data is the file's */
    size_t tensor_count;
    cln__entries entries; /* metadata */
} exporter;

static cln_status check_out(exporter *e) {
    struct stat from, to;
    const cln_export_options *o = e->options;
    if (stat(o->weights, &from) == 0 && stat(o->out, &to) == 0 && from.st_dev == to.st_dev && from.st_ino == to.st_ino)
        return cln__fail(e->ctx, CLN_INVALID_ARGUMENT,
                         "'%s' cannot be exported to itself: name another file to write (--out)", o->weights);
    return CLN_OK;
}

/* --- the network --- */

static int in_channels(const exporter *e) {
    enum { COLOUR = 3 };
    for (int i = 0; i < e->model->field_count; i++)
        if (strcmp(e->model->fields[i].name, "in_channels") == 0)
            return *(const int *)((const char *)e->hparams + e->model->fields[i].offset);
    return COLOUR;
}

static cln_status build(exporter *e) {
    enum { USUAL_SIDE = 32 };
    const cln_export_options *o = e->options;
    const cln__origin *from = &e->origin;
    int height = o->image_height ? o->image_height : from->has_shape ? from->height : USUAL_SIDE;
    int width = o->image_width ? o->image_width : from->has_shape ? from->width : USUAL_SIDE;
    int channels = from->has_shape ? from->channels : in_channels(e);
    e->graph = cln_graph_new(e->ctx);
    if (!e->graph)
        return cln__fail_memory(e->ctx, "the graph");
    e->input = cln_input(e->graph, "image", 1, channels, height, width);
    e->logits = e->model->build(e->graph, e->input, e->hparams);
    return cln_graph_status(e->graph);
}

static cln_status normalize(exporter *e) {
    const cln_export_options *o = e->options;
    e->has_normalization = o->normalize || e->origin.has_normalization;
    e->normalization = e->origin.normalization;
    if (o->normalize)
        CLN_TRY(cln_normalization_choose(e->ctx, o->normalize, NULL, &e->normalization));
    if (o->with_normalization && !e->has_normalization)
        return cln__fail(e->ctx, CLN_INVALID_FILE,
                         "weights file '%s': it does not say how its images are normalised; say it (--normalize)",
                         o->weights);
    return CLN_OK;
}

/* Here, where a message can name the file that was read. */
static cln_status check_weights(exporter *e) {
    cln_weight_info *infos;
    int count;
    CLN_TRY(cln__graph_weights(e->ctx, e->graph, &infos, &count));
    cln_status status = cln__weights_match(e->ctx, e->options->weights, infos, count, e->tensors, e->tensor_count);
    free(infos);
    return status;
}

/* The file's tensors; of a state to resume from, not what belongs to the optimiser, and where the weights are averaged
 * their average, which is what such a run writes. */
static cln_status list_tensors(exporter *e) {
    static const char optimizer[] = "optimizer.", average[] = "ema.";
    size_t count = cln_weights_file_count(e->file);
    bool resumable = cln_weights_file_metadata(e->file, "progress") != NULL, averaged = false;
    for (size_t i = 0; resumable && i < count; i++)
        averaged = averaged || cln__starts_with(cln_weights_file_at(e->file, i)->name, average);
    e->tensors = malloc(sizeof *e->tensors * (count + 1));
    if (!e->tensors)
        return cln__fail_memory(e->ctx, "the weights");
    for (size_t i = 0; i < count; i++) {
        cln_file_tensor t = *cln_weights_file_at(e->file, i);
        if (averaged ? !cln__starts_with(t.name, average) : resumable && cln__starts_with(t.name, optimizer))
            continue;
        t.name += averaged ? sizeof average - 1 : 0;
        e->tensors[e->tensor_count++] = t;
    }
    return CLN_OK;
}

/* --- metadata --- */

static void copy(exporter *e, const char *key) {
    const char *value = cln_weights_file_metadata(e->file, key);
    if (value)
        cln__entries_put(&e->entries, key, cln__format("%s", value));
}

static cln_status describe(exporter *e) {
    static const char *const training[] = {"recipe", "augmentation", "seed", "split", "split_indices", "metrics"};
    cln__entries *to = &e->entries;
    cln_shape s = cln_tensor_shape(e->graph, e->input);
    bool safetensors = e->options->format == CLN_EXPORT_SAFETENSORS;
    if (safetensors) /* readers of PyTorch's world ask for it */
        cln__entries_put(to, "format", cln__format("pt"));
    cln__entries_put(to, "library", cln__format("clnet %s", cln_version()));
    cln__entries_put(to, "model", cln__format("%s", e->model->name));
    cln__entries_put(to, "hparams", cln_hparams_print(e->model, e->hparams));
    cln__entries_put(to, "image_shape", cln__format("[%d,%d,%d]", (int)s.c, (int)s.h, (int)s.w));
    if (e->has_normalization)
        cln__entries_put(to, "normalization", cln__normalization_print(&e->normalization));
    copy(e, "class_names");
    copy(e, "epoch");
    for (size_t i = 0; safetensors && i < sizeof training / sizeof *training; i++)
        copy(e, training[i]);
    return to->failed ? cln__fail_memory(e->ctx, "the metadata of an export") : CLN_OK;
}

/* --- the whole --- */

static cln_status write_file(exporter *e) {
    const cln_export_options *o = e->options;
    const cln__entries *m = &e->entries;
    const cln_onnx_options onnx = {.fold_batchnorm = o->fold_batchnorm,
                                   .normalization = o->with_normalization ? &e->normalization : NULL,
                                   .metadata = m->at,
                                   .metadata_count = m->count};
    if (o->format == CLN_EXPORT_ONNX)
        return cln_onnx_write(e->ctx, o->out, e->graph, e->logits, e->tensors, e->tensor_count, &onnx);
    return cln_weights_write(e->ctx, o->out, e->graph, e->tensors, e->tensor_count, o->dtype, m->at, m->count);
}

static void tell(const exporter *e, cln_export_result *result) {
    struct stat file;
    *result = (cln_export_result){.model = e->model,
                                  .parameters = cln_graph_parameters(e->graph),
                                  .input = cln_tensor_shape(e->graph, e->input),
                                  .output = cln_tensor_shape(e->graph, e->logits)};
    if (stat(e->options->out, &file) == 0)
        result->bytes = (uint64_t)file.st_size;
}

static cln_status run(exporter *e) {
    const cln_export_options *o = e->options;
    CLN_TRY(cln_weights_file_read(e->ctx, o->weights, &e->file));
    CLN_TRY(check_out(e));
    CLN_TRY(cln__origin_read(e->ctx, e->file, o->weights, &e->origin));
    CLN_TRY(cln__origin_model(e->ctx, &e->origin, o->weights, o->models, o->model_count, o->model, &e->model));
    CLN_TRY(cln__origin_hparams(e->ctx, &e->origin, o->weights, e->model, o->hparams, NULL, &e->hparams));
    CLN_TRY(build(e));
    CLN_TRY(normalize(e));
    CLN_TRY(list_tensors(e));
    CLN_TRY(check_weights(e));
    CLN_TRY(describe(e));
    return write_file(e);
}

cln_status cln_export(cln_context *ctx, const cln_export_options *options, cln_export_result *result) {
    *result = (cln_export_result){.model = NULL};
    if (!options->weights || !options->out)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "cln_export needs a file of weights and a file to write");
    exporter e = {.ctx = ctx, .options = options};
    cln_status status = run(&e);
    if (status == CLN_OK)
        tell(&e, result);
    cln__entries_free(&e.entries);
    free(e.tensors);
    cln_graph_free(e.graph);
    free(e.hparams);
    cln__origin_free(&e.origin);
    cln_weights_file_free(e.file);
    return status;
}
