/* Random networks and their naive twin: see networks.h. */
#include "networks.h"
#include "../src/graph/graph.h"
#include "numbers.h"
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define EPS 0.125f /* large, so that a channel of few values does not blow up rounding errors */

/* --- random choices --- */

static cln__random next(network *n) {
    return cln__philox((uint64_t)n->seed, 1, n->drawn++);
}

static int draw(network *n, int below) {
    return (int)(next(n).word[0] % (unsigned)below);
}

double network_draw(network *n) {
    cln__random r = next(n);
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += cln__uniform(r.word[i]) - 0.5;
    return sum * sqrt(3);
}

/* --- making one --- */

static void add_param(network *n, const char *layer, const char *suffix, int64_t count, double middle, double spread) {
    ck_assert_int_lt(n->param_count, MAX_PARAMS);
    param *p = &n->params[n->param_count++];
    *p = (param){.count = count, .trainable = true, .start = floats(count), .data = zeros(count)};
    snprintf(p->name, sizeof p->name, "%s.%s", layer, suffix);
    for (int64_t i = 0; i < count; i++)
        p->data[i] = p->start[i] = (float)(middle + spread * network_draw(n));
}

static int add_value(network *n, value v) {
    ok(cln_graph_status(n->g));
    ck_assert_int_lt(n->value_count, MAX_VALUES);
    v.shape = cln_tensor_shape(n->g, v.t);
    v.data = zeros(count_of(v.shape));
    for (int i = 0; i < v.inputs; i++)
        n->values[v.in[i]].used = true;
    n->values[n->value_count] = v;
    return n->value_count++;
}

static const char *name(network *n) {
    return cln_name(n->g, "l%d", n->value_count);
}

static void add_input(network *n, int64_t c, int64_t h, int64_t w) {
    int i = add_value(n, (value){.operation = INPUT, .t = cln_input(n->g, name(n), n->batch, c, h, w)});
    for (int64_t k = 0; k < count_of(n->values[i].shape); k++)
        n->values[i].data[k] = (float)network_draw(n);
}

static bool fits(cln_shape s, const cln_conv2d_options *o) {
    return s.h + 2 * o->padding > o->dilation * (o->kernel_h - 1) &&
           s.w + 2 * o->padding > o->dilation * (o->kernel_w - 1);
}

static int random_channels(network *n) {
    static const int channels[] = {1, 3, 4, 5, 8, 12, 16, 17, 20, 32};
    return channels[draw(n, 10)];
}

static int convolve(network *n, int x, const cln_conv2d_options *o) {
    value v = {.operation = CONV, .in = {x}, .inputs = 1, .param = n->param_count, .window = *o};
    const char *layer = name(n);
    v.t = cln_conv2d(n->g, n->values[x].t, layer, o);
    int64_t fan = n->values[x].shape.c / o->groups * o->kernel_h * o->kernel_w;
    add_param(n, layer, "weight", fan * o->out_channels, 0, sqrt(1.5 / (double)fan));
    if (o->bias)
        add_param(n, layer, "bias", o->out_channels, 0, 0.3);
    return add_value(n, v);
}

static int add_conv(network *n, int x) {
    cln_shape s = n->values[x].shape;
    cln_conv2d_options window = {0}, *o = &window;
    do {
        o->kernel_h = 1 + draw(n, 4);
        o->kernel_w = draw(n, 3) ? o->kernel_h : 1 + draw(n, 5);
        o->stride = draw(n, 3) ? 1 : 2 + draw(n, 3);
        o->padding = draw(n, 5);
        o->dilation = draw(n, 4) ? 1 : 2 + draw(n, 2);
    } while (!fits(s, o));
    o->bias = draw(n, 2);
    o->groups = 1;
    o->out_channels = random_channels(n);
    for (int groups = (int)s.c; groups > 1 && draw(n, 4) == 0; groups--)
        if (s.c % groups == 0) {
            o->groups = groups;
            o->out_channels = groups * (1 + draw(n, 3));
            break;
        }
    return convolve(n, x, o);
}

static int add_norm(network *n, int x) {
    value v = {.operation = NORM, .in = {x}, .inputs = 1, .param = n->param_count};
    cln_shape s = n->values[x].shape;
    v.use_running = s.n * s.h * s.w < 6 || draw(n, 6) == 0;
    const char *layer = name(n);
    v.t =
        cln_batchnorm(n->g, n->values[x].t, layer, &(cln_batchnorm_options){.eps = EPS, .use_running = v.use_running});
    add_param(n, layer, "weight", s.c, 1, 0.3);
    add_param(n, layer, "bias", s.c, 0, 0.3);
    add_param(n, layer, "running_mean", s.c, 0, 0.3);
    add_param(n, layer, "running_var", s.c, 1, 0.2);
    n->params[v.param + 2].trainable = n->params[v.param + 3].trainable = false;
    return add_value(n, v);
}

static int activate_by(network *n, int x, cln_activation activation) {
    value v = {.operation = ACTIVATION, .in = {x}, .inputs = 1, .activation = activation};
    v.t = cln_activate(n->g, n->values[x].t, v.activation);
    return add_value(n, v);
}

static int add_activation(network *n, int x) {
    return activate_by(n, x, (cln_activation)(1 + draw(n, 4)));
}

static int add_pool(network *n, int x, operation pool) {
    value v = {.operation = pool, .in = {x}, .inputs = 1, .window = {.dilation = 1}};
    cln_conv2d_options *o = &v.window;
    do {
        o->kernel_h = o->kernel_w = 1 + draw(n, 4);
        o->stride = 1 + draw(n, 3);
        o->padding = draw(n, o->kernel_h / 2 + 1);
    } while (!fits(n->values[x].shape, o));
    v.t = (pool == MAXPOOL ? cln_maxpool : cln_avgpool)(n->g, n->values[x].t, o->kernel_h, o->stride, o->padding);
    return add_value(n, v);
}

/* 3x3, which keeps the size. */
static int add_maxpool(network *n, int x) {
    value v = {.operation = MAXPOOL,
               .in = {x},
               .inputs = 1,
               .window = {.dilation = 1, .kernel_h = 3, .kernel_w = 3, .stride = 1, .padding = 1}};
    v.t = cln_maxpool(n->g, n->values[x].t, 3, 1, 1);
    return add_value(n, v);
}

/* A value of the shape of x, but for its channels if `any_channels`; it may be x. */
static int partner(network *n, int x, bool any_channels) {
    cln_shape s = n->values[x].shape;
    int found[MAX_VALUES], count = 0;
    for (int i = 0; i < n->value_count; i++) {
        cln_shape o = n->values[i].shape;
        if (o.h == s.h && o.w == s.w && (any_channels || o.c == s.c))
            found[count++] = i;
    }
    return found[draw(n, count)];
}

static int sum_of(network *n, int x, int other) {
    value v = {.operation = ADD, .in = {x, other}, .inputs = 2};
    v.t = cln_add(n->g, n->values[x].t, n->values[other].t);
    return add_value(n, v);
}

static int add_sum(network *n, int x) {
    return sum_of(n, x, partner(n, x, false));
}

static int concat_of(network *n, const int *in, int inputs) {
    value v = {.operation = CONCAT, .inputs = inputs};
    cln_tensor t[MAX_INPUTS];
    for (int i = 0; i < inputs; i++) {
        v.in[i] = in[i];
        t[i] = n->values[in[i]].t;
    }
    v.t = cln_concat(n->g, t, inputs);
    return add_value(n, v);
}

static int add_concat(network *n, int x) {
    enum { MOST_CHANNELS = 80 };
    int in[MAX_INPUTS] = {x}, inputs = 1 + draw(n, MAX_INPUTS);
    int64_t channels = n->values[x].shape.c;
    for (int i = 1; i < inputs; i++) {
        in[i] = partner(n, x, true);
        channels += n->values[in[i]].shape.c;
    }
    return concat_of(n, in, channels > MOST_CHANNELS ? 1 : inputs);
}

static int add_dropout(network *n, int x) {
    value v = {.operation = DROPOUT, .in = {x}, .inputs = 1, .layer = n->g->node_count};
    v.p = draw(n, 3) ? 0.4f : 0;
    v.t = cln_dropout(n->g, n->values[x].t, v.p);
    return add_value(n, v);
}

static int add_flat(network *n, int x) {
    value v = {.operation = draw(n, 2) ? GLOBAL : FLATTEN, .in = {x}, .inputs = 1};
    v.t = (v.operation == GLOBAL ? cln_global_avgpool : cln_flatten)(n->g, n->values[x].t);
    return add_value(n, v);
}

static int add_linear(network *n, int x, int out) {
    value v = {.operation = LINEAR, .in = {x}, .inputs = 1, .param = n->param_count};
    int64_t in = n->values[x].shape.c;
    const char *layer = name(n);
    v.t = cln_linear(n->g, n->values[x].t, layer, out);
    add_param(n, layer, "weight", in * out, 0, sqrt(1.5 / (double)in));
    add_param(n, layer, "bias", out, 0, 0.3);
    return add_value(n, v);
}

static int add_random(network *n, int x) {
    bool flat = n->values[x].shape.h * n->values[x].shape.w == 1;
    int choice = draw(n, 14);
    if (choice < 2)
        return add_norm(n, x);
    if (choice < 4)
        return add_activation(n, x);
    if (choice < 5)
        return add_sum(n, x);
    if (choice < 8)
        return add_concat(n, x);
    if (choice < 10)
        return add_pool(n, x, choice == 8 ? MAXPOOL : AVGPOOL);
    if (choice < 11)
        return add_dropout(n, x);
    if (choice < 12 && draw(n, 2))
        return add_flat(n, x);
    return flat && draw(n, 2) ? add_linear(n, x, random_channels(n)) : add_conv(n, x);
}

/* What nothing has used yet is put side by side, so that every value has a gradient. */
static int gather(network *n) {
    int all = -1, end = n->value_count;
    for (int i = 0; i < end; i++) {
        if (n->values[i].used)
            continue;
        int flat = n->values[i].shape.h * n->values[i].shape.w > 1 ? add_flat(n, i) : i;
        all = all < 0 ? flat : concat_of(n, (int[]){all, flat}, 2);
    }
    return all;
}

static void add_loss(network *n, int logits) {
    int classes = (int)n->values[logits].shape.c;
    n->labels = cln_labels(n->g, "labels", n->batch);
    for (int64_t i = 0; i < n->batch; i++)
        n->label_values[i] = draw(n, 6) ? draw(n, classes) : -1;
    value v = {.operation = LOSS, .in = {logits}, .inputs = 1, .p = draw(n, 2) ? 0.2f : 0};
    v.t = cln_softmax_ce(n->g, n->values[logits].t, n->labels, v.p);
    add_value(n, v);
}

/* --- blocks --- */

static int square(network *n, int x, int channels, int kernel, int stride) {
    return convolve(n, x,
                    &(cln_conv2d_options){.out_channels = channels,
                                          .kernel_h = kernel,
                                          .kernel_w = kernel,
                                          .stride = stride,
                                          .padding = kernel / 2,
                                          .dilation = 1,
                                          .groups = 1,
                                          .bias = draw(n, 6) == 0});
}

static int usual_channels(network *n) {
    static const int channels[] = {8, 16, 16, 24, 32};
    return channels[draw(n, 5)];
}

/* Mostly the network's own function; now and then another, or none. */
static int usual_activation(network *n, int x) {
    cln_activation own = n->seed % 4 == 3 ? CLN_LEAKY_RELU : CLN_RELU;
    int choice = draw(n, 12);
    return choice == 0 ? x : choice == 1 ? add_activation(n, x) : activate_by(n, x, own);
}

static int normalised(network *n, int x) {
    return draw(n, 12) ? add_norm(n, x) : x;
}

static int unit(network *n, int x, int channels, int kernel, int stride) {
    return usual_activation(n, normalised(n, square(n, x, channels, kernel, stride)));
}

static int unit_before(network *n, int x, int channels, int kernel, int stride) {
    return square(n, usual_activation(n, normalised(n, x)), channels, kernel, stride);
}

static int residual_block(network *n, int x) {
    int stride = draw(n, 3) ? 1 : 2, before = draw(n, 2);
    int channels = stride == 1 && draw(n, 2) ? (int)n->values[x].shape.c : usual_channels(n), way = x, y;
    if (before) {
        int z = usual_activation(n, normalised(n, x));
        way = draw(n, 2) ? z : x;
        y = unit_before(n, square(n, z, channels, 3, stride), channels, 3, 1);
    } else {
        y = normalised(n, square(n, unit(n, x, channels, 3, stride), channels, 3, 1));
    }
    if (stride > 1 || n->values[way].shape.c != channels || draw(n, 4) == 0) {
        way = square(n, way, channels, 1, stride);
        way = draw(n, 2) ? way : add_norm(n, way);
    }
    y = draw(n, 2) ? sum_of(n, y, way) : sum_of(n, way, y);
    return before ? y : usual_activation(n, y);
}

static int inception_block(network *n, int x) {
    int parts[MAX_INPUTS], count = 2 + draw(n, MAX_INPUTS - 1);
    for (int i = 0; i < count; i++) {
        int from = i == 3 && draw(n, 2) ? add_maxpool(n, x) : x;
        parts[i] = unit(n, from, usual_channels(n), 1, 1);
        if (draw(n, 2))
            parts[i] = unit(n, parts[i], usual_channels(n), 3, 1);
    }
    return concat_of(n, parts, count);
}

static int dense_block(network *n, int x) {
    for (int i = 0, layers = 1 + draw(n, 3); i < layers; i++) {
        int y = unit_before(n, unit_before(n, x, usual_channels(n), 1, 1), draw(n, 3) ? 16 : 12, 3, 1);
        x = concat_of(n, draw(n, 4) ? (int[]){y, x} : (int[]){x, y}, 2);
    }
    return x;
}

static int add_block(network *n, int x) {
    enum { MOST_CHANNELS = 80 };
    if (n->values[x].shape.c > MOST_CHANNELS)
        return unit(n, x, usual_channels(n), 1, 1);
    switch (draw(n, 8)) {
    case 0:
    case 1:
        return residual_block(n, x);
    case 2:
        return inception_block(n, x);
    case 3:
        return dense_block(n, x);
    case 4:
        return unit(n, x, usual_channels(n), draw(n, 2) ? 3 : 1, 1 + draw(n, 2));
    case 5:
        return unit_before(n, x, usual_channels(n), draw(n, 2) ? 3 : 1, 1);
    case 6:
        return draw(n, 2) ? add_norm(n, x) : add_sum(n, x);
    default:
        return draw(n, 2) ? add_concat(n, x) : draw(n, 2) ? add_pool(n, x, MAXPOOL) : add_random(n, x);
    }
}

/* --- whole networks --- */

static network *begin(int seed) {
    network *n = calloc(1, sizeof *n);
    ck_assert_ptr_nonnull(n);
    n->seed = seed;
    n->g = cln_graph_new(ctx);
    n->batch = 1 + draw(n, MAX_BATCH);
    return n;
}

static network *end(network *n) {
    int features = gather(n);
    add_loss(n, draw(n, 8) ? add_linear(n, features, 2 + draw(n, 19)) : features);
    return n;
}

network *network_of_blocks_new(int seed, int side) {
    enum { LARGEST_BLOCK = 32, RESERVE = 64 };
    network *n = begin(seed);
    int64_t h = 2 + draw(n, side - 1), w = draw(n, 2) ? h : 2 + draw(n, side - 1);
    add_input(n, draw(n, 2) ? 3 : 16, h, w);
    if (draw(n, 2))
        unit(n, 0, usual_channels(n), 3, 1);
    for (int blocks = 2 + draw(n, 4); blocks > 0 && n->value_count < MAX_VALUES - LARGEST_BLOCK - RESERVE; blocks--)
        add_block(n, draw(n, 4) ? n->value_count - 1 : draw(n, n->value_count));
    return end(n);
}

network *network_new(int seed, int side) {
    static const int channels[] = {1, 2, 3, 4, 5, 16, 19};
    network *n = begin(seed);
    int64_t h = 1 + draw(n, side), w = draw(n, 2) ? h : 1 + draw(n, side);
    for (int i = 0, inputs = 1 + draw(n, 2); i < inputs; i++)
        add_input(n, channels[draw(n, 7)], h, w);
    for (int i = 0, depth = 3 + draw(n, 9); i < depth; i++)
        add_random(n, draw(n, 3) ? n->value_count - 1 : draw(n, n->value_count));
    return end(n);
}

void network_free(network *n) {
    for (int i = 0; i < n->value_count; i++)
        free(n->values[i].data);
    for (int i = 0; i < n->param_count; i++) {
        free(n->params[i].data);
        free(n->params[i].start);
    }
    cln_graph_free(n->g);
    free(n);
}

/* --- the twin --- */

static double at(const value *x, int64_t n, int64_t c, int64_t row, int64_t column) {
    return x->data[((n * x->shape.c + c) * x->shape.h + row) * x->shape.w + column];
}

/* Calls for what is under the window of output pixel (oy, ox): the tap ky, kx and the input pixel iy, ix. */
#define EACH_TAP(v, x)                                                                                                 \
    for (int64_t ky = 0; ky < (v)->window.kernel_h; ky++)                                                              \
        for (int64_t kx = 0, iy, ix; kx < (v)->window.kernel_w; kx++)                                                  \
            if ((iy = oy * (v)->window.stride - (v)->window.padding + ky * (v)->window.dilation) >= 0 &&               \
                iy < (x)->shape.h &&                                                                                   \
                (ix = ox * (v)->window.stride - (v)->window.padding + kx * (v)->window.dilation) >= 0 &&               \
                ix < (x)->shape.w)

static double conv_at(const network *net, const value *v, int64_t n, int64_t o, int64_t oy, int64_t ox) {
    const value *x = &net->values[v->in[0]];
    int64_t in = x->shape.c / v->window.groups, first = o / (v->shape.c / v->window.groups) * in;
    const double *w = net->params[v->param].data;
    double sum = v->window.bias ? net->params[v->param + 1].data[o] : 0;
    for (int64_t c = 0; c < in; c++)
        EACH_TAP(v, x)
    sum += at(x, n, first + c, iy, ix) * w[((o * in + c) * v->window.kernel_h + ky) * v->window.kernel_w + kx];
    return sum;
}

static double pool_at(const network *net, const value *v, int64_t n, int64_t c, int64_t oy, int64_t ox) {
    const value *x = &net->values[v->in[0]];
    double largest = -INFINITY, sum = 0;
    EACH_TAP(v, x) {
        largest = fmax(largest, at(x, n, c, iy, ix));
        sum += at(x, n, c, iy, ix);
    }
    return v->operation == MAXPOOL ? largest : sum / (v->window.kernel_h * v->window.kernel_w);
}

static double concat_at(const network *net, const value *v, int64_t n, int64_t c, int64_t row, int64_t column) {
    const int *in = v->in;
    while (c >= net->values[*in].shape.c)
        c -= net->values[*in++].shape.c;
    return at(&net->values[*in], n, c, row, column);
}

static double activate(cln_activation function, double x) {
    switch (function) {
    case CLN_RELU:
        return x > 0 ? x : 0;
    case CLN_LEAKY_RELU:
        return x > 0 ? x : 0.01 * x;
    case CLN_TANH:
        return tanh(x);
    case CLN_GELU:
        return x * 0.5 * (1 + erf(x / sqrt(2)));
    case CLN_IDENTITY:
        break;
    }
    return x;
}

/* `i`: the element's NCHW number. */
static double drop(const value *v, int64_t i, double x) {
    cln__random r = cln__philox(cln__stream_key(0, CLN__STREAM_DROPOUT), (uint64_t)v->layer << 40, (uint64_t)i);
    return cln__uniform(r.word[0]) >= v->p ? x / (1 - (double)v->p) : 0;
}

static double linear_at(const network *net, const value *v, int64_t n, int64_t o) {
    const value *x = &net->values[v->in[0]];
    double sum = net->params[v->param + 1].data[o];
    for (int64_t c = 0; c < x->shape.c; c++)
        sum += at(x, n, c, 0, 0) * net->params[v->param].data[o * x->shape.c + c];
    return sum;
}

static double mean_at(const value *x, int64_t n, int64_t c) {
    int64_t pixels = x->shape.h * x->shape.w;
    double sum = 0;
    for (int64_t p = 0; p < pixels; p++)
        sum += at(x, n, c, 0, p);
    return sum / (double)pixels;
}

static void normalise(network *net, value *v, bool training) {
    const value *x = &net->values[v->in[0]];
    const param *p = &net->params[v->param];
    int64_t pixels = x->shape.h * x->shape.w, count = x->shape.n * pixels;
    for (int64_t c = 0; c < x->shape.c; c++) {
        double mean = p[2].data[c], var = p[3].data[c];
        if (training && !v->use_running) {
            mean = var = 0;
            for (int64_t i = 0; i < count; i++)
                mean += at(x, i / pixels, c, 0, i % pixels) / (double)count;
            for (int64_t i = 0; i < count; i++)
                var += pow(at(x, i / pixels, c, 0, i % pixels) - mean, 2) / (double)count;
        }
        for (int64_t i = 0; i < count; i++)
            v->data[(i / pixels * x->shape.c + c) * pixels + i % pixels] =
                (at(x, i / pixels, c, 0, i % pixels) - mean) / sqrt(var + EPS) * p[0].data[c] + p[1].data[c];
    }
}

static double cross_entropy(const network *net, const value *v) {
    const value *x = &net->values[v->in[0]];
    double total = 0, smoothing = v->p, classes = (double)x->shape.c;
    int rows = 0;
    for (int64_t n = 0; n < x->shape.n; n++) {
        if (net->label_values[n] < 0)
            continue;
        double sum = 0, mean = 0;
        for (int64_t c = 0; c < x->shape.c; c++) {
            sum += exp(at(x, n, c, 0, 0));
            mean += at(x, n, c, 0, 0) / classes;
        }
        total += log(sum) - (1 - smoothing) * at(x, n, net->label_values[n], 0, 0) - smoothing * mean;
        rows++;
    }
    return rows ? total / rows : 0;
}

/* Element i = (n, c, row, column) of what is computed element by element. */
static double element(const network *net, const value *v, bool training, int64_t i, int64_t n, int64_t c, int64_t row,
                      int64_t column) {
    const double *x = net->values[v->in[0]].data, *other = net->values[v->in[1]].data;
    switch (v->operation) {
    case CONV:
        return conv_at(net, v, n, c, row, column);
    case MAXPOOL:
    case AVGPOOL:
        return pool_at(net, v, n, c, row, column);
    case CONCAT:
        return concat_at(net, v, n, c, row, column);
    case GLOBAL:
        return mean_at(&net->values[v->in[0]], n, c);
    case LINEAR:
        return linear_at(net, v, n, c);
    case ACTIVATION:
        return activate(v->activation, x[i]);
    case ADD:
        return x[i] + other[i];
    case DROPOUT:
        return training ? drop(v, i, x[i]) : x[i];
    default:
        return x[i]; /* FLATTEN */
    }
}

static void compute(network *net, value *v, bool training) {
    cln_shape s = v->shape;
    int64_t i = 0;
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t c = 0; c < s.c; c++)
            for (int64_t row = 0; row < s.h; row++)
                for (int64_t column = 0; column < s.w; column++, i++)
                    v->data[i] = element(net, v, training, i, n, c, row, column);
}

double network_loss(network *n, bool training) {
    for (int i = 0; i < n->value_count; i++) {
        value *v = &n->values[i];
        if (v->operation == NORM)
            normalise(n, v, training);
        else if (v->operation == LOSS)
            v->data[0] = cross_entropy(n, v);
        else if (v->operation != INPUT)
            compute(n, v, training);
    }
    return n->values[n->value_count - 1].data[0];
}
