/* Learning rate and momentum of every update: a function of the recipe and the update's number alone. */
#include "schedule.h"

#include <inttypes.h>
#include <math.h>

static const double pi = 3.14159265358979323846;

const char *cln_lr_scheduler_name(cln_lr_scheduler scheduler) {
    static const char *const names[] = {"multistep", "cosine", "onecycle", "constant"};
    return names[scheduler];
}

const char *cln__rate_name(cln_optimizer_kind kind) {
    static const char *const names[] = {"lr", "lr-SGD", "lr-Adam", "lr-AdamW", "lr-Muon"};
    return names[kind];
}

cln_onecycle cln__schedule_onecycle(const cln_recipe *recipe) {
    cln_onecycle c = recipe->onecycle;
    c.pct_start = c.pct_start != 0 ? c.pct_start : 0.3f;
    c.div_factor = c.div_factor != 0 ? c.div_factor : 25;
    c.final_div_factor = c.final_div_factor != 0 ? c.final_div_factor : 1e4f;
    c.base_momentum = c.base_momentum != 0 ? c.base_momentum : 0.85f;
    c.max_momentum = c.max_momentum != 0 ? c.max_momentum : 0.95f;
    return c;
}

cln_optimizer cln__schedule_optimizer(const cln_recipe *recipe) {
    cln_optimizer o = recipe->optimizer;
    if (recipe->lr_scheduler == CLN_LR_ONECYCLE && !recipe->onecycle.fixed_momentum && o.kind == CLN_SGD)
        o.momentum = cln__schedule_onecycle(recipe).max_momentum;
    return o;
}

/* --- the schedulers: a rate and a momentum --- */

typedef struct rates {
    double rate, momentum;
} rates;

static double multistep(const cln_recipe *r, int64_t epoch) {
    double rate = (double)r->learning_rate;
    for (int i = 0; i < r->milestones.count; i++)
        if (epoch >= r->milestones.values[i])
            rate *= (double)r->gamma;
    return rate;
}

/* From `start` at 0 to `end` at 1 along half a wave. */
static double anneal(double start, double end, double at) {
    return end + (start - end) / 2 * (1 + cos(pi * at));
}

/* The peak is reached one update before the share of pct_start is over, as in PyTorch. */
static rates onecycle(const cln_recipe *recipe, int64_t update, int64_t total) {
    cln_onecycle c = cln__schedule_onecycle(recipe);
    double highest = (double)recipe->learning_rate, first = highest / (double)c.div_factor;
    double last = first / (double)c.final_div_factor, low = (double)c.base_momentum, high = (double)c.max_momentum;
    double peak = (double)c.pct_start * (double)total - 1, end = (double)total - 1, at = (double)update;
    rates out;
    if (at <= peak) {
        double part = peak > 0 ? at / peak : 1;
        out = (rates){anneal(first, highest, part), anneal(high, low, part)};
    } else {
        double part = end > peak ? (at - peak) / (end - peak) : 1;
        out = (rates){anneal(highest, last, part), anneal(low, high, part)};
    }
    if (c.fixed_momentum)
        out.momentum = 0;
    return out;
}

static int64_t warmup(const cln_recipe *r, int64_t updates) {
    return r->warmup_epochs > 0 ? r->warmup_epochs * updates : r->warmup_steps;
}

/* What comes behind the warm-up. */
static rates scheduled(const cln_recipe *r, int64_t update, int64_t updates) {
    int64_t begin = warmup(r, updates), total = r->epochs * updates - begin;
    switch (r->lr_scheduler) {
    case CLN_LR_MULTISTEP:
        return (rates){multistep(r, updates > 0 ? update / updates : 0), 0};
    case CLN_LR_COSINE:
        return (rates){anneal((double)r->learning_rate, (double)r->min_lr, (double)(update - begin) / (double)total),
                       0};
    case CLN_LR_ONECYCLE:
        return onecycle(r, update - begin, total);
    case CLN_LR_CONSTANT:
        break;
    }
    return (rates){(double)r->learning_rate, 0};
}

cln_rates cln_recipe_rates(const cln_recipe *r, int64_t update, int64_t updates) {
    int64_t rise = warmup(r, updates);
    rates now = scheduled(r, update > rise ? update : rise, updates);
    if (update < rise) {
        double start = r->warmup_lr > 0 ? (double)r->warmup_lr : now.rate / 100;
        now.rate = start + (now.rate - start) * (double)update / (double)rise;
    }
    return (cln_rates){.learning_rate = (float)now.rate, .momentum = (float)now.momentum};
}

/* --- checking --- */

static cln_status check_milestones(cln_context *ctx, const cln_recipe *r) {
    if (r->milestones.count < 0 || r->milestones.count > CLN_MAX_INTS)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "recipe: %d milestones, expected at most %d", r->milestones.count,
                         CLN_MAX_INTS);
    for (int i = 0; i < r->milestones.count; i++)
        if (r->milestones.values[i] < (i > 0 ? r->milestones.values[i - 1] + 1 : 1))
            return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                             "recipe: the milestones must be ascending epochs from 1 on, found %d after %d",
                             r->milestones.values[i], i > 0 ? r->milestones.values[i - 1] : 0);
    return CLN_OK;
}

static bool is_momentum(float x) {
    return x > 0 && x < 1;
}

static cln_status check_onecycle(cln_context *ctx, const cln_recipe *r) {
    cln_onecycle c = cln__schedule_onecycle(r);
    if (c.pct_start > 0 && c.pct_start <= 1 && c.div_factor > 0 && c.final_div_factor > 0 &&
        is_momentum(c.base_momentum) && is_momentum(c.max_momentum))
        return CLN_OK;
    return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                     "recipe: one-cycle with pct_start %g, div_factor %g, final_div_factor %g, momenta %g and %g: out "
                     "of range",
                     (double)c.pct_start, (double)c.div_factor, (double)c.final_div_factor, (double)c.base_momentum,
                     (double)c.max_momentum);
}

static cln_status check_warmup(cln_context *ctx, const cln_recipe *r) {
    if (r->warmup_epochs < 0 || r->warmup_steps < 0 || (r->warmup_epochs > 0 && r->warmup_steps > 0))
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "recipe: a warm-up of %d epochs and %" PRId64 " steps: expected one of the two",
                         r->warmup_epochs, r->warmup_steps);
    return CLN_OK;
}

cln_status cln__schedule_check_length(cln_context *ctx, const cln_recipe *r, int64_t updates) {
    if (warmup(r, updates) > 0 && warmup(r, updates) >= r->epochs * updates)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "recipe: a warm-up of %" PRId64 " steps leaves nothing of the %d epochs of %" PRId64
                         " steps: shorten it",
                         warmup(r, updates), r->epochs, updates);
    return CLN_OK;
}

cln_status cln__schedule_check(cln_context *ctx, const cln_recipe *r) {
    if (!(r->learning_rate > 0) || !isfinite(r->learning_rate) || !isfinite(r->gamma) || !(r->gamma > 0))
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "recipe: learning rate %g, gamma %g, expected more than 0",
                         (double)r->learning_rate, (double)r->gamma);
    if (!(r->min_lr >= 0 && r->min_lr <= r->learning_rate) || !(r->warmup_lr >= 0 && isfinite(r->warmup_lr)))
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "recipe: lowest learning rate %g, at the warm-up's beginning %g, expected 0 to %g",
                         (double)r->min_lr, (double)r->warmup_lr, (double)r->learning_rate);
    CLN_TRY(check_milestones(ctx, r));
    CLN_TRY(check_onecycle(ctx, r));
    return check_warmup(ctx, r);
}

cln_ints cln_recipe_milestones(const cln_recipe *recipe, int epochs) {
    cln_ints moved = {.count = 0};
    for (int i = 0; i < recipe->milestones.count; i++) {
        int at = (int)floor((double)recipe->milestones.values[i] * epochs / recipe->epochs + 0.5);
        at = at < 1 ? 1 : at;
        if (at < epochs && (moved.count == 0 || at > moved.values[moved.count - 1]))
            moved.values[moved.count++] = at;
    }
    return moved;
}
