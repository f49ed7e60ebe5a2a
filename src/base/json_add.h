/* Making JSON when memory may run out: what could not be added spoils the whole, so that it is enough to check what is
 * printed in the end. All of it is here, so that the programs, which see no internal functions, can use it too. */
#ifndef CLN_SRC_JSON_ADD_H
#define CLN_SRC_JSON_ADD_H

#include <cjson/cJSON.h>

/* cJSON prints nothing that holds an item of this type. */
static inline cJSON *cln__json_spoil(cJSON *whole, cJSON *item) {
    cJSON_Delete(item);
    if (whole)
        whole->type = cJSON_Invalid;
    return NULL;
}

/* Adds `item`, which the object then owns, and returns it. Where either is NULL or there is no memory, the item is
 * deleted, NULL returned, and an object that lacks something cannot be printed any more: cJSON_Print gives NULL. */
static inline cJSON *cln__json_add(cJSON *object, const char *name, cJSON *item) {
    return item && cJSON_AddItemToObject(object, name, item) ? item : cln__json_spoil(object, item);
}

/* The same at the end of an array. */
static inline cJSON *cln__json_append(cJSON *array, cJSON *item) {
    return item && cJSON_AddItemToArray(array, item) ? item : cln__json_spoil(array, item);
}

#endif
