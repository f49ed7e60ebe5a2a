/* Reading one image file: the public side of image.h. */
#include "../io/file.h"
#include "image.h"

#include <stdlib.h>

enum { MAX_FILE_BYTES = 1 << 30 };

cln_status cln_image_read(cln_context *ctx, const char *path, cln_image *out) {
    uint8_t *bytes;
    size_t size;
    cln__image head;
    *out = (cln_image){.pixels = NULL};
    CLN_TRY(cln__file_read(ctx, path, MAX_FILE_BYTES, &bytes, &size));
    cln_status status = cln__image_examine(ctx, path, bytes, size, &head);
    if (status == CLN_OK) {
        *out = (cln_image){.height = head.height, .width = head.width};
        status = cln__image_pixels(ctx, path, bytes, size, &head, &out->pixels, &out->components);
    }
    free(bytes);
    return status;
}

void cln_image_free(cln_image *image) {
    free(image->pixels);
    *image = (cln_image){.pixels = NULL};
}
