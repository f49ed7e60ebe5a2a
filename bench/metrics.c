/* Reading learning curves: see metrics.h. */
#include "metrics.h"
#include "json_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void metrics_free(metrics *m) {
    free(m->epoch);
    free(m->train_acc);
    free(m->val_acc);
    *m = (metrics){.count = 0};
}

/* Which field of the first line has that name; -1: none. */
static int column_of(const char *line, const char *name) {
    size_t length = strlen(name);
    for (int i = 0;; i++) {
        size_t field = strcspn(line, ",\r\n");
        if (field == length && memcmp(line, name, length) == 0)
            return i;
        if (line[field] != ',')
            return -1;
        line += field + 1;
    }
}

static double number_at(const char *line, int column) {
    char *end;
    for (; column > 0; column--) {
        line += strcspn(line, ",\r\n");
        if (*line != ',')
            return NAN;
        line++;
    }
    if (*line == ',' || *line == '\r' || *line == '\n')
        return NAN;
    double value = strtod(line, &end);
    return end != line && strchr(",\r\n", *end) ? value : NAN;
}

static const char *next_line(const char *line) {
    line += strcspn(line, "\n");
    return line + (*line == '\n');
}

static void read_lines(const char *text, metrics *out) {
    int epoch = column_of(text, "epoch"), train = column_of(text, "train_acc"), val = column_of(text, "val_acc");
    if (epoch < 0 || (train < 0 && val < 0))
        return;
    for (const char *line = next_line(text); *line && out->count < METRICS_MAX_EPOCHS; line = next_line(line)) {
        double at = number_at(line, epoch);
        if (!(at >= 0 && at < 1e9))
            continue;
        out->epoch[out->count] = at;
        out->train_acc[out->count] = train >= 0 ? number_at(line, train) : NAN;
        out->val_acc[out->count++] = val >= 0 ? number_at(line, val) : NAN;
    }
    bool from_zero = out->count > 0 && out->epoch[0] == 0;
    for (int i = 0; i < out->count && from_zero; i++)
        out->epoch[i]++;
}

bool metrics_read(const char *path, metrics *out) {
    *out = (metrics){.count = 0};
    char *text = text_file_read(path);
    if (!text)
        return false;
    out->epoch = malloc(METRICS_MAX_EPOCHS * sizeof *out->epoch);
    out->train_acc = malloc(METRICS_MAX_EPOCHS * sizeof *out->train_acc);
    out->val_acc = malloc(METRICS_MAX_EPOCHS * sizeof *out->val_acc);
    if (out->epoch && out->train_acc && out->val_acc)
        read_lines(text, out);
    free(text);
    return out->count > 0;
}
