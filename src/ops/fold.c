/* Folding: conv(x) = w * x + b, then gamma * (conv(x) - mean) / sqrt(var + eps) + beta, is a convolution again.
 * Computed in double precision, so that only the results are rounded. */
#include "fold.h"
#include "fuse.h"

#include <math.h>
#include <stdlib.h>

enum { WEIGHT = 1, BIAS, CONV_INPUTS }; /* of a conv2d */
enum { GAMMA = 1, BETA, MEAN, VAR };    /* of a batchnorm */

static int readers(const cln_graph *g, int tensor) {
    int count = 0;
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i].input_count; k++)
            count += g->nodes[i].inputs[k] == tensor;
    return count;
}

/* The convolution, by its index, that can take up `norm`; -1: none. */
static int convolution_before(const cln_graph *g, const cln__node *norm, cln_tensor output) {
    int x = norm->inputs[0], producer = g->tensors[x].producer;
    bool folds = producer >= 0 && g->nodes[producer].op == &cln__op_conv2d && x != output.id && readers(g, x) == 1;
    return folds ? producer : -1;
}

/* A bias of zeros for convolution `index`, unless it has one. */
static cln_status give_bias(cln_graph *g, int index, float **values) {
    if (g->nodes[index].input_count == CONV_INPUTS)
        return CLN_OK;
    int64_t channels = g->tensors[g->nodes[index].outputs[0]].shape.c;
    int *inputs = realloc(g->nodes[index].inputs, sizeof *inputs * CONV_INPUTS);
    if (!inputs)
        return cln__fail_memory(g->ctx, "a bias");
    g->nodes[index].inputs = inputs;
    cln_tensor bias = cln__param_add(g, CLN__PARAM, g->nodes[index].name, "bias", (cln_shape){1, channels, 1, 1},
                                     CLN__BLOCKED, CLN_NO_TENSOR, CLN__ZEROS, 0);
    CLN_TRY(g->status);
    values[bias.id] = calloc((size_t)channels, sizeof **values);
    if (!values[bias.id])
        return cln__fail_memory(g->ctx, "a bias");
    g->nodes[index].inputs[BIAS] = bias.id;
    g->nodes[index].input_count = CONV_INPUTS;
    return CLN_OK;
}

static void scale(const cln_graph *g, const cln__node *conv, const cln__node *norm, float **values) {
    cln_shape w = cln__input_shape(g, conv, WEIGHT);
    int64_t taps = w.c * w.h * w.w;
    float *weight = values[conv->inputs[WEIGHT]], *bias = values[conv->inputs[BIAS]];
    const float *gamma = values[norm->inputs[GAMMA]], *beta = values[norm->inputs[BETA]];
    const float *mean = values[norm->inputs[MEAN]], *var = values[norm->inputs[VAR]];
    for (int64_t c = 0; c < w.n; c++) {
        double factor = (double)gamma[c] / sqrt((double)var[c] + (double)cln__batchnorm_eps(norm));
        for (int64_t k = 0; k < taps; k++)
            weight[c * taps + k] = (float)(factor * (double)weight[c * taps + k]);
        bias[c] = (float)((double)beta[c] + factor * ((double)bias[c] - (double)mean[c]));
    }
}

cln_status cln__fold_batchnorm(cln_graph *g, cln_tensor output, float **values) {
    for (int i = 0; i < g->node_count; i++) {
        int conv = g->nodes[i].op == &cln__op_batchnorm ? convolution_before(g, &g->nodes[i], output) : -1;
        if (conv < 0)
            continue;
        CLN_TRY(give_bias(g, conv, values));
        scale(g, &g->nodes[conv], &g->nodes[i], values);
        g->nodes[conv].outputs[0] = g->nodes[i].outputs[0];
        cln__node_remove(g, i--);
    }
    return CLN_OK;
}
