/* The HPARAMS page: three values without a number, whose meaning is in the metadata for the plug-in "hparams". */
#include "../base/json_parse.h"
#include "arena.h"
#include "tensorboard.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

/* --- writing --- */

static cln_status write_hparams(cln_tensorboard *board, const char *tag, Cln__Tb__HParams *hparams) {
    Cln__Tb__Event event = CLN__TB__EVENT__INIT;
    Cln__Tb__Summary summary = CLN__TB__SUMMARY__INIT;
    Cln__Tb__Value value = CLN__TB__VALUE__INIT, *values[] = {&value};
    Cln__Tb__Metadata metadata = CLN__TB__METADATA__INIT;
    Cln__Tb__Plugin plugin = CLN__TB__PLUGIN__INIT;
    plugin.name = "hparams";
    plugin.content = cln__tensorboard_pack(&hparams->base);
    if (!plugin.content.data)
        return cln__fail_memory(board->ctx, "hyper-parameters for TensorBoard");
    metadata.plugin = &plugin;
    value.tag = (char *)tag;
    value.metadata = &metadata;
    summary.n_value = 1;
    summary.value = values;
    event.what_case = CLN__TB__EVENT__WHAT_SUMMARY;
    event.summary = &summary;
    cln_status status = cln__tensorboard_write(board, &event);
    free(plugin.content.data);
    return status;
}

/* --- from JSON --- */

/* How many columns of hyper-parameters the page shows unless it is told otherwise. */
enum { SHOWN = 5 };

static bool set_value(cln__arena *arena, const cJSON *item, Cln__Tb__HParamValue *value, Cln__Tb__HParamType *type) {
    if (cJSON_IsNumber(item)) {
        value->value_case = CLN__TB__HPARAM_VALUE__VALUE_NUMBER;
        value->number = item->valuedouble;
        *type = CLN__TB__HPARAM_TYPE__FLOAT64;
        return true;
    }
    if (cJSON_IsBool(item)) {
        value->value_case = CLN__TB__HPARAM_VALUE__VALUE_FLAG;
        value->flag = cJSON_IsTrue(item);
        *type = CLN__TB__HPARAM_TYPE__BOOL;
        return true;
    }
    char *printed = cJSON_IsString(item) ? NULL : cJSON_PrintUnformatted(item);
    const char *text = printed ? printed : cJSON_GetStringValue(item);
    value->value_case = CLN__TB__HPARAM_VALUE__VALUE_TEXT;
    value->text = text ? cln__arena_text(arena, text, strlen(text)) : NULL;
    *type = CLN__TB__HPARAM_TYPE__STRING;
    cJSON_free(printed);
    return value->text != NULL;
}

/* Adds one to both lists; `name` is borrowed. */
static bool add(cln__arena *arena, const cJSON *item, Cln__Tb__SessionStart *start, Cln__Tb__Experiment *experiment) {
    Cln__Tb__HParamEntry *entry = cln__arena_new(arena, sizeof *entry);
    Cln__Tb__HParamValue *value = cln__arena_new(arena, sizeof *value);
    Cln__Tb__HParam *hparam = cln__arena_new(arena, sizeof *hparam);
    if (!entry || !value || !hparam)
        return false;
    cln__tb__hparam_entry__init(entry);
    cln__tb__hparam_value__init(value);
    cln__tb__hparam__init(hparam);
    entry->key = hparam->name = item->string;
    entry->value = value;
    start->hparam[start->n_hparam++] = entry;
    hparam->differs = experiment->n_hparam < SHOWN;
    experiment->hparam[experiment->n_hparam++] = hparam;
    return set_value(arena, item, value, &hparam->type);
}

static bool add_metric(cln__arena *arena, const char *tag, Cln__Tb__Experiment *experiment) {
    Cln__Tb__Metric *metric = cln__arena_new(arena, sizeof *metric);
    Cln__Tb__MetricName *name = cln__arena_new(arena, sizeof *name);
    if (!metric || !name)
        return false;
    cln__tb__metric__init(metric);
    cln__tb__metric_name__init(name);
    name->tag = (char *)tag;
    metric->name = name;
    experiment->metric[experiment->n_metric++] = metric;
    return true;
}

static bool make(cln__arena *arena, const cJSON *object, const char *const *metrics, int metric_count,
                 Cln__Tb__SessionStart *start, Cln__Tb__Experiment *experiment) {
    size_t count = (size_t)cJSON_GetArraySize(object);
    start->hparam = cln__arena_new(arena, (count + 1) * sizeof *start->hparam);
    experiment->hparam = cln__arena_new(arena, (count + 1) * sizeof *experiment->hparam);
    experiment->metric = cln__arena_new(arena, ((size_t)metric_count + 1) * sizeof *experiment->metric);
    bool ok = start->hparam && experiment->hparam && experiment->metric;
    for (const cJSON *item = object->child; ok && item; item = item->next)
        ok = add(arena, item, start, experiment);
    for (int i = 0; ok && i < metric_count; i++)
        ok = add_metric(arena, metrics[i], experiment);
    return ok;
}

static cln_status write_both(cln_tensorboard *board, Cln__Tb__SessionStart *start, Cln__Tb__Experiment *experiment) {
    Cln__Tb__HParams first = CLN__TB__HPARAMS__INIT, second = CLN__TB__HPARAMS__INIT;
    first.data_case = CLN__TB__HPARAMS__DATA_EXPERIMENT;
    first.experiment = experiment;
    second.data_case = CLN__TB__HPARAMS__DATA_START;
    second.start = start;
    CLN_TRY(write_hparams(board, "_hparams_/experiment", &first));
    return write_hparams(board, "_hparams_/session_start_info", &second);
}

cln_status cln_tensorboard_hparams(cln_tensorboard *board, const char *json, const char *const *metrics,
                                   int metric_count) {
    Cln__Tb__SessionStart start = CLN__TB__SESSION_START__INIT;
    Cln__Tb__Experiment experiment = CLN__TB__EXPERIMENT__INIT;
    cln__arena arena = {.limit_bytes = SIZE_MAX};
    bool lacks_memory;
    cJSON *object = cln__json_parse(json, NULL, &lacks_memory);
    cln_status status = CLN_OK;
    if (!lacks_memory && (!cJSON_IsObject(object) || !cln_is_utf8(json)))
        status = cln__fail(board->ctx, CLN_INVALID_ARGUMENT,
                           "hyper-parameters for TensorBoard: expected a JSON object, found %.200s", json);
    else if (object && make(&arena, object, metrics, metric_count, &start, &experiment))
        status = write_both(board, &start, &experiment);
    else
        status = cln__fail_memory(board->ctx, "hyper-parameters for TensorBoard");
    cln__arena_free(&arena);
    cJSON_Delete(object);
    return status;
}

cln_status cln_tensorboard_end(cln_tensorboard *board, bool success) {
    Cln__Tb__SessionEnd end = CLN__TB__SESSION_END__INIT;
    Cln__Tb__HParams hparams = CLN__TB__HPARAMS__INIT;
    end.status = success ? CLN__TB__SESSION_STATUS__SUCCESS : CLN__TB__SESSION_STATUS__FAILURE;
    hparams.data_case = CLN__TB__HPARAMS__DATA_END;
    hparams.end = &end;
    return write_hparams(board, "_hparams_/session_end_info", &hparams);
}
