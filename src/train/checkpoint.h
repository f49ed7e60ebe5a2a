/* What a weights file says besides the weights: the network, how its images are prepared, how it was trained.
 * origin.h reads it. */
#ifndef CLN_SRC_CHECKPOINT_H
#define CLN_SRC_CHECKPOINT_H

#include "../base/base.h"
#include "clnet/train.h"
#include "division.h"

/* Metadata under construction: the values are owned, a NULL value is remembered as a lack of memory. */
enum { CLN__MAX_ENTRIES = 32 };
typedef struct cln__entries {
    cln_metadata at[CLN__MAX_ENTRIES];
    size_t count;
    bool failed;
} cln__entries;
/* Takes `value` over. */
void cln__entries_put(cln__entries *entries, const char *key, char *value);
const char *cln__entries_find(const cln__entries *entries, const char *key);
void cln__entries_free(cln__entries *entries);

/* What is done to the run's training images: options->augmentation, or the default. */
cln_augmentation cln__fit_augmentation(const cln_fit_options *options);

/* The metadata of a file, to be written. Borrows everything. No times: the same run gives the same bytes. */
typedef struct cln__checkpoint {
    const cln_fit_options *options;
    const void *hparams;
    const cln_dataset *data;
    const cln__division *division;
    cln_normalization normalization;
    int epoch;                              /* completed */
    const char *init_weights;               /* what it began with, as JSON; NULL: random numbers */
    const cln_fit_event *metrics;           /* NULL: none */
    const cln_plan *plan, *evaluation_plan; /* whose kernel variants are told; NULL: none */
} cln__checkpoint;
/* Adds what is known before the data: model, recipe, augmentation, seed, a variant that is asked for. */
void cln__checkpoint_describe_options(const cln_fit_options *options, cln__entries *entries);
/* Adds all that `checkpoint` says to `entries`. */
void cln__checkpoint_describe(const cln__checkpoint *checkpoint, cln__entries *entries);
/* As JSON; NULL for lack of memory. The caller frees it. */
char *cln__normalization_print(const cln_normalization *n);
cln_status cln__checkpoint_save(cln_context *ctx, cln_weights *weights, const char *path,
                                const cln__checkpoint *checkpoint);

#endif
