/* The confusion matrix: a cell for each pair of true and predicted class, darker the larger its share of the row. */
#include "canvas.h"

#include <math.h>
#include <stdio.h>

enum {
    MOST_COUNTED = 20,
    MOST_NAMED = 200,
    LABEL_WIDTH = 130,
    MARGIN = 14,
    TITLE = 44,
    BAR_WIDTH = 14,
    BAR_ROOM = 76,
    LEAST_WIDTH = 400
};
static const double most_side = 1500, least_bar = 130;

typedef struct matrix {
    const cln_evaluation *e;
    int n;
    double cell, font, x, y, labels; /* size of a cell and of names; where the cells begin; room for names */
} matrix;

/* From white to dark blue, in lightness too; by the square root, so that rare confusions are seen. */
static cln__colour shade(double share) {
    static const cln__colour stops[] = {
        {1, 1, 1}, {0.776, 0.859, 0.937}, {0.419, 0.682, 0.839}, {0.129, 0.443, 0.710}, {0.031, 0.188, 0.420}};
    double at = 4 * sqrt(fmin(1, fmax(0, share)));
    int i = at >= 4 ? 3 : (int)at;
    double f = at - i;
    const cln__colour *a = &stops[i], *b = &stops[i + 1];
    return (cln__colour){a->red + f * (b->red - a->red), a->green + f * (b->green - a->green),
                         a->blue + f * (b->blue - a->blue)};
}

static double share_of(const matrix *m, int row, int column) {
    int64_t images = m->e->classes[row].images;
    return images ? (double)m->e->confusion[(int64_t)row * m->n + column] / (double)images : 0;
}

static matrix lay_out(const cln_evaluation *e) {
    int n = e->num_classes;
    matrix m = {.e = e, .n = n};
    static const struct {
        int classes;
        double cell;
    } sizes[] = {{1, 130}, {2, 80}, {5, 64}, {12, 46}, {MOST_COUNTED, 36}, {40, 18}, {MOST_NAMED, 11}};
    size_t i = 0;
    while (i < sizeof sizes / sizeof *sizes && n > sizes[i].classes)
        i++;
    m.cell = i < sizeof sizes / sizeof *sizes ? sizes[i].cell : most_side / n;
    m.font = n <= MOST_COUNTED ? 11 : fmin(10, m.cell - 2.5);
    return m;
}

static void measure_names(cln__canvas *canvas, matrix *m) {
    const cln__font font = {.size = m->font, .width = LABEL_WIDTH};
    for (int i = 0; m->n <= MOST_NAMED && i < m->n; i++)
        m->labels = fmax(m->labels, cln__canvas_text_width(canvas, font, m->e->class_names[i]));
}

static void draw_cells(cln__canvas *canvas, const matrix *m) {
    char text[32];
    /* Without seams between the cells. */
    cairo_set_antialias(canvas->cairo, CAIRO_ANTIALIAS_NONE);
    for (int i = 0; i < m->n; i++)
        for (int j = 0; j < m->n; j++) {
            cln__canvas_colour(canvas, shade(share_of(m, i, j)));
            if (m->e->confusion[(int64_t)i * m->n + j])
                cln__canvas_box(canvas, m->x + j * m->cell, m->y + i * m->cell, m->cell, m->cell);
        }
    cairo_set_antialias(canvas->cairo, CAIRO_ANTIALIAS_DEFAULT);
    for (int i = 0; m->n <= MOST_COUNTED && i < m->n; i++)
        for (int j = 0; j < m->n; j++) {
            int64_t count = m->e->confusion[(int64_t)i * m->n + j];
            snprintf(text, sizeof text, "%lld", (long long)count);
            cln__canvas_colour(canvas, share_of(m, i, j) > 0.35 ? cln__white : count ? cln__ink : cln__faint);
            double size = fmin(11.5, 1.6 * (m->cell - 6) / (double)(count > 99 ? snprintf(NULL, 0, "%s", text) : 3));
            cln__canvas_text(canvas, m->x + (j + 0.5) * m->cell, m->y + (i + 0.5) * m->cell + 0.36 * size,
                             (cln__font){.size = size, .align = CLN__CENTRE}, text);
        }
}

static void draw_lines(cln__canvas *canvas, const matrix *m) {
    double side = m->n * m->cell;
    cln__canvas_colour(canvas, cln__grid);
    for (int i = 1; m->n <= MOST_NAMED && i < m->n; i++) {
        double width = m->cell < 15 ? 0.35 : 0.7;
        cln__canvas_line(canvas, m->x + i * m->cell, m->y, m->x + i * m->cell, m->y + side, width);
        cln__canvas_line(canvas, m->x, m->y + i * m->cell, m->x + side, m->y + i * m->cell, width);
    }
    cln__canvas_colour(canvas, cln__faint);
    cairo_rectangle(canvas->cairo, m->x, m->y, side, side);
    cairo_set_line_width(canvas->cairo, 1);
    cairo_stroke(canvas->cairo);
}

static void draw_names(cln__canvas *canvas, const matrix *m) {
    double side = m->n * m->cell, below = m->y + side;
    cln__font font = {.size = m->font, .align = CLN__RIGHT, .width = LABEL_WIDTH};
    cln__canvas_colour(canvas, cln__ink);
    for (int i = 0; m->n <= MOST_NAMED && i < m->n; i++) {
        double middle = (i + 0.5) * m->cell + 0.36 * m->font;
        font.turn = 0;
        cln__canvas_text(canvas, m->x - 6, m->y + middle, font, m->e->class_names[i]);
        font.turn = -CLN__PI / 2;
        cln__canvas_text(canvas, m->x + middle, below + 6, font, m->e->class_names[i]);
    }
    font = (cln__font){.size = 12, .align = CLN__CENTRE, .bold = true};
    cln__canvas_text(canvas, m->x + side / 2, below + m->labels + 26, font, "predicted class");
    font.turn = -CLN__PI / 2;
    cln__canvas_text(canvas, m->x - m->labels - 16, m->y + side / 2, font, "true class");
}

static void draw_bar(cln__canvas *canvas, const matrix *m) {
    double side = m->n * m->cell, height = fmin(side, 260), x = m->x + side + 18;
    char text[32];
    cairo_set_antialias(canvas->cairo, CAIRO_ANTIALIAS_NONE);
    for (int i = 0; i < 100; i++) {
        cln__canvas_colour(canvas, shade((i + 0.5) / 100));
        cln__canvas_box(canvas, x, m->y + height * (99 - i) / 100, BAR_WIDTH, height / 100);
    }
    cairo_set_antialias(canvas->cairo, CAIRO_ANTIALIAS_DEFAULT);
    cln__canvas_colour(canvas, cln__faint);
    cairo_rectangle(canvas->cairo, x, m->y, BAR_WIDTH, height);
    cairo_set_line_width(canvas->cairo, 0.8);
    cairo_stroke(canvas->cairo);
    for (int percent = 0; percent <= 100; percent += 25) {
        double y = m->y + height * (1 - percent / 100.0);
        snprintf(text, sizeof text, "%d%%", percent);
        cln__canvas_line(canvas, x + BAR_WIDTH, y, x + BAR_WIDTH + 3, y, 0.8);
        cln__canvas_text(canvas, x + BAR_WIDTH + 7, y + 3.8, (cln__font){.size = 10}, text);
    }
    if (height >= least_bar)
        cln__canvas_text(canvas, x + BAR_WIDTH + 46, m->y + height / 2,
                         (cln__font){.size = 10, .align = CLN__CENTRE, .turn = -CLN__PI / 2},
                         "share of the true class");
}

cln_status cln_plot_confusion(cln_context *ctx, const cln_evaluation *e, const char *path) {
    matrix m = lay_out(e);
    cln__canvas canvas;
    char title[128], images[32];
    CLN_TRY(cln__canvas_open(ctx, path, &canvas));
    measure_names(&canvas, &m);
    m.x = MARGIN + m.labels + 26;
    m.y = TITLE;
    double width = fmax(m.x + m.n * m.cell + 18 + BAR_ROOM, LEAST_WIDTH);
    snprintf(title, sizeof title, "Confusion matrix: %s images, accuracy %.2f%%", cln__count(e->score.count, images),
             100 * e->score.accuracy);
    cln__canvas_colour(&canvas, cln__ink);
    cln__canvas_text(&canvas, MARGIN, 26, (cln__font){.size = 13, .bold = true, .width = width - 2 * MARGIN}, title);
    draw_cells(&canvas, &m);
    draw_lines(&canvas, &m);
    draw_names(&canvas, &m);
    draw_bar(&canvas, &m);
    return cln__canvas_save(&canvas, width, m.y + m.n * m.cell + m.labels + 26 + MARGIN);
}
