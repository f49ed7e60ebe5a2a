/* A network rebuilt from a weights file, ready to run over batches: what evaluating and classifying share. */
#ifndef CLN_SRC_RESTORED_H
#define CLN_SRC_RESTORED_H

#include "network.h"
#include "origin.h"

/* The file, and what is to be used in place of what it says; as in cln_evaluate_options. */
typedef struct cln__source {
    const char *weights;
    const cln_model *const *models;
    int model_count;
    const cln_model *model;
    const char *hparams;
    int batch_size;
    const char *variant;
    bool tuned;
    const char *tuning;
} cln__source;

typedef struct cln__restored {
    cln_weights_file *file;
    cln__origin origin;
    const cln_model *model;
    void *hparams;
    cln__network network;
    cln_weights *weights;
    cln_choices choices;
    cln_plan *plan; /* keeps loss, correct and logits */
    int classes;
} cln__restored;

/* In this order: the file; once the images are known, the network, where of `shape` only the sizes of an image count
 * and the number of classes, and the latter only where neither source nor file tells it; weights and plan.
 * cln__restored_free in any case. */
cln_status cln__restored_read(cln_context *ctx, const cln__source *source, cln__restored *out);
cln_status cln__restored_build(cln_context *ctx, const cln__source *source, const cln_dataset *shape, cln__restored *r);
cln_status cln__restored_load(cln_context *ctx, cln_device *device, const cln__source *source, cln__restored *r);
void cln__restored_free(cln__restored *r);

/* Runs a batch, as many rows as source->batch_size, and waits for its logits, [rows][classes]. */
cln_status cln__restored_run(cln__restored *r, const float *images, const int32_t *labels, float *logits);

#endif
