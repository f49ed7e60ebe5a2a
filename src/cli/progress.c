/* The progress of training. */
#include "progress.h"
#include "commands.h"
#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { BAR_WIDTH = 24 };
static const double bar_period_s = 0.1, line_period_s = 10;

progress progress_new(cln_context *ctx, bool quiet) {
    return (progress){.ctx = ctx, .quiet = quiet, .terminal = isatty(STDOUT_FILENO) == 1, .shown_s = report_now_s()};
}

static void show_values(const char *name, const float *values, int count, int digits) {
    double step = 1;
    for (int i = 0; i < digits; i++)
        step /= 10;
    printf("%s", name);
    for (int c = 0; c < count; c++) /* + 0: no "-0.00" */
        printf("%s %.*f", c ? "," : "", digits, rint((double)values[c] / step) * step + 0);
}

static void show_loaded(const cln_fit_event *e) {
    char training[32], validation[32], test[32];
    const cln_normalization *n = &e->normalization;
    printf("data: %s images to train on, %s for validation, %s to test; ", report_count(e->training_images, training),
           report_count(e->validation_images, validation), report_count(e->test_images, test));
    show_values("mean", n->mean, n->channels, 4);
    show_values(", deviation", n->deviation, n->channels, 4);
    show_values("\nnormalised batches: mean", e->batch_mean, n->channels, 2);
    show_values(", deviation", e->batch_deviation, n->channels, 2);
    printf(" (0 and 1 are ideal)\npreparing (kernels are compiled on the first run, which can take a minute)\n");
}

static void show_ready(const cln_fit_event *e) {
    char parameters[32], planned[32], weights[32];
    if (e->initialised)
        printf("weights: %s\n", e->initialised);
    if (e->frozen > 0)
        printf("frozen: %s parameters\n", report_count(e->frozen, parameters));
    printf("ready after %.1f s: %s parameters; %d launches a step; %s of memory for activations, %s for weights\n",
           e->build_s, report_count(e->parameters, parameters), e->memory.steps,
           report_bytes(e->memory.planned_bytes, planned), report_bytes(e->memory.weights_bytes, weights));
    if (e->epoch > 0 || e->step > 0)
        printf("going on after epoch %d/%d and step %" PRId64 "/%" PRId64 " of the next\n", e->epoch, e->epochs,
               e->step, e->steps);
    if (e->sanity.count > 0)
        printf("validation was tried on %" PRId64 " images: loss %.4f before training\n", e->sanity.count,
               e->sanity.loss);
    if (e->tuned)
        printf("kernels: the tuner's for %d of %d computations\n", e->tuned, e->computations);
}

static void show_bar(const cln_fit_event *e) {
    char bar[BAR_WIDTH + 1], left[32];
    int full = (int)(e->step * BAR_WIDTH / e->steps);
    memset(bar, '.', BAR_WIDTH);
    memset(bar, '#', (size_t)full);
    bar[BAR_WIDTH] = '\0';
    printf("\repoch %d/%d [%s] %" PRId64 "/%" PRId64 "  loss %.4f  accuracy %.2f%%  %.0f images/s  %s left\033[K",
           e->epoch, e->epochs, bar, e->step, e->steps, e->train_loss, 100 * e->train_accuracy, e->images_per_s,
           report_time(e->seconds_left, left));
}

/* A plain line within an epoch is worth printing unless the epoch's own line comes soon. */
static bool line_is_due(const cln_fit_event *e) {
    double left = (double)(e->steps - e->step) / (double)e->steps * (double)e->training_images / e->images_per_s;
    return left > line_period_s / 2;
}

static void show_line(const cln_fit_event *e) {
    char left[32];
    printf("epoch %d/%d  step %" PRId64 "/%" PRId64 "  loss %.4f  accuracy %.2f%%  %.0f images/s  %s left\n", e->epoch,
           e->epochs, e->step, e->steps, e->train_loss, 100 * e->train_accuracy, e->images_per_s,
           report_time(e->seconds_left, left));
}

/* Of a learning-rate finder. */
static void show_rate(const progress *p, const cln_fit_event *e) {
    printf("%sstep %" PRId64 "/%" PRId64 "  lr %.3g  loss %.4f%s", p->terminal ? "\r" : "", e->step, e->steps,
           (double)e->learning_rate, e->train_loss, p->terminal ? "\033[K" : "\n");
}

static void show_early_stop(const cln_fit_event *e) {
    const cln_stopping *s = &e->stopping;
    if (s->best_epoch > 0)
        printf("early stopping: %s has not improved enough on the %.6g of epoch %d for %d validation%s\n",
               cln_monitor_name(e->monitor), s->best, s->best_epoch, s->waited, s->waited == 1 ? "" : "s");
    else
        printf("early stopping: %s was never a finite number\n", cln_monitor_name(e->monitor));
}

static void show_epoch(const progress *p, const cln_fit_event *e) {
    char left[32];
    printf("%sepoch %d/%d  lr %g  loss %.4f  accuracy %.2f%%", p->terminal ? "\r" : "", e->epoch, e->epochs,
           (double)e->learning_rate, e->train_loss, 100 * e->train_accuracy);
    if (e->validation.count > 0)
        printf("  validation loss %.4f  accuracy %.2f%%", e->validation.loss, 100 * e->validation.accuracy);
    printf("%s  %.0f images/s  %s left%s\n", e->improved ? " (best)" : "", e->images_per_s,
           report_time(e->seconds_left, left), p->terminal ? "\033[K" : "");
    if (e->stopping.now)
        show_early_stop(e);
}

void progress_show(void *user, const cln_fit_event *e) {
    progress *p = user;
    double now = report_now_s();
    report_warnings(CLI_PROGRAM, p->ctx);
    if (p->quiet)
        return;
    switch (e->stage) {
    case CLN_FIT_LOADED:
        show_loaded(e);
        break;
    case CLN_FIT_READY:
        show_ready(e);
        break;
    case CLN_FIT_STEP:
        if (now - p->shown_s < (p->terminal ? bar_period_s : line_period_s))
            return;
        if (p->rates)
            show_rate(p, e);
        else if (p->terminal)
            show_bar(e);
        else if (line_is_due(e))
            show_line(e);
        else
            return;
        break;
    case CLN_FIT_EPOCH:
        show_epoch(p, e);
        break;
    case CLN_FIT_TEST:
        printf("testing\n");
        break;
    }
    fflush(stdout);
    p->shown_s = now;
}

void progress_stop(const progress *p) {
    if (p->terminal && !p->quiet)
        printf("\n");
}

static void show_score(const char *name, const cln_score *score) {
    char correct[32], count[32];
    printf("%-12s %10s %10s %9.2f%% %10.4f\n", name, report_count(score->count, count),
           report_count(score->correct, correct), 100 * score->accuracy, score->loss);
}

void progress_scores(const cln_score *validation, const cln_score *test) {
    printf("\n%-12s %10s %10s %10s %10s\n", "", "images", "correct", "accuracy", "loss");
    if (validation->count > 0)
        show_score("validation", validation);
    if (test->count > 0)
        show_score("test", test);
}

void progress_result(const cln_fit_result *r) {
    char seconds[32];
    progress_scores(&r->validation, &r->test);
    printf("\nweights of epoch %d of %d; trained in %s at %.0f images/s\n", r->best_epoch, r->epochs,
           report_time(r->seconds, seconds), r->images_per_s);
}
