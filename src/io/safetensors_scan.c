/* A first pass over the header of a safetensors file, a small subset of JSON: objects within an object, strings, arrays
 * of whole numbers. cJSON, which parses it next, also takes what JSON or the format forbids (control characters and bad
 * UTF-8 in strings, numbers that a double cannot hold, leading zeros), ends a string at an escaped NUL, and allocates a
 * node for whatever a hostile file packs into its header. All that is refused here; the grammar is left to cJSON. */
#include "safetensors_header.h"

#include <ctype.h>
#include <string.h>

enum {
    MAX_DEPTH = 3,        /* the header, a tensor, its shape */
    MAX_MEMBERS = 400000, /* of all objects: 100,000 tensors */
    MAX_DIGITS = 16,      /* 2^53 - 1 has as many */
};

typedef struct scanner {
    const char *text;
    size_t size, at;
    int depth;
    size_t members, elements; /* elements: commas of the array being read */
    const char *fault;        /* NULL so far */
} scanner;

static void scan_escape(scanner *s) {
    size_t left = s->size - s->at;
    const char *escape = s->text + s->at + 1;
    if (left >= 2 && escape[0] != '\0' && strchr("\"\\/bfnrt", escape[0])) {
        s->at += 2;
        return;
    }
    bool hex = left >= 6 && escape[0] == 'u';
    for (int i = 1; hex && i <= 4; i++)
        hex = isxdigit((unsigned char)escape[i]) != 0;
    if (!hex)
        s->fault = "an invalid escape in a string";
    else if (memcmp(escape + 1, "0000", 4) == 0)
        s->fault = "a NUL character in a string";
    else
        s->at += 6;
}

/* From the opening quote to behind the closing one. */
static void scan_string(scanner *s) {
    s->at++;
    while (!s->fault) {
        if (s->at >= s->size) {
            s->fault = "a string without an end";
            return;
        }
        unsigned char c = (unsigned char)s->text[s->at];
        if (c == '"')
            break;
        if (c == '\\') {
            scan_escape(s);
            continue;
        }
        size_t length = cln__utf8_length(s->text + s->at, s->size - s->at);
        if (c < 0x20)
            s->fault = "a control character in a string";
        else if (length == 0)
            s->fault = "invalid UTF-8 in a string";
        s->at += s->fault ? 0 : length;
    }
    s->at += s->fault ? 0 : 1;
}

static void scan_number(scanner *s) {
    size_t start = s->at;
    while (s->at < s->size && isdigit((unsigned char)s->text[s->at]))
        s->at++;
    size_t digits = s->at - start;
    bool whole = s->at == s->size || !strchr(".eE+-", s->text[s->at]) || s->text[s->at] == '\0';
    if (!whole || digits > MAX_DIGITS || (digits > 1 && s->text[start] == '0')) {
        s->fault = "a number that is not a whole number below 2^53";
        s->at = start;
    }
}

static void scan_mark(scanner *s, char c) {
    bool opens = c == '{' || c == '[';
    if ((c == '{' && s->depth > 1) || (c == '[' && s->depth != MAX_DEPTH - 1))
        s->fault = "an object or array where none belongs";
    else if (c == ':' && ++s->members > MAX_MEMBERS)
        s->fault = "more than 400000 members";
    else if (c == ',' && s->depth == MAX_DEPTH && ++s->elements >= CLN_MAX_RANK)
        s->fault = "an array of more than 8 numbers";
    if (s->fault)
        return;
    if (opens)
        s->elements = 0;
    s->depth += opens ? 1 : c == '}' || c == ']' ? -1 : 0;
    s->at++;
}

static void scan_token(scanner *s) {
    char c = s->text[s->at];
    if (c == '"')
        scan_string(s);
    else if (isdigit((unsigned char)c))
        scan_number(s);
    else if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
        s->at++;
    else if (c != '\0' && strchr("{}[],:", c))
        scan_mark(s, c);
    else if (c == '-' || c == '+' || c == '.')
        s->fault = "a number that is not a whole number below 2^53";
    else
        s->fault = "something other than objects, arrays, strings and whole numbers";
}

cln_status cln__safetensors_scan(cln_context *ctx, const char *path, const char *text, size_t size) {
    scanner s = {.text = text, .size = size};
    if (size == 0 || text[0] != '{')
        s.fault = "not the '{' that it must begin with";
    do {
        if (!s.fault)
            scan_token(&s);
    } while (!s.fault && s.depth > 0 && s.at < size);
    if (!s.fault && s.depth > 0)
        s.fault = "its end, before the last object is closed";
    while (!s.fault && s.at < size)
        if (text[s.at] == ' ')
            s.at++;
        else
            s.fault = "something other than spaces behind the JSON object";
    if (s.fault)
        return cln__fail(ctx, CLN_INVALID_FILE, "'%s' is not a valid safetensors file: byte %zu of the header has %s",
                         path, s.at, s.fault);
    return CLN_OK;
}
