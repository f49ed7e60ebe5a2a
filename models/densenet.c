/* DenseNet for small images (after Huang et al., arXiv 1608.06993): a 3x3 convolution, blocks of dense layers with
 * transitions between them, a linear classifier.
 *
 *   dense layer:  x -> BN -> act -> conv 1x1 -> BN -> act -> conv 3x3 -> new;  result: new and x side by side
 *   transition:   x -> BN -> act -> conv 1x1 to half the channels -> average pool 2x2
 *
 * Names count the PyTorch modules in order, activations and poolings included, hence the gaps. */
#include "models.h"

typedef struct net {
    cln_graph *g;
    cln_activation act;
} net;

static cln_tensor conv(const net *m, cln_tensor x, const char *name, int channels, int kernel, bool bias) {
    return cln_conv2d(m->g, x, name,
                      &(cln_conv2d_options){.out_channels = channels,
                                            .kernel_h = kernel,
                                            .kernel_w = kernel,
                                            .padding = kernel / 2,
                                            .bias = bias,
                                            .fan = CLN_FAN_IN,
                                            .gain = cln_activation_gain(m->act)});
}

static cln_tensor norm_act(const net *m, cln_tensor x, const char *name) {
    return cln_activate(m->g, cln_batchnorm(m->g, x, name, NULL), m->act);
}

static cln_tensor dense_layer(const net *m, cln_tensor x, const char *name, int bottleneck, int growth) {
    cln_tensor y = norm_act(m, x, cln_name(m->g, "%s.net.0", name));
    y = conv(m, y, cln_name(m->g, "%s.net.2", name), bottleneck, 1, false);
    y = norm_act(m, y, cln_name(m->g, "%s.net.3", name));
    y = conv(m, y, cln_name(m->g, "%s.net.5", name), growth, 3, false);
    return cln_concat(m->g, (cln_tensor[]){y, x}, 2);
}

static cln_tensor transition(const net *m, cln_tensor x, const char *name) {
    int channels = (int)cln_tensor_shape(m->g, x).c / 2;
    x = norm_act(m, x, cln_name(m->g, "%s.transition.0", name));
    x = conv(m, x, cln_name(m->g, "%s.transition.2", name), channels, 1, false);
    return cln_avgpool(m->g, x, 2, 2, 0);
}

static bool check(cln_graph *g, cln_tensor x, const cln_densenet_hparams *h) {
    cln_shape shape = cln_tensor_shape(g, x);
    if (cln_graph_status(g) != CLN_OK)
        return false;
    if (h->in_channels != shape.c)
        cln_graph_fail(g, "DenseNet: in_channels is %d, but the images have %lld channels", h->in_channels,
                       (long long)shape.c);
    else if (h->num_layers.count < 1 || h->num_layers.count > CLN_MAX_INTS)
        cln_graph_fail(g, "DenseNet: num_layers has %d blocks, expected 1 to %d", h->num_layers.count, CLN_MAX_INTS);
    else if (h->bn_size < 1 || h->growth_rate < 1 || h->bn_size > INT32_MAX / h->growth_rate)
        cln_graph_fail(g,
                       "DenseNet: bn_size %d, growth_rate %d: expected 1 or more of each, and less than 2^31 together",
                       h->bn_size, h->growth_rate);
    for (int i = 0; cln_graph_status(g) == CLN_OK && i < h->num_layers.count; i++)
        if (h->num_layers.values[i] < 1)
            cln_graph_fail(g, "DenseNet: block %d has %d layers, expected 1 or more", i, h->num_layers.values[i]);
    return cln_graph_status(g) == CLN_OK;
}

cln_tensor cln_densenet(cln_graph *g, cln_tensor x, const cln_densenet_hparams *h) {
    if (!check(g, x, h))
        return CLN_NO_TENSOR;
    net m = {g, h->act_fn};
    int module = 0; /* blocks and transitions are numbered together */
    x = conv(&m, x, "input_net.0", h->growth_rate * h->bn_size, 3, true);
    for (int block = 0; block < h->num_layers.count; block++) {
        const char *name = cln_name(g, "blocks.%d", module++);
        for (int i = 0; i < h->num_layers.values[block]; i++)
            x = dense_layer(&m, x, cln_name(g, "%s.block.%d", name, i), h->bn_size * h->growth_rate, h->growth_rate);
        if (block + 1 < h->num_layers.count)
            x = transition(&m, x, cln_name(g, "blocks.%d", module++));
    }
    x = norm_act(&m, x, "output_net.0");
    return cln_linear(g, cln_flatten(g, cln_global_avgpool(g, x)), "output_net.4", h->num_classes);
}

static cln_tensor build(cln_graph *g, cln_tensor x, const void *hparams) {
    return cln_densenet(g, x, hparams);
}

static const cln_field fields[] = {
    {"num_classes", CLN_FIELD_INT, offsetof(cln_densenet_hparams, num_classes), 1000000, NULL},
    {"in_channels", CLN_FIELD_INT, offsetof(cln_densenet_hparams, in_channels), 65536, NULL},
    {"num_layers", CLN_FIELD_INTS, offsetof(cln_densenet_hparams, num_layers), 1000, NULL},
    {"bn_size", CLN_FIELD_INT, offsetof(cln_densenet_hparams, bn_size), 1024, NULL},
    {"growth_rate", CLN_FIELD_INT, offsetof(cln_densenet_hparams, growth_rate), 1024, NULL},
    {"act_fn_name", CLN_FIELD_ACTIVATION, offsetof(cln_densenet_hparams, act_fn), 0, NULL},
};

static const cln_densenet_hparams defaults = {
    .num_classes = 10,
    .in_channels = 3,
    .num_layers = {4, {6, 6, 6, 6}},
    .bn_size = 2,
    .growth_rate = 16,
    .act_fn = CLN_RELU,
};

const cln_model cln__model_densenet = {
    .name = "DenseNet",
    .description = "every layer sees the outputs of all layers before it in its block",
    .hparams_size = sizeof(cln_densenet_hparams),
    .defaults = &defaults,
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields,
    .recipe = &cln__adamw_recipe,
    .build = build,
};
