/* Data sets as 8-bit images in memory, and the loader that turns them into normalised, augmented batches. */
#ifndef CLNET_DATA_H
#define CLNET_DATA_H

#include "clnet/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cln_split { CLN_SPLIT_TRAIN, CLN_SPLIT_TEST } cln_split;

/* Images as they are on disk (padded or resized where said), row-major [count][channels][height][width]. */
typedef struct cln_dataset {
    int64_t count;
    int channels, height, width;
    int num_classes;
    char **class_names; /* num_classes of them */
    uint8_t *images;
    int32_t *labels; /* each in [0, num_classes) */
    char *format;    /* "cifar10", "cifar100", "idx" or "images" */
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
CLN_API void cln_dataset_free(cln_dataset *dataset);

/* (x / 255 - mean) / deviation for each channel. */
enum { CLN_MAX_IMAGE_CHANNELS = 4 };
typedef struct cln_normalization {
    int channels;
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

/* The training augmentation on one image [channels][height][width]: flips it left to right if `flip`, cuts out
 * box = {top, left, height, width} and resizes that to the whole size, as torchvision does with PIL images: bilinear,
 * half-pixel centres, clamped at the crop's edges, rounded to a whole grey level after each of two passes. `out` has
 * the image's size and must not overlap it. Fails if the box does not lie within the image. */
CLN_API cln_status cln_augment_crop_flip(cln_context *ctx, const uint8_t *image, int channels, int height, int width,
                                         bool flip, const int box[4], uint8_t *out);

typedef struct cln_loader_options {
    int64_t batch_size;
    bool shuffle;   /* a new order each epoch, from (seed, epoch) */
    bool augment;   /* the recipe's flip and random resized crop, from (seed, epoch, sample) */
    bool drop_last; /* leave out the last partial batch */
    double
        limit; /* only the first batches of an epoch: below 1 a share of them, at least one; else their number; 0: all
                */
    uint64_t seed;
    int workers; /* threads that prepare batches ahead; 0: prepared in the caller's thread */
    cln_normalization normalization;
} cln_loader_options;

/* A batch, owned by the loader, valid until the next call. Rows beyond `count` are zero and labelled -1 (ignored). */
typedef struct cln_batch {
    int64_t count;         /* valid rows */
    int64_t size;          /* rows: always the batch size */
    int64_t index;         /* of the batch in its epoch */
    const float *images;   /* [size][channels][height][width] */
    const int32_t *labels; /* [size] */
} cln_batch;

typedef struct cln_loader cln_loader;

/* `indices` (copied; NULL: all of the data set) picks the samples. Borrows `dataset`. The same options give the same
 * batches whatever the number of workers. Fails if drop_last leaves no batch. */
CLN_API cln_status cln_loader_new(cln_context *ctx, const cln_dataset *dataset, const int64_t *indices, int64_t count,
                                  const cln_loader_options *options, cln_loader **out);
CLN_API void cln_loader_free(cln_loader *loader);
CLN_API int64_t cln_loader_batches(const cln_loader *loader); /* in an epoch */
/* Starts `epoch` at its batch `first`; whatever was prepared of another is dropped. */
CLN_API cln_status cln_loader_start(cln_loader *loader, int64_t epoch, int64_t first);
/* The next batch, or *batch = NULL at the end of the epoch. */
CLN_API cln_status cln_loader_next(cln_loader *loader, const cln_batch **batch);

#ifdef __cplusplus
}
#endif
#endif
