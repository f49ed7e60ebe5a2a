/* Graph, weights, plan and batch of clbench's measurements. */
#include "network.h"
#include "../src/cli/report.h"
#include "measure.h"

#include <stdlib.h>

/* The convolution alone, with a gradient that comes from outside. */
static void build_conv(network *n, const network_options *o) {
    int32_t v[5] = {16, 16, 32, 3, 1};
    for (int i = 0; i < o->conv.count && i < 5; i++)
        v[i] = (int32_t)o->conv.values[i];
    n->image = cln_input(n->graph, "x", o->batch_size, v[0], v[2], v[2]);
    n->result =
        cln_conv2d(n->graph, n->image, "conv",
                   &(cln_conv2d_options){
                       .out_channels = v[1], .kernel_h = v[3], .kernel_w = v[3], .stride = v[4], .padding = v[3] / 2});
    cln_shape y = cln_tensor_shape(n->graph, n->result);
    if (o->training)
        n->upstream = cln_input(n->graph, "dy", y.n, y.c, y.h, y.w);
}

static void build_model(network *n, const network_options *o) {
    n->image = cln_input(n->graph, "image", o->batch_size, 3, o->image_size, o->image_size);
    n->result = o->model->build(n->graph, n->image, n->hparams);
    n->classes = cln_tensor_shape(n->graph, n->result).c;
    if (!o->training)
        return;
    n->label = cln_labels(n->graph, "label", o->batch_size);
    n->result = cln_softmax_ce(n->graph, n->result, n->label, 0);
}

cln_status network_graph(cln_context *ctx, const network_options *o, network *n, cln_plan_options *plan) {
    n->label = n->upstream = CLN_NO_TENSOR;
    n->graph = cln_graph_new(ctx);
    if (!n->graph)
        return CLN_OUT_OF_MEMORY;
    (o->model ? build_model : build_conv)(n, o);
    bool gradients = o->training && !o->model;
    *plan = (cln_plan_options){.training = o->training,
                               .loss = o->training ? n->result : CLN_NO_TENSOR,
                               .has_upstream = gradients,
                               .upstream = n->upstream,
                               .gradients = &n->image,
                               .gradient_count = gradients,
                               .outputs = &n->result,
                               .output_count = 1,
                               .variant = o->variant,
                               .choices = n->choices.of,
                               .choice_count = n->choices.count};
    if (o->model)
        plan->optimizer = o->model->recipe->optimizer;
    return cln_graph_status(n->graph);
}

static cln_status make_plan(cln_context *ctx, network *n, const network_options *o) {
    cln_plan_options options;
    cln_status status = o->tuning.none ? CLN_OK : cln_choices_load(ctx, n->device, o->tuning.path, &n->choices);
    if (status == CLN_OK)
        status = network_graph(ctx, o, n, &options);
    if (status == CLN_OK)
        status = cln_weights_new(n->device, n->graph, 42, &n->weights);
    if (status != CLN_OK)
        return status;
    status = cln_plan_build(n->device, n->graph, n->weights, &options, &n->plan);
    int tuned = status == CLN_OK ? cln_choices_count(&n->choices, n->plan) : 0;
    if (tuned && o->device_out)
        fprintf(o->device_out, "kernels: the tuner's for %d of %d computations\n", tuned, cln_plan_choices(n->plan));
    return status;
}

static cln_status write_noise(network *n, cln_tensor input) {
    cln_shape s = cln_tensor_shape(n->graph, input);
    int64_t count = s.n * s.c * s.h * s.w;
    float *values = malloc((size_t)count * sizeof *values);
    if (!values)
        return CLN_OUT_OF_MEMORY;
    bench_noise(values, count);
    cln_status status = cln_plan_write(n->plan, input, values, count);
    free(values);
    return status;
}

static cln_status write_labels(network *n) {
    int64_t count = cln_tensor_shape(n->graph, n->label).n;
    int32_t *labels = malloc((size_t)count * sizeof *labels);
    if (!labels)
        return CLN_OUT_OF_MEMORY;
    for (int64_t i = 0; i < count; i++)
        labels[i] = (int32_t)(i % n->classes);
    cln_status status = cln_plan_write_labels(n->plan, n->label, labels, count);
    free(labels);
    return status;
}

cln_status network_open(cln_context *ctx, const network_options *o, network *n) {
    *n = (network){.label = CLN_NO_TENSOR, .upstream = CLN_NO_TENSOR};
    cln_status status = o->model ? cln_hparams_new(ctx, o->model, o->hparams, &n->hparams) : CLN_OK;
    return status == CLN_OK ? report_open_device(ctx, o->device, o->device_out, &n->device) : status;
}

cln_status network_build(cln_context *ctx, const network_options *o, network *n) {
    cln_status status = make_plan(ctx, n, o);
    if (status == CLN_OK)
        status = write_noise(n, n->image);
    if (status == CLN_OK && n->upstream.id >= 0)
        status = write_noise(n, n->upstream);
    if (status == CLN_OK && n->label.id >= 0)
        status = write_labels(n);
    return status;
}

void network_close(network *n) {
    cln_plan_free(n->plan);
    cln_weights_free(n->weights);
    cln_graph_free(n->graph);
    cln_choices_free(&n->choices);
    cln_device_free(n->device);
    free(n->hparams);
}
