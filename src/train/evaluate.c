/* cln_evaluate and cln_evaluation_new: a network rebuilt from a weights file, over a data set. */
#include "division.h"
#include "evaluation.h"
#include "restored.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const double default_validation = 0.1; /* the share that the published split holds back */

typedef struct tester {
    cln_context *ctx;
    cln_device *device;
    const cln_evaluate_options *options;
    cln__source source;
    cln__restored network;
    cln_dataset *data, *train; /* train: only to compute a normalisation from, if data is not it */
    cln_normalization normalization;
    cln__division division;
    cln_loader *loader;
} tester;

static cln_status load_data(tester *t) {
    const cln_evaluate_options *o = t->options;
    const cln__origin *origin = &t->network.origin;
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
    const cln__origin *origin = &t->network.origin;
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
    if (t->network.classes == t->data->num_classes)
        return CLN_OK;
    return cln__fail(t->ctx, CLN_INVALID_ARGUMENT, "weights file '%s' knows %d classes, '%s' has %d",
                     t->options->weights, t->network.classes, t->options->data, t->data->num_classes);
}

static cln_status prepare(tester *t) {
    CLN_TRY(cln__restored_read(t->ctx, &t->source, &t->network));
    CLN_TRY(load_data(t));
    CLN_TRY(split_data(t));
    CLN_TRY(cln__restored_build(t->ctx, &t->source, t->data, &t->network));
    CLN_TRY(check_classes(t));
    CLN_TRY(cln__restored_load(t->ctx, t->device, &t->source, &t->network));
    return make_loader(t);
}

static void release(tester *t) {
    cln_loader_free(t->loader);
    cln__restored_free(&t->network);
    cln__division_free(&t->division);
    cln_dataset_free(t->data);
    cln_dataset_free(t->train);
}

static cln_status start(cln_context *ctx, cln_device *device, const cln_evaluate_options *o, tester *out) {
    *out = (tester){.ctx = ctx,
                    .device = device,
                    .options = o,
                    .source = {.weights = o->weights,
                               .models = o->models,
                               .model_count = o->model_count,
                               .model = o->model,
                               .hparams = o->hparams,
                               .batch_size = o->batch_size,
                               .variant = o->variant,
                               .tuned = o->tuned,
                               .tuning = o->tuning}};
    if (!o->weights || !o->data || o->batch_size < 1)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "evaluating needs weights, a data set and a batch size above 0");
    return prepare(out);
}

cln_status cln_evaluate(cln_context *ctx, cln_device *device, const cln_evaluate_options *options, cln_score *score) {
    tester t;
    *score = (cln_score){0};
    cln_status status = start(ctx, device, options, &t);
    if (status == CLN_OK)
        status = cln__score(&t.network.network, t.network.plan, t.loader, score);
    release(&t);
    return status;
}

/* --- with everything it says --- */

static cln_status run_all(tester *t, float *logits, int32_t *labels) {
    const cln_batch *batch;
    CLN_TRY(cln_loader_start(t->loader, 0, 0));
    for (int64_t done = 0;; done += batch->count) {
        CLN_TRY(cln_loader_next(t->loader, &batch));
        if (!batch)
            return CLN_OK;
        memcpy(labels + done, batch->labels, (size_t)batch->count * sizeof *labels);
        /* Rows of the last batch beyond the images have room too. */
        CLN_TRY(cln__restored_run(&t->network, batch->images, batch->labels, logits + done * t->network.classes));
    }
}

static cln_status evaluate(tester *t, cln_evaluation **out) {
    const cln_dataset *d = t->data;
    const int64_t *order = t->options->subset == CLN_SUBSET_TRAINING ? t->division.train : t->division.validation;
    int64_t count = cln_loader_samples(t->loader);
    size_t rows = (size_t)cln__round_up(count, t->options->batch_size), bytes;
    bool fits = cln__mul_size(rows, (size_t)d->num_classes * sizeof(float), &bytes);
    float *logits = fits ? malloc(bytes) : NULL;
    int32_t *labels = malloc(rows * sizeof *labels);
    cln_status status = logits && labels ? run_all(t, logits, labels) : cln__fail_memory(t->ctx, "the logits");
    if (status == CLN_OK)
        status = cln__evaluation_measure(t->ctx, logits, labels, order, count, d->num_classes,
                                         (const char *const *)d->class_names, t->options->top_k, out);
    free(logits);
    free(labels);
    return status;
}

cln_status cln_evaluation_new(cln_context *ctx, cln_device *device, const cln_evaluate_options *options,
                              cln_evaluation **out) {
    tester t;
    *out = NULL;
    cln_status status = start(ctx, device, options, &t);
    if (status == CLN_OK)
        status = evaluate(&t, out);
    if (status == CLN_OK) {
        (*out)->data = t.data;
        t.data = NULL;
    }
    release(&t);
    return status;
}
