/* Batches from a data set, prepared ahead by worker threads.
 *
 * A ring of slots: batch b of the epoch is prepared in slot b % slots, by whichever worker comes next, and handed out
 * in order. What a batch holds depends on the options, the epoch and b alone, so that workers and their number do not
 * show. Everything is allocated and checked in advance: preparing a batch cannot fail. */
#include "augment.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WORKERS = 64 };

typedef struct slot {
    float *images;
    int32_t *labels;
    uint8_t *scratch; /* two images on their way through the augmentation */
    /* Of batches that are mixed, else NULL. */
    int32_t *others, *partner;
    float *weights, *aside; /* aside: an image */
    int64_t ready;          /* the batch it holds, or -1 */
} slot;

struct cln_loader {
    cln_context *ctx;
    const cln_dataset *dataset;
    cln_loader_options options;
    int64_t samples, batches;
    int64_t *indices, *order; /* as given; as shuffled for the epoch */
    size_t plane, image;      /* elements */
    float table[CLN_MAX_IMAGE_CHANNELS][256];
    slot *ring;
    int64_t slots;
    cln_batch batch; /* the one handed out */

    pthread_t thread[MAX_WORKERS];
    int threads;
    pthread_mutex_t mutex; /* guards what follows, the slots' `ready`, and the order while nobody is busy */
    pthread_cond_t work, done;
    int64_t epoch;
    int64_t prepare; /* the next batch that no worker has taken */
    int64_t hand;    /* the next batch to hand out */
    int64_t held;    /* the first batch whose slot is in use */
    int64_t end;     /* batches to prepare: 0 while stopped */
    int busy;        /* workers preparing a batch */
    bool quit, started;
};

static void fill_sample(const cln_loader *l, slot *s, int64_t row, int64_t sample) {
    const cln_dataset *d = l->dataset;
    const cln_augmentation *a = &l->options.augmentation;
    const cln__draw draw = cln__augment_draw(a, l->options.seed, l->epoch, sample, d->height, d->width);
    const uint8_t *pixels = cln__augment_pixels(a, &draw, d->images + (size_t)sample * l->image, d->channels, d->height,
                                                d->width, s->scratch);
    float *out = s->images + (size_t)row * l->image;
    for (int c = 0; c < d->channels; c++, pixels += l->plane, out += l->plane) {
        const float *table = l->table[c];
        for (size_t i = 0; i < l->plane; i++)
            out[i] = table[pixels[i]];
    }
    cln__augment_erase(&draw, d->channels, d->height, d->width, s->images + (size_t)row * l->image);
    s->labels[row] = d->labels[sample];
}

static void mix_batch(const cln_loader *l, slot *s, int64_t batch, int64_t rows) {
    const cln_dataset *d = l->dataset;
    cln__mix mix = cln__mix_draw(&l->options.augmentation, l->options.seed, l->epoch, batch, d->height, d->width, rows,
                                 s->partner);
    float weight = cln__mix_labels(&mix, rows, s->partner, s->labels, s->others);
    cln__mix_images(&mix, rows, d->channels, d->height, d->width, s->partner, s->images, s->aside);
    for (int64_t i = 0; i < l->options.batch_size; i++)
        s->weights[i] = weight;
    for (int64_t i = rows; i < l->options.batch_size; i++)
        s->others[i] = -1;
}

static int64_t rows_of(const cln_loader *l, int64_t batch) {
    int64_t left = l->samples - batch * l->options.batch_size;
    return left < l->options.batch_size ? left : l->options.batch_size;
}

static void fill_batch(const cln_loader *l, int64_t batch) {
    slot *s = &l->ring[batch % l->slots];
    int64_t rows = rows_of(l, batch), first = batch * l->options.batch_size;
    for (int64_t i = 0; i < rows; i++)
        fill_sample(l, s, i, l->order[first + i]);
    for (int64_t i = rows; i < l->options.batch_size; i++) {
        memset(s->images + (size_t)i * l->image, 0, l->image * sizeof *s->images);
        s->labels[i] = -1;
    }
    if (s->others)
        mix_batch(l, s, batch, rows);
}

/* Takes the next batch and prepares it; called and returns with the mutex held. */
static void prepare_next(cln_loader *l) {
    int64_t batch = l->prepare++;
    l->busy++;
    pthread_mutex_unlock(&l->mutex);
    fill_batch(l, batch);
    pthread_mutex_lock(&l->mutex);
    l->busy--;
    l->ring[batch % l->slots].ready = batch;
    pthread_cond_broadcast(&l->done);
}

static void *worker(void *argument) {
    cln_loader *l = argument;
    pthread_mutex_lock(&l->mutex);
    while (!l->quit)
        if (l->prepare < l->end && l->prepare < l->held + l->slots)
            prepare_next(l);
        else
            pthread_cond_wait(&l->work, &l->mutex);
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

/* Fisher and Yates' shuffle; one block of random words serves two elements, 64 bits each. */
static void shuffle(const cln_loader *l, int64_t epoch) {
    uint64_t key = cln__stream_key(l->options.seed, CLN__STREAM_SHUFFLE);
    cln__random r = {{0}};
    for (int64_t i = l->samples - 1; i > 0; i--) {
        int64_t draw = l->samples - 1 - i;
        if (draw % 2 == 0)
            r = cln__philox(key, (uint64_t)epoch, (uint64_t)draw / 2);
        const uint32_t *word = r.word + draw % 2 * 2;
        int64_t j = (int64_t)(((uint64_t)word[0] << 32 | word[1]) % (uint64_t)(i + 1));
        int64_t kept = l->order[i];
        l->order[i] = l->order[j];
        l->order[j] = kept;
    }
}

cln_status cln_loader_start(cln_loader *l, int64_t epoch, int64_t first) {
    if (epoch < 0 || first < 0 || first > l->batches)
        return cln__fail(l->ctx, CLN_INVALID_ARGUMENT,
                         "data loader: epoch %" PRId64 " from batch %" PRId64 ", but an epoch has %" PRId64 " batches",
                         epoch, first, l->batches);
    pthread_mutex_lock(&l->mutex);
    l->end = 0;
    while (l->busy > 0)
        pthread_cond_wait(&l->done, &l->mutex);
    memcpy(l->order, l->indices, (size_t)l->samples * sizeof *l->order);
    if (l->options.shuffle)
        shuffle(l, epoch);
    for (int64_t i = 0; i < l->slots; i++)
        l->ring[i].ready = -1;
    l->epoch = epoch;
    l->prepare = l->hand = l->held = first;
    l->end = l->batches;
    l->started = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->mutex);
    return CLN_OK;
}

cln_status cln_loader_next(cln_loader *l, const cln_batch **batch) {
    *batch = NULL;
    if (!l->started)
        return cln__fail(l->ctx, CLN_INVALID_ARGUMENT, "data loader: a batch is asked for before an epoch is started");
    if (l->hand >= l->batches)
        return CLN_OK;
    pthread_mutex_lock(&l->mutex);
    int64_t b = l->hand++;
    slot *s = &l->ring[b % l->slots];
    l->held = b;
    pthread_cond_signal(&l->work);
    if (l->threads == 0)
        prepare_next(l);
    while (s->ready != b)
        pthread_cond_wait(&l->done, &l->mutex);
    pthread_mutex_unlock(&l->mutex);
    l->batch = (cln_batch){rows_of(l, b), l->options.batch_size, b, s->images, s->labels, s->others, s->weights};
    *batch = &l->batch;
    return CLN_OK;
}

int64_t cln_loader_batches(const cln_loader *l) {
    return l->batches;
}

int64_t cln_loader_samples(const cln_loader *l) {
    return l->samples;
}

static cln_status check_options(cln_context *ctx, const cln_dataset *d, const cln_loader_options *options) {
    if (options->batch_size < 1)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "data loader: batch size %" PRId64 ", expected 1 or more",
                         options->batch_size);
    if (!(options->limit >= 0))
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "data loader: a limit of %g batches, expected a share above 0, or a number", options->limit);
    if (options->workers < 0 || options->workers > MAX_WORKERS)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "data loader: %d workers, expected 0 to %d", options->workers,
                         MAX_WORKERS);
    if (d->count < 1 || d->channels < 1 || d->channels > CLN_MAX_IMAGE_CHANNELS || d->height < 1 || d->width < 1)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "data loader: a data set of %" PRId64 " images of %d channels, %dx%d", d->count, d->channels,
                         d->height, d->width);
    const cln_normalization *n = &options->normalization;
    bool usable = n->channels == d->channels;
    for (int c = 0; usable && c < n->channels; c++)
        usable = n->deviation[c] > 0;
    if (!usable)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "data loader: the normalisation is for %d channels, the images have %d, and its deviations "
                         "must be above zero",
                         n->channels, d->channels);
    return cln__augmentation_check(ctx, &options->augmentation, d->channels, d->height, d->width);
}

/* Workers cannot report a bad sample: each is looked at before they start. */
static cln_status check_samples(cln_context *ctx, const cln_dataset *d, const int64_t *indices, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        if (indices[i] < 0 || indices[i] >= d->count)
            return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                             "data loader: sample %" PRId64 " is not among the %" PRId64 " of the data set", indices[i],
                             d->count);
        int32_t label = d->labels[indices[i]];
        if (label < 0 || label >= d->num_classes)
            return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                             "data loader: sample %" PRId64 " has label %d, expected 0 to %d", indices[i], (int)label,
                             d->num_classes - 1);
    }
    return CLN_OK;
}

/* As many of `batches` as loader options' limit says. */
static int64_t limited(double limit, int64_t batches) {
    double share = limit > 0 && limit < 1 ? floor(limit * (double)batches) : limit;
    share = limit > 0 && share < 1 ? 1 : share;
    return limit > 0 && share < (double)batches ? (int64_t)share : batches;
}

static cln_status make_order(cln_loader *l, const int64_t *indices, int64_t count) {
    l->samples = indices ? count : l->dataset->count;
    int64_t size = l->options.batch_size;
    if (l->samples > 0)
        l->batches = l->options.drop_last ? l->samples / size : (l->samples - 1) / size + 1;
    l->batches = limited(l->options.limit, l->batches);
    if (l->batches < 1)
        return cln__fail(l->ctx, CLN_INVALID_ARGUMENT,
                         "data loader: no batch of %" PRId64 " can be made of %" PRId64
                         " samples%s; choose a smaller batch size",
                         size, l->samples, l->options.drop_last ? " when a partial batch is dropped" : "");
    size_t bytes;
    if ((uint64_t)l->samples > SIZE_MAX || !cln__mul_size((size_t)l->samples, sizeof *l->order, &bytes))
        return cln__fail_memory(l->ctx, "the order of the samples");
    l->indices = malloc(bytes);
    l->order = malloc(bytes);
    if (!l->indices || !l->order)
        return cln__fail_memory(l->ctx, "the order of the samples");
    for (int64_t i = 0; i < l->samples; i++)
        l->indices[i] = indices ? indices[i] : i;
    return check_samples(l->ctx, l->dataset, l->indices, l->samples);
}

static bool make_mixing(slot *s, size_t size, size_t image) {
    s->others = malloc(size * sizeof *s->others);
    s->partner = malloc(size * sizeof *s->partner);
    s->weights = malloc(size * sizeof *s->weights);
    s->aside = malloc(image * sizeof *s->aside);
    return s->others && s->partner && s->weights && s->aside;
}

static cln_status make_ring(cln_loader *l) {
    size_t size = (size_t)l->options.batch_size, elements, bytes;
    bool mixes = cln__mixes(&l->options.augmentation), ok = true;
    l->plane = (size_t)l->dataset->height * (size_t)l->dataset->width;
    if ((uint64_t)l->options.batch_size > SIZE_MAX / sizeof(int32_t) ||
        !cln__mul_size(l->plane, (size_t)l->dataset->channels, &l->image) ||
        !cln__mul_size(size, l->image, &elements) || !cln__mul_size(elements, sizeof(float), &bytes))
        return cln__fail_memory(l->ctx, "the batches of the data loader");
    /* One held by the caller, one ready and one in the making for each worker. */
    l->slots = 2 * (int64_t)l->options.workers + 1;
    l->ring = calloc((size_t)l->slots, sizeof *l->ring);
    for (int64_t i = 0; l->ring && ok && i < l->slots; i++) {
        slot *s = &l->ring[i];
        s->images = malloc(bytes);
        s->labels = malloc(size * sizeof *s->labels);
        s->scratch = malloc(2 * l->image); /* fewer bytes than an image of floats */
        ok = s->images && s->labels && s->scratch && (!mixes || make_mixing(s, size, l->image));
    }
    return l->ring && ok ? CLN_OK : cln__fail_memory(l->ctx, "the batches of the data loader");
}

static void make_table(cln_loader *l) {
    const cln_normalization *n = &l->options.normalization;
    for (int c = 0; c < n->channels; c++)
        for (int v = 0; v < 256; v++)
            l->table[c][v] = (float)((v / 255.0 - (double)n->mean[c]) / (double)n->deviation[c]);
}

static cln_status start_workers(cln_loader *l) {
    /* Signals are for the program's own threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = 0;
    while (code == 0 && l->threads < l->options.workers) {
        code = pthread_create(&l->thread[l->threads], NULL, worker, l);
        l->threads += code == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0)
        return cln__fail(l->ctx, CLN_OUT_OF_MEMORY, "data loader: worker thread %d of %d cannot be started (error %d)",
                         l->threads + 1, l->options.workers, code);
    return CLN_OK;
}

static bool make_locks(cln_loader *l) {
    if (pthread_mutex_init(&l->mutex, NULL) != 0)
        return false;
    if (pthread_cond_init(&l->work, NULL) == 0) {
        if (pthread_cond_init(&l->done, NULL) == 0)
            return true;
        pthread_cond_destroy(&l->work);
    }
    pthread_mutex_destroy(&l->mutex);
    return false;
}

cln_status cln_loader_new(cln_context *ctx, const cln_dataset *dataset, const int64_t *indices, int64_t count,
                          const cln_loader_options *options, cln_loader **out) {
    *out = NULL;
    CLN_TRY(check_options(ctx, dataset, options));
    cln_loader *l = calloc(1, sizeof *l);
    if (!l || !make_locks(l)) {
        free(l);
        return cln__fail_memory(ctx, "the data loader");
    }
    l->ctx = ctx;
    l->dataset = dataset;
    l->options = *options;
    make_table(l);
    cln_status status = make_order(l, indices, count);
    if (status == CLN_OK)
        status = make_ring(l);
    if (status == CLN_OK)
        status = start_workers(l);
    if (status != CLN_OK) {
        cln_loader_free(l);
        return status;
    }
    *out = l;
    return CLN_OK;
}

void cln_loader_free(cln_loader *l) {
    if (!l)
        return;
    pthread_mutex_lock(&l->mutex);
    l->quit = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->mutex);
    for (int i = 0; i < l->threads; i++)
        pthread_join(l->thread[i], NULL);
    for (int64_t i = 0; l->ring && i < l->slots; i++) {
        free(l->ring[i].images);
        free(l->ring[i].labels);
        free(l->ring[i].scratch);
        free(l->ring[i].others);
        free(l->ring[i].partner);
        free(l->ring[i].weights);
        free(l->ring[i].aside);
    }
    free(l->ring);
    free(l->order);
    free(l->indices);
    pthread_cond_destroy(&l->done);
    pthread_cond_destroy(&l->work);
    pthread_mutex_destroy(&l->mutex);
    free(l);
}
