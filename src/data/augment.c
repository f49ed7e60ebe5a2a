/* A sample's augmentation: what may be asked for, what is drawn, and the order in which it is done. */
#include "augment.h"

#include <math.h>
#include <string.h>

enum { TRIES = 10 };

static const cln_range erased_scale = {0.02, 0.33}, erased_ratio = {0.3, 3.3};

/* The top byte of a draw's counter tells the parts and their tries apart; no data set has 2^56 samples. */
enum part { FLIP = 0, RESIZED_CROP = 1, PADDED_CROP = 16, COLOURS = 17, COLOUR_ORDER = 18, CUTOUT = 19, ERASING = 32 };

cln_augmentation cln_augmentation_default(void) {
    return (cln_augmentation){.hflip = 0.5, .scale = {0.8, 1.0}, .ratio = {0.9, 1.1}};
}

/* --- what may be asked for --- */

static cln_status check_number(cln_context *ctx, const char *name, double value, double max) {
    if (value >= 0 && value <= max)
        return CLN_OK;
    return cln__fail(ctx, CLN_INVALID_ARGUMENT, "augmentation: %s %g, expected 0 to %g", name, value, max);
}

static cln_status check_resized_crop(cln_context *ctx, const cln_augmentation *a) {
    if (a->scale.high == 0 && a->scale.low == 0)
        return CLN_OK;
    if (!(a->scale.low > 0 && a->scale.low <= a->scale.high && a->scale.high <= 1))
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "augmentation: resized crops of scale %g to %g, expected a lower and an upper bound above 0 "
                         "and at most 1",
                         a->scale.low, a->scale.high);
    if (!(a->ratio.low >= 1e-3 && a->ratio.low <= a->ratio.high && a->ratio.high <= 1e3))
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "augmentation: resized crops of ratio %g to %g, expected a lower and an upper bound from "
                         "0.001 to 1000",
                         a->ratio.low, a->ratio.high);
    return CLN_OK;
}

static cln_status check_padded_crop(cln_context *ctx, const cln_augmentation *a, int height, int width) {
    if (a->padding_mode != CLN_PAD_CONSTANT && a->padding_mode != CLN_PAD_REFLECT)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "augmentation: padding mode %d is not known", (int)a->padding_mode);
    if (a->crop_padding == 0 || (a->crop_padding > 0 && a->crop_padding < height && a->crop_padding < width))
        return CLN_OK;
    return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                     "augmentation: random crops with a padding of %d pixels; it must be less than the sides of the "
                     "images, which are %dx%d",
                     a->crop_padding, height, width);
}

static cln_status check_colours(cln_context *ctx, const cln_augmentation *a, int channels) {
    CLN_TRY(check_number(ctx, "brightness jitter", a->brightness, 1000));
    CLN_TRY(check_number(ctx, "contrast jitter", a->contrast, 1000));
    CLN_TRY(check_number(ctx, "saturation jitter", a->saturation, 1000));
    CLN_TRY(check_number(ctx, "hue jitter", a->hue, 0.5));
    bool any = a->brightness > 0 || a->contrast > 0 || a->saturation > 0 || a->hue > 0;
    if (any && channels != 1 && channels != 3)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "augmentation: colour jitter is for images of 1 or 3 channels, these have %d", channels);
    return CLN_OK;
}

cln_status cln__augmentation_check(cln_context *ctx, const cln_augmentation *a, int channels, int height, int width) {
    CLN_TRY(check_number(ctx, "probability of a flip", a->hflip, 1));
    CLN_TRY(check_resized_crop(ctx, a));
    CLN_TRY(check_padded_crop(ctx, a, height, width));
    CLN_TRY(check_colours(ctx, a, channels));
    CLN_TRY(check_number(ctx, "side of the cutout", a->cutout, 1 << 20));
    CLN_TRY(check_number(ctx, "probability of erasing", a->erasing, 1));
    CLN_TRY(check_number(ctx, "alpha of mixup", a->mixup, 1e6));
    return check_number(ctx, "alpha of CutMix", a->cutmix, 1e6);
}

/* --- what is drawn --- */

double cln__between(double low, double high, uint32_t word) {
    return low + (high - low) * (double)cln__uniform(word);
}

int cln__below(int count, uint32_t word) {
    return (int)((uint64_t)word * (uint64_t)count >> 32);
}

/* The numbers of a sample in an epoch. */
typedef struct numbers {
    uint64_t key, epoch, sample;
} numbers;

static cln__random draw(const numbers *n, unsigned part) {
    return cln__philox(n->key, n->epoch, n->sample | (uint64_t)part << 56);
}

/* Where no try fits: the largest central crop whose aspect ratio is allowed; of a square image mostly all. */
static void fall_back(const cln_range *ratio, int height, int width, int box[4]) {
    double whole = (double)width / height;
    box[2] = whole < ratio->low ? (int)fmax(1, rint(width / ratio->low)) : height;
    box[3] = whole > ratio->high ? (int)fmax(1, rint(height * ratio->high)) : width;
    box[0] = (height - box[2]) / 2;
    box[1] = (width - box[3]) / 2;
}

static void draw_resized_crop(const numbers *n, const cln_augmentation *a, int height, int width, int box[4]) {
    for (int try = 0; try < TRIES; try++) {
        cln__random r = draw(n, RESIZED_CROP + (unsigned)try);
        double area = (double)height * width * cln__between(a->scale.low, a->scale.high, r.word[0]);
        double ratio = exp(cln__between(log(a->ratio.low), log(a->ratio.high), r.word[1]));
        double h = rint(sqrt(area / ratio)), w = rint(sqrt(area * ratio));
        if (h < 1 || h > height || w < 1 || w > width)
            continue;
        box[2] = (int)h;
        box[3] = (int)w;
        box[0] = cln__below(height - box[2] + 1, r.word[2]);
        box[1] = cln__below(width - box[3] + 1, r.word[3]);
        return;
    }
    fall_back(&a->ratio, height, width, box);
}

static void draw_colours(const numbers *n, const cln_augmentation *a, cln__draw *d) {
    const double strength[] = {a->brightness, a->contrast, a->saturation};
    cln__random r = draw(n, COLOURS), order = draw(n, COLOUR_ORDER);
    for (int i = 0; i < CLN__HUE; i++)
        d->factor[i] = cln__between(fmax(0, 1 - strength[i]), 1 + strength[i], r.word[i]);
    d->factor[CLN__HUE] = cln__between(-a->hue, a->hue, r.word[CLN__HUE]);
    for (int i = 0; i < CLN__COLOURS; i++) { /* from the inside out, after Fisher and Yates */
        int j = cln__below(i + 1, order.word[i]);
        d->order[i] = d->order[j];
        d->order[j] = (cln__colour)i;
    }
}

static void draw_cutout(const numbers *n, int side, int height, int width, int box[4]) {
    cln__random r = draw(n, CUTOUT);
    int top = cln__below(height, r.word[0]) - side / 2, left = cln__below(width, r.word[1]) - side / 2;
    box[0] = top < 0 ? 0 : top;
    box[1] = left < 0 ? 0 : left;
    box[2] = (top + side < height ? top + side : height) - box[0];
    box[3] = (left + side < width ? left + side : width) - box[1];
}

/* As in the reference, a box that reaches from edge to edge is no box, and ten failures leave the image as it is. */
static void draw_erasing(const numbers *n, double probability, int height, int width, int box[4]) {
    if ((double)cln__uniform(draw(n, ERASING).word[0]) < 1 - probability)
        return;
    for (int try = 1; try <= TRIES; try++) {
        cln__random r = draw(n, ERASING + (unsigned)try);
        double area = (double)height * width * cln__between(erased_scale.low, erased_scale.high, r.word[0]);
        double ratio = exp(cln__between(log(erased_ratio.low), log(erased_ratio.high), r.word[1]));
        double h = rint(sqrt(area * ratio)), w = rint(sqrt(area / ratio));
        if (h < 1 || h >= height || w < 1 || w >= width)
            continue;
        box[2] = (int)h;
        box[3] = (int)w;
        box[0] = cln__below(height - box[2] + 1, r.word[2]);
        box[1] = cln__below(width - box[3] + 1, r.word[3]);
        return;
    }
}

static bool has_colours(const cln_augmentation *a) {
    return a->brightness > 0 || a->contrast > 0 || a->saturation > 0 || a->hue > 0;
}

cln__draw cln__augment_draw(const cln_augmentation *a, uint64_t seed, int64_t epoch, int64_t sample, int height,
                            int width) {
    numbers n = {cln__stream_key(seed, CLN__STREAM_AUGMENT), (uint64_t)epoch, (uint64_t)sample};
    cln__draw d = {.flip = false};
    if (a->hflip > 0)
        d.flip = (double)cln__uniform(draw(&n, FLIP).word[0]) >= 1 - a->hflip;
    if (a->scale.high > 0)
        draw_resized_crop(&n, a, height, width, d.box);
    if (a->crop_padding > 0) {
        cln__random r = draw(&n, PADDED_CROP);
        for (int i = 0; i < 2; i++)
            d.shift[i] = cln__below(2 * a->crop_padding + 1, r.word[i]) - a->crop_padding;
    }
    if (has_colours(a))
        draw_colours(&n, a, &d);
    if (a->cutout > 0)
        draw_cutout(&n, a->cutout, height, width, d.cutout);
    if (a->erasing > 0)
        draw_erasing(&n, a->erasing, height, width, d.erased);
    return d;
}

/* --- and done --- */

static void adjust_colours(const cln_augmentation *a, const cln__draw *d, int channels, size_t plane, uint8_t *image) {
    const double strength[] = {a->brightness, a->contrast, a->saturation, a->hue};
    for (int i = 0; i < CLN__COLOURS; i++)
        if (strength[d->order[i]] > 0)
            cln__colour_adjust(d->order[i], d->factor[d->order[i]], image, channels, plane);
}

const uint8_t *cln__augment_pixels(const cln_augmentation *a, const cln__draw *d, const uint8_t *image, int channels,
                                   int height, int width, uint8_t *scratch) {
    size_t plane = (size_t)height * (size_t)width;
    bool resizes = a->scale.high > 0, copies = a->crop_padding > 0 || (!resizes && (d->flip || has_colours(a)));
    if (!resizes && !copies)
        return image;
    uint8_t *out = scratch;
    if (resizes)
        cln__crop_resize(image, channels, height, width, d->flip, d->box, out);
    if (resizes && copies) {
        image = out;
        out += (size_t)channels * plane;
    }
    if (copies)
        cln__crop_shift(image, channels, height, width, d->flip && !resizes, d->shift, a->padding_mode, out);
    if (has_colours(a))
        adjust_colours(a, d, channels, plane, out);
    return out;
}

static void erase(const int box[4], int channels, int height, int width, float *image) {
    for (int c = 0; c < channels; c++, image += (size_t)height * (size_t)width)
        for (int y = box[0]; y < box[0] + box[2]; y++)
            memset(image + (size_t)y * (size_t)width + box[1], 0, (size_t)box[3] * sizeof *image);
}

void cln__augment_erase(const cln__draw *d, int channels, int height, int width, float *image) {
    erase(d->cutout, channels, height, width, image);
    erase(d->erased, channels, height, width, image);
}
