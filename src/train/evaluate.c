/* cln_evaluate: from a weights file and its metadata back to the network, and that over a data set. */
#include "checkpoint.h"
#include "network.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct tester {
    cln_context *ctx;
    cln_device *device;
    const cln_evaluate_options *options;
    cln_safetensors *file;
    cln__origin origin;
    const cln_model *model;
    void *hparams;
    cln_dataset *data, *train; /* train: only to compute a normalisation from, if data is not it */
    cln_normalization normalization;
    int64_t *train_indices, *validation_indices;
    cln__network network;
    cln_weights *weights;
    cln_plan *plan;
    cln_loader *loader;
} tester;

static cln_status choose_model(tester *t) {
    const cln_evaluate_options *o = t->options;
    const char *name = t->origin.model;
    if (o->model) {
        t->model = o->model;
        return CLN_OK;
    }
    if (!name)
        return cln__fail(t->ctx, CLN_INVALID_FILE,
                         "weights file '%s': its metadata names no model; say which model it belongs to", o->weights);
    for (int i = 0; i < o->model_count; i++)
        if (strcmp(o->models[i]->name, name) == 0)
            t->model = o->models[i];
    return t->model ? CLN_OK
                    : cln__fail(t->ctx, CLN_INVALID_FILE, "weights file '%s': it is of an unknown model '%.100s'",
                                o->weights, name);
}

/* From the options, else from the file if it is of this model, else the defaults. */
static cln_status make_hparams(tester *t) {
    bool own = t->origin.model && strcmp(t->origin.model, t->model->name) == 0;
    const char *json = t->options->hparams ? t->options->hparams : own ? t->origin.hparams : NULL;
    CLN_TRY(cln_hparams_new(t->ctx, t->model, json, &t->hparams));
    if (!json)
        cln__hparams_fit_data(t->model, t->hparams, t->data);
    return CLN_OK;
}

static cln_status load_data(tester *t) {
    const cln_evaluate_options *o = t->options;
    const cln__origin *origin = &t->origin;
    cln_split split = o->subset == CLN_SUBSET_TEST ? CLN_SPLIT_TEST : CLN_SPLIT_TRAIN;
    CLN_TRY(cln_dataset_load(t->ctx, o->data, split, &t->data));
    const cln_dataset *d = t->data;
    if (origin->has_shape &&
        (origin->channels != d->channels || origin->height != d->height || origin->width != d->width))
        return cln__fail(t->ctx, CLN_INVALID_ARGUMENT,
                         "weights file '%s' is for images of %dx%dx%d, those of '%s' are %dx%dx%d", o->weights,
                         origin->channels, origin->height, origin->width, o->data, d->channels, d->height, d->width);
    if (!o->normalize && origin->has_normalization && origin->normalization.channels == d->channels) {
        t->normalization = origin->normalization;
        return CLN_OK;
    }
    if (split == CLN_SPLIT_TEST)
        CLN_TRY(cln_dataset_load(t->ctx, o->data, CLN_SPLIT_TRAIN, &t->train));
    return cln_normalization_choose(t->ctx, o->normalize, t->train ? t->train : t->data, &t->normalization);
}

static cln_status split_data(tester *t) {
    const cln_evaluate_options *o = t->options;
    const cln__origin *origin = &t->origin;
    if (o->subset == CLN_SUBSET_TEST)
        return CLN_OK;
    if (!origin->has_split)
        return cln__fail(t->ctx, CLN_INVALID_FILE,
                         "weights file '%s': it does not say which images its training held back", o->weights);
    if (origin->training_count != t->data->count)
        return cln__fail(t->ctx, CLN_INVALID_ARGUMENT,
                         "weights file '%s' comes from %" PRId64 " training images, '%s' has %" PRId64
                         ": it is not the data set that was split",
                         o->weights, origin->training_count, o->data, t->data->count);
    if (o->subset == CLN_SUBSET_VALIDATION && origin->validation_count == 0)
        return cln__fail(t->ctx, CLN_INVALID_ARGUMENT,
                         "weights file '%s': its training held no images back for validation", o->weights);
    return cln_split_indices(t->ctx, t->data->count, origin->validation_count, origin->seed, &t->train_indices,
                             &t->validation_indices);
}

static cln_status make_loader(tester *t) {
    const cln_evaluate_options *o = t->options;
    cln_loader_options options = {
        .batch_size = o->batch_size, .workers = o->workers, .normalization = t->normalization};
    const int64_t *indices = o->subset == CLN_SUBSET_TEST         ? NULL
                             : o->subset == CLN_SUBSET_VALIDATION ? t->validation_indices
                                                                  : t->train_indices;
    int64_t count =
        o->subset == CLN_SUBSET_VALIDATION ? t->origin.validation_count : t->data->count - t->origin.validation_count;
    return cln_loader_new(t->ctx, t->data, indices, indices ? count : 0, &options, &t->loader);
}

static cln_status check_classes(tester *t) {
    int64_t classes = cln_tensor_shape(t->network.graph, t->network.logits).c;
    if (classes == t->data->num_classes)
        return CLN_OK;
    return cln__fail(t->ctx, CLN_INVALID_ARGUMENT, "weights file '%s' knows %" PRId64 " classes, '%s' has %d",
                     t->options->weights, classes, t->options->data, t->data->num_classes);
}

static cln_status evaluate(tester *t, cln_score *score) {
    const cln_evaluate_options *o = t->options;
    CLN_TRY(cln_safetensors_read(t->ctx, o->weights, &t->file));
    CLN_TRY(cln__checkpoint_origin(t->ctx, t->file, o->weights, &t->origin));
    CLN_TRY(choose_model(t));
    CLN_TRY(load_data(t));
    CLN_TRY(split_data(t));
    CLN_TRY(make_hparams(t));
    CLN_TRY(cln__network_build(t->ctx, t->model, t->hparams, t->data, o->batch_size, 0, &t->network));
    CLN_TRY(check_classes(t));
    CLN_TRY(cln_weights_new(t->device, t->network.graph, 0, &t->weights));
    CLN_TRY(cln_weights_load(t->ctx, t->weights, t->file, o->weights));
    CLN_TRY(cln__network_plan(&t->network, t->device, t->weights, o->variant, &t->plan));
    CLN_TRY(make_loader(t));
    return cln__score(&t->network, t->plan, t->loader, score);
}

static void release(tester *t) {
    cln_loader_free(t->loader);
    cln_plan_free(t->plan);
    cln_weights_free(t->weights);
    cln__network_free(&t->network);
    free(t->train_indices);
    free(t->validation_indices);
    cln_dataset_free(t->data);
    cln_dataset_free(t->train);
    free(t->hparams);
    cln_safetensors_free(t->file);
}

cln_status cln_evaluate(cln_context *ctx, cln_device *device, const cln_evaluate_options *options, cln_score *score) {
    *score = (cln_score){0};
    if (!options->weights || !options->data || options->batch_size < 1)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "cln_evaluate needs weights, a data set and a batch size above 0");
    tester t = {.ctx = ctx, .device = device, .options = options};
    cln_status status = evaluate(&t, score);
    release(&t);
    return status;
}
