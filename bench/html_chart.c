/* Charts as SVG: see html.h. 420 units wide, so that text is readable on a phone, where one fills the width. */
#include "html.h"

#include <math.h>

enum { WIDTH = 420, HEIGHT = 260, LEFT = 46, RIGHT = 410, TOP = 10, BOTTOM = 222 };

static double share_of(double value, double from, double to, bool logarithmic) {
    double part = logarithmic ? log(value / from) / log(to / from) : (value - from) / (to - from);
    return fmin(fmax(part, 0), 1);
}

static double x_of(const chart *c, double x) {
    return LEFT + (RIGHT - LEFT) * share_of(x, c->x0, c->x1, c->logarithmic);
}

static double y_of(const chart *c, double y) {
    return BOTTOM - (BOTTOM - TOP) * share_of(y, c->y0, c->y1, c->logarithmic);
}

/* 1, 2 or 5 times a power of ten: at most about `wanted` steps. */
static double tick_step(double span, int wanted) {
    double step = pow(10, floor(log10(span / wanted)));
    double left = span / wanted / step;
    return step * (left > 5 ? 10 : left > 2 ? 5 : left > 1 ? 2 : 1);
}

static void draw_x_tick(FILE *to, const chart *c, double x) {
    fprintf(to, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" />", x_of(c, x), x_of(c, x), TOP,
            BOTTOM);
    fprintf(to, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n", x_of(c, x), BOTTOM + 15, x);
}

static void draw_y_tick(FILE *to, const chart *c, double y) {
    fprintf(to, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" />", LEFT, RIGHT, y_of(c, y),
            y_of(c, y));
    fprintf(to, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%g%s</text>\n", LEFT - 6, y_of(c, y) + 4,
            c->percent ? 100 * y : y, c->percent ? "%" : "");
}

/* Linear axes at round numbers, logarithmic ones at 1, 2 and 5 times powers of ten. */
static void draw_ticks(FILE *to, const chart *c, double from, double end, int wanted, double least,
                       void (*draw)(FILE *to, const chart *c, double at)) {
    if (c->logarithmic) {
        static const double parts[] = {1, 2, 5};
        bool dense = log10(end / from) < 2.5;
        for (int i = 3 * (int)floor(log10(from)); i <= 3 * (int)ceil(log10(end)); i++) {
            double at = parts[(i % 3 + 3) % 3] * pow(10, floor(i / 3.0));
            if (at >= from && at <= end && (dense || i % 3 == 0))
                draw(to, c, at);
        }
        return;
    }
    double step = fmax(tick_step(end - from, wanted), least);
    double first = ceil(from / step - 1e-9);
    for (int i = 0; (first + i) * step <= end + step * 1e-9 && i < 50; i++)
        draw(to, c, (first + i) * step);
}

void chart_begin(FILE *to, const chart *c) {
    fprintf(to, "<svg viewBox=\"0 0 %d %d\" role=\"img\" data-width=\"%d\" data-left=\"%d\" data-right=\"%d\"", WIDTH,
            HEIGHT, WIDTH, LEFT, RIGHT);
    if (!c->logarithmic)
        fprintf(to, " data-x0=\"%g\" data-x1=\"%g\"%s data-xname=\"", c->x0, c->x1,
                c->percent ? " data-percent=\"1\"" : "");
    if (!c->logarithmic) {
        html_text(to, c->x_name);
        fputc('"', to);
    }
    fprintf(to, " aria-label=\"");
    html_text(to, c->title);
    fprintf(to, "\">\n");
    draw_ticks(to, c, c->x0, c->x1, 6, c->whole ? 1 : 0, draw_x_tick);
    draw_ticks(to, c, c->y0, c->y1, 5, 0, draw_y_tick);
    fprintf(to, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", (LEFT + RIGHT) / 2, HEIGHT - 5);
    html_text(to, c->x_name);
    fprintf(to, "</text>\n<text transform=\"translate(10 %d) rotate(-90)\" text-anchor=\"middle\">",
            (TOP + BOTTOM) / 2);
    html_text(to, c->y_name);
    fprintf(to, "</text>\n<line class=\"cross\" y1=\"%d\" y2=\"%d\" x1=\"0\" x2=\"0\" />\n", TOP, BOTTOM);
}

static bool is_shown(const chart *c, double x, double y) {
    return isfinite(x) && isfinite(y) && x >= c->x0 && x <= c->x1;
}

void chart_line(FILE *to, const chart *c, const char *name, const char *style, const double *x, const double *y,
                int count) {
    fprintf(to, "<polyline class=\"%s\" points=\"", style);
    for (int i = 0; i < count; i++)
        if (is_shown(c, x[i], y[i]))
            fprintf(to, "%.1f,%.1f ", x_of(c, x[i]), y_of(c, y[i]));
    fputc('"', to);
    const double *both[2] = {x, y};
    for (int k = 0; k < 2 && name; k++) {
        const char *space = "";
        fprintf(to, " data-%c=\"", k ? 'y' : 'x');
        for (int i = 0; i < count; i++)
            if (is_shown(c, x[i], y[i])) {
                fprintf(to, "%s%.5g", space, both[k][i]);
                space = " ";
            }
        fputc('"', to);
    }
    if (name) {
        fprintf(to, " data-name=\"");
        html_text(to, name);
        fputc('"', to);
    }
    fprintf(to, " />\n");
}

void chart_point(FILE *to, const chart *c, double x, double y, double radius, const char *text) {
    fprintf(to, "<circle class=\"point\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" data-tip=\"", x_of(c, x), y_of(c, y),
            radius);
    html_text(to, text);
    fprintf(to, "\" />\n");
}

void chart_end(FILE *to) {
    fprintf(to, "</svg>\n");
}
