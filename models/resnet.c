/* ResNet and ResNetPreAct for small images: a 3x3 convolution, groups of residual blocks, a linear classifier.
 *
 *   ResNetBlock:        x -> conv 3x3 -> BN -> act -> conv 3x3 -> BN -> + skip -> act
 *   PreActResNetBlock:  x -> BN -> act -> conv 3x3 -> BN -> act -> conv 3x3 -> + skip
 *
 * The skip is x itself, or where the block halves height and width, a 1x1 convolution with stride 2: with a bias and
 * nothing else in the first kind, without one but after BN and act in the second. Names count the PyTorch modules in
 * order, activations included, hence the gaps. */
#include "models.h"

typedef struct net {
    cln_graph *g;
    cln_activation act;
} net;

static cln_tensor conv(const net *m, cln_tensor x, const char *name, int channels, int kernel, int stride, bool bias) {
    return cln_conv2d(m->g, x, name,
                      &(cln_conv2d_options){.out_channels = channels,
                                            .kernel_h = kernel,
                                            .kernel_w = kernel,
                                            .stride = stride,
                                            .padding = kernel / 2,
                                            .bias = bias,
                                            .fan = CLN_FAN_OUT,
                                            .gain = cln_activation_gain(m->act)});
}

static cln_tensor norm(const net *m, cln_tensor x, const char *name) {
    return cln_batchnorm(m->g, x, name, NULL);
}

static cln_tensor norm_act(const net *m, cln_tensor x, const char *name) {
    return cln_activate(m->g, norm(m, x, name), m->act);
}

static cln_tensor plain_block(const net *m, cln_tensor x, int index, int channels, int stride) {
    cln_tensor y = conv(m, x, cln_name(m->g, "blocks.%d.net.0", index), channels, 3, stride, false);
    y = norm_act(m, y, cln_name(m->g, "blocks.%d.net.1", index));
    y = conv(m, y, cln_name(m->g, "blocks.%d.net.3", index), channels, 3, 1, false);
    y = norm(m, y, cln_name(m->g, "blocks.%d.net.4", index));
    if (stride > 1)
        x = conv(m, x, cln_name(m->g, "blocks.%d.downsample", index), channels, 1, stride, true);
    return cln_activate(m->g, cln_add(m->g, y, x), m->act);
}

static cln_tensor preact_block(const net *m, cln_tensor x, int index, int channels, int stride) {
    cln_tensor y = norm_act(m, x, cln_name(m->g, "blocks.%d.net.0", index));
    y = conv(m, y, cln_name(m->g, "blocks.%d.net.2", index), channels, 3, stride, false);
    y = norm_act(m, y, cln_name(m->g, "blocks.%d.net.3", index));
    y = conv(m, y, cln_name(m->g, "blocks.%d.net.5", index), channels, 3, 1, false);
    if (stride > 1) {
        x = norm_act(m, x, cln_name(m->g, "blocks.%d.downsample.0", index));
        x = conv(m, x, cln_name(m->g, "blocks.%d.downsample.2", index), channels, 1, stride, false);
    }
    return cln_add(m->g, y, x);
}

static bool check(cln_graph *g, cln_tensor x, const cln_resnet_hparams *h) {
    cln_shape shape = cln_tensor_shape(g, x);
    if (cln_graph_status(g) != CLN_OK)
        return false;
    if (h->num_classes < 1)
        cln_graph_fail(g, "ResNet: num_classes is %d, expected 1 or more", h->num_classes);
    else if (h->in_channels != shape.c)
        cln_graph_fail(g, "ResNet: in_channels is %d, but the images have %lld channels", h->in_channels,
                       (long long)shape.c);
    else if (h->num_blocks.count < 1 || h->num_blocks.count > CLN_MAX_INTS)
        cln_graph_fail(g, "ResNet: num_blocks has %d groups, expected 1 to %d", h->num_blocks.count, CLN_MAX_INTS);
    else if (h->c_hidden.count != h->num_blocks.count)
        cln_graph_fail(g, "ResNet: num_blocks has %d groups and c_hidden %d: both need a number for each group",
                       h->num_blocks.count, h->c_hidden.count);
    else if (h->block != CLN_RESNET_BLOCK && h->block != CLN_PREACT_RESNET_BLOCK)
        cln_graph_fail(g, "ResNet: block %d is neither CLN_RESNET_BLOCK nor CLN_PREACT_RESNET_BLOCK", h->block);
    for (int i = 0; cln_graph_status(g) == CLN_OK && i < h->num_blocks.count; i++)
        if (h->num_blocks.values[i] < 1 || h->c_hidden.values[i] < 1)
            cln_graph_fail(g, "ResNet: group %d has %d blocks of %d channels, expected 1 or more of each", i,
                           h->num_blocks.values[i], h->c_hidden.values[i]);
    return cln_graph_status(g) == CLN_OK;
}

cln_tensor cln_resnet(cln_graph *g, cln_tensor x, const cln_resnet_hparams *h) {
    if (!check(g, x, h))
        return CLN_NO_TENSOR;
    net m = {g, h->act_fn};
    bool preact = h->block == CLN_PREACT_RESNET_BLOCK;
    x = conv(&m, x, "input_net.0", h->c_hidden.values[0], 3, 1, false);
    if (!preact)
        x = norm_act(&m, x, "input_net.1");
    int index = 0;
    for (int group = 0; group < h->num_blocks.count; group++)
        for (int i = 0; i < h->num_blocks.values[group]; i++, index++) {
            int stride = group > 0 && i == 0 ? 2 : 1;
            x = (preact ? preact_block : plain_block)(&m, x, index, h->c_hidden.values[group], stride);
        }
    x = cln_flatten(g, cln_global_avgpool(g, x));
    return cln_linear(g, x, "output_net.2", h->num_classes);
}

static cln_tensor build(cln_graph *g, cln_tensor x, const void *hparams) {
    return cln_resnet(g, x, hparams);
}

static const char *const block_names[] = {"ResNetBlock", "PreActResNetBlock", NULL};

static const cln_field fields[] = {
    {"num_classes", CLN_FIELD_INT, offsetof(cln_resnet_hparams, num_classes), 1000000, NULL},
    {"in_channels", CLN_FIELD_INT, offsetof(cln_resnet_hparams, in_channels), 65536, NULL},
    {"num_blocks", CLN_FIELD_INTS, offsetof(cln_resnet_hparams, num_blocks), 1000, NULL},
    {"c_hidden", CLN_FIELD_INTS, offsetof(cln_resnet_hparams, c_hidden), 65536, NULL},
    {"act_fn_name", CLN_FIELD_ACTIVATION, offsetof(cln_resnet_hparams, act_fn), 0, NULL},
    {"block_name", CLN_FIELD_CHOICE, offsetof(cln_resnet_hparams, block), 0, block_names},
};

static const cln_resnet_hparams resnet_defaults = {
    .num_classes = 10,
    .in_channels = 3,
    .num_blocks = {3, {3, 3, 3}},
    .c_hidden = {3, {16, 32, 64}},
    .act_fn = CLN_RELU,
    .block = CLN_RESNET_BLOCK,
};

static const cln_resnet_hparams resnet_preact_defaults = {
    .num_classes = 10,
    .in_channels = 3,
    .num_blocks = {3, {3, 3, 3}},
    .c_hidden = {3, {16, 32, 64}},
    .act_fn = CLN_RELU,
    .block = CLN_PREACT_RESNET_BLOCK,
};

static const cln_recipe recipe = {
    .optimizer = {.kind = CLN_SGD, .weight_decay = 1e-4f, .momentum = 0.9f},
    .learning_rate = 0.1f,
    .gamma = 0.1f,
    .milestones = {2, {100, 150}},
    .epochs = 180,
    .batch_size = 128,
};

const cln_model cln__model_resnet = {
    .name = "ResNet",
    .description = "residual network, activation after the addition",
    .hparams_size = sizeof(cln_resnet_hparams),
    .defaults = &resnet_defaults,
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields,
    .recipe = &recipe,
    .build = build,
};

const cln_model cln__model_resnet_preact = {
    .name = "ResNetPreAct",
    .description = "residual network, normalisation and activation before each convolution",
    .hparams_size = sizeof(cln_resnet_hparams),
    .defaults = &resnet_preact_defaults,
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields,
    .recipe = &recipe,
    .build = build,
};
