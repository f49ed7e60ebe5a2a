/* See parts.h. */
#include "parts.h"
#include "schedule.h"

#include <stdlib.h>
#include <string.h>

void cln__parts_free(cln__parts *p) {
    for (size_t i = 0; p->tensors && i < p->count; i++)
        free((char *)p->tensors[i].name);
    free(p->of);
    free(p->tensors);
    free(p->values);
}

/* The slots that the optimiser uses are CLN_VALUE and those from CLN_MOMENT1 to this one. */
static cln_slot last_slot(const cln_recipe *recipe) {
    cln_optimizer o = cln__schedule_optimizer(recipe);
    switch (o.kind) {
    case CLN_NO_OPTIMIZER:
        break;
    case CLN_SGD:
        return o.momentum > 0 ? CLN_MOMENT1 : CLN_VALUE;
    case CLN_ADAM:
    case CLN_ADAMW:
    case CLN_MUON:
        return CLN_MOMENT2;
    }
    return CLN_VALUE;
}

static bool add_part(cln__parts *p, const cln_weight_info *info, cln__part of, const char *prefix) {
    cln_file_tensor *t = &p->tensors[p->count];
    *t = (cln_file_tensor){.name = cln__format("%s%s", prefix, info->name),
                           .dtype = CLN_F32,
                           .rank = info->rank,
                           .count = info->count,
                           .data = of.values};
    memcpy(t->shape, info->shape, sizeof info->shape);
    p->of[p->count++] = of;
    return t->name != NULL;
}

cln_status cln__parts_new(const cln__trainer *t, cln__parts *p) {
    static const char *const prefixes[CLN_SLOT_COUNT] = {"", "", "optimizer.moment1.", "optimizer.moment2."};
    int weights = cln_weights_count(t->weights);
    size_t most = 4 * (size_t)weights + 1, elements = 1;
    for (int i = 0; i < weights; i++)
        elements += 4 * (size_t)cln_weights_info(t->weights, i).count;
    *p = (cln__parts){.of = malloc(most * sizeof *p->of),
                      .tensors = malloc(most * sizeof *p->tensors),
                      .values = malloc(elements * sizeof *p->values)};
    bool ok = p->of && p->tensors && p->values;
    float *values = p->values;
    cln_slot last = last_slot(&t->options->recipe);
    for (int slot = CLN_VALUE; ok && slot <= (int)last; slot++)
        for (int i = 0; ok && slot != CLN_GRADIENT && i < weights; i++) {
            cln_weight_info info = cln_weights_info(t->weights, i);
            if (slot != CLN_VALUE && !info.trainable)
                continue;
            ok = add_part(p, &info, (cln__part){t->weights, i, (cln_slot)slot, values}, prefixes[slot]);
            values += info.count;
        }
    for (int i = 0; ok && t->average && i < weights; i++) {
        cln_weight_info info = cln_weights_info(t->average, i);
        ok = add_part(p, &info, (cln__part){t->average, i, CLN_VALUE, values}, "ema.");
        values += info.count;
    }
    if (ok)
        return CLN_OK;
    cln__parts_free(p);
    return cln__fail_memory(t->ctx, "the state of the run");
}
