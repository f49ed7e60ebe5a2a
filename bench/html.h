/* HTML pages that need nothing besides themselves: no network, light and dark as the reader has it, wide and narrow.
 * What is printed is well-formed XML, too. */
#ifndef CLN_BENCH_HTML_H
#define CLN_BENCH_HTML_H

#include <stdbool.h>
#include <stdio.h>

/* Text, with what would be markup escaped; fit for quoted attributes as well. */
void html_text(FILE *to, const char *text);
/* The same of a formatted text of up to 1 KiB. */
void html_format(FILE *to, const char *format, ...);

void html_begin(FILE *to, const char *title);
void html_end(FILE *to);

/* --- charts, as SVG with values under the pointer --- */

typedef struct chart {
    const char *title; /* for those who cannot see it */
    const char *x_name, *y_name;
    double x0, x1, y0, y1; /* what the axes span */
    bool logarithmic;      /* both axes; else linear */
    bool whole;            /* x takes whole numbers only */
    bool percent;          /* of y: shares, shown as percentages */
} chart;

/* Frame, grid and names of the axes. x0 < x1, y0 < y1; logarithmic: all above 0. */
void chart_begin(FILE *to, const chart *c);
/* Points joined by lines; what is not finite is left out, what lies outside is cut off. `style`: a class. */
void chart_line(FILE *to, const chart *c, const char *name, const char *style, const double *x, const double *y,
                int count);
/* A point of `radius`, with a text under the pointer. */
void chart_point(FILE *to, const chart *c, double x, double y, double radius, const char *text);
void chart_end(FILE *to);

#endif
