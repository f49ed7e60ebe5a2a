/* Many programs as the text of one, for drivers that take long for each program, however short: see drivers.c.
 *
 * Each section is a source with its options as #define lines, in a world of its own: what it declares at file scope
 * gets a prefix, by more #define lines in front, and all its macros are undefined behind it. That needs no parser, only
 * braces counted and a look at the token behind each name. What this does not understand, the compiler refuses; the
 * caller then compiles each program by itself. */
#include "bundle.h"
#include "../base/base.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct name {
    const char *start;
    int length;
} name;

typedef struct names {
    name *of;
    int count, room;
    bool failed;
} names;

typedef struct scan {
    const char *at;
    int depth; /* of braces and parentheses */
    bool in_enum;
    names macros, globals;
} scan;

static bool same(name a, const char *text) {
    return strncmp(a.start, text, (size_t)a.length) == 0 && text[a.length] == '\0';
}

static bool contains(const names *list, name wanted) {
    for (int i = 0; i < list->count; i++)
        if (list->of[i].length == wanted.length && strncmp(list->of[i].start, wanted.start, (size_t)wanted.length) == 0)
            return true;
    return false;
}

static void add(names *list, name n) {
    if (n.length == 0 || contains(list, n))
        return;
    if (list->count == list->room) {
        int room = list->room ? 2 * list->room : 64;
        name *of = realloc(list->of, (size_t)room * sizeof *of);
        if (!of) {
            list->failed = true;
            return;
        }
        list->of = of;
        list->room = room;
    }
    list->of[list->count++] = n;
}

static bool in_name(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

static name name_at(const char *p) {
    name n = {p, 0};
    while (in_name(p[n.length]))
        n.length++;
    return n;
}

/* Behind the comment that begins at `p`; `p` if none does. */
static const char *skip_comment(const char *p) {
    const char *end = p[0] != '/' ? NULL : p[1] == '*' ? strstr(p + 2, "*/") : p[1] == '/' ? strchr(p, '\n') : NULL;
    return !end ? p : p[1] == '*' ? end + 2 : end;
}

static const char *skip_blank(const char *p) {
    for (const char *before = NULL; before != p;) {
        before = p;
        p += strspn(p, " \t\r\n");
        p = skip_comment(p);
    }
    return p;
}

/* A line for the preprocessor, with those that continue it. */
static void scan_directive(scan *s) {
    const char *p = s->at + 1 + strspn(s->at + 1, " \t");
    if (strncmp(p, "define", 6) == 0)
        add(&s->macros, name_at(p + 6 + strspn(p + 6, " \t")));
    while (*p && *p != '\n') {
        const char *behind = skip_comment(p);
        p = behind != p ? behind : p[0] == '\\' && p[1] ? p + 2 : p + 1;
    }
    s->at = p;
}

/* `before`: the last character that was not blank. */
static void scan_name(scan *s, char before) {
    name n = name_at(s->at);
    s->at += n.length;
    char next = *skip_blank(s->at);
    if (s->depth == 0 && same(n, "enum"))
        s->in_enum = true;
    bool keyword = same(n, "struct") || same(n, "union") || same(n, "enum") || same(n, "__attribute__");
    bool declared = s->depth == 0 && next && strchr("(;[={,", next);
    bool constant = s->depth == 1 && s->in_enum && (before == '{' || before == ',');
    if ((declared || constant) && !keyword && !contains(&s->macros, n))
        add(&s->globals, n);
}

static void scan_text(scan *s) {
    char before = '\n';
    while (*(s->at = skip_blank(s->at))) {
        char c = *s->at;
        if (c == '#') {
            scan_directive(s);
            continue;
        }
        if (isalpha((unsigned char)c) || c == '_') {
            scan_name(s, before);
        } else if (isdigit((unsigned char)c)) {
            s->at += name_at(s->at).length;
        } else {
            s->depth += (c == '{' || c == '(') - (c == '}' || c == ')');
            s->in_enum = s->in_enum && c != '}';
            s->at++;
        }
        before = c;
    }
}

/* " -DA=1 -DB" as #define lines. False if there is anything else. */
static bool write_options(FILE *out, names *macros, const char *options) {
    for (const char *p = options + strspn(options, " "); *p; p += strspn(p, " ")) {
        if (strncmp(p, "-D", 2) != 0)
            return false;
        name n = name_at(p + 2);
        const char *value = n.start + n.length;
        p = value + strcspn(value, " ");
        if (value[0] != '=' && value != p)
            return false;
        add(macros, n);
        fprintf(out, "#define %.*s %.*s\n", n.length, n.start, value == p ? 1 : (int)(p - value - 1),
                value == p ? "1" : value + 1);
    }
    return true;
}

static void undefine(FILE *out, const names *list) {
    for (int i = 0; i < list->count; i++)
        fprintf(out, "#undef %.*s\n", list->of[i].length, list->of[i].start);
}

static bool write_section(FILE *out, int index, const char *text, const char *options) {
    scan s = {.at = text};
    scan_text(&s);
    bool written = write_options(out, &s.macros, options) && !s.macros.failed && !s.globals.failed;
    for (int i = 0; i < s.globals.count; i++)
        fprintf(out, "#define %.*s " CLN__BUNDLE_PREFIX "%.*s\n", s.globals.of[i].length, s.globals.of[i].start, index,
                s.globals.of[i].length, s.globals.of[i].start);
    fprintf(out, "%s\n", text);
    undefine(out, &s.macros);
    undefine(out, &s.globals);
    free(s.macros.of);
    free(s.globals.of);
    return written;
}

char *cln__bundle(const char *const *texts, const char *const *options, int count) {
    char *bundle = NULL;
    size_t size;
    FILE *out = open_memstream(&bundle, &size);
    if (!out)
        return NULL;
    bool written = true;
    for (int i = 0; i < count && written; i++)
        written = write_section(out, i, texts[i], options[i]);
    written = !ferror(out) && written;
    if (fclose(out) != 0 || !written) {
        free(bundle);
        return NULL;
    }
    return bundle;
}
