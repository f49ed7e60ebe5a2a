/* A network of one's own is one C function of builder calls. This one learns to tell bright images from dark ones. */
#include "clnet/plan.h"

#include <stdlib.h>

enum { BATCH = 32, SIDE = 16, PIXELS = BATCH * SIDE * SIDE, STEPS = 20 };

static cln_tensor my_model(cln_graph *g, cln_tensor x) {
    cln_conv2d_options conv = {.out_channels = 16, .kernel_h = 3, .kernel_w = 3, .padding = 1};
    x = cln_activate(g, cln_batchnorm(g, cln_conv2d(g, x, "conv1", &conv), "bn1", NULL), CLN_RELU);
    x = cln_maxpool(g, x, 2, 2, 0);
    x = cln_activate(g, cln_conv2d(g, x, "conv2", &conv), CLN_GELU);
    return cln_linear(g, cln_flatten(g, cln_global_avgpool(g, x)), "classifier", 2);
}

static void make_batch(float *images, int32_t *labels) {
    for (int i = 0; i < PIXELS; i++) {
        int32_t label = labels[i / (SIDE * SIDE)] = i / (SIDE * SIDE) % 2;
        images[i] = (float)rand() / (float)RAND_MAX - (label ? 0.25f : 0.75f);
    }
}

static void must(const cln_context *ctx, cln_status status) {
    if (status == CLN_OK)
        return;
    fprintf(stderr, "custom_model: %s\n", ctx ? cln_context_error(ctx) : cln_status_text(status));
    exit((int)status); /* the library itself never does */
}

int main(void) {
    static float images[PIXELS], value;
    int32_t labels[BATCH];
    cln_context *ctx = NULL;
    cln_device *device;
    cln_weights *weights;
    cln_plan *plan;
    cln_graph *g = cln_context_new(&ctx) == CLN_OK ? cln_graph_new(ctx) : NULL;
    must(NULL, g ? CLN_OK : CLN_OUT_OF_MEMORY);
    cln_tensor image = cln_input(g, "image", BATCH, 1, SIDE, SIDE), label = cln_labels(g, "label", BATCH);
    cln_tensor loss = cln_softmax_ce(g, my_model(g, image), label, 0);
    must(ctx, cln_device_open(ctx, NULL, &device));
    must(ctx, cln_weights_new(device, g, 1, &weights));
    cln_plan_options options = {.training = true, .loss = loss, .outputs = &loss, .output_count = 1};
    options.optimizer = (cln_optimizer){.kind = CLN_SGD, .momentum = 0.9f};
    must(ctx, cln_plan_build(device, g, weights, &options, &plan));
    for (int step = 1; step <= STEPS; step++) {
        make_batch(images, labels);
        must(ctx, cln_plan_write(plan, image, images, PIXELS));
        must(ctx, cln_plan_write_labels(plan, label, labels, BATCH));
        must(ctx, cln_plan_step(plan, 0.05f));
        must(ctx, cln_plan_read(plan, loss, &value, 1));
        printf("step %2d: loss %.4f\n", step, (double)value);
    }
    cln_plan_free(plan);
    cln_weights_free(weights);
    cln_graph_free(g);
    cln_device_free(device);
    cln_context_free(ctx);
}
