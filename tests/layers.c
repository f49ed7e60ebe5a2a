/* Layers against a naive reference: see layers.h. */
#include "layers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sums of up to some thousand products: of the whole. */
static const double SUM_TOLERANCE = 1e-5;

typedef struct layer {
    const float *w, *bias; /* bias: or NULL */
    double *y, *dx, *dw, *db;
} layer;

static void naive_conv2d(const operand *x, const operand *y, const cln_conv2d_options *o, layer *l) {
    cln_shape s = x->shape, p = y->shape;
    int stride = o->stride ? o->stride : 1, dilation = o->dilation ? o->dilation : 1,
        groups = o->groups ? o->groups : 1;
    int64_t window = o->kernel_h * o->kernel_w, share = s.c / groups;
    for (int64_t at = 0; at < count_of(p); at++) {
        int64_t ox = at % p.w, oy = at / p.w % p.h, out = at / (p.w * p.h) % p.c, n = at / (p.w * p.h * p.c);
        l->y[at] = l->bias ? l->bias[out] : 0;
        l->db[out] += y->gradient[at];
        for (int64_t k = 0; k < share * window; k++) {
            int64_t c = out / (p.c / groups) * share + k / window;
            int64_t iy = oy * stride - o->padding + k / o->kernel_w % o->kernel_h * dilation;
            int64_t ix = ox * stride - o->padding + k % o->kernel_w * dilation;
            if (iy < 0 || iy >= s.h || ix < 0 || ix >= s.w)
                continue;
            int64_t from = ((n * s.c + c) * s.h + iy) * s.w + ix, weight = out * share * window + k;
            l->y[at] += (double)x->values[from] * l->w[weight];
            l->dx[from] += (double)y->gradient[at] * l->w[weight];
            l->dw[weight] += (double)y->gradient[at] * x->values[from];
        }
    }
}

void check_layer(trial *t, const char *name, const cln_conv2d_options *o, const operand *y, double *dx) {
    char weight[32], bias[32];
    snprintf(weight, sizeof weight, "%s.weight", name);
    snprintf(bias, sizeof bias, "%s.bias", name);
    int64_t weights = y->shape.c * (t->x[0].shape.c / (o->groups ? o->groups : 1)) * o->kernel_h * o->kernel_w;
    float *w = trial_weight(t, weight, CLN_VALUE), *dw = trial_weight(t, weight, CLN_GRADIENT);
    float *b = o->bias ? trial_weight(t, bias, CLN_VALUE) : NULL;
    float *db = o->bias ? trial_weight(t, bias, CLN_GRADIENT) : NULL;
    layer truth = {w, b, zeros(count_of(y->shape)), dx, zeros(weights), zeros(y->shape.c)};
    naive_conv2d(&t->x[0], y, o, &truth);
    check_close("y", y->values, truth.y, count_of(y->shape), SUM_TOLERANCE);
    check_close("gradient of the weight", dw, truth.dw, weights, SUM_TOLERANCE);
    if (o->bias)
        check_close("gradient of the bias", db, truth.db, y->shape.c, SUM_TOLERANCE);
    free(w);
    free(dw);
    free(b);
    free(db);
    free(truth.y);
    free(truth.dw);
    free(truth.db);
}

static void check_input_gradient(const operand *x, double *dx) {
    check_close("dx", x->gradient, dx, count_of(x->shape), SUM_TOLERANCE);
    free(dx);
}

void check_only_layer(trial *t, const char *name, const cln_conv2d_options *o) {
    double *dx = zeros(count_of(t->x[0].shape));
    check_layer(t, name, o, &t->y, dx);
    check_input_gradient(&t->x[0], dx);
}

/* --- side by side --- */

static float *channels_of(const float *values, cln_shape s, int64_t first, int64_t count) {
    int64_t pixels = s.h * s.w;
    float *part = floats(s.n * count * pixels);
    for (int64_t n = 0; n < s.n; n++)
        memcpy(part + n * count * pixels, values + (n * s.c + first) * pixels, (size_t)(count * pixels) * sizeof *part);
    return part;
}

void check_side_by_side(cln_shape shape, const char *variant, bool linear) {
    static const int outs[] = {16, 21};
    static const char *const names[] = {"a", "b"};
    cln_conv2d_options o[2];
    cln_tensor y[2];
    trial t = trial_begin();
    operand *x = trial_input(&t, shape);
    for (int i = 0; i < 2; i++) {
        o[i] = (cln_conv2d_options){.out_channels = outs[i], .kernel_h = 1, .kernel_w = 1, .bias = linear};
        y[i] = linear ? cln_linear(t.g, x->whole, names[i], outs[i]) : cln_conv2d(t.g, x->whole, names[i], &o[i]);
    }
    t.variant = variant;
    trial_run(&t, cln_concat(t.g, y, 2));
    double *dx = zeros(count_of(shape));
    for (int i = 0; i < 2; i++) {
        int64_t first = i ? outs[0] : 0;
        operand part = {.shape = t.y.shape};
        part.shape.c = outs[i];
        part.values = channels_of(t.y.values, t.y.shape, first, outs[i]);
        part.gradient = channels_of(t.y.gradient, t.y.shape, first, outs[i]);
        check_layer(&t, names[i], &o[i], &part, dx);
        free(part.values);
        free(part.gradient);
    }
    check_input_gradient(x, dx);
    trial_end(&t);
}
