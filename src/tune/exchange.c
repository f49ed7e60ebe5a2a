/* The database as JSON text, out and in. What comes in is checked as a whole before anything is changed. */
#include "../base/json_add.h"
#include "../base/json_parse.h"
#include "../ops/conv2d_case.h"
#include "store.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const text_names[] = {"device", "driver", "kernels", "signature", "candidate", "rule"};
enum { TEXTS = 6, SIGNATURE = 3, MAX_TEXT = 1024 };

static cJSON *record_json(const cln_tuning_record *r) {
    const char *const texts[TEXTS] = {r->device, r->driver, r->kernels, r->signature, r->candidate, r->rule};
    cJSON *object = cJSON_CreateObject();
    bool whole = object != NULL;
    for (int i = 0; i < TEXTS && whole; i++)
        whole = cln__json_add(object, text_names[i], cJSON_CreateString(texts[i])) != NULL;
    whole = whole && cln__json_add(object, "seconds", cJSON_CreateNumber(r->seconds)) &&
            cln__json_add(object, "rule_seconds", cJSON_CreateNumber(r->rule_seconds)) &&
            cln__json_add(object, "time_s", cJSON_CreateNumber((double)r->time_s));
    if (whole)
        return object;
    cJSON_Delete(object);
    return NULL;
}

static char *print_records(const cln_tuning_record *records, int count) {
    cJSON *object = cJSON_CreateObject(), *list;
    cln__json_add(object, "clnet_tuning", cJSON_CreateNumber(1));
    list = cln__json_add(object, "results", cJSON_CreateArray());
    bool whole = list != NULL;
    for (int i = 0; i < count && whole; i++) {
        cJSON *item = record_json(&records[i]);
        whole = item && cln__json_append(list, item);
    }
    char *printed = whole ? cJSON_Print(object) : NULL;
    char *text = printed ? cln__format("%s", printed) : NULL;
    cJSON_free(printed);
    cJSON_Delete(object);
    return text;
}

cln_status cln_tuning_export(cln_tuning *tuning, char **json) {
    cln_tuning_record *records;
    int count;
    CLN_TRY(cln_tuning_records(tuning, &records, &count));
    *json = print_records(records, count);
    free(records);
    return *json ? CLN_OK : cln__fail_memory(cln__tuning_context(tuning), "the tuner's results as text");
}

/* Texts are printed, and a line of output is a line. */
static bool has_control(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

static bool get_text(const cJSON *object, const char *name, const char **out) {
    *out = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return *out && **out && strlen(*out) <= MAX_TEXT && cln_is_utf8(*out) && !has_control(*out);
}

static bool get_number(const cJSON *object, const char *name, double max, double *out) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    *out = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    return *out >= 0 && *out <= max;
}

/* The texts stay cJSON's. */
static cln_status get_record(const cJSON *object, cln_tuning_record *r) {
    const char **const texts[TEXTS] = {&r->device, &r->driver, &r->kernels, &r->signature, &r->candidate, &r->rule};
    cln__conv2d_case c;
    double time_s;
    for (int i = 0; i < TEXTS; i++)
        if (!get_text(object, text_names[i], texts[i]))
            return CLN_INVALID_FILE;
    if (!get_number(object, "seconds", 1e6, &r->seconds) ||
        !get_number(object, "rule_seconds", 1e6, &r->rule_seconds) || !get_number(object, "time_s", 1e15, &time_s))
        return CLN_INVALID_FILE;
    r->time_s = (int64_t)time_s;
    return cln__conv2d_case_parse(r->signature, &c);
}

static cln_status take(cln_tuning *t, const cJSON *object, int *count) {
    cln_context *ctx = cln__tuning_context(t);
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, "results"), *item;
    double version;
    int size = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (!cJSON_IsArray(list) || !get_number(object, "clnet_tuning", 1e9, &version) || version != 1)
        return cln__fail(ctx, CLN_INVALID_FILE,
                         "import: this is no export of the tuner's results (JSON with \"clnet_tuning\": 1)");
    cln_tuning_record *records = malloc(sizeof *records * ((size_t)size + 1));
    if (!records)
        return cln__fail_memory(ctx, "the results to import");
    cln_status status = CLN_OK;
    *count = 0;
    cJSON_ArrayForEach(item, list) {
        if (status == CLN_OK)
            status = get_record(item, &records[(*count)++]);
    }
    if (status == CLN_OK)
        status = cln__tuning_save_all(t, records, *count);
    else if (status == CLN_OUT_OF_MEMORY)
        cln__fail_memory(ctx, "the results to import");
    else
        cln__fail(ctx, status, "import: result %d is not valid; nothing is imported", *count);
    free(records);
    return status;
}

cln_status cln_tuning_import(cln_tuning *tuning, const char *json, int *count) {
    *count = 0;
    bool lacks_memory;
    cJSON *object = cln__json_parse(json, NULL, &lacks_memory);
    cln_status status = lacks_memory ? cln__fail_memory(cln__tuning_context(tuning), "the results to import")
                                     : take(tuning, object, count);
    cJSON_Delete(object);
    if (status != CLN_OK)
        *count = 0;
    return status;
}
