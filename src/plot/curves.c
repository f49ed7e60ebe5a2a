/* Learning curves: loss and accuracy side by side, one run or several. */
#include "chart.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { PANEL_WIDTH = 440, PANEL_HEIGHT = 270, MARGIN = 12, FEW = 30, LABEL = 96 };

/* A run's columns; the accuracies in percent. What is not there is NULL. */
typedef struct curve {
    const char *name;
    int rows;
    const double *epoch, *train_loss, *val_loss;
    double *train_accuracy, *val_accuracy; /* owned */
} curve;

static double *percent(const cln_metrics *m, const char *name, bool *failed) {
    const double *share = cln_metrics_column(m, name);
    double *out = share ? malloc(sizeof *out * (size_t)(m->rows ? m->rows : 1)) : NULL;
    *failed |= share && !out;
    for (int i = 0; out && i < m->rows; i++)
        out[i] = 100 * share[i];
    return out;
}

/* Whether any value of the column is there. */
static bool any(const double *values, int count) {
    for (int i = 0; values && i < count; i++)
        if (isfinite(values[i]))
            return true;
    return false;
}

static bool read_curve(const cln_plot_run *run, curve *out) {
    bool failed = false;
    const cln_metrics *m = run->metrics;
    *out = (curve){.name = run->name,
                   .rows = m->rows,
                   .epoch = cln_metrics_column(m, "epoch"),
                   .train_loss = cln_metrics_column(m, "train_loss"),
                   .val_loss = cln_metrics_column(m, "val_loss"),
                   .train_accuracy = percent(m, "train_acc", &failed),
                   .val_accuracy = percent(m, "val_acc", &failed)};
    return !failed;
}

static void free_curves(curve *curves, int count) {
    for (int i = 0; i < count; i++) {
        free(curves[i].train_accuracy);
        free(curves[i].val_accuracy);
    }
}

/* --- panels --- */

/* One run: a colour for training, one for validation. Several: a colour a run, training dashed. */
static cln__style style_of(int run, int runs, bool training, int rows) {
    cln__style s = {.colour = cln__palette[runs > 1 ? run : !training], .width = 1.8, .dots = rows <= FEW};
    if (runs > 1 && training) {
        s.dashed = true;
        s.width = 1.2;
        s.dots = rows == 1;
    }
    return s;
}

static const double *column_of(const curve *c, bool accuracy, bool training) {
    if (accuracy)
        return training ? c->train_accuracy : c->val_accuracy;
    return training ? c->train_loss : c->val_loss;
}

static void draw_panel(cln__canvas *canvas, const curve *curves, int count, bool accuracy, double x) {
    cln__chart chart = {.title = accuracy ? "Accuracy" : "Loss",
                        .x = x + CLN__CHART_LEFT,
                        .y = CLN__CHART_TOP,
                        .width = PANEL_WIDTH - CLN__CHART_LEFT - CLN__CHART_RIGHT,
                        .height = PANEL_HEIGHT};
    chart.across = cln__axis_empty("epoch");
    chart.up = cln__axis_empty(accuracy ? "accuracy (%)" : "cross-entropy (nats)");
    for (int i = 0; i < count; i++) {
        cln__axis_hold(&chart.across, curves[i].epoch, curves[i].rows);
        cln__axis_hold(&chart.up, column_of(&curves[i], accuracy, true), curves[i].rows);
        cln__axis_hold(&chart.up, column_of(&curves[i], accuracy, false), curves[i].rows);
    }
    chart.across.whole = true;
    if (!(chart.across.low < chart.across.high)) { /* one epoch, or none */
        double middle = isfinite(chart.across.low) ? chart.across.low : 1;
        chart.across.low = middle - 0.5;
        chart.across.high = middle + 0.5;
    }
    cln__axis_round(&chart.up);
    cln__chart_axes(canvas, &chart);
    for (int training = 1; training >= 0; training--)
        for (int i = 0; i < count; i++) {
            const double *values = column_of(&curves[i], accuracy, training);
            if (values)
                cln__chart_line(canvas, &chart, curves[i].epoch, values, curves[i].rows,
                                style_of(i, count, training, curves[i].rows));
        }
}

/* --- the legend --- */

/* "best 67.94% (epoch 22)" of the validation, or "" without one. */
static void best_text(const curve *c, char text[LABEL]) {
    int best = -1;
    text[0] = '\0';
    for (int i = 0; c->val_accuracy && i < c->rows; i++)
        if (isfinite(c->val_accuracy[i]) && (best < 0 || c->val_accuracy[i] > c->val_accuracy[best]))
            best = i;
    if (best >= 0)
        snprintf(text, LABEL, "best %.2f%% (epoch %.0f)", c->val_accuracy[best], c->epoch[best]);
}

typedef struct legend {
    cln__entry entry[CLN_PLOT_MAX_RUNS + 2];
    char *text[CLN_PLOT_MAX_RUNS + 2];
    int count;
} legend;

static void add_entry(legend *l, cln__style style, char *text) {
    l->text[l->count] = text;
    l->entry[l->count++] = (cln__entry){style, text ? text : ""}; /* NULL fails the canvas */
}

static legend make_legend(const curve *curves, int count) {
    legend l = {.count = 0};
    bool validated = false, trained = false;
    char best[LABEL];
    for (int i = 0; i < count; i++) {
        validated |= any(curves[i].val_accuracy, curves[i].rows) || any(curves[i].val_loss, curves[i].rows);
        trained |= any(curves[i].train_accuracy, curves[i].rows) || any(curves[i].train_loss, curves[i].rows);
    }
    for (int i = 0; count > 1 && i < count; i++) {
        best_text(&curves[i], best);
        add_entry(&l, style_of(i, count, false, FEW + 1),
                  cln__format("%s%s%s", curves[i].name, best[0] ? ": " : "", best));
    }
    best_text(&curves[0], best);
    for (int training = 1; training >= 0; training--) {
        if (!(training ? trained : validated))
            continue;
        cln__style style = style_of(0, count, training, FEW + 1);
        style.colour = count > 1 ? cln__faint : style.colour;
        bool tell = !training && count == 1 && best[0];
        add_entry(&l, style,
                  cln__format("%s%s%s", training ? "training" : "validation", tell ? ", " : "", tell ? best : ""));
    }
    return l;
}

static cln_status draw(cln_context *ctx, const curve *curves, int count, const char *path) {
    double width = 2 * PANEL_WIDTH + MARGIN, top = CLN__CHART_TOP + PANEL_HEIGHT + CLN__CHART_BOTTOM;
    double room = width - CLN__CHART_LEFT - CLN__CHART_RIGHT;
    legend l = make_legend(curves, count);
    cln__canvas canvas;
    cln_status status = cln__canvas_open(ctx, path, &canvas);
    for (int i = 0; status == CLN_OK && i < l.count; i++)
        canvas.failed |= l.text[i] == NULL;
    if (status == CLN_OK) {
        draw_panel(&canvas, curves, count, false, 0);
        draw_panel(&canvas, curves, count, true, PANEL_WIDTH + MARGIN);
        double height = cln__legend(&canvas, CLN__CHART_LEFT, top, room, l.entry, l.count);
        status = cln__canvas_save(&canvas, width, top + height + MARGIN);
    }
    for (int i = 0; i < l.count; i++)
        free(l.text[i]);
    return status;
}

cln_status cln_plot_curves(cln_context *ctx, const cln_plot_run *runs, int count, const char *path) {
    curve curves[CLN_PLOT_MAX_RUNS];
    if (count < 1 || count > CLN_PLOT_MAX_RUNS)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "learning curves of %d runs are asked for, expected 1 to %d", count,
                         CLN_PLOT_MAX_RUNS);
    bool good = true;
    for (int i = 0; i < count; i++)
        good &= read_curve(&runs[i], &curves[i]);
    cln_status status = good ? CLN_OK : cln__fail_memory(ctx, path);
    for (int i = 0; i < count && status == CLN_OK; i++)
        if (!curves[i].epoch)
            status = cln__fail(ctx, CLN_INVALID_FILE, "run '%s': its metrics have no column 'epoch'", runs[i].name);
    if (status == CLN_OK)
        status = draw(ctx, curves, count, path);
    free_curves(curves, count);
    return status;
}
