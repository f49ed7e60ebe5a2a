/* The parts of a cln_augmentation: what is drawn for a sample or a batch, and what that does to pixels. */
#ifndef CLN_SRC_AUGMENT_H
#define CLN_SRC_AUGMENT_H

#include "../base/base.h"
#include "clnet/data.h"

/* --- a sample (augment.c) --- */

typedef enum cln__colour { CLN__BRIGHTNESS, CLN__CONTRAST, CLN__SATURATION, CLN__HUE, CLN__COLOURS } cln__colour;

/* What is done to one sample in one epoch. Boxes are top, left, height, width; of height 0: none. */
typedef struct cln__draw {
    bool flip;
    int box[4];   /* of the resized crop, within the flipped image */
    int shift[2]; /* of the padded crop: its first row and column, from -crop_padding to crop_padding */
    cln__colour order[CLN__COLOURS];
    double factor[CLN__COLOURS]; /* by cln__colour */
    int cutout[4], erased[4];
} cln__draw;

/* CLN_INVALID_ARGUMENT unless images of that shape can be augmented so. */
cln_status cln__augmentation_check(cln_context *ctx, const cln_augmentation *a, int channels, int height, int width);

/* Depends on the arguments alone: any sample can be drawn at any time, by any thread. */
cln__draw cln__augment_draw(const cln_augmentation *a, uint64_t seed, int64_t epoch, int64_t sample, int height,
                            int width);

/* Flip, crops and colours. Returns the result: within `scratch`, room for two images, or `image` if nothing is done. */
const uint8_t *cln__augment_pixels(const cln_augmentation *a, const cln__draw *draw, const uint8_t *image, int channels,
                                   int height, int width, uint8_t *scratch);
/* Cutout and erasing, on the normalised image. */
void cln__augment_erase(const cln__draw *draw, int channels, int height, int width, float *image);

/* --- pixels (crop.c, colour.c) --- */

/* cln_augment_crop_flip without its checks. */
void cln__crop_resize(const uint8_t *image, int channels, int height, int width, bool flip, const int box[4],
                      uint8_t *out);
/* The image's size from row shift[0] and column shift[1] of the flipped image on. */
void cln__crop_shift(const uint8_t *image, int channels, int height, int width, bool flip, const int shift[2],
                     cln_padding mode, uint8_t *out);
/* torchvision's adjust_brightness, ... on an 8-bit image of 1 or 3 planes, in place. */
void cln__colour_adjust(cln__colour what, double factor, uint8_t *image, int channels, size_t plane);

/* --- a batch (mix.c) --- */

typedef struct cln__mix {
    bool cuts;     /* CutMix, else mixup */
    double lambda; /* how much a row keeps of itself */
    int box[4];    /* CutMix: what comes from the partner */
} cln__mix;

bool cln__mixes(const cln_augmentation *a);
/* Draws for the first `count` rows of a batch. Fills in `partner`, a permutation of them. */
cln__mix cln__mix_draw(const cln_augmentation *a, uint64_t seed, int64_t epoch, int64_t batch, int height, int width,
                       int64_t count, int32_t *partner);
/* Mixes `count` rows of [channels][height][width] with their partners, in place. Destroys `partner`; `aside` has room
 * for a row. */
void cln__mix_images(const cln__mix *mix, int64_t count, int channels, int height, int width, int32_t *partner,
                     float *images, float *aside);
/* The label that weighs more becomes the row's own, the lesser the other; returns the former's weight. */
float cln__mix_labels(const cln__mix *mix, int64_t count, const int32_t *partner, int32_t *labels, int32_t *others);

/* Uniform in [low, high); uniform in 0..count-1. */
double cln__between(double low, double high, uint32_t word);
int cln__below(int count, uint32_t word);

#endif
