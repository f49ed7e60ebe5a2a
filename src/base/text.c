/* Strings: printing into new memory, counts, UTF-8, and the nearest of some names. */
#include "base.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAME = 63 }; /* longer names are never near anything */

char *cln__format_va(const char *format, va_list arguments) {
    va_list measured;
    va_copy(measured, arguments);
    int length = vsnprintf(NULL, 0, format, measured);
    va_end(measured);
    char *text = length < 0 ? NULL : malloc((size_t)length + 1);
    if (text)
        vsnprintf(text, (size_t)length + 1, format, arguments);
    return text;
}

char *cln__format(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *text = cln__format_va(format, arguments);
    va_end(arguments);
    return text;
}

locale_t cln__point_begin(void) {
    return uselocale(newlocale(LC_NUMERIC_MASK, "C", (locale_t)0));
}

void cln__point_end(locale_t before) {
    locale_t ours = uselocale(before);
    if (ours != before) /* there was memory for one */
        freelocale(ours);
}

size_t cln__utf8_length(const char *text, size_t size) {
    const unsigned char *s = (const unsigned char *)text;
    size_t length = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    if (length > size)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, UTF-16 surrogates, beyond U+10FFFF. */
    bool bad = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
               (s[0] == 0xf4 && s[1] > 0x8f);
    return bad ? 0 : length;
}

bool cln_is_utf8(const char *text) {
    size_t size = strlen(text);
    for (size_t at = 0, length; at < size; at += length) {
        length = cln__utf8_length(text + at, size - at);
        if (length == 0)
            return false;
    }
    return true;
}

char *cln_utf8_repair(const char *text) {
    static const char replacement[] = "\xef\xbf\xbd";
    size_t size = strlen(text), used = 0;
    char *copy = size < SIZE_MAX / 3 ? malloc(3 * size + 1) : NULL;
    for (size_t at = 0, length; copy && at<size; at += length> 0 ? length : 1) {
        length = cln__utf8_length(text + at, size - at);
        memcpy(copy + used, length > 0 ? text + at : replacement, length > 0 ? length : 3);
        used += length > 0 ? length : 3;
    }
    if (copy)
        copy[used] = '\0';
    return copy;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Insertions, deletions and replacements that turn `a` into `b` (Levenshtein), letters of either case being equal.
 * `b` has at most MAX_NAME characters. */
static size_t edit_distance(const char *a, const char *b) {
    size_t columns = strlen(b), row[MAX_NAME + 1];
    for (size_t j = 0; j <= columns; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            bool same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            size_t replaced = diagonal + (same ? 0 : 1);
            diagonal = row[j];
            row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[columns];
}

const char *cln_nearest_name(const char *name, const char *const *names, size_t count) {
    size_t length = strlen(name);
    if (length == 0 || length > MAX_NAME)
        return NULL;
    const char *best = NULL;
    size_t limit = least(1 + length / 3, length - 1); /* a third of the letters wrong is still a slip */
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(names[i], name);
        if (distance < limit || (distance == limit && !best)) {
            best = names[i];
            limit = distance;
        }
    }
    return best;
}

bool cln__starts_with(const char *text, const char *start) {
    return strncmp(text, start, strlen(start)) == 0;
}

const char *cln__count(int64_t value, char text[32]) {
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRId64, value), used = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = '\0';
    return text;
}
