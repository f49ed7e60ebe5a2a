/* Axes, lines and legends: see chart.h. */
#include "chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double text_size = 11, title_size = 13, tick_px = 48; /* at least, between ticks */
static const double legend_line = 20, legend_sample = 26, legend_space = 8, legend_gap = 22;
enum { MAX_TICKS = 200 };

const char *cln__number(double value, int digits, char text[32]) {
    double size = fabs(value);
    bool plain = size == 0 || (size < 1e6 && digits < 6);
    snprintf(text, 32, plain ? "%.*f" : "%.*g", plain ? digits : 3, value);
    char *comma = strchr(text, ','); /* of the program's locale */
    if (comma)
        *comma = '.';
    return text;
}

/* --- axes --- */

cln__axis cln__axis_empty(const char *label) {
    return (cln__axis){.label = label, .low = INFINITY, .high = -INFINITY};
}

void cln__axis_hold(cln__axis *a, const double *values, int count) {
    for (int i = 0; values && i < count; i++) {
        if (!isfinite(values[i]))
            continue;
        a->low = fmin(a->low, values[i]);
        a->high = fmax(a->high, values[i]);
    }
}

/* 1, 2 or 5 times a power of ten, so that `length` is at most `most` steps. */
static double nice_step(double length, double most, bool whole) {
    double rough = length / fmax(1, most), power = pow(10, floor(log10(rough)));
    double factor = rough / power;
    double step = power * (factor <= 1.0001 ? 1 : factor <= 2.0001 ? 2 : factor <= 5.0001 ? 5 : 10);
    return whole ? fmax(1, step) : step;
}

void cln__axis_round(cln__axis *a) {
    a->nothing = !(a->low <= a->high);
    if (a->nothing) {
        a->low = 0;
        a->high = 1;
    }
    if (a->high - a->low <= 1e-9 * fmax(fabs(a->low), fabs(a->high)) || a->high == a->low) {
        double around = a->low == 0 ? 1 : fabs(a->low) / 2;
        a->low -= around;
        a->high += around;
    }
    if (a->low > 0 && a->low < 0.4 * a->high) /* not far from zero: show it */
        a->low = 0;
    double step = nice_step(a->high - a->low, 5, false);
    a->low = floor(a->low / step + 1e-9) * step;
    a->high = ceil(a->high / step - 1e-9) * step;
}

static double position(const cln__axis *a, double value) {
    if (a->logarithmic)
        return (log10(value) - log10(a->low)) / (log10(a->high) - log10(a->low));
    return (value - a->low) / (a->high - a->low);
}

double cln__chart_x(const cln__chart *c, double value) {
    return c->x + c->width * position(&c->across, value);
}

double cln__chart_y(const cln__chart *c, double value) {
    return c->y + c->height * (1 - position(&c->up, value));
}

typedef struct ticks {
    int count, digits;
    double value[MAX_TICKS];
} ticks;

static void add_tick(ticks *t, double value) {
    if (t->count < MAX_TICKS)
        t->value[t->count++] = value;
}

static ticks logarithmic_ticks(const cln__axis *a) {
    static const double factors[] = {1, 2, 5};
    ticks t = {.digits = 6};
    double first = floor(log10(a->low)), last = floor(log10(a->high) + 1e-9);
    bool few = last - first < 3;
    double step = ceil((last - first + 1) / 10);
    for (double power = first; power <= last; power += step)
        for (int i = 0; i < (few ? 3 : 1); i++) {
            double value = factors[i] * pow(10, power);
            if (value >= a->low * (1 - 1e-9) && value <= a->high * (1 + 1e-9))
                add_tick(&t, value);
        }
    if (t.count < 2) { /* the ends say more */
        t.count = 0;
        add_tick(&t, a->low);
        add_tick(&t, a->high);
    }
    return t;
}

static ticks make_ticks(const cln__axis *a, double length) {
    if (a->logarithmic)
        return logarithmic_ticks(a);
    double step = nice_step(a->high - a->low, length / tick_px, a->whole);
    ticks t = {.digits = (int)fmax(0, ceil(-log10(step) - 1e-9))};
    double first = ceil(a->low / step - 1e-9);
    for (double i = first; i * step <= a->high + 1e-9 * step && t.count < MAX_TICKS; i++)
        add_tick(&t, i == 0 ? 0 : i * step);
    return t;
}

static const char *tick_text(const cln__axis *a, double value, int digits, char text[32]) {
    if (!a->logarithmic)
        return cln__number(value, digits, text);
    snprintf(text, 32, "%.2g", value);
    return text;
}

static void draw_across(cln__canvas *canvas, const cln__chart *c) {
    char text[32];
    ticks t = make_ticks(&c->across, c->width);
    double bottom = c->y + c->height;
    for (int i = 0; i < t.count; i++) {
        double x = cln__chart_x(c, t.value[i]);
        if (c->across.logarithmic) {
            cln__canvas_colour(canvas, cln__grid);
            cln__canvas_line(canvas, x, c->y, x, bottom, 0.8);
        }
        cln__canvas_colour(canvas, cln__faint);
        cln__canvas_line(canvas, x, bottom, x, bottom + 4, 0.8);
        cln__canvas_text(canvas, x, bottom + 17, (cln__font){.size = text_size, .align = CLN__CENTRE},
                         tick_text(&c->across, t.value[i], t.digits, text));
    }
    cln__canvas_colour(canvas, cln__faint);
    cln__canvas_line(canvas, c->x, bottom, c->x + c->width, bottom, 1);
    cln__canvas_text(canvas, c->x + c->width / 2, bottom + 36, (cln__font){.size = text_size, .align = CLN__CENTRE},
                     c->across.label);
}

/* Returns the width of the widest tick's text. */
static double draw_ticks_up(cln__canvas *canvas, const cln__chart *c) {
    const cln__font font = {.size = text_size, .align = CLN__RIGHT};
    char text[32];
    double widest = 0;
    ticks t = make_ticks(&c->up, c->height);
    for (int i = 0; i < t.count; i++) {
        double y = cln__chart_y(c, t.value[i]);
        cln__canvas_colour(canvas, cln__grid);
        cln__canvas_line(canvas, c->x, y, c->x + c->width, y, 0.8);
        cln__canvas_colour(canvas, cln__faint);
        tick_text(&c->up, t.value[i], t.digits, text);
        cln__canvas_text(canvas, c->x - 8, y + 0.35 * text_size, font, text);
        widest = fmax(widest, cln__canvas_text_width(canvas, font, text));
    }
    return widest;
}

void cln__chart_axes(cln__canvas *canvas, const cln__chart *c) {
    const cln__font label = {.size = text_size, .align = CLN__CENTRE, .turn = -CLN__PI / 2};
    double middle = c->x + c->width / 2, widest = c->up.nothing ? 0 : draw_ticks_up(canvas, c);
    draw_across(canvas, c);
    cln__canvas_text(canvas, c->x - widest - 18, c->y + c->height / 2, label, c->up.label);
    if (c->up.nothing)
        cln__canvas_text(canvas, middle, c->y + c->height / 2, (cln__font){.size = text_size, .align = CLN__CENTRE},
                         "no values");
    cln__canvas_colour(canvas, cln__ink);
    cln__canvas_text(canvas, c->x, c->y - 14, (cln__font){.size = title_size, .bold = true, .width = c->width},
                     c->title);
}

/* --- lines --- */

static void set_style(cln__canvas *canvas, cln__style style) {
    static const double dashes[] = {5, 4};
    cln__canvas_colour(canvas, style.colour);
    cairo_set_line_width(canvas->cairo, style.width);
    cairo_set_dash(canvas->cairo, dashes, style.dashed ? 2 : 0, 0);
}

static void dot(cln__canvas *canvas, double x, double y) {
    cairo_new_sub_path(canvas->cairo);
    cairo_arc(canvas->cairo, x, y, 2.6, 0, 2 * CLN__PI);
    cairo_fill(canvas->cairo);
}

void cln__chart_line(cln__canvas *canvas, const cln__chart *c, const double *x, const double *y, int count,
                     cln__style style) {
    cairo_t *cairo = canvas->cairo;
    bool open = false;
    cairo_save(cairo);
    cairo_rectangle(cairo, c->x - 4, c->y - 4, c->width + 8, c->height + 8);
    cairo_clip(cairo);
    set_style(canvas, style);
    for (int i = 0; i < count; i++) {
        bool there = isfinite(x[i]) && isfinite(y[i]);
        /* Far outside, cairo's fixed point would overflow. */
        double at = there ? fmax(c->y - 1000, fmin(c->y + c->height + 1000, cln__chart_y(c, y[i]))) : 0;
        if (there && open)
            cairo_line_to(cairo, cln__chart_x(c, x[i]), at);
        else if (there)
            cairo_move_to(cairo, cln__chart_x(c, x[i]), at);
        open = there;
    }
    cairo_stroke(cairo);
    for (int i = 0; style.dots && i < count; i++)
        if (isfinite(x[i]) && isfinite(y[i]))
            dot(canvas, cln__chart_x(c, x[i]), cln__chart_y(c, y[i]));
    cairo_restore(cairo);
}

/* --- legends --- */

static void draw_entry(cln__canvas *canvas, double x, double y, cln__font font, const cln__entry *entry) {
    cairo_save(canvas->cairo);
    set_style(canvas, entry->style);
    cln__canvas_line(canvas, x, y + 8, x + legend_sample, y + 8, entry->style.width);
    cairo_restore(canvas->cairo);
    cln__canvas_colour(canvas, cln__ink);
    cln__canvas_text(canvas, x + legend_sample + legend_space, y + 12, font, entry->text);
}

double cln__legend(cln__canvas *canvas, double x, double y, double width, const cln__entry *entries, int count) {
    const cln__font font = {.size = text_size, .width = width - legend_sample - legend_space};
    double left = x, top = y;
    for (int i = 0; i < count; i++) {
        double needed = legend_sample + legend_space + cln__canvas_text_width(canvas, font, entries[i].text);
        if (left > x && left + needed > x + width) {
            left = x;
            top += legend_line;
        }
        draw_entry(canvas, left, top, font, &entries[i]);
        left += needed + legend_gap;
    }
    return count > 0 ? top + legend_line - y : 0;
}
