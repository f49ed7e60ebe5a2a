/* Flip and random resized crop on 8-bit images, as torchvision does them on PIL images.
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

enum { FRACTION_BITS = 22, TRIES = 10 };

static const double min_area = 0.8, max_area = 1.0, min_ratio = 0.9, max_ratio = 1.1;

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

static uint8_t mix(uint8_t a, uint8_t b, uint32_t weight) {
    const uint32_t one = 1u << FRACTION_BITS;
    return (uint8_t)((a * (one - weight) + b * weight + one / 2) >> FRACTION_BITS);
}

/* Resizes the crop's rows to the full width, into the last box[2] rows of the plane `out`. */
static void resize_columns(const uint8_t *plane, int height, int width, bool flip, const int box[4], int x,
                           uint8_t *out) {
    blend b = blend_at(x, box[3], width);
    int first = box[1] + b.first, second = box[1] + b.second;
    if (flip) {
        first = width - 1 - first;
        second = width - 1 - second;
    }
    plane += (size_t)box[0] * (size_t)width;
    out += (size_t)(height - box[2]) * (size_t)width + (size_t)x;
    for (int y = 0; y < box[2]; y++, plane += width, out += width)
        *out = mix(plane[first], plane[second], b.weight);
}

/* Resizes the last `crop` rows of the plane to all of it, in place. Going down, row y overwrites row y - (height -
 * crop) of the crop, which no row below y reads: their first source row (y + 3/2) * crop / height - 1/2 lies beyond. */
static void resize_rows(uint8_t *plane, int crop, int height, int width) {
    const uint8_t *rows = plane + (size_t)(height - crop) * (size_t)width;
    for (int y = 0; y < height; y++) {
        blend b = blend_at(y, crop, height);
        const uint8_t *first = rows + (size_t)b.first * (size_t)width,
                      *second = rows + (size_t)b.second * (size_t)width;
        uint8_t *out = plane + (size_t)y * (size_t)width;
        for (int x = 0; x < width; x++)
            out[x] = mix(first[x], second[x], b.weight);
    }
}

void cln__augment_apply(const uint8_t *image, int channels, int height, int width, bool flip, const int box[4],
                        uint8_t *out) {
    size_t plane = (size_t)height * (size_t)width;
    for (int x = 0; x < width; x++)
        for (int c = 0; c < channels; c++)
            resize_columns(image + (size_t)c * plane, height, width, flip, box, x, out + (size_t)c * plane);
    for (int c = 0; c < channels; c++)
        resize_rows(out + (size_t)c * plane, box[2], height, width);
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
    cln__augment_apply(image, channels, height, width, flip, box, out);
    return CLN_OK;
}

/* Uniform in [low, high). */
static double between(double low, double high, uint32_t word) {
    return low + (high - low) * (double)cln__uniform(word);
}

/* Uniform in 0..count-1. */
static int below(int count, uint32_t word) {
    return (int)((uint64_t)word * (uint64_t)count >> 32);
}

/* Where no try fits: the largest central crop whose aspect ratio is allowed; of a square image all. */
static void fall_back(int height, int width, int box[4]) {
    double ratio = (double)width / height;
    box[2] = ratio < min_ratio ? (int)rint(width / min_ratio) : height;
    box[3] = ratio > max_ratio ? (int)rint(height * max_ratio) : width;
    box[0] = (height - box[2]) / 2;
    box[1] = (width - box[3]) / 2;
}

cln__augmentation cln__augment_draw(uint64_t seed, int64_t epoch, int64_t sample, int height, int width) {
    uint64_t key = cln__stream_key(seed, CLN__STREAM_AUGMENT);
    cln__augmentation result = {.flip = cln__philox(key, (uint64_t)epoch, (uint64_t)sample).word[0] >> 31 != 0};
    for (int try = 1; try <= TRIES; try++) {
        /* The counter's top byte tells the tries apart; no data set has 2^56 samples. */
        cln__random r = cln__philox(key, (uint64_t)epoch, (uint64_t)sample | (uint64_t)try << 56);
        double area = (double)height * width * between(min_area, max_area, r.word[0]);
        double ratio = exp(between(log(min_ratio), log(max_ratio), r.word[1]));
        double h = rint(sqrt(area / ratio)), w = rint(sqrt(area * ratio));
        if (h < 1 || h > height || w < 1 || w > width)
            continue;
        int *box = result.box;
        box[2] = (int)h;
        box[3] = (int)w;
        box[0] = below(height - box[2] + 1, r.word[2]);
        box[1] = below(width - box[3] + 1, r.word[3]);
        return result;
    }
    fall_back(height, width, result.box);
    return result;
}
