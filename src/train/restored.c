/* From a weights file to a plan: see restored.h. */
#include "restored.h"

#include <stdlib.h>

cln_status cln__restored_read(cln_context *ctx, const cln__source *s, cln__restored *out) {
    *out = (cln__restored){.file = NULL};
    CLN_TRY(cln_weights_file_read(ctx, s->weights, &out->file));
    CLN_TRY(cln__origin_read(ctx, out->file, s->weights, &out->origin));
    return cln__origin_model(ctx, &out->origin, s->weights, s->models, s->model_count, s->model, &out->model);
}

static cln_status make_plan(cln_context *ctx, cln_device *device, const cln__source *s, cln__restored *r) {
    const cln_tensor outputs[] = {r->network.loss, r->network.correct, r->network.logits};
    cln_plan_options options = {.outputs = outputs, .output_count = 3, .variant = s->variant};
    if (s->tuned)
        CLN_TRY(cln_choices_load(ctx, device, s->tuning, &r->choices));
    options.choices = r->choices.of;
    options.choice_count = r->choices.count;
    return cln_plan_build(device, r->network.graph, r->weights, &options, &r->plan);
}

cln_status cln__restored_build(cln_context *ctx, const cln__source *s, const cln_dataset *shape, cln__restored *r) {
    CLN_TRY(cln__origin_hparams(ctx, &r->origin, s->weights, r->model, s->hparams, shape, &r->hparams));
    CLN_TRY(cln__network_build(ctx, r->model, r->hparams, shape, s->batch_size, 0, false, &r->network));
    r->classes = (int)cln_tensor_shape(r->network.graph, r->network.logits).c;
    return CLN_OK;
}

cln_status cln__restored_load(cln_context *ctx, cln_device *device, const cln__source *s, cln__restored *r) {
    CLN_TRY(cln_weights_new(device, r->network.graph, 0, &r->weights));
    CLN_TRY(cln_weights_load(ctx, r->weights, r->file, s->weights));
    return make_plan(ctx, device, s, r);
}

void cln__restored_free(cln__restored *r) {
    cln_plan_free(r->plan);
    cln_choices_free(&r->choices);
    cln_weights_free(r->weights);
    cln__network_free(&r->network);
    free(r->hparams);
    cln__origin_free(&r->origin);
    cln_weights_file_free(r->file);
    *r = (cln__restored){.file = NULL};
}

cln_status cln__restored_run(cln__restored *r, const float *images, const int32_t *labels, float *logits) {
    const cln__network *n = &r->network;
    cln_shape image = cln_tensor_shape(n->graph, n->image);
    CLN_TRY(cln_plan_write(r->plan, n->image, images, image.n * image.c * image.h * image.w));
    CLN_TRY(cln_plan_write_labels(r->plan, n->label, labels, image.n));
    CLN_TRY(cln_plan_step(r->plan, 0));
    return cln_plan_read(r->plan, n->logits, logits, image.n * r->classes);
}
