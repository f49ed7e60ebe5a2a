/* Data sets as 8-bit images in memory, and the loader that turns them into normalised, augmented batches. */
#ifndef CLNET_DATA_H
#define CLNET_DATA_H

#include "clnet/image.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The parts that a data set comes in. */
typedef enum cln_split {
    CLN_SPLIT_TRAIN, /* to train and validate on */
    CLN_SPLIT_TEST,  /* to test on */
} cln_split;

/* Images as they are on disk (padded or resized where said), row-major. */
typedef struct cln_dataset {
    int64_t count;               /* images */
    int channels, height, width; /* of every image, in pixels; 1 channel is grey, 3 are RGB */
    int num_classes;             /* all that labels may name, whether or not there are images of them */
    char **class_names;          /* num_classes of them */
    uint8_t *images;             /* [count][channels][height][width] */
    int32_t *labels;             /* each in [0, num_classes) */
    char *format;                /* "cifar10", "cifar100", "idx" or "images" */
} cln_dataset;

/* What the images of an image folder are to be; those of other formats stay as they are. */
typedef struct cln_dataset_options {
    int height, width; /* resized to this; both 0: all must have the size of the first, and keep it */
    int channels;      /* 1 (grey) or 3 (colour); 0: 1 if all are grey, else 3 */
} cln_dataset_options;

/* Reads one split of the data set at `path`, whose format is found out:
 * - a folder in the binary layout of CIFAR-10 or CIFAR-100 (fine labels), or one that holds cifar-10-batches-bin or
 *   cifar-100-binary;
 * - a folder of IDX files (gzipped or not; 28x28 images are padded with zeros to 32x32), or the name "fashion-mnist"
 *   (Debian's package dataset-fashion-mnist);
 * - a folder of images, <split>/<class>/<image>, where <split> is train and test (or, without test, val): JPEG, PNG,
 * BMP, GIF, PNM, TGA, PSD, PIC, HDR; transparency is dropped. Classes are those of train, sorted by name in the order
 * of bytes, as are the images of a class. Names that begin with a dot are skipped; a symbolic link that leads out of
 *   `path` is a failure. Resizing is antialiased, as PIL's bilinear filter does it.
 * Everything is checked: sizes, magic numbers, labels, and that each image can be decoded. `options` may be NULL. The
 * caller frees *out with cln_dataset_free. */
CLN_API cln_status cln_dataset_load(cln_context *ctx, const char *path, cln_split split,
                                    const cln_dataset_options *options, cln_dataset **out);
/* With all it points to. */
CLN_API void cln_dataset_free(cln_dataset *dataset);

/* The most channels that images to be normalised may have. */
enum { CLN_MAX_IMAGE_CHANNELS = 4 };
/* (x / 255 - mean) / deviation for each channel. */
typedef struct cln_normalization {
    int channels; /* those of the images */
    /* Of levels from 0 to 1; the first `channels` count. */
    float mean[CLN_MAX_IMAGE_CHANNELS], deviation[CLN_MAX_IMAGE_CHANNELS];
} cln_normalization;

/* From the option --normalize: "dataset" (computed from `train`: mean and population deviation over all its images),
 * "cifar10" (the published values), "M1,M2,M3/S1,S2,S3", or NULL: the published values for the CIFAR-10 layout,
 * else computed. */
CLN_API cln_status cln_normalization_choose(cln_context *ctx, const char *option, const cln_dataset *train,
                                            cln_normalization *out);

/* Splits 0..count-1 as PyTorch's random_split does: a permutation by MT19937 seeded with `seed` (torch.randperm),
 * the last `validation_count` of it for validation. Both arrays are malloc'ed, owned by the caller; *validation is
 * NULL when validation_count is 0. */
CLN_API cln_status cln_split_indices(cln_context *ctx, int64_t count, int64_t validation_count, uint64_t seed,
                                     int64_t **train, int64_t **validation);
/* Another order, from text (`size` bytes): whole numbers of 0..count-1, none of them twice, with white space between
 * them; not all need occur. *indices is malloc'ed, owned by the caller. `name` is for messages. */
CLN_API cln_status cln_split_parse(cln_context *ctx, const char *name, const char *text, size_t size, int64_t count,
                                   int64_t **indices, int64_t *index_count);

/* The recipe's training augmentation on one image [channels][height][width]: flips it left to right if `flip`, cuts out
 * box = {top, left, height, width} and resizes that to the whole size, as torchvision does with PIL images: bilinear,
 * half-pixel centres, clamped at the crop's edges, rounded to a whole grey level after each of two passes. `out` has
 * the image's size and must not overlap it. Fails if the box does not lie within the image. */
CLN_API cln_status cln_augment_crop_flip(cln_context *ctx, const uint8_t *image, int channels, int height, int width,
                                         bool flip, const int box[4], uint8_t *out);

/* Bounds between which a number is drawn. */
typedef struct cln_range {
    double low, high; /* low is at most high */
} cln_range;

/* What a padded image has outside the image. */
typedef enum cln_padding {
    CLN_PAD_CONSTANT, /* black */
    CLN_PAD_REFLECT,  /* the image in a mirror, without repeating its edge */
} cln_padding;

/* What is done at random to the training images, in the order of the members. A part that is zero is off; a struct of
 * zeros changes nothing. Flip to erasing are drawn for each image from (seed, epoch, sample), mixup and CutMix for each
 * batch from (seed, epoch, batch), so that the same seed gives the same batches, from any of them on. */
typedef struct cln_augmentation {
    double hflip; /* the probability of a flip left to right */
    /* Random resized crop (Szegedy et al., arXiv 1409.4842), as torchvision's RandomResizedCrop: a box that covers a
     * share of the image uniform in `scale` (within 0 to 1; high 0: off) and has a ratio of width to height log-uniform
     * in `ratio`, anywhere in the image, is resized to the whole size. */
    cln_range scale, ratio;
    /* Random crop, as torchvision's RandomCrop: the image's size, cut out anywhere in the image padded by so many
     * pixels on each side; less than the image's sides. */
    int crop_padding;
    cln_padding padding_mode; /* of crop_padding */
    /* Colour jitter, as torchvision's ColorJitter with 8-bit tensors, for images of 1 or 3 channels: in random order
     * the brightness is multiplied by a number uniform in [max(0, 1 - brightness), 1 + brightness], contrast and
     * saturation likewise, and the hue moved by a share of the circle uniform in [-hue, hue], hue at most 0.5. Grey
     * images have neither saturation nor hue. */
    double brightness, contrast, saturation, hue;
    /* Cutout (DeVries and Taylor, arXiv 1708.04552): the side, in pixels, of a square whose centre is anywhere in the
     * image; what is in the image of it becomes zero after normalisation, which is the mean. */
    int cutout;
    /* The probability of random erasing (Zhong et al., arXiv 1708.04896), as torchvision's RandomErasing with its own
     * parameters: a box of 0.02 to 0.33 of the image, of a ratio of 0.3 to 3.3, becomes zero after normalisation. */
    double erasing;
    /* Mixup (Zhang et al., arXiv 1710.09412) and CutMix (Yun et al., arXiv 1905.04899): the alpha of Beta(alpha, alpha)
     * from which one lambda is drawn for a batch. Each image is blended with another of its batch (the partners are a
     * permutation), or has a box of that other's pixels. With both, either is drawn for each batch. */
    double mixup, cutmix;
} cln_augmentation;

/* The recipe's: flips with probability 1/2, resized crops of scale 0.8 to 1 and ratio 0.9 to 1.1. */
CLN_API cln_augmentation cln_augmentation_default(void);

/* How batches are made of a data set. */
typedef struct cln_loader_options {
    int64_t batch_size; /* images; at least 1 */
    bool shuffle;       /* a new order each epoch, from (seed, epoch) */
    bool drop_last;     /* leave out the last partial batch */
    /* Only the first batches of an epoch: below 1 a share of them, at least one; else their number; 0: all. */
    double limit;
    uint64_t seed;                   /* of order and augmentation */
    int workers;                     /* threads that prepare batches ahead; 0: prepared in the caller's thread */
    cln_normalization normalization; /* with as many channels as the images */
    cln_augmentation augmentation;   /* zeros: none */
} cln_loader_options;

/* A batch, owned by the loader, valid until the next call. Rows beyond `count` are zero and labelled -1 (ignored). */
typedef struct cln_batch {
    int64_t count;         /* valid rows */
    int64_t size;          /* rows: always the batch size */
    int64_t index;         /* of the batch in its epoch */
    const float *images;   /* [size][channels][height][width] */
    const int32_t *labels; /* [size] */
    /* With mixup or CutMix, else NULL: a row is worth weights[i], at least 1/2, of its label and the rest of its other
     * label; see cln_softmax_ce_mixed. */
    const int32_t *others; /* [size] */
    const float *weights;  /* [size] */
} cln_batch;

/* Goes over the images of a data set, epoch by epoch. */
typedef struct cln_loader cln_loader;

/* `indices` (copied; NULL: all of the data set) picks the samples. Borrows `dataset`. The same options give the same
 * batches whatever the number of workers. Fails if drop_last leaves no batch. */
CLN_API cln_status cln_loader_new(cln_context *ctx, const cln_dataset *dataset, const int64_t *indices, int64_t count,
                                  const cln_loader_options *options, cln_loader **out);
/* Ends its threads. The data set is left alone. */
CLN_API void cln_loader_free(cln_loader *loader);
CLN_API int64_t cln_loader_batches(const cln_loader *loader); /* in an epoch */
CLN_API int64_t cln_loader_samples(const cln_loader *loader); /* that were picked */
/* Starts `epoch` at its batch `first`; whatever was prepared of another is dropped. */
CLN_API cln_status cln_loader_start(cln_loader *loader, int64_t epoch, int64_t first);
/* The next batch, or *batch = NULL at the end of the epoch. */
CLN_API cln_status cln_loader_next(cln_loader *loader, const cln_batch **batch);

/* An RGB picture of what options->augmentation does: `count` images of the data set (`indices`, NULL: the first) side
 * by side and, below each, what a network sees of it in `epoch`, brought back from the normalisation; 2 pixels of light
 * grey between and around them. The caller frees it with cln_image_free. Of the options, augmentation, normalization
 * and seed count. Mixup and CutMix mix the images shown with each other. The images must have 1 or 3 channels. */
CLN_API cln_status cln_augmentation_grid(cln_context *ctx, const cln_dataset *dataset, const int64_t *indices,
                                         int count, const cln_loader_options *options, int64_t epoch, cln_image *out);

#ifdef __cplusplus
}
#endif
#endif
