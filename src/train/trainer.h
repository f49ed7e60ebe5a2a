/* The state of one cln_fit, shared by its stages (fit.c) and its epochs (epoch.c). */
#ifndef CLN_SRC_TRAINER_H
#define CLN_SRC_TRAINER_H

#include "folder.h"
#include "network.h"

typedef struct cln__trainer {
    cln_context *ctx;
    cln_device *device;
    const cln_fit_options *options;
    void *hparams;
    cln_dataset *train, *test;
    int64_t *train_indices, *validation_indices;
    cln_loader *train_loader, *validation_loader, *test_loader;
    cln__network network, evaluation; /* with label smoothing; without */
    cln_weights *weights;
    cln_plan *train_plan, *evaluation_plan;
    cln__folder folder;
    cln_score best; /* in validation */
    int best_epoch;
    double validation_s, training_s; /* of the last epoch's validation; of all epochs' training */
    cln_fit_event event;
} cln__trainer;

/* The learning rate of an epoch (from 0): multiplied by gamma once for each milestone reached. */
float cln__learning_rate(const cln_recipe *recipe, int epoch);

/* Trains one epoch (from 0); fills in the event's figures. */
cln_status cln__train_epoch(cln__trainer *t, int epoch);

/* Seconds of a clock that never goes back. */
double cln__now_s(void);

void cln__trainer_tell(cln__trainer *t, cln_fit_stage stage);

#endif
