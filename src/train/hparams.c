/* Hyper-parameters of models: structs described by a table of fields, to and from JSON. */
#include "clnet/train.h"
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *at(const cln_field *field, const void *hparams) {
    return (char *)hparams + field->offset;
}

static const cln_field *find(const cln_model *model, const char *name) {
    for (int i = 0; i < model->field_count; i++)
        if (strcmp(model->fields[i].name, name) == 0)
            return &model->fields[i];
    return NULL;
}

/* --- from JSON --- */

/* "one of a, b, c", cut to `size`. */
static const char *list_choices(const char *const *choices, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; choices[i] && used < size; i++) {
        int written = snprintf(text + used, size - used, "%s%s", i ? ", " : "one of ", choices[i]);
        used += written > 0 ? (size_t)written : 0;
    }
    return text;
}

static bool set_ints(const cln_field *field, const cJSON *value, cln_ints *out) {
    int count = cJSON_IsArray(value) ? cJSON_GetArraySize(value) : 0;
    if (count < 1 || count > CLN_MAX_INTS)
        return false;
    cln_ints list = {.count = count};
    const cJSON *item = value->child;
    for (int i = 0; i < count; i++, item = item->next) {
        int64_t number;
        if (!cln__json_int(item, 1, field->max, &number))
            return false;
        list.values[i] = (int)number;
    }
    *out = list;
    return true;
}

static bool set_choice(const cln_field *field, const cJSON *value, int *out) {
    for (int i = 0; cJSON_IsString(value) && field->choices[i]; i++)
        if (strcmp(field->choices[i], value->valuestring) == 0) {
            *out = i;
            return true;
        }
    return false;
}

/* On failure `expected` says what would have been right. */
static bool set_field(const cln_field *field, const cJSON *value, void *target, char *expected, size_t size) {
    int64_t number;
    switch (field->kind) {
    case CLN_FIELD_INT:
        snprintf(expected, size, "a whole number from 1 to %d", field->max);
        if (!cln__json_int(value, 1, field->max, &number))
            return false;
        *(int *)target = (int)number;
        return true;
    case CLN_FIELD_INTS:
        snprintf(expected, size, "a list of 1 to %d whole numbers from 1 to %d", CLN_MAX_INTS, field->max);
        return set_ints(field, value, target);
    case CLN_FIELD_ACTIVATION:
        snprintf(expected, size, "one of identity, relu, leakyrelu, tanh, gelu");
        return cJSON_IsString(value) && cln_activation_parse(value->valuestring, target);
    case CLN_FIELD_CHOICE:
        list_choices(field->choices, expected, size);
        return set_choice(field, value, target);
    }
    return false;
}

static cln_status unknown_field(cln_context *ctx, const cln_model *model, const char *name) {
    const char *names[64], *nearest;
    size_t count = 0;
    for (int i = 0; i < model->field_count && count < sizeof names / sizeof *names; i++)
        names[count++] = model->fields[i].name;
    nearest = cln_nearest_name(name, names, count);
    return cln__fail(ctx, CLN_INVALID_ARGUMENT, "hyper-parameters of %s: there is no '%s'%s%s%s", model->name, name,
                     nearest ? ": did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

static cln_status set_all(cln_context *ctx, const cln_model *model, const cJSON *object, void *hparams) {
    if (!cJSON_IsObject(object))
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "hyper-parameters of %s: expected a JSON object, as in {\"num_classes\": 10}", model->name);
    for (const cJSON *item = object->child; item; item = item->next) {
        const cln_field *field = find(model, item->string);
        char expected[256];
        if (!field)
            return unknown_field(ctx, model, item->string);
        if (!set_field(field, item, at(field, hparams), expected, sizeof expected)) {
            char *found = cJSON_PrintUnformatted(item);
            cln_status status =
                cln__fail(ctx, CLN_INVALID_ARGUMENT, "hyper-parameters of %s: %s: expected %s, found %s", model->name,
                          field->name, expected, found ? found : "another value");
            cJSON_free(found);
            return status;
        }
    }
    return CLN_OK;
}

cln_status cln_hparams_new(cln_context *ctx, const cln_model *model, const char *json, void **out) {
    *out = NULL;
    void *hparams = malloc(model->hparams_size ? model->hparams_size : 1);
    if (!hparams)
        return cln__fail_memory(ctx, "the hyper-parameters");
    if (model->hparams_size)
        memcpy(hparams, model->defaults, model->hparams_size);
    bool lacks_memory = false;
    cJSON *object = json ? cln__json_parse(json, NULL, &lacks_memory) : NULL;
    cln_status status = lacks_memory ? cln__fail_memory(ctx, "the hyper-parameters")
                        : json       ? set_all(ctx, model, object, hparams)
                                     : CLN_OK;
    cJSON_Delete(object);
    if (status != CLN_OK) {
        free(hparams);
        return status;
    }
    *out = hparams;
    return CLN_OK;
}

bool cln_hparams_set_int(const cln_model *model, void *hparams, const char *name, int value) {
    const cln_field *field = find(model, name);
    if (!field || field->kind != CLN_FIELD_INT)
        return false;
    *(int *)at(field, hparams) = value;
    return true;
}

bool cln_hparams_get_int(const cln_model *model, const void *hparams, const char *name, int *value) {
    const cln_field *field = find(model, name);
    if (!field || field->kind != CLN_FIELD_INT)
        return false;
    *value = *(const int *)at(field, hparams);
    return true;
}

/* --- to JSON --- */

static cJSON *print_field(const cln_field *field, const void *value) {
    switch (field->kind) {
    case CLN_FIELD_INT:
        return cJSON_CreateNumber(*(const int *)value);
    case CLN_FIELD_INTS:
        return cJSON_CreateIntArray(((const cln_ints *)value)->values, ((const cln_ints *)value)->count);
    case CLN_FIELD_ACTIVATION:
        return cJSON_CreateString(cln_activation_name(*(const cln_activation *)value));
    case CLN_FIELD_CHOICE:
        return cJSON_CreateString(field->choices[*(const int *)value]);
    }
    return NULL;
}

char *cln_hparams_print(const cln_model *model, const void *hparams) {
    cJSON *object = cJSON_CreateObject();
    for (int i = 0; object && i < model->field_count; i++) {
        const cln_field *field = &model->fields[i];
        cln__json_add(object, field->name, print_field(field, at(field, hparams)));
    }
    return cln__json_print(object);
}
