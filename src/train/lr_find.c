/* The learning-rate range test (Smith, arXiv 1506.01186), with the smoothing and the choice of Lightning's lr_find. */
#include "folder.h"
#include "trainer.h"

#include <math.h>
#include <stdlib.h>

enum { SKIP_BEGIN = 10, SKIP_END = 1 };
static const double smoothing = 0.98;

/* --- choosing --- */

/* As torch.gradient: half the difference of the neighbours, at both ends the difference to the one there is. */
static double slope(const cln_lr_point *points, int first, int last, int i) {
    int before = i > first ? i - 1 : i, after = i < last ? i + 1 : i;
    return (points[after].smoothed_loss - points[before].smoothed_loss) / (after - before);
}

int cln_lr_suggest(const cln_lr_point *points, int count) {
    int first = SKIP_BEGIN, last = count - SKIP_END - 1, steepest = -1;
    for (int i = first; last > first && i <= last; i++)
        if (steepest < 0 || slope(points, first, last, i) < slope(points, first, last, steepest))
            steepest = i;
    return steepest;
}

/* --- measuring --- */

static cln_lr_find_options with_defaults(const cln_lr_find_options *options) {
    cln_lr_find_options o = options ? *options : (cln_lr_find_options){0};
    o.min_lr = o.min_lr != 0 ? o.min_lr : 1e-8f;
    o.max_lr = o.max_lr != 0 ? o.max_lr : 1;
    o.num_training = o.num_training != 0 ? o.num_training : 100;
    o.early_stop_threshold = o.early_stop_threshold != 0 ? o.early_stop_threshold : 4;
    return o;
}

static cln_status check(cln_context *ctx, const cln_lr_find_options *o) {
    if (o->min_lr > 0 && o->min_lr < o->max_lr && isfinite(o->max_lr) && o->num_training > SKIP_BEGIN + SKIP_END + 1)
        return CLN_OK;
    return cln__fail(
        ctx, CLN_INVALID_ARGUMENT,
        "looking for a learning rate from %g to %g in %d steps: expected two rates above 0, the smaller one "
        "first, and at least %d steps",
        (double)o->min_lr, (double)o->max_lr, o->num_training, SKIP_BEGIN + SKIP_END + 2);
}

/* One step with the next batch; a new epoch begins where one ends. */
static cln_status step(cln__trainer *t, const cln_rates *rates, float *loss) {
    const cln_batch *batch;
    cln__flight flight;
    float correct;
    CLN_TRY(cln_loader_next(t->train_loader, &batch));
    if (!batch) {
        CLN_TRY(cln_loader_start(t->train_loader, ++t->position.epochs, 0));
        CLN_TRY(cln_loader_next(t->train_loader, &batch));
    }
    CLN_TRY(cln__flight_start(&t->network, t->train_plan, batch, rates, NULL, &flight));
    return cln__flight_land(t->train_plan, &flight, loss, &correct);
}

/* As many steps as make one update; *loss is that of the last. */
static cln_status update(cln__trainer *t, float learning_rate, float *loss) {
    const cln_rates rates = {.learning_rate = learning_rate};
    for (int left = t->options->recipe.optimizer.accumulate; left > 1; left--)
        CLN_TRY(step(t, NULL, loss));
    return step(t, &rates, loss);
}

static void tell(cln__trainer *t, const cln_lr_point *p, int step, int steps) {
    t->event.epoch = t->event.epochs = 1;
    t->event.step = step;
    t->event.steps = steps;
    t->event.learning_rate = p->learning_rate;
    t->event.train_loss = p->smoothed_loss;
    cln__trainer_tell(t, CLN_FIT_STEP);
}

static cln_status measure(cln__trainer *t, const cln_lr_find_options *o, cln_lr_curve *curve) {
    double average = 0, least = HUGE_VAL, ratio = (double)o->max_lr / (double)o->min_lr;
    CLN_TRY(cln_loader_start(t->train_loader, 0, 0));
    for (int i = 0; i < o->num_training && !cln__trainer_stops(t); i++) {
        float rate = (float)((double)o->min_lr * pow(ratio, (double)i / (o->num_training - 1))), loss;
        CLN_TRY(update(t, rate, &loss));
        if (!isfinite(loss))
            break;
        average = smoothing * average + (1 - smoothing) * (double)loss;
        cln_lr_point p = {rate, (double)loss, average / (1 - pow(smoothing, i + 1))};
        curve->points[curve->count++] = p;
        tell(t, &p, i + 1, o->num_training);
        if (o->early_stop_threshold > 0 && p.smoothed_loss > (double)o->early_stop_threshold * least)
            break;
        least = fmin(least, p.smoothed_loss);
    }
    curve->stopped = t->stopped;
    curve->suggestion = cln_lr_suggest(curve->points, curve->count);
    return CLN_OK;
}

cln_status cln_lr_find(cln_context *ctx, cln_device *device, const cln_fit_options *options,
                       const cln_lr_find_options *find, cln_lr_curve *out) {
    cln_lr_find_options o = with_defaults(find);
    cln_fit_options run = *options;
    cln__trainer *t;
    *out = (cln_lr_curve){.suggestion = -1};
    CLN_TRY(check(ctx, &o));
    run.out = run.resume = NULL; /* its weights are of no use */
    run.profile = NULL;
    run.fast_dev_run = run.patience = run.sanity_val_steps = 0;
    out->points = malloc(sizeof *out->points * (size_t)o.num_training);
    if (!out->points)
        return cln__fail_memory(ctx, "the losses of learning rates");
    cln_status status = cln__trainer_open(ctx, device, &run, &t);
    if (status == CLN_OK)
        status = measure(t, &o, out);
    cln__trainer_close(t);
    if (status != CLN_OK)
        cln_lr_curve_free(out);
    return status;
}

void cln_lr_curve_free(cln_lr_curve *curve) {
    free(curve->points);
    *curve = (cln_lr_curve){.suggestion = -1};
}

/* --- the file --- */

cln_status cln_lr_curve_write(cln_context *ctx, const cln_lr_curve *curve, const char *folder) {
    static const char header[] = "step,lr,loss,smoothed_loss\n";
    enum { LINE = 96 };
    char *text = malloc(sizeof header + LINE * (size_t)curve->count), *at = text;
    if (!text)
        return cln__fail_memory(ctx, "the losses of learning rates");
    locale_t before = cln__point_begin();
    at += sprintf(at, "%s", header);
    for (int i = 0; i < curve->count; i++) {
        const cln_lr_point *p = &curve->points[i];
        at += snprintf(at, LINE, "%d,%.9g,%.9g,%.9g\n", i + 1, (double)p->learning_rate, p->loss, p->smoothed_loss);
    }
    cln__point_end(before);
    char *path = cln__format("%s/lr_find.csv", folder);
    cln_status status = path ? cln_folder_make(ctx, folder) : cln__fail_memory(ctx, "a file name");
    if (status == CLN_OK)
        status = cln_file_write(ctx, path, text, (size_t)(at - text));
    free(path);
    free(text);
    return status;
}
