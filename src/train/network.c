/* Building a model with its loss, and passing batches through it with one step always enqueued ahead. */
#include "network.h"

cln_status cln__network_build(cln_context *ctx, const cln_model *model, const void *hparams, const cln_dataset *data,
                              int64_t batch, float label_smoothing, bool mixed, cln__network *out) {
    cln_graph *g = cln_graph_new(ctx);
    if (!g)
        return cln__fail_memory(ctx, "the graph");
    *out = (cln__network){.graph = g, .other = CLN_NO_TENSOR, .weight = CLN_NO_TENSOR};
    out->image = cln_input(g, "image", batch, data->channels, data->height, data->width);
    out->label = cln_labels(g, "label", batch);
    if (mixed) {
        out->other = cln_labels(g, "other_label", batch);
        out->weight = cln_input(g, "label_weight", batch, 1, 1, 1);
    }
    out->logits = model->build(g, out->image, hparams ? hparams : model->defaults);
    out->loss = mixed ? cln_softmax_ce_mixed(g, out->logits, out->label, out->other, out->weight, label_smoothing)
                      : cln_softmax_ce(g, out->logits, out->label, label_smoothing);
    out->correct = cln_accuracy(g, out->logits, out->label);
    return cln_graph_status(g);
}

void cln__network_free(cln__network *network) {
    cln_graph_free(network->graph);
    network->graph = NULL;
}

cln_plan_options cln__network_evaluation(const cln__network *network, const char *variant, cln_tensor outputs[2]) {
    outputs[0] = network->loss;
    outputs[1] = network->correct;
    return (cln_plan_options){.outputs = outputs, .output_count = 2, .variant = variant};
}

cln_status cln__load_data(cln_context *ctx, const char *path, cln_split split, int channels, int height, int width,
                          cln_dataset **out) {
    cln_dataset_options options = {.height = height, .width = width, .channels = channels};
    CLN_TRY(cln_dataset_load(ctx, path, split, &options, out));
    const cln_dataset *d = *out;
    if ((height == 0 && width == 0) || (d->height == height && d->width == width))
        return CLN_OK;
    cln_status status = cln__fail(ctx, CLN_INVALID_ARGUMENT,
                                  "data set '%s': its images are %dx%d, and only those of an image folder can be "
                                  "resized to %dx%d",
                                  path, d->height, d->width, height, width);
    cln_dataset_free(*out);
    *out = NULL;
    return status;
}

void cln__hparams_fit_data(const cln_model *model, void *hparams, const cln_dataset *data) {
    cln_hparams_set_int(model, hparams, "num_classes", data->num_classes);
    cln_hparams_set_int(model, hparams, "in_channels", data->channels);
}

cln_status cln__network_feed(const cln__network *network, cln_plan *plan, const cln_batch *batch) {
    cln_shape shape = cln_tensor_shape(network->graph, network->image);
    CLN_TRY(cln_plan_write(plan, network->image, batch->images, batch->size * shape.c * shape.h * shape.w));
    CLN_TRY(cln_plan_write_labels(plan, network->label, batch->labels, batch->size));
    if (network->other.id < 0)
        return CLN_OK;
    CLN_TRY(cln_plan_write_labels(plan, network->other, batch->others, batch->size));
    return cln_plan_write(plan, network->weight, batch->weights, batch->size);
}

cln_status cln__flight_start(const cln__network *network, cln_plan *plan, const cln_batch *batch,
                             const cln_rates *rates, cln_step_time *times, cln__flight *out) {
    out->index = batch->index;
    out->count = batch->count;
    CLN_TRY(cln__network_feed(network, plan, batch));
    if (rates && times)
        CLN_TRY(cln_plan_profile_at(plan, *rates, times));
    else
        CLN_TRY(rates ? cln_plan_step_at(plan, *rates) : cln_plan_accumulate(plan));
    CLN_TRY(cln_plan_request_scalar(plan, network->loss, &out->loss));
    return cln_plan_request_scalar(plan, network->correct, &out->correct);
}

cln_status cln__flight_land(cln_plan *plan, const cln__flight *flight, float *loss, float *correct) {
    CLN_TRY(cln_plan_fetch(plan, flight->loss, loss));
    return cln_plan_fetch(plan, flight->correct, correct);
}

static cln_status add(cln_plan *plan, const cln__flight *flight, cln_score *score) {
    float loss, correct;
    CLN_TRY(cln__flight_land(plan, flight, &loss, &correct));
    score->loss += (double)loss * (double)flight->count;
    score->correct += (int64_t)correct;
    score->count += flight->count;
    return CLN_OK;
}

cln_status cln__score(const cln__network *network, cln_plan *plan, cln_loader *loader, cln_score *score) {
    const cln_rates none = {0};
    cln__flight last = {.index = -1};
    *score = (cln_score){0};
    CLN_TRY(cln_loader_start(loader, 0, 0));
    for (;;) {
        const cln_batch *batch;
        cln__flight next;
        CLN_TRY(cln_loader_next(loader, &batch));
        if (batch)
            CLN_TRY(cln__flight_start(network, plan, batch, &none, NULL, &next));
        if (last.index >= 0)
            CLN_TRY(add(plan, &last, score));
        if (!batch)
            break;
        last = next;
    }
    score->accuracy = (double)score->correct / (double)score->count;
    score->loss /= (double)score->count;
    return CLN_OK;
}
