/* The recipe's training augmentation: flip left to right, random resized crop. */
#ifndef CLN_SRC_AUGMENT_H
#define CLN_SRC_AUGMENT_H

#include "../base/base.h"
#include "clnet/data.h"

/* What is done to one sample in one epoch; box = top, left, height, width within the flipped image. */
typedef struct cln__augmentation {
    bool flip;
    int box[4];
} cln__augmentation;

/* Depends on the arguments alone: any sample can be drawn at any time, by any thread. */
cln__augmentation cln__augment_draw(uint64_t seed, int64_t epoch, int64_t sample, int height, int width);

/* cln_augment_crop_flip without its checks. */
void cln__augment_apply(const uint8_t *image, int channels, int height, int width, bool flip, const int box[4],
                        uint8_t *out);

#endif
