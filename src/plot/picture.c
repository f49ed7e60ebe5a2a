/* A picture that is there as pixels, larger and with a title. */
#include "canvas.h"

#include <math.h>
#include <stdlib.h>

enum { MARGIN = 14, TITLE = 30, WIDTH = 900, HEIGHT = 1200, MOST_SIDE = 32767 };

/* Without transparency. */
static uint8_t *to_planes(const cln_image *p, int channels) {
    size_t plane = (size_t)p->width * (size_t)p->height;
    uint8_t *planes = malloc((size_t)channels * plane);
    for (size_t c = 0; planes && c < (size_t)channels; c++)
        for (size_t i = 0; i < plane; i++)
            planes[c * plane + i] = p->pixels[i * (size_t)p->components + c];
    return planes;
}

cln_status cln_plot_picture(cln_context *ctx, const char *title, const cln_image *p, const char *path) {
    cln__canvas canvas;
    int channels = p->components < 3 ? 1 : 3;
    if (!p->pixels || p->width < 1 || p->height < 1 || p->width > MOST_SIDE || p->height > MOST_SIDE ||
        p->components < 1 || p->components > 4)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "a picture of %dx%d with %d components is to be drawn, expected sides of 1 to %d and 1 to 4 "
                         "components",
                         p->height, p->width, p->components, MOST_SIDE);
    uint8_t *planes = to_planes(p, channels);
    if (!planes)
        return cln__fail_memory(ctx, path);
    /* Pixels of one size, halves of a point or more, or as small as they have to be. */
    double scale = fmin((double)WIDTH / p->width, (double)HEIGHT / p->height), width,
           top = title ? TITLE + MARGIN : MARGIN;
    scale = scale >= 0.5 ? floor(2 * scale) / 2 : scale;
    width = p->width * scale;
    const cln_tile tile = {.planes = planes, .channels = channels, .height = p->height, .width = p->width};
    cln_status status = cln__canvas_open(ctx, path, &canvas);
    if (status == CLN_OK) {
        cln__canvas_colour(&canvas, cln__ink);
        if (title)
            cln__canvas_text(&canvas, MARGIN, 25, (cln__font){.size = 13, .bold = true, .width = width}, title);
        cln__canvas_image(&canvas, &tile, MARGIN, top, width, p->height * scale);
        status = cln__canvas_save(&canvas, width + 2 * MARGIN, top + p->height * scale + MARGIN);
    }
    free(planes);
    return status;
}
