/* One epoch of training. Step s + 1 is enqueued before the loss of step s is looked at, so the device never waits for
 * the host; the price is that a loss gone wrong is found one step late, and its batch is then prepared again to find
 * the layer. The update itself is left out on the device when the loss is not finite. */
#include "anomaly.h"
#include "profiler.h"
#include "resume.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void cln__trainer_tell(cln__trainer *t, cln_fit_stage stage) {
    t->event.stage = stage;
    if (t->options->on_event)
        t->options->on_event(t->options->user, &t->event);
}

bool cln__trainer_stops(cln__trainer *t) {
    const cln_fit_options *o = t->options;
    t->stopped = t->stopped || (o->should_stop && o->should_stop(o->user));
    return t->stopped;
}

/* --- how long a run is --- */

/* Batches that make an update; the last ones of an epoch make one too, if they are fewer. */
static int64_t group_of(const cln__trainer *t) {
    int group = t->options->recipe.optimizer.accumulate;
    return group > 1 ? group : 1;
}

static int64_t updates_of(const cln__trainer *t, int64_t steps) {
    return (steps + group_of(t) - 1) / group_of(t);
}

int64_t cln__trainer_updates(const cln__trainer *t) {
    return updates_of(t, t->event.steps);
}

int64_t cln__trainer_steps(const cln__trainer *t, int epoch) {
    int64_t updates = cln__trainer_updates(t), most = t->options->max_steps - epoch * updates;
    return t->options->max_steps > 0 && most < updates ? most * group_of(t) : t->event.steps;
}

int cln__trainer_epochs(const cln__trainer *t) {
    int64_t epochs = t->options->recipe.epochs;
    int64_t most = (t->options->max_steps - 1) / cln__trainer_updates(t) + 1;
    return (int)(t->options->max_steps > 0 && most < epochs ? most : epochs);
}

int64_t cln__trainer_steps_done(const cln__trainer *t) {
    const cln__position *p = &t->position;
    return p->epochs > 0 ? (p->epochs - 1) * t->event.steps + cln__trainer_steps(t, p->epochs - 1) + p->steps
                         : p->steps;
}

int64_t cln__trainer_updates_done(const cln__trainer *t) {
    const cln__position *p = &t->position;
    int64_t before =
        p->epochs > 0 ? (p->epochs - 1) * cln__trainer_updates(t) + updates_of(t, cln__trainer_steps(t, p->epochs - 1))
                      : 0;
    return before + updates_of(t, p->steps);
}

/* Whether `steps` steps of the epoch are whole updates: only there can a run be left and gone on with. */
static bool is_whole(const cln__trainer *t, int64_t steps) {
    return steps % group_of(t) == 0 || steps == cln__trainer_steps(t, t->position.epochs);
}

/* What the optimiser uses in the update of which step `index` of the epoch is a part. */
static cln_rates rates_of(const cln__trainer *t, int64_t index) {
    int64_t updates = cln__trainer_updates(t);
    return cln_recipe_rates(&t->options->recipe, t->position.epochs * updates + index / group_of(t), updates);
}

/* Of the average, after `updates` updates. */
static double decay_of(const cln_recipe *r, int64_t updates) {
    double most = 1 - pow((double)updates, -2.0 / 3);
    return updates <= 1 ? 0 : r->model_ema_warmup ? fmin(r->model_ema_decay, most) : r->model_ema_decay;
}

static cln_status start(cln__trainer *t, const cln_batch *batch, cln__flight *flight) {
    cln_rates rates = rates_of(t, batch->index);
    bool updates = is_whole(t, batch->index + 1);
    CLN_TRY(cln__profiler_step(t, batch, updates ? &rates : NULL, flight));
    if (!updates || !t->average)
        return CLN_OK;
    return cln_weights_average(t->average, t->weights, decay_of(&t->options->recipe, cln_plan_updates(t->train_plan)));
}

cln_weights *cln__trainer_result(const cln__trainer *t) {
    return t->average ? t->average : t->weights;
}

/* --- a loss that is not finite --- */

static bool is_trainable(const cln_weights *weights, const char *name) {
    for (int i = 0; i < cln_weights_count(weights); i++)
        if (strcmp(cln_weights_info(weights, i).name, name) == 0)
            return cln_weights_info(weights, i).trainable;
    return false;
}

/* Runs batch `index` of the epoch again, layer by layer. */
static cln_status find_layer(cln__trainer *t, int epoch, int64_t index, const char **layer) {
    const cln_batch *batch;
    CLN_TRY(cln_plan_finish(t->train_plan));
    CLN_TRY(cln_loader_start(t->train_loader, epoch, index));
    CLN_TRY(cln_loader_next(t->train_loader, &batch));
    CLN_TRY(cln__network_feed(&t->network, t->train_plan, batch));
    return cln_plan_find_nonfinite(t->train_plan, layer);
}

/* The culprit is a parameter if one is not finite (running statistics only show what went through them), else the first
 * layer whose output is not. */
static cln_status diverged(cln__trainer *t, int epoch, int64_t index, float loss) {
    const char *parameter = NULL, *layer = NULL;
    char *culprit = NULL;
    CLN_TRY(cln_weights_find_nonfinite(t->weights, CLN_VALUE, &parameter));
    if (parameter && !is_trainable(t->weights, parameter))
        parameter = NULL;
    if (!parameter)
        CLN_TRY(find_layer(t, epoch, index, &layer));
    if (parameter)
        culprit = cln__format("the first parameter with an infinite or undefined value is '%s'", parameter);
    else if (layer)
        culprit = cln__format("the first layer to give an infinite or undefined value is '%s'", layer);
    else
        culprit = cln__format("no layer gave an infinite or undefined value when the step was run again");
    cln_status status = cln__fail(t->ctx, CLN_DIVERGED,
                                  "training stopped: the loss became %s in epoch %d, step %lld of %lld (learning rate "
                                  "%g): %s; try a lower learning rate",
                                  isnan(loss) ? "undefined (NaN)" : "infinite", epoch + 1, (long long)index + 1,
                                  (long long)t->event.steps, (double)t->event.learning_rate,
                                  culprit ? culprit : "the first layer is not known");
    free(culprit);
    return status;
}

static cln_status check_weights(cln__trainer *t, int epoch) {
    const char *name = NULL;
    CLN_TRY(cln_weights_find_nonfinite(t->weights, CLN_VALUE, &name));
    if (!name)
        return CLN_OK;
    return cln__fail(t->ctx, CLN_DIVERGED,
                     "training stopped: after epoch %d, step %lld of %lld (learning rate %g) '%s' has an infinite or "
                     "undefined value; try a lower learning rate",
                     epoch + 1, (long long)t->position.steps, (long long)t->event.steps, (double)t->event.learning_rate,
                     name);
}

/* --- the loop --- */

/* From the sums so far to what the event tells. */
static void set_means(cln__trainer *t) {
    const cln__position *p = &t->position;
    t->event.step = p->steps;
    t->event.learning_rate = rates_of(t, p->steps > 0 ? p->steps - 1 : 0).learning_rate;
    t->event.train_loss = p->steps > 0 ? p->loss / (double)p->steps : 0;
    t->event.train_accuracy = p->images > 0 ? p->correct / p->images : 0;
}

/* `images` were trained in `elapsed` seconds of this epoch. `first`: by the first update of the process, in which
 * drivers compile, so that it says nothing of what is to come. */
static void set_speed(cln__trainer *t, double images, double elapsed, bool first) {
    cln_fit_event *e = &t->event;
    int64_t all = (e->epochs - 1) * e->steps + cln__trainer_steps(t, e->epochs - 1);
    double left = (double)(all - (e->epoch - 1) * e->steps - e->step);
    e->images_per_s = elapsed > 0 ? images / elapsed : 0;
    e->seconds_left = NAN;
    if (e->images_per_s > 0 && (!first || left <= 0))
        e->seconds_left =
            left * t->options->recipe.batch_size / e->images_per_s + t->validation_s * (e->epochs - e->epoch + 1);
}

/* Waits for a step and adds it up. */
static cln_status land(cln__trainer *t, int epoch, const cln__flight *flight) {
    float loss, correct;
    cln__position *p = &t->position;
    CLN_TRY(cln__flight_land(t->train_plan, flight, &loss, &correct));
    t->event.learning_rate = rates_of(t, flight->index).learning_rate;
    if (!isfinite(loss))
        return diverged(t, epoch, flight->index, loss);
    p->steps = flight->index + 1;
    p->loss += (double)loss;
    p->correct += (double)correct;
    p->images += (double)flight->count;
    t->trained += flight->count;
    set_means(t);
    return CLN_OK;
}

static bool save_is_due(const cln__trainer *t) {
    double period_s = t->options->save_every_s != 0 ? t->options->save_every_s : 30;
    return cln__now_s() - t->saved_s >= period_s;
}

/* Waits for a step and, where that is asked for, looks at what it made. */
static cln_status finish(cln__trainer *t, int epoch, const cln__flight *flight) {
    CLN_TRY(land(t, epoch, flight));
    if (t->options->detect_anomaly)
        CLN_TRY(cln__anomaly_check(t, epoch, flight->index));
    return CLN_OK;
}

/* Before a save, as before the end, the step in flight comes to its end and no other is begun; so it is after each step
 * whose gradients are looked at. */
cln_status cln__train_epoch(cln__trainer *t) {
    int epoch = t->position.epochs;
    int64_t steps = cln__trainer_steps(t, epoch);
    cln__flight last = {.index = -1};
    double start_s = cln__now_s(), since_s = start_s, images_before = t->position.images;
    t->event.epoch = epoch + 1;
    t->event.images_per_s = 0;
    set_means(t);
    CLN_TRY(cln_loader_start(t->train_loader, epoch, t->position.steps));
    for (;;) {
        const cln_batch *batch = NULL;
        cln__flight next;
        bool flies = last.index >= 0, whole = is_whole(t, t->position.steps + flies);
        bool stops = whole && cln__trainer_stops(t), saves = whole && !stops && flies && save_is_due(t);
        bool waits = saves || (!stops && flies && t->options->detect_anomaly);
        cln__profiler_enter(t, CLN_PHASE_DATA);
        if (!stops && !waits && t->position.steps + flies < steps)
            CLN_TRY(cln_loader_next(t->train_loader, &batch));
        cln__profiler_enter(t, CLN_PHASE_STEP);
        if (batch)
            CLN_TRY(start(t, batch, &next));
        if (flies) {
            bool first = t->trained < group_of(t) * t->options->recipe.batch_size;
            CLN_TRY(finish(t, epoch, &last));
            set_speed(t, t->position.images - images_before, cln__now_s() - since_s, first);
            cln__trainer_tell(t, CLN_FIT_STEP);
            images_before = first ? t->position.images : images_before;
            since_s = first ? cln__now_s() : since_s;
        }
        if (!batch && !waits)
            break;
        cln__profiler_enter(t, CLN_PHASE_SAVING);
        if (saves)
            CLN_TRY(cln__resume_save(t));
        last = waits ? (cln__flight){.index = -1} : next;
    }
    t->training_s += cln__now_s() - start_s;
    return check_weights(t, epoch);
}
