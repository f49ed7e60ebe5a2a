/* The values of options, read from text by kind. */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAMES = 128 };

/* "sgd, adam, adamw" after what `list` holds already. */
static void append_names(char *list, size_t size, const char *const *names) {
    size_t used = strlen(list);
    for (int i = 0; names[i] && used < size; i++)
        used += (size_t)snprintf(list + used, size - used, "%s%s", i ? ", " : "", names[i]);
}

void cli_expected(const cli_option *o, char expected[CLI_EXPECTED]) {
    *expected = '\0';
    switch (o->kind) {
    case CLI_FLAG:
    case CLI_PRINT_CONFIG:
        strcpy(expected, "true or false");
        break;
    case CLI_INT:
        snprintf(expected, CLI_EXPECTED, "a whole number from %.0f to %.0f", o->min, o->max);
        break;
    case CLI_REAL:
        snprintf(expected, CLI_EXPECTED, "a number from %g to %g", o->min, o->max);
        break;
    case CLI_INTS:
        snprintf(expected, CLI_EXPECTED, "at most %d whole numbers from %.0f to %.0f with commas between them",
                 CLN_MAX_INTS, o->min, o->max);
        break;
    case CLI_FLAG_INT:
        snprintf(expected, CLI_EXPECTED, "true, false or a whole number from %.0f to %.0f", o->min, o->max);
        break;
    case CLI_REALS:
        snprintf(expected, CLI_EXPECTED, "at most %d numbers from %g to %g with commas between them", CLI_MAX_REALS,
                 o->min, o->max);
        break;
    case CLI_CHOICE:
        strcpy(expected, "one of ");
        append_names(expected, CLI_EXPECTED, o->choices);
        break;
    case CLI_MODEL:
        strcpy(expected, "the name of a model");
        break;
    case CLI_JSON:
        strcpy(expected, "a mapping");
        break;
    case CLI_TEXT:
    case CLI_ONCE:
    case CLI_CONFIG:
        strcpy(expected, "a text");
        break;
    }
}

static bool read_flag(const char *text, bool *out) {
    *out = strcmp(text, "true") == 0;
    return *out || strcmp(text, "false") == 0;
}

static bool read_int(const cli_option *o, const char *text, const char *end, int64_t *out) {
    if (text == end || isspace((unsigned char)*text))
        return false;
    char *after;
    errno = 0;
    long long value = strtoll(text, &after, 10);
    *out = value;
    return errno == 0 && after == end && (double)value >= o->min && (double)value <= o->max;
}

static bool read_flag_int(const cli_option *o, const char *text, int64_t *out) {
    bool flag;
    if (!read_flag(text, &flag))
        return read_int(o, text, text + strlen(text), out);
    *out = flag;
    return true;
}

static bool read_real(const cli_option *o, const char *text, const char *end, double *out) {
    char *after;
    *out = strtod(text, &after);
    bool number = after != text && after == end && !isspace((unsigned char)*text);
    return number && *out >= o->min && *out <= o->max;
}

/* "none" is the empty list, of this and of that. */
static bool read_reals(const cli_option *o, const char *text, cli_reals *out) {
    out->count = 0;
    for (bool more = strcmp(text, "none") != 0; more; text++) {
        const char *end = text + strcspn(text, ",");
        if (out->count == CLI_MAX_REALS || !read_real(o, text, end, &out->values[out->count++]))
            return false;
        more = *end == ',';
        text = end;
    }
    return true;
}

static bool read_ints(const cli_option *o, const char *text, cln_ints *out) {
    out->count = 0;
    for (bool more = strcmp(text, "none") != 0; more; text++) {
        const char *end = text + strcspn(text, ",");
        int64_t value;
        if (out->count == CLN_MAX_INTS || !read_int(o, text, end, &value))
            return false;
        out->values[out->count++] = (int)value;
        more = *end == ',';
        text = end;
    }
    return true;
}

static bool read_choice(const cli_option *o, const char *text, int *out) {
    for (*out = 0; o->choices[*out]; ++*out)
        if (strcmp(o->choices[*out], text) == 0)
            return true;
    return false;
}

static bool unknown_model(const char *text, char *message) {
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

static bool read_value(const cli_option *o, const char *text, void *target) {
    switch (o->kind) {
    case CLI_FLAG:
    case CLI_PRINT_CONFIG:
        return read_flag(text, target);
    case CLI_FLAG_INT:
        return read_flag_int(o, text, target);
    case CLI_INT:
        return read_int(o, text, text + strlen(text), target);
    case CLI_REAL:
        return read_real(o, text, text + strlen(text), target);
    case CLI_INTS:
        return read_ints(o, text, target);
    case CLI_REALS:
        return read_reals(o, text, target);
    case CLI_CHOICE:
        return read_choice(o, text, target);
    case CLI_MODEL:
        *(const cln_model **)target = cln_model_find(text);
        return *(const cln_model **)target != NULL;
    case CLI_TEXT:
    case CLI_ONCE:
    case CLI_JSON:
    case CLI_CONFIG:
        break;
    }
    *(const char **)target = text;
    return true;
}

bool cli_read_value(const cli_option *o, const char *text, void *target, char message[CLI_MESSAGE]) {
    char expected[CLI_EXPECTED];
    if (read_value(o, text, target))
        return true;
    if (o->kind == CLI_MODEL)
        return unknown_model(text, message);
    cli_expected(o, expected);
    snprintf(message, CLI_MESSAGE, "expected %s, found '%.200s'", expected, text);
    return false;
}
