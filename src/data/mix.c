/* Mixup and CutMix: one lambda and one permutation for a batch, from (seed, epoch, batch). */
#include "augment.h"

#include <math.h>
#include <string.h>

bool cln__mixes(const cln_augmentation *a) {
    return a->mixup > 0 || a->cutmix > 0;
}

/* --- what is drawn --- */

/* The words of a batch, one after another: the batch below 2^40 and the block of words above it are the counter. */
typedef struct words {
    uint64_t key, epoch, batch, used;
    cln__random block;
} words;

static uint32_t next(words *w) {
    if (w->used % 4 == 0)
        w->block = cln__philox(w->key, w->epoch, w->batch | w->used / 4 << 40);
    return w->block.word[w->used++ % 4];
}

/* Uniform in (0, 1). */
static double uniform(words *w) {
    return ((double)next(w) + 0.5) * 0x1p-32;
}

/* Box and Muller's. */
static double normal(words *w) {
    const double two_pi = 6.283185307179586;
    double radius = sqrt(-2 * log(uniform(w)));
    return radius * cos(two_pi * uniform(w));
}

/* The logarithm of a number of the gamma distribution, by Marsaglia and Tsang, "A simple method for generating gamma
 * variables" (2000); with a small alpha the number itself would vanish. */
static double log_gamma_number(double alpha, words *w) {
    double d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = normal(w), t = 1 + c * x, v = t * t * t;
        if (v > 0 && log(uniform(w)) < 0.5 * x * x + d - d * v + d * log(v))
            return log(d * v) + (alpha < 1 ? log(uniform(w)) / alpha : 0);
    }
}

/* Of Beta(alpha, alpha). */
static double beta_number(double alpha, words *w) {
    double a = log_gamma_number(alpha, w), b = log_gamma_number(alpha, w);
    return 1 / (1 + exp(b - a));
}

/* As torchvision's CutMix: a box of 1 - lambda of the image around any pixel, cut at the edges. */
static void draw_box(words *w, double lambda, int height, int width, int box[4]) {
    double half = 0.5 * sqrt(1 - lambda);
    int y = cln__below(height, next(w)), up = (int)(half * height);
    int x = cln__below(width, next(w)), left = (int)(half * width);
    box[0] = y > up ? y - up : 0;
    box[1] = x > left ? x - left : 0;
    box[2] = (y + up < height ? y + up : height) - box[0];
    box[3] = (x + left < width ? x + left : width) - box[1];
}

cln__mix cln__mix_draw(const cln_augmentation *a, uint64_t seed, int64_t epoch, int64_t batch, int height, int width,
                       int64_t count, int32_t *partner) {
    words w = {cln__stream_key(seed, CLN__STREAM_MIX), (uint64_t)epoch, (uint64_t)batch, 0, {{0}}};
    cln__mix mix = {.cuts = a->cutmix > 0 && (!(a->mixup > 0) || next(&w) >> 31)};
    mix.lambda = beta_number(mix.cuts ? a->cutmix : a->mixup, &w);
    if (mix.cuts) {
        draw_box(&w, mix.lambda, height, width, mix.box);
        mix.lambda = 1 - (double)mix.box[2] * mix.box[3] / ((double)height * width);
    }
    for (int32_t i = 0; i < count; i++) { /* from the inside out, after Fisher and Yates */
        int j = cln__below(i + 1, next(&w));
        partner[i] = partner[j];
        partner[j] = i;
    }
    return mix;
}

/* --- and done --- */

static void blend(double lambda, size_t count, float *row, const float *other) {
    const float keep = (float)lambda, add = (float)(1 - lambda);
    for (size_t i = 0; i < count; i++)
        row[i] = keep * row[i] + add * other[i];
}

static void paste(const int box[4], int channels, int height, int width, float *row, const float *other) {
    for (int c = 0; c < channels; c++)
        for (int y = box[0]; y < box[0] + box[2]; y++) {
            size_t at = ((size_t)c * (size_t)height + (size_t)y) * (size_t)width + (size_t)box[1];
            memcpy(row + at, other + at, (size_t)box[3] * sizeof *row);
        }
}

static void mix_row(const cln__mix *mix, int channels, int height, int width, float *row, const float *other) {
    if (mix->cuts)
        paste(mix->box, channels, height, width, row, other);
    else
        blend(mix->lambda, (size_t)channels * (size_t)height * (size_t)width, row, other);
}

/* Along each cycle of the permutation a row is mixed before its partner is, which it needs as it was; so is the first
 * row by the last, and it is kept aside. */
void cln__mix_images(const cln__mix *mix, int64_t count, int channels, int height, int width, int32_t *partner,
                     float *images, float *aside) {
    const int32_t done = -1;
    size_t size = (size_t)channels * (size_t)height * (size_t)width;
    for (int32_t first = 0; first < count; first++) {
        if (partner[first] == done)
            continue;
        memcpy(aside, images + (size_t)first * size, size * sizeof *aside);
        for (int32_t i = first, other; partner[i] != done; i = other) {
            other = partner[i];
            partner[i] = done;
            mix_row(mix, channels, height, width, images + (size_t)i * size,
                    other == first ? aside : images + (size_t)other * size);
        }
    }
}

float cln__mix_labels(const cln__mix *mix, int64_t count, const int32_t *partner, int32_t *labels, int32_t *others) {
    bool swap = mix->lambda < 0.5;
    for (int64_t i = 0; i < count; i++)
        others[i] = labels[partner[i]];
    for (int64_t i = 0; swap && i < count; i++) {
        int32_t label = labels[i];
        labels[i] = others[i];
        others[i] = label;
    }
    return (float)(swap ? 1 - mix->lambda : mix->lambda);
}
