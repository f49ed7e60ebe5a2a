/* Lists of choices, and as JSON. */
#include "../base/json_add.h"
#include "../base/json_parse.h"
#include "store.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

bool cln__choices_begin(cln_choices *choices, int capacity) {
    *choices = (cln_choices){.of = malloc(sizeof *choices->of * ((size_t)capacity + 1))};
    return choices->of != NULL;
}

bool cln__choices_add(cln_choices *choices, const char *signature, const char *candidate) {
    char *a = cln__format("%s", signature), *b = cln__format("%s", candidate);
    if (a && b) {
        choices->of[choices->count++] = (cln_choice){a, b};
        return true;
    }
    free(a);
    free(b);
    return false;
}

void cln_choices_free(cln_choices *choices) {
    for (int i = 0; i < choices->count; i++) {
        free((char *)choices->of[i].signature);
        free((char *)choices->of[i].candidate);
    }
    free(choices->of);
    *choices = (cln_choices){0};
}

static bool has(const cln_choices *choices, const char *signature) {
    for (int i = 0; i < choices->count; i++)
        if (strcmp(choices->of[i].signature, signature) == 0)
            return true;
    return false;
}

int cln_choices_count(const cln_choices *choices, const cln_plan *plan) {
    int count = 0;
    for (int i = 0; i < cln_plan_choices(plan); i++)
        count += has(choices, cln_plan_choice(plan, i).signature);
    return count;
}

char *cln_choices_print(const cln_choice *choices, int count) {
    cJSON *object = cJSON_CreateObject();
    bool whole = object != NULL;
    for (int i = 0; i < count && whole; i++)
        whole = cJSON_HasObjectItem(object, choices[i].signature) ||
                cln__json_add(object, choices[i].signature, cJSON_CreateString(choices[i].candidate));
    char *printed = whole ? cJSON_PrintUnformatted(object) : NULL;
    char *text = printed ? cln__format("%s", printed) : NULL;
    cJSON_free(printed);
    cJSON_Delete(object);
    return text;
}

static cln_status take_object(const cJSON *object, cln_choices *out) {
    if (!cJSON_IsObject(object))
        return CLN_INVALID_FILE;
    if (!cln__choices_begin(out, cJSON_GetArraySize(object)))
        return CLN_OUT_OF_MEMORY;
    for (const cJSON *item = object->child; item; item = item->next) {
        if (!cJSON_IsString(item))
            return CLN_INVALID_FILE;
        if (!cln__choices_add(out, item->string, item->valuestring))
            return CLN_OUT_OF_MEMORY;
    }
    return CLN_OK;
}

cln_status cln_choices_parse(const char *json, cln_choices *out) {
    bool lacks_memory;
    cJSON *object = cln__json_parse(json, NULL, &lacks_memory);
    *out = (cln_choices){0};
    cln_status status = lacks_memory ? CLN_OUT_OF_MEMORY : take_object(object, out);
    cJSON_Delete(object);
    if (status != CLN_OK)
        cln_choices_free(out);
    return status;
}
