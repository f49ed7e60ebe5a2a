/* The loss against the learning rate. */
#include "chart.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { WIDTH = 620, HEIGHT = 400 };
static const double headroom = 0.25; /* above where the losses begin: what diverges goes out of sight */

/* From the lowest loss to a little more than the first ones. */
static cln__axis loss_axis(const double *losses, int count) {
    cln__axis a = cln__axis_empty("loss (cross-entropy, nats)"), first = a;
    cln__axis_hold(&a, losses, count);
    cln__axis_hold(&first, losses, count / 4 + 1);
    if (first.low <= first.high)
        a.high = fmin(a.high, first.high + headroom * (first.high - a.low));
    cln__axis_round(&a);
    return a;
}

static void mark(cln__canvas *canvas, const cln__chart *c, double rate) {
    char text[64];
    double x = cln__chart_x(c, rate);
    bool right = x < c->x + c->width / 2;
    cln__canvas_colour(canvas, cln__palette[1]);
    cln__canvas_line(canvas, x, c->y, x, c->y + c->height, 1.4);
    snprintf(text, sizeof text, "suggestion: %.3g", rate);
    cln__canvas_text(canvas, right ? x + 6 : x - 6, c->y + 14,
                     (cln__font){.size = 11, .bold = true, .align = right ? CLN__LEFT : CLN__RIGHT}, text);
}

cln_status cln_plot_lr_find(cln_context *ctx, const double *rates, const double *losses, int count, double suggestion,
                            const char *path) {
    cln__canvas canvas;
    cln__chart c = {.title = "Learning-rate finder",
                    .x = CLN__CHART_LEFT,
                    .y = CLN__CHART_TOP,
                    .width = WIDTH - CLN__CHART_LEFT - CLN__CHART_RIGHT,
                    .height = HEIGHT - CLN__CHART_TOP - CLN__CHART_BOTTOM,
                    .across = cln__axis_empty("learning rate (logarithmic)"),
                    .up = loss_axis(losses, count)};
    cln__axis_hold(&c.across, rates, count);
    if (count < 1 || !(c.across.low > 0) || !(c.across.low < c.across.high))
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "learning-rate finder: %d rates are to be drawn, expected at least two different ones, all "
                         "above 0",
                         count);
    c.across.logarithmic = true;
    CLN_TRY(cln__canvas_open(ctx, path, &canvas));
    cln__chart_axes(&canvas, &c);
    cln__chart_line(&canvas, &c, rates, losses, count, (cln__style){.colour = cln__palette[0], .width = 1.8});
    if (suggestion >= c.across.low && suggestion <= c.across.high)
        mark(&canvas, &c, suggestion);
    return cln__canvas_save(&canvas, WIDTH, HEIGHT);
}
