/* The picture of an augmentation: a batch of the loader, so that it shows what a network sees, beside its originals. */
#include "../base/base.h"
#include "clnet/data.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 2, BACKGROUND = 230, ROWS = 2 };

static uint8_t *at(const cln_image *p, int y, int x) {
    return p->pixels + 3 * ((size_t)y * (size_t)p->width + (size_t)x);
}

/* Draws an image of [channels][height][width] with its upper left corner at (top, left). */
static void draw(const cln_image *p, const cln_dataset *d, const uint8_t *image, int top, int left) {
    size_t plane = (size_t)d->height * (size_t)d->width;
    for (int y = 0; y < d->height; y++)
        for (int x = 0; x < d->width; x++, image++)
            for (int c = 0; c < 3; c++)
                at(p, top + y, left + x)[c] = image[d->channels == 3 ? (size_t)c * plane : 0];
}

static void denormalise(const cln_normalization *n, const float *image, size_t plane, uint8_t *out) {
    for (int c = 0; c < n->channels; c++)
        for (size_t i = 0; i < plane; i++) {
            float level = 255 * (*image++ * n->deviation[c] + n->mean[c]) + 0.5f;
            *out++ = (uint8_t)(level < 0 ? 0 : level > 255 ? 255 : level);
        }
}

static cln_status make_picture(cln_context *ctx, const cln_dataset *d, int64_t count, cln_image *out) {
    int64_t width = count * (d->width + GAP) + GAP, height = (int64_t)ROWS * (d->height + GAP) + GAP;
    if (width > INT32_MAX / 4 || height > INT32_MAX / 4)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "augmentation picture: %" PRId64 " images of %dx%d are too many to show", count, d->height,
                         d->width);
    size_t bytes = 3 * (size_t)width * (size_t)height;
    *out = (cln_image){(int)height, (int)width, 3, malloc(bytes)};
    if (!out->pixels)
        return cln__fail_memory(ctx, "the picture of the augmentation");
    memset(out->pixels, BACKGROUND, bytes);
    return CLN_OK;
}

static cln_status fill(cln_context *ctx, const cln_dataset *d, const cln_batch *batch, const cln_normalization *n,
                       const int64_t *indices, const cln_image *out) {
    size_t plane = (size_t)d->height * (size_t)d->width, size = (size_t)d->channels * plane;
    uint8_t *image = malloc(size);
    if (!image)
        return cln__fail_memory(ctx, "the picture of the augmentation");
    for (int i = 0; i < batch->count; i++) {
        int left = GAP + i * (d->width + GAP);
        draw(out, d, d->images + (size_t)(indices ? indices[i] : i) * size, GAP, left);
        denormalise(n, batch->images + (size_t)i * size, plane, image);
        draw(out, d, image, GAP + d->height + GAP, left);
    }
    free(image);
    return CLN_OK;
}

cln_status cln_augmentation_grid(cln_context *ctx, const cln_dataset *dataset, const int64_t *indices, int count,
                                 const cln_loader_options *options, int64_t epoch, cln_image *out) {
    *out = (cln_image){0};
    if (dataset->channels != 1 && dataset->channels != 3)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "augmentation picture: images of %d channels cannot be shown, only of 1 or 3",
                         dataset->channels);
    cln_loader_options batch_options = {.batch_size = count,
                                        .seed = options->seed,
                                        .normalization = options->normalization,
                                        .augmentation = options->augmentation};
    cln_loader *loader;
    const cln_batch *batch;
    CLN_TRY(cln_loader_new(ctx, dataset, indices, count, &batch_options, &loader));
    cln_status status = cln_loader_start(loader, epoch, 0);
    if (status == CLN_OK)
        status = cln_loader_next(loader, &batch);
    if (status == CLN_OK)
        status = make_picture(ctx, dataset, batch->count, out);
    if (status == CLN_OK)
        status = fill(ctx, dataset, batch, &options->normalization, indices, out);
    cln_loader_free(loader);
    if (status != CLN_OK)
        cln_image_free(out);
    return status;
}
