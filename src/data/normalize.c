/* Mean and deviation of each channel: computed, published, or given. */
#include "../base/base.h"
#include "clnet/data.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of the 50,000 training images of CIFAR-10, divided by 255. */
static const cln_normalization cifar10_values = {
    .channels = 3,
    .mean = {0.49139968f, 0.48215841f, 0.44653091f},
    .deviation = {0.24703223f, 0.24348513f, 0.26158784f},
};

/* By a histogram, so that the sums are whole numbers and exact whatever the number of images. */
static void channel_statistics(const cln_dataset *dataset, int channel, double *mean, double *deviation) {
    uint64_t histogram[256] = {0};
    size_t plane = (size_t)dataset->height * (size_t)dataset->width, image = plane * (size_t)dataset->channels;
    for (int64_t i = 0; i < dataset->count; i++) {
        const uint8_t *pixels = dataset->images + (size_t)i * image + (size_t)channel * plane;
        for (size_t p = 0; p < plane; p++)
            histogram[pixels[p]]++;
    }
    double count = (double)dataset->count * (double)plane, squares = 0;
    uint64_t sum = 0;
    for (unsigned v = 0; v < 256; v++)
        sum += v * histogram[v];
    double grey = (double)sum / count;
    for (unsigned v = 0; v < 256; v++)
        squares += (double)histogram[v] * (v - grey) * (v - grey);
    *mean = grey / 255;
    *deviation = sqrt(squares / count) / 255;
}

static cln_status compute(cln_context *ctx, const cln_dataset *train, cln_normalization *out) {
    if (!train || train->count < 1 || train->channels < 1 || train->channels > CLN_MAX_IMAGE_CHANNELS)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "normalisation: it cannot be computed without a training set of images of 1 to %d channels",
                         CLN_MAX_IMAGE_CHANNELS);
    out->channels = train->channels;
    for (int c = 0; c < train->channels; c++) {
        double mean, deviation;
        channel_statistics(train, c, &mean, &deviation);
        if (deviation <= 0)
            return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                             "normalisation: every pixel of channel %d of the training set is %g/255, which leaves no "
                             "deviation to divide by; give the values yourself",
                             c, mean * 255);
        out->mean[c] = (float)mean;
        out->deviation[c] = (float)deviation;
    }
    return CLN_OK;
}

/* Numbers with a comma between them up to `end`; returns how many, 0 if they are not well-formed. */
static int parse_list(const char *text, const char *end, float *values) {
    for (int count = 0; count < CLN_MAX_IMAGE_CHANNELS;) {
        char *after;
        float value = strtof(text, &after);
        if (after == text || after > end || isspace((unsigned char)*text) || !isfinite(value))
            return 0;
        values[count++] = value;
        if (after == end)
            return count;
        if (*after != ',')
            return 0;
        text = after + 1;
    }
    return 0;
}

static cln_status parse(cln_context *ctx, const char *option, cln_normalization *out) {
    const char *slash = strchr(option, '/');
    locale_t before = cln__point_begin();
    int means = slash ? parse_list(option, slash, out->mean) : 0;
    int deviations = slash ? parse_list(slash + 1, slash + 1 + strlen(slash + 1), out->deviation) : 0;
    cln__point_end(before);
    if (means == 0 || means != deviations)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "normalisation '%s': expected dataset, cifar10, or as many means as deviations, one for each "
                         "channel, as in 0.49,0.48,0.45/0.25,0.24,0.26",
                         option);
    out->channels = means;
    for (int c = 0; c < means; c++)
        if (!(out->deviation[c] > 0))
            return cln__fail(ctx, CLN_INVALID_ARGUMENT, "normalisation '%s': deviation %g is not above zero", option,
                             (double)out->deviation[c]);
    return CLN_OK;
}

cln_status cln_normalization_choose(cln_context *ctx, const char *option, const cln_dataset *train,
                                    cln_normalization *out) {
    memset(out, 0, sizeof *out);
    bool published = option ? strcmp(option, "cifar10") == 0 : train && strcmp(train->format, "cifar10") == 0;
    if (!published && (!option || strcmp(option, "dataset") == 0))
        return compute(ctx, train, out);
    if (published)
        *out = cifar10_values;
    else
        CLN_TRY(parse(ctx, option, out));
    if (train && train->channels != out->channels)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "normalisation '%s' is for %d channels, the images have %d",
                         option ? option : "cifar10", out->channels, train->channels);
    return CLN_OK;
}
