/* The metadata of weights files, written and read. Values are strings; what is structured is JSON in a string. */
#include "checkpoint.h"
#include "json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ENTRIES = 12, MAX_IMAGES = INT32_MAX, MAX_SIDE = 1 << 16 };

/* --- writing --- */

/* Metadata under construction; a NULL value is remembered as a lack of memory. */
typedef struct entries {
    cln_metadata at[MAX_ENTRIES];
    size_t count;
    bool failed;
} entries;

static void put(entries *e, const char *key, char *value) {
    if (!value || e->count == MAX_ENTRIES) {
        e->failed = true;
        free(value);
        return;
    }
    e->at[e->count++] = (cln_metadata){key, value};
}

static void add_float(cJSON *object, const char *name, double value) {
    cJSON *item = cln__json_float((float)value);
    if (item && !cJSON_AddItemToObject(object, name, item))
        cJSON_Delete(item);
}

static void add_floats(cJSON *object, const char *name, const float *values, int count) {
    cJSON *list = cJSON_AddArrayToObject(object, name);
    for (int i = 0; list && i < count; i++)
        cJSON_AddItemToArray(list, cln__json_float(values[i]));
}

static char *normalization_json(const cln_normalization *n) {
    cJSON *object = cJSON_CreateObject();
    add_floats(object, "mean", n->mean, n->channels);
    add_floats(object, "deviation", n->deviation, n->channels);
    return cln__json_print(object);
}

static char *recipe_json(const cln_fit_options *o) {
    static const char *const names[] = {"none", "sgd", "adam", "adamw"};
    const cln_recipe *r = &o->recipe;
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "optimizer", names[r->optimizer.kind]);
    add_float(object, "lr", (double)r->learning_rate);
    add_float(object, "weight_decay", (double)r->optimizer.weight_decay);
    if (r->optimizer.kind == CLN_SGD) {
        add_float(object, "momentum", (double)r->optimizer.momentum);
        cJSON_AddBoolToObject(object, "nesterov", r->optimizer.nesterov);
    }
    cJSON_AddNumberToObject(object, "batch_size", r->batch_size);
    cJSON_AddNumberToObject(object, "epochs", r->epochs);
    cJSON_AddItemToObject(object, "milestones", cJSON_CreateIntArray(r->milestones.values, r->milestones.count));
    add_float(object, "gamma", (double)r->gamma);
    add_float(object, "label_smoothing", (double)o->label_smoothing);
    return cln__json_print(object);
}

static char *split_json(const cln__checkpoint *c) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "training_images", (double)c->data->count);
    cJSON_AddNumberToObject(object, "validation_images", (double)c->validation_count);
    return cln__json_print(object);
}

static char *metrics_json(const cln_fit_event *m) {
    cJSON *object = cJSON_CreateObject();
    add_float(object, "train_loss", m->train_loss);
    add_float(object, "train_acc", m->train_accuracy);
    if (m->validation.count > 0) {
        add_float(object, "val_loss", m->validation.loss);
        add_float(object, "val_acc", m->validation.accuracy);
    }
    return cln__json_print(object);
}

cln_status cln__checkpoint_save(cln_context *ctx, cln_weights *weights, const char *path, const cln__checkpoint *c) {
    const cln_dataset *data = c->data;
    entries e = {.count = 0};
    put(&e, "library", cln__format("clnet %s", cln_version()));
    put(&e, "model", cln__format("%s", c->options->model->name));
    put(&e, "hparams", cln_hparams_print(c->options->model, c->hparams));
    put(&e, "image_shape", cln__format("[%d,%d,%d]", data->channels, data->height, data->width));
    put(&e, "normalization", normalization_json(&c->normalization));
    put(&e, "class_names",
        cln__json_print(cJSON_CreateStringArray((const char *const *)data->class_names, data->num_classes)));
    put(&e, "recipe", recipe_json(c->options));
    put(&e, "seed", cln__format("%" PRIu64, c->options->seed));
    put(&e, "split", split_json(c));
    put(&e, "epoch", cln__format("%d", c->epoch));
    put(&e, "metrics", metrics_json(c->metrics));
    cln_status status = e.failed ? cln__fail_memory(ctx, "the metadata of the weights")
                                 : cln_weights_save(ctx, weights, path, e.at, e.count);
    for (size_t i = 0; i < e.count; i++)
        free((char *)e.at[i].value);
    return status;
}

/* --- reading --- */

static bool read_shape(const cJSON *json, cln__origin *out) {
    int *const sides[3] = {&out->channels, &out->height, &out->width};
    if (!cJSON_IsArray(json) || cJSON_GetArraySize(json) != 3)
        return false;
    for (int i = 0; i < 3; i++) {
        int64_t side;
        if (!cln__json_int(cJSON_GetArrayItem(json, i), 1, MAX_SIDE, &side))
            return false;
        *sides[i] = (int)side;
    }
    return out->has_shape = true;
}

static bool read_floats(const cJSON *list, int count, float *out) {
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != count)
        return false;
    for (int i = 0; i < count; i++)
        if (!cln__json_to_float(cJSON_GetArrayItem(list, i), &out[i]))
            return false;
    return true;
}

static bool read_normalization(const cJSON *json, cln__origin *out) {
    cln_normalization *n = &out->normalization;
    const cJSON *mean = cJSON_GetObjectItemCaseSensitive(json, "mean");
    n->channels = cJSON_GetArraySize(mean);
    if (n->channels < 1 || n->channels > CLN_MAX_IMAGE_CHANNELS || !read_floats(mean, n->channels, n->mean) ||
        !read_floats(cJSON_GetObjectItemCaseSensitive(json, "deviation"), n->channels, n->deviation))
        return false;
    for (int i = 0; i < n->channels; i++)
        if (!(n->deviation[i] > 0))
            return false;
    return out->has_normalization = true;
}

static bool read_split(const cJSON *json, cln__origin *out) {
    if (!cln__json_int(cJSON_GetObjectItemCaseSensitive(json, "training_images"), 1, MAX_IMAGES,
                       &out->training_count) ||
        !cln__json_int(cJSON_GetObjectItemCaseSensitive(json, "validation_images"), 0, out->training_count - 1,
                       &out->validation_count))
        return false;
    return out->has_split = true;
}

static bool read_seed(const char *text, cln__origin *out) {
    char *end;
    errno = 0;
    out->seed = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && text[0] != '-';
}

static cln_status malformed(cln_context *ctx, const char *path, const char *key, const char *value) {
    return cln__fail(ctx, CLN_INVALID_FILE, "weights file '%s': its metadata '%s' is not of the expected form: %.100s",
                     path, key, value);
}

cln_status cln__checkpoint_origin(cln_context *ctx, const cln_safetensors *file, const char *path, cln__origin *out) {
    static const struct {
        const char *key;
        bool (*read)(const cJSON *json, cln__origin *out);
    } parts[] = {{"image_shape", read_shape}, {"normalization", read_normalization}, {"split", read_split}};
    *out = (cln__origin){.model = cln_safetensors_metadata(file, "model"),
                         .hparams = cln_safetensors_metadata(file, "hparams")};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const char *text = cln_safetensors_metadata(file, parts[i].key);
        if (!text)
            continue;
        cJSON *json = cln__json_parse(text);
        bool good = json && parts[i].read(json, out);
        cJSON_Delete(json);
        if (!good)
            return malformed(ctx, path, parts[i].key, text);
    }
    const char *seed = cln_safetensors_metadata(file, "seed");
    if (seed && !read_seed(seed, out))
        return malformed(ctx, path, "seed", seed);
    return CLN_OK;
}
