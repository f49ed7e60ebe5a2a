/* One image: decoding a file by stb_image, resizing it as PIL does. Pixels are planes, [channels][height][width]. */
#ifndef CLN_SRC_IMAGE_H
#define CLN_SRC_IMAGE_H

#include "../base/base.h"
#include "clnet/image.h"

typedef struct cln__image {
    uint8_t *planes; /* malloc'ed */
    int channels, height, width;
} cln__image;

/* Reads off the head of an image file in memory, checking that it can be decoded within bounds; planes is NULL,
 * channels is 1 (grey) or 3. `path` is for messages. */
cln_status cln__image_examine(cln_context *ctx, const char *path, const uint8_t *bytes, size_t size, cln__image *out);

/* Decodes what was examined into image->planes, after setting image->channels to 1 or 3 as wanted. */
cln_status cln__image_decode(cln_context *ctx, const char *path, const uint8_t *bytes, size_t size, cln__image *image);

/* The same as it is stored, pixel after pixel, 1 to 4 components; *out is freed by free. */
cln_status cln__image_pixels(cln_context *ctx, const char *path, const uint8_t *bytes, size_t size,
                             const cln__image *image, uint8_t **out, int *components);

/* From pixel after pixel to planes of 1 (grey) or 3 channels. */
cln_status cln__image_separate(cln_context *ctx, const cln_image *from, int channels, cln__image *out);

/* Resizes all planes into `out`, [channels][height][width]: PIL's bilinear filter, a triangle that is as
 * wide as the pixels are apart, in the result or, when shrinking, in the source. */
cln_status cln__image_resize(cln_context *ctx, const cln__image *image, int height, int width, uint8_t *out);

/* The most that stb_image may allocate at once in this thread, until it is called again. */
void cln__stb_limit(size_t bytes);

#endif
