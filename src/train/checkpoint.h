/* What a weights file says besides the weights: the network, how its images are prepared, how it was trained. */
#ifndef CLN_SRC_CHECKPOINT_H
#define CLN_SRC_CHECKPOINT_H

#include "../base/base.h"
#include "clnet/train.h"

/* The metadata of a file, to be written. Borrows everything. No times: the same run gives the same bytes. */
typedef struct cln__checkpoint {
    const cln_fit_options *options;
    const void *hparams;
    const cln_dataset *data;
    int64_t validation_count;
    cln_normalization normalization;
    int epoch; /* completed */
    const cln_fit_event *metrics;
} cln__checkpoint;
cln_status cln__checkpoint_save(cln_context *ctx, cln_weights *weights, const char *path,
                                const cln__checkpoint *checkpoint);

/* The part of it that testing needs. What the file does not say is NULL, 0 or false. */
typedef struct cln__origin {
    const char *model, *hparams; /* borrowed from the file */
    bool has_shape, has_normalization, has_split;
    int channels, height, width;
    cln_normalization normalization;
    uint64_t seed;
    int64_t training_count, validation_count; /* images in the training set; how many of them were held back */
} cln__origin;
/* Fails if what the file says is not of the expected form. `path` is for messages. */
cln_status cln__checkpoint_origin(cln_context *ctx, const cln_safetensors *file, const char *path, cln__origin *out);

#endif
