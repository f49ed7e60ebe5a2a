/* Images in memory, and reading them from files. */
#ifndef CLNET_IMAGE_H
#define CLNET_IMAGE_H

#include "clnet/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Rows from the top, pixel after pixel, 8 bits a component: 1 grey, 2 grey and transparency, 3 RGB, 4 RGBA.
 * Transparency is dropped wherever an image is used. */
typedef struct cln_image {
    int height, width; /* in pixels */
    int components;    /* of a pixel: 1 to 4 */
    uint8_t *pixels;   /* [height][width][components]; malloc'ed where the library made it */
} cln_image;

/* Reads a JPEG, PNG, BMP, GIF (its first picture), PNM, TGA, PSD, PIC or HDR file, as it is stored: an orientation in
 * EXIF is not looked at. Sides of at most 32,768, at most 2^26 pixels. A file that is damaged, or no image, is
 * CLN_INVALID_FILE. The caller frees *out with
 * cln_image_free. */
CLN_API cln_status cln_image_read(cln_context *ctx, const char *path, cln_image *out);
/* Frees the pixels and sets all to zero. */
CLN_API void cln_image_free(cln_image *image);

#ifdef __cplusplus
}
#endif
#endif
