/* The metadata of weights files, read. */
#include "origin.h"
#include "json.h"
#include "network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_IMAGES = INT32_MAX, MAX_SIDE = 1 << 16, MAX_EPOCHS = 1000000000 };

static const cJSON *member(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* --- our own files --- */

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
    const cJSON *mean = member(json, "mean");
    n->channels = cJSON_GetArraySize(mean);
    if (n->channels < 1 || n->channels > CLN_MAX_IMAGE_CHANNELS || !read_floats(mean, n->channels, n->mean) ||
        !read_floats(member(json, "deviation"), n->channels, n->deviation))
        return false;
    for (int i = 0; i < n->channels; i++)
        if (!(n->deviation[i] > 0))
            return false;
    return out->has_normalization = true;
}

static bool read_split(const cJSON *json, cln__origin *out) {
    if (!cln__json_int(member(json, "training_images"), 1, MAX_IMAGES, &out->training_count) ||
        !cln__json_int(member(json, "validation_images"), 0, out->training_count - 1, &out->validation_count))
        return false;
    return out->has_split = true;
}

/* What is of no use is not worth a failure: nothing depends on these. */
static bool read_recipe(const cJSON *json, cln__origin *out) {
    const char *name = cJSON_GetStringValue(member(json, "optimizer"));
    if (name)
        cln_optimizer_parse(name, &out->optimizer.kind);
    cln__json_to_float(member(json, "lr"), &out->learning_rate);
    cln__json_to_float(member(json, "momentum"), &out->optimizer.momentum);
    cln__json_to_float(member(json, "weight_decay"), &out->optimizer.weight_decay);
    return true;
}

/* Lightning calls it the same, and counts completed epochs, too. */
static bool read_epoch(const cJSON *json, cln__origin *out) {
    int64_t epoch;
    if (cln__json_int(json, 0, MAX_EPOCHS, &epoch))
        out->epoch = (int)epoch;
    return true;
}

/* Drawn and written elsewhere, so they must be UTF-8. */
static bool read_class_names(const cJSON *json, cln__origin *out) {
    int count = cJSON_IsArray(json) ? cJSON_GetArraySize(json) : 0;
    if (count == 0)
        return false;
    out->class_names = calloc((size_t)count, sizeof *out->class_names);
    out->lacks_memory = !out->class_names;
    if (out->lacks_memory)
        return false;
    const cJSON *item = json->child;
    for (; out->class_count < count; out->class_count++, item = item->next) {
        const char *name = cJSON_GetStringValue(item);
        bool good = name && cln_is_utf8(name);
        char *copy = good ? cln__format("%s", name) : NULL;
        out->lacks_memory = good && !copy;
        if (!copy)
            return false;
        out->class_names[out->class_count] = copy;
    }
    return true;
}

static bool read_seed(const char *text, cln__origin *out) {
    char *end;
    errno = 0;
    out->seed = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && text[0] != '-';
}

/* --- checkpoints of PyTorch Lightning --- */

static bool copy_text(const char *text, char **out) {
    *out = text ? cln__format("%s", text) : NULL;
    return !text || *out;
}

/* The recipe's "Adam" was AdamW. */
static cln_optimizer_kind optimizer_kind(const char *name) {
    static const struct {
        const char *name;
        cln_optimizer_kind kind;
    } kinds[] = {{"SGD", CLN_SGD}, {"Adam", CLN_ADAMW}, {"AdamW", CLN_ADAMW}};
    for (size_t i = 0; name && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return kinds[i].kind;
    return CLN_NO_OPTIMIZER;
}

/* What the published code calls a ResNet has a name of its own here when its blocks are those of ResNetPreAct. */
static const char *model_name(const cJSON *hyper) {
    const char *name = cJSON_GetStringValue(member(hyper, "model_name"));
    const char *block = cJSON_GetStringValue(member(member(hyper, "model_hparams"), "block_name"));
    return name && block && strcmp(name, "ResNet") == 0 && strcmp(block, "PreActResNetBlock") == 0 ? "ResNetPreAct"
                                                                                                   : name;
}

/* A checkpoint that names its model comes from the published code, whose images were normalised by the published values
 * and nothing else. */
static cln_status import_lightning(cln_context *ctx, const cJSON *hyper, cln__origin *out) {
    const char *name = model_name(hyper);
    const cJSON *hparams = member(hyper, "model_hparams");
    if (!name)
        return CLN_OK;
    out->lightning = true;
    read_recipe(member(hyper, "optimizer_hparams"), out);
    out->optimizer.kind = optimizer_kind(cJSON_GetStringValue(member(hyper, "optimizer_name")));
    char *text = cJSON_IsObject(hparams) ? cJSON_PrintUnformatted(hparams) : NULL;
    bool good = copy_text(name, &out->model) && copy_text(text, &out->hparams) && (text || !cJSON_IsObject(hparams));
    cJSON_free(text);
    if (!good)
        return cln__fail_memory(ctx, "the hyper-parameters of a checkpoint");
    if (out->has_normalization)
        return CLN_OK;
    out->has_normalization = true;
    return cln_normalization_choose(ctx, "cifar10", NULL, &out->normalization);
}

/* --- both --- */

static cln_status malformed(cln_context *ctx, const char *path, const char *key, const char *value) {
    return cln__fail(ctx, CLN_INVALID_FILE, "weights file '%s': its metadata '%s' is not of the expected form: %.100s",
                     path, key, value);
}

static cln_status read_parts(cln_context *ctx, const cln_weights_file *file, const char *path, cln__origin *out) {
    static const struct {
        const char *key;
        bool (*read)(const cJSON *json, cln__origin *out);
    } parts[] = {{"image_shape", read_shape},       {"normalization", read_normalization},
                 {"class_names", read_class_names}, {"split", read_split},
                 {"recipe", read_recipe},           {"epoch", read_epoch}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const char *text = cln_weights_file_metadata(file, parts[i].key);
        if (!text)
            continue;
        cJSON *json = cln__json_parse(text, NULL, &out->lacks_memory);
        bool good = !out->lacks_memory && parts[i].read(json, out);
        cJSON_Delete(json);
        if (!good)
            return out->lacks_memory ? cln__fail_memory(ctx, path) : malformed(ctx, path, parts[i].key, text);
    }
    return CLN_OK;
}

cln_status cln__origin_read(cln_context *ctx, const cln_weights_file *file, const char *path, cln__origin *out) {
    *out = (cln__origin){.model = NULL};
    CLN_TRY(read_parts(ctx, file, path, out));
    const char *seed = cln_weights_file_metadata(file, "seed");
    if (seed && !read_seed(seed, out))
        return malformed(ctx, path, "seed", seed);
    const char *model = cln_weights_file_metadata(file, "model");
    const char *hyper_parameters = cln_weights_file_metadata(file, "hyper_parameters");
    if (model || !hyper_parameters)
        return copy_text(model, &out->model) && copy_text(cln_weights_file_metadata(file, "hparams"), &out->hparams) &&
                       copy_text(cln_weights_file_metadata(file, "split_indices"), &out->split_indices)
                   ? CLN_OK
                   : cln__fail_memory(ctx, "the metadata of a weights file");
    cJSON *json = cln__json_parse(hyper_parameters, NULL, &out->lacks_memory);
    cln_status status = json                ? import_lightning(ctx, json, out)
                        : out->lacks_memory ? cln__fail_memory(ctx, path)
                                            : malformed(ctx, path, "hyper_parameters", hyper_parameters);
    cJSON_Delete(json);
    return status;
}

void cln__origin_free(cln__origin *origin) {
    free(origin->model);
    free(origin->hparams);
    free(origin->split_indices);
    for (int i = 0; i < origin->class_count; i++)
        free(origin->class_names[i]);
    free(origin->class_names);
    *origin = (cln__origin){.model = NULL};
}

/* --- from what it says to the network --- */

cln_status cln__origin_model(cln_context *ctx, const cln__origin *origin, const char *path,
                             const cln_model *const *models, int count, const cln_model *wanted,
                             const cln_model **out) {
    *out = wanted;
    if (wanted)
        return CLN_OK;
    if (!origin->model)
        return cln__fail(ctx, CLN_INVALID_FILE,
                         "weights file '%s': its metadata names no model; say which one it belongs to (--model)", path);
    for (int i = 0; i < count; i++)
        if (strcmp(models[i]->name, origin->model) == 0)
            *out = models[i];
    return *out ? CLN_OK
                : cln__fail(ctx, CLN_INVALID_FILE, "weights file '%s': it is of an unknown model '%.100s'", path,
                            origin->model);
}

cln_status cln__origin_hparams(cln_context *ctx, const cln__origin *origin, const char *path, const cln_model *model,
                               const char *json, const cln_dataset *data, void **out) {
    bool own = !json && origin->hparams && origin->model && strcmp(origin->model, model->name) == 0;
    cln_status status = cln_hparams_new(ctx, model, own ? origin->hparams : json, out);
    if (status == CLN_OK && !own && !json && data)
        cln__hparams_fit_data(model, *out, data);
    char *why = status == CLN_INVALID_ARGUMENT && own ? cln__error_copy(ctx) : NULL;
    if (why)
        status = cln__fail(ctx, CLN_INVALID_FILE, "weights file '%s': %s", path, why);
    free(why);
    return status;
}

cln_status cln_training_record_read(cln_context *ctx, const char *weights, cln_training_record *out) {
    cln_weights_file *file;
    cln__origin origin;
    *out = (cln_training_record){.epochs = 0};
    CLN_TRY(cln_weights_file_read(ctx, weights, &file));
    cln_status status = cln__origin_read(ctx, file, weights, &origin);
    if (status == CLN_OK) {
        *out = (cln_training_record){.epochs = origin.epoch,
                                     .optimizer = origin.optimizer,
                                     .learning_rate = origin.learning_rate,
                                     .has_split = origin.has_split,
                                     .training_images = origin.training_count,
                                     .validation_images = origin.validation_count};
        snprintf(out->model, sizeof out->model, "%s", origin.model ? origin.model : "");
    }
    cln__origin_free(&origin);
    cln_weights_file_free(file);
    return status;
}
