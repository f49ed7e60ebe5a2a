/* The largest batch that fits, from plans alone: they say what they need before anything is allocated. */
#include "trainer.h"

typedef struct search {
    cln__trainer *t;
    uint64_t limit_bytes;
    cln_batch_size best;
} search;

/* Whether `batch` images fit; if so they are the best so far. */
static cln_status try_batch(search *s, int64_t batch, bool *fits) {
    cln_plan_memory training, evaluation = {0};
    cln_plan_options options[2];
    cln__trainer *t = s->t;
    cln__trainer_plan_options(t, &options[0], &options[1]);
    *fits = false;
    cln_status status = cln_plan_estimate(t->device, t->network.graph, &options[0], batch, &training);
    if (status == CLN_OK)
        status = cln_plan_estimate(t->device, t->evaluation.graph, &options[1], batch, &evaluation);
    if (status == CLN_OUT_OF_MEMORY) /* one piece too large */
        return CLN_OK;
    CLN_TRY(status);
    if (t->options->recipe.model_ema_decay > 0) /* the average of the weights */
        training.weights_bytes += 4 * (uint64_t)cln_graph_parameters(t->network.graph);
    *fits = training.planned_bytes + evaluation.planned_bytes + training.weights_bytes <= s->limit_bytes;
    if (*fits)
        s->best = (cln_batch_size){.images = batch,
                                   .training_bytes = training.planned_bytes,
                                   .evaluation_bytes = evaluation.planned_bytes,
                                   .weights_bytes = training.weights_bytes};
    return CLN_OK;
}

/* Powers of two until one does not fit or `most` images are reached; then between the last two. */
static cln_status find(search *s, int64_t most) {
    bool fits = true;
    int64_t fails = most + 1, batch;
    for (batch = 1; fits && s->best.images < most; batch = 2 * batch < most ? 2 * batch : most) {
        CLN_TRY(try_batch(s, batch, &fits));
        fails = fits ? fails : batch;
    }
    while (fails - s->best.images > 1) {
        batch = s->best.images + (fails - s->best.images) / 2;
        CLN_TRY(try_batch(s, batch, &fits));
        fails = fits ? fails : batch;
    }
    return CLN_OK;
}

cln_status cln_batch_size_find(cln_context *ctx, cln_device *device, const cln_fit_options *options,
                               uint64_t limit_bytes, cln_batch_size *out) {
    cln_fit_options run = *options;
    search s = {.limit_bytes = limit_bytes ? limit_bytes : cln_device_get_info(device)->memory_bytes};
    *out = (cln_batch_size){0};
    run.out = run.resume = NULL;
    run.fast_dev_run = 0;
    run.recipe.batch_size = 1;
    cln_status status = cln__trainer_load(ctx, device, &run, &s.t);
    int64_t most = status == CLN_OK ? s.t->division.train_count : 0;
    if (status == CLN_OK)
        status = find(&s, most);
    cln__trainer_close(s.t);
    CLN_TRY(status);
    *out = s.best;
    out->limit_bytes = s.limit_bytes;
    out->all_images = out->images == most;
    return CLN_OK;
}
