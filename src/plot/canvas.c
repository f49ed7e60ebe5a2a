/* Drawing by cairo: see canvas.h. */
#include "canvas.h"
#include "../io/file.h"

#include <cairo-svg.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const double png_scale = 2; /* pixels to a point, as on screens of today */
static const double most_pixels = 16000;

const cln__colour cln__ink = {0.13, 0.13, 0.13}, cln__faint = {0.42, 0.42, 0.42}, cln__grid = {0.88, 0.88, 0.88},
                  cln__white = {1, 1, 1};
const cln__colour cln__palette[CLN_PLOT_MAX_RUNS] = {
    {0.000, 0.447, 0.698}, /* blue */
    {0.835, 0.369, 0.000}, /* vermilion */
    {0.000, 0.620, 0.451}, /* green */
    {0.800, 0.475, 0.655}, /* purple */
    {0.902, 0.624, 0.000}, /* orange */
    {0.337, 0.706, 0.914}, /* sky blue */
    {0.000, 0.000, 0.000}, /* black */
    {0.800, 0.740, 0.100}, /* yellow, darkened to be seen on white */
};

/* --- the file --- */

static bool ends_in(const char *path, const char *ending) {
    size_t length = strlen(path), end = strlen(ending);
    return length > end && strcasecmp(path + length - end, ending) == 0;
}

bool cln_plot_can_write(const char *path) {
    return ends_in(path, ".png") || ends_in(path, ".svg");
}

cln_status cln__canvas_open(cln_context *ctx, const char *path, cln__canvas *out) {
    *out = (cln__canvas){.ctx = ctx, .path = path};
    if (!cln_plot_can_write(path))
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "cannot draw '%s': its name must end in .png or .svg", path);
    out->surface = cairo_recording_surface_create(CAIRO_CONTENT_COLOR_ALPHA, NULL);
    out->cairo = cairo_create(out->surface);
    /* The same shapes at every scale. */
    cairo_font_options_t *plain = cairo_font_options_create();
    cairo_font_options_set_hint_metrics(plain, CAIRO_HINT_METRICS_OFF);
    cairo_font_options_set_hint_style(plain, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_antialias(plain, CAIRO_ANTIALIAS_GRAY);
    cairo_set_font_options(out->cairo, plain);
    cairo_font_options_destroy(plain);
    cairo_set_line_cap(out->cairo, CAIRO_LINE_CAP_ROUND);
    cairo_set_line_join(out->cairo, CAIRO_LINE_JOIN_ROUND);
    return CLN_OK;
}

typedef struct buffer {
    uint8_t *bytes;
    size_t size, room;
} buffer;

static cairo_status_t append(void *closure, const unsigned char *data, unsigned length) {
    buffer *b = closure;
    if (b->size + length > b->room) {
        size_t room = 2 * (b->size + length);
        uint8_t *moved = realloc(b->bytes, room);
        if (!moved)
            return CAIRO_STATUS_NO_MEMORY;
        b->bytes = moved;
        b->room = room;
    }
    memcpy(b->bytes + b->size, data, length);
    b->size += length;
    return CAIRO_STATUS_SUCCESS;
}

/* Draws what was recorded once more, as the bytes of a file. */
static cairo_status_t encode(const cln__canvas *c, double width, double height, buffer *out) {
    bool svg = ends_in(c->path, ".svg");
    double scale = svg ? 1 : fmin(png_scale, most_pixels / fmax(width, height));
    cairo_surface_t *file =
        svg ? cairo_svg_surface_create_for_stream(append, out, width, height)
            : cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)ceil(width * scale), (int)ceil(height * scale));
    cairo_t *cairo = cairo_create(file);
    cairo_scale(cairo, scale, scale);
    cairo_set_source_rgb(cairo, 1, 1, 1);
    cairo_paint(cairo);
    cairo_set_source_surface(cairo, c->surface, 0, 0);
    cairo_paint(cairo);
    cairo_status_t status = cairo_status(cairo);
    cairo_destroy(cairo);
    if (status == CAIRO_STATUS_SUCCESS && !svg)
        status = cairo_surface_write_to_png_stream(file, append, out);
    cairo_surface_finish(file); /* writes the end of SVG */
    if (status == CAIRO_STATUS_SUCCESS)
        status = cairo_surface_status(file);
    cairo_surface_destroy(file);
    return status;
}

cln_status cln__canvas_save(cln__canvas *c, double width, double height) {
    buffer file = {.bytes = NULL};
    cairo_status_t drawn = cairo_status(c->cairo);
    if (drawn == CAIRO_STATUS_SUCCESS)
        drawn = encode(c, width, height, &file);
    cln_status status = CLN_OK;
    if (c->failed || drawn == CAIRO_STATUS_NO_MEMORY)
        status = cln__fail_memory(c->ctx, c->path);
    else if (drawn != CAIRO_STATUS_SUCCESS)
        status = cln__fail(c->ctx, CLN_INTERNAL, "cannot draw '%s': %s", c->path, cairo_status_to_string(drawn));
    else
        status = cln__file_write_atomic(c->ctx, c->path, &(cln__bytes){file.bytes, file.size}, 1);
    cairo_destroy(c->cairo);
    cairo_surface_destroy(c->surface);
    free(file.bytes);
    return status;
}

/* --- shapes --- */

void cln__canvas_colour(cln__canvas *c, cln__colour colour) {
    cairo_set_source_rgb(c->cairo, colour.red, colour.green, colour.blue);
}

void cln__canvas_line(cln__canvas *c, double x0, double y0, double x1, double y1, double width) {
    cairo_set_line_width(c->cairo, width);
    cairo_move_to(c->cairo, x0, y0);
    cairo_line_to(c->cairo, x1, y1);
    cairo_stroke(c->cairo);
}

void cln__canvas_box(cln__canvas *c, double x, double y, double width, double height) {
    cairo_rectangle(c->cairo, x, y, width, height);
    cairo_fill(c->cairo);
}

/* --- text --- */

/* What cairo can draw of `text`: control characters are spaces. NULL for lack of memory. */
static char *drawable(const char *text) {
    char *copy = cln__format("%s", text);
    for (size_t at = 0, size = strlen(text), length; copy && at < size; at += length) {
        length = cln__utf8_length(text + at, size - at);
        if (length == 0)
            copy[at] = '?';
        else if ((unsigned char)text[at] < ' ')
            copy[at] = ' ';
        length = length ? length : 1;
    }
    return copy;
}

static void choose_font(cln__canvas *c, cln__font font) {
    cairo_select_font_face(c->cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           font.bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(c->cairo, font.size);
}

static double advance(cln__canvas *c, const char *text) {
    cairo_text_extents_t extents;
    cairo_text_extents(c->cairo, text, &extents);
    return extents.x_advance;
}

/* `text` cut to `width`, with room for an ellipsis. */
static char *shorten(cln__canvas *c, char *text, double width) {
    size_t length = text ? strlen(text) : 0;
    if (length == 0 || width <= 0 || advance(c, text) <= width)
        return text;
    for (;;) {
        do /* off with a whole character */
            length--;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80);
        text[length] = '\0';
        char *shorter = cln__format("%s\xe2\x80\xa6", text);
        if (!shorter || length == 0 || advance(c, shorter) <= width) {
            free(text);
            return shorter;
        }
        free(shorter);
    }
}

static char *prepare(cln__canvas *c, cln__font font, const char *text) {
    choose_font(c, font);
    char *line = shorten(c, drawable(text), font.width);
    c->failed |= line == NULL;
    return line;
}

double cln__canvas_text_width(cln__canvas *c, cln__font font, const char *text) {
    char *line = prepare(c, font, text);
    double width = line ? advance(c, line) : 0;
    free(line);
    return width;
}

void cln__canvas_text(cln__canvas *c, double x, double y, cln__font font, const char *text) {
    char *line = prepare(c, font, text);
    if (!line)
        return;
    double width = advance(c, line);
    cairo_save(c->cairo);
    cairo_translate(c->cairo, x, y);
    cairo_rotate(c->cairo, font.turn);
    cairo_move_to(c->cairo, font.align == CLN__LEFT ? 0 : font.align == CLN__CENTRE ? -width / 2 : -width, 0);
    cairo_show_text(c->cairo, line);
    cairo_restore(c->cairo);
    free(line);
}

/* --- images --- */

static cairo_surface_t *to_surface(const cln_tile *tile) {
    cairo_surface_t *s = cairo_image_surface_create(CAIRO_FORMAT_RGB24, tile->width, tile->height);
    if (cairo_surface_status(s) != CAIRO_STATUS_SUCCESS)
        return s;
    uint8_t *data = cairo_image_surface_get_data(s);
    size_t stride = (size_t)cairo_image_surface_get_stride(s), plane = (size_t)tile->height * (size_t)tile->width;
    for (size_t i = 0; i < plane; i++) {
        const uint8_t *p = tile->planes + i;
        uint32_t red = p[0], green = tile->channels < 3 ? red : p[plane],
                 blue = tile->channels < 3 ? red : p[2 * plane];
        uint32_t pixel = red << 16 | green << 8 | blue;
        memcpy(data + i / (size_t)tile->width * stride + i % (size_t)tile->width * sizeof pixel, &pixel, sizeof pixel);
    }
    cairo_surface_mark_dirty(s);
    return s;
}

void cln__canvas_image(cln__canvas *c, const cln_tile *tile, double x, double y, double width, double height) {
    double scale = fmin(width / tile->width, height / tile->height);
    cairo_surface_t *image = to_surface(tile);
    c->failed |= cairo_surface_status(image) != CAIRO_STATUS_SUCCESS;
    cairo_save(c->cairo);
    cairo_translate(c->cairo, x + (width - scale * tile->width) / 2, y + (height - scale * tile->height) / 2);
    cairo_scale(c->cairo, scale, scale);
    cairo_set_source_surface(c->cairo, image, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(c->cairo), scale >= 1 ? CAIRO_FILTER_NEAREST : CAIRO_FILTER_BEST);
    cairo_rectangle(c->cairo, 0, 0, tile->width, tile->height);
    cairo_fill(c->cairo);
    cairo_restore(c->cairo);
    cairo_surface_destroy(image);
}
