/* cln_evaluate: from a weights file and its metadata back to the network, and that over a data set. */
#include "division.h"
#include "network.h"
#include "origin.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const double default_validation = 0.1; /* the share that the published split holds back */

typedef struct tester {
    cln_context *ctx;
    cln_device *device;
    const cln_evaluate_options *options;
    cln_weights_file *file;
    cln__origin origin;
    const cln_model *model;
    void *hparams;
    cln_dataset *data, *train; /* train: only to compute a normalisation from, if data is not it */
    cln_normalization normalization;
    cln__division division;
    cln__network network;
    cln_weights *weights;
    cln_choices choices;
    cln_plan *plan;
    cln_loader *loader;
} tester;

static cln_status load_data(tester *t) {
    const cln_evaluate_options *o = t->options;
    const cln__origin *origin = &t->origin;
    cln_split split = o->subset == CLN_SUBSET_TEST ? CLN_SPLIT_TEST : CLN_SPLIT_TRAIN;
    if (o->image_height || o->image_width) {
        CLN_TRY(cln__load_data(t->ctx, o->data, split, origin->channels, o->image_height, o->image_width, &t->data));
    } else {
        const cln_dataset_options as_trained = {origin->height, origin->width, origin->channels};
        CLN_TRY(cln_dataset_load(t->ctx, o->data, split, &as_trained, &t->data));
    }
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
        CLN_TRY(cln__load_data(t->ctx, o->data, CLN_SPLIT_TRAIN, d->channels, d->height, d->width, &t->train));
    return cln_normalization_choose(t->ctx, o->normalize, t->train ? t->train : t->data, &t->normalization);
}

static cln_status split_data(tester *t) {
    const cln_evaluate_options *o = t->options;
    const cln__origin *origin = &t->origin;
    if (o->subset == CLN_SUBSET_TEST)
        return CLN_OK;
    int64_t count = t->data->count;
    double held_back = (double)origin->validation_count;
    if (o->split_indices) {
        held_back = o->validation != 0 ? o->validation : origin->has_split ? held_back : default_validation;
        return cln__divide(t->ctx, count, held_back, 0, o->split_indices, &t->division);
    }
    if (!origin->has_split && o->draw_split)
        return cln__divide(t->ctx, count, o->validation, o->seed, NULL, &t->division);
    if (!origin->has_split)
        return cln__fail(t->ctx, CLN_INVALID_FILE,
                         "weights file '%s': it does not say which images its training held back; --split-indices can",
                         o->weights);
    if (origin->training_count != count)
        return cln__fail(t->ctx, CLN_INVALID_ARGUMENT,
                         "weights file '%s' comes from %" PRId64 " training images, '%s' has %" PRId64
                         ": it is not the data set that was split",
                         o->weights, origin->training_count, o->data, count);
    const char *list = origin->split_indices;
    return list ? cln__divide_by_text(t->ctx, count, held_back, o->weights, list, strlen(list), &t->division)
                : cln__divide(t->ctx, count, held_back, origin->seed, NULL, &t->division);
}

static cln_status make_loader(tester *t) {
    const cln_evaluate_options *o = t->options;
    cln_loader_options options = {
        .batch_size = o->batch_size, .workers = o->workers, .normalization = t->normalization};
    const cln__division *d = &t->division;
    if (o->subset == CLN_SUBSET_TEST)
        return cln_loader_new(t->ctx, t->data, NULL, 0, &options, &t->loader);
    if (o->subset == CLN_SUBSET_TRAINING)
        return cln_loader_new(t->ctx, t->data, d->train, d->train_count, &options, &t->loader);
    if (!d->validation)
        return cln__fail(t->ctx, CLN_INVALID_ARGUMENT,
                         "weights file '%s': its training held no images back for validation", o->weights);
    return cln_loader_new(t->ctx, t->data, d->validation, d->validation_count, &options, &t->loader);
}

static cln_status check_classes(tester *t) {
    int64_t classes = cln_tensor_shape(t->network.graph, t->network.logits).c;
    if (classes == t->data->num_classes)
        return CLN_OK;
    return cln__fail(t->ctx, CLN_INVALID_ARGUMENT, "weights file '%s' knows %" PRId64 " classes, '%s' has %d",
                     t->options->weights, classes, t->options->data, t->data->num_classes);
}

static cln_status make_plan(tester *t) {
    cln_tensor outputs[2];
    cln_plan_options options = cln__network_evaluation(&t->network, t->options->variant, outputs);
    if (t->options->tuned)
        CLN_TRY(cln_choices_load(t->ctx, t->device, t->options->tuning, &t->choices));
    options.choices = t->choices.of;
    options.choice_count = t->choices.count;
    return cln_plan_build(t->device, t->network.graph, t->weights, &options, &t->plan);
}

static cln_status evaluate(tester *t, cln_score *score) {
    const cln_evaluate_options *o = t->options;
    CLN_TRY(cln_weights_file_read(t->ctx, o->weights, &t->file));
    CLN_TRY(cln__origin_read(t->ctx, t->file, o->weights, &t->origin));
    CLN_TRY(cln__origin_model(t->ctx, &t->origin, o->weights, o->models, o->model_count, o->model, &t->model));
    CLN_TRY(load_data(t));
    CLN_TRY(split_data(t));
    CLN_TRY(cln__origin_hparams(t->ctx, &t->origin, o->weights, t->model, o->hparams, t->data, &t->hparams));
    CLN_TRY(cln__network_build(t->ctx, t->model, t->hparams, t->data, o->batch_size, 0, false, &t->network));
    CLN_TRY(check_classes(t));
    CLN_TRY(cln_weights_new(t->device, t->network.graph, 0, &t->weights));
    CLN_TRY(cln_weights_load(t->ctx, t->weights, t->file, o->weights));
    CLN_TRY(make_plan(t));
    CLN_TRY(make_loader(t));
    return cln__score(&t->network, t->plan, t->loader, score);
}

static void release(tester *t) {
    cln_loader_free(t->loader);
    cln_plan_free(t->plan);
    cln_choices_free(&t->choices);
    cln_weights_free(t->weights);
    cln__network_free(&t->network);
    cln__division_free(&t->division);
    cln_dataset_free(t->data);
    cln_dataset_free(t->train);
    free(t->hparams);
    cln__origin_free(&t->origin);
    cln_weights_file_free(t->file);
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
