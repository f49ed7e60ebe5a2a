/* See progress.h. */
#include "progress.h"
#include "json.h"
#include "stopping.h"

static void put_ranking(cJSON *object, const cln__ranking *r) {
    cJSON *list = cln__json_add(object, "ranking", cJSON_CreateArray());
    for (int i = 0; list && i < r->count; i++) {
        cJSON *entry = cJSON_CreateObject();
        cln__json_add(entry, "epoch", cJSON_CreateNumber(r->at[i].epoch));
        cln__json_put_bits(entry, "score", r->at[i].score);
        cln__json_append(list, entry);
    }
}

char *cln__progress_print(const cln__trainer *t) {
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

cln_status cln__progress_read(cln__trainer *t, const char *path, const char *text) {
    bool lacks_memory;
    cJSON *object = cln__json_parse(text, NULL, &lacks_memory);
    bool good = object && get_progress(t, object);
    cJSON_Delete(object);
    if (lacks_memory)
        return cln__fail_memory(t->ctx, "the progress of a run");
    return good ? CLN_OK
                : cln__fail(t->ctx, CLN_INVALID_FILE,
                            "cannot resume from '%s': its progress is not that of this run: %.200s", path, text);
}
