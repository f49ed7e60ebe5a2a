/* The operators without windows. In the backward passes, y is the node itself and x its first input. */
#include "reference.h"

#include <math.h>

/* --- activations --- */

static double activate(cln_activation a, double x) {
    switch (a) {
    case CLN_RELU:
        return x > 0 ? x : 0;
    case CLN_LEAKY_RELU:
        return x > 0 ? x : 0.01 * x;
    case CLN_TANH:
        return tanh(x);
    case CLN_GELU:
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    case CLN_IDENTITY:
        break;
    }
    return x;
}

static double derivative(cln_activation a, double x) {
    const double pi = 3.14159265358979323846;
    switch (a) {
    case CLN_RELU:
        return x > 0;
    case CLN_LEAKY_RELU:
        return x > 0 ? 1 : 0.01;
    case CLN_TANH:
        return 1 - tanh(x) * tanh(x);
    case CLN_GELU:
        return 0.5 * (1 + erf(x / sqrt(2))) + x * exp(-x * x / 2) / sqrt(2 * pi);
    case CLN_IDENTITY:
        break;
    }
    return 1;
}

static void activate_backward(reference_node *y) {
    reference_node *x = y->in[0];
    for (int64_t i = 0; i < verify_count(y->shape); i++)
        x->gradient[i] += y->gradient[i] * derivative(y->activation, x->value[i]);
}

reference_node *reference_activate(reference *r, reference_node *x, cln_activation activation) {
    reference_node *y = x ? reference_append(r, x->shape, activate_backward, x) : NULL;
    if (!y)
        return NULL;
    y->activation = activation;
    for (int64_t i = 0; i < verify_count(y->shape); i++)
        y->value[i] = activate(activation, x->value[i]);
    return y;
}

/* --- joining --- */

static void add_backward(reference_node *y) {
    for (int k = 0; k < 2; k++)
        for (int64_t i = 0; i < verify_count(y->shape); i++)
            y->in[k]->gradient[i] += y->gradient[i];
}

reference_node *reference_add(reference *r, reference_node *a, reference_node *b) {
    reference_node *y = a && b ? reference_append(r, a->shape, add_backward, a) : NULL;
    if (!y)
        return NULL;
    y->in[1] = b;
    for (int64_t i = 0; i < verify_count(y->shape); i++)
        y->value[i] = a->value[i] + b->value[i];
    return y;
}

/* Goes over all elements: from the inputs to y, or with `back` the gradients the other way. */
static void concat_copy(reference_node *y, bool back) {
    int64_t plane = y->shape.h * y->shape.w, at = 0;
    for (int64_t n = 0; n < y->shape.n; n++)
        for (int k = 0; k < REFERENCE_INPUTS && y->in[k]; k++) {
            int64_t size = y->in[k]->shape.c * plane;
            for (int64_t i = n * size; i < (n + 1) * size; i++, at++)
                if (back)
                    y->in[k]->gradient[i] += y->gradient[at];
                else
                    y->value[at] = y->in[k]->value[i];
        }
}

static void concat_backward(reference_node *y) {
    concat_copy(y, true);
}

reference_node *reference_concat(reference *r, reference_node *const *xs, int count) {
    int64_t channels = 0;
    for (int k = 0; k < count; k++) {
        if (!xs[k])
            return NULL;
        channels += xs[k]->shape.c;
    }
    cln_shape s = xs[0]->shape;
    reference_node *y = reference_append(r, (cln_shape){s.n, channels, s.h, s.w}, concat_backward, NULL);
    for (int k = 0; y && k < count; k++)
        y->in[k] = xs[k];
    if (y)
        concat_copy(y, false);
    return y;
}

/* --- batch norm --- */

typedef struct moments {
    double mean, variance, deviation;
    int64_t count;
} moments;

/* Of channel c of x: by the batch, or as the running statistics in->[3] and [4] say. */
static moments channel_moments(const reference_node *y, const reference_node *x, int64_t c, const double *running_mean,
                               const double *running_var) {
    int64_t plane = x->shape.h * x->shape.w;
    moments m = {.count = x->shape.n * plane};
    if (y->use_running) {
        m.mean = running_mean[c];
        m.variance = running_var[c];
    } else {
        for (int64_t n = 0; n < x->shape.n; n++)
            for (int64_t i = 0; i < plane; i++)
                m.mean += x->value[(n * x->shape.c + c) * plane + i] / (double)m.count;
        for (int64_t n = 0; n < x->shape.n; n++)
            for (int64_t i = 0; i < plane; i++) {
                double d = x->value[(n * x->shape.c + c) * plane + i] - m.mean;
                m.variance += d * d / (double)m.count;
            }
    }
    m.deviation = sqrt(m.variance + y->eps);
    return m;
}

/* With xhat = (x - mean) / deviation:  dgamma = sum dy xhat,  dbeta = sum dy,
 * dx = gamma / deviation (dy - (dbeta + xhat dgamma) / count), without the bracket where the statistics are fixed. */
static void batchnorm_backward(reference_node *y) {
    reference_node *x = y->in[0], *gamma = y->in[1], *beta = y->in[2];
    int64_t plane = x->shape.h * x->shape.w;
    for (int64_t c = 0; c < x->shape.c; c++) {
        moments m = channel_moments(y, x, c, y->in[3]->value, y->in[3]->gradient);
        double dgamma = 0, dbeta = 0;
        for (int64_t n = 0; n < x->shape.n; n++)
            for (int64_t i = (n * x->shape.c + c) * plane; i < (n * x->shape.c + c + 1) * plane; i++) {
                dgamma += y->gradient[i] * (x->value[i] - m.mean) / m.deviation;
                dbeta += y->gradient[i];
            }
        for (int64_t n = 0; n < x->shape.n; n++)
            for (int64_t i = (n * x->shape.c + c) * plane; i < (n * x->shape.c + c + 1) * plane; i++) {
                double xhat = (x->value[i] - m.mean) / m.deviation;
                double common = y->use_running ? 0 : (dbeta + xhat * dgamma) / (double)m.count;
                x->gradient[i] += gamma->value[c] / m.deviation * (y->gradient[i] - common);
            }
        gamma->gradient[c] += dgamma;
        beta->gradient[c] += dbeta;
    }
}

reference_node *reference_batchnorm(reference *r, reference_node *x, const char *layer, double eps, double momentum,
                                    bool use_running) {
    if (!x)
        return NULL;
    const int64_t shape[1] = {x->shape.c};
    reference_node *gamma = reference_weight(r, layer, "weight", 1, shape, 1, 0.2);
    reference_node *beta = reference_weight(r, layer, "bias", 1, shape, 0, 0.2);
    reference_node *mean = reference_weight(r, layer, "running_mean", 1, shape, 0, 0.2);
    reference_node *var = reference_weight(r, layer, "running_var", 1, shape, 1, 0.2);
    /* The statistics of the forward pass, which the backward pass sees after they have moved. */
    reference_node *used = reference_append(r, (cln_shape){x->shape.c, 1, 1, 1}, NULL, NULL);
    reference_node *y = reference_append(r, x->shape, batchnorm_backward, x);
    if (!gamma || !beta || !mean || !var || !used || !y)
        return NULL;
    y->in[1] = gamma;
    y->in[2] = beta;
    y->in[3] = used;
    y->eps = eps;
    y->use_running = use_running || !r->training;
    int64_t plane = x->shape.h * x->shape.w;
    for (int64_t c = 0; c < x->shape.c; c++) {
        moments m = channel_moments(y, x, c, mean->value, var->value);
        used->value[c] = mean->value[c];
        used->gradient[c] = var->value[c];
        for (int64_t n = 0; n < x->shape.n; n++)
            for (int64_t i = (n * x->shape.c + c) * plane; i < (n * x->shape.c + c + 1) * plane; i++)
                y->value[i] = gamma->value[c] * (x->value[i] - m.mean) / m.deviation + beta->value[c];
        if (y->use_running)
            continue;
        double unbiased = m.variance * (double)m.count / (double)(m.count > 1 ? m.count - 1 : 1);
        mean->value[c] += momentum * (m.mean - mean->value[c]);
        var->value[c] += momentum * (unbiased - var->value[c]);
    }
    return y;
}

/* --- classifiers --- */

static void global_avgpool_backward(reference_node *y) {
    reference_node *x = y->in[0];
    int64_t plane = x->shape.h * x->shape.w;
    for (int64_t i = 0; i < verify_count(x->shape); i++)
        x->gradient[i] += y->gradient[i / plane] / (double)plane;
}

reference_node *reference_global_avgpool(reference *r, reference_node *x) {
    reference_node *y =
        x ? reference_append(r, (cln_shape){x->shape.n, x->shape.c, 1, 1}, global_avgpool_backward, x) : NULL;
    if (!y)
        return NULL;
    int64_t plane = x->shape.h * x->shape.w;
    for (int64_t i = 0; i < verify_count(x->shape); i++)
        y->value[i / plane] += x->value[i] / (double)plane;
    return y;
}

static void linear_backward(reference_node *y) {
    reference_node *x = y->in[0], *w = y->in[1], *b = y->in[2];
    int64_t in = x->shape.c, out = y->shape.c;
    for (int64_t n = 0; n < x->shape.n; n++)
        for (int64_t o = 0; o < out; o++) {
            double dy = y->gradient[n * out + o];
            b->gradient[o] += dy;
            for (int64_t i = 0; i < in; i++) {
                w->gradient[o * in + i] += dy * x->value[n * in + i];
                x->gradient[n * in + i] += dy * w->value[o * in + i];
            }
        }
}

reference_node *reference_linear(reference *r, reference_node *x, const char *layer, int out) {
    if (!x)
        return NULL;
    const int64_t in = x->shape.c, shape[2] = {out, in};
    reference_node *w = reference_weight(r, layer, "weight", 2, shape, 0, 1 / sqrt((double)in));
    reference_node *b = reference_weight(r, layer, "bias", 1, shape, 0, 0.5);
    reference_node *y = reference_append(r, (cln_shape){x->shape.n, out, 1, 1}, linear_backward, x);
    if (!w || !b || !y)
        return NULL;
    y->in[1] = w;
    y->in[2] = b;
    for (int64_t n = 0; n < x->shape.n; n++)
        for (int64_t o = 0; o < out; o++) {
            double sum = b->value[o];
            for (int64_t i = 0; i < in; i++)
                sum += w->value[o * in + i] * x->value[n * in + i];
            y->value[n * out + o] = sum;
        }
    return y;
}

/* log p of class k in row n. */
static double log_p(const reference_node *x, int64_t n, int64_t k) {
    const double *row = x->value + n * x->shape.c;
    double most = row[0], sum = 0;
    for (int64_t i = 1; i < x->shape.c; i++)
        most = row[i] > most ? row[i] : most;
    for (int64_t i = 0; i < x->shape.c; i++)
        sum += exp(row[i] - most);
    return row[k] - most - log(sum);
}

/* What the row's distribution should be. */
static double target(const reference_node *y, int64_t n, int64_t k) {
    return (y->labels[n] == k ? 1 - y->smoothing : 0) + y->smoothing / (double)y->in[0]->shape.c;
}

static void softmax_ce_backward(reference_node *y) {
    reference_node *x = y->in[0];
    for (int64_t n = 0; n < x->shape.n; n++)
        for (int64_t k = 0; k < x->shape.c; k++)
            x->gradient[n * x->shape.c + k] +=
                y->gradient[0] * (exp(log_p(x, n, k)) - target(y, n, k)) / (double)x->shape.n;
}

reference_node *reference_softmax_ce(reference *r, reference_node *x, const int32_t *labels, double smoothing) {
    reference_node *y = x ? reference_append(r, (cln_shape){1, 1, 1, 1}, softmax_ce_backward, x) : NULL;
    if (!y)
        return NULL;
    y->labels = labels;
    y->smoothing = smoothing;
    for (int64_t n = 0; n < x->shape.n; n++)
        for (int64_t k = 0; k < x->shape.c; k++)
            y->value[0] -= target(y, n, k) * log_p(x, n, k) / (double)x->shape.n;
    return y;
}
