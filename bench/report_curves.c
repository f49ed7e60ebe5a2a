/* The report's learning curves: ours from each run's metrics.csv, the published ones where they are there. */
#include "html.h"
#include "metrics.h"
#include "report.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CURVES = 8 };

typedef struct curves {
    metrics ours[MAX_CURVES], theirs;
    char names[MAX_CURVES][64]; /* of the runs */
    int count;
} curves;

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_run(curves *c, const char *folder, const char *name) {
    char path[4 * TABLE_PATH];
    if (c->count == MAX_CURVES)
        return;
    snprintf(path, sizeof path, "%s/metrics.csv", folder);
    metrics *m = &c->ours[c->count];
    if (!metrics_read(path, m)) {
        metrics_free(m);
        return;
    }
    snprintf(c->names[c->count++], sizeof c->names[0], "%.60s", name);
}

/* The runs in <runs>/<model>, in the order of their names. */
static void add_folder(curves *c, const char *runs, const char *model) {
    enum { MAX_ENTRIES = 256 };
    char path[2 * TABLE_PATH], inner[3 * TABLE_PATH], *names[MAX_ENTRIES];
    int count = 0;
    snprintf(path, sizeof path, "%s/%s", runs, model);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder)) && count < MAX_ENTRIES;) {
        size_t size = strlen(entry->d_name) + 1;
        names[count] = entry->d_name[0] != '.' ? malloc(size) : NULL;
        if (names[count])
            memcpy(names[count++], entry->d_name, size);
    }
    if (folder)
        closedir(folder);
    qsort(names, (size_t)count, sizeof *names, by_name);
    for (int i = 0; i < count; i++) {
        snprintf(inner, sizeof inner, "%s/%.255s", path, names[i]);
        add_run(c, inner, names[i]);
        free(names[i]);
    }
}

static void find_curves(const report *r, const table_row *row, curves *c) {
    char path[2 * TABLE_PATH];
    *c = (curves){.count = 0};
    if (r->o->runs)
        add_folder(c, r->o->runs, row->model);
    for (int i = 0; i < row->run_count && !r->o->runs; i++)
        if (*row->runs[i].folder) {
            char name[32];
            snprintf(name, sizeof name, "seed %lld", (long long)row->runs[i].seed);
            add_run(c, row->runs[i].folder, name);
        }
    if (!r->o->curves)
        return;
    snprintf(path, sizeof path, "%s/%s.csv", r->o->curves, row->model);
    metrics_read(path, &c->theirs);
}

static void free_curves(curves *c) {
    for (int i = 0; i < c->count; i++)
        metrics_free(&c->ours[i]);
    metrics_free(&c->theirs);
}

static void widen(const metrics *m, double *last, double *lowest, double until) {
    for (int i = 0; i < m->count; i++) {
        if (m->epoch[i] > until)
            continue;
        *last = fmax(*last, m->epoch[i]);
        *lowest =
            fmin(*lowest, fmin(isnan(m->val_acc[i]) ? 1 : m->val_acc[i], isnan(m->train_acc[i]) ? 1 : m->train_acc[i]));
    }
}

static void draw(const curves *c, const chart *frame, FILE *to) {
    char name[96];
    const metrics *p = &c->theirs;
    chart_begin(to, frame);
    if (p->count) {
        chart_line(to, frame, "published, training", "s-theirs thin", p->epoch, p->train_acc, p->count);
        chart_line(to, frame, "published, validation", "s-theirs", p->epoch, p->val_acc, p->count);
    }
    for (int i = 0; i < c->count; i++) {
        const metrics *m = &c->ours[i];
        snprintf(name, sizeof name, "ours (%s), training", c->names[i]);
        chart_line(to, frame, name, "s-ours thin", m->epoch, m->train_acc, m->count);
        snprintf(name, sizeof name, "ours (%s), validation", c->names[i]);
        chart_line(to, frame, name, "s-ours", m->epoch, m->val_acc, m->count);
    }
    chart_end(to);
}

/* Ours over the epochs that were trained; the published ones as far as that, or whole where they are alone. */
static void show(const curves *c, const char *model, FILE *to) {
    double last = 0, lowest = 1;
    for (int i = 0; i < c->count; i++)
        widen(&c->ours[i], &last, &lowest, INFINITY);
    widen(&c->theirs, &last, &lowest, c->count ? last : INFINITY);
    char title[128];
    snprintf(title, sizeof title, "Learning curves of %s", model);
    double bottom = fmax(0, floor(lowest * 10 - 1e-9) / 10);
    const chart frame = {.title = title,
                         .x_name = "epoch",
                         .y_name = "accuracy",
                         .x0 = 1,
                         .x1 = fmax(last, 2),
                         .y0 = fmin(bottom, 0.9),
                         .y1 = 1,
                         .whole = true,
                         .percent = true};
    fprintf(to, "<figure><h3>");
    html_text(to, model);
    fprintf(to, "</h3>\n");
    draw(c, &frame, to);
    if (c->count && c->theirs.count && c->theirs.epoch[c->theirs.count - 1] > last)
        fprintf(to, "<figcaption>The first %g of %g published epochs.</figcaption>\n", last,
                c->theirs.epoch[c->theirs.count - 1]);
    fprintf(to, "</figure>\n");
}

static void print_key(bool ours, bool theirs, FILE *to) {
    static const char *const entries[][2] = {{"s-ours", "ours, validation"},
                                             {"s-ours thin", "ours, training"},
                                             {"s-theirs", "published, validation"},
                                             {"s-theirs thin", "published, training"}};
    fprintf(to, "<ul class=\"key\">");
    for (int i = ours ? 0 : 2; i < (theirs ? 4 : 2); i++)
        fprintf(to, "<li><svg viewBox=\"0 0 28 10\"><polyline class=\"%s\" points=\"0,5 28,5\" /></svg>%s</li>",
                entries[i][0], entries[i][1]);
    fprintf(to, "</ul>\n");
}

void report_curves(const report *r, FILE *to) {
    bool ours = false, theirs = false;
    curves *all = calloc(TABLE_MAX_ROWS, sizeof *all);
    for (int i = 0; all && i < r->t.row_count; i++) {
        find_curves(r, &r->t.rows[i], &all[i]);
        ours = ours || all[i].count;
        theirs = theirs || all[i].theirs.count;
    }
    if (ours || theirs) {
        fprintf(to, "<section>\n<h2>Learning curves</h2>\n");
        print_key(ours, theirs, to);
        fprintf(to, "<div class=\"charts\">\n");
        for (int i = 0; i < r->t.row_count; i++)
            if (all[i].count || all[i].theirs.count)
                show(&all[i], r->t.rows[i].model, to);
        fprintf(
            to,
            "</div>\n<p class=\"soft\">Point at a curve for its values. Training accuracy is the mean over an epoch "
            "of augmented images, so it can be below that of validation.</p>\n</section>\n");
    }
    for (int i = 0; all && i < r->t.row_count; i++)
        free_curves(&all[i]);
    free(all);
}
