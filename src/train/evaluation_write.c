/* The mistakes of an evaluation, and its results as comma-separated values. */
#define _XOPEN_SOURCE 700 /* open_memstream */
#include "evaluation.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- mistakes --- */

/* The most confident first, what is undefined last; then in the order of the images. */
static bool is_before(const cln_prediction *all, int64_t a, int64_t b) {
    float x = all[a].probability, y = all[b].probability;
    x = isnan(x) ? -1 : x;
    y = isnan(y) ? -1 : y;
    return x > y || (!(x < y) && a < b);
}

/* Of a heap whose first is after all others in that order: mends the one at `at`, which may belong further down. */
static void sink(const cln_prediction *all, int64_t *heap, int64_t count, int64_t at) {
    int64_t moved = heap[at];
    for (int64_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && is_before(all, heap[child], heap[child + 1]))
            child++;
        if (!is_before(all, moved, heap[child]))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

static void sort(const cln_prediction *all, int64_t *heap, int64_t count) {
    for (int64_t last = count - 1; last > 0; last--) {
        int64_t end = heap[0];
        heap[0] = heap[last];
        heap[last] = end;
        sink(all, heap, last, 0);
    }
}

/* In the caller's memory alone: there is no failure to tell. */
int64_t cln_evaluation_mistakes(const cln_evaluation *e, int64_t *out, int64_t most) {
    const cln_prediction *all = e->predictions;
    int64_t found = 0, i = 0;
    for (; i < e->score.count && found < most; i++)
        if (all[i].prediction != all[i].label)
            out[found++] = i;
    for (int64_t at = found / 2 - 1; at >= 0; at--)
        sink(all, out, found, at);
    for (; i < e->score.count && found > 0; i++)
        if (all[i].prediction != all[i].label && is_before(all, i, out[0])) {
            out[0] = i;
            sink(all, out, found, 0);
        }
    sort(all, out, found);
    return found;
}

/* --- comma-separated values --- */

/* Nothing if it is undefined. */
static void put_number(FILE *out, double value) {
    if (isfinite(value))
        fprintf(out, "%.6f", value);
}

/* In quotes (RFC 4180) where it has to be. */
static void put_text(FILE *out, const char *text) {
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (; *text; text++)
        fprintf(out, *text == '"' ? "\"\"" : "%c", *text);
    fputc('"', out);
}

static void put_classes(FILE *out, const cln_evaluation *e) {
    fputs("class,name,images,predicted,correct,accuracy,precision,f1\n", out);
    for (int i = 0; i < e->num_classes; i++) {
        const cln_class_score *c = &e->classes[i];
        const double scores[] = {c->accuracy, c->precision, c->f1};
        fprintf(out, "%d,", i);
        put_text(out, e->class_names[i]);
        fprintf(out, ",%" PRId64 ",%" PRId64 ",%" PRId64, c->images, c->predicted, c->correct);
        for (int k = 0; k < 3; k++) {
            fputc(',', out);
            put_number(out, scores[k]);
        }
        fputc('\n', out);
    }
}

static void put_confusion(FILE *out, const cln_evaluation *e) {
    fputs("true class", out);
    for (int i = 0; i < e->num_classes; i++) {
        fputc(',', out);
        put_text(out, e->class_names[i]);
    }
    fputc('\n', out);
    for (int i = 0; i < e->num_classes; i++) {
        put_text(out, e->class_names[i]);
        for (int j = 0; j < e->num_classes; j++)
            fprintf(out, ",%" PRId64, e->confusion[(int64_t)i * e->num_classes + j]);
        fputc('\n', out);
    }
}

static void put_predictions(FILE *out, const cln_evaluation *e) {
    fputs("index,label,prediction,probability\n", out);
    for (int64_t i = 0; i < e->score.count; i++) {
        const cln_prediction *p = &e->predictions[i];
        fprintf(out, "%" PRId64 ",%d,%d,", p->index, (int)p->label, (int)p->prediction);
        put_number(out, (double)p->probability);
        fputc('\n', out);
    }
}

/* What `put` prints, as a file that is replaced as a whole. */
static cln_status write_as(cln_context *ctx, const cln_evaluation *e, const char *path,
                           void (*put)(FILE *out, const cln_evaluation *e)) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    locale_t before = cln__point_begin();
    if (out)
        put(out, e);
    cln__point_end(before);
    bool good = out && !ferror(out);
    good = out && fclose(out) == 0 && good;
    cln_status status = good ? cln_file_write(ctx, path, text, size) : cln__fail_memory(ctx, path);
    free(text);
    return status;
}

cln_status cln_evaluation_write_classes(cln_context *ctx, const cln_evaluation *e, const char *path) {
    return write_as(ctx, e, path, put_classes);
}

cln_status cln_evaluation_write_confusion(cln_context *ctx, const cln_evaluation *e, const char *path) {
    return write_as(ctx, e, path, put_confusion);
}

cln_status cln_evaluation_write_predictions(cln_context *ctx, const cln_evaluation *e, const char *path) {
    return write_as(ctx, e, path, put_predictions);
}
