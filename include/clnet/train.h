/* Training and testing networks: what a network is to the trainer, the loop that fits one, and its score.
 *
 * A network is known here as a cln_model, a description with a build function. clnet/models.h has those that come with
 * the library; a program may fill in one of its own. */
#ifndef CLNET_TRAIN_H
#define CLNET_TRAIN_H

#include "clnet/data.h"
#include "clnet/plan.h"
#include "clnet/tune.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- models and their hyper-parameters --- */

/* The most numbers in a cln_ints. */
enum { CLN_MAX_INTS = 16 };
/* A short list of whole numbers. */
typedef struct cln_ints {
    int count;                /* how many of `values` count */
    int values[CLN_MAX_INTS]; /* in order */
} cln_ints;

/* What a hyper-parameter is in C. */
typedef enum cln_field_kind {
    CLN_FIELD_INT,        /* int, from 1 to `max` */
    CLN_FIELD_INTS,       /* cln_ints: 1 to CLN_MAX_INTS numbers, each from 1 to `max` */
    CLN_FIELD_ACTIVATION, /* cln_activation, by name */
    CLN_FIELD_CHOICE,     /* int, an index into `choices`, by name */
} cln_field_kind;

/* A member of a struct of hyper-parameters, so that it can be read from JSON and written as JSON. */
typedef struct cln_field {
    const char *name;           /* as PyTorch code calls it: "c_hidden" */
    cln_field_kind kind;        /* what is there in the struct */
    size_t offset;              /* of the member, as offsetof tells it */
    int max;                    /* of the numbers; for those kinds that have it */
    const char *const *choices; /* ends with NULL */
} cln_field;

/* How the learning rate changes, as PyTorch's schedulers do it. */
typedef enum cln_lr_scheduler {
    CLN_LR_MULTISTEP, /* MultiStepLR: multiplied by gamma at each milestone */
    CLN_LR_COSINE,    /* CosineAnnealingLR, update by update, to min_lr at the end (Loshchilov and Hutter,
                         arXiv 1608.03983, without restarts) */
    CLN_LR_ONECYCLE,  /* OneCycleLR with two cosine phases, update by update: up to learning_rate, then down to almost
                         nothing; momentum the other way (Smith and Topin, arXiv 1708.07120) */
    CLN_LR_CONSTANT,  /* learning_rate throughout */
} cln_lr_scheduler;
/* "multistep", "cosine", "onecycle", "constant". */
CLN_API const char *cln_lr_scheduler_name(cln_lr_scheduler scheduler);

/* CLN_LR_ONECYCLE's; 0: the default. */
typedef struct cln_onecycle {
    float pct_start;                   /* the share of the updates in which the rate rises; 0.3 */
    float div_factor;                  /* it begins at learning_rate / div_factor; 25 */
    float final_div_factor;            /* it ends at a final_div_factor-th of where it began; 10000 */
    float base_momentum, max_momentum; /* SGD's momentum or the others' beta1 at the highest rate, and at both ends;
                                          0.85, 0.95 */
    bool fixed_momentum;               /* leave the momentum as it is */
} cln_onecycle;

/* How a model is trained unless told otherwise. */
typedef struct cln_recipe {
    cln_optimizer optimizer;       /* with weight decay, momentum, accumulation and clipping */
    float learning_rate;           /* before any schedule; above 0 */
    float gamma;                   /* the learning rate is multiplied by this ... */
    cln_ints milestones;           /* ... once that many epochs are complete; ascending */
    int epochs;                    /* at least 1 */
    int batch_size;                /* images in a step */
    cln_lr_scheduler lr_scheduler; /* what gamma and milestones, min_lr or onecycle belong to */
    float min_lr;                  /* CLN_LR_COSINE: the rate at the end */
    cln_onecycle onecycle;         /* CLN_LR_ONECYCLE */
    /* First the rate rises linearly, as LinearLR does it, for so many epochs or updates (one of the two), from
     * warmup_lr (0: a hundredth) to where the scheduler goes on. Milestones still count from the beginning; cosine and
     * one-cycle begin behind the warm-up. */
    int warmup_epochs;
    int64_t warmup_steps; /* in updates; see above */
    float warmup_lr;      /* where the warm-up begins; see above */
    /* Above 0: validation, test and all files of weights use a moving average of the weights and running statistics,
     * which after update u moves towards them by 1 - this (after the first one it is them), as timm's ModelEmaV3 does.
     * What is trained itself is in resume.safetensors. */
    double model_ema_decay;
    bool model_ema_warmup; /* the decay is at most 1 - u^(-2/3) */
} cln_recipe;
/* What the optimiser uses in update `update` (from 0) of a run with `updates` of them in each epoch: what cln_fit does,
 * for a loop of one's own. Depends on nothing else, so that a schedule has no state. */
CLN_API cln_rates cln_recipe_rates(const cln_recipe *recipe, int64_t update, int64_t updates);
/* The recipe's milestones for another number of epochs: moved in proportion, without those that coincide or come at the
 * end. */
CLN_API cln_ints cln_recipe_milestones(const cln_recipe *recipe, int epochs);

/* What a network is to the trainer. The library copies nothing of it: it must outlive the calls it is given to. */
typedef struct cln_model {
    const char *name, *description; /* by which weights files and people know it; one line */
    size_t hparams_size;            /* of the struct of hyper-parameters, in bytes */
    const void *defaults;           /* such a struct; it may be copied by its bytes */
    const cln_field *fields;        /* its members; those that have none keep their default */
    int field_count;                /* of `fields` */
    const cln_recipe *recipe;       /* how it is trained unless told otherwise */
    /* Adds the network to the graph and returns its logits. Fails through the graph. */
    cln_tensor (*build)(cln_graph *graph, cln_tensor x, const void *hparams);
} cln_model;

/* Hyper-parameters of `model`: the defaults, changed by what the JSON object `json` says (NULL: nothing). *out is
 * malloc'ed, the caller frees it with free. An unknown member or a value out of range is CLN_INVALID_ARGUMENT. */
CLN_API cln_status cln_hparams_new(cln_context *ctx, const cln_model *model, const char *json, void **out);
/* Sets a whole number; false if the model has no such field. */
CLN_API bool cln_hparams_set_int(const cln_model *model, void *hparams, const char *name, int value);
/* Gets one, likewise. */
CLN_API bool cln_hparams_get_int(const cln_model *model, const void *hparams, const char *name, int *value);
/* The hyper-parameters as a JSON object on one line, malloc'ed; NULL for lack of memory. */
CLN_API char *cln_hparams_print(const cln_model *model, const void *hparams);

/* --- fitting --- */

/* What a network gets right. */
typedef struct cln_score {
    int64_t correct, count; /* images; the largest logit is that of the label */
    double accuracy;        /* correct / count */
    double loss;            /* mean cross-entropy, without label smoothing */
} cln_score;

/* Where a run is when it calls on_event. */
typedef enum cln_fit_stage {
    CLN_FIT_LOADED, /* the data is in memory */
    CLN_FIT_READY,  /* the plans are built */
    CLN_FIT_STEP,   /* a training step is complete */
    CLN_FIT_EPOCH,  /* an epoch is complete: validated and saved */
    CLN_FIT_TEST,   /* all epochs are complete; the test comes next */
} cln_fit_stage;

/* What tells a better epoch from a worse one. */
typedef enum cln_monitor {
    CLN_MONITOR_DEFAULT,    /* val_acc; without validation nothing, and the last weights count */
    CLN_MONITOR_VAL_ACC,    /* cln_fit_event.validation.accuracy */
    CLN_MONITOR_VAL_LOSS,   /* cln_fit_event.validation.loss */
    CLN_MONITOR_TRAIN_ACC,  /* cln_fit_event.train_accuracy */
    CLN_MONITOR_TRAIN_LOSS, /* cln_fit_event.train_loss */
} cln_monitor;
/* "val_acc", "val_loss", "train_acc", "train_loss"; the default's is "val_acc". */
CLN_API const char *cln_monitor_name(cln_monitor monitor);

/* Which end of the monitor is the better one. */
typedef enum cln_mode {
    CLN_MODE_DEFAULT, /* accuracies are better when higher, losses when lower */
    CLN_MODE_MAX,     /* higher is better */
    CLN_MODE_MIN,     /* lower is better */
} cln_mode;

/* The most epochs of which cln_fit_options.top_k keeps the weights. */
enum { CLN_MAX_TOP_K = 64 };

/* How an early stop stands after an epoch: see cln_fit_options.patience. */
typedef struct cln_stopping {
    bool now;       /* training ends here */
    int waited;     /* epochs since the best, of those that were scored */
    int best_epoch; /* from 1 */
    double best;    /* its score by the monitor */
} cln_stopping;

/* What is known at a stage; what is not known yet is zero. */
typedef struct cln_fit_event {
    cln_fit_stage stage;                                     /* CLN_FIT_LOADED first, then each in its turn */
    int64_t training_images, validation_images, test_images; /* whatever the limits say; zero before CLN_FIT_LOADED */
    cln_normalization normalization;                         /* of all images */
    /* Of each channel over the training images, normalised, without augmentation: near 0 and 1 if all is well. */
    float batch_mean[CLN_MAX_IMAGE_CHANNELS], batch_deviation[CLN_MAX_IMAGE_CHANNELS];
    int64_t parameters;      /* of the network ... */
    int64_t frozen;          /* ... and those of them that are not trained */
    const char *initialised; /* CLN_FIT_READY: what was taken of init_weights, in words; NULL: nothing */
    cln_plan_memory memory;  /* of the training plan */
    int computations, tuned; /* of the training plan: those that have several kernel variants; with a tuner's result */
    double build_s;          /* seconds that planning and compiling took */
    int epoch, epochs;       /* from 1; CLN_FIT_READY: how many were complete before (0: a new run) */
    int64_t step, steps;     /* from 1, in the epoch; CLN_FIT_READY: done of the next epoch before */
    float learning_rate;     /* of the step */
    double train_loss, train_accuracy; /* means over the epoch so far */
    double images_per_s;               /* of the epoch so far, training only; without the process's first update */
    double seconds_left;               /* to the end of the last epoch; NaN: not known yet */
    cln_score validation;              /* CLN_FIT_EPOCH; count 0: none */
    bool improved;                     /* CLN_FIT_EPOCH: the best epoch so far, by the monitor */
    cln_score sanity;                  /* CLN_FIT_READY: of sanity_val_steps; count 0: none */
    cln_monitor monitor;               /* CLN_FIT_EPOCH: never the default */
    cln_stopping stopping;             /* CLN_FIT_EPOCH, with patience */
} cln_fit_event;

/* What a run spends its time on, one phase at a time. */
typedef enum cln_phase {
    CLN_PHASE_PREPARE,    /* data, plans, and what is in none of the others */
    CLN_PHASE_DATA,       /* waiting for batches */
    CLN_PHASE_STEP,       /* sending batches, enqueuing steps and waiting for them */
    CLN_PHASE_VALIDATION, /* after epochs and before training */
    CLN_PHASE_SAVING,     /* weights, metrics, the state to resume from */
    CLN_PHASE_TEST,       /* at the end */
    CLN_PHASE_COUNT       /* how many there are */
} cln_phase;
/* "preparing", "waiting for data", "training steps", "validation", "saving", "test" */
CLN_API const char *cln_phase_name(cln_phase phase);

/* All kernels of one operator in the steps that were timed. */
typedef struct cln_profile_op {
    const char *op;               /* "conv2d_grad_weight"; a static string */
    int launches;                 /* of all those steps together, as the times are */
    double seconds, flops, bytes; /* as in cln_step_time */
} cln_profile_op;

/* More than any run has operators. */
enum { CLN_MAX_PROFILE_OPS = 96 };
/* Where the time of a run went. */
typedef struct cln_fit_profile {
    double phase_s[CLN_PHASE_COUNT];         /* seconds; their sum is that of the run */
    int timed_steps;                         /* training steps whose kernels were timed */
    double kernels_s;                        /* of all of them */
    int op_count;                            /* of `ops` */
    cln_profile_op ops[CLN_MAX_PROFILE_OPS]; /* the longest first */
} cln_fit_profile;

/* What is trained on what, how, and what is kept of it. Everything is borrowed until cln_fit returns. */
typedef struct cln_fit_options {
    const cln_model *model; /* the network */
    const void *hparams;    /* NULL: the model's defaults; num_classes and in_channels always come from the data set */
    cln_recipe recipe;      /* such as *model->recipe, changed */
    float label_smoothing;  /* of the training loss, see cln_softmax_ce; 0: none */
    const char *data;       /* as cln_dataset_load takes it */
    const char *normalize;  /* as cln_normalization_choose takes it */
    int image_height, image_width; /* to which the images of an image folder are resized; 0: their own size */
    double validation; /* images held back from the training set: below 1 a share of it, else their number; 0: none */
    const char *split_indices; /* NULL: the split is drawn by `seed`. Else a file that lists the training images (see
                                * cln_split_parse): the last ones are held back, images not listed are left out */
    /* NULL, or a regular file of any format that cln_weights_file_read takes: a new run begins with its weights but for
     * those of the last layer, where they are missing or of another shape (see cln_weights_transfer). A run that is
     * gone on with knows them by a checksum, the file may be gone. */
    const char *init_weights;
    const char *freeze; /* NULL, or as cln_graph_freeze takes it: parameters that are not trained */
    uint64_t seed;      /* of weights, split, order, augmentation and dropout */
    int workers;        /* threads that prepare batches */
    /* What is done to the training images; NULL: cln_augmentation_default. With mixup or CutMix, the training accuracy
     * counts the label that weighs more. */
    const cln_augmentation *augmentation;
    /* Folder, made if absent: best.safetensors (the best epoch by the monitor), last.safetensors, metrics.csv (a line
     * an epoch: epoch, lr-SGD, lr-Adam, lr-AdamW or lr-Muon, train_loss, train_acc, val_loss, val_acc, images_per_s),
     * summary.txt (the network's layers), an event file, and resume.safetensors, which holds all that is needed to go
     * on. A new run needs a folder without such files: it is CLN_INVALID_ARGUMENT, before the data are loaded, if there
     * are any; other files may be there. Nor may another run be trained there at the same time. May be NULL with
     * fast_dev_run. See cln_run_folder_new. */
    const char *out;
    const char *config;  /* a text that says what run this is, written into the folder as config.yaml; NULL: none */
    cln_monitor monitor; /* which epoch is the best */
    cln_mode mode;       /* best at which end of it */
    /* Stop when the monitor has not been better by more than min_delta for so many validations (of train_loss and
     * train_acc: epochs) in a row, or is no finite number; 0: never. */
    int patience;
    double min_delta; /* at least 0; see patience */
    int top_k; /* above 1: also keep the weights of the K best epochs, as epoch=NN.safetensors; 0: 1; below 0: none */
    bool no_last;        /* write no last.safetensors */
    bool no_tensorboard; /* write no event file into the folder; see below */
    double save_every_s; /* seconds between saves of the state within an epoch; 0: 30 */
    /* NULL: from the beginning. Else the resume.safetensors in `out`, to go on from: the result is, byte for byte, that
     * of the uninterrupted run. Only recipe.epochs and the paths may differ; more epochs need the same milestones. The
     * folder may be a copy, and the state an earlier one put back under its name; the weights that it refers to must be
     * there. A file elsewhere or of another name is CLN_INVALID_ARGUMENT. */
    const char *resume;
    /* How much of the data is used: the first batches of each epoch, as a share of them below 1 (at least one batch),
     * else their number. 0: all. Below 0: none, which only validation and test can be. */
    double limit_train_batches, limit_val_batches, limit_test_batches;
    double overfit_batches; /* not 0: limits training and validation so, and trains on the same images in each epoch, in
                             * one order (still augmented) */
    int fast_dev_run;       /* above 0: so many batches of training, validation and test in one epoch, and no files:
                             * nothing of `out`, `resume`, `tune`, patience and other limits counts */
    int64_t max_steps; /* 0: no limit. Training ends after so many updates; the epoch in which it does is validated and
                        * saved like any other, and learning rates are those of `recipe`, whatever this is */
    int check_val_every_n_epoch; /* 0: 1. Epochs between are not validated; a monitor of validation does not see them */
    int sanity_val_steps;        /* Batches to validate before a new run begins, so that what is wrong with validation
                                  * shows at once; -1: all. They change nothing. A loss that is not finite is
                                  * CLN_DIVERGED */
    /* Look at loss, gradients and weights after every step, not only at the loss: an infinite or undefined one stops
     * the run with CLN_DIVERGED, naming step and layer. Much slower, since the device waits for the host after each
     * step. */
    bool detect_anomaly;
    /* NULL: none. Filled in; and `out` gets trace.json, a time line of phases and of the kernels of the timed steps
     * (see clnet/trace.h). The weights are those of a run without. */
    cln_fit_profile *profile;
    bool (*should_stop)(void *user); /* NULL: never. Asked between steps: true saves and ends, see result->stopped */
    const char *variant;             /* as in cln_plan_options */
    /* Use the tuner's results, from the database at `tuning` (NULL: the default). The weights and the state say which
     * kernels a run uses, and a resumed run uses those again, whatever the database says meanwhile. */
    bool tuned;
    const char *tuning;           /* see above */
    const cln_tune_options *tune; /* with `tuned`: first measure what has no result; NULL: do not */
    FILE *graph_out, *plan_out;   /* where to write graph and training plan as text; NULL: nowhere */
    void (*on_event)(void *user, const cln_fit_event *event); /* NULL: none; called in the caller's thread */
    void *user;                                               /* what should_stop and on_event are given */
} cln_fit_options;

/* How a run ended. */
typedef struct cln_fit_result {
    bool stopped;         /* by should_stop: resume.safetensors says where, and nothing was tested */
    bool stopped_early;   /* by patience */
    int epochs;           /* completed */
    int best_epoch;       /* the one whose weights were tested: the best by the monitor, or the last; from 1 */
    bool best_saved;      /* best.safetensors holds them, else last.safetensors, if it is written at all */
    cln_score validation; /* of that epoch; count 0: none */
    cln_score test;       /* of the tested weights on the test images; count 0: none */
    double images_per_s;  /* training only; this and the next without what was done before resuming */
    double seconds;       /* of training and validation */
} cln_fit_result;

/* Trains `options->model` on a data set: shuffled, augmented batches, the last partial one left out; the learning rate
 * as the recipe's scheduler has it; validation and saving after each epoch; at the end the best weights (the last,
 * without validation) on the test set. The same options on the same device, and with options->tuned the same
 * results of the tuner, give the same bytes of weights. A loss that is infinite or undefined stops it with
 * CLN_DIVERGED, naming epoch, step and the first layer concerned. Every file is replaced as a whole and
 * resume.safetensors last, so that a run killed at any moment can go on from there. Where the cause may lie outside (a
 * lost device, no memory, a full disk), the message says up to where the run is saved.
 *
 * The event file is for TensorBoard (clnet/tensorboard.h). Its curves have the names and steps, which are updates, of
 * PyTorch Lightning's:
 * after each epoch train_loss, train_acc, val_loss and val_acc (means over the epoch) and epoch (from 0) at the index,
 * from 0, of the epoch's last step; lr-SGD, lr-Adam, lr-AdamW or lr-Muon at that of its first, and at every 50th
 * step if it changes within an epoch; test_loss, test_acc and epoch at
 * the number of steps of the run. Besides there are the network's graph, a picture of the augmentation (four training
 * images above what the network sees of them) and the hyper-parameters, with test_acc and
 * val_acc to compare runs by. Going on cuts off what was written after the state that it goes on from. */
CLN_API cln_status cln_fit(cln_context *ctx, cln_device *device, const cln_fit_options *options,
                           cln_fit_result *result);

/* Makes a folder and those above it, where they are not there. */
CLN_API cln_status cln_folder_make(cln_context *ctx, const char *path);
/* Makes the folder of a new run, <root>/<model>/version_<N> with N one above the highest there, as PyTorch Lightning
 * does; several processes at once get different ones. *path is malloc'ed, owned by the caller. */
CLN_API cln_status cln_run_folder_new(cln_context *ctx, const char *root, const char *model, char **path);
/* The one with the highest N of those with a resume.safetensors, so without what a learning-rate finder alone has left;
 * *path is NULL if there is none. */
CLN_API cln_status cln_run_folder_latest(cln_context *ctx, const char *root, const char *model, char **path);

/* --- before fitting: a learning rate, a batch size --- */

/* How the range test is done; zeros: as Lightning does it. */
typedef struct cln_lr_find_options {
    float min_lr, max_lr;       /* 0: 1e-8 and 1 */
    int num_training;           /* updates; 0: 100 */
    float early_stop_threshold; /* end where the smoothed loss is so many times its least; 0: 4; below 0: nowhere */
} cln_lr_find_options;

/* One update of the range test. */
typedef struct cln_lr_point {
    float learning_rate;        /* of the update */
    double loss, smoothed_loss; /* the latter: exponentially weighted with 0.98, without the bias of the beginning */
} cln_lr_point;

/* What the range test found. */
typedef struct cln_lr_curve {
    int count;            /* of `points` */
    cln_lr_point *points; /* owned */
    int suggestion;       /* index of the suggested rate; -1: the points are too few */
    bool stopped;         /* by should_stop */
} cln_lr_curve;

/* The learning-rate range test (Smith, arXiv 1506.01186) as Lightning's lr_find does it: trains the network of
 * `options` from its first weights, the rate growing exponentially from step to step, to the end, to a loss that is not
 * finite or to early_stop_threshold. What options->out, resume, patience and the schedule say does not count, and
 * nothing is kept of the training. `find` may be NULL. The caller frees *out with cln_lr_curve_free. */
CLN_API cln_status cln_lr_find(cln_context *ctx, cln_device *device, const cln_fit_options *options,
                               const cln_lr_find_options *find, cln_lr_curve *out);
/* Frees the points and sets all to zero. */
CLN_API void cln_lr_curve_free(cln_lr_curve *curve);
/* Where the smoothed loss falls most steeply, leaving out the first 10 points and the last; -1: fewer than 2 are left.
 */
CLN_API int cln_lr_suggest(const cln_lr_point *points, int count);
/* Writes lr_find.csv into `folder`, which is made if absent: step, lr, loss, smoothed_loss. */
CLN_API cln_status cln_lr_curve_write(cln_context *ctx, const cln_lr_curve *curve, const char *folder);

/* The largest batch, and what it needs. */
typedef struct cln_batch_size {
    int64_t images;                            /* the largest batch that fits; 0: not even one image does */
    bool all_images;                           /* no batch can be larger: these are all images to train on */
    uint64_t training_bytes, evaluation_bytes; /* of the two plans, without weights, at that size */
    uint64_t weights_bytes;                    /* values, gradients and optimiser state */
    uint64_t limit_bytes;                      /* what there is for all three */
} cln_batch_size;

/* The largest batch with which the training and the evaluation plan of `options`, and the weights, fit together into
 * the device's memory, or into `limit_bytes` if that is not 0, and each tensor into one allocation. From plans alone:
 * nothing runs on the device. recipe.batch_size does not count. */
CLN_API cln_status cln_batch_size_find(cln_context *ctx, cln_device *device, const cln_fit_options *options,
                                       uint64_t limit_bytes, cln_batch_size *out);

/* --- testing --- */

/* Which images of a data set. */
typedef enum cln_subset {
    CLN_SUBSET_TEST,       /* those of CLN_SPLIT_TEST */
    CLN_SUBSET_VALIDATION, /* those of CLN_SPLIT_TRAIN that were held back */
    CLN_SUBSET_TRAINING,   /* the others of CLN_SPLIT_TRAIN */
} cln_subset;

/* Which weights, on which images. Everything is borrowed. */
typedef struct cln_evaluate_options {
    const char *weights;           /* a file of any format that cln_weights_file_read takes */
    const char *data;              /* as cln_dataset_load takes it */
    int image_height, image_width; /* as in cln_fit_options; 0: the file's, if it says */
    cln_subset subset;             /* of its images */
    /* NULL: the images that the file's training held back, or did not, as the file says. Else a list as in
     * cln_fit_options. */
    const char *split_indices;
    double validation; /* with a list: how many are held back; 0: as many as the file says, else a tenth */
    /* Where neither a list nor the file says it: draw the split by `seed`, hold back `validation`. */
    bool draw_split;
    uint64_t seed;                  /* of draw_split */
    const cln_model *const *models; /* among which the file's metadata names one */
    int model_count;                /* of `models` */
    const cln_model *model;         /* not NULL: this one, with `hparams` (JSON; NULL: the file's, or the defaults) */
    const char *hparams;            /* of the model above */
    const char *normalize;          /* NULL: the file's, or what cln_normalization_choose takes by default */
    int batch_size;                 /* images in a step; at least 1 */
    int workers;                    /* threads that prepare batches */
    const char *variant;            /* as in cln_plan_options */
    bool tuned;                     /* as in cln_fit_options */
    const char *tuning;             /* as in cln_fit_options */
    int top_k; /* of cln_evaluation_new (clnet/evaluate.h): how many classes count as named; 0: 5 */
} cln_evaluate_options;

/* Rebuilds the network of a weights file and counts what it gets right on a data set, without augmentation
 * (clnet/evaluate.h tells more of it). A
 * checkpoint of PyTorch Lightning that has "model_name" and "model_hparams" among its hyper-parameters says all that is
 * needed, and its images are normalised by the published values of CIFAR-10. For a bare state_dict, give the model. */
CLN_API cln_status cln_evaluate(cln_context *ctx, cln_device *device, const cln_evaluate_options *options,
                                cln_score *score);

/* What a weights file says of its training; what it does not say is "" or 0. */
typedef struct cln_training_record {
    char model[64];                             /* its name */
    int epochs;                                 /* completed */
    cln_optimizer optimizer;                    /* without what the file does not tell */
    float learning_rate;                        /* the first */
    bool has_split;                             /* whether the file tells the next two */
    int64_t training_images, validation_images; /* with has_split: all of the training set, and held back of it */
} cln_training_record;
/* Lightning's "Adam" is told as CLN_ADAMW, which it means in the checkpoints that are read here, and its "ResNet" with
 * the blocks of ResNetPreAct as that. */
CLN_API cln_status cln_training_record_read(cln_context *ctx, const char *weights, cln_training_record *out);

#ifdef __cplusplus
}
#endif
#endif
