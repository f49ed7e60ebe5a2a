/* The filters of a convolution as small images, each around mid-grey, which is 0. */
#include "../base/base.h"
#include "clnet/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TILES = 4096, COLUMNS = 8, MOST_SIDE = 64, CAPTION = 24 };

static bool is_filter(const cln_file_tensor *t) {
    return t->rank == 4 && t->shape[2] <= MOST_SIDE && t->shape[3] <= MOST_SIDE && t->count > 0;
}

/* Files sort tensors as they like; the first layer is known by taking grey or coloured images. */
static const cln_file_tensor *first_layer(const cln_weights_file *file) {
    const cln_file_tensor *first = NULL;
    for (size_t i = 0; i < cln_weights_file_count(file); i++) {
        const cln_file_tensor *t = cln_weights_file_at(file, i);
        if (!is_filter(t))
            continue;
        if (t->shape[1] == 3 || t->shape[1] == 1)
            return t;
        first = first ? first : t;
    }
    return first;
}

static cln_status find(cln_context *ctx, const cln_weights_file *file, const char *layer, const cln_file_tensor **out) {
    *out = layer ? cln_weights_file_find(file, layer) : first_layer(file);
    if (layer && !*out) {
        char *name = cln__format("%s.weight", layer);
        *out = name ? cln_weights_file_find(file, name) : NULL;
        free(name);
    }
    if (!*out)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "filters: there is no %s%s%s in the weights",
                         layer ? "layer '" : "convolution", layer ? layer : "", layer ? "'" : "");
    if (!is_filter(*out))
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "filters: '%s' has no filters of at most %dx%d: it is not the weight of such a convolution",
                         (*out)->name, MOST_SIDE, MOST_SIDE);
    return CLN_OK;
}

/* A filter's weights as grey levels: 0 is 128, the largest of either sign 1 or 255. */
static void to_levels(const float *weights, size_t count, uint8_t *out) {
    double most = 0;
    for (size_t i = 0; i < count; i++)
        if (isfinite(weights[i]))
            most = fmax(most, fabs((double)weights[i]));
    for (size_t i = 0; i < count; i++) {
        double level = isfinite(weights[i]) && most > 0 ? 127 * (double)weights[i] / most : 0;
        out[i] = (uint8_t)lrint(128 + level);
    }
}

typedef struct filters {
    float *weights;
    uint8_t *levels;
    cln_tile *tiles;
    char (*captions)[CAPTION];
} filters;

static cln_status draw(cln_context *ctx, const cln_file_tensor *t, filters *f, const char *path) {
    bool colour = t->shape[1] == 3;
    size_t area = (size_t)(t->shape[2] * t->shape[3]), filter = area * (size_t)t->shape[1];
    int columns = colour || t->shape[1] == 1 ? COLUMNS : (int)t->shape[1];
    size_t tile = colour ? filter : area, count = (size_t)t->count / tile;
    if (count > MOST_TILES)
        return cln__fail(ctx, CLN_UNSUPPORTED, "filters: '%s' has %zu of them, at most %d can be drawn", t->name, count,
                         MOST_TILES);
    f->weights = malloc((size_t)t->count * sizeof *f->weights);
    f->levels = malloc((size_t)t->count);
    f->tiles = calloc(count, sizeof *f->tiles);
    f->captions = calloc(count, sizeof *f->captions);
    if (!f->weights || !f->levels || !f->tiles || !f->captions)
        return cln__fail_memory(ctx, "the filters");
    cln_file_tensor_to_float(t, f->weights);
    for (size_t i = 0; i < (size_t)t->shape[0]; i++)
        to_levels(f->weights + i * filter, filter, f->levels + i * filter);
    for (size_t i = 0; i < count; i++) {
        if (tile == filter)
            snprintf(f->captions[i], CAPTION, "%zu", i);
        else
            snprintf(f->captions[i], CAPTION, "%zu, input %zu", i * tile / filter, i % (size_t)t->shape[1]);
        f->tiles[i] = (cln_tile){.planes = f->levels + i * tile,
                                 .channels = colour ? 3 : 1,
                                 .height = (int)t->shape[2],
                                 .width = (int)t->shape[3],
                                 .caption = f->captions[i]};
    }
    char *title = cln__format("%s: %lld filters of %lldx%lld, mid-grey is 0", t->name, (long long)t->shape[0],
                              (long long)t->shape[2], (long long)t->shape[3]);
    cln_status status =
        title ? cln_plot_images(ctx, title, f->tiles, (int)count, columns, path) : cln__fail_memory(ctx, "the filters");
    free(title);
    return status;
}

cln_status cln_plot_filters(cln_context *ctx, const cln_weights_file *file, const char *layer, const char *path) {
    const cln_file_tensor *t;
    filters f = {.weights = NULL};
    CLN_TRY(find(ctx, file, layer, &t));
    cln_status status = draw(ctx, t, &f, path);
    free(f.weights);
    free(f.levels);
    free(f.tiles);
    free(f.captions);
    return status;
}
