/* Image files of every format that stb_image knows: what is examined and decoded must have the sizes it said. */
#include "../../src/data/image.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>

enum { MAX_PIXELS = 1 << 20, WIDTH = 19, HEIGHT = 13 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cln_context *ctx;
    cln__image image = {.planes = NULL};
    if (cln_context_new(&ctx) != CLN_OK)
        return 0;
    cln_status status = cln__image_examine(ctx, "image", data, size, &image);
    fuzz_check_status(ctx, status);
    /* Larger ones only take longer. */
    if (status == CLN_OK && (int64_t)image.height * image.width <= MAX_PIXELS) {
        image.channels = size % 2 ? image.channels : 4 - image.channels; /* 1 and 3 */
        status = cln__image_decode(ctx, "image", data, size, &image);
        fuzz_check_status(ctx, status);
        unsigned sum = 0;
        for (int64_t i = 0; status == CLN_OK && i < (int64_t)image.channels * image.height * image.width; i++)
            sum += image.planes[i];
        fuzz_use(sum);
    }
    free(image.planes);
    cln_context_free(ctx);
    return 0;
}

static void put(void *out, void *data, int size) {
    fuzz_put(out, data, (size_t)size);
}

static void put_written(fuzz_bytes *out, int format, const uint8_t *pixels, int components) {
    if (format == 0) {
        stbi_write_png_to_func(put, out, WIDTH, HEIGHT, components, pixels, WIDTH * components);
    } else if (format == 1) {
        stbi_write_jpg_to_func(put, out, WIDTH, HEIGHT, components, pixels, 80);
    } else if (format == 2) {
        stbi_write_bmp_to_func(put, out, WIDTH, HEIGHT, components, pixels);
    } else if (format == 3) {
        stbi_write_tga_to_func(put, out, WIDTH, HEIGHT, components, pixels);
    } else {
        float values[WIDTH * HEIGHT * 4];
        for (int i = 0; i < WIDTH * HEIGHT * components; i++)
            values[i] = (float)pixels[i] / 255;
        stbi_write_hdr_to_func(put, out, WIDTH, HEIGHT, components, values);
    }
}

/* What stb_image_write does not write. */
static bool put_by_hand(fuzz_bytes *out, int index) {
    static const uint8_t gif[] = "GIF89a\2\0\2\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\2\0\2\0\0\2\3D\2\5\0;";
    static const uint8_t psd[] =
        "8BPS\0\1\0\0\0\0\0\0\0\3\0\0\0\2\0\0\0\2\0\10\0\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0abcdefghijkl";
    if (index == 0)
        fuzz_text(out, "P6 2 2 255\nabcdefghijkl");
    else if (index == 1)
        fuzz_text(out, "P5 # a note\n3 2 255\nabcdef");
    else if (index == 2)
        fuzz_put(out, gif, sizeof gif - 1);
    else if (index == 3)
        fuzz_put(out, psd, sizeof psd - 1);
    else if (index == 4) { /* PIC */
        fuzz_text(out, "\x53\x80\xf6\x34");
        for (int i = 0; i < 84; i++)
            fuzz_big(out, 0, 1);
        fuzz_text(out, "PICT");
        fuzz_big(out, 0x0002000200000000, 8);
        fuzz_big(out, 0x00030000, 4);
        fuzz_big(out, 0x000800e0, 4);
        fuzz_text(out, "abcdefghijkl");
    } else
        return false;
    return true;
}

bool fuzz_seed(int index, fuzz_bytes *out) {
    enum { FORMATS = 5, WRITTEN = 3 * FORMATS };
    if (index >= WRITTEN)
        return put_by_hand(out, index - WRITTEN);
    static const int components[] = {1, 3, 4};
    uint8_t pixels[WIDTH * HEIGHT * 4];
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i < sizeof pixels / 2 ? i * 53 + i / 7 : 99);
    put_written(out, index % FORMATS, pixels, components[index / FORMATS]);
    return true;
}
