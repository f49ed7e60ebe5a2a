/* Image files for tests. */
#ifndef CLN_TESTS_PICTURES_H
#define CLN_TESTS_PICTURES_H

#include <stddef.h>
#include <stdint.h>

/* Writes `pixels` (1 to 4 components each) as folder/name, in the format that the name ends in: png, jpg, bmp, tga,
 * hdr, pgm (1 component) or ppm (3). Folders on the way are made. */
void picture_write(const char *folder, const char *name, int width, int height, int components, const uint8_t *pixels);
/* The same with pixels that are all `level`. */
void picture_flat(const char *folder, const char *name, int width, int height, int components, int level);

/* Makes the folders on the way to folder/name, then the file. */
void picture_bytes(const char *folder, const char *name, const void *bytes, size_t size);

#endif
