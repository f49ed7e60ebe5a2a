/* The networks that come with the library, and the registry that finds them by name. */
#ifndef CLNET_MODELS_H
#define CLNET_MODELS_H

#include "clnet/train.h"

#ifdef __cplusplus
extern "C" {
#endif

/* All of them; an array of *count that lives for ever. */
CLN_API const cln_model *const *cln_models(int *count);
/* NULL if there is none of this name. */
CLN_API const cln_model *cln_model_find(const char *name);

/* GoogleNet with Inception blocks (after Szegedy et al., arXiv 1409.4842). In JSON act_fn is "act_fn_name". */
typedef struct cln_googlenet_hparams {
    int num_classes;       /* logits of an image */
    int in_channels;       /* of the images */
    cln_activation act_fn; /* the only one in the network */
} cln_googlenet_hparams;

/* Adds the network to the graph, its parameters named as in PyTorch ("blocks.3.net.0.weight"), and returns the logits,
 * (n, num_classes, 1, 1). Fails through the graph. The same holds for the networks below. */
CLN_API cln_tensor cln_googlenet(cln_graph *graph, cln_tensor x, const cln_googlenet_hparams *hparams);

/* Two 3x3 convolutions, to whose result the block's input is added. */
typedef enum cln_resnet_block {
    CLN_RESNET_BLOCK,        /* the activation is behind the addition */
    CLN_PREACT_RESNET_BLOCK, /* activations are before the convolutions, behind batch normalisation */
} cln_resnet_block;

/* Residual networks (He et al., arXiv 1512.03385; with CLN_PREACT_RESNET_BLOCK arXiv 1603.05027). In JSON act_fn is
 * "act_fn_name" and block is "block_name": "ResNetBlock" or "PreActResNetBlock". */
typedef struct cln_resnet_hparams {
    int num_classes; /* logits of an image */
    int in_channels; /* of the images */
    /* Blocks in each group; the first block of every group but the first halves height and width. */
    cln_ints num_blocks;
    cln_ints c_hidden;     /* channels of each group */
    cln_activation act_fn; /* the only one in the network */
    int block;             /* cln_resnet_block */
} cln_resnet_hparams;

/* As cln_googlenet does. */
CLN_API cln_tensor cln_resnet(cln_graph *graph, cln_tensor x, const cln_resnet_hparams *hparams);

/* DenseNet (after Huang et al., arXiv 1608.06993). In JSON act_fn is "act_fn_name". */
typedef struct cln_densenet_hparams {
    int num_classes;     /* logits of an image */
    int in_channels;     /* of the images */
    cln_ints num_layers; /* dense layers in each block; a transition between blocks halves the channels and the image */
    int bn_size;         /* the 1x1 convolution of a dense layer has bn_size * growth_rate channels */
    int growth_rate;     /* channels that a dense layer adds */
    cln_activation act_fn; /* the only one in the network */
} cln_densenet_hparams;

/* As cln_googlenet does. */
CLN_API cln_tensor cln_densenet(cln_graph *graph, cln_tensor x, const cln_densenet_hparams *hparams);

#ifdef __cplusplus
}
#endif
#endif
