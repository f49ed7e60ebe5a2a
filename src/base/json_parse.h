/* Parsing JSON when memory may run out, which cJSON does not tell from a text that is malformed. It is here for the
 * programs too, which see no internal functions. */
#ifndef CLN_SRC_JSON_PARSE_H
#define CLN_SRC_JSON_PARSE_H

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

/* Parses a whole text. After a failure it is NULL, *end says where in the text, and *lacks_memory whether that was
 * why (either may be NULL): malloc says so in errno. */
static inline cJSON *cln__json_parse(const char *text, const char **end, bool *lacks_memory) {
    errno = 0;
    cJSON *json = cJSON_ParseWithOpts(text, end, true);
    if (lacks_memory)
        *lacks_memory = !json && errno == ENOMEM;
    return json;
}

#endif
