/* cln_fit: data, network and plans are made, epochs run, the best weights tested. Training itself is in epoch.c. */
#include "checkpoint.h"
#include "trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static cln_status check_recipe(cln_context *ctx, const cln_recipe *r) {
    if (r->epochs < 1 || r->batch_size < 1)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "recipe: %d epochs of batches of %d, expected 1 or more of each",
                         r->epochs, r->batch_size);
    if (!(r->learning_rate > 0) || !isfinite(r->learning_rate) || !isfinite(r->gamma) || !(r->gamma > 0))
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "recipe: learning rate %g, gamma %g, expected more than 0",
                         (double)r->learning_rate, (double)r->gamma);
    if (r->milestones.count < 0 || r->milestones.count > CLN_MAX_INTS)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "recipe: %d milestones, expected at most %d", r->milestones.count,
                         CLN_MAX_INTS);
    for (int i = 0; i < r->milestones.count; i++)
        if (r->milestones.values[i] < (i > 0 ? r->milestones.values[i - 1] + 1 : 1))
            return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                             "recipe: the milestones must be ascending epochs from 1 on, found %d after %d",
                             r->milestones.values[i], i > 0 ? r->milestones.values[i - 1] : 0);
    return CLN_OK;
}

/* --- data --- */

static cln_status load_data(cln__trainer *t) {
    const char *path = t->options->data;
    CLN_TRY(cln_dataset_load(t->ctx, path, CLN_SPLIT_TRAIN, &t->train));
    CLN_TRY(cln_dataset_load(t->ctx, path, CLN_SPLIT_TEST, &t->test));
    const cln_dataset *a = t->train, *b = t->test;
    if (a->channels != b->channels || a->height != b->height || a->width != b->width ||
        a->num_classes != b->num_classes)
        return cln__fail(t->ctx, CLN_INVALID_FILE,
                         "data set '%s': training images are %dx%dx%d of %d classes, test images %dx%dx%d of %d", path,
                         a->channels, a->height, a->width, a->num_classes, b->channels, b->height, b->width,
                         b->num_classes);
    return cln_normalization_choose(t->ctx, t->options->normalize, t->train, &t->event.normalization);
}

/* How many images to hold back; a share of a small data set is still one image. */
static cln_status validation_count(cln__trainer *t, int64_t *out) {
    double wanted = t->options->validation, count = (double)t->train->count;
    if (!(wanted >= 0) || (wanted >= 1 && wanted != floor(wanted)))
        return cln__fail(t->ctx, CLN_INVALID_ARGUMENT,
                         "validation split %g: expected a share of the training images below 1, or a whole number of "
                         "them",
                         wanted);
    double images = wanted >= 1 ? wanted : wanted > 0 ? fmax(1, floor(wanted * count + 0.5)) : 0;
    if (images >= count)
        return cln__fail(t->ctx, CLN_INVALID_ARGUMENT,
                         "validation split %g: the training set has %" PRId64 " images, and none would be left", wanted,
                         t->train->count);
    *out = (int64_t)images;
    return CLN_OK;
}

static cln_status split_data(cln__trainer *t) {
    cln_fit_event *e = &t->event;
    int64_t held_back = 0, batch = t->options->recipe.batch_size;
    CLN_TRY(validation_count(t, &held_back));
    e->validation_images = held_back;
    e->training_images = t->train->count - held_back;
    e->test_images = t->test->count;
    if (batch > e->training_images)
        return cln__fail(t->ctx, CLN_INVALID_ARGUMENT,
                         "a batch of %" PRId64 " is larger than the data: %" PRId64 " images to train on (%" PRId64
                         ", %" PRId64 " of them held back for validation); choose a batch size of at most %" PRId64,
                         batch, e->training_images, t->train->count, held_back, e->training_images);
    return cln_split_indices(t->ctx, t->train->count, held_back, t->options->seed, &t->train_indices,
                             &t->validation_indices);
}

static cln_status make_loaders(cln__trainer *t) {
    cln_loader_options o = {.batch_size = t->options->recipe.batch_size,
                            .seed = t->options->seed,
                            .workers = t->options->workers,
                            .normalization = t->event.normalization};
    CLN_TRY(cln_loader_new(t->ctx, t->test, NULL, 0, &o, &t->test_loader));
    if (t->validation_indices)
        CLN_TRY(cln_loader_new(t->ctx, t->train, t->validation_indices, t->event.validation_images, &o,
                               &t->validation_loader));
    o.shuffle = o.augment = o.drop_last = true;
    CLN_TRY(cln_loader_new(t->ctx, t->train, t->train_indices, t->event.training_images, &o, &t->train_loader));
    t->event.steps = cln_loader_batches(t->train_loader);
    return CLN_OK;
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

static cln_status make_plans(cln__trainer *t) {
    const cln_fit_options *o = t->options;
    double start_s = cln__now_s();
    CLN_TRY(cln__network_build(t->ctx, o->model, t->hparams, t->train, o->recipe.batch_size, o->label_smoothing,
                               &t->network));
    CLN_TRY(cln__network_build(t->ctx, o->model, t->hparams, t->train, o->recipe.batch_size, 0, &t->evaluation));
    if (o->graph_out)
        cln_graph_print(t->network.graph, o->graph_out);
    CLN_TRY(cln_weights_new(t->device, t->network.graph, o->seed, &t->weights));
    cln_tensor outputs[] = {t->network.loss, t->network.correct};
    cln_plan_options options = {.training = true,
                                .loss = t->network.loss,
                                .optimizer = o->recipe.optimizer,
                                .outputs = outputs,
                                .output_count = 2,
                                .seed = o->seed,
                                .variant = o->variant};
    CLN_TRY(cln_plan_build(t->device, t->network.graph, t->weights, &options, &t->train_plan));
    if (o->plan_out)
        cln_plan_print(t->train_plan, o->plan_out);
    CLN_TRY(cln__network_plan(&t->evaluation, t->device, t->weights, o->variant, &t->evaluation_plan));
    t->event.parameters = cln_graph_parameters(t->network.graph);
    t->event.memory = cln_plan_get_memory(t->train_plan);
    t->event.build_s = cln__now_s() - start_s;
    return CLN_OK;
}

/* --- epochs --- */

static cln_status validate(cln__trainer *t) {
    double start_s = cln__now_s();
    CLN_TRY(cln__score(&t->evaluation, t->evaluation_plan, t->validation_loader, &t->event.validation));
    t->validation_s = cln__now_s() - start_s;
    t->event.improved = t->best_epoch == 0 || t->event.validation.correct > t->best.correct;
    if (t->event.improved) {
        t->best = t->event.validation;
        t->best_epoch = t->event.epoch;
    }
    return CLN_OK;
}

static cln_status save(cln__trainer *t) {
    cln__checkpoint checkpoint = {.options = t->options,
                                  .hparams = t->hparams,
                                  .data = t->train,
                                  .validation_count = t->event.validation_images,
                                  .normalization = t->event.normalization,
                                  .epoch = t->event.epoch,
                                  .metrics = &t->event};
    if (t->event.improved)
        CLN_TRY(cln__checkpoint_save(t->ctx, t->weights, t->folder.best, &checkpoint));
    CLN_TRY(cln__checkpoint_save(t->ctx, t->weights, t->folder.last, &checkpoint));
    return cln__folder_log(t->ctx, &t->folder, &t->event);
}

static cln_status run_epochs(cln__trainer *t) {
    t->event.epochs = t->options->recipe.epochs;
    for (int epoch = 0; epoch < t->options->recipe.epochs; epoch++) {
        CLN_TRY(cln__train_epoch(t, epoch));
        if (t->validation_loader)
            CLN_TRY(validate(t));
        CLN_TRY(save(t));
        cln__trainer_tell(t, CLN_FIT_EPOCH);
    }
    return CLN_OK;
}

/* Scores the best weights, which are the present ones without validation or if the last epoch was the best. */
static cln_status test(cln__trainer *t, cln_score *score) {
    if (t->best_epoch > 0 && t->best_epoch != t->event.epoch) {
        cln_safetensors *file;
        CLN_TRY(cln_safetensors_read(t->ctx, t->folder.best, &file));
        cln_status status = cln_weights_load(t->ctx, t->weights, file, t->folder.best);
        cln_safetensors_free(file);
        CLN_TRY(status);
    }
    return cln__score(&t->evaluation, t->evaluation_plan, t->test_loader, score);
}

static cln_status fit(cln__trainer *t, cln_fit_result *result) {
    CLN_TRY(check_recipe(t->ctx, &t->options->recipe));
    CLN_TRY(load_data(t));
    CLN_TRY(split_data(t));
    cln__trainer_tell(t, CLN_FIT_LOADED);
    CLN_TRY(make_loaders(t));
    CLN_TRY(make_hparams(t));
    CLN_TRY(cln__folder_open(t->ctx, t->options->out, &t->folder)); /* fails sooner than the plans, which take time */
    CLN_TRY(make_plans(t));
    cln__trainer_tell(t, CLN_FIT_READY);
    double start_s = cln__now_s();
    CLN_TRY(run_epochs(t));
    double seconds = cln__now_s() - start_s;
    cln__trainer_tell(t, CLN_FIT_TEST);
    CLN_TRY(test(t, &result->test));
    double images = (double)t->event.steps * t->options->recipe.batch_size * t->event.epochs;
    result->epochs = t->event.epochs;
    result->best_epoch = t->best_epoch > 0 ? t->best_epoch : t->event.epoch;
    result->validation = t->best;
    result->images_per_s = t->training_s > 0 ? images / t->training_s : 0;
    result->seconds = seconds;
    return CLN_OK;
}

static void release(cln__trainer *t) {
    cln__folder_close(&t->folder);
    cln_plan_free(t->train_plan);
    cln_plan_free(t->evaluation_plan);
    cln_weights_free(t->weights);
    cln__network_free(&t->network);
    cln__network_free(&t->evaluation);
    cln_loader_free(t->train_loader);
    cln_loader_free(t->validation_loader);
    cln_loader_free(t->test_loader);
    free(t->train_indices);
    free(t->validation_indices);
    cln_dataset_free(t->train);
    cln_dataset_free(t->test);
    free(t->hparams);
}

cln_status cln_fit(cln_context *ctx, cln_device *device, const cln_fit_options *options, cln_fit_result *result) {
    *result = (cln_fit_result){0};
    if (!options->model || !options->data || !options->out)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "cln_fit needs a model, a data set and a folder for the weights");
    cln__trainer *t = calloc(1, sizeof *t);
    if (!t)
        return cln__fail_memory(ctx, "the trainer");
    t->ctx = ctx;
    t->device = device;
    t->options = options;
    cln_status status = fit(t, result);
    release(t);
    free(t);
    return status;
}
