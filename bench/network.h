/* What clbench's measurements of networks run: a graph with weights and a plan on a device, and a synthetic batch that
 * stays there. */
#ifndef CLN_BENCH_NETWORK_H
#define CLN_BENCH_NETWORK_H

#include "../src/cli/tuning.h"
#include "clnet/models.h"

#include <stdio.h>

typedef struct network_options {
    const cln_model *model; /* or NULL, and */
    cln_ints conv;          /* one convolution: channels in and out, size, then kernel (3) and stride (1) */
    const char *hparams, *device, *variant;
    int64_t batch_size, image_size;
    bool training;
    tuning_options tuning;
    FILE *device_out; /* where the device is told */
} network_options;

#define NETWORK_DEFAULTS                                                                                               \
    { .batch_size = 128, .image_size = 32 }

/* Rows of an option table, for a network_options that is `member` of `type`: what a network is made of. */
#define NETWORK_SIZE_CLI(type, member)                                                                                 \
    {"hparams", CLI_TEXT, offsetof(type, member.hparams), "JSON", "hyper-parameters to change", 0, 0, NULL},           \
        {"batch-size", CLI_INT, offsetof(type, member.batch_size), "N", "images in a step (default 128)", 1,           \
         1 << 20,      NULL},                                                                                          \
        {"image-size", CLI_INT, offsetof(type, member.image_size), "N", "their height and width (default 32)", 1,      \
         4096,         NULL},                                                                                          \
    {                                                                                                                  \
        "device", CLI_TEXT, offsetof(type, member.device), "DEVICE",                                                   \
            "index as in 0:0, cpu, gpu, or a part of the name", 0, 0, NULL                                             \
    }
/* And what all measurements of networks take. */
#define NETWORK_CLI(type, member)                                                                                      \
    NETWORK_SIZE_CLI(type, member), TUNING_CLI(type, member.tuning), {                                                 \
        "variant", CLI_TEXT, offsetof(type, member.variant), "NAME", "use this kernel variant wherever it can serve",  \
            0, 0, NULL                                                                                                 \
    }

typedef struct network {
    cln_device *device;
    void *hparams;
    cln_graph *graph;
    cln_tensor image, label, upstream, result; /* result: the loss, the logits, or the convolution's output */
    int64_t classes;
    cln_choices choices;
    cln_weights *weights;
    cln_plan *plan;
} network;

/* The device, and then everything else up to the first step, with the batch on its way. Close it even after a failure
 * of either. */
cln_status network_open(cln_context *ctx, const network_options *options, network *out);
cln_status network_build(cln_context *ctx, const network_options *options, network *n);
/* The graph alone, and the options of its plan, which borrow from `n` and `options`. */
cln_status network_graph(cln_context *ctx, const network_options *options, network *n, cln_plan_options *plan);
void network_close(network *n);

/* The learning rate of the steps that are measured: small, so that they do not diverge on noise. */
#define NETWORK_LEARNING_RATE 1e-4f

#endif
