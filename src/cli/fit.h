/* The options of cltrain fit. Their rows stand in one file a theme (fit_<theme>.c), which also says what they mean
 * together. To add an option: a member here, its default in fit_defaults, a row in its theme's table, and its way into
 * cln_fit_options (fit_training.c, which clbench race shares, or cmd_fit.c). What comes from the model's recipe unless
 * it is given is filled in by fit_resolve. */
#ifndef CLN_SRC_CLI_FIT_H
#define CLN_SRC_CLI_FIT_H

#include "commands.h"
#include "interrupt.h"
#include "tuning.h"

#include <math.h>
#include <stdio.h>

/* As given; what was not is NULL, NAN, -1 or an empty list. */
typedef struct fit_arguments {
    /* data */
    const char *data, *normalize, *split_indices;
    cln_ints image_size;
    double validation;
    int64_t workers;
    /* augmentation */
    bool augment;
    double hflip, erasing, mixup, cutmix;
    cli_reals scale, ratio, color_jitter;
    int64_t crop_padding, cutout;
    int padding_mode;
    const char *augmentation_grid;
    /* recipe */
    const cln_model *model;
    const char *hparams;
    int64_t epochs, batch_size, seed;
    int optimizer;
    double lr, momentum, weight_decay, label_smoothing;
    bool nesterov, weight_decay_norm_bias;
    int64_t accumulate;
    const char *init_weights, *freeze;
    double clip; /* 0: none */
    bool ema, ema_warmup;
    double ema_decay;
    int clip_kind;
    /* schedule of the learning rate */
    int scheduler;
    cln_ints milestones; /* count -1: not given */
    double gamma, min_lr, pct_start, div_factor, final_div_factor, base_momentum, max_momentum, warmup_lr;
    bool cycle_momentum;
    int64_t warmup_epochs, warmup_steps; /* 0: none */
    /* run */
    const char *device, *variant;
    tuning_options tuning;
    bool benchmark;
    double budget_s;
    /* checkpoints */
    const char *out, *resume, *pretrained;
    int monitor, mode;
    int64_t top_k;
    bool last;
    double save_every;
    /* loop */
    int64_t patience, max_steps, check_val_every, sanity_val_steps, fast_dev_run;
    double min_delta;
    const char *overfit_batches, *limit_train_batches, *limit_val_batches, *limit_test_batches;
    bool detect_anomaly, profiler;
    /* find */
    bool lr_find, batch_size_find;
    double lr_find_min, lr_find_max, lr_find_threshold;
    int64_t lr_find_steps;
    /* output */
    bool quiet, json_lines, tensorboard, print_graph, print_plan;
    cli_config config;
    /* the command line */
    int argc;
    char **argv;
} fit_arguments;

#define FIT_AT(member) offsetof(fit_arguments, member)

extern const fit_arguments fit_defaults;
extern const cli_option fit_network_options[], fit_recipe_options[], fit_schedule_options[], fit_data_options[],
    fit_augmentation_options[], fit_run_options[], fit_checkpoint_options[], fit_loop_options[], fit_find_options[],
    fit_output_options[];

/* Checks of options that concern each other; the exit status. */
int fit_check_augmentation(const cli_command *command, const fit_arguments *a);
int fit_check_recipe(const cli_command *command, const fit_arguments *a);
int fit_check_schedule(const cli_command *command, const fit_arguments *a);
int fit_check_run(const cli_command *command, const fit_arguments *a);
int fit_check_loop(const cli_command *command, const fit_arguments *a);
int fit_check_training(const cli_command *command, const fit_arguments *a); /* of network, recipe, data, augmentation */
int fit_check_output(const cli_command *command, const fit_arguments *a);
int fit_check_find(const cli_command *command, const fit_arguments *a);
int fit_check_checkpoints(const cli_command *command, const fit_arguments *a);

/* Fills in what was not given from the model's recipe: afterwards the arguments say all about the run. */
void fit_resolve(fit_arguments *a);
void fit_resolve_schedule(fit_arguments *a);
/* Where the option was not given, the recipe's number as one would write it: 0.1 and not 0.100000001. */
void fit_fill(double *value, float from);
/* Whether the schedule sets the momentum. */
bool fit_cycles_momentum(const fit_arguments *a);
/* What the arguments of the loop say, into the options; false, with a message, if one of them is not well-formed. */
bool fit_loop(const cli_command *command, const fit_arguments *a, cln_fit_options *options);
void fit_resolve_augmentation(fit_arguments *a);
/* What the resolved arguments say. */
cln_augmentation fit_augmentation(const fit_arguments *a);
/* Without folder, events and what else is not of the training itself. */
cln_fit_options fit_training(const fit_arguments *a, const cln_augmentation *augmentation);
cln_recipe fit_recipe(const fit_arguments *a);
void fit_schedule(const fit_arguments *a, cln_recipe *recipe);
/* Prints the schedule as parts of a sentence: ", warm-up of 3 epochs". */
void fit_show_schedule(const cln_recipe *recipe);
/* Prints a line with the parts that are on. */
void fit_show_augmentation(const cln_augmentation *augmentation);
/* --augmentation-grid: in place of training, a picture of what the augmentation does to the first images. */
cln_status fit_draw_augmentation(cln_context *ctx, const fit_arguments *a);
/* The run's configuration, every hyper-parameter included. */
cln_status fit_print_config(cln_context *ctx, const fit_arguments *a, FILE *to);
/* The same as a text for the run's folder, malloc'ed. */
cln_status fit_config_text(cln_context *ctx, const fit_arguments *a, char **out);
/* "sgd", "adam", "adamw", "muon"; NULL: no optimiser. */
const char *fit_optimizer_name(cln_optimizer_kind kind);

/* Where a run writes and what it goes on from. */
typedef struct fit_paths {
    const char *out, *resume; /* resume NULL: from the beginning */
    char *numbered;           /* owned: the folder that the library chose */
    bool made;                /* by this run */
    char folder[INTERRUPT_PATH], state[INTERRUPT_PATH];
} fit_paths;
/* From --out and --resume; makes the folder of a new run that has no --out. To be freed, also after a failure. */
cln_status fit_paths_choose(cln_context *ctx, const fit_arguments *a, fit_paths *out);
/* A folder that was made here and stayed empty goes. */
void fit_paths_free(fit_paths *paths);

/* What --profiler found; `folder` NULL: no trace was written. */
void fit_show_profile(const cln_fit_profile *profile, const char *folder);

/* --lr-find and --batch-size-find: in place of training. */
cln_status fit_find(cln_context *ctx, cln_device *device, const fit_arguments *a, const cln_fit_options *options);

/* --pretrained: in place of training, the scores of a file's weights. */
cln_status fit_score_pretrained(cln_context *ctx, const fit_arguments *a);

#endif
