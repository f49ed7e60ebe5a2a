/* See prepare.h. */
#include "prepare.h"
#include "checkpoint.h"
#include "kernels.h"
#include "schedule.h"
#include "transfer.h"

#include <inttypes.h>
#include <string.h>

/* --- data --- */

static cln_status load_data(cln__trainer *t) {
    const cln_fit_options *o = t->options;
    const char *path = o->data;
    CLN_TRY(cln__load_data(t->ctx, path, CLN_SPLIT_TRAIN, 0, o->image_height, o->image_width, &t->train));
    const cln_dataset *a = t->train;
    const cln_dataset_options same = {a->height, a->width, a->channels};
    CLN_TRY(cln_dataset_load(t->ctx, path, CLN_SPLIT_TEST, &same, &t->test));
    const cln_dataset *b = t->test;
    if (a->channels != b->channels || a->height != b->height || a->width != b->width ||
        a->num_classes != b->num_classes)
        return cln__fail(t->ctx, CLN_INVALID_FILE,
                         "data set '%s': training images are %dx%dx%d of %d classes, test images %dx%dx%d of %d", path,
                         a->channels, a->height, a->width, a->num_classes, b->channels, b->height, b->width,
                         b->num_classes);
    return cln_normalization_choose(t->ctx, t->options->normalize, t->train, &t->event.normalization);
}

static cln_status split_data(cln__trainer *t) {
    cln_fit_event *e = &t->event;
    const cln_fit_options *o = t->options;
    int64_t batch = o->recipe.batch_size;
    CLN_TRY(cln__divide(t->ctx, t->train->count, o->validation, o->seed, o->split_indices, &t->division));
    e->validation_images = t->division.validation_count;
    e->training_images = t->division.train_count;
    e->test_images = t->test->count;
    if (batch > e->training_images)
        return cln__fail(t->ctx, CLN_INVALID_ARGUMENT,
                         "a batch of %" PRId64 " is larger than the data: %" PRId64 " images to train on (%" PRId64
                         ", %" PRId64 " of them held back for validation); choose a batch size of at most %" PRId64,
                         batch, e->training_images, t->train->count, e->validation_images, e->training_images);
    return CLN_OK;
}

cln_status cln__prepare_data(cln__trainer *t) {
    CLN_TRY(load_data(t));
    return split_data(t);
}

/* Batches that are evaluated, of a share or number `limit` below 0: none. */
static cln_loader_options plain_loader(const cln__trainer *t, double limit) {
    return (cln_loader_options){.batch_size = t->options->recipe.batch_size,
                                .seed = t->options->seed,
                                .workers = t->options->workers,
                                .limit = limit,
                                .normalization = t->event.normalization};
}

cln_status cln__prepare_validation(cln__trainer *t, double limit, cln_loader **out) {
    cln_loader_options o = plain_loader(t, limit);
    return cln_loader_new(t->ctx, t->train, t->division.validation, t->division.validation_count, &o, out);
}

cln_status cln__prepare_loaders(cln__trainer *t) {
    const cln_fit_options *of = t->options;
    cln_loader_options o = plain_loader(t, of->limit_test_batches);
    bool overfits = of->overfit_batches != 0;
    double limit_val = overfits ? of->overfit_batches : of->limit_val_batches;
    if (of->limit_test_batches >= 0)
        CLN_TRY(cln_loader_new(t->ctx, t->test, NULL, 0, &o, &t->test_loader));
    if (t->division.validation && limit_val >= 0)
        CLN_TRY(cln__prepare_validation(t, limit_val, &t->validation_loader));
    o.limit = overfits ? of->overfit_batches : of->limit_train_batches;
    o.shuffle = !overfits;
    o.drop_last = true;
    o.augmentation = cln__fit_augmentation(of);
    CLN_TRY(cln_loader_new(t->ctx, t->train, t->division.train, t->division.train_count, &o, &t->train_loader));
    t->event.steps = cln_loader_batches(t->train_loader);
    return cln__schedule_check_length(t->ctx, &t->options->recipe, cln__trainer_updates(t));
}

/* --- network --- */

static cln_status make_hparams(cln__trainer *t) {
    const cln_model *model = t->options->model;
    CLN_TRY(cln_hparams_new(t->ctx, model, NULL, &t->hparams));
    if (t->options->hparams && model->hparams_size)
        memcpy(t->hparams, t->options->hparams, model->hparams_size);
    cln__hparams_fit_data(model, t->hparams, t->train);
    return CLN_OK;
}

cln_status cln__prepare_networks(cln__trainer *t) {
    const cln_fit_options *o = t->options;
    const cln_augmentation augmentation = cln__fit_augmentation(o);
    bool mixed = augmentation.mixup > 0 || augmentation.cutmix > 0;
    CLN_TRY(make_hparams(t));
    CLN_TRY(cln__network_build(t->ctx, o->model, t->hparams, t->train, o->recipe.batch_size, o->label_smoothing, mixed,
                               &t->network));
    if (o->freeze)
        CLN_TRY(cln_graph_freeze(t->network.graph, o->freeze));
    return cln__network_build(t->ctx, o->model, t->hparams, t->train, o->recipe.batch_size, 0, false, &t->evaluation);
}

void cln__trainer_plan_options(cln__trainer *t, cln_plan_options *training, cln_plan_options *evaluation) {
    const cln_fit_options *o = t->options;
    t->outputs[0] = t->network.loss;
    t->outputs[1] = t->network.correct;
    *evaluation = cln__network_evaluation(&t->evaluation, o->variant, t->evaluated);
    *training = (cln_plan_options){.training = true,
                                   .loss = t->network.loss,
                                   .optimizer = cln__schedule_optimizer(&o->recipe),
                                   .outputs = t->outputs,
                                   .output_count = 2,
                                   .seed = o->seed,
                                   .variant = o->variant};
}

cln_status cln__prepare_plans(cln__trainer *t) {
    const cln_fit_options *o = t->options;
    cln_plan_options options, evaluation;
    double start_s = cln__now_s();
    if (o->graph_out)
        cln_graph_print(t->network.graph, o->graph_out);
    CLN_TRY(cln_weights_new(t->device, t->network.graph, o->seed, &t->weights));
    if (o->recipe.model_ema_decay > 0)
        CLN_TRY(cln_weights_new(t->device, t->network.graph, o->seed, &t->average));
    CLN_TRY(cln__transfer(t));
    t->event.initialised = t->initialised;
    cln__trainer_plan_options(t, &options, &evaluation);
    CLN_TRY(cln__kernels_choose(t, &options, &evaluation));
    CLN_TRY(cln_plan_build(t->device, t->network.graph, t->weights, &options, &t->train_plan));
    if (o->plan_out)
        cln_plan_print(t->train_plan, o->plan_out);
    CLN_TRY(cln_plan_build(t->device, t->evaluation.graph, cln__trainer_result(t), &evaluation, &t->evaluation_plan));
    cln__kernels_warn(t);
    t->event.parameters = cln_graph_parameters(t->network.graph);
    t->event.frozen = cln_graph_frozen(t->network.graph);
    t->event.memory = cln_plan_get_memory(t->train_plan);
    t->event.computations = cln_plan_choices(t->train_plan);
    t->event.tuned = o->tuned && !t->resumed ? cln_choices_count(&t->choices, t->train_plan) : 0;
    t->event.build_s = cln__now_s() - start_s;
    return CLN_OK;
}
