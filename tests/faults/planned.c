/* planned FOLDER: weights and plans of a small network are made, used and released, as a program of one's own does,
 * with compiled programs kept in FOLDER: an empty one is filled, one that was filled is read. Prints what was computed.
 */
#include "clnet/plan.h"

#include <stdio.h>

enum { BATCH = 4, CHANNELS = 3, SIDE = 8, PIXELS = BATCH * CHANNELS * SIDE * SIDE };

typedef struct network {
    cln_graph *graph;
    cln_tensor image, label, loss;
} network;

static network make_network(cln_context *ctx) {
    network n = {.graph = cln_graph_new(ctx)};
    if (!n.graph)
        return n;
    n.image = cln_input(n.graph, "image", BATCH, CHANNELS, SIDE, SIDE);
    n.label = cln_labels(n.graph, "label", BATCH);
    cln_conv2d_options conv = {.out_channels = 8, .kernel_h = 3, .kernel_w = 3, .padding = 1};
    cln_tensor x = cln_conv2d(n.graph, n.image, "conv", &conv);
    x = cln_activate(n.graph, cln_batchnorm(n.graph, x, "norm", NULL), CLN_RELU);
    x = cln_linear(n.graph, cln_flatten(n.graph, cln_global_avgpool(n.graph, x)), "classifier", 2);
    n.loss = cln_softmax_ce(n.graph, x, n.label, 0);
    return n;
}

/* One step; its loss is printed. */
static cln_status run(cln_plan *plan, const network *n) {
    float images[PIXELS], loss;
    int32_t labels[BATCH];
    for (int i = 0; i < PIXELS; i++)
        images[i] = (float)(i % 7) / 7;
    for (int i = 0; i < BATCH; i++)
        labels[i] = i % 2;
    cln_status status = cln_plan_write(plan, n->image, images, PIXELS);
    if (status == CLN_OK)
        status = cln_plan_write_labels(plan, n->label, labels, BATCH);
    if (status == CLN_OK)
        status = cln_plan_step(plan, 0.1f);
    if (status == CLN_OK)
        status = cln_plan_read(plan, n->loss, &loss, 1);
    if (status == CLN_OK)
        printf("loss %.6f\n", (double)loss);
    return status;
}

static cln_status run_plan(cln_device *device, cln_weights *weights, const network *n, bool training) {
    cln_plan *plan = NULL;
    cln_plan_options options = {.training = training, .loss = n->loss, .outputs = &n->loss, .output_count = 1};
    options.optimizer.kind = CLN_SGD;
    cln_status status = cln_plan_build(device, n->graph, weights, &options, &plan);
    if (status == CLN_OK)
        status = run(plan, n);
    cln_plan_free(plan);
    return status;
}

static cln_status run_plans(cln_context *ctx, const network *n, const char *folder) {
    cln_device *device = NULL;
    cln_weights *weights = NULL;
    cln_status status = cln_device_open(ctx, NULL, &device);
    if (status == CLN_OK)
        status = cln_device_set_cache(device, folder);
    if (status == CLN_OK)
        status = cln_weights_new(device, n->graph, 1, &weights);
    if (status == CLN_OK)
        status = run_plan(device, weights, n, true);
    if (status == CLN_OK)
        status = run_plan(device, weights, n, false);
    cln_weights_free(weights);
    cln_device_free(device);
    return status;
}

int main(int argc, char **argv) {
    cln_context *ctx = NULL;
    cln_status status = cln_context_new(&ctx);
    network n = status == CLN_OK ? make_network(ctx) : (network){.graph = NULL};
    if (status == CLN_OK)
        status = n.graph ? run_plans(ctx, &n, argc > 1 ? argv[1] : NULL) : CLN_OUT_OF_MEMORY;
    const char *message = ctx ? cln_context_error(ctx) : "";
    if (status != CLN_OK)
        fprintf(stderr, "planned: %s\n", message[0] ? message : cln_status_text(status));
    cln_graph_free(n.graph);
    cln_context_free(ctx);
    return (int)status;
}
