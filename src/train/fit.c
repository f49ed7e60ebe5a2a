/* cln_fit: epochs are run, each with validation and saving, and the best weights tested. What comes before is in
 * trainer.c, training itself in epoch.c. */
#include "board.h"
#include "checkpoint.h"
#include "profiler.h"
#include "resume.h"
#include "stopping.h"

#include <math.h>
#include <stdlib.h>

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
    char *why = outside && t && t->is_saved ? cln__error_copy(ctx) : NULL;
    if (why)
        cln__fail(ctx, status,
                  "%s; the run is saved after %d epochs and %lld steps: the same command with --resume last goes on "
                  "from there",
                  why, t->saved.epochs, (long long)t->saved.steps);
    free(why);
    return status;
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
