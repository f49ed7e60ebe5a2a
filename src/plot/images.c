/* Images in rows with captions, and the mistakes of a test as such. */
#include "canvas.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TILE = 104, GAP = 14, LINE = 14, TITLE = 30, MOST_TILES = 10000, MISTAKES = 30, COLUMNS = 6, CAPTION = 160 };

static cln_status check(cln_context *ctx, const cln_tile *tiles, int count, int columns) {
    if (count < 0 || count > MOST_TILES || columns < 1 || columns > MOST_TILES)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "a picture of %d images in rows of %d is asked for, expected at most %d in rows of 1 or more",
                         count, columns, MOST_TILES);
    for (int i = 0; i < count; i++)
        if (!tiles[i].planes || tiles[i].height < 1 || tiles[i].width < 1 ||
            (tiles[i].channels != 1 && tiles[i].channels != 3))
            return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                             "image %d of a picture is %dx%dx%d, expected 1 or 3 channels and sides above 0", i,
                             tiles[i].channels, tiles[i].height, tiles[i].width);
    return CLN_OK;
}

static int caption_lines(const cln_tile *tiles, int count) {
    int lines = 0;
    for (int i = 0; i < count; i++)
        lines = tiles[i].caption2 ? 2 : lines < 1 && tiles[i].caption ? 1 : lines;
    return lines;
}

static void draw_tile(cln__canvas *canvas, const cln_tile *tile, double x, double y) {
    const char *const captions[] = {tile->caption, tile->caption2};
    cln__canvas_image(canvas, tile, x, y, TILE, TILE);
    cln__canvas_colour(canvas, cln__ink);
    for (int line = 0; line < 2; line++) {
        if (captions[line])
            cln__canvas_text(canvas, x + TILE / 2.0, y + TILE + (line + 1) * LINE - 1,
                             (cln__font){.size = 10, .align = CLN__CENTRE, .bold = line == 0, .width = TILE + GAP - 4},
                             captions[line]);
        cln__canvas_colour(canvas, cln__faint);
    }
}

cln_status cln_plot_images(cln_context *ctx, const char *title, const cln_tile *tiles, int count, int columns,
                           const char *path) {
    cln__canvas canvas;
    CLN_TRY(check(ctx, tiles, count, columns));
    int across = count < columns ? count : columns, rows = (count + columns - 1) / columns;
    double step = TILE + GAP, tall = step + LINE * caption_lines(tiles, count), top = title ? TITLE + GAP : GAP;
    double width = fmax(across * step + GAP, title ? 420 : 0);
    CLN_TRY(cln__canvas_open(ctx, path, &canvas));
    cln__canvas_colour(&canvas, cln__ink);
    if (title)
        cln__canvas_text(&canvas, GAP, 25, (cln__font){.size = 13, .bold = true, .width = width - 2 * GAP}, title);
    for (int i = 0; i < count; i++)
        draw_tile(&canvas, &tiles[i], GAP + i % columns * step, top + i / columns * tall);
    return cln__canvas_save(&canvas, width, top + rows * tall);
}

/* --- mistakes --- */

static cln_tile tile_of(const cln_evaluation *e, const cln_prediction *p, char caption[2][CAPTION]) {
    const cln_dataset *d = e->data;
    size_t image = (size_t)d->channels * (size_t)d->height * (size_t)d->width;
    snprintf(caption[0], CAPTION, "%.1f%% %s", 100 * (double)p->probability, e->class_names[p->prediction]);
    snprintf(caption[1], CAPTION, "is %s", e->class_names[p->label]);
    return (cln_tile){.planes = d->images + (size_t)p->index * image,
                      .channels = d->channels,
                      .height = d->height,
                      .width = d->width,
                      .caption = caption[0],
                      .caption2 = caption[1]};
}

cln_status cln_plot_mistakes(cln_context *ctx, const cln_evaluation *e, const char *path) {
    int64_t wrong[MISTAKES];
    char captions[MISTAKES][2][CAPTION], title[128], mistakes[32], images[32];
    cln_tile tiles[MISTAKES];
    if (!e->data)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "mistakes cannot be drawn: the evaluation has no images");
    int64_t count = cln_evaluation_mistakes(e, wrong, MISTAKES), all = e->score.count - e->score.correct;
    for (int64_t i = 0; i < count; i++)
        tiles[i] = tile_of(e, &e->predictions[wrong[i]], captions[i]);
    cln__count(all, mistakes);
    cln__count(e->score.count, images);
    if (count < all)
        snprintf(title, sizeof title, "The %d most confident of %s mistakes on %s images", (int)count, mistakes,
                 images);
    else
        snprintf(title, sizeof title, "%s mistakes on %s images", all ? mistakes : "No", images);
    return cln_plot_images(ctx, title, tiles, (int)count, COLUMNS, path);
}
