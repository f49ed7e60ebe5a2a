/* The event file of a run. */
#include "board.h"
#include "checkpoint.h"
#include "json.h"
#include "schedule.h"

#include <stdlib.h>
#include <string.h>

enum { RATE_STEPS = 50, PICTURES = 4 };

/* --- hyper-parameters --- */

/* The members that the page shows first. */
static bool begin_hparams(cJSON *object, const cln__trainer *t, const char *recipe) {
    static const char *const names[] = {"optimizer", "lr", "batch_size", "weight_decay"};
    cJSON *from = recipe ? cln__json_parse(recipe, NULL, NULL) : NULL;
    bool good = cln__json_add(object, "model", cJSON_CreateString(t->options->model->name)) && cJSON_IsObject(from);
    for (size_t i = 0; good && i < sizeof names / sizeof *names; i++) {
        cJSON *item = cJSON_DetachItemFromObjectCaseSensitive(from, names[i]);
        good = item && cln__json_add(object, names[i], item);
    }
    cJSON_Delete(from);
    return good;
}

/* Moves the other members of the JSON object `text` into `object`, but for the number of epochs: a run that is resumed
 * may have more of them, and its file is none the less that of an uninterrupted one. */
static bool merge(cJSON *object, const char *text) {
    cJSON *from = text ? cln__json_parse(text, NULL, NULL) : NULL;
    bool good = cJSON_IsObject(from);
    cJSON_DeleteItemFromObjectCaseSensitive(from, "epochs");
    while (good && from->child) {
        cJSON *item = cJSON_DetachItemViaPointer(from, from->child);
        if (cJSON_HasObjectItem(object, item->string))
            cJSON_Delete(item);
        else
            good = cln__json_add(object, item->string, item);
    }
    cJSON_Delete(from);
    return good;
}

static char *hparams_json(const cln__trainer *t) {
    cln__checkpoint checkpoint = {.options = t->options,
                                  .hparams = t->hparams,
                                  .data = t->train,
                                  .division = &t->division,
                                  .normalization = t->event.normalization};
    cln__entries e = {.count = 0};
    cJSON *object = cJSON_CreateObject();
    cln__checkpoint_describe(&checkpoint, &e);
    bool good = !e.failed && begin_hparams(object, t, cln__entries_find(&e, "recipe")) &&
                merge(object, cln__entries_find(&e, "hparams")) && merge(object, cln__entries_find(&e, "recipe")) &&
                merge(object, cln__entries_find(&e, "augmentation")) &&
                cln__json_add(object, "seed", cJSON_CreateNumber((double)t->options->seed));
    cln__entries_free(&e);
    char *text = good ? cln__json_print(object) : NULL;
    if (!good)
        cJSON_Delete(object);
    return text;
}

static cln_status write_hparams(cln__trainer *t) {
    static const char *const metrics[] = {"test_acc", "val_acc"};
    char *json = hparams_json(t);
    if (!json)
        return cln__fail_memory(t->ctx, "hyper-parameters for TensorBoard");
    cln_status status = cln_tensorboard_hparams(t->board, json, metrics, t->validation_loader ? 2 : 1);
    free(json);
    return status;
}

/* --- beginning --- */

static cln_status write_picture(cln__trainer *t, const cln_image *picture) {
    uint8_t *png;
    size_t size;
    CLN_TRY(cln_png_encode(t->ctx, picture->width, picture->height, picture->components, picture->pixels, &png, &size));
    cln_status status = cln_tensorboard_image(t->board, "augmentation", 0, png, size);
    free(png);
    return status;
}

/* The first training images, and what the network sees of them in the first epoch. */
static cln_status write_augmentation(cln__trainer *t) {
    const cln_loader_options how = {.seed = t->options->seed,
                                    .normalization = t->event.normalization,
                                    .augmentation = cln__fit_augmentation(t->options)};
    int count = t->division.train_count < PICTURES ? (int)t->division.train_count : PICTURES;
    cln_image picture;
    if (t->train->channels != 1 && t->train->channels != 3)
        return CLN_OK;
    CLN_TRY(cln_augmentation_grid(t->ctx, t->train, t->division.train, count, &how, 0, &picture));
    cln_status status = write_picture(t, &picture);
    cln_image_free(&picture);
    return status;
}

/* A process that was killed before the first step may have begun a file already. */
static cln_status open_first(cln__trainer *t) {
    bool at_start = t->position.epochs == 0 && t->position.steps == 0;
    char name[256] = "";
    if (at_start)
        CLN_TRY(cln__folder_events(t->ctx, &t->folder, name));
    return name[0] ? cln_tensorboard_append(t->ctx, t->folder.path, name, 0, &t->board)
                   : cln_tensorboard_open(t->ctx, t->folder.path, &t->board);
}

static cln_status begin(cln__trainer *t) {
    CLN_TRY(open_first(t));
    CLN_TRY(cln_tensorboard_graph(t->board, t->network.graph));
    CLN_TRY(write_hparams(t));
    CLN_TRY(write_augmentation(t));
    return cln_tensorboard_flush(t->board);
}

/* The file has a name with time and process in it, which the state of the run does not repeat: two runs with the same
 * options have the same state. */
static cln_status go_on(cln__trainer *t, bool *lost) {
    char name[256];
    CLN_TRY(cln__folder_events(t->ctx, &t->folder, name));
    cln_status status = name[0] ? cln_tensorboard_append(t->ctx, t->folder.path, name, t->event_bytes, &t->board)
                                : cln__fail(t->ctx, CLN_INVALID_FILE, "the run's folder has no event file any more");
    *lost = status == CLN_INVALID_FILE;
    char *why = *lost ? cln__error_copy(t->ctx) : NULL;
    if (why)
        cln__warn(t->ctx, "%s; what was lost stays lost, and a new event file is begun", why);
    free(why);
    return *lost ? CLN_OK : status;
}

cln_status cln__board_open(cln__trainer *t, bool *begun) {
    *begun = !t->options->no_tensorboard;
    if (*begun && t->event_bytes > 0)
        CLN_TRY(go_on(t, begun));
    return *begun ? begin(t) : CLN_OK;
}

/* --- curves --- */

static cln_status write_losses(cln__trainer *t, int64_t step) {
    const cln_fit_event *e = &t->event;
    CLN_TRY(cln_tensorboard_scalar(t->board, "train_loss", step, e->train_loss));
    CLN_TRY(cln_tensorboard_scalar(t->board, "train_acc", step, e->train_accuracy));
    if (e->validation.count == 0)
        return CLN_OK;
    CLN_TRY(cln_tensorboard_scalar(t->board, "val_loss", step, e->validation.loss));
    return cln_tensorboard_scalar(t->board, "val_acc", step, e->validation.accuracy);
}

/* At the epoch's first update, and where it changes within an epoch at every RATE_STEPS-th. */
static cln_status write_rates(cln__trainer *t, int64_t first, int64_t end) {
    const cln_recipe *recipe = &t->options->recipe;
    float shown = 0;
    for (int64_t step = first; step < end; step++) {
        float rate = cln_recipe_rates(recipe, step, cln__trainer_updates(t)).learning_rate;
        if (step != first && (step % RATE_STEPS != 0 || !(rate < shown || rate > shown)))
            continue;
        CLN_TRY(cln_tensorboard_scalar(t->board, cln__rate_name(recipe->optimizer.kind), step, (double)rate));
        shown = rate;
    }
    return CLN_OK;
}

/* Of the curves, a step is an update, as in Lightning. */
cln_status cln__board_epoch(cln__trainer *t) {
    int64_t first = (t->event.epoch - 1) * cln__trainer_updates(t), end = cln__trainer_updates_done(t);
    if (!t->board)
        return CLN_OK;
    CLN_TRY(write_rates(t, first, end));
    CLN_TRY(cln_tensorboard_scalar(t->board, "epoch", end - 1, t->event.epoch - 1));
    CLN_TRY(write_losses(t, end - 1));
    return cln_tensorboard_flush(t->board);
}

cln_status cln__board_test(cln__trainer *t, const cln_score *score) {
    int64_t step = cln__trainer_updates_done(t);
    if (!t->board)
        return CLN_OK;
    CLN_TRY(cln_tensorboard_scalar(t->board, "epoch", step, t->position.epochs));
    CLN_TRY(cln_tensorboard_scalar(t->board, "test_loss", step, score->loss));
    CLN_TRY(cln_tensorboard_scalar(t->board, "test_acc", step, score->accuracy));
    CLN_TRY(cln_tensorboard_end(t->board, true));
    return cln_tensorboard_flush(t->board);
}
