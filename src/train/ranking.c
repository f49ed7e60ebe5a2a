/* The K best epochs, in order. */
#include "ranking.h"

#include <math.h>

const char *cln_monitor_name(cln_monitor monitor) {
    switch (monitor) {
    case CLN_MONITOR_DEFAULT:
    case CLN_MONITOR_VAL_ACC:
        break;
    case CLN_MONITOR_VAL_LOSS:
        return "val_loss";
    case CLN_MONITOR_TRAIN_ACC:
        return "train_acc";
    case CLN_MONITOR_TRAIN_LOSS:
        return "train_loss";
    }
    return "val_acc";
}

static bool is_loss(cln_monitor monitor) {
    return monitor == CLN_MONITOR_VAL_LOSS || monitor == CLN_MONITOR_TRAIN_LOSS;
}

cln_status cln__ranking_init(cln_context *ctx, const cln_fit_options *o, bool has_validation, cln__ranking *out) {
    bool by_default = o->monitor == CLN_MONITOR_DEFAULT;
    *out = (cln__ranking){.monitor = by_default ? CLN_MONITOR_VAL_ACC : o->monitor};
    if (o->top_k > CLN_MAX_TOP_K)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "the weights of at most %d epochs can be kept, not %d",
                         CLN_MAX_TOP_K, o->top_k);
    bool of_validation = out->monitor == CLN_MONITOR_VAL_ACC || out->monitor == CLN_MONITOR_VAL_LOSS;
    if (!by_default && of_validation && !has_validation)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "cannot monitor %s: no images are held back for validation; hold some back, or monitor "
                         "train_loss or train_acc",
                         cln_monitor_name(out->monitor));
    out->lowest = o->mode == CLN_MODE_DEFAULT ? is_loss(out->monitor) : o->mode == CLN_MODE_MIN;
    out->capacity = of_validation && !has_validation ? 0 : o->top_k < 0 ? 0 : o->top_k == 0 ? 1 : o->top_k;
    out->every = of_validation && o->check_val_every_n_epoch > 0 ? o->check_val_every_n_epoch : 1;
    if (out->capacity == 0 && o->no_last)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "no weights would be kept: neither those of the best epoch nor those of the last");
    return CLN_OK;
}

bool cln__ranking_score(const cln__ranking *r, const cln_fit_event *e, double *score) {
    switch (r->monitor) {
    case CLN_MONITOR_DEFAULT:
    case CLN_MONITOR_VAL_ACC:
        break;
    case CLN_MONITOR_VAL_LOSS:
        *score = e->validation.loss;
        return e->validation.count > 0;
    case CLN_MONITOR_TRAIN_ACC:
        *score = e->train_accuracy;
        return true;
    case CLN_MONITOR_TRAIN_LOSS:
        *score = e->train_loss;
        return true;
    }
    *score = e->validation.accuracy;
    return e->validation.count > 0;
}

/* A score that is not a number is worse than any that is. */
static bool is_better(const cln__ranking *r, double a, double b) {
    if (isnan(a) || isnan(b))
        return !isnan(a) && isnan(b);
    return r->lowest ? a < b : a > b;
}

bool cln__ranking_add(cln__ranking *r, const cln_fit_event *event, int *evicted) {
    cln__ranked added = {.epoch = event->epoch};
    int at = r->count;
    *evicted = 0;
    if (!cln__ranking_score(r, event, &added.score))
        return false;
    while (at > 0 && is_better(r, added.score, r->at[at - 1].score))
        at--;
    if (at >= r->capacity)
        return false;
    for (int i = r->count; i > at; i--)
        r->at[i] = r->at[i - 1];
    r->at[at] = added;
    if (++r->count > r->capacity)
        *evicted = r->at[--r->count].epoch;
    return true;
}

int cln__ranking_best(const cln__ranking *r) {
    return r->count > 0 ? r->at[0].epoch : 0;
}

bool cln__ranking_has(const cln__ranking *r, int epoch) {
    for (int i = 0; i < r->count; i++)
        if (r->at[i].epoch == epoch)
            return true;
    return false;
}
