/* The values of options, read from text by kind. */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAMES = 128 };

/* --- reading: false says what is wrong in `message` --- */

static bool refuse(const char *expected, const char *text, char *message) {
    snprintf(message, CLI_MESSAGE, "expected %s, found '%.200s'", expected, text);
    return false;
}

static bool read_flag(const char *text, bool *out, char *message) {
    *out = strcmp(text, "true") == 0;
    return *out || strcmp(text, "false") == 0 || refuse("true or false", text, message);
}

static bool parse_int(const cli_option *o, const char *text, const char *end, int64_t *out) {
    if (text == end || isspace((unsigned char)*text))
        return false;
    char *after;
    errno = 0;
    long long value = strtoll(text, &after, 10);
    *out = value;
    return errno == 0 && after == end && (double)value >= o->min && (double)value <= o->max;
}

static bool read_int(const cli_option *o, const char *text, int64_t *out, char *message) {
    char expected[96];
    snprintf(expected, sizeof expected, "a whole number from %.0f to %.0f", o->min, o->max);
    return parse_int(o, text, text + strlen(text), out) || refuse(expected, text, message);
}

static bool parse_real(const cli_option *o, const char *text, const char *end, double *out) {
    char *after;
    *out = strtod(text, &after);
    bool number = after != text && after == end && !isspace((unsigned char)*text);
    return number && *out >= o->min && *out <= o->max;
}

static bool read_real(const cli_option *o, const char *text, double *out, char *message) {
    char expected[96];
    snprintf(expected, sizeof expected, "a number from %g to %g", o->min, o->max);
    return parse_real(o, text, text + strlen(text), out) || refuse(expected, text, message);
}

static bool parse_reals(const cli_option *o, const char *text, cli_reals *out) {
    for (out->count = 0;; text++) {
        const char *end = text + strcspn(text, ",");
        if (out->count == CLI_MAX_REALS || !parse_real(o, text, end, &out->values[out->count++]))
            return false;
        if (*end == '\0')
            return true;
        text = end;
    }
}

static bool read_reals(const cli_option *o, const char *text, cli_reals *out, char *message) {
    char expected[96];
    snprintf(expected, sizeof expected, "at most %d numbers from %g to %g with commas between them", CLI_MAX_REALS,
             o->min, o->max);
    return parse_reals(o, text, out) || refuse(expected, text, message);
}

static bool parse_ints(const cli_option *o, const char *text, cln_ints *out) {
    out->count = 0;
    for (bool more = true; more; text++) {
        const char *end = text + strcspn(text, ",");
        int64_t value;
        if (out->count == CLN_MAX_INTS || !parse_int(o, text, end, &value))
            return false;
        out->values[out->count++] = (int)value;
        more = *end == ',';
        text = end;
    }
    return true;
}

static bool read_ints(const cli_option *o, const char *text, cln_ints *out, char *message) {
    char expected[96];
    snprintf(expected, sizeof expected, "at most %d whole numbers from %.0f to %.0f with commas between them",
             CLN_MAX_INTS, o->min, o->max);
    return parse_ints(o, text, out) || refuse(expected, text, message);
}

/* "sgd, adam, adamw" after what `list` holds already. */
static void append_names(char *list, size_t size, const char *const *names) {
    size_t used = strlen(list);
    for (int i = 0; names[i] && used < size; i++)
        used += (size_t)snprintf(list + used, size - used, "%s%s", i ? ", " : "", names[i]);
}

static bool read_choice(const cli_option *o, const char *text, int *out, char *message) {
    for (*out = 0; o->choices[*out]; ++*out)
        if (strcmp(o->choices[*out], text) == 0)
            return true;
    char expected[256] = "one of ";
    append_names(expected, sizeof expected, o->choices);
    return refuse(expected, text, message);
}

static bool read_model(const char *text, const cln_model **out, char *message) {
    *out = cln_model_find(text);
    if (*out)
        return true;
    const char *names[MAX_NAMES + 1];
    int count;
    const cln_model *const *models = cln_models(&count);
    count = count < MAX_NAMES ? count : MAX_NAMES;
    for (int i = 0; i < count; i++)
        names[i] = models[i]->name;
    names[count] = NULL;
    const char *nearest = cln_nearest_name(text, names, (size_t)count);
    snprintf(message, CLI_MESSAGE, "unknown model '%.200s'%s%s%s (the models are ", text,
             nearest ? ": did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    append_names(message, CLI_MESSAGE - 1, names);
    strcat(message, ")");
    return false;
}

bool cli_read_value(const cli_option *o, const char *text, void *target, char message[CLI_MESSAGE]) {
    switch (o->kind) {
    case CLI_FLAG:
        return read_flag(text, target, message);
    case CLI_TEXT:
        *(const char **)target = text;
        return true;
    case CLI_FLAG_INT:
        if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
            *(int64_t *)target = text[0] == 't';
            return true;
        }
        return read_int(o, text, target, message);
    case CLI_INT:
        return read_int(o, text, target, message);
    case CLI_REAL:
        return read_real(o, text, target, message);
    case CLI_INTS:
        return read_ints(o, text, target, message);
    case CLI_REALS:
        return read_reals(o, text, target, message);
    case CLI_CHOICE:
        return read_choice(o, text, target, message);
    case CLI_MODEL:
        return read_model(text, target, message);
    }
    return false;
}
