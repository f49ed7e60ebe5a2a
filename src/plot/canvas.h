/* A picture in the making: an area to draw on, in points, that becomes a PNG or SVG file; text, lines and boxes. */
#ifndef CLN_SRC_CANVAS_H
#define CLN_SRC_CANVAS_H

#include "../base/base.h"
#include "clnet/plot.h"

#include <cairo.h>

typedef struct cln__canvas {
    cln_context *ctx;
    const char *path;         /* borrowed */
    cairo_surface_t *surface; /* what is drawn, to be drawn again into the file once its size is known */
    cairo_t *cairo;
    bool failed; /* for lack of memory */
} cln__canvas;

/* Something to draw on, as large as need be. `path` must live until it is saved; if it ends in neither .png nor .svg,
 * it fails, and nothing is left to be freed. */
cln_status cln__canvas_open(cln_context *ctx, const char *path, cln__canvas *out);
/* Writes the part from the origin to (width, height), on white, and frees all. */
cln_status cln__canvas_save(cln__canvas *canvas, double width, double height);

typedef struct cln__colour {
    double red, green, blue;
} cln__colour;
extern const cln__colour cln__ink, cln__faint, cln__grid, cln__white;
/* Okabe and Ito's palette, which the colour-blind can tell apart; CLN_PLOT_MAX_RUNS of them. */
extern const cln__colour cln__palette[CLN_PLOT_MAX_RUNS];

void cln__canvas_colour(cln__canvas *canvas, cln__colour colour);
void cln__canvas_line(cln__canvas *canvas, double x0, double y0, double x1, double y1, double width);
void cln__canvas_box(cln__canvas *canvas, double x, double y, double width, double height);

#define CLN__PI 3.14159265358979323846

typedef enum cln__align { CLN__LEFT, CLN__CENTRE, CLN__RIGHT } cln__align;
typedef struct cln__font {
    double size;
    bool bold;
    cln__align align;
    double turn;  /* radians, clockwise, about the point where the text is put */
    double width; /* longer text is cut, with an ellipsis; 0: as long as it is */
} cln__font;
/* Text is put with its baseline on y; bytes that are not UTF-8 are shown as '?'. */
void cln__canvas_text(cln__canvas *canvas, double x, double y, cln__font font, const char *text);
double cln__canvas_text_width(cln__canvas *canvas, cln__font font, const char *text);

/* An image of 1 or 3 planes in a box, its shape kept; pixels are not blurred. */
void cln__canvas_image(cln__canvas *canvas, const cln_tile *tile, double x, double y, double width, double height);

#endif
