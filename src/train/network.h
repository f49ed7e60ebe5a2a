/* A model's graph as the trainer uses it, a pass that scores it, and the small things that fit and evaluate share. */
#ifndef CLN_SRC_NETWORK_H
#define CLN_SRC_NETWORK_H

#include "../base/base.h"
#include "clnet/train.h"

typedef struct cln__network {
    cln_graph *graph; /* owned */
    cln_tensor image, label, logits;
    cln_tensor other, weight; /* of a mixed network: those of cln_softmax_ce_mixed; else CLN_NO_TENSOR */
    cln_tensor loss, correct; /* scalars */
} cln__network;

/* `hparams` NULL: the model's defaults. `mixed`: its batches come with two labels a row. */
cln_status cln__network_build(cln_context *ctx, const cln_model *model, const void *hparams, const cln_dataset *data,
                              int64_t batch, float label_smoothing, bool mixed, cln__network *out);
void cln__network_free(cln__network *network);

/* The options of an evaluation plan that keeps loss and correct; `outputs` is filled in and must live as long. */
cln_plan_options cln__network_evaluation(const cln__network *network, const char *variant, cln_tensor outputs[2]);

/* Writes the plan's inputs. */
cln_status cln__network_feed(const cln__network *network, cln_plan *plan, const cln_batch *batch);

/* Enqueues one step on `batch` (without `rates`, one that only accumulates; with `times`, as cln_plan_profile_at) and
 * the copies of loss and correct; cln__flight_land waits for these. Up to three may be in flight, so that the device
 * need not wait for the host. */
typedef struct cln__flight {
    int64_t index, count; /* of the batch */
    int loss, correct;    /* tickets */
} cln__flight;
cln_status cln__flight_start(const cln__network *network, cln_plan *plan, const cln_batch *batch,
                             const cln_rates *rates, cln_step_time *times, cln__flight *out);
cln_status cln__flight_land(cln_plan *plan, const cln__flight *flight, float *loss, float *correct);

/* Runs an evaluation plan over everything that `loader` has. */
cln_status cln__score(const cln__network *network, cln_plan *plan, cln_loader *loader, cln_score *score);

/* Loads a split; images of an image folder become `height` x `width` (0: their own size) and `channels` (0: their own).
 * If others are not of that size, it fails. */
cln_status cln__load_data(cln_context *ctx, const char *path, cln_split split, int channels, int height, int width,
                          cln_dataset **out);

/* Sets num_classes and in_channels, where the model has them, to those of the data set. */
void cln__hparams_fit_data(const cln_model *model, void *hparams, const cln_dataset *data);

#endif
