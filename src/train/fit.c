/* cln_fit: data, network and plans are made, epochs run, the best weights tested. Training itself is in epoch.c. */
#include "board.h"
#include "checkpoint.h"
#include "describe.h"
#include "identity.h"
#include "kernels.h"
#include "measure.h"
#include "profiler.h"
#include "resume.h"
#include "schedule.h"
#include "stopping.h"
#include "transfer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static cln_status check_recipe(cln_context *ctx, const cln_recipe *r) {
    if (r->epochs < 1 || r->batch_size < 1)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "recipe: %d epochs of batches of %d, expected 1 or more of each",
                         r->epochs, r->batch_size);
    if (!(r->model_ema_decay >= 0 && r->model_ema_decay < 1))
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "recipe: a moving average of the weights with decay %g, expected 0 to below 1",
                         r->model_ema_decay);
    return cln__schedule_check(ctx, r);
}

static cln_status check_lengths(cln_context *ctx, const cln_fit_options *o) {
    if (o->max_steps < 0 || o->check_val_every_n_epoch < 0 || o->sanity_val_steps < -1 || o->fast_dev_run < 0)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "%lld steps at most, validation every %d epochs, %d batches of it before training, %d of a "
                         "development run: expected 0 or more of each",
                         (long long)o->max_steps, o->check_val_every_n_epoch, o->sanity_val_steps, o->fast_dev_run);
    if (!(o->limit_train_batches >= 0) || !(o->overfit_batches >= 0) || isnan(o->limit_val_batches) ||
        isnan(o->limit_test_batches))
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "training is limited to %g batches, or to the same %g, expected a share or a number",
                         o->limit_train_batches, o->overfit_batches);
    return CLN_OK;
}

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

/* Batches that are evaluated, of a share or number `limit` below 0: none. */
static cln_loader_options plain_loader(const cln__trainer *t, double limit) {
    return (cln_loader_options){.batch_size = t->options->recipe.batch_size,
                                .seed = t->options->seed,
                                .workers = t->options->workers,
                                .limit = limit,
                                .normalization = t->event.normalization};
}

static cln_status make_validation_loader(cln__trainer *t, double limit, cln_loader **out) {
    cln_loader_options o = plain_loader(t, limit);
    return cln_loader_new(t->ctx, t->train, t->division.validation, t->division.validation_count, &o, out);
}

static cln_status make_loaders(cln__trainer *t) {
    const cln_fit_options *of = t->options;
    cln_loader_options o = plain_loader(t, of->limit_test_batches);
    bool overfits = of->overfit_batches != 0;
    double limit_val = overfits ? of->overfit_batches : of->limit_val_batches;
    if (of->limit_test_batches >= 0)
        CLN_TRY(cln_loader_new(t->ctx, t->test, NULL, 0, &o, &t->test_loader));
    if (t->division.validation && limit_val >= 0)
        CLN_TRY(make_validation_loader(t, limit_val, &t->validation_loader));
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

static cln_status make_networks(cln__trainer *t) {
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

static cln_status make_plans(cln__trainer *t) {
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

/* --- epochs --- */

static cln_status validate(cln__trainer *t) {
    double start_s = cln__now_s();
    int every = t->options->check_val_every_n_epoch;
    t->event.validation = (cln_score){0};
    if (!t->validation_loader || (every > 1 && t->event.epoch % every != 0))
        return CLN_OK;
    cln__profiler_enter(t, CLN_PHASE_VALIDATION);
    CLN_TRY(cln__score(&t->evaluation, t->evaluation_plan, t->validation_loader, &t->event.validation));
    t->validation_s = cln__now_s() - start_s;
    return CLN_OK;
}

static cln_status save_weights(cln__trainer *t, const char *path) {
    cln__checkpoint checkpoint = {.options = t->options,
                                  .hparams = t->hparams,
                                  .data = t->train,
                                  .division = &t->division,
                                  .normalization = t->event.normalization,
                                  .epoch = t->event.epoch,
                                  .init_weights = t->initialised_by,
                                  .metrics = &t->event,
                                  .plan = t->train_plan,
                                  .evaluation_plan = t->evaluation_plan};
    return cln__checkpoint_save(t->ctx, cln__trainer_result(t), path, &checkpoint);
}

static cln_status save_epoch(cln__trainer *t) {
    char *path = cln__folder_epoch(&t->folder, t->event.epoch);
    cln_status status = path ? save_weights(t, path) : cln__fail_memory(t->ctx, "a file name");
    free(path);
    return status;
}

/* The state to resume from comes after what it rests on, and what it no longer needs goes after that: killed in
 * between, the run goes on from the state before and writes the same files again. */
static cln_status save(cln__trainer *t) {
    int evicted;
    cln__stopping_add(&t->stopping, t->options, &t->ranking, &t->event);
    t->event.stopping = t->stopping;
    t->event.monitor = t->ranking.monitor;
    bool ranked = cln__ranking_add(&t->ranking, &t->event, &evicted);
    t->event.improved = ranked && cln__ranking_best(&t->ranking) == t->event.epoch;
    if (t->event.improved || t->ranking.capacity == 0)
        t->validation = t->event.validation;
    t->position = (cln__position){.epochs = t->event.epoch};
    if (!t->folder.path)
        return CLN_OK;
    if (t->event.improved)
        CLN_TRY(save_weights(t, t->folder.best));
    if (ranked && t->ranking.capacity > 1)
        CLN_TRY(save_epoch(t));
    if (!t->options->no_last)
        CLN_TRY(save_weights(t, t->folder.last));
    CLN_TRY(cln__folder_log(t->ctx, &t->folder, &t->event));
    CLN_TRY(cln__board_epoch(t));
    CLN_TRY(cln__resume_save(t));
    return evicted && t->ranking.capacity > 1 ? cln__folder_drop(t->ctx, &t->folder, evicted) : CLN_OK;
}

/* Weights of epochs that were to be removed when the process was killed. */
static cln_status drop_unranked(cln__trainer *t) {
    for (int epoch = 1; t->ranking.capacity > 1 && epoch <= t->position.epochs; epoch++)
        if (!cln__ranking_has(&t->ranking, epoch))
            CLN_TRY(cln__folder_drop(t->ctx, &t->folder, epoch));
    return CLN_OK;
}

/* Before training, so that what is wrong with validation does not wait for the end of the first epoch. */
static cln_status look_at_validation(cln__trainer *t) {
    int batches = t->options->sanity_val_steps;
    cln_loader *loader;
    if (batches == 0 || !t->validation_loader)
        return CLN_OK;
    CLN_TRY(make_validation_loader(t, batches < 0 ? 0 : batches, &loader));
    cln_phase phase = cln__profiler_enter(t, CLN_PHASE_VALIDATION);
    cln_status status = cln__score(&t->evaluation, t->evaluation_plan, loader, &t->event.sanity);
    cln__profiler_enter(t, phase);
    cln_loader_free(loader);
    if (status != CLN_OK || isfinite(t->event.sanity.loss))
        return status;
    return cln__fail(t->ctx, CLN_DIVERGED,
                     "the sanity check failed: before training, the validation loss of %lld images is infinite or "
                     "undefined; look at the data's normalisation and the network's first weights",
                     (long long)t->event.sanity.count);
}

/* From here on there is a state to resume from at any moment, be it the beginning. */
static cln_status begin(cln__trainer *t) {
    bool begun;
    t->event.epochs = cln__trainer_epochs(t);
    if (t->options->resume) {
        CLN_TRY(cln__resume_apply(t));
        CLN_TRY(drop_unranked(t));
        t->event.epoch = t->position.epochs;
        t->event.step = t->position.steps;
    } else {
        CLN_TRY(look_at_validation(t));
    }
    if (!t->folder.path)
        return CLN_OK;
    /* The state comes first: wherever anything of a run lies, there is a state to go on from. */
    if (!t->options->resume) {
        CLN_TRY(cln__folder_check_new(t->ctx, t->folder.path));
        CLN_TRY(cln__resume_save(t));
    }
    CLN_TRY(cln__folder_log_open(t->ctx, &t->folder, cln__rate_name(t->options->recipe.optimizer.kind),
                                 t->position.epochs));
    CLN_TRY(cln__describe_run(t));
    CLN_TRY(cln__board_open(t, &begun));
    return begun ? cln__resume_save(t) : CLN_OK;
}

static cln_status run_epochs(cln__trainer *t) {
    while (t->position.epochs < t->event.epochs && !t->stopping.now) {
        CLN_TRY(cln__train_epoch(t));
        if (t->stopped)
            return t->folder.path ? cln__resume_save(t) : CLN_OK;
        CLN_TRY(validate(t));
        cln__profiler_enter(t, CLN_PHASE_SAVING);
        CLN_TRY(save(t));
        cln__profiler_enter(t, CLN_PHASE_PREPARE);
        cln__trainer_tell(t, CLN_FIT_EPOCH);
    }
    return CLN_OK;
}

/* Scores the best weights, which are the present ones if none are ranked or if the last epoch was the best. */
static cln_status test(cln__trainer *t, cln_score *score) {
    int best = cln__ranking_best(&t->ranking);
    cln__profiler_enter(t, CLN_PHASE_TEST);
    cln__trainer_tell(t, CLN_FIT_TEST);
    if (best > 0 && best != t->position.epochs) {
        cln_weights_file *file;
        CLN_TRY(cln_weights_file_read(t->ctx, t->folder.best, &file));
        cln_status status = cln__resume_check_epoch(t, cln_weights_file_metadata(file, "epoch"), t->folder.best, best);
        if (status == CLN_OK)
            status = cln_weights_load(t->ctx, cln__trainer_result(t), file, t->folder.best);
        cln_weights_file_free(file);
        CLN_TRY(status);
    }
    CLN_TRY(cln__score(&t->evaluation, t->evaluation_plan, t->test_loader, score));
    return cln__board_test(t, score);
}

static cln_status prepare(cln__trainer *t) {
    const cln_fit_options *o = t->options;
    CLN_TRY(check_recipe(t->ctx, &o->recipe));
    CLN_TRY(check_lengths(t->ctx, o));
    /* What can fail soon comes before the data and the plans, which take time. */
    if (o->resume)
        CLN_TRY(cln__resume_read(t));
    else if (o->out)
        CLN_TRY(cln__folder_check_new(t->ctx, o->out));
    CLN_TRY(cln__transfer_read(t));
    if (o->resume)
        CLN_TRY(cln__identity_check_options(t, t->resumed, o->resume));
    CLN_TRY(load_data(t));
    CLN_TRY(split_data(t));
    CLN_TRY(make_loaders(t));
    CLN_TRY(cln__measure_batches(t));
    cln__trainer_tell(t, CLN_FIT_LOADED);
    CLN_TRY(make_networks(t));
    CLN_TRY(cln__ranking_init(t->ctx, o, t->validation_loader != NULL, &t->ranking));
    CLN_TRY(cln__stopping_check(t->ctx, o, t->validation_loader != NULL));
    t->data_checksum = cln__identity_data(t);
    if (o->resume)
        CLN_TRY(cln__resume_open(t));
    if (o->out)
        CLN_TRY(cln__folder_open(t->ctx, o->out, &t->folder));
    CLN_TRY(make_plans(t));
    CLN_TRY(begin(t));
    cln__trainer_tell(t, CLN_FIT_READY);
    return CLN_OK;
}

static cln_status fit(cln__trainer *t, cln_fit_result *result) {
    double start_s = cln__now_s();
    CLN_TRY(run_epochs(t));
    result->seconds = cln__now_s() - start_s;
    result->stopped = cln__trainer_stops(t);
    result->stopped_early = t->stopping.now;
    result->epochs = t->position.epochs;
    result->best_epoch = t->ranking.count > 0 ? cln__ranking_best(&t->ranking) : t->position.epochs;
    result->best_saved = t->ranking.count > 0 && t->folder.path;
    result->validation = t->validation;
    result->images_per_s = t->training_s > 0 ? (double)t->trained / t->training_s : 0;
    if (!result->stopped && t->test_loader)
        CLN_TRY(test(t, &result->test));
    return cln__profiler_end(t);
}

void cln__trainer_close(cln__trainer *t) {
    if (!t)
        return;
    cln__profiler_close(t);
    cln_tensorboard_close(t->board);
    cln__folder_close(&t->folder);
    cln_safetensors_free(t->resumed);
    cln_plan_free(t->train_plan);
    cln_plan_free(t->evaluation_plan);
    cln_choices_free(&t->choices);
    cln_weights_free(t->weights);
    cln_weights_free(t->average);
    cln__network_free(&t->network);
    cln__network_free(&t->evaluation);
    cln_loader_free(t->train_loader);
    cln_loader_free(t->validation_loader);
    cln_loader_free(t->test_loader);
    cln__division_free(&t->division);
    cln_dataset_free(t->train);
    cln_dataset_free(t->test);
    free(t->hparams);
    cln_weights_file_free(t->first_weights);
    free(t->initialised);
    free(t->initialised_by);
    free(t);
}

static cln_status trainer_new(cln_context *ctx, cln_device *device, const cln_fit_options *options,
                              cln__trainer **out) {
    *out = NULL;
    if (!options->model || !options->data)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "training needs a model and a data set");
    *out = calloc(1, sizeof **out);
    if (!*out)
        return cln__fail_memory(ctx, "the trainer");
    (*out)->ctx = ctx;
    (*out)->device = device;
    (*out)->options = options;
    return CLN_OK;
}

cln_status cln__trainer_open(cln_context *ctx, cln_device *device, const cln_fit_options *options, cln__trainer **out) {
    CLN_TRY(trainer_new(ctx, device, options, out));
    CLN_TRY(cln__profiler_open(*out));
    return prepare(*out);
}

cln_status cln__trainer_load(cln_context *ctx, cln_device *device, const cln_fit_options *options, cln__trainer **out) {
    CLN_TRY(trainer_new(ctx, device, options, out));
    CLN_TRY(check_recipe(ctx, &options->recipe));
    CLN_TRY(load_data(*out));
    CLN_TRY(split_data(*out));
    return make_networks(*out);
}

/* A few batches of everything, and no trace of it. */
static cln_fit_options dev_run(const cln_fit_options *options) {
    cln_fit_options o = *options;
    o.recipe.epochs = 1;
    o.recipe.warmup_epochs = 0;
    o.recipe.warmup_steps = 0;
    o.limit_train_batches = o.limit_val_batches = o.limit_test_batches = o.fast_dev_run;
    o.overfit_batches = 0;
    o.max_steps = o.patience = o.check_val_every_n_epoch = o.sanity_val_steps = 0;
    o.save_every_s = HUGE_VAL;
    o.out = o.resume = NULL;
    o.tune = NULL;
    return o;
}

/* The cause may lie outside and go away: a lost device, a full disk. The run then goes on from its last saved state. */
static cln_status tell_to_go_on(cln_context *ctx, const cln__trainer *t, cln_status status) {
    bool outside = status == CLN_OPENCL || status == CLN_OUT_OF_MEMORY || status == CLN_IO;
    if (!outside || !t || !t->is_saved)
        return status;
    return cln__fail(ctx, status,
                     "%s; the run is saved after %d epochs and %lld steps: the same command with --resume last goes on "
                     "from there",
                     cln_context_error(ctx), t->saved.epochs, (long long)t->saved.steps);
}

cln_status cln_fit(cln_context *ctx, cln_device *device, const cln_fit_options *options, cln_fit_result *result) {
    cln_fit_options trial = dev_run(options);
    cln__trainer *t;
    *result = (cln_fit_result){0};
    if (!options->out && options->fast_dev_run <= 0)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "cln_fit needs a folder for the weights");
    cln_status status = cln__trainer_open(ctx, device, options->fast_dev_run > 0 ? &trial : options, &t);
    if (status == CLN_OK)
        status = fit(t, result);
    status = tell_to_go_on(ctx, t, status);
    cln__trainer_close(t);
    return status;
}
