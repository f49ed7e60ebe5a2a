/* Opening a trainer: what can fail soon, data, networks, plans (prepare.h), and the run's folder or the state in it. */
#include "board.h"
#include "describe.h"
#include "identity.h"
#include "measure.h"
#include "prepare.h"
#include "profiler.h"
#include "resume.h"
#include "schedule.h"
#include "stopping.h"
#include "transfer.h"

#include <math.h>
#include <stdlib.h>

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

/* --- beginning --- */

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
    CLN_TRY(cln__prepare_validation(t, batches < 0 ? 0 : batches, &loader));
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
    CLN_TRY(cln__prepare_data(t));
    CLN_TRY(cln__prepare_loaders(t));
    CLN_TRY(cln__measure_batches(t));
    cln__trainer_tell(t, CLN_FIT_LOADED);
    CLN_TRY(cln__prepare_networks(t));
    CLN_TRY(cln__ranking_init(t->ctx, o, t->validation_loader != NULL, &t->ranking));
    CLN_TRY(cln__stopping_check(t->ctx, o, t->validation_loader != NULL));
    t->data_checksum = cln__identity_data(t);
    if (o->resume)
        CLN_TRY(cln__resume_open(t));
    if (o->out && !o->resume)
        CLN_TRY(cln__folder_open(t->ctx, o->out, &t->folder));
    CLN_TRY(cln__prepare_plans(t));
    CLN_TRY(begin(t));
    cln__trainer_tell(t, CLN_FIT_READY);
    return CLN_OK;
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
    CLN_TRY(cln__prepare_data(*out));
    return cln__prepare_networks(*out);
}
