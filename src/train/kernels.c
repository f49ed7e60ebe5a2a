/* See kernels.h. */
#include "kernels.h"

#include <stdlib.h>

char *cln__kernels_print(const cln_plan *training, const cln_plan *evaluation) {
    const cln_plan *plans[] = {training, evaluation};
    int count = 0, room = 1;
    for (int p = 0; p < 2; p++)
        room += plans[p] ? cln_plan_choices(plans[p]) : 0;
    cln_choice *all = malloc(sizeof *all * (size_t)room);
    for (int p = 0; p < 2; p++)
        for (int i = 0; all && plans[p] && i < cln_plan_choices(plans[p]); i++)
            all[count++] = cln_plan_choice(plans[p], i);
    char *text = all ? cln_choices_print(all, count) : NULL;
    free(all);
    return text;
}

/* A state from before they were recorded has none: its run used what the rules choose. */
static cln_status recall(cln__trainer *t) {
    const char *text = cln_safetensors_metadata(t->resumed, "choices");
    cln_status status = text ? cln_choices_parse(text, &t->choices) : CLN_OK;
    if (status == CLN_OUT_OF_MEMORY)
        return cln__fail_memory(t->ctx, "the kernel variants of a run");
    if (status == CLN_OK)
        return CLN_OK;
    return cln__fail(t->ctx, CLN_INVALID_FILE, "cannot resume from '%s': its kernel variants are not readable: %.200s",
                     t->options->resume, text);
}

static cln_status load(cln__trainer *t, const cln_plan_options *training, const cln_plan_options *evaluation) {
    const cln_fit_options *o = t->options;
    const cln_tune_job jobs[] = {{t->network.graph, training}, {t->evaluation.graph, evaluation}};
    cln_tune_result result;
    if (o->tune && !o->variant)
        CLN_TRY(cln_tune(t->ctx, t->device, jobs, 2, o->tune, &result));
    return cln_choices_load(t->ctx, t->device, o->tuning, &t->choices);
}

cln_status cln__kernels_choose(cln__trainer *t, cln_plan_options *training, cln_plan_options *evaluation) {
    if (t->resumed && t->options->tune)
        cln__warn(t->ctx, "no kernels are measured: a run that is resumed goes on with those that it began with");
    if (t->resumed)
        CLN_TRY(recall(t));
    else if (t->options->tuned)
        CLN_TRY(load(t, training, evaluation));
    cln_plan_options *const both[] = {training, evaluation};
    for (int i = 0; i < 2; i++) {
        both[i]->choices = t->choices.of;
        both[i]->choice_count = t->choices.count;
        both[i]->choices_required = t->resumed != NULL;
    }
    return CLN_OK;
}

void cln__kernels_warn(const cln__trainer *t) {
    if (!t->resumed || t->choices.count == 0)
        return;
    int all = cln_plan_choices(t->train_plan) + cln_plan_choices(t->evaluation_plan);
    int known = cln_choices_count(&t->choices, t->train_plan) + cln_choices_count(&t->choices, t->evaluation_plan);
    if (known < all)
        cln__warn(t->ctx,
                  "'%s' does not say which kernels %d of the %d computations used, as they were others then: the "
                  "last digits of the weights may not be those of an uninterrupted run",
                  t->options->resume, all - known, all);
}
