/* See json_add.h. */
#include "json_add.h"

/* cJSON prints nothing that holds an item of this type. */
static cJSON *spoil(cJSON *whole, cJSON *item) {
    cJSON_Delete(item);
    if (whole)
        whole->type = cJSON_Invalid;
    return NULL;
}

cJSON *cln__json_add(cJSON *object, const char *name, cJSON *item) {
    return item && cJSON_AddItemToObject(object, name, item) ? item : spoil(object, item);
}

cJSON *cln__json_append(cJSON *array, cJSON *item) {
    return item && cJSON_AddItemToArray(array, item) ? item : spoil(array, item);
}
