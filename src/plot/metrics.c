/* Tables of comma-separated numbers: see clnet/plot.h. */
#include "../base/base.h"
#include "../io/file.h"
#include "clnet/plot.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 28, MAX_COLUMNS = 1024 };

/* A text cut into lines of fields, one after another. */
typedef struct cursor {
    char *at; /* ends with 0 */
    int line; /* from 1 */
} cursor;

/* The next field of the line, in place; *more: another follows on the line. */
static char *next_field(cursor *c, bool *more) {
    char *field = c->at, *end = field + strcspn(field, ",\n");
    *more = *end == ',';
    c->line += *end == '\n';
    c->at = *end ? end + 1 : end;
    *end = '\0';
    if (end > field && end[-1] == '\r')
        end[-1] = '\0';
    return field;
}

/* Nothing is NaN; so are "nan" and, as far as drawing goes, "inf". */
static bool parse(const char *text, double *out) {
    char *end;
    *out = NAN;
    if (*text == '\0')
        return true;
    double value = strtod(text, &end);
    *out = value;
    return *end == '\0' && !isspace((unsigned char)*text);
}

static int count(const char *text, char what) {
    int found = 0;
    for (; *text; text++)
        found += *text == what;
    return found;
}

static cln_status read_names(cln_context *ctx, const char *path, cursor *c, cln_metrics *m) {
    char *end = strchr(c->at, '\n');
    if (!end || end == c->at)
        return cln__fail(ctx, CLN_INVALID_FILE, "'%s' does not begin with a line of names", path);
    *end = '\0';
    int columns = count(c->at, ',') + 1;
    *end = '\n';
    if (columns > MAX_COLUMNS)
        return cln__fail(ctx, CLN_INVALID_FILE, "'%s' has %d columns, at most %d are read", path, columns, MAX_COLUMNS);
    m->names = calloc((size_t)columns, sizeof *m->names);
    for (bool more = true; m->names && more; m->columns++) {
        m->names[m->columns] = cln__format("%s", next_field(c, &more));
        if (!m->names[m->columns])
            return cln__fail_memory(ctx, path);
    }
    return m->names ? CLN_OK : cln__fail_memory(ctx, path);
}

static cln_status read_row(cln_context *ctx, const char *path, cursor *c, cln_metrics *m, int room) {
    int line = c->line, column = 0;
    for (bool more = true; more; column++) {
        const char *field = next_field(c, &more);
        double value;
        if (!parse(field, &value))
            return cln__fail(ctx, CLN_INVALID_FILE, "'%s', line %d: expected a number, found '%.50s'", path, line,
                             field);
        if (column < m->columns)
            m->values[(size_t)column * (size_t)room + (size_t)m->rows] = value;
    }
    if (column != m->columns)
        return cln__fail(ctx, CLN_INVALID_FILE, "'%s', line %d: %d fields under %d names", path, line, column,
                         m->columns);
    m->rows++;
    return CLN_OK;
}

static cln_status read_table(cln_context *ctx, const char *path, char *text, cln_metrics *m) {
    cursor c = {text, 1};
    CLN_TRY(read_names(ctx, path, &c, m));
    int room = count(c.at, '\n') + 1;
    m->values = calloc((size_t)m->columns * (size_t)room, sizeof *m->values);
    if (!m->values)
        return cln__fail_memory(ctx, path);
    cln_status status = CLN_OK;
    locale_t before = cln__point_begin();
    while (*c.at && status == CLN_OK)
        status = read_row(ctx, path, &c, m, room);
    cln__point_end(before);
    CLN_TRY(status);
    for (int i = 0; i < m->columns; i++) /* close up */
        memmove(m->values + (size_t)i * (size_t)m->rows, m->values + (size_t)i * (size_t)room,
                (size_t)m->rows * sizeof *m->values);
    return CLN_OK;
}

cln_status cln_metrics_read(cln_context *ctx, const char *path, cln_metrics **out) {
    uint8_t *bytes;
    size_t size;
    *out = NULL;
    CLN_TRY(cln__file_read(ctx, path, MAX_BYTES, &bytes, &size));
    char *text = memchr(bytes, '\0', size) ? NULL : malloc(size + 1);
    cln_metrics *m = calloc(1, sizeof *m);
    cln_status status = text && m ? CLN_OK : cln__fail_memory(ctx, path);
    if (memchr(bytes, '\0', size))
        status = cln__fail(ctx, CLN_INVALID_FILE, "'%s' is not a text", path);
    if (status == CLN_OK) {
        memcpy(text, bytes, size);
        text[size] = '\0';
        status = read_table(ctx, path, text, m);
    }
    free(text);
    free(bytes);
    if (status != CLN_OK) {
        cln_metrics_free(m);
        return status;
    }
    *out = m;
    return CLN_OK;
}

void cln_metrics_free(cln_metrics *m) {
    if (!m)
        return;
    for (int i = 0; m->names && i < m->columns; i++)
        free(m->names[i]);
    free(m->names);
    free(m->values);
    free(m);
}

const double *cln_metrics_column(const cln_metrics *m, const char *name) {
    for (int i = 0; i < m->columns; i++)
        if (strcmp(m->names[i], name) == 0)
            return m->values + (size_t)i * (size_t)m->rows;
    return NULL;
}
