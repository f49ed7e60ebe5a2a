/* Charts of lines: axes with ticks, lines with gaps, legends. */
#ifndef CLN_SRC_CHART_H
#define CLN_SRC_CHART_H

#include "canvas.h"

typedef struct cln__axis {
    const char *label;
    double low, high; /* of the values shown; low < high */
    bool logarithmic; /* ticks at powers of ten */
    bool whole;       /* ticks at whole numbers only */
    bool nothing;     /* no value is held */
} cln__axis;

typedef struct cln__chart {
    const char *title;
    double x, y, width, height; /* of the area within the axes */
    cln__axis across, up;
} cln__chart;

typedef struct cln__style {
    cln__colour colour;
    double width;
    bool dashed;
    bool dots; /* at each value */
} cln__style;

/* Room to be left around a chart for what is written beside its axes. */
enum { CLN__CHART_LEFT = 74, CLN__CHART_RIGHT = 22, CLN__CHART_TOP = 34, CLN__CHART_BOTTOM = 48 };

/* Widens `axis` to hold the finite values, and then to whole ticks. An axis begins empty; if it stays so, the chart
 * says that there is nothing. */
cln__axis cln__axis_empty(const char *label);
void cln__axis_hold(cln__axis *axis, const double *values, int count);
void cln__axis_round(cln__axis *axis);

void cln__chart_axes(cln__canvas *canvas, const cln__chart *chart);
double cln__chart_x(const cln__chart *chart, double value);
double cln__chart_y(const cln__chart *chart, double value);
/* Through the points whose values are finite, with gaps at the others; cut off at the axes. */
void cln__chart_line(cln__canvas *canvas, const cln__chart *chart, const double *x, const double *y, int count,
                     cln__style style);

typedef struct cln__entry {
    cln__style style;
    const char *text;
} cln__entry;
/* Entries side by side in lines of `width`, from `y` down; returns the height. */
double cln__legend(cln__canvas *canvas, double x, double y, double width, const cln__entry *entries, int count);

/* "0.05" with so many digits after the point, or 1e-05 where it is very small or large. */
const char *cln__number(double value, int digits, char text[32]);

#endif
