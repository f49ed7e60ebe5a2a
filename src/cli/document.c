/* YAML files by libyaml: see document.h. */
#include "document.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 20, MAX_DEPTH = 16, MAX_VALUES = 4096 };

typedef struct file {
    const char *path;
    char *text; /* ends with a NUL that does not count */
    size_t size;
    char *message;
} file;

int document_refuse(const char *path, size_t line, char message[CLI_MESSAGE], const char *format, ...) {
    int used = snprintf(message, CLI_MESSAGE, "%.400s:%zu: ", path, line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message + used, CLI_MESSAGE - (size_t)used, format, arguments);
    va_end(arguments);
    for (char *c = message; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    return CLN_INVALID_FILE;
}

static size_t line_at(const file *f, size_t offset) {
    size_t line = 1;
    for (size_t i = 0; i < offset && i < f->size; i++)
        line += f->text[i] == '\n';
    return line;
}

/* --- bytes --- */

static int read_bytes(file *f) {
    errno = 0;
    FILE *in = fopen(f->path, "rb");
    f->text = malloc(MAX_BYTES + 1);
    f->size = in && f->text ? fread(f->text, 1, MAX_BYTES + 1, in) : 0;
    bool failed = !in || ferror(in);
    if (failed || !f->text)
        snprintf(f->message, CLI_MESSAGE, "cannot read '%.400s': %s", f->path, strerror(errno));
    if (in)
        fclose(in);
    if (failed || !f->text)
        return failed ? CLN_IO : CLN_OUT_OF_MEMORY;
    if (f->size > MAX_BYTES)
        return document_refuse(f->path, 1, f->message, "larger than 1 MiB: not a configuration");
    f->text[f->size] = '\0';
    return CLN_OK;
}

/* --- structure --- */

static int refuse_syntax(const file *f, const yaml_parser_t *p) {
    if (p->error == YAML_MEMORY_ERROR) {
        snprintf(f->message, CLI_MESSAGE, "not enough memory to read '%.400s'", f->path);
        return CLN_OUT_OF_MEMORY;
    }
    size_t line = p->error == YAML_READER_ERROR ? line_at(f, p->problem_offset) : p->problem_mark.line + 1;
    return document_refuse(f->path, line, f->message, "not YAML: %s", p->problem ? p->problem : "it cannot be read");
}

typedef struct shape {
    int documents, depth, values;
} shape;

static const char *why_not(const yaml_event_t *e, shape *s) {
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        return s->documents++ ? "a second document: one is all there may be" : NULL;
    case YAML_ALIAS_EVENT:
        return "aliases (*name) are not taken here: write the value out";
    case YAML_SCALAR_EVENT:
        anchor = e->data.scalar.anchor, tag = e->data.scalar.tag;
        if (strlen((const char *)e->data.scalar.value) != e->data.scalar.length)
            return "a text with a NUL in it";
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = e->data.sequence_start.anchor, tag = e->data.sequence_start.tag;
        s->depth++;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = e->data.mapping_start.anchor, tag = e->data.mapping_start.tag;
        s->depth++;
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        s->depth--;
        return NULL;
    default:
        return NULL;
    }
    s->values++;
    return anchor                   ? "anchors (&name) are not taken here"
           : tag                    ? "tags (!name) are not taken here"
           : s->depth > MAX_DEPTH   ? "nested too deeply"
           : s->values > MAX_VALUES ? "too many values"
                                    : NULL;
}

static bool start(yaml_parser_t *p, const file *f) {
    if (!yaml_parser_initialize(p)) {
        snprintf(f->message, CLI_MESSAGE, "not enough memory to read '%.400s'", f->path);
        return false;
    }
    /* A byte order mark would be permission to read UTF-16. */
    yaml_parser_set_encoding(p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(p, (const unsigned char *)f->text, f->size);
    return true;
}

/* Event by event, so that nothing is built of what is refused. */
static int check_events(const file *f) {
    yaml_parser_t p;
    yaml_event_t e;
    shape s = {.documents = 0};
    if (!start(&p, f))
        return CLN_OUT_OF_MEMORY;
    int status = CLN_OK;
    for (bool ended = false; status == CLN_OK && !ended;) {
        if (!yaml_parser_parse(&p, &e)) {
            status = refuse_syntax(f, &p);
            break;
        }
        const char *reason = why_not(&e, &s);
        if (reason)
            status = document_refuse(f->path, e.start_mark.line + 1, f->message, "%s", reason);
        ended = e.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&p);
    return status;
}

static int load(const file *f, yaml_document_t *out) {
    yaml_parser_t p;
    if (!start(&p, f))
        return CLN_OUT_OF_MEMORY;
    int status = yaml_parser_load(&p, out) ? CLN_OK : refuse_syntax(f, &p);
    yaml_parser_delete(&p);
    return status;
}

int document_read(const char *path, yaml_document_t *out, char message[CLI_MESSAGE]) {
    file f = {.path = path, .message = message};
    int status = read_bytes(&f);
    status = status == CLN_OK ? check_events(&f) : status;
    status = status == CLN_OK ? load(&f, out) : status;
    free(f.text);
    return status;
}

/* --- values --- */

const char *document_text(const yaml_node_t *node) {
    return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

bool document_is_plain(const yaml_node_t *node) {
    return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

bool document_is_null(const yaml_node_t *node) {
    const char *text = document_text(node);
    return document_is_plain(node) && (*text == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

const char *document_kind(const yaml_node_t *node) {
    return node->type == YAML_SEQUENCE_NODE  ? "a list"
           : node->type == YAML_MAPPING_NODE ? "a mapping"
           : document_is_plain(node)         ? "a text"
                                             : "a quoted text";
}

size_t document_line(const yaml_node_t *node) {
    return node->start_mark.line + 1;
}
