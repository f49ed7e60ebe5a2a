/* The mistakes of an evaluation, and its results as comma-separated values. */
#define _XOPEN_SOURCE 700 /* open_memstream */
#include "evaluation.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- mistakes --- */

typedef struct mistake {
    int64_t at;
    float probability;
} mistake;

/* The most confident first, then in the order of the images. */
static int compare(const void *a, const void *b) {
    const mistake *x = a, *y = b;
    if (x->probability != y->probability)
        return x->probability > y->probability ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

int64_t cln_evaluation_mistakes(const cln_evaluation *e, int64_t *out, int64_t most) {
    int64_t wrong = e->score.count - e->score.correct, found = 0;
    mistake *all = malloc((size_t)(wrong > 0 ? wrong : 1) * sizeof *all);
    for (int64_t i = 0; all && i < e->score.count; i++) {
        const cln_prediction *p = &e->predictions[i];
        if (p->prediction != p->label) /* what is undefined sorts last */
            all[found++] = (mistake){i, isnan(p->probability) ? -1 : p->probability};
    }
    if (found > 0)
        qsort(all, (size_t)found, sizeof *all, compare);
    found = cln__least(found, most);
    for (int64_t i = 0; i < found; i++)
        out[i] = all[i].at;
    free(all);
    return found;
}

/* --- comma-separated values --- */

/* A value with a point in any locale; nothing if it is undefined. */
static void put_number(FILE *out, double value) {
    char text[32];
    if (!isfinite(value))
        return;
    snprintf(text, sizeof text, "%.6f", value);
    char *comma = strchr(text, ',');
    if (comma)
        *comma = '.';
    fputs(text, out);
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
    if (out)
        put(out, e);
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
