/* Flips and crops of 8-bit images, as torchvision does them on PIL images.
 *
 * Resizing is two one-dimensional passes, columns first, each rounding to whole grey levels. The crop is never larger
 * than the image that it is resized to, so that each pixel of a pass is a blend of two neighbours:
 *
 *   position = (x + 1/2) * crop / size - 1/2,  between floor(position) and the next, clamped to the crop's edges
 *
 * in fixed point with 22 bits of fraction, PIL's own precision, which makes the results the same to the bit. */
#include "augment.h"

#include <math.h>
#include <string.h>

enum { FRACTION_BITS = 22, COARSE_BITS = 8, RUN = 128, ROWS = 8 };

/* Two source pixels and the weight of the second; the weights' sum is 1 << FRACTION_BITS. */
typedef struct blend {
    int first, second;
    uint32_t weight;
} blend;

static blend blend_at(int x, int crop, int size) {
    double position = (x + 0.5) * crop / size - 0.5, below = floor(position);
    int first = (int)below;
    return (blend){
        .first = first < 0 ? 0 : first,
        .second = first + 1 < crop ? first + 1 : crop - 1,
        .weight = (uint32_t)((position - below) * (1 << FRACTION_BITS) + 0.5),
    };
}

/* The weights of up to RUN neighbouring pixels. A position is a whole number of 1 / (2 * size), so where size is a
 * power of two up to 128 the weights have no more than COARSE_BITS of fraction: a product then fits 16 bits, which is
 * twice as fast, and its result is the same to the bit. */
typedef struct weights {
    uint32_t fine[RUN];
    uint16_t coarse[RUN];
    bool is_coarse;
} weights;

static void set_weight(weights *w, int i, uint32_t weight) {
    w->fine[i] = weight;
    w->coarse[i] = (uint16_t)(weight >> (FRACTION_BITS - COARSE_BITS));
    w->is_coarse = w->is_coarse && weight % (1u << (FRACTION_BITS - COARSE_BITS)) == 0;
}

/* out = a + (b - a) * weight, rounded. From one pixel to the next are `stride` bytes and `step` weights. By way of
 * memory that nothing else refers to, so that the compiler can use vectors. */
static inline void mix(const uint8_t *a, const uint8_t *b, int stride, const weights *w, int step, int count,
                       uint8_t *out) {
    uint8_t mixed[RUN];
    if (w->is_coarse)
        for (int i = 0; i < count; i++) {
            int first = a[i * stride], second = b[i * stride], weight = w->coarse[i * step];
            uint16_t sum = (uint16_t)((first << COARSE_BITS) + (second - first) * weight + (1 << (COARSE_BITS - 1)));
            mixed[i] = (uint8_t)(sum >> COARSE_BITS);
        }
    else
        for (int i = 0; i < count; i++) { /* modulo 2^32, differences too */
            uint32_t first = a[i * stride], second = b[i * stride], weight = w->fine[i * step];
            uint32_t sum = (first << FRACTION_BITS) + (second - first) * weight + (1u << (FRACTION_BITS - 1));
            mixed[i] = (uint8_t)(sum >> FRACTION_BITS);
        }
    memcpy(out, mixed, (size_t)count);
}

/* Columns x to x + count - 1 of a crop that is narrower than the image: each is a blend of the image's columns `left`
 * and the next, the weight being that of the right one. */
typedef struct columns {
    int x, count, left[RUN];
    weights weights;
} columns;

static void set_columns(columns *s, int x, int width, bool flip, const int box[4]) {
    const uint32_t one = 1u << FRACTION_BITS;
    s->x = x;
    s->count = width - x < RUN ? width - x : RUN;
    s->weights.is_coarse = true;
    for (int i = 0; i < s->count; i++) {
        blend b = blend_at(x + i, box[3], width);
        int first = box[1] + b.first, second = box[1] + b.second;
        uint32_t weight = first == second ? 0 : b.weight;
        int left = flip ? width - 1 - second : first;
        weight = flip && first != second ? one - weight : weight;
        if (left == width - 1) { /* it has no right neighbour, and is its left one's */
            left--;
            weight = one;
        }
        s->left[i] = left;
        set_weight(&s->weights, i, weight);
    }
}

/* Into the last box[2] rows of the plane `out`. What is gathered of some rows is read when the processor is done
 * writing it. */
static void resize_columns(const columns *s, const uint8_t *plane, int height, int width, const int box[4],
                           uint8_t *out) {
    uint8_t pairs[ROWS][2 * RUN];
    plane += (size_t)box[0] * (size_t)width;
    out += (size_t)(height - box[2]) * (size_t)width + (size_t)s->x;
    for (int y = 0; y < box[2]; y += ROWS) {
        int rows = box[2] - y < ROWS ? box[2] - y : ROWS;
        for (int r = 0; r < rows; r++, plane += width)
            for (int i = 0; i < s->count; i++)
                memcpy(pairs[r] + 2 * i, plane + s->left[i], 2);
        for (int r = 0; r < rows; r++, out += width)
            mix(pairs[r], pairs[r] + 1, 2, &s->weights, 1, s->count, out);
    }
}

/* The same where all columns are taken as they are. */
static void copy_columns(const uint8_t *plane, int height, int width, bool flip, const int box[4], uint8_t *out) {
    plane += (size_t)box[0] * (size_t)width;
    out += (size_t)(height - box[2]) * (size_t)width;
    if (!flip)
        memcpy(out, plane, (size_t)box[2] * (size_t)width);
    for (int y = 0; flip && y < box[2]; y++, plane += width, out += width)
        for (int x = 0; x < width; x++)
            out[x] = plane[width - 1 - x];
}

/* Resizes the last `crop` rows of each plane to all of it, in place. Going down, row y overwrites row y - (height -
 * crop) of the crop, which no row below y reads: their first source row (y + 3/2) * crop / height - 1/2 lies beyond. */
static void resize_rows(uint8_t *planes, int channels, int crop, int height, int width) {
    for (int y = 0; y < height; y++) {
        weights w;
        blend b = blend_at(y, crop, height);
        w.is_coarse = true;
        set_weight(&w, 0, b.weight);
        for (int c = 0; c < channels; c++) {
            uint8_t *plane = planes + (size_t)c * (size_t)height * (size_t)width;
            const uint8_t *first = plane + (size_t)(height - crop + b.first) * (size_t)width;
            const uint8_t *second = plane + (size_t)(height - crop + b.second) * (size_t)width;
            uint8_t *out = plane + (size_t)y * (size_t)width;
            for (int x = 0; x < width; x += RUN)
                mix(first + x, second + x, 1, &w, 0, width - x < RUN ? width - x : RUN, out + x);
        }
    }
}

void cln__crop_resize(const uint8_t *image, int channels, int height, int width, bool flip, const int box[4],
                      uint8_t *out) {
    size_t plane = (size_t)height * (size_t)width;
    for (int c = 0; c < channels && box[3] == width; c++)
        copy_columns(image + (size_t)c * plane, height, width, flip, box, out + (size_t)c * plane);
    for (int x = 0; x < width && box[3] < width; x += RUN) {
        columns s;
        set_columns(&s, x, width, flip, box);
        for (int c = 0; c < channels; c++)
            resize_columns(&s, image + (size_t)c * plane, height, width, box, out + (size_t)c * plane);
    }
    if (box[2] < height)
        resize_rows(out, channels, box[2], height, width);
}

cln_status cln_augment_crop_flip(cln_context *ctx, const uint8_t *image, int channels, int height, int width, bool flip,
                                 const int box[4], uint8_t *out) {
    if (channels < 1 || height < 1 || width < 1)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "augmentation: an image of %d channels, %dx%d", channels, height,
                         width);
    if (box[0] < 0 || box[1] < 0 || box[2] < 1 || box[3] < 1 || box[2] > height - box[0] || box[3] > width - box[1])
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "augmentation: the crop of %dx%d at row %d, column %d is not within the image of %dx%d",
                         box[2], box[3], box[0], box[1], height, width);
    cln__crop_resize(image, channels, height, width, flip, box, out);
    return CLN_OK;
}

/* --- the padded crop --- */

/* Where the pixel at `at` comes from; -1: nowhere. */
static int source(int at, int size, cln_padding mode) {
    if (at >= 0 && at < size)
        return at;
    return mode == CLN_PAD_CONSTANT ? -1 : at < 0 ? -at : 2 * size - 2 - at;
}

/* Columns `first` to `end` - 1 of those from `shift` on of the flipped row. */
static void pad_row(const uint8_t *row, int width, bool flip, int shift, cln_padding mode, int first, int end,
                    uint8_t *out) {
    for (int x = first; x < end; x++) {
        int from = source(x + shift, width, mode);
        out[x] = from < 0 ? 0 : row[flip ? width - 1 - from : from];
    }
}

/* All of them; those in the middle are within it. */
static void shift_row(const uint8_t *restrict row, int width, bool flip, int shift, cln_padding mode,
                      uint8_t *restrict out) {
    int first = shift < 0 ? -shift : 0, end = shift > 0 ? width - shift : width;
    pad_row(row, width, flip, shift, mode, 0, first, out);
    for (int x = first; flip && x < end; x++)
        out[x] = row[width - 1 - shift - x];
    if (!flip)
        memcpy(out + first, row + first + shift, (size_t)(end - first));
    pad_row(row, width, flip, shift, mode, end, width, out);
}

void cln__crop_shift(const uint8_t *image, int channels, int height, int width, bool flip, const int shift[2],
                     cln_padding mode, uint8_t *out) {
    size_t row = (size_t)width, plane = (size_t)height * row;
    for (int c = 0; c < channels; c++, image += plane)
        for (int y = 0; y < height; y++, out += row) {
            int from = source(y + shift[0], height, mode);
            if (from < 0)
                memset(out, 0, row);
            else
                shift_row(image + (size_t)from * row, width, flip, shift[1], mode, out);
        }
}
