/* Making JSON when memory may run out: what could not be added spoils the whole, so that it is enough to check what is
 * printed in the end. */
#ifndef CLN_SRC_JSON_ADD_H
#define CLN_SRC_JSON_ADD_H

#include <cjson/cJSON.h>

/* Adds `item`, which the object then owns, and returns it. Where either is NULL or there is no memory, the item is
 * deleted, NULL returned, and an object that lacks something cannot be printed any more: cJSON_Print gives NULL. */
cJSON *cln__json_add(cJSON *object, const char *name, cJSON *item);
/* The same at the end of an array. */
cJSON *cln__json_append(cJSON *array, cJSON *item);

#endif
