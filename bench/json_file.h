/* JSON files, read with distrust: what is not as expected is told in one sentence, never used. */
#ifndef CLN_BENCH_JSON_FILE_H
#define CLN_BENCH_JSON_FILE_H

#include "clnet/base.h"

#include <cjson/cJSON.h>

/* Reads a whole file of at most 64 MiB whose text is one JSON object. The caller deletes *out. A failure is printed as
 * "clbench: <command>: ..." to standard error, but for lack of memory. */
cln_status json_file_read(const char *command, const char *path, cJSON **out);
/* Prints "clbench: <command>: '<path>': <message>" and returns CLN_INVALID_FILE. */
cln_status json_file_refuse(const char *command, const char *path, const char *format, ...);

/* A finite number; false if the member is absent or something else. */
bool json_number(const cJSON *object, const char *name, double *out);
/* The same, `otherwise` if there is none from `low` to `high`. */
double json_number_within(const cJSON *object, const char *name, double low, double high, double otherwise);
/* The member's text into `out`, cut to `size` bytes, what cannot be printed replaced; "" if there is none. */
void json_text(const cJSON *object, const char *name, char *out, size_t size);
/* The same for any text. Replaces control characters, and all that is not ASCII where the whole is not UTF-8. */
void json_clean(const char *text, char *out, size_t size);

#endif
