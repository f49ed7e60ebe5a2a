/* Saving a run between two steps and setting it up again. */
#include "resume.h"
#include "identity.h"
#include "json.h"
#include "schedule.h"
#include "stopping.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* --- the tensors --- */

typedef struct part {
    cln_weights *of;
    int weight; /* its index there */
    cln_slot slot;
    float *values; /* within parts.values */
} part;

/* Every tensor of the file with room for its values. */
typedef struct parts {
    size_t count;
    part *of;
    cln_file_tensor *tensors; /* the names are owned */
    float *values;
} parts;

static void parts_free(parts *p) {
    for (size_t i = 0; p->tensors && i < p->count; i++)
        free((char *)p->tensors[i].name);
    free(p->of);
    free(p->tensors);
    free(p->values);
}

/* The slots that the optimiser uses are CLN_VALUE and those from CLN_MOMENT1 to this one. */
static cln_slot last_slot(const cln_recipe *recipe) {
    cln_optimizer o = cln__schedule_optimizer(recipe);
    switch (o.kind) {
    case CLN_NO_OPTIMIZER:
        break;
    case CLN_SGD:
        return o.momentum > 0 ? CLN_MOMENT1 : CLN_VALUE;
    case CLN_ADAM:
    case CLN_ADAMW:
        return CLN_MOMENT2;
    }
    return CLN_VALUE;
}

static bool add_part(parts *p, const cln_weight_info *info, part of, const char *prefix) {
    cln_file_tensor *t = &p->tensors[p->count];
    *t = (cln_file_tensor){.name = cln__format("%s%s", prefix, info->name),
                           .dtype = CLN_F32,
                           .rank = info->rank,
                           .count = info->count,
                           .data = of.values};
    memcpy(t->shape, info->shape, sizeof info->shape);
    p->of[p->count++] = of;
    return t->name != NULL;
}

static cln_status parts_new(const cln__trainer *t, parts *p) {
    static const char *const prefixes[CLN_SLOT_COUNT] = {"", "", "optimizer.moment1.", "optimizer.moment2."};
    int weights = cln_weights_count(t->weights);
    size_t most = 4 * (size_t)weights + 1, elements = 1;
    for (int i = 0; i < weights; i++)
        elements += 4 * (size_t)cln_weights_info(t->weights, i).count;
    *p = (parts){.of = malloc(most * sizeof *p->of),
                 .tensors = malloc(most * sizeof *p->tensors),
                 .values = malloc(elements * sizeof *p->values)};
    bool ok = p->of && p->tensors && p->values;
    float *values = p->values;
    cln_slot last = last_slot(&t->options->recipe);
    for (int slot = CLN_VALUE; ok && slot <= (int)last; slot++)
        for (int i = 0; ok && slot != CLN_GRADIENT && i < weights; i++) {
            cln_weight_info info = cln_weights_info(t->weights, i);
            if (slot != CLN_VALUE && !info.trainable)
                continue;
            ok = add_part(p, &info, (part){t->weights, i, (cln_slot)slot, values}, prefixes[slot]);
            values += info.count;
        }
    for (int i = 0; ok && t->average && i < weights; i++) {
        cln_weight_info info = cln_weights_info(t->average, i);
        ok = add_part(p, &info, (part){t->average, i, CLN_VALUE, values}, "ema.");
        values += info.count;
    }
    if (ok)
        return CLN_OK;
    parts_free(p);
    return cln__fail_memory(t->ctx, "the state of the run");
}

/* --- the metadata --- */

/* Of these, in this order, and of the tensors the checksum is made. */
static const char *const summed[] = {
    "library", "model", "hparams", "image_shape", "class_names", "normalization", "recipe",  "augmentation",
    "seed",    "split", "epoch",   "data",        "monitor",     "progress",      "choices", "init_weights"};

/* A text counts with its final zero, so that neighbours cannot trade characters. */
static uLong add_text(uLong crc, const char *text) {
    return text ? crc32(crc, (const unsigned char *)text, (uInt)(strlen(text) + 1)) : crc;
}

static uLong add_tensor(uLong crc, const cln_file_tensor *t) {
    const unsigned char *at = t->data;
    for (size_t left = (size_t)t->count * cln_dtype_size(t->dtype), size; left > 0; at += size, left -= size) {
        size = left < (1u << 30) ? left : 1u << 30;
        crc = crc32(crc, at, (uInt)size);
    }
    return crc;
}

static void put_ranking(cJSON *object, const cln__ranking *r) {
    cJSON *list = cln__json_add(object, "ranking", cJSON_CreateArray());
    for (int i = 0; list && i < r->count; i++) {
        cJSON *entry = cJSON_CreateObject();
        cln__json_add(entry, "epoch", cJSON_CreateNumber(r->at[i].epoch));
        cln__json_put_bits(entry, "score", r->at[i].score);
        cln__json_append(list, entry);
    }
}

static char *progress_json(const cln__trainer *t) {
    const cln__position *p = &t->position;
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "epochs", cJSON_CreateNumber(p->epochs));
    cln__json_add(object, "steps", cJSON_CreateNumber((double)p->steps));
    cln__json_add(object, "updates", cJSON_CreateNumber((double)cln_plan_updates(t->train_plan)));
    cln__json_put_bits(object, "loss", p->loss);
    cln__json_put_bits(object, "correct", p->correct);
    cln__json_put_bits(object, "images", p->images);
    put_ranking(object, &t->ranking);
    if (t->options->patience > 0)
        cln__stopping_write(&t->stopping, object);
    cln__json_add(object, "validation_correct", cJSON_CreateNumber((double)t->validation.correct));
    cln__json_add(object, "validation_count", cJSON_CreateNumber((double)t->validation.count));
    cln__json_put_bits(object, "validation_loss", t->validation.loss);
    if (t->board)
        cln__json_add(object, "event_bytes", cJSON_CreateNumber((double)cln_tensorboard_bytes(t->board)));
    return cln__json_print(object);
}

static bool get_int(const cJSON *object, const char *name, int64_t max, int64_t *out) {
    return cln__json_int(cJSON_GetObjectItemCaseSensitive(object, name), 0, max, out);
}

static bool get_ranking(const cJSON *object, int64_t epochs, cln__ranking *r) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, "ranking"), *entry;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > r->capacity)
        return false;
    r->count = 0;
    cJSON_ArrayForEach(entry, list) {
        int64_t epoch;
        double score;
        if (!get_int(entry, "epoch", epochs, &epoch) || epoch == 0 || cln__ranking_has(r, (int)epoch) ||
            !cln__json_get_bits(entry, "score", &score))
            return false;
        r->at[r->count++] = (cln__ranked){(int)epoch, score};
    }
    return r->count == (epochs / r->every < r->capacity ? epochs / r->every : r->capacity);
}

static bool get_progress(cln__trainer *t, const cJSON *object) {
    int64_t epochs, updates;
    cln__position *p = &t->position;
    cln_score *v = &t->validation;
    if (!get_int(object, "epochs", cln__trainer_epochs(t), &epochs) ||
        !get_int(object, "steps", t->event.steps, &p->steps) || !get_int(object, "updates", INT64_MAX / 2, &updates))
        return false;
    p->epochs = (int)epochs;
    if (updates != cln__trainer_updates_done(t) ||
        (t->options->patience > 0 && !cln__stopping_read(object, epochs, t->options, &t->stopping)))
        return false;
    if (!cln__json_get_bits(object, "loss", &p->loss) || !cln__json_get_bits(object, "correct", &p->correct) ||
        !cln__json_get_bits(object, "images", &p->images) || !get_ranking(object, epochs, &t->ranking) ||
        !get_int(object, "validation_count", t->event.validation_images, &v->count) ||
        !get_int(object, "validation_correct", v->count, &v->correct) ||
        !cln__json_get_bits(object, "validation_loss", &v->loss))
        return false;
    if (cJSON_HasObjectItem(object, "event_bytes") && !get_int(object, "event_bytes", INT64_MAX / 2, &t->event_bytes))
        return false;
    v->accuracy = v->count > 0 ? (double)v->correct / (double)v->count : 0;
    return true;
}

/* --- saving --- */

static cln_status fetch_all(const parts *p) {
    for (size_t i = 0; i < p->count; i++)
        CLN_TRY(cln_weights_get(p->of[i].of, p->of[i].weight, p->of[i].slot, p->of[i].values, p->tensors[i].count));
    return CLN_OK;
}

static cln_status describe(const cln__trainer *t, const parts *p, cln__entries *e) {
    cln__identity_describe(t, e);
    cln__entries_put(e, "progress", progress_json(t));
    uLong crc = crc32(0, NULL, 0);
    for (size_t i = 0; i < sizeof summed / sizeof *summed; i++)
        crc = add_text(crc, cln__entries_find(e, summed[i]));
    for (size_t i = 0; i < p->count; i++)
        crc = add_tensor(crc, &p->tensors[i]);
    cln__entries_put(e, "crc32", cln__format("%08lx", (unsigned long)crc));
    return e->failed ? cln__fail_memory(t->ctx, "the state of the run") : CLN_OK;
}

cln_status cln__resume_save(cln__trainer *t) {
    parts p;
    cln__entries e = {.count = 0};
    CLN_TRY(parts_new(t, &p));
    cln_status status = fetch_all(&p);
    if (status == CLN_OK)
        status = describe(t, &p, &e);
    if (status == CLN_OK)
        status = cln_safetensors_write(t->ctx, t->folder.resume, p.tensors, p.count, e.at, e.count);
    cln__entries_free(&e);
    parts_free(&p);
    t->saved_s = cln__now_s();
    if (status == CLN_OK) {
        t->is_saved = true;
        t->saved = t->position;
    }
    return status;
}

/* --- going on --- */

static cln_status check_sum(const cln__trainer *t) {
    const cln_safetensors *file = t->resumed;
    uLong crc = crc32(0, NULL, 0);
    char text[16];
    for (size_t i = 0; i < sizeof summed / sizeof *summed; i++)
        crc = add_text(crc, cln_safetensors_metadata(file, summed[i]));
    for (size_t i = 0; i < cln_safetensors_count(file); i++)
        crc = add_tensor(crc, cln_safetensors_at(file, i));
    snprintf(text, sizeof text, "%08lx", (unsigned long)crc);
    if (strcmp(text, cln_safetensors_metadata(file, "crc32")) == 0)
        return CLN_OK;
    return cln__fail(t->ctx, CLN_INVALID_FILE, "cannot resume from '%s': it is damaged (its checksum is wrong)",
                     t->options->resume);
}

cln_status cln__resume_check_epoch(const cln__trainer *t, const char *found, const char *path, int epoch) {
    if (found && atoi(found) == epoch)
        return CLN_OK;
    return cln__fail(t->ctx, CLN_INVALID_FILE,
                     "'%s' has the weights of epoch %.20s, but those of epoch %d belong there by the state of the run",
                     path, found ? found : "unknown", epoch);
}

/* Of the best weights, a later epoch's will do: they are those of a process that was killed before it saved the state,
 * or the state is an older one that was put back; either way the run comes to that epoch again. */
static cln_status check_origin(const cln__trainer *t, const cln_safetensors *file, const char *path, int epoch) {
    const char *found = cln_safetensors_metadata(file, "epoch");
    CLN_TRY(cln__identity_check_options(t, file, path));
    bool later = found && atoi(found) > t->position.epochs && epoch == cln__ranking_best(&t->ranking);
    return later ? CLN_OK : cln__resume_check_epoch(t, found, path, epoch);
}

/* Weights to which the state refers. */
static cln_status check_weights(const cln__trainer *t, const char *path, int epoch) {
    cln_safetensors *file;
    if (access(path, F_OK) != 0)
        return cln__fail(t->ctx, CLN_IO,
                         "cannot resume from '%s': '%s' with the weights of epoch %d, one of the best so far, is not "
                         "there",
                         t->options->resume, path, epoch);
    CLN_TRY(cln_safetensors_read(t->ctx, path, &file));
    cln_status status = check_origin(t, file, path, epoch);
    cln_safetensors_free(file);
    return status;
}

static cln_status check_ranked(const cln__trainer *t, const char *format, int epoch) {
    char *path = cln__format(format, t->options->out, epoch);
    cln_status status = path ? check_weights(t, path, epoch) : cln__fail_memory(t->ctx, "a file name");
    free(path);
    return status;
}
static cln_status check_all_ranked(const cln__trainer *t) {
    int best = cln__ranking_best(&t->ranking);
    if (best > 0)
        CLN_TRY(check_ranked(t, "%s/best.safetensors", best));
    for (int i = 0; t->ranking.capacity > 1 && i < t->ranking.count; i++)
        CLN_TRY(check_ranked(t, "%s/epoch=%02d.safetensors", t->ranking.at[i].epoch));
    return CLN_OK;
}

/* A run goes on where its state lies: all that the state refers to is there, and nothing of another run. */
static cln_status check_folder(const cln__trainer *t) {
    const char *path = t->options->resume, *out = t->options->out;
    struct stat given, own;
    char *expected = cln__format("%s/resume.safetensors", out);
    if (!expected)
        return cln__fail_memory(t->ctx, "a file name");
    bool same = stat(path, &given) == 0 && stat(expected, &own) == 0 && given.st_dev == own.st_dev &&
                given.st_ino == own.st_ino;
    free(expected);
    if (same)
        return CLN_OK;
    return cln__fail(t->ctx, CLN_INVALID_ARGUMENT,
                     "cannot resume from '%s' in '%s': a run goes on in the folder that holds its state, as "
                     "resume.safetensors; to continue elsewhere, copy the run's folder",
                     path, out);
}

cln_status cln__resume_read(cln__trainer *t) {
    const char *path = t->options->resume;
    CLN_TRY(cln_safetensors_read(t->ctx, path, &t->resumed));
    if (!cln_safetensors_metadata(t->resumed, "progress") || !cln_safetensors_metadata(t->resumed, "crc32"))
        return cln__fail(t->ctx, CLN_INVALID_FILE,
                         "cannot resume from '%s': it holds no state of a run (weights alone do not; the file to give "
                         "is resume.safetensors of the run's folder)",
                         path);
    CLN_TRY(check_folder(t));
    return check_sum(t);
}

cln_status cln__resume_open(cln__trainer *t) {
    const char *path = t->options->resume, *progress = cln_safetensors_metadata(t->resumed, "progress");
    CLN_TRY(cln__identity_check(t, t->resumed, path));
    cJSON *object = cln__json_parse(progress);
    bool good = object && get_progress(t, object);
    cJSON_Delete(object);
    if (!good)
        return cln__fail(t->ctx, CLN_INVALID_FILE,
                         "cannot resume from '%s': its progress is not that of this run: %.200s", path, progress);
    return check_all_ranked(t);
}

static cln_status check_tensors(const cln__trainer *t, const parts *p) {
    const char *path = t->options->resume;
    for (size_t i = 0; i < p->count; i++) {
        const cln_file_tensor *expected = &p->tensors[i], *found = cln_safetensors_find(t->resumed, expected->name);
        if (!found || found->dtype != CLN_F32 || found->rank != expected->rank ||
            memcmp(found->shape, expected->shape, sizeof(int64_t) * (size_t)expected->rank) != 0)
            return cln__fail(t->ctx, CLN_INVALID_FILE,
                             "cannot resume from '%s': tensor '%s' is missing or not of the network's shape", path,
                             expected->name);
    }
    if (cln_safetensors_count(t->resumed) != p->count)
        return cln__fail(t->ctx, CLN_INVALID_FILE, "cannot resume from '%s': it has %zu tensors, expected %zu", path,
                         cln_safetensors_count(t->resumed), p->count);
    return CLN_OK;
}

static cln_status restore(cln__trainer *t, const parts *p) {
    CLN_TRY(check_tensors(t, p));
    CLN_TRY(cln__identity_warn(t, t->resumed, t->options->resume));
    for (size_t i = 0; i < p->count; i++) {
        cln_file_tensor_to_float(cln_safetensors_find(t->resumed, p->tensors[i].name), p->of[i].values);
        CLN_TRY(cln_weights_set(p->of[i].of, p->of[i].weight, p->of[i].slot, p->of[i].values, p->tensors[i].count));
    }
    t->saved_s = cln__now_s();
    cln_plan_set_updates(t->train_plan, cln__trainer_updates_done(t));
    cln_plan_set_steps(t->train_plan, cln__trainer_steps_done(t));
    return CLN_OK;
}

cln_status cln__resume_apply(cln__trainer *t) {
    parts p;
    CLN_TRY(parts_new(t, &p));
    cln_status status = restore(t, &p);
    parts_free(&p);
    cln_safetensors_free(t->resumed);
    t->resumed = NULL;
    return status;
}
