/* Writing the arguments of a command as a configuration file. */
#include "../base/json_parse.h"
#include "config.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_JSON = 4096, MAX_JSON_DEPTH = 8 };

/* Safe without quotes for every reader of YAML. */
static bool is_word(const char *text) {
    static const char *const taken[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (strcasecmp(text, taken[i]) == 0)
            return false;
    if (!isalpha((unsigned char)*text) && *text != '/')
        return false;
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && !strchr("_-./", *text))
            return false;
    return true;
}

/* The next character of UTF-8 that is known to be right. */
static uint32_t next_character(const unsigned char **at) {
    static const unsigned char first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    int length = **at < 0x80 ? 1 : **at < 0xe0 ? 2 : **at < 0xf0 ? 3 : 4;
    uint32_t c = *(*at)++ & first_bits[length];
    for (int i = 1; i < length; i++)
        c = c << 6 | (*(*at)++ & 0x3f);
    return c;
}

/* What may not stand in YAML, or is a line break to some version of it. */
static bool needs_escape(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff || (c & 0xfffe) == 0xfffe;
}

static void print_quoted(const char *text, FILE *to) {
    fputc('"', to);
    for (const unsigned char *at = (const unsigned char *)text, *start = at; *at; start = at) {
        uint32_t c = next_character(&at);
        if (needs_escape(c))
            fprintf(to, c > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)c);
        else
            fprintf(to, "%s%.*s", c == '"' || c == '\\' ? "\\" : "", (int)(at - start), (const char *)start);
    }
    fputc('"', to);
}

static void print_text(const char *text, FILE *to) {
    if (is_word(text))
        fprintf(to, "%s", text);
    else
        print_quoted(text, to);
}

/* As few digits as give the same number again. */
static void print_real(double value, FILE *to) {
    char text[32];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    fprintf(to, "%s", text);
}

static void print_json(const cJSON *json, FILE *to) {
    if (cJSON_IsString(json)) {
        print_text(json->valuestring, to);
    } else if (cJSON_IsNumber(json)) {
        print_real(json->valuedouble, to);
    } else if (cJSON_IsArray(json) || cJSON_IsObject(json)) {
        bool object = cJSON_IsObject(json);
        fputc(object ? '{' : '[', to);
        for (const cJSON *item = json->child; item; item = item->next) {
            if (object)
                print_text(item->string, to);
            fprintf(to, object ? ": " : "");
            print_json(item, to);
            fprintf(to, item->next ? ", " : "");
        }
        fputc(object ? '}' : ']', to);
    } else {
        fprintf(to, cJSON_IsTrue(json) ? "true" : cJSON_IsFalse(json) ? "false" : "null");
    }
}

/* Whether the reader takes it: names that differ, numbers that are some, and not too much. */
static bool can_be_mapping(const cJSON *json, int depth) {
    if (depth > MAX_JSON_DEPTH || (cJSON_IsNumber(json) && !isfinite(json->valuedouble)))
        return false;
    for (const cJSON *item = json->child; item; item = item->next)
        if ((cJSON_IsObject(json) && cJSON_GetObjectItemCaseSensitive(json, item->string) != item) ||
            !can_be_mapping(item, depth + 1))
            return false;
    return true;
}

/* A line for each member; what is no such JSON object stays the text it is. False for lack of memory. */
static bool print_mapping(const char *text, FILE *to) {
    bool lacks_memory = false;
    cJSON *json = strlen(text) <= MAX_JSON ? cln__json_parse(text, NULL, &lacks_memory) : NULL;
    bool mapping = cJSON_IsObject(json) && json->child && can_be_mapping(json, 0);
    if (!mapping) {
        fputc(' ', to);
        print_text(text, to);
    }
    for (const cJSON *member = mapping ? json->child : NULL; member; member = member->next) {
        fprintf(to, "\n  ");
        print_text(member->string, to);
        fprintf(to, ": ");
        print_json(member, to);
    }
    cJSON_Delete(json);
    return !lacks_memory;
}

static void print_reals(const cli_reals *list, FILE *to) {
    fprintf(to, "[");
    for (int i = 0; i < list->count; i++) {
        fprintf(to, i ? ", " : "");
        print_real(list->values[i], to);
    }
    fprintf(to, "]");
}

static void print_ints(const cln_ints *list, FILE *to) {
    fprintf(to, "[");
    for (int i = 0; i < list->count; i++)
        fprintf(to, "%s%d", i ? ", " : "", list->values[i]);
    fprintf(to, "]");
}

/* Whether the option has a value: what was not given is outside of what may be given. */
static bool is_set(const cli_option *o, const void *value) {
    switch (o->kind) {
    case CLI_FLAG:
    case CLI_FLAG_INT:
        return true;
    case CLI_TEXT:
    case CLI_JSON:
        return *(const char *const *)value != NULL;
    case CLI_INT:
        return (double)*(const int64_t *)value >= o->min;
    case CLI_REAL:
        return *(const double *)value >= o->min;
    case CLI_INTS:
        return ((const cln_ints *)value)->count >= 0;
    case CLI_REALS:
        return ((const cli_reals *)value)->count > 0;
    case CLI_CHOICE:
        return *(const int *)value >= 0;
    case CLI_MODEL:
        return *(const cln_model *const *)value != NULL;
    case CLI_ONCE:
    case CLI_CONFIG:
    case CLI_PRINT_CONFIG:
        break;
    }
    return false;
}

static bool print_value(const cli_option *o, const void *value, FILE *to) {
    switch (o->kind) {
    case CLI_FLAG:
        fprintf(to, *(const bool *)value ? "true" : "false");
        break;
    case CLI_TEXT:
        print_text(*(const char *const *)value, to);
        break;
    case CLI_JSON:
        return print_mapping(*(const char *const *)value, to);
    case CLI_FLAG_INT:
        if (*(const int64_t *)value == 0) {
            fprintf(to, "false");
            break;
        } /* fall through */
    case CLI_INT:
        fprintf(to, "%lld", (long long)*(const int64_t *)value);
        break;
    case CLI_REAL:
        print_real(*(const double *)value, to);
        break;
    case CLI_INTS:
        print_ints(value, to);
        break;
    case CLI_REALS:
        print_reals(value, to);
        break;
    case CLI_CHOICE:
        print_text(o->choices[*(const int *)value], to);
        break;
    case CLI_MODEL:
        print_text((*(const cln_model *const *)value)->name, to);
        break;
    case CLI_ONCE:
    case CLI_CONFIG:
    case CLI_PRINT_CONFIG:
        break;
    }
    return true;
}

static bool print_option(const cli_option *o, const void *value, FILE *to) {
    bool text = o->kind == CLI_TEXT || o->kind == CLI_JSON;
    if (text && !cln_is_utf8(*(const char *const *)value)) {
        fprintf(to, "# %s: left out, since its value is not UTF-8\n", o->name);
        return true;
    }
    fprintf(to, o->kind == CLI_JSON ? "%s:" : "%s: ", o->name); /* a mapping comes in lines of its own */
    bool whole = print_value(o, value, to);
    fprintf(to, "\n");
    return whole;
}

bool cli_config_print(const cli_command *command, const void *arguments, FILE *to) {
    fprintf(to, "# For %s %s --config, version %s.\n", command->program, command->name, cln_version());
    for (const cli_group *group = command->groups; group->title; group++) {
        fprintf(to, "\n# %s\n", group->title);
        for (const cli_option *o = group->options; o->name; o++) {
            const void *value = (const char *)arguments + o->offset;
            if (o->help && is_set(o, value) && !print_option(o, value, to))
                return false;
        }
    }
    return true;
}
