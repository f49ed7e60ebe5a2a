/* Classifying images in memory: see clnet/evaluate.h. */
#include "../data/image.h"
#include "evaluation.h"
#include "restored.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LIGHTNING_SIDE = 32, MAX_SIDE = 4096 };

static const char *const cifar10_names[10] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                              "dog",      "frog",       "horse", "ship", "truck"};

struct cln_classifier {
    cln_context *ctx;
    cln__restored network;
    cln_normalization normalization;
    int channels, height, width, batch_size;
    char **class_names;
    uint8_t *planes; /* one image at the network's size */
    float *images, *logits;
    double *probabilities; /* of one image */
    int32_t *labels;       /* none is known */
};

/* --- what the file does not say --- */

static cln_status choose_normalization(cln_classifier *c, const cln_classifier_options *o) {
    const cln__origin *origin = &c->network.origin;
    c->normalization = origin->normalization;
    if (o->normalize && strcmp(o->normalize, "dataset") == 0)
        return cln__fail(c->ctx, CLN_INVALID_ARGUMENT,
                         "normalisation 'dataset': there is no data set to compute it from; give cifar10, or means and "
                         "deviations");
    if (o->normalize)
        CLN_TRY(cln_normalization_choose(c->ctx, o->normalize, NULL, &c->normalization));
    else if (!origin->has_normalization)
        return cln__fail(c->ctx, CLN_INVALID_FILE,
                         "weights file '%s': it does not say how its images are normalised; give it (--normalize)",
                         o->weights);
    if (origin->has_shape && c->normalization.channels != origin->channels)
        return cln__fail(c->ctx, CLN_INVALID_ARGUMENT,
                         "weights file '%s' is for images of %d channels, the normalisation for %d", o->weights,
                         origin->channels, c->normalization.channels);
    return CLN_OK;
}

static cln_status choose_shape(cln_classifier *c, const cln_classifier_options *o) {
    const cln__origin *origin = &c->network.origin;
    const int fallback = origin->lightning ? LIGHTNING_SIDE : 0;
    c->height = o->image_height ? o->image_height : origin->has_shape ? origin->height : fallback;
    c->width = o->image_width ? o->image_width : origin->has_shape ? origin->width : fallback;
    c->channels = origin->has_shape ? origin->channels : c->normalization.channels;
    if (c->height < 1 || c->width < 1)
        return cln__fail(c->ctx, CLN_INVALID_FILE,
                         "weights file '%s': it does not say the size of its images; give it (--image-size)",
                         o->weights);
    if (origin->has_shape && (c->height != origin->height || c->width != origin->width))
        return cln__fail(c->ctx, CLN_INVALID_ARGUMENT, "weights file '%s' is for images of %dx%d, not %dx%d",
                         o->weights, origin->height, origin->width, c->height, c->width);
    if (c->height > MAX_SIDE || c->width > MAX_SIDE || (c->channels != 1 && c->channels != 3))
        return cln__fail(c->ctx, CLN_UNSUPPORTED,
                         "weights file '%s' is for images of %dx%dx%d; sides of at most %d and 1 or 3 channels can be "
                         "classified",
                         o->weights, c->channels, c->height, c->width, MAX_SIDE);
    return CLN_OK;
}

/* Without names anywhere, the file's hyper-parameters or the model's defaults say how many classes there are. */
static int known_classes(const cln_classifier *c, const cln_classifier_options *o) {
    const cln_model *model = c->network.model;
    int count = o->class_names ? o->class_count : c->network.origin.class_count;
    if (count <= 0)
        cln_hparams_get_int(model, model->defaults, "num_classes", &count);
    return count;
}

static cln_status name_classes(cln_classifier *c, const cln_classifier_options *o) {
    const cln__origin *origin = &c->network.origin;
    int classes = c->network.classes, count = 0;
    const char *const *names = NULL;
    if (o->class_names) {
        names = o->class_names;
        count = o->class_count;
    } else if (origin->class_names) {
        names = (const char *const *)origin->class_names;
        count = origin->class_count;
    } else if (origin->lightning && classes == 10) {
        names = cifar10_names;
        count = 10;
    }
    if (names && count != classes)
        return cln__fail(c->ctx, CLN_INVALID_ARGUMENT, "weights file '%s' knows %d classes, and %d are named",
                         o->weights, classes, count);
    for (int i = 0; i < count; i++)
        if (!cln_is_utf8(names[i]))
            return cln__fail(c->ctx, CLN_INVALID_ARGUMENT, "the name of class %d, '%s', is not UTF-8", i, names[i]);
    c->class_names = calloc((size_t)classes, sizeof *c->class_names);
    for (int i = 0; c->class_names && i < classes; i++) {
        c->class_names[i] = names ? cln__format("%s", names[i]) : cln__format("%d", i);
        if (!c->class_names[i])
            return cln__fail_memory(c->ctx, "the class names");
    }
    return c->class_names ? CLN_OK : cln__fail_memory(c->ctx, "the class names");
}

/* --- making --- */

static cln_status make_room(cln_classifier *c) {
    size_t rows = (size_t)c->batch_size, classes = (size_t)c->network.classes;
    size_t image = (size_t)c->channels * (size_t)c->height * (size_t)c->width;
    c->planes = malloc(image);
    c->images = calloc(rows * image, sizeof *c->images);
    c->logits = malloc(rows * classes * sizeof *c->logits);
    c->probabilities = malloc(classes * sizeof *c->probabilities);
    c->labels = malloc(rows * sizeof *c->labels);
    if (!c->planes || !c->images || !c->logits || !c->probabilities || !c->labels)
        return cln__fail_memory(c->ctx, "the images to classify");
    for (size_t i = 0; i < rows; i++)
        c->labels[i] = -1;
    return CLN_OK;
}

static cln_status make(cln_classifier *c, cln_device *device, const cln_classifier_options *o) {
    const cln__source source = {.weights = o->weights,
                                .models = o->models,
                                .model_count = o->model_count,
                                .model = o->model,
                                .hparams = o->hparams,
                                .batch_size = c->batch_size,
                                .variant = o->variant,
                                .tuned = o->tuned,
                                .tuning = o->tuning};
    CLN_TRY(cln__restored_read(c->ctx, &source, &c->network));
    CLN_TRY(choose_normalization(c, o));
    CLN_TRY(choose_shape(c, o));
    const cln_dataset shape = {
        .channels = c->channels, .height = c->height, .width = c->width, .num_classes = known_classes(c, o)};
    CLN_TRY(cln__restored_build(c->ctx, &source, &shape, &c->network));
    CLN_TRY(name_classes(c, o));
    CLN_TRY(cln__restored_load(c->ctx, device, &source, &c->network));
    return make_room(c);
}

cln_status cln_classifier_new(cln_context *ctx, cln_device *device, const cln_classifier_options *options,
                              cln_classifier **out) {
    *out = NULL;
    if (!options->weights || options->batch_size < 0 || options->image_height < 0 || options->image_width < 0)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "a classifier needs weights; batch size and sides of images cannot be negative");
    cln_classifier *c = calloc(1, sizeof *c);
    if (!c)
        return cln__fail_memory(ctx, "the classifier");
    c->ctx = ctx;
    c->batch_size = options->batch_size > 0 ? options->batch_size : 1;
    cln_status status = make(c, device, options);
    if (status != CLN_OK) {
        cln_classifier_free(c);
        return status;
    }
    *out = c;
    return CLN_OK;
}

void cln_classifier_free(cln_classifier *c) {
    if (!c)
        return;
    for (int i = 0; c->class_names && i < c->network.classes; i++)
        free(c->class_names[i]);
    free(c->class_names);
    free(c->planes);
    free(c->images);
    free(c->logits);
    free(c->probabilities);
    free(c->labels);
    cln__restored_free(&c->network);
    free(c);
}

int cln_classifier_classes(const cln_classifier *c) {
    return c->network.classes;
}

const char *cln_classifier_class_name(const cln_classifier *c, int index) {
    return index >= 0 && index < c->network.classes ? c->class_names[index] : NULL;
}

/* --- predicting --- */

static cln_status put_image(cln_classifier *c, const cln_image *from, float *out) {
    cln__image image;
    if (!from->pixels || from->height < 1 || from->width < 1 || from->components < 1 || from->components > 4)
        return cln__fail(c->ctx, CLN_INVALID_ARGUMENT,
                         "classifier: an image of %dx%d with %d components, expected sides above 0 and 1 to 4",
                         from->height, from->width, from->components);
    CLN_TRY(cln__image_separate(c->ctx, from, c->channels, &image));
    cln_status status = cln__image_resize(c->ctx, &image, c->height, c->width, c->planes);
    free(image.planes);
    CLN_TRY(status);
    size_t plane = (size_t)c->height * (size_t)c->width;
    for (size_t i = 0; i < plane * (size_t)c->channels; i++) {
        double mean = (double)c->normalization.mean[i / plane],
               deviation = (double)c->normalization.deviation[i / plane];
        out[i] = (float)((c->planes[i] / 255.0 - mean) / deviation);
    }
    return CLN_OK;
}

static cln_status predict_batch(cln_classifier *c, const cln_image *images, int64_t count, float *probabilities) {
    size_t image = (size_t)c->channels * (size_t)c->height * (size_t)c->width;
    int classes = c->network.classes;
    for (int64_t i = 0; i < count; i++)
        CLN_TRY(put_image(c, &images[i], c->images + (size_t)i * image));
    CLN_TRY(cln__restored_run(&c->network, c->images, c->labels, c->logits));
    for (int64_t i = 0; i < count; i++) {
        cln__softmax(c->logits + i * classes, classes, c->probabilities);
        for (int k = 0; k < classes; k++)
            probabilities[i * classes + k] = (float)c->probabilities[k];
    }
    return CLN_OK;
}

cln_status cln_classifier_predict(cln_classifier *c, const cln_image *images, int64_t count, float *probabilities) {
    for (int64_t done = 0; done < count; done += c->batch_size)
        CLN_TRY(predict_batch(c, images + done, cln__least(count - done, c->batch_size),
                              probabilities + done * c->network.classes));
    return CLN_OK;
}
