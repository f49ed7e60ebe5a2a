/* The report's speeds: bars beside the peer's, and every kernel launch under the roofline. */
#include "../src/cli/report.h"
#include "html.h"
#include "report.h"

#include <math.h>
#include <string.h>

/* --- bars --- */

typedef struct pair {
    double ours, theirs; /* images a second; 0: unknown */
    char peer[96];
} pair;

/* Ours as measured in turns with the peer, if it was; the fastest of the peer's that computes in full float32. */
static pair find_pair(const report *r, const table_row *row, bool training) {
    const char *what = training ? "training" : "inference";
    char name[160];
    pair p = {.ours = training ? row->measures.train.images_per_s : row->measures.infer.images_per_s};
    snprintf(name, sizeof name, "%s %s, images/s", row->model, what);
    const quantity *beside = results_find(&r->peers, name);
    if (beside)
        p.ours = beside->value;
    int length = snprintf(name, sizeof name, "%s %s by ", row->model, what);
    for (int i = 0; i < r->peers.count; i++) {
        const quantity *q = &r->peers.of[i];
        if (strncmp(q->name, name, (size_t)length) != 0 || strstr(q->name, "tf32") || q->value <= p.theirs)
            continue;
        p.theirs = q->value;
        snprintf(p.peer, sizeof p.peer, "%.*s", (int)strcspn(q->name + length, ","), q->name + length);
    }
    return p;
}

static void print_bar(FILE *to, const char *who, const char *style, double value, double most, double ratio) {
    char count[32];
    fprintf(to, "<span class=\"soft\">");
    html_text(to, who);
    fprintf(to, "</span><span class=\"bar\"><i class=\"b-%s\" style=\"width:%.1f%%\"></i></span><b>%s", style,
            100 * value / most, report_count((int64_t)(value + 0.5), count));
    if (ratio > 0)
        fprintf(to, " <span class=\"ours\">%.1f×</span>", ratio);
    fprintf(to, "</b>\n");
}

static void print_bars(const report *r, bool training, FILE *to) {
    double most = 0;
    for (int i = 0; i < r->t.row_count; i++) {
        pair p = find_pair(r, &r->t.rows[i], training);
        most = fmax(most, fmax(p.ours, p.theirs));
    }
    if (most <= 0)
        return;
    fprintf(to, "<figure><h3>%s, images a second</h3>\n<div class=\"bars\">\n", training ? "Training" : "Inference");
    for (int i = 0; i < r->t.row_count; i++) {
        pair p = find_pair(r, &r->t.rows[i], training);
        if (p.ours <= 0)
            continue;
        fprintf(to, "<span class=\"model\">");
        html_text(to, r->t.rows[i].model);
        fprintf(to, "</span>\n");
        print_bar(to, "clnet", "ours", p.ours, most, p.theirs > 0 ? p.ours / p.theirs : 0);
        if (p.theirs > 0)
            print_bar(to, p.peer, "theirs", p.theirs, most, 0);
    }
    fprintf(to, "</div></figure>\n");
}

void report_speed(const report *r, FILE *to) {
    if (!table_has_speeds(&r->t) && r->peers.count == 0)
        return;
    fprintf(to, "<section>\n<h2>Speed</h2>\n<div class=\"charts\">\n");
    print_bars(r, true, to);
    print_bars(r, false, to);
    fprintf(to, "</div>\n");
    if (r->peers.count)
        fprintf(
            to,
            "<p class=\"soft\">Beside a peer both are medians of rounds in turns on the same machine; of the peer's "
            "ways to compute, the fastest in full float32 is shown.</p>\n");
    fprintf(to, "</section>\n");
}

/* --- the roofline --- */

static void show_launches(const table_machine *m, const table_row *row, FILE *to) {
    const table_measures *s = &row->measures;
    double ridge = m->peak_gflops / m->bandwidth_gbs, lowest = m->peak_gflops, highest = m->peak_gflops, left = ridge,
           right = ridge, rest_ms = 0;
    double flops = 0;
    int rest = 0;
    for (int i = 0; i < s->point_count; i++) {
        const table_point *p = &s->points[i];
        bool arithmetic = p->flops > 0 && p->bytes > 0;
        rest += !arithmetic;
        rest_ms += arithmetic ? 0 : p->ms;
        flops += p->flops;
        if (!arithmetic)
            continue;
        left = fmin(left, p->flops / p->bytes);
        right = fmax(right, p->flops / p->bytes);
        lowest = fmin(lowest, p->flops / p->ms * 1e-6);
        highest = fmax(highest, p->flops / p->ms * 1e-6);
    }
    char title[128];
    snprintf(title, sizeof title, "Roofline of %s", row->model);
    const chart frame = {.title = title,
                         .x_name = "floating-point operations a byte",
                         .y_name = "GFLOP/s",
                         .x0 = fmax(left, 1e-4) / 1.5,
                         .x1 = right * 1.5,
                         .y0 = fmax(lowest, m->peak_gflops * 1e-4) / 1.5,
                         .y1 = highest * 1.3,
                         .logarithmic = true};
    fprintf(to, "<figure><h3>");
    html_text(to, row->model);
    fprintf(to, "</h3>\n");
    chart_begin(to, &frame);
    double start = fmax(frame.x0, frame.y0 / m->bandwidth_gbs);
    const double x[3] = {start, ridge, frame.x1}, y[3] = {start * m->bandwidth_gbs, m->peak_gflops, m->peak_gflops};
    chart_line(to, &frame, NULL, "s-roof", x, y, 3);
    for (int i = 0; i < s->point_count; i++) {
        const table_point *p = &s->points[i];
        if (p->flops <= 0 || p->bytes <= 0)
            continue;
        char text[256];
        double rate = p->flops / p->ms * 1e-6;
        snprintf(text, sizeof text, "%s %s\n%.1f GFLOP/s, %.3f ms, %.0f%% of the step", p->op, p->layer, rate, p->ms,
                 s->step_ms > 0 ? 100 * p->ms / s->step_ms : 0);
        chart_point(to, &frame, p->flops / p->bytes, rate,
                    2 + 30 * sqrt(s->step_ms > 0 ? fmin(p->ms / s->step_ms, 1) : 0) / 2, text);
    }
    chart_end(to);
    fprintf(to, "<figcaption>Whole step: %.1f ms", s->step_ms);
    if (s->step_ms > 0)
        fprintf(to, ", %.0f GFLOP/s, %.0f%% of the peak", flops / s->step_ms * 1e-6,
                100 * flops / s->step_ms * 1e-6 / m->peak_gflops);
    fprintf(to, ". Not shown: %d launches without arithmetic, %.1f ms.</figcaption></figure>\n", rest, rest_ms);
}

void report_roofline(const report *r, FILE *to) {
    const table_machine *m = &r->t.machine;
    bool any = false;
    for (int i = 0; i < r->t.row_count; i++)
        any = any || (r->t.rows[i].measures.point_count > 0 && m->peak_gflops > 0 && m->bandwidth_gbs > 0);
    if (!any)
        return;
    fprintf(
        to,
        "<section>\n<h2>Roofline</h2>\n<p class=\"soft\">Each point is a kernel launch of a training step; the larger, "
        "the more time it takes. The line is what the device can do at most: %.0f GFLOP/s, %.1f GB/s (clbench "
        "peak). Convolutions count as direct ones, and tensors as read and written once, so that Winograd kernels "
        "and data still in a cache can exceed it.</p>\n<div class=\"charts\">\n",
        m->peak_gflops, m->bandwidth_gbs);
    for (int i = 0; i < r->t.row_count; i++)
        if (r->t.rows[i].measures.point_count > 0)
            show_launches(m, &r->t.rows[i], to);
    fprintf(to, "</div>\n</section>\n");
}
