/* Decoding an image file by stb_image, which trusts its input further than we do: what it gets to see is bounded and
 * checked first, and a file that ends too early is noticed here. */
#include "image.h"

#include <stdlib.h>
#include <string.h>

#define STBI_NO_STDIO
#include <stb/stb_image.h>

enum {
    MAX_SIDE = 32768,
    MAX_PIXELS = 1 << 26,
    STB_BUFFER = 128, /* stb_image reads ahead by as much, and so comes up short at the end of any file */
    MAX_SYMBOLS = 256,
    HEADER_BYTES = 1 << 22, /* more than its state, its tables and the borders of a narrow image need */
    PIXEL_BYTES = 16,       /* four floats; or four times 16 bits, with room to grow by doubling */
};

/* --- checks before decoding --- */

/* Whether every table of a JPEG's Huffman segment has at most 256 symbols. The segment has `length` bytes from `p` on,
 * the file `left`: the last table may reach beyond the former, and stb_image takes what lies behind the latter as 0. */
static bool tables_fit(const uint8_t *p, size_t length, size_t left) {
    for (size_t at = 0; at < length;) {
        size_t symbols = 0;
        for (size_t i = 1; i <= 16 && at + i < left; i++)
            symbols += p[at + i];
        if (symbols > MAX_SYMBOLS)
            return false;
        at += 17 + symbols;
    }
    return true;
}

/* stb_image before 2.28 writes beyond its Huffman tables if a file gives them too many symbols. The segments are found
 * as it finds them: behind a segment, or in the coded data that follows some, comes the next 0xff with a code. */
static bool jpeg_is_safe(const uint8_t *p, size_t size) {
    for (size_t at = 0; at + 4 <= size;) {
        int code = p[at] == 0xff ? p[at + 1] : 0;
        if (code == 0xd9) /* the end of the image */
            return true;
        if (code == 0 || code == 0xff || (code >= 0xd0 && code <= 0xd8)) { /* not a segment */
            at++;
            continue;
        }
        size_t length = (size_t)p[at + 2] << 8 | p[at + 3], left = size - at - 4;
        length = length > 2 ? length - 2 : 0; /* it counts itself */
        if (code == 0xc4 && !tables_fit(p + at + 4, length, left))
            return false;
        at += 4 + (length < left ? length : left);
    }
    return true;
}

cln_status cln__image_examine(cln_context *ctx, const char *path, const uint8_t *bytes, size_t size, cln__image *out) {
    int width, height, components;
    cln__stb_limit(HEADER_BYTES);
    if (size > INT32_MAX || !stbi_info_from_memory(bytes, (int)size, &width, &height, &components))
        return cln__fail(ctx, CLN_INVALID_FILE, "'%s' is not an image that can be read (%s)", path,
                         size > INT32_MAX ? "too large" : stbi_failure_reason());
    if (width < 1 || width > MAX_SIDE || height < 1 || height > MAX_SIDE || width > MAX_PIXELS / height)
        return cln__fail(ctx, CLN_INVALID_FILE,
                         "image '%s' is %dx%d (height x width), expected sides of 1 to %d and at most %d pixels", path,
                         height, width, MAX_SIDE, MAX_PIXELS);
    if (bytes[0] == 0xff && !jpeg_is_safe(bytes, size))
        return cln__fail(ctx, CLN_INVALID_FILE, "image '%s' is damaged: a Huffman table of more than %d symbols", path,
                         MAX_SYMBOLS);
    if (bytes[0] == 'P' && stbi_is_16_bit_from_memory(bytes, (int)size)) /* which stb_image takes for little-endian */
        return cln__fail(ctx, CLN_UNSUPPORTED, "image '%s' is PNM of 16 bits, which cannot be read; 8 bits can", path);
    *out = (cln__image){.channels = components > 2 ? 3 : 1, .height = height, .width = width};
    return CLN_OK;
}

/* --- what stb_image reads from --- */

typedef struct source {
    const uint8_t *bytes;
    size_t size, at;
    bool endless; /* goes on after the end */
    bool ended;   /* more was asked for than there is */
} source;

static int source_read(void *user, char *data, int size) {
    source *s = user;
    size_t wanted = (size_t)size, left = s->size - s->at, count = left < wanted ? left : wanted;
    memcpy(data, s->bytes + s->at, count);
    memset(data + count, 0xff, wanted - count);
    s->at += count;
    s->ended = s->ended || count == 0 || (count < wanted && wanted != STB_BUFFER);
    return count == 0 && s->endless ? size : (int)count;
}

static void source_skip(void *user, int count) {
    source *s = user;
    size_t left = s->size - s->at;
    s->at += count < 0 ? 0 : (size_t)count < left ? (size_t)count : left;
}

static int source_eof(void *user) {
    const source *s = user;
    return s->at == s->size;
}

/* --- decoding --- */

/* The luminance by which PIL turns colours to grey. */
static uint8_t grey_of(const uint8_t *rgb) {
    return (uint8_t)((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 0x8000u) >> 16);
}

/* From pixel after pixel of 1 to 4 components, 2 and 4 with transparency as the last, to planes of 1 or 3 channels. */
static void separate(const uint8_t *pixels, int components, size_t count, int channels, uint8_t *planes) {
    bool grey = components < 3;
    for (int c = 0; c < channels; c++, planes += count) {
        const uint8_t *pixel = pixels + (grey ? 0 : c);
        for (size_t i = 0; i < count; i++, pixel += components)
            planes[i] = !grey && channels == 1 ? grey_of(pixel) : *pixel;
    }
}

cln_status cln__image_separate(cln_context *ctx, const cln_image *from, int channels, cln__image *out) {
    size_t count = (size_t)from->height * (size_t)from->width;
    *out = (cln__image){.channels = channels, .height = from->height, .width = from->width};
    out->planes = malloc(count * (size_t)channels);
    if (!out->planes)
        return cln__fail_memory(ctx, "an image");
    separate(from->pixels, from->components, count, channels, out->planes);
    return CLN_OK;
}

static bool begins_with(const uint8_t *bytes, size_t size, const char *mark) {
    size_t length = strlen(mark);
    return size >= length && memcmp(bytes, mark, length) == 0;
}

cln_status cln__image_pixels(cln_context *ctx, const char *path, const uint8_t *bytes, size_t size,
                             const cln__image *image, uint8_t **out, int *components) {
    static const stbi_io_callbacks calls = {source_read, source_skip, source_eof};
    /* Around faults of version 2.27: its reader of HDR waits for ever for the rest of a run if it finds the end of the
     * file, and after failing to read PIC it goes on, unless there is nothing to convert from PIC's four components. */
    bool hdr = begins_with(bytes, size, "#?"), pic = begins_with(bytes, size, "\x53\x80\xf6\x34");
    source s = {.bytes = bytes, .size = size, .endless = hdr};
    int width = 0, height = 0;
    *components = 0;
    cln__stb_limit(HEADER_BYTES + 2 * size + PIXEL_BYTES * ((size_t)image->height * (size_t)image->width));
    *out = stbi_load_from_callbacks(&calls, &s, &width, &height, components, pic ? 4 : 0);
    if (pic)
        *components = 4;
    if (*out && !s.ended && width == image->width && height == image->height && *components >= 1 && *components <= 4)
        return CLN_OK;
    const char *reason = s.ended ? "the file ends too early" : *out ? "its sizes differ" : stbi_failure_reason();
    if (!reason || !*reason) /* a GIF that ends before its first frame */
        reason = "it holds no picture";
    stbi_image_free(*out);
    *out = NULL;
    return cln__fail(ctx, CLN_INVALID_FILE, "image '%s' cannot be decoded (%s)", path, reason);
}

cln_status cln__image_decode(cln_context *ctx, const char *path, const uint8_t *bytes, size_t size, cln__image *image) {
    cln_image pixels = {.height = image->height, .width = image->width};
    CLN_TRY(cln__image_pixels(ctx, path, bytes, size, image, &pixels.pixels, &pixels.components));
    cln_status status = cln__image_separate(ctx, &pixels, image->channels, image);
    stbi_image_free(pixels.pixels);
    return status;
}
