/* optimizer: the update of every parameter in one pass over the weights' regions, after the gradients are complete.
 * Its input is the loss: an infinite or undefined one leaves the parameters as they are. */
#include "ops.h"

#include <string.h>

bool cln_optimizer_parse(const char *name, cln_optimizer_kind *out) {
    static const struct {
        const char *name;
        cln_optimizer_kind kind;
    } kinds[] = {{"sgd", CLN_SGD}, {"adam", CLN_ADAM}, {"adamw", CLN_ADAMW}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(name, kinds[i].name) == 0) {
            *out = kinds[i].kind;
            return true;
        }
    return false;
}

static bool is_valid(const cln_optimizer *o) {
    bool sgd = o->momentum >= 0 && (o->momentum > 0 || !o->nesterov);
    bool adam = o->beta1 >= 0 && o->beta1 < 1 && o->beta2 >= 0 && o->beta2 < 1 && o->eps > 0;
    return o->weight_decay >= 0 && (o->kind == CLN_SGD ? sgd : adam);
}

void cln__optimizer_add(cln_graph *g, cln_tensor loss, const cln_optimizer *optimizer) {
    cln_optimizer o = *optimizer;
    if (o.kind == CLN_NO_OPTIMIZER)
        return;
    o.beta1 = o.beta1 != 0 ? o.beta1 : 0.9f;
    o.beta2 = o.beta2 != 0 ? o.beta2 : 0.999f;
    o.eps = o.eps != 0 ? o.eps : 1e-8f;
    if (!is_valid(&o)) {
        cln_graph_fail(g,
                       "optimizer: weight decay %g, momentum %g%s, betas %g and %g, eps %g: out of range (Nesterov's "
                       "needs a momentum)",
                       (double)o.weight_decay, (double)o.momentum, o.nesterov ? " (Nesterov)" : "", (double)o.beta1,
                       (double)o.beta2, (double)o.eps);
        return;
    }
    /* Not a layer of the model. */
    bool differentiating = g->differentiating;
    g->differentiating = true;
    cln__node_add(g, &cln__op_optimizer, NULL, &o, &loss, 1);
    g->differentiating = differentiating;
}

/* The kernels' common beginning: vectors are as wide as channel blocks, the device's preference. On a CPU a work-item
 * takes a run of them; elsewhere one, so that neighbours read neighbouring memory. */
static cln__step *new_step(cln__lowering *l, const char *kernel, cln_tensor loss) {
    int width = l->caps->block;
    int64_t vectors = l->layouts->values_elements / width;
    int64_t run = l->caps->is_cpu ? cln__divide_up(vectors, l->caps->items_target) : 1;
    cln__step *step = cln__step_new(l, "optimizer", kernel);
    cln__step_define(l, step, "V=%d", width);
    cln__arg_tensor(step, loss, CLN__READ);
    cln__arg_int(step, vectors);
    cln__arg_int(step, run);
    cln__arg_region(step, CLN__VALUES, CLN__READ_WRITE);
    cln__arg_region(step, CLN__GRADS, CLN__READ);
    cln__step_items(step, cln__divide_up(vectors, run), 1, 1);
    return step;
}

static void lower_sgd(cln__lowering *l, const cln_optimizer *o, cln_tensor loss) {
    cln__step *step = new_step(l, "optimizer_sgd", loss);
    cln__step_define(l, step, "MOMENTUM=%d", o->momentum > 0);
    cln__step_define(l, step, "NESTEROV=%d", o->nesterov);
    if (o->momentum > 0)
        cln__arg_region(step, CLN__SLOT0, CLN__READ_WRITE);
    cln__arg_scalar(step, CLN__LEARNING_RATE);
    cln__arg_float(step, (double)o->weight_decay);
    cln__arg_scalar(step, CLN__MOMENTUM);
}

static void lower_adam(cln__lowering *l, const cln_optimizer *o, cln_tensor loss) {
    cln__step *step = new_step(l, "optimizer_adam", loss);
    cln__step_define(l, step, "DECOUPLED=%d", o->kind == CLN_ADAMW);
    cln__arg_region(step, CLN__SLOT0, CLN__READ_WRITE);
    cln__arg_region(step, CLN__SLOT1, CLN__READ_WRITE);
    cln__arg_scalar(step, CLN__LEARNING_RATE);
    cln__arg_scalar(step, CLN__BIAS_CORRECTION1);
    cln__arg_scalar(step, CLN__BIAS_CORRECTION2);
    cln__arg_float(step, (double)o->weight_decay);
    cln__arg_scalar(step, CLN__MOMENTUM);
    cln__arg_scalar(step, CLN__REST);
    cln__arg_float(step, (double)o->beta2);
    cln__arg_float(step, 1 - (double)o->beta2);
    cln__arg_float(step, (double)o->eps);
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    const cln_optimizer *o = node->attrs;
    if (l->layouts->values_elements == 0)
        return CLN_OK;
    (o->kind == CLN_SGD ? lower_sgd : lower_adam)(l, o, cln__input(node, 0));
    return l->status;
}

const cln__op cln__op_optimizer = {.name = "optimizer", .attrs_size = sizeof(cln_optimizer), .lower = lower};
