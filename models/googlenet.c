/* GoogleNet for small images: a 3x3 convolution, Inception blocks with two max poolings between them, a linear
 * classifier (after Szegedy et al., arXiv 1409.4842).
 *
 *   Inception block:  x -+- conv 1x1 -------------------+
 *                        +- conv 1x1 -> conv 3x3 -------+- channels side by side
 *                        +- conv 1x1 -> conv 5x5 -------+
 *                        +- max pool 3x3 -> conv 1x1 ---+
 *
 * Every convolution has a bias and is followed by BN and the activation. Names count the PyTorch modules in order,
 * activations and poolings included, hence the gaps. */
#include "models.h"

typedef struct net {
    cln_graph *g;
    cln_activation act;
} net;

/* conv, BN, act: the modules `first`, `first` + 1 and `first` + 2 of the sequence `name`. */
static cln_tensor conv_norm_act(const net *m, cln_tensor x, const char *name, int first, int channels, int kernel) {
    x = cln_conv2d(m->g, x, cln_name(m->g, "%s.%d", name, first),
                   &(cln_conv2d_options){.out_channels = channels,
                                         .kernel_h = kernel,
                                         .kernel_w = kernel,
                                         .padding = kernel / 2,
                                         .bias = true,
                                         .fan = CLN_FAN_IN,
                                         .gain = cln_activation_gain(m->act)});
    return cln_activate(m->g, cln_batchnorm(m->g, x, cln_name(m->g, "%s.%d", name, first + 1), NULL), m->act);
}

typedef struct inception {
    int reduce_3x3, reduce_5x5;              /* channels of the 1x1 convolutions in front */
    int out_1x1, out_3x3, out_5x5, out_pool; /* channels of the branches */
} inception;

static cln_tensor inception_block(const net *m, cln_tensor x, int module, const inception *c) {
    const char *prefix = cln_name(m->g, "inception_blocks.%d", module);
    const char *name_3x3 = cln_name(m->g, "%s.conv_3x3", prefix), *name_5x5 = cln_name(m->g, "%s.conv_5x5", prefix);
    cln_tensor branches[4];
    branches[0] = conv_norm_act(m, x, cln_name(m->g, "%s.conv_1x1", prefix), 0, c->out_1x1, 1);
    branches[1] = conv_norm_act(m, x, name_3x3, 0, c->reduce_3x3, 1);
    branches[1] = conv_norm_act(m, branches[1], name_3x3, 3, c->out_3x3, 3);
    branches[2] = conv_norm_act(m, x, name_5x5, 0, c->reduce_5x5, 1);
    branches[2] = conv_norm_act(m, branches[2], name_5x5, 3, c->out_5x5, 5);
    branches[3] = cln_maxpool(m->g, x, 3, 1, 1);
    branches[3] = conv_norm_act(m, branches[3], cln_name(m->g, "%s.max_pool", prefix), 1, c->out_pool, 1);
    return cln_concat(m->g, branches, 4);
}

cln_tensor cln_googlenet(cln_graph *g, cln_tensor x, const cln_googlenet_hparams *h) {
    /* A row of zeros is a max pooling. */
    static const inception modules[] = {
        {32, 16, 16, 32, 8, 8},   {32, 16, 24, 48, 12, 12}, {0}, {32, 16, 24, 48, 12, 12}, {32, 16, 16, 48, 16, 16},
        {32, 16, 16, 48, 16, 16}, {32, 16, 32, 48, 24, 24}, {0}, {48, 16, 32, 64, 16, 16}, {48, 16, 32, 64, 16, 16},
    };
    if (h->in_channels != cln_tensor_shape(g, x).c)
        cln_graph_fail(g, "GoogleNet: in_channels is %d, but the images have %lld channels", h->in_channels,
                       (long long)cln_tensor_shape(g, x).c);
    net m = {g, h->act_fn};
    x = conv_norm_act(&m, x, "input_net", 0, 64, 3);
    for (int i = 0; i < (int)(sizeof modules / sizeof *modules); i++)
        x = modules[i].out_1x1 ? inception_block(&m, x, i, &modules[i]) : cln_maxpool(g, x, 3, 2, 1);
    return cln_linear(g, cln_flatten(g, cln_global_avgpool(g, x)), "output_net.2", h->num_classes);
}

static cln_tensor build(cln_graph *g, cln_tensor x, const void *hparams) {
    return cln_googlenet(g, x, hparams);
}

static const cln_field fields[] = {
    {"num_classes", CLN_FIELD_INT, offsetof(cln_googlenet_hparams, num_classes), 1000000, NULL},
    {"in_channels", CLN_FIELD_INT, offsetof(cln_googlenet_hparams, in_channels), 65536, NULL},
    {"act_fn_name", CLN_FIELD_ACTIVATION, offsetof(cln_googlenet_hparams, act_fn), 0, NULL},
};

static const cln_googlenet_hparams defaults = {.num_classes = 10, .in_channels = 3, .act_fn = CLN_RELU};

const cln_model cln__model_googlenet = {
    .name = "GoogleNet",
    .description = "Inception blocks: convolutions of several sizes side by side",
    .hparams_size = sizeof(cln_googlenet_hparams),
    .defaults = &defaults,
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields,
    .recipe = &cln__adamw_recipe,
    .build = build,
};
