/* PNG in memory: one chunk of data, compressed by zlib, no filters. */
#include "../base/base.h"
#include "clnet/tensorboard.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MARK = 8, HEAD = 13, AROUND = 12 /* a chunk's length, name and checksum */ };

static void put(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Completes the chunk whose `size` bytes of content are at `at` + 8; returns what follows it. */
static uint8_t *end_chunk(uint8_t *at, const char *name, size_t size) {
    put(at, (uint32_t)size);
    memcpy(at + 4, name, 4);
    put(at + 8 + size, (uint32_t)crc32(0, at + 4, (uInt)(size + 4)));
    return at + size + AROUND;
}

static void put_head(uint8_t *at, int width, int height, int channels) {
    put(at, (uint32_t)width);
    put(at + 4, (uint32_t)height);
    at[8] = 8;                     /* bits */
    at[9] = channels == 3 ? 2 : 0; /* RGB or grey */
    at[10] = at[11] = at[12] = 0;  /* the only compression, the only kind of filters, not interlaced */
}

/* Each row begins with the number of its filter: none. */
static uint8_t *with_filters(const uint8_t *pixels, size_t rows, size_t row) {
    uint8_t *lines = calloc(rows, row + 1);
    for (size_t y = 0; lines && y < rows; y++)
        memcpy(lines + y * (row + 1) + 1, pixels + y * row, row);
    return lines;
}

cln_status cln_png_encode(cln_context *ctx, int width, int height, int channels, const uint8_t *pixels, uint8_t **png,
                          size_t *size) {
    static const uint8_t mark[MARK] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    *png = NULL;
    if (width < 1 || height < 1 || (channels != 1 && channels != 3) || width > (1 << 28) / height)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "a PNG of %dx%d (height x width) and %d channels: expected 1 or 3 channels and at most 2^28 "
                         "pixels",
                         height, width, channels);
    size_t row = (size_t)width * (size_t)channels, plain = (row + 1) * (size_t)height;
    uLong most = compressBound(plain);
    uint8_t *lines = with_filters(pixels, (size_t)height, row);
    *png = malloc(MARK + HEAD + most + 3 * AROUND);
    uint8_t *at = *png;
    if (lines && at) {
        memcpy(at, mark, MARK);
        put_head(at + MARK + 8, width, height, channels);
        at = end_chunk(at + MARK, "IHDR", HEAD);
        if (compress2(at + 8, &most, lines, plain, Z_BEST_COMPRESSION) == Z_OK) {
            at = end_chunk(at, "IDAT", most);
            at = end_chunk(at, "IEND", 0);
            *size = (size_t)(at - *png);
            free(lines);
            return CLN_OK;
        }
    }
    free(lines);
    free(*png);
    *png = NULL;
    return cln__fail_memory(ctx, "a PNG");
}
