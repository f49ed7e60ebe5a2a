/* From the JSON of each kind of result to named quantities. */
#include "compare.h"
#include "json_file.h"
#include "measure.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_QUANTITIES = 2000, MAX_SAMPLES = 100000, TEXT = 96 };
static const double limit = 1e18; /* of anything measured */

void results_free(results *r) {
    free(r->of);
}

const quantity *results_find(const results *r, const char *name) {
    for (int i = 0; i < r->count; i++)
        if (strcmp(r->of[i].name, name) == 0)
            return &r->of[i];
    return NULL;
}

/* Room for one more, zero. */
static cln_status add(results *r, quantity **out, const char *format, ...) {
    if (r->count == MAX_QUANTITIES)
        return json_file_refuse(r->command, r->path, "more than %d quantities", MAX_QUANTITIES);
    if (r->count % 64 == 0) {
        quantity *more = realloc(r->of, ((size_t)r->count + 64) * sizeof *more);
        if (!more)
            return CLN_OUT_OF_MEMORY;
        r->of = more;
    }
    quantity *q = &r->of[r->count++];
    *q = (quantity){.value = 0};
    va_list list;
    va_start(list, format);
    vsnprintf(q->name, sizeof q->name, format, list);
    va_end(list);
    *out = q;
    return CLN_OK;
}

/* The member as a number above 0; a failure, which is printed, if it is there and something else, and if it is absent
 * though `required`. *there: it is. */
static cln_status read_number(const results *r, const cJSON *object, const char *where, const char *member,
                              bool required, double *out, bool *there) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, member);
    *there = false;
    if (!required && (!item || cJSON_IsNull(item)))
        return CLN_OK;
    if (!json_number(object, member, out) || *out <= 0 || *out > limit)
        return json_file_refuse(r->command, r->path, "%s: expected '%s' to be a number above 0", where, member);
    *there = true;
    return CLN_OK;
}

/* A quantity from a member and, where they are there, its quartiles. */
static cln_status add_member(results *r, const cJSON *object, const char *where, const char *member, const char *low,
                             const char *high, bool required, int better, const char *name) {
    double value, a, b;
    bool there, has_low = false, has_high = false;
    cln_status status = read_number(r, object, where, member, required, &value, &there);
    if (status != CLN_OK || !there)
        return status;
    if (low && (status = read_number(r, object, where, low, false, &a, &has_low)) != CLN_OK)
        return status;
    if (high && (status = read_number(r, object, where, high, false, &b, &has_high)) != CLN_OK)
        return status;
    quantity *q;
    if ((status = add(r, &q, "%s", name)) != CLN_OK)
        return status;
    q->spread = has_low && has_high;
    q->value = value;
    q->low = q->spread ? fmin(fmin(a, b), value) : value;
    q->high = q->spread ? fmax(fmax(a, b), value) : value;
    q->better = better;
    return CLN_OK;
}

/* --- train and infer --- */

static const char *mode_name(const char *mode) {
    return strcmp(mode, "train") == 0 ? "training" : "inference";
}

static cln_status add_speed(results *r, const cJSON *object, const char *model, const char *mode) {
    char name[TEXT + 64];
    const char *quartiles = cJSON_HasObjectItem(object, "p25") ? "p25" : "min"; /* of versions before there were */
    snprintf(name, sizeof name, "%s %s, images/s", model, mode_name(mode));
    cln_status status = add_member(r, object, name, "images_per_s", quartiles,
                                   strcmp(quartiles, "p25") == 0 ? "p75" : "max", true, 1, name);
    snprintf(name, sizeof name, "%s %s, planned memory", model, mode_name(mode));
    if (status == CLN_OK)
        status = add_member(r, object, name, "planned_bytes", NULL, NULL, false, -1, name);
    snprintf(name, sizeof name, "%s %s, memory of the process", model, mode_name(mode));
    return status == CLN_OK ? add_member(r, object, name, "peak_process_bytes", NULL, NULL, false, -1, name) : status;
}

static cln_status read_speed(results *r, const cJSON *json) {
    char model[TEXT], mode[TEXT];
    json_text(json, "model", model, sizeof model);
    json_text(json, "mode", mode, sizeof mode);
    json_text(json, "device", r->device, sizeof r->device);
    if (!*model || (strcmp(mode, "train") != 0 && strcmp(mode, "infer") != 0))
        return json_file_refuse(r->command, r->path, "'model' or 'mode' is not what clbench train and infer write");
    return add_speed(r, json, model, mode);
}

/* --- ops --- */

/* Launches of the same kernel in the same layer are told apart by their order. */
static cln_status add_launch(results *r, const cJSON *step) {
    char layer[64], op[32], kernel[48], name[sizeof((quantity *)0)->name];
    json_text(step, "layer", layer, sizeof layer);
    json_text(step, "op", op, sizeof op);
    json_text(step, "kernel", kernel, sizeof kernel);
    if (!*op)
        return json_file_refuse(r->command, r->path, "a launch among 'steps' has no 'op'");
    snprintf(name, sizeof name, "%s %s %s, ms", op, layer, kernel);
    for (int i = 2; results_find(r, name) && i < 100; i++)
        snprintf(name, sizeof name, "%s %s %s (%d), ms", op, layer, kernel, i);
    return add_member(r, step, name, "ms", "ms_p25", "ms_p75", true, -1, name);
}

static cln_status read_ops(results *r, const cJSON *json) {
    char model[TEXT], mode[TEXT], name[TEXT + 64];
    const cJSON *whole = cJSON_GetObjectItemCaseSensitive(json, "whole"), *step;
    json_text(json, "model", model, sizeof model);
    json_text(json, "mode", mode, sizeof mode);
    json_text(json, "device", r->device, sizeof r->device);
    snprintf(name, sizeof name, "%s %s, step by launches, ms", model, mode_name(mode));
    cln_status status = add_member(r, whole, name, "ms", NULL, NULL, true, -1, name);
    double low, high;
    if (status == CLN_OK && json_number(json, "step_ms_p25", &low) && json_number(json, "step_ms_p75", &high)) {
        quantity *q = &r->of[r->count - 1];
        q->spread = low > 0 && high > 0 && high < limit;
        q->low = q->spread ? fmin(fmin(low, high), q->value) : q->value;
        q->high = q->spread ? fmax(fmax(low, high), q->value) : q->value;
    }
    cJSON_ArrayForEach(step, cJSON_GetObjectItemCaseSensitive(json, "steps")) {
        if (status != CLN_OK)
            break;
        status = add_launch(r, step);
    }
    return status;
}

/* --- the peers --- */

static cln_status read_samples(const results *r, const cJSON *entry, const char *name, quantity *q) {
    const cJSON *samples = cJSON_GetObjectItemCaseSensitive(entry, "samples"), *item;
    int count = cJSON_IsArray(samples) ? cJSON_GetArraySize(samples) : 0, i = 0;
    bool good = count > 0 && count <= MAX_SAMPLES;
    double *values = good ? malloc((size_t)count * sizeof *values) : NULL;
    if (good && !values)
        return CLN_OUT_OF_MEMORY;
    cJSON_ArrayForEach(item, samples) {
        if (!good)
            break;
        good = cJSON_IsNumber(item) && item->valuedouble > 0 && item->valuedouble <= limit;
        values[i++] = item->valuedouble;
    }
    if (good) {
        q->value = bench_median(values, count); /* sorts */
        q->low = bench_quantile(values, count, 0.25);
        q->high = bench_quantile(values, count, 0.75);
        q->spread = count > 1;
        q->better = 1;
    }
    free(values);
    return good ? CLN_OK
                : json_file_refuse(r->command, r->path, "%s: expected 'samples' to be a list of numbers above 0", name);
}

static cln_status add_contender(results *r, const char *model, const char *what, const cJSON *entry) {
    char contender[TEXT], who[TEXT + 16] = "", name[sizeof((quantity *)0)->name];
    json_clean(entry->string ? entry->string : "", contender, 64);
    if (strcmp(contender, "clnet") != 0)
        snprintf(who, sizeof who, " by PyTorch (%s)", contender);
    if (cJSON_HasObjectItem(entry, "failed"))
        return CLN_OK;
    if (strcmp(what, "memory") == 0) {
        snprintf(name, sizeof name, "%s%s, peak memory, KiB", model, who);
        return add_member(r, entry, name, "peak_kib", NULL, NULL, true, -1, name);
    }
    quantity *q;
    cln_status status = add(r, &q, "%s %s%s, images/s", model, what, who);
    return status == CLN_OK ? read_samples(r, entry, q->name, q) : status;
}

static cln_status read_peers(results *r, const cJSON *json) {
    const cJSON *model, *what, *entry;
    const cJSON *clnet = cJSON_GetObjectItemCaseSensitive(json, "clnet");
    json_text(cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(clnet, "devices"), 0), "name", r->device,
              sizeof r->device);
    cJSON_ArrayForEach(model, cJSON_GetObjectItemCaseSensitive(json, "results")) {
        char name[TEXT], kind[TEXT];
        json_clean(model->string ? model->string : "", name, 64);
        cJSON_ArrayForEach(what, model) {
            json_clean(what->string ? what->string : "", kind, 32);
            cJSON_ArrayForEach(entry, what) {
                cln_status status = add_contender(r, name, kind, entry);
                if (status != CLN_OK)
                    return status;
            }
        }
    }
    return CLN_OK;
}

/* --- the table --- */

static cln_status add_accuracy(results *r, const cJSON *row, const char *model, const char *member) {
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(row, member);
    double mean, error;
    if (!object)
        return CLN_OK;
    if (!json_number(object, "mean", &mean) || !json_number(object, "standard_error", &error) || mean < 0 || mean > 1 ||
        error < 0 || error > 1)
        return json_file_refuse(r->command, r->path, "%s, %s: expected 'mean' and 'standard_error' from 0 to 1", model,
                                member);
    quantity *q;
    cln_status status = add(r, &q, "%s %s accuracy", model, member);
    if (status != CLN_OK)
        return status;
    *q = (quantity){
        .value = mean, .low = mean - error, .high = mean + error, .spread = true, .better = 1, .accuracy = true};
    snprintf(q->name, sizeof q->name, "%s %s accuracy", model, member);
    return CLN_OK;
}

static cln_status read_row(results *r, const cJSON *row) {
    char model[TEXT], name[TEXT + 32];
    json_text(row, "model", model, 64);
    const cJSON *speed = cJSON_GetObjectItemCaseSensitive(row, "speed");
    const cJSON *train = cJSON_GetObjectItemCaseSensitive(speed, "train");
    const cJSON *infer = cJSON_GetObjectItemCaseSensitive(speed, "infer");
    if (!*model)
        return json_file_refuse(r->command, r->path, "a row of the table has no 'model'");
    cln_status status = add_accuracy(r, row, model, "test");
    if (status == CLN_OK)
        status = add_accuracy(r, row, model, "validation");
    if (status == CLN_OK && train)
        status = add_speed(r, train, model, "train");
    if (status == CLN_OK && infer)
        status = add_speed(r, infer, model, "infer");
    snprintf(name, sizeof name, "%s start-up, s", model);
    if (status == CLN_OK && speed)
        status = add_member(r, speed, name, "start_up_s", NULL, NULL, false, -1, name);
    return status;
}

static cln_status read_table(results *r, const cJSON *json) {
    const cJSON *row;
    json_text(cJSON_GetObjectItemCaseSensitive(json, "machine"), "device", r->device, sizeof r->device);
    cJSON_ArrayForEach(row, cJSON_GetObjectItemCaseSensitive(json, "rows")) {
        cln_status status = read_row(r, row);
        if (status != CLN_OK)
            return status;
    }
    return CLN_OK;
}

/* --- all of them --- */

static const struct {
    const char *name, *member;
    int type; /* of the member by which it is known; 0: any */
    cln_status (*read)(results *r, const cJSON *json);
} kinds[] = {
    {"table", "rows", cJSON_Array, read_table},
    {"peers", "results", cJSON_Object, read_peers},
    {"ops", "steps", cJSON_Array, read_ops},
    {"speed", "images_per_s", 0, read_speed},
};

cln_status results_read(const char *command, const char *path, results *out) {
    cJSON *json;
    *out = (results){.command = command, .path = path};
    cln_status status = json_file_read(command, path, &json);
    if (status != CLN_OK)
        return status;
    int found = -1;
    for (int i = (int)(sizeof kinds / sizeof *kinds) - 1; i >= 0; i--) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, kinds[i].member);
        found = item && (!kinds[i].type || (item->type & 0xff) == kinds[i].type) ? i : found;
    }
    if (found < 0) {
        status = json_file_refuse(command, path,
                                  "not a result of clbench train, infer, ops or table (--json, --format json) or of "
                                  "bench/peers/pytorch.py");
    } else {
        snprintf(out->kind, sizeof out->kind, "%s", kinds[found].name);
        status = kinds[found].read(out, json);
    }
    cJSON_Delete(json);
    return status;
}
