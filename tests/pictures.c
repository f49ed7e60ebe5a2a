/* Image files for tests, by stb_image_write: see pictures.h. */
#include "pictures.h"
#include "files.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>

/* What is being written. */
typedef struct buffer {
    uint8_t *bytes;
    size_t size;
} buffer;

static void add(void *context, void *data, int size) {
    buffer *b = context;
    b->bytes = realloc(b->bytes, b->size + (size_t)size);
    ck_assert_ptr_nonnull(b->bytes);
    memcpy(b->bytes + b->size, data, (size_t)size);
    b->size += (size_t)size;
}

static void add_hdr(buffer *b, int width, int height, int components, const uint8_t *pixels) {
    size_t count = (size_t)width * (size_t)height * (size_t)components;
    float *values = malloc(count * sizeof *values);
    ck_assert_ptr_nonnull(values);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)pixels[i] / 255;
    stbi_write_hdr_to_func(add, b, width, height, components, values);
    free(values);
}

static void add_pnm(buffer *b, int width, int height, int components, const uint8_t *pixels) {
    char head[64];
    add(b, head, snprintf(head, sizeof head, "P%d\n%d %d\n255\n", components == 1 ? 5 : 6, width, height));
    add(b, (void *)pixels, width * height * components);
}

void picture_bytes(const char *folder, const char *name, const void *bytes, size_t size) {
    char *path = path_of(folder, name);
    for (char *slash = path + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    free(path);
    file_write(folder, name, bytes, size);
}

void picture_write(const char *folder, const char *name, int width, int height, int components, const uint8_t *pixels) {
    buffer b = {.bytes = NULL};
    const char *format = strrchr(name, '.') + 1;
    if (strcmp(format, "png") == 0)
        stbi_write_png_to_func(add, &b, width, height, components, pixels, width * components);
    else if (strcmp(format, "jpg") == 0)
        stbi_write_jpg_to_func(add, &b, width, height, components, pixels, 100);
    else if (strcmp(format, "bmp") == 0)
        stbi_write_bmp_to_func(add, &b, width, height, components, pixels);
    else if (strcmp(format, "tga") == 0)
        stbi_write_tga_to_func(add, &b, width, height, components, pixels);
    else if (strcmp(format, "hdr") == 0)
        add_hdr(&b, width, height, components, pixels);
    else
        add_pnm(&b, width, height, components, pixels);
    ck_assert_uint_gt(b.size, 0);
    picture_bytes(folder, name, b.bytes, b.size);
    free(b.bytes);
}

void picture_flat(const char *folder, const char *name, int width, int height, int components, int level) {
    size_t count = (size_t)width * (size_t)height * (size_t)components;
    uint8_t *pixels = malloc(count);
    ck_assert_ptr_nonnull(pixels);
    memset(pixels, level, count);
    picture_write(folder, name, width, height, components, pixels);
    free(pixels);
}
