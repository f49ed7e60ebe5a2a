/* Random small networks, and their naive twin in double precision: for tests of whole plans. */
#ifndef CLN_TESTS_NETWORKS_H
#define CLN_TESTS_NETWORKS_H

#include "clnet/graph.h"

enum { MAX_VALUES = 192, MAX_PARAMS = 320, MAX_INPUTS = 4, MAX_BATCH = 4 };

typedef enum operation {
    INPUT,
    CONV,
    NORM,
    ACTIVATION,
    ADD,
    CONCAT,
    MAXPOOL,
    AVGPOOL,
    GLOBAL,
    FLATTEN,
    LINEAR,
    DROPOUT,
    LOSS
} operation;

/* A tensor of the network, and how it is made of others. */
typedef struct value {
    operation operation;
    int in[MAX_INPUTS], inputs;
    cln_tensor t;
    cln_shape shape;
    double *data; /* NCHW: what the twin computed; of an INPUT, what it is given */
    bool used;
    cln_conv2d_options window; /* of CONV and the pools */
    int param;                 /* the first of its own, in the order of PyTorch's names */
    bool use_running;
    cln_activation activation;
    float p;   /* of DROPOUT, or the label smoothing */
    int layer; /* of DROPOUT: what tells its mask from others' */
} value;

typedef struct param {
    char name[32];
    double *data;
    float *start; /* the same in single precision */
    int64_t count;
    bool trainable;
} param;

typedef struct network {
    int seed;
    cln_graph *g;
    value values[MAX_VALUES]; /* the last is the loss */
    int value_count;
    param params[MAX_PARAMS];
    int param_count;
    cln_tensor labels;
    int32_t label_values[MAX_BATCH];
    int64_t batch;
    uint64_t drawn; /* random numbers so far */
} network;

/* The network of `seed`: convolutions of every kind, normalisation, activations, sums, nested concatenations, pools,
 * dropout, linear layers, inputs in the middle, tensors used more than once. Images are of 1x1 to `side` x `side`. */
network *network_new(int seed, int side);
/* The same of what real networks are made of, which is fused: normalised and activated convolutions, residual, dense
 * and Inception blocks, with something unusual between them now and then. */
network *network_of_blocks_new(int seed, int side);
void network_free(network *n);

/* A random number, about normal. */
double network_draw(network *n);

/* Computes all values from the inputs and parameters; returns the loss. Training is a first step with seed 0. */
double network_loss(network *n, bool training);

#endif
