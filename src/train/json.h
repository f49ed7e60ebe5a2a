/* JSON as the trainer reads and writes it in the metadata of weights files. */
#ifndef CLN_SRC_JSON_H
#define CLN_SRC_JSON_H

#include "../base/base.h"
#include "../base/json_add.h"
#include "../base/json_parse.h"

/* A number with as few digits as tell the float from every other. NULL for lack of memory. */
cJSON *cln__json_float(float value);
/* Prints and deletes `object`; NULL (also for one that is NULL or was spoilt, see json_add.h) for lack of memory. The
 * caller frees the text with free.
 */
char *cln__json_print(cJSON *object);
/* Whether `item` is a whole number from min to max. */
bool cln__json_int(const cJSON *item, int64_t min, int64_t max, int64_t *out);
/* Whether `item` is a number that a float can hold. */
bool cln__json_to_float(const cJSON *item, float *out);
/* A double by the 16 hexadecimal digits of its bits, so that none is lost. */
void cln__json_put_bits(cJSON *object, const char *name, double value);
bool cln__json_get_bits(const cJSON *object, const char *name, double *out);

#endif
