/* The report's accuracies, and the facts at its end. */
#include "../src/cli/report.h"
#include "html.h"
#include "report.h"

#include <math.h>
#include <string.h>

/* --- accuracies --- */

enum { ROW = 34, TRACK_LEFT = 104, TRACK_RIGHT = 408 };

/* From where to where the whiskers and marks reach. */
static bool find_range(const table *t, double *low, double *high) {
    *low = 1;
    *high = 0;
    for (int i = 0; i < t->row_count; i++) {
        const published *p = published_find(t->rows[i].model);
        table_accuracy a = table_test(&t->rows[i]);
        if (!a.count)
            continue;
        *low = fmin(*low, fmin(a.mean - 2 * a.error, p ? p->test : 1));
        *high = fmax(*high, fmax(a.mean + 2 * a.error, p ? p->test : 0));
    }
    double margin = fmax((*high - *low) * 0.06, 0.002);
    *low -= margin;
    *high += margin;
    return *high > 0.002;
}

static double at(double value, double low, double high) {
    return TRACK_LEFT + (TRACK_RIGHT - TRACK_LEFT) * (value - low) / (high - low);
}

static void draw_row(const table_row *row, int y, double low, double high, FILE *to) {
    const published *p = published_find(row->model);
    table_accuracy a = table_test(row);
    fprintf(to, "<g data-tip=\"");
    html_format(to, "%s: ours %.2f%% (%.2f to %.2f)", row->model, 100 * a.mean, 100 * (a.mean - 2 * a.error),
                100 * (a.mean + 2 * a.error));
    if (p)
        html_format(to, ", published %.2f%%", 100 * p->test);
    fprintf(to, "\"><rect x=\"0\" y=\"%d\" width=\"420\" height=\"%d\" fill=\"transparent\" /><text x=\"0\" y=\"%d\">",
            y - ROW / 2, ROW, y + 4);
    html_format(to, "%.16s", row->model);
    fprintf(to, "</text><line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\" />", TRACK_LEFT, TRACK_RIGHT, y,
            y);
    if (p)
        fprintf(to, "<line class=\"mark\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" />", at(p->test, low, high),
                at(p->test, low, high), y - 9, y + 9);
    fprintf(to, "<line class=\"whisker\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" />",
            at(a.mean - 2 * a.error, low, high), at(a.mean + 2 * a.error, low, high), y, y);
    fprintf(to, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%d\" r=\"5\" /></g>\n", at(a.mean, low, high), y);
}

static void draw_whiskers(const table *t, FILE *to) {
    double low, high;
    int y = ROW / 2, rows = 0;
    if (!find_range(t, &low, &high))
        return;
    for (int i = 0; i < t->row_count; i++)
        rows += table_test(&t->rows[i]).count > 0;
    fprintf(to,
            "<figure class=\"alone\"><h3>Test accuracy</h3>\n<svg viewBox=\"0 0 420 %d\" role=\"img\" "
            "aria-label=\"Test accuracies with "
            "their intervals, and the published ones\">\n",
            rows * ROW + 22);
    for (int i = 0; i < t->row_count; i++)
        if (table_test(&t->rows[i]).count) {
            draw_row(&t->rows[i], y, low, high, to);
            y += ROW;
        }
    fprintf(to,
            "<text x=\"%d\" y=\"%d\">%.1f%%</text><text x=\"%d\" y=\"%d\" text-anchor=\"end\">%.1f%%</text>\n</svg>\n",
            TRACK_LEFT, rows * ROW + 16, 100 * low, TRACK_RIGHT, rows * ROW + 16, 100 * high);
    fprintf(to, "<figcaption><span class=\"ours\">●</span> ours, with two binomial standard errors to each side; "
                "<span class=\"theirs\">▮</span> published</figcaption></figure>\n");
}

void report_accuracy(const report *r, FILE *to) {
    fprintf(to, "<section>\n<h2>Accuracy</h2>\n");
    table_print_html(&r->t, to);
    fprintf(to, "<div class=\"charts\" style=\"margin-top:20px\">\n");
    draw_whiskers(&r->t, to);
    fprintf(to, "</div>\n</section>\n");
}

/* --- facts --- */

static void fact(FILE *to, const char *name, const char *value) {
    if (!*value)
        return;
    fprintf(to, "<dt>%s</dt><dd>", name);
    html_text(to, value);
    fprintf(to, "</dd>\n");
}

static void print_machine(const table *t, FILE *to) {
    char text[64] = "", memory[32];
    const table_machine *m = &t->machine;
    fprintf(to, "<section>\n<h2>Device and driver</h2>\n<dl class=\"facts\">\n");
    fact(to, "device", m->device);
    fact(to, "kind", m->type);
    if (m->compute_units)
        snprintf(text, sizeof text, "%d", m->compute_units);
    fact(to, "compute units", text);
    fact(to, "memory", m->memory_bytes > 0 ? report_bytes((uint64_t)m->memory_bytes, memory) : "");
    if (m->peak_gflops > 0)
        snprintf(text, sizeof text, "%.0f GFLOP/s, %.1f GB/s", m->peak_gflops, m->bandwidth_gbs);
    fact(to, "measured peak", m->peak_gflops > 0 ? text : "");
    fact(to, "platform", m->platform);
    fact(to, "OpenCL", m->version);
    fact(to, "driver", m->driver);
    fact(to, "processor", m->processor);
    fact(to, "system", m->system);
    fact(to, "clnet", t->version);
    fact(to, "measured", t->date);
    fprintf(to, "</dl>\n</section>\n");
}

void report_facts(const report *r, FILE *to) {
    print_machine(&r->t, to);
    fprintf(to, "<section>\n<h2>How to reproduce</h2>\n<pre>scripts/setup.sh\nscripts/build.sh\nbuild/");
    html_text(to, r->t.command);
    fprintf(to, "\nbuild/");
    html_text(to, r->command);
    fprintf(to, "</pre>\n<p class=\"soft\">The same seed, device and driver give the same weights, byte for byte. "
                "scripts/download_cifar10.sh fetches CIFAR-10.</p>\n");
    if (*r->t.recipe) {
        fprintf(to, "<p class=\"soft\">Trained here: ");
        html_text(to, r->t.recipe);
        fprintf(to, ".</p>\n");
    }
    fprintf(to, "</section>\n");
}
