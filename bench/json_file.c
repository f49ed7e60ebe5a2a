/* Reading JSON files: see json_file.h. */
#include "json_file.h"
#include "../src/base/json_parse.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 64 << 20 };

static char *read_all(FILE *file) {
    size_t used = 0, size = 0;
    char *text = NULL;
    do {
        if (size - used < 2) {
            size = size ? 2 * size : 1 << 16;
            char *larger = size <= MAX_BYTES * (size_t)2 ? realloc(text, size) : NULL;
            if (!larger) {
                free(text);
                errno = size > MAX_BYTES * (size_t)2 ? EFBIG : ENOMEM;
                return NULL;
            }
            text = larger;
        }
        used += fread(text + used, 1, size - used - 1, file);
    } while (!feof(file) && !ferror(file));
    text[used] = '\0';
    int code = ferror(file) ? errno : used > MAX_BYTES ? EFBIG : memchr(text, '\0', used) ? EINVAL : 0;
    if (code == 0)
        return text;
    free(text);
    errno = code;
    return NULL;
}

/* Reads a text file: malloc'ed, with a zero behind it. NULL after a failure, with errno; EFBIG: too large, EINVAL:
 * zeros in it. */
static char *read_text(const char *path) {
    FILE *file = fopen(path, "rb");
    char *text = file ? read_all(file) : NULL;
    int code = errno;
    if (file)
        fclose(file);
    errno = code;
    return text;
}

cln_status json_file_refuse(const char *command, const char *path, const char *format, ...) {
    char name[512];
    va_list list;
    va_start(list, format);
    json_clean(path, name, sizeof name);
    fprintf(stderr, "clbench: %s: '%s': ", command, name);
    vfprintf(stderr, format, list);
    fprintf(stderr, "\n");
    va_end(list);
    return CLN_INVALID_FILE;
}

/* The line, from 1, in which `at` lies. */
static int line_of(const char *text, const char *at) {
    int line = 1;
    for (; text < at && *text; text++)
        line += *text == '\n';
    return line;
}

cln_status json_file_read(const char *command, const char *path, cJSON **out) {
    *out = NULL;
    char *text = read_text(path);
    if (!text && errno == EFBIG)
        return json_file_refuse(command, path, "more than %d MiB, which no result of clbench has", MAX_BYTES >> 20);
    if (!text && errno == EINVAL)
        return json_file_refuse(command, path, "expected JSON, found a file with zeros in it");
    if (!text && errno == ENOMEM)
        return CLN_OUT_OF_MEMORY;
    if (!text) {
        json_file_refuse(command, path, "cannot be read: %s", strerror(errno));
        return CLN_IO;
    }
    const char *end = text;
    bool lacks_memory;
    cJSON *json = cln__json_parse(text, &end, &lacks_memory);
    cln_status status = CLN_OK;
    if (lacks_memory)
        status = CLN_OUT_OF_MEMORY;
    else if (!json)
        status = json_file_refuse(command, path, "line %d is not JSON", line_of(text, end));
    else if (!cJSON_IsObject(json))
        status = json_file_refuse(command, path, "expected a JSON object");
    free(text);
    if (status == CLN_OK)
        *out = json;
    else
        cJSON_Delete(json);
    return status;
}

bool json_number(const cJSON *object, const char *name, double *out) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble))
        return false;
    *out = item->valuedouble;
    return true;
}

double json_number_within(const cJSON *object, const char *name, double low, double high, double otherwise) {
    double value;
    return json_number(object, name, &value) && value >= low && value <= high ? value : otherwise;
}

void json_clean(const char *text, char *out, size_t size) {
    bool utf8 = cln_is_utf8(text);
    size_t used = 0;
    for (; *text && used + 1 < size; text++) {
        unsigned char c = (unsigned char)*text;
        out[used++] = c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8) ? '?' : *text;
    }
    out[used] = '\0';
    if (*text && utf8) /* cut, perhaps within a character */
        while (used > 0 && !cln_is_utf8(out))
            out[--used] = '\0';
}

void json_text(const cJSON *object, const char *name, char *out, size_t size) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    json_clean(text ? text : "", out, size);
}
