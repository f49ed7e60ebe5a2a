/* Measuring the training images, normalised: see measure.h. */
#include "measure.h"

#include <math.h>

static const double far_mean = 0.5, low_deviation = 0.5, high_deviation = 2;

typedef struct sums {
    double value[CLN_MAX_IMAGE_CHANNELS], square[CLN_MAX_IMAGE_CHANNELS], count; /* count: pixels of each channel */
} sums;

static void add_batch(const cln_batch *batch, int channels, int64_t plane, sums *s) {
    const float *x = batch->images;
    for (int64_t i = 0; i < batch->count * channels; i++) {
        double value = 0, square = 0;
        for (int64_t k = 0; k < plane; k++, x++) {
            value += (double)*x;
            square += (double)*x * (double)*x;
        }
        s->value[i % channels] += value;
        s->square[i % channels] += square;
    }
    s->count += (double)(batch->count * plane);
}

static cln_status add_all(cln_loader *loader, int channels, int64_t plane, sums *s) {
    const cln_batch *batch;
    CLN_TRY(cln_loader_start(loader, 0, 0));
    for (;;) {
        CLN_TRY(cln_loader_next(loader, &batch));
        if (!batch)
            return CLN_OK;
        add_batch(batch, channels, plane, s);
    }
}

static void warn_if_far(cln_context *ctx, int channel, double mean, double deviation) {
    if (fabs(mean) > far_mean || deviation < low_deviation || deviation > high_deviation)
        cln__warn(ctx,
                  "normalisation: channel %d of the training images comes out with mean %.2f and deviation %.2f, which "
                  "should be near 0 and 1",
                  channel, mean, deviation);
}

cln_status cln__measure_batches(cln__trainer *t) {
    const cln_dataset *d = t->train;
    cln_loader_options options = {.batch_size = t->options->recipe.batch_size,
                                  .workers = t->options->workers,
                                  .normalization = t->event.normalization};
    cln_loader *loader;
    sums s = {.count = 0};
    CLN_TRY(cln_loader_new(t->ctx, d, t->division.train, t->division.train_count, &options, &loader));
    cln_status status = add_all(loader, d->channels, (int64_t)d->height * d->width, &s);
    cln_loader_free(loader);
    CLN_TRY(status);
    for (int c = 0; c < d->channels; c++) {
        double mean = s.value[c] / s.count, deviation = sqrt(fmax(0, s.square[c] / s.count - mean * mean));
        t->event.batch_mean[c] = (float)mean;
        t->event.batch_deviation[c] = (float)deviation;
        warn_if_far(t->ctx, c, mean, deviation);
    }
    return CLN_OK;
}
