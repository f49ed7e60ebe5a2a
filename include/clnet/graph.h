/* Building a network: a graph of operators with inferred shapes. Host only; needs no device.
 *
 * Builders are sticky: the first error is kept in the graph, later calls do nothing and return an invalid
 * tensor, and cln_graph_status (or cln_plan_build) reports it. Model code needs no error handling.
 * Activations are spoken of as NCHW, weights as OIHW, whatever layout the plan chooses for a device. */
#ifndef CLNET_GRAPH_H
#define CLNET_GRAPH_H

#include "clnet/base.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A network as nodes, each an operator applied to tensors. */
typedef struct cln_graph cln_graph;

/* A tensor of a graph, by value; valid in the graph that made it, and in every plan of that graph. */
typedef struct cln_tensor {
    int32_t id; /* negative: invalid */
} cln_tensor;
/* What stands for none. */
#define CLN_NO_TENSOR ((cln_tensor){-1})

/* An empty graph. Borrows `ctx`, to which its errors go. NULL for lack of memory. */
CLN_API cln_graph *cln_graph_new(cln_context *ctx);
/* Weights and plans made from it live on. */
CLN_API void cln_graph_free(cln_graph *graph);

/* The first error of a builder call, or CLN_OK. */
CLN_API cln_status cln_graph_status(const cln_graph *graph);
/* Makes the graph fail with a message: for model code that finds its own parameters invalid. */
CLN_API void cln_graph_fail(cln_graph *graph, const char *format, ...);
/* A formatted string that lives as long as the graph: for layer names. "" if the graph has failed. */
CLN_API const char *cln_name(cln_graph *graph, const char *format, ...);

/* All zeros for an invalid tensor. */
CLN_API cln_shape cln_tensor_shape(const cln_graph *graph, cln_tensor x);

/* An input of float32, such as images, filled before each step (cln_plan_write). */
CLN_API cln_tensor cln_input(cln_graph *graph, const char *name, int64_t n, int64_t c, int64_t h, int64_t w);
/* An input of class indices, int32 of shape (n, 1, 1, 1); the row of one that is no class, such as -1, is ignored. */
CLN_API cln_tensor cln_labels(cln_graph *graph, const char *name, int64_t n);

/* Functions of each element. */
typedef enum cln_activation {
    CLN_IDENTITY,   /* no operation */
    CLN_RELU,       /* max(x, 0) */
    CLN_LEAKY_RELU, /* x, below 0 0.01 x */
    CLN_TANH,       /* the hyperbolic tangent */
    CLN_GELU,       /* x * Phi(x), with erf (Hendrycks and Gimpel, arXiv 1606.08415) */
} cln_activation;
/* "identity", "relu", "leakyrelu", "tanh", "gelu"; false if `name` is none of them. */
CLN_API bool cln_activation_parse(const char *name, cln_activation *out);
/* The other way; a static string. */
CLN_API const char *cln_activation_name(cln_activation activation);
/* The gain of Kaiming initialisation in front of `activation` (He et al., arXiv 1502.01852): sqrt(2), or 5/3 for tanh.
 */
CLN_API float cln_activation_gain(cln_activation activation);

/* Parameters are made by the layers below, named "<name>.weight" and "<name>.bias" as PyTorch names them. */

/* What the variance of initial weights is divided by. */
typedef enum cln_fan {
    CLN_FAN_IN,  /* the input channels of a group times the kernel's area */
    CLN_FAN_OUT, /* all output channels times the kernel's area */
} cln_fan;

/* Zero stands for the usual value where it is not a possible one: stride, dilation and groups 1, gain sqrt(2). */
typedef struct cln_conv2d_options {
    int out_channels;              /* a multiple of groups */
    int kernel_h, kernel_w;        /* in pixels; at least 1 */
    int stride, padding, dilation; /* the same along height and width; padding is with zeros */
    int groups;                    /* in which channels are convolved apart; divides the channels of x */
    bool bias;                     /* whether one is added, uniform within 1 / sqrt(fan-in) at first */
    cln_fan fan;                   /* the weight starts normal with deviation gain / sqrt(fan) */
    float gain;                    /* see cln_activation_gain */
} cln_conv2d_options;
/* A convolution (cross-correlation, as everywhere in the field): (n, c, h, w) to (n, out_channels, h', w') with
 * h' = (h + 2 * padding - dilation * (kernel_h - 1) - 1) / stride + 1, rounded down, and w' likewise. Options are
 * copied. */
CLN_API cln_tensor cln_conv2d(cln_graph *graph, cln_tensor x, const char *name, const cln_conv2d_options *options);

/* Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167): eps 1e-5, momentum 0.1; running variance unbiased.
 * In an evaluation plan, and where `use_running` is set, it normalises by the running estimates, and leaves them. */
typedef struct cln_batchnorm_options {
    float eps, momentum; /* 0: 1e-5, 0.1 */
    bool use_running;    /* also in a training plan */
} cln_batchnorm_options;
/* Of each channel, over batch, height and width; with "running_mean" and "running_var" beside the parameters. `options`
 * may be NULL. */
CLN_API cln_tensor cln_batchnorm(cln_graph *graph, cln_tensor x, const char *name,
                                 const cln_batchnorm_options *options);

/* Applies `activation` to each element. */
CLN_API cln_tensor cln_activate(cln_graph *graph, cln_tensor x, cln_activation activation);
/* The sum of two tensors of one shape. */
CLN_API cln_tensor cln_add(cln_graph *graph, cln_tensor a, cln_tensor b);
/* Along channels, in the order given. */
CLN_API cln_tensor cln_concat(cln_graph *graph, const cln_tensor *xs, int count);
/* Pads with minus infinity; the first maximum in row-major order wins. */
CLN_API cln_tensor cln_maxpool(cln_graph *graph, cln_tensor x, int kernel, int stride, int padding);
/* Padding counts in the average; floor mode. */
CLN_API cln_tensor cln_avgpool(cln_graph *graph, cln_tensor x, int kernel, int stride, int padding);
/* To (n, c, 1, 1). */
CLN_API cln_tensor cln_global_avgpool(cln_graph *graph, cln_tensor x);
/* To (n, c*h*w, 1, 1). */
CLN_API cln_tensor cln_flatten(cln_graph *graph, cln_tensor x);
/* Weight and bias start uniform within 1 / sqrt(in_features). `x` must be flat. */
CLN_API cln_tensor cln_linear(cln_graph *graph, cln_tensor x, const char *name, int out_features);
/* Zeroes with probability p and scales the rest by 1 / (1 - p); nothing in an evaluation plan. */
CLN_API cln_tensor cln_dropout(cln_graph *graph, cln_tensor x, float p);
/* Mean over the rows whose label is a class of the cross-entropy of softmax(logits); with label smoothing e over
 * K classes, (1 - e) CE + e / K * sum of -log p. A scalar; 0 if no row counts. */
CLN_API cln_tensor cln_softmax_ce(cln_graph *graph, cln_tensor logits, cln_tensor labels, float label_smoothing);
/* The same for rows of two labels, as mixup (Zhang et al., arXiv 1710.09412) makes them: where that has CE, this has
 * w * CE(label) + (1 - w) * CE(other label), with the row's own w in `weights`, an input of n x 1 x 1 x 1. A row counts
 * if both labels are classes. */
CLN_API cln_tensor cln_softmax_ce_mixed(cln_graph *graph, cln_tensor logits, cln_tensor labels, cln_tensor others,
                                        cln_tensor weights, float label_smoothing);
/* How many rows have their largest logit (the first, among equals) at their label. A scalar. */
CLN_API cln_tensor cln_accuracy(cln_graph *graph, cln_tensor logits, cln_tensor labels);

/* A layer of a summary: a node that the model's own code made. */
typedef struct cln_layer {
    const char *name;      /* "blocks.0.net.0", or the operator's name where it has no parameters */
    const char *op;        /* the operator: "conv2d" */
    cln_shape output;      /* for the whole batch */
    int64_t parameters;    /* trainable */
    int64_t multiply_adds; /* for the whole batch, convolutions and linear layers only */
} cln_layer;
/* How many there are; all that was made so far. */
CLN_API int cln_graph_layers(const cln_graph *graph);
/* In the order of their making, index from 0; its texts live as long as the graph. */
CLN_API cln_layer cln_graph_layer(const cln_graph *graph, int index);
/* Trainable numbers of all layers. */
CLN_API int64_t cln_graph_parameters(const cln_graph *graph);
/* Freezes the parameters that a pattern matches, as requires_grad = False does in PyTorch: they get no gradient, no
 * weight decay and no update, and what is only computed for their gradients is left out. Running statistics still move.
 * `patterns` are those of file names (fnmatch: *, ?, [...]; a backslash is a character like any other), with commas
 * (outside of brackets) between them, and stand for whole names, as in "input_net.*,blocks.[01].*"; one that matches no
 * parameter fails the graph. */
CLN_API cln_status cln_graph_freeze(cln_graph *graph, const char *patterns);
/* How many of the parameters are frozen. */
CLN_API int64_t cln_graph_frozen(const cln_graph *graph);

/* Writes the layers as a table headed by `name`: output shapes, parameters, multiply-adds for one image. */
CLN_API void cln_graph_print_summary(const cln_graph *graph, const char *name, FILE *out);

/* Writes the graph as text, a line a node. */
CLN_API void cln_graph_print(const cln_graph *graph, FILE *out);

#ifdef __cplusplus
}
#endif
#endif
