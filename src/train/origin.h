/* What a weights file says of itself: the network, how its images are prepared, how it was trained. Our own files say
 * it in their metadata; a checkpoint of PyTorch Lightning says part of it in its hyper-parameters. */
#ifndef CLN_SRC_ORIGIN_H
#define CLN_SRC_ORIGIN_H

#include "../base/base.h"
#include "clnet/train.h"

/* What the file does not say is NULL, 0 or false. */
typedef struct cln__origin {
    char *model, *hparams; /* owned; the latter is JSON */
    char *split_indices;   /* owned; a list as cln_split_parse takes it, if the split was not drawn by the seed */
    char **class_names;    /* owned, `class_count` of them */
    bool lacks_memory;     /* why it could not be read */
    int class_count;
    bool lightning; /* a checkpoint of the published code: its images are those of CIFAR-10 */
    bool has_shape, has_normalization, has_split;
    int channels, height, width;
    cln_normalization normalization;
    uint64_t seed;
    int64_t training_count, validation_count; /* images in the training set; how many of them were held back */
    int epoch;                                /* completed */
    cln_optimizer optimizer;
    float learning_rate; /* the first */
} cln__origin;

/* Fails if what the file says is not of the expected form; *out can be freed in any case. `path` is for messages. */
cln_status cln__origin_read(cln_context *ctx, const cln_weights_file *file, const char *path, cln__origin *out);
void cln__origin_free(cln__origin *origin);

/* `wanted` if that is not NULL, else the one of the `count` models that the file names. */
cln_status cln__origin_model(cln_context *ctx, const cln__origin *origin, const char *path,
                             const cln_model *const *models, int count, const cln_model *wanted, const cln_model **out);
/* Hyper-parameters of `model`, malloc'ed: from `json` if that is not NULL, else from the file if it is of that model,
 * else the defaults, fitted to the data (NULL: not). */
cln_status cln__origin_hparams(cln_context *ctx, const cln__origin *origin, const char *path, const cln_model *model,
                               const char *json, const cln_dataset *data, void **out);

#endif
