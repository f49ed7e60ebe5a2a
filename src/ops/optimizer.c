/* optimizer: the update of the parameters, a pass over the weights' regions after the gradients are complete. Its first
 * input is the loss: an infinite or undefined one leaves the parameters as they are. */
#include "optimizer.h"

#include <string.h>

static const char *const names[] = {"none", "sgd", "adam", "adamw", "muon"}; /* as the enum */

const char *cln__optimizer_name(cln_optimizer_kind kind) {
    return names[kind];
}

bool cln_optimizer_parse(const char *name, cln_optimizer_kind *out) {
    for (size_t i = CLN_SGD; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (cln_optimizer_kind)i;
            return true;
        }
    return false;
}

cln_optimizer cln__optimizer_filled(const cln_optimizer *optimizer) {
    cln_optimizer o = *optimizer;
    o.beta1 = o.beta1 != 0 ? o.beta1 : o.kind == CLN_MUON ? 0.95f : 0.9f;
    o.beta2 = o.beta2 != 0 ? o.beta2 : 0.999f;
    o.eps = o.eps != 0 ? o.eps : 1e-8f;
    o.accumulate = o.accumulate != 0 ? o.accumulate : 1;
    return o;
}

static bool is_valid(const cln_optimizer *o) {
    bool sgd = o->momentum >= 0 && (o->momentum > 0 || !o->nesterov);
    bool adam = o->beta1 >= 0 && o->beta1 < 1 && o->beta2 >= 0 && o->beta2 < 1 && o->eps > 0;
    return o->weight_decay >= 0 && o->accumulate >= 1 && o->clip >= 0 && (o->kind == CLN_SGD ? sgd : adam);
}

/* Whether anything is left to train; a graph without parameters is the caller's affair. */
static bool trains(const cln_graph *g) {
    int64_t frozen = cln_graph_frozen(g);
    return frozen == 0 || frozen < cln_graph_parameters(g);
}

void cln__optimizer_add(cln_graph *g, cln_tensor loss, const cln_optimizer *optimizer) {
    cln_optimizer o = cln__optimizer_filled(optimizer);
    if (o.kind == CLN_NO_OPTIMIZER)
        return;
    if (!is_valid(&o)) {
        cln_graph_fail(
            g,
            "optimizer: weight decay %g, momentum %g%s, betas %g and %g, eps %g, %d steps an update, clipping "
            "at %g: out of range (Nesterov's needs a momentum)",
            (double)o.weight_decay, (double)o.momentum, o.nesterov ? " (Nesterov)" : "", (double)o.beta1,
            (double)o.beta2, (double)o.eps, o.accumulate, (double)o.clip);
        return;
    }
    if (!trains(g)) {
        cln_graph_fail(g, "optimizer: every parameter is frozen, there is nothing to train");
        return;
    }
    /* Not layers of the model. */
    bool differentiating = g->differentiating;
    g->differentiating = true;
    if (o.accumulate > 1)
        cln__node_add(g, &cln__op_accumulate, NULL, &o, &loss, 1);
    cln_tensor inputs[2] = {loss};
    bool scaled = o.clip > 0 && o.clip_kind == CLN_CLIP_NORM;
    if (scaled)
        inputs[1] = cln__node_add(g, &cln__op_clip_norm, NULL, &o, &loss, 1);
    cln__node_add(g, &cln__op_optimizer, NULL, &o, inputs, scaled ? 2 : 1);
    g->differentiating = differentiating;
}

cln__region cln__gradients_region(const cln_optimizer *o) {
    return o->accumulate > 1 ? CLN__SUMS : CLN__GRADS;
}

void cln__step_vectors(cln__lowering *l, cln__step *step, int64_t first, int64_t count) {
    int width = l->caps->block;
    int64_t vectors = count / width, begin = first / width;
    int64_t run = l->caps->is_cpu ? cln__divide_up(vectors, l->caps->items_target) : 1;
    cln__step_define(l, step, "V=%d", width);
    cln__arg_int(step, begin);
    cln__arg_int(step, begin + vectors);
    cln__arg_int(step, run);
    cln__step_items(step, run > 0 ? cln__divide_up(vectors, run) : 1, 1, 1);
}

bool cln__range_next(const cln__lowering *l, const cln_optimizer *o, cln__range *r) {
    bool open = false;
    for (int i = 0; i < l->g->tensor_count; i++) {
        const cln__tensor *t = &l->g->tensors[i];
        int64_t first = l->layouts->of[i].region_offset;
        bool decays = t->rank > 1 || !o || !o->no_weight_decay_norm_bias;
        bool left_out = t->frozen || (o && cln__is_muons(o, t));
        if (t->role != CLN__PARAM || first < r->end || (left_out && !open))
            continue;
        if (open && (left_out || decays != r->decays)) {
            r->end = first;
            return true;
        }
        if (!open)
            *r = (cln__range){first, first, decays};
        open = true;
    }
    r->end = l->layouts->values_elements;
    return open;
}

cln__step *cln__optimizer_step(cln__lowering *l, const char *source, const char *kernel, const cln__node *node,
                               const cln__range *r) {
    const cln_optimizer *o = node->attrs;
    cln__step *step = cln__step_new(l, source, kernel);
    cln__arg_tensor(step, cln__input(node, 0), CLN__READ);
    bool by_norm = node->input_count > 1, by_value = o->clip > 0 && !by_norm;
    if (by_norm)
        cln__arg_tensor(step, cln__input(node, 1), CLN__READ);
    if (by_value)
        cln__arg_float(step, (double)o->clip);
    cln__step_vectors(l, step, r->first, r->end - r->first);
    if (by_norm || by_value)
        cln__step_define(l, step, by_norm ? "CLIP_NORM=1" : "CLIP_VALUE=1");
    return step;
}

static cln__step *new_step(cln__lowering *l, const char *kernel, const cln__node *node, const cln__range *r) {
    cln__step *step = cln__optimizer_step(l, "optimizer", kernel, node, r);
    cln__arg_region(step, CLN__VALUES, CLN__READ_WRITE);
    cln__arg_region(step, cln__gradients_region(node->attrs), CLN__READ);
    return step;
}

/* Of a range, so many numbers of each of its elements. */
static double bytes_of(const cln__range *r, int numbers) {
    return 4.0 * numbers * (double)(r->end - r->first);
}

static void lower_sgd(cln__lowering *l, const cln__node *node, const cln__range *r) {
    const cln_optimizer *o = node->attrs;
    cln__step *step = new_step(l, "optimizer_sgd", node, r);
    step->bytes = bytes_of(r, o->momentum > 0 ? 5 : 3);
    cln__step_define(l, step, "MOMENTUM=%d", o->momentum > 0);
    cln__step_define(l, step, "NESTEROV=%d", o->nesterov);
    if (o->momentum > 0)
        cln__arg_region(step, CLN__SLOT0, CLN__READ_WRITE);
    cln__arg_scalar(step, CLN__LEARNING_RATE);
    cln__arg_float(step, r->decays ? (double)o->weight_decay : 0);
    cln__arg_scalar(step, CLN__MOMENTUM);
}

static void lower_adam(cln__lowering *l, const cln__node *node, const cln__range *r) {
    const cln_optimizer *o = node->attrs;
    cln__step *step = new_step(l, "optimizer_adam", node, r);
    step->bytes = bytes_of(r, 7);
    cln__step_define(l, step, "DECOUPLED=%d", o->kind != CLN_ADAM);
    cln__arg_region(step, CLN__SLOT0, CLN__READ_WRITE);
    cln__arg_region(step, CLN__SLOT1, CLN__READ_WRITE);
    cln__arg_scalar(step, CLN__LEARNING_RATE);
    cln__arg_scalar(step, CLN__BIAS_CORRECTION1);
    cln__arg_scalar(step, CLN__BIAS_CORRECTION2);
    cln__arg_float(step, r->decays ? (double)o->weight_decay : 0);
    cln__arg_scalar(step, CLN__MOMENTUM);
    cln__arg_scalar(step, CLN__REST);
    cln__arg_float(step, (double)o->beta2);
    cln__arg_float(step, 1 - (double)o->beta2);
    cln__arg_float(step, (double)o->eps);
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    const cln_optimizer *o = node->attrs;
    cln__range r = {.end = 0};
    if (o->kind == CLN_MUON)
        cln__lower_muon(l, node);
    while (cln__range_next(l, o, &r))
        (o->kind == CLN_SGD ? lower_sgd : lower_adam)(l, node, &r);
    return l->status;
}

const cln__op cln__op_optimizer = {
    .name = "optimizer", .attrs_size = sizeof(cln_optimizer), .lower = lower, .updates = true};
