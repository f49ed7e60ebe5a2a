/* Numbers and text, on top of cJSON. */
#include "json.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cJSON *cln__json_float(float value) {
    char text[32];
    locale_t before = cln__point_begin();
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    cln__point_end(before);
    return isfinite(value) ? cJSON_CreateRaw(text) : cJSON_CreateNull();
}

char *cln__json_print(cJSON *object) {
    char *printed = object ? cJSON_PrintUnformatted(object) : NULL;
    cJSON_Delete(object);
    char *text = printed ? cln__format("%s", printed) : NULL; /* so that it can be freed with free */
    cJSON_free(printed);
    return text;
}

bool cln__json_int(const cJSON *item, int64_t min, int64_t max, int64_t *out) {
    if (!cJSON_IsNumber(item))
        return false;
    double value = item->valuedouble;
    if (!(value >= (double)min && value <= (double)max) || value != floor(value))
        return false;
    *out = (int64_t)value;
    return true;
}

bool cln__json_to_float(const cJSON *item, float *out) {
    if (!cJSON_IsNumber(item) || !(fabs(item->valuedouble) <= (double)FLT_MAX))
        return false;
    *out = (float)item->valuedouble;
    return true;
}

void cln__json_put_bits(cJSON *object, const char *name, double value) {
    uint64_t bits;
    char text[24];
    memcpy(&bits, &value, sizeof bits);
    snprintf(text, sizeof text, "%016" PRIx64, bits);
    cln__json_add(object, name, cJSON_CreateString(text));
}

bool cln__json_get_bits(const cJSON *object, const char *name, double *out) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    if (!text || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
        return false;
    uint64_t bits = strtoull(text, NULL, 16);
    memcpy(out, &bits, sizeof bits);
    return true;
}
