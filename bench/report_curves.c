/* The report's learning curves: ours from each run's metrics.csv, the published ones where they are there. */
#include "clnet/plot.h"
#include "html.h"
#include "report.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_CURVES = 8 };

typedef struct curve {
    cln_metrics *metrics;              /* owned; NULL: there is no curve */
    double *epoch;                     /* from 1 */
    const double *train_acc, *val_acc; /* NULL: there is no such column */
    int count;
} curve;

typedef struct curves {
    curve ours[MAX_CURVES], theirs;
    char names[MAX_CURVES][64]; /* of the runs */
    int count;
} curves;

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Published ones count their epochs from 0. */
static bool take(cln_metrics *m, curve *out) {
    const double *epoch = cln_metrics_column(m, "epoch");
    *out = (curve){.metrics = m,
                   .epoch = epoch ? m->values + (epoch - m->values) : NULL,
                   .train_acc = cln_metrics_column(m, "train_acc"),
                   .val_acc = cln_metrics_column(m, "val_acc"),
                   .count = m->rows};
    bool usable = epoch && (out->train_acc || out->val_acc) && m->rows > 0;
    for (int i = 0; usable && i < m->rows; i++)
        usable = epoch[i] >= 0 && epoch[i] < 1e9;
    for (int i = m->rows - 1; usable && epoch[0] == 0 && i >= 0; i--)
        out->epoch[i]++;
    return usable;
}

/* What is not there is no curve; what is there and is none is told. */
static bool read_curve(report *r, const char *path, curve *out) {
    cln_metrics *m = NULL;
    *out = (curve){.count = 0};
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return false;
    cln_status status = cln_metrics_read(r->ctx, path, &m);
    if (status == CLN_OK && take(m, out))
        return true;
    if (status == CLN_OUT_OF_MEMORY)
        r->lacks_memory = true;
    else if (status != CLN_OK)
        fprintf(stderr, "clbench: report: warning: no curve is drawn: %s\n", cln_context_error(r->ctx));
    else
        fprintf(stderr,
                "clbench: report: warning: no curve is drawn: '%s' has no column epoch with a number in each "
                "line, or neither train_acc nor val_acc\n",
                path);
    cln_metrics_free(m);
    *out = (curve){.count = 0};
    return false;
}

static void add_run(report *r, curves *c, const char *folder, const char *name) {
    char path[4 * TABLE_PATH];
    if (c->count == MAX_CURVES)
        return;
    snprintf(path, sizeof path, "%s/metrics.csv", folder);
    if (read_curve(r, path, &c->ours[c->count]))
        snprintf(c->names[c->count++], sizeof c->names[0], "%.60s", name);
}

/* The runs in <runs>/<model>, in the order of their names. */
static void add_folder(report *r, curves *c, const char *model) {
    enum { MAX_ENTRIES = 256 };
    char path[2 * TABLE_PATH], inner[3 * TABLE_PATH], *names[MAX_ENTRIES];
    int count = 0;
    snprintf(path, sizeof path, "%s/%s", r->o->runs, model);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder)) && count < MAX_ENTRIES;) {
        size_t size = strlen(entry->d_name) + 1;
        if (entry->d_name[0] == '.')
            continue;
        names[count] = malloc(size);
        r->lacks_memory = r->lacks_memory || !names[count];
        if (names[count])
            memcpy(names[count++], entry->d_name, size);
    }
    if (folder)
        closedir(folder);
    qsort(names, (size_t)count, sizeof *names, by_name);
    for (int i = 0; i < count; i++) {
        snprintf(inner, sizeof inner, "%s/%.255s", path, names[i]);
        add_run(r, c, inner, names[i]);
        free(names[i]);
    }
}

static void find_curves(report *r, const table_row *row, curves *c) {
    char path[2 * TABLE_PATH];
    *c = (curves){.count = 0};
    if (r->o->runs)
        add_folder(r, c, row->model);
    for (int i = 0; i < row->run_count && !r->o->runs; i++)
        if (*row->runs[i].folder) {
            char name[32];
            snprintf(name, sizeof name, "seed %lld", (long long)row->runs[i].seed);
            add_run(r, c, row->runs[i].folder, name);
        }
    if (!r->o->curves)
        return;
    snprintf(path, sizeof path, "%s/%s.csv", r->o->curves, row->model);
    read_curve(r, path, &c->theirs);
}

static void free_curves(curves *c) {
    for (int i = 0; i < c->count; i++)
        cln_metrics_free(c->ours[i].metrics);
    cln_metrics_free(c->theirs.metrics);
}

/* fmax and fmin leave out what is not there, which is NaN. */
static void widen(const curve *m, double *last, double *lowest, double until) {
    for (int i = 0; i < m->count; i++) {
        if (m->epoch[i] > until)
            continue;
        *last = fmax(*last, m->epoch[i]);
        *lowest = fmin(*lowest, m->val_acc ? m->val_acc[i] : NAN);
        *lowest = fmin(*lowest, m->train_acc ? m->train_acc[i] : NAN);
    }
}

static void draw_line(const chart *frame, const curve *m, const double *y, const char *name, const char *style,
                      FILE *to) {
    if (y)
        chart_line(to, frame, name, style, m->epoch, y, m->count);
}

static void draw(const curves *c, const chart *frame, FILE *to) {
    char name[96];
    const curve *p = &c->theirs;
    chart_begin(to, frame);
    draw_line(frame, p, p->train_acc, "published, training", "s-theirs thin", to);
    draw_line(frame, p, p->val_acc, "published, validation", "s-theirs", to);
    for (int i = 0; i < c->count; i++) {
        const curve *m = &c->ours[i];
        snprintf(name, sizeof name, "ours (%s), training", c->names[i]);
        draw_line(frame, m, m->train_acc, name, "s-ours thin", to);
        snprintf(name, sizeof name, "ours (%s), validation", c->names[i]);
        draw_line(frame, m, m->val_acc, name, "s-ours", to);
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

void report_curves(report *r, FILE *to) {
    bool ours = false, theirs = false;
    curves *all = calloc(TABLE_MAX_ROWS, sizeof *all);
    r->lacks_memory = r->lacks_memory || !all;
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
