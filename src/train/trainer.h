/* The state of one cln_fit, shared by what comes before its first step (trainer.c, prepare.c), its stages (fit.c), its
 * epochs (epoch.c) and what outlives it (resume.c). */
#ifndef CLN_SRC_TRAINER_H
#define CLN_SRC_TRAINER_H

#include "clnet/tensorboard.h"
#include "division.h"
#include "folder.h"
#include "network.h"
#include "ranking.h"

/* How far a run is: between two steps, this and what the device holds are all there is to a run. */
typedef struct cln__position {
    int epochs;                   /* completed */
    int64_t steps;                /* of the next one */
    double loss, correct, images; /* sums over those steps */
} cln__position;

typedef struct cln__profiler cln__profiler;

typedef struct cln__trainer {
    cln_context *ctx;
    cln_device *device;
    const cln_fit_options *options;
    void *hparams;
    cln_dataset *train, *test;
    uint32_t data_checksum;
    cln__division division;
    cln_loader *train_loader, *validation_loader, *test_loader;
    cln__network network, evaluation;    /* with label smoothing; without */
    cln_weights *weights, *average;      /* average: NULL without recipe.model_ema_decay */
    cln_weights_file *first_weights;     /* of options->init_weights, until they are on the device */
    char *initialised;                   /* what was taken of them, in words, */
    char *initialised_by;                /* and of what it was, for the record, as JSON */
    cln_choices choices;                 /* of kernels, asked for */
    cln_tensor outputs[2], evaluated[2]; /* loss and correct, of the plans */
    cln_plan *train_plan, *evaluation_plan;
    cln__folder folder;
    cln_tensorboard *board;   /* NULL: none */
    int64_t event_bytes;      /* of the event file that are of the position resumed from; 0: there was none */
    cln_safetensors *resumed; /* the file that is resumed from, until its tensors are on the device */
    cln__position position;
    cln__ranking ranking;
    cln_score validation; /* of the best epoch; if none is ranked, of the last */
    cln_stopping stopping;
    struct cln__profiler *profiler;  /* NULL: none */
    bool stopped;                    /* options->should_stop said so */
    int64_t trained;                 /* images, by this process */
    double saved_s;                  /* when the state to resume from was saved */
    bool is_saved;                   /* by this process, */
    cln__position saved;             /* which is what it saved last */
    double validation_s, training_s; /* of the last epoch's validation; of all training by this process */
    cln_fit_event event;
} cln__trainer;

/* A trainer with all that comes before the first step, for `options` without a fast_dev_run; and one with data and
 * graphs only, for plans. Both borrow the options. *out is to be closed in any case, NULL too. */
cln_status cln__trainer_open(cln_context *ctx, cln_device *device, const cln_fit_options *options, cln__trainer **out);
cln_status cln__trainer_load(cln_context *ctx, cln_device *device, const cln_fit_options *options, cln__trainer **out);
void cln__trainer_close(cln__trainer *t);

/* The options of both plans, without choices of kernels. */
void cln__trainer_plan_options(cln__trainer *t, cln_plan_options *training, cln_plan_options *evaluation);

/* Epochs of the run, steps of one of them (from 0; max_steps can cut the last one short), steps until the position. */
int cln__trainer_epochs(const cln__trainer *t);
int64_t cln__trainer_steps(const cln__trainer *t, int epoch);
int64_t cln__trainer_steps_done(const cln__trainer *t);
/* Updates of a whole epoch, and until the position. */
int64_t cln__trainer_updates(const cln__trainer *t);
int64_t cln__trainer_updates_done(const cln__trainer *t);

/* The weights that are validated, tested and saved. */
cln_weights *cln__trainer_result(const cln__trainer *t);

/* Trains the next epoch from t->position on, to its end or until t->stopped; fills in the event's figures. */
cln_status cln__train_epoch(cln__trainer *t);

/* Asks options->should_stop, until it says so. */
bool cln__trainer_stops(cln__trainer *t);

void cln__trainer_tell(cln__trainer *t, cln_fit_stage stage);

#endif
