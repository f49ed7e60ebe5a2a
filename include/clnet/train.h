/* Training and testing networks: what a network is to the trainer, the loop that fits one, and its score.
 *
 * A network is known here as a cln_model, a description with a build function. clnet/models.h has those that come with
 * the library; a program may fill in one of its own. */
#ifndef CLNET_TRAIN_H
#define CLNET_TRAIN_H

#include "clnet/data.h"
#include "clnet/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- models and their hyper-parameters --- */

enum { CLN_MAX_INTS = 16 };
typedef struct cln_ints {
    int count;
    int values[CLN_MAX_INTS];
} cln_ints;

typedef enum cln_field_kind {
    CLN_FIELD_INT,        /* int, from 1 to `max` */
    CLN_FIELD_INTS,       /* cln_ints: 1 to CLN_MAX_INTS numbers, each from 1 to `max` */
    CLN_FIELD_ACTIVATION, /* cln_activation, by name */
    CLN_FIELD_CHOICE,     /* int, an index into `choices`, by name */
} cln_field_kind;

/* A member of a struct of hyper-parameters, so that it can be read from JSON and written as JSON. */
typedef struct cln_field {
    const char *name; /* as PyTorch code calls it: "c_hidden" */
    cln_field_kind kind;
    size_t offset;
    int max;
    const char *const *choices; /* ends with NULL */
} cln_field;

/* How a model is trained unless told otherwise. */
typedef struct cln_recipe {
    cln_optimizer optimizer;
    float learning_rate;
    float gamma;         /* the learning rate is multiplied by this ... */
    cln_ints milestones; /* ... once that many epochs are complete; ascending */
    int epochs;
    int batch_size;
} cln_recipe;

typedef struct cln_model {
    const char *name, *description;
    size_t hparams_size;
    const void *defaults; /* hyper-parameters, hparams_size bytes that may be copied */
    const cln_field *fields;
    int field_count;
    const cln_recipe *recipe;
    /* Adds the network to the graph and returns its logits. Fails through the graph. */
    cln_tensor (*build)(cln_graph *graph, cln_tensor x, const void *hparams);
} cln_model;

/* Hyper-parameters of `model`: the defaults, changed by what the JSON object `json` says (NULL: nothing). *out is
 * malloc'ed, the caller frees it with free. An unknown member or a value out of range is CLN_INVALID_ARGUMENT. */
CLN_API cln_status cln_hparams_new(cln_context *ctx, const cln_model *model, const char *json, void **out);
/* Sets a whole number; false if the model has no such field. */
CLN_API bool cln_hparams_set_int(const cln_model *model, void *hparams, const char *name, int value);
/* The hyper-parameters as a JSON object on one line, malloc'ed; NULL for lack of memory. */
CLN_API char *cln_hparams_print(const cln_model *model, const void *hparams);

/* --- fitting --- */

typedef struct cln_score {
    int64_t correct, count;
    double accuracy; /* correct / count */
    double loss;     /* mean cross-entropy, without label smoothing */
} cln_score;

typedef enum cln_fit_stage {
    CLN_FIT_LOADED, /* the data is in memory */
    CLN_FIT_READY,  /* the plans are built */
    CLN_FIT_STEP,   /* a training step is complete */
    CLN_FIT_EPOCH,  /* an epoch is complete: validated and saved */
    CLN_FIT_TEST,   /* all epochs are complete; the test comes next */
} cln_fit_stage;

/* What is known at a stage; what is not known yet is zero. */
typedef struct cln_fit_event {
    cln_fit_stage stage;
    int64_t training_images, validation_images, test_images;
    cln_normalization normalization;
    int64_t parameters;     /* trainable */
    cln_plan_memory memory; /* of the training plan */
    double build_s;
    int epoch, epochs;   /* from 1 */
    int64_t step, steps; /* from 1, in the epoch */
    float learning_rate;
    double train_loss, train_accuracy; /* means over the epoch so far */
    double images_per_s;               /* of the epoch so far, training only */
    double seconds_left;               /* to the end of the last epoch */
    cln_score validation;              /* CLN_FIT_EPOCH; count 0: none */
    bool improved;                     /* CLN_FIT_EPOCH: the best validation accuracy so far */
} cln_fit_event;

typedef struct cln_fit_options {
    const cln_model *model;
    const void *hparams; /* NULL: the model's defaults; num_classes and in_channels always come from the data set */
    cln_recipe recipe;
    float label_smoothing;
    const char *data;      /* as cln_dataset_load takes it */
    const char *normalize; /* as cln_normalization_choose takes it */
    double validation; /* images held back from the training set: below 1 a share of it, else their number; 0: none */
    uint64_t seed;     /* of weights, split, order, augmentation and dropout */
    int workers;       /* threads that prepare batches */
    const char
        *out; /* folder for best.safetensors (only with validation), last.safetensors, metrics.csv; made if absent */
    const char *variant;        /* as in cln_plan_options */
    FILE *graph_out, *plan_out; /* where to write graph and training plan as text; NULL: nowhere */
    void (*on_event)(void *user, const cln_fit_event *event); /* NULL: none; called in the caller's thread */
    void *user;
} cln_fit_options;

typedef struct cln_fit_result {
    int epochs;
    int best_epoch;       /* the one whose weights were tested: the best in validation, or the last; from 1 */
    cln_score validation; /* of that epoch; count 0: none */
    cln_score test;
    double images_per_s; /* mean over all epochs, training only */
    double seconds;      /* of training and validation */
} cln_fit_result;

/* Trains `options->model` on a data set: shuffled, augmented batches, the last partial one left out; the learning rate
 * multiplied by gamma at each milestone; validation and saving after each epoch; at the end the best weights (the last,
 * without validation) on the test set. The same options on the same device give the same bytes of weights. A loss that
 * is infinite or undefined stops it with CLN_DIVERGED, naming epoch, step and the first layer concerned. */
CLN_API cln_status cln_fit(cln_context *ctx, cln_device *device, const cln_fit_options *options,
                           cln_fit_result *result);

/* --- testing --- */

typedef enum cln_subset { CLN_SUBSET_TEST, CLN_SUBSET_VALIDATION, CLN_SUBSET_TRAINING } cln_subset;

typedef struct cln_evaluate_options {
    const char *weights; /* a file that cln_fit wrote, or one of the same names and shapes */
    const char *data;
    /* With seed and validation count from the file, the images that its training held back, or did not. */
    cln_subset subset;
    const cln_model *const *models; /* among which the file's metadata names one */
    int model_count;
    const cln_model *model; /* not NULL: this one, with `hparams` (JSON; NULL: the file's, or the defaults) */
    const char *hparams;
    const char *normalize; /* NULL: the file's, or what cln_normalization_choose takes by default */
    int batch_size;
    int workers;
    const char *variant;
} cln_evaluate_options;

/* Rebuilds the network of a weights file and counts what it gets right on a data set, without augmentation. */
CLN_API cln_status cln_evaluate(cln_context *ctx, cln_device *device, const cln_evaluate_options *options,
                                cln_score *score);

#ifdef __cplusplus
}
#endif
#endif
