/* Describing and comparing runs. */
#include "identity.h"
#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* --- describing --- */

uint32_t cln__identity_data(const cln__trainer *t) {
    const cln_dataset *d = t->train;
    size_t image = (size_t)d->channels * (size_t)d->height * (size_t)d->width;
    const cln__division *s = &t->division;
    uLong crc = crc32_z(0, d->images, (size_t)d->count * image);
    crc = crc32_z(crc, (const void *)d->labels, (size_t)d->count * sizeof *d->labels);
    crc = crc32_z(crc, (const void *)s->train, (size_t)s->train_count * sizeof *s->train);
    if (s->validation) /* NULL would begin anew */
        crc = crc32_z(crc, (const void *)s->validation, (size_t)s->validation_count * sizeof *s->validation);
    return (uint32_t)crc;
}

static char *data_json(const cln__trainer *t) {
    char text[16];
    snprintf(text, sizeof text, "%08" PRIx32, t->data_checksum);
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "images", cJSON_CreateNumber((double)t->train->count));
    cln__json_add(object, "checksum", cJSON_CreateString(text));
    return cln__json_print(object);
}

static char *monitor_json(const cln__trainer *t) {
    const cln__ranking *r = &t->ranking;
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "monitor", cJSON_CreateString(cln_monitor_name(r->monitor)));
    cln__json_add(object, "mode", cJSON_CreateString(r->lowest ? "min" : "max"));
    cln__json_add(object, "save_top_k", cJSON_CreateNumber(r->capacity));
    cln__json_add(object, "save_last", cJSON_CreateBool(!t->options->no_last));
    if (t->options->patience > 0) {
        cln__json_add(object, "patience", cJSON_CreateNumber(t->options->patience));
        cln__json_add(object, "min_delta", cJSON_CreateNumber(t->options->min_delta));
    }
    return cln__json_print(object);
}

/* Drivers write what they like; metadata is UTF-8. */
static char *device_text(const cln_device_info *device) {
    char *text = cln__format("%s; %s", device->name, device->driver_version);
    for (char *c = text; c && *c; c++)
        if ((unsigned char)*c >= 0x80 || (unsigned char)*c < 0x20)
            *c = '?';
    return text;
}

void cln__identity_describe(const cln__trainer *t, cln__entries *entries) {
    cln__checkpoint checkpoint = {.options = t->options,
                                  .hparams = t->hparams,
                                  .data = t->train,
                                  .division = &t->division,
                                  .normalization = t->event.normalization,
                                  .epoch = t->position.epochs,
                                  .init_weights = t->initialised_by,
                                  .plan = t->train_plan,
                                  .evaluation_plan = t->evaluation_plan};
    cln__checkpoint_describe(&checkpoint, entries);
    cln__entries_put(entries, "data", data_json(t));
    cln__entries_put(entries, "monitor", monitor_json(t));
    cln__entries_put(entries, "device", device_text(cln_device_get_info(t->device)));
}

/* --- comparing --- */

static cln_status differs(cln_context *ctx, const char *path, const char *what, const char *theirs, const char *ours,
                          const char *hint) {
    return cln__fail(ctx, CLN_INVALID_ARGUMENT, "cannot resume from '%s': its run has %s %.200s, this one %.200s%s",
                     path, what, theirs ? theirs : "none", ours ? ours : "none", hint);
}

static cln_status member_differs(cln_context *ctx, const char *path, const char *key, const char *name,
                                 const cJSON *theirs, const cJSON *ours) {
    char *their_text = theirs ? cJSON_PrintUnformatted(theirs) : NULL;
    char *our_text = ours ? cJSON_PrintUnformatted(ours) : NULL;
    char *what = cln__format("%s '%s'", key, name);
    const char *hint = strcmp(name, "milestones") == 0 ? " (they follow the number of epochs unless they are given)"
                       : strcmp(name, "epochs") == 0
                           ? " (there may be more only where the learning rate does not follow their number)"
                           : "";
    bool whole = what && !theirs == !their_text && !ours == !our_text;
    cln_status status =
        whole ? differs(ctx, path, what, their_text, our_text, hint) : cln__fail_memory(ctx, "a message");
    free(what);
    cJSON_free(their_text);
    cJSON_free(our_text);
    return status;
}

/* More epochs than before are welcome, unless the learning rate depends on how many there are. */
static bool is_longer(const cJSON *recipe, const char *name, const cJSON *theirs, const cJSON *ours) {
    const char *scheduler = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(recipe, "lr_scheduler"));
    bool has_end = scheduler && strcmp(scheduler, cln_lr_scheduler_name(CLN_LR_CONSTANT)) != 0;
    return strcmp(name, "epochs") == 0 && !has_end && cJSON_IsNumber(theirs) && cJSON_IsNumber(ours) &&
           ours->valuedouble >= theirs->valuedouble;
}

/* Compares two objects member by member; what is no object differs as a whole. */
static cln_status compare_members(cln_context *ctx, const char *path, const char *key, const cJSON *theirs,
                                  const cJSON *ours) {
    for (const cJSON *our = cJSON_IsObject(ours) ? ours->child : NULL; our; our = our->next) {
        const cJSON *their = cJSON_GetObjectItemCaseSensitive(theirs, our->string);
        if (!their || (!cJSON_Compare(their, our, true) && !is_longer(ours, our->string, their, our)))
            return member_differs(ctx, path, key, our->string, their, our);
    }
    for (const cJSON *their = cJSON_IsObject(theirs) ? theirs->child : NULL; their; their = their->next)
        if (!cJSON_GetObjectItemCaseSensitive(ours, their->string))
            return member_differs(ctx, path, key, their->string, their, NULL);
    return CLN_OK;
}

static cln_status compare(cln_context *ctx, const char *path, const char *key, const char *theirs, const char *ours) {
    if (theirs == ours || (theirs && ours && strcmp(theirs, ours) == 0))
        return CLN_OK;
    bool a_lacks_memory = false, b_lacks_memory = false;
    cJSON *a = theirs ? cln__json_parse(theirs, NULL, &a_lacks_memory) : NULL;
    cJSON *b = ours ? cln__json_parse(ours, NULL, &b_lacks_memory) : NULL;
    cln_status status = a_lacks_memory || b_lacks_memory         ? cln__fail_memory(ctx, "the description of a run")
                        : cJSON_IsObject(a) && cJSON_IsObject(b) ? compare_members(ctx, path, key, a, b)
                                                                 : differs(ctx, path, key, theirs, ours, "");
    cJSON_Delete(a);
    cJSON_Delete(b);
    return status;
}

static cln_status describe(const cln__trainer *t, cln__entries *out) {
    *out = (cln__entries){.count = 0};
    cln__identity_describe(t, out);
    if (!out->failed)
        return CLN_OK;
    cln__entries_free(out);
    return cln__fail_memory(t->ctx, "the description of the run");
}

/* Of keys that end with NULL. */
static cln_status compare_all(cln_context *ctx, const cln_safetensors *file, const char *path,
                              const cln__entries *entries, const char *const *keys) {
    cln_status status = CLN_OK;
    for (; *keys && status == CLN_OK; keys++)
        status = compare(ctx, path, *keys, cln_safetensors_metadata(file, *keys), cln__entries_find(entries, *keys));
    return status;
}

/* In both, what explains a difference comes before what only shows it. */
cln_status cln__identity_check_options(const cln__trainer *t, const cln_safetensors *file, const char *path) {
    static const char *const keys[] = {"model",          "seed",         "recipe", "augmentation",
                                       "forced_variant", "init_weights", NULL};
    cln__entries ours = {.count = 0};
    cln__checkpoint_describe_options(t->options, &ours);
    if (t->initialised_by)
        cln__entries_put(&ours, "init_weights", cln__format("%s", t->initialised_by));
    cln_status status = ours.failed ? cln__fail_memory(t->ctx, "the description of the run")
                                    : compare_all(t->ctx, file, path, &ours, keys);
    cln__entries_free(&ours);
    return status;
}

cln_status cln__identity_check(const cln__trainer *t, const cln_safetensors *file, const char *path) {
    static const char *const keys[] = {"hparams", "image_shape",   "class_names", "split",
                                       "data",    "normalization", "monitor",     NULL};
    cln__entries ours;
    CLN_TRY(describe(t, &ours));
    cln_status status = compare_all(t->ctx, file, path, &ours, keys);
    cln__entries_free(&ours);
    return status;
}

cln_status cln__identity_warn(const cln__trainer *t, const cln_safetensors *file, const char *path) {
    static const char *const keys[] = {"library", "device", "variants"};
    cln__entries ours;
    CLN_TRY(describe(t, &ours));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *a = cln_safetensors_metadata(file, keys[i]), *b = cln__entries_find(&ours, keys[i]);
        if (!a || !b || strcmp(a, b) != 0)
            cln__warn(t->ctx,
                      "resuming from '%s' with another %s than before (%.200s; now %.200s): the last digits of the "
                      "weights will not be those of an uninterrupted run",
                      path, keys[i], a ? a : "unknown", b ? b : "unknown");
    }
    cln__entries_free(&ours);
    return CLN_OK;
}
