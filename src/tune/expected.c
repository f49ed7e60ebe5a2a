/* What a trial must give: the convolution and its gradients by the reference variant, which is slow and simple, on the
 * trial's device; all that is fused into them on the host. The formulas are those of ops/conv2d.h. */
#include "trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct reference {
    cln__trial *trial;
    const cln__conv2d_case *c;
    int64_t xs, ys, x_pixels, y_pixels; /* elements; pixels of an image */
    float *xn, *d;                      /* what is convolved */
    float *y, *dx, *dw;                 /* results of the reference variant */
} reference;

static float *new_floats(int64_t count) {
    return malloc(sizeof(float) * (size_t)count);
}

static float *input(const reference *r, cln__trial_input which) {
    return r->trial->in[which];
}

static float activate(cln_activation act, float v) {
    return act == CLN_RELU ? fmaxf(v, 0) : act == CLN_LEAKY_RELU ? (v > 0 ? v : 0.01f * v) : v;
}

/* The derivative, from the activation's value. */
static float slope_at(cln_activation act, float value) {
    return act == CLN_IDENTITY || value > 0 ? 1 : act == CLN_LEAKY_RELU ? 0.01f : 0;
}

static bool is_simple(cln_activation act) {
    return act == CLN_IDENTITY || act == CLN_RELU || act == CLN_LEAKY_RELU;
}

/* The channel of element `i`. */
static int64_t channel(int64_t i, int64_t pixels, int64_t channels) {
    return i / pixels % channels;
}

/* --- before the convolution --- */

/* The largest of 3x3 pixels around pixel `i` of x. */
static float pooled(const reference *r, const float *x, int64_t i) {
    int64_t w = r->c->xs.w, h = r->c->xs.h, column = i % w, row = i / w % h;
    float largest = x[i];
    for (int64_t dy = row > 0 ? -1 : 0; dy <= (row < h - 1 ? 1 : 0); dy++)
        for (int64_t dx = column > 0 ? -1 : 0; dx <= (column < w - 1 ? 1 : 0); dx++)
            largest = fmaxf(largest, x[i + dy * w + dx]);
    return largest;
}

static bool make_loaded(reference *r) {
    const float *x = input(r, CLN__TRIAL_X), *scale = input(r, CLN__TRIAL_LOAD_SCALE);
    const float *shift = input(r, CLN__TRIAL_LOAD_SHIFT);
    r->xn = new_floats(r->xs);
    for (int64_t i = 0; r->xn && i < r->xs; i++) {
        int64_t c = channel(i, r->x_pixels, r->c->xs.c);
        float value = r->c->pooled ? pooled(r, x, i) : x[i];
        r->xn[i] = activate(r->c->load_act, (scale ? scale[c] : 1) * value + (shift ? shift[c] : 0));
    }
    return r->xn != NULL;
}

static bool make_upstream(reference *r) {
    const float *dy = input(r, CLN__TRIAL_DY), *y = input(r, CLN__TRIAL_Y);
    const float *scale = input(r, CLN__TRIAL_DY_SCALE), *slope = input(r, CLN__TRIAL_DY_SLOPE);
    const float *shift = input(r, CLN__TRIAL_DY_SHIFT);
    r->d = dy ? new_floats(r->ys) : NULL;
    for (int64_t i = 0; r->d && i < r->ys; i++) {
        int64_t c = channel(i, r->y_pixels, r->c->ys.c);
        r->d[i] = (scale ? scale[c] : 1) * dy[i] + (slope ? slope[c] * y[i] : 0) + (shift ? shift[c] : 0);
    }
    return !dy || r->d;
}

/* --- the convolution --- */

typedef struct network {
    cln_graph *g;
    cln_tensor x, y, dy;
    cln_weights *weights;
    cln_plan *plan;
} network;

static cln_status build(const reference *r, network *n) {
    const cln__conv2d_case *c = r->c;
    bool training = c->pass != CLN__FORWARD, wants_dx = r->trial->t.in[CLN__TRIAL_DX].id >= 0;
    n->g = cln_graph_new(r->trial->ctx);
    if (!n->g)
        return cln__fail_memory(r->trial->ctx, "the reference of a trial");
    n->x = cln_input(n->g, "x", c->xs.n, c->xs.c, c->xs.h, c->xs.w);
    n->y = cln_conv2d(n->g, n->x, "conv",
                      &(cln_conv2d_options){.out_channels = (int)c->ys.c,
                                            .kernel_h = c->a.kernel_h,
                                            .kernel_w = c->a.kernel_w,
                                            .stride = c->a.stride,
                                            .padding = c->a.padding,
                                            .dilation = c->a.dilation,
                                            .groups = c->a.groups,
                                            .bias = c->bias});
    cln_shape ys = cln_tensor_shape(n->g, n->y);
    if (training)
        n->dy = cln_input(n->g, "dy", ys.n, ys.c, ys.h, ys.w);
    CLN_TRY(cln_graph_status(n->g));
    if (!cln__shape_equal(ys, c->ys))
        return cln__fail(r->trial->ctx, CLN_INVALID_ARGUMENT, "'%s' is not the shape of a convolution",
                         r->trial->signature);
    CLN_TRY(cln_weights_new(r->trial->device, n->g, 1, &n->weights));
    cln_plan_options options = {.training = training,
                                .loss = training ? n->y : CLN_NO_TENSOR,
                                .has_upstream = training,
                                .upstream = n->dy,
                                .gradients = &n->x,
                                .gradient_count = training && wants_dx,
                                .outputs = &n->y,
                                .output_count = !training,
                                .variant = "reference"};
    return cln_plan_build(r->trial->device, n->g, n->weights, &options, &n->plan);
}

static cln_status run(reference *r, network *n) {
    int64_t weights = cln_weights_info(n->weights, 0).count;
    CLN_TRY(cln_weights_set(n->weights, 0, CLN_VALUE, r->trial->w, weights));
    if (r->c->bias)
        CLN_TRY(cln_weights_set(n->weights, 1, CLN_VALUE, input(r, CLN__TRIAL_BIAS), r->c->ys.c));
    CLN_TRY(cln_plan_write(n->plan, n->x, r->xn, r->xs));
    if (r->d)
        CLN_TRY(cln_plan_write(n->plan, n->dy, r->d, r->ys));
    CLN_TRY(cln_plan_step(n->plan, 0));
    r->y = new_floats(r->ys);
    r->dx = new_floats(r->xs);
    r->dw = new_floats(weights);
    if (!r->y || !r->dx || !r->dw)
        return cln__fail_memory(r->trial->ctx, "the reference of a trial");
    if (!r->d)
        return cln_plan_read(n->plan, n->y, r->y, r->ys);
    if (r->trial->t.in[CLN__TRIAL_DX].id >= 0)
        CLN_TRY(cln_plan_read_gradient(n->plan, n->x, r->dx, r->xs));
    return cln_weights_get(n->weights, 0, CLN_GRADIENT, r->dw, weights);
}

static cln_status convolve(reference *r) {
    network n = {.g = NULL, .dy = CLN_NO_TENSOR};
    cln_status status = build(r, &n);
    if (status == CLN_OK)
        status = run(r, &n);
    cln_plan_free(n.plan);
    cln_weights_free(n.weights);
    cln_graph_free(n.g);
    return status;
}

/* --- after it --- */

/* Sums of a channel: of f, and of f * g where there is a g. */
static void sum_channel(const float *f, const float *g, cln_shape s, int64_t c, double *sum, double *product) {
    int64_t pixels = s.h * s.w;
    *sum = *product = 0;
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t i = (n * s.c + c) * pixels, end = i + pixels; i < end; i++) {
            *sum += (double)f[i];
            *product += g ? (double)f[i] * (double)g[i] : 0;
        }
}

static bool expect_moments(reference *r, float **out) {
    out[CLN__RESULT_MEAN] = new_floats(r->c->ys.c);
    out[CLN__RESULT_VAR] = new_floats(r->c->ys.c);
    double count = (double)(r->ys / r->c->ys.c), sum, squares;
    for (int64_t c = 0; c < r->c->ys.c; c++) {
        if (!out[CLN__RESULT_MEAN] || !out[CLN__RESULT_VAR])
            return false;
        sum_channel(r->y, r->y, r->c->ys, c, &sum, &squares);
        out[CLN__RESULT_MEAN][c] = (float)(sum / count);
        out[CLN__RESULT_VAR][c] = (float)(squares / count - sum / count * (sum / count));
    }
    return true;
}

static bool expect_forward(reference *r, float **out) {
    const float *before = r->c->accumulate ? input(r, CLN__TRIAL_Y) : NULL;
    for (int64_t i = 0; i < r->ys; i++)
        r->y[i] = activate(r->c->act, r->y[i] + (before ? before[i] : 0));
    if (r->c->moments && !expect_moments(r, out))
        return false;
    out[CLN__RESULT_Y] = r->y;
    r->y = NULL;
    return true;
}

static bool expect_sums(reference *r, float **out) {
    const float *of = input(r, r->c->sums == CLN__SUMS_OF_X ? CLN__TRIAL_X : CLN__TRIAL_SUMS_OF);
    const float *mean = input(r, CLN__TRIAL_SUMS_MEAN), *invstd = input(r, CLN__TRIAL_SUMS_INVSTD);
    float *sum0 = out[CLN__RESULT_SUM0] = new_floats(r->c->xs.c);
    float *sum1 = out[CLN__RESULT_SUM1] = new_floats(r->c->xs.c);
    double sum, product;
    for (int64_t c = 0; c < r->c->xs.c; c++) {
        if (!sum0 || !sum1)
            return false;
        sum_channel(r->dx, of, r->c->xs, c, &sum, &product);
        sum0[c] = (float)sum;
        sum1[c] = (float)((product - sum * (double)mean[c]) * (double)invstd[c]);
    }
    return true;
}

static bool expect_dx(reference *r, float **out) {
    const float *before = input(r, CLN__TRIAL_DX), *scale = input(r, CLN__TRIAL_DX_SCALE);
    for (int64_t i = 0; i < r->xs; i++)
        r->dx[i] = (r->dx[i] + (r->c->dx_before ? before[i] : 0)) * slope_at(r->c->mask, r->xn[i]);
    if (r->c->sums != CLN__NO_SUMS && !expect_sums(r, out))
        return false;
    for (int64_t i = 0; i < r->xs; i++) {
        float s = scale ? scale[channel(i, r->x_pixels, r->c->xs.c)] : 1;
        r->dx[i] = s * r->dx[i] + (r->c->dx_after ? before[i] : 0);
    }
    out[CLN__RESULT_DX] = r->dx;
    r->dx = NULL;
    return true;
}

static bool expect_db(reference *r, float **out) {
    double sum, unused;
    out[CLN__RESULT_DB] = new_floats(r->c->ys.c);
    for (int64_t c = 0; out[CLN__RESULT_DB] && c < r->c->ys.c; c++) {
        sum_channel(r->d, NULL, r->c->ys, c, &sum, &unused);
        out[CLN__RESULT_DB][c] = (float)sum;
    }
    return out[CLN__RESULT_DB] != NULL;
}

static bool expect_backward(reference *r, float **out) {
    if (r->c->db && !expect_db(r, out))
        return false;
    if (input(r, CLN__TRIAL_DX) && !expect_dx(r, out))
        return false;
    if (r->c->pass != CLN__GRAD_INPUT) {
        out[CLN__RESULT_DW] = r->dw;
        r->dw = NULL;
    }
    if (r->c->keep_d) {
        out[CLN__RESULT_D] = r->d;
        r->d = NULL;
    }
    return true;
}

cln_status cln__trial_expect(cln__trial *trial) {
    const cln__conv2d_case *c = &trial->t.c;
    reference r = {.trial = trial, .c = c};
    r.x_pixels = c->xs.h * c->xs.w;
    r.y_pixels = c->ys.h * c->ys.w;
    r.xs = c->xs.n * c->xs.c * r.x_pixels;
    r.ys = c->ys.n * c->ys.c * r.y_pixels;
    if (!is_simple(c->load_act) || !is_simple(c->act) || !is_simple(c->mask))
        return cln__fail(trial->ctx, CLN_UNSUPPORTED, "'%s' has an activation without a reference", trial->signature);
    cln_status status = make_loaded(&r) && make_upstream(&r) ? convolve(&r) : CLN_OUT_OF_MEMORY;
    if (status == CLN_OK &&
        !(c->pass == CLN__FORWARD ? expect_forward(&r, trial->expected) : expect_backward(&r, trial->expected)))
        status = CLN_OUT_OF_MEMORY;
    if (status == CLN_OUT_OF_MEMORY)
        cln__fail_memory(trial->ctx, "the reference of a trial");
    free(r.xn);
    free(r.d);
    free(r.y);
    free(r.dx);
    free(r.dw);
    return status;
}
