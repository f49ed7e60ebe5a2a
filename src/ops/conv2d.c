/* conv2d: two-dimensional convolution (cross-correlation) with stride, padding, dilation and groups, its shape rules,
 * its gradients, and the choice among the variants that compute it. The mathematics is written out in
 * cl/conv2d_reference.cl. */
#include "conv2d.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Fastest first; the last accepts everything. The rule: the first that does not refuse. */
static const cln__conv2d_variant *const variants[] = {&cln__conv2d_direct, &cln__conv2d_gemm, &cln__conv2d_im2col,
                                                      &cln__conv2d_reference};
enum { VARIANT_COUNT = sizeof variants / sizeof *variants };

bool cln__variant_exists(const char *name) {
    for (int i = 0; i < VARIANT_COUNT; i++)
        if (strcmp(variants[i]->name, name) == 0)
            return true;
    return false;
}

/* Rows (or columns) of the output; 0 if the kernel does not fit. */
static int64_t out_size(int64_t size, int kernel, const cln__conv2d_attrs *a) {
    int64_t reach = (int64_t)a->dilation * (kernel - 1) + 1;
    int64_t padded = size + 2 * (int64_t)a->padding;
    return padded < reach ? 0 : (padded - reach) / a->stride + 1;
}

static cln_status infer(cln_graph *g, const cln__node *node) {
    const cln__conv2d_attrs *a = node->attrs;
    cln_shape x = cln__input_shape(g, node, 0), w = cln__input_shape(g, node, 1);
    if (w.c * a->groups != x.c)
        return cln__node_fail(g, node, CLN_INVALID_ARGUMENT, "weight expects %lld input channels, input has %lld",
                              (long long)w.c * a->groups, (long long)x.c);
    cln_shape y = {x.n, w.n, out_size(x.h, a->kernel_h, a), out_size(x.w, a->kernel_w, a)};
    if (y.h < 1 || y.w < 1)
        return cln__node_fail(g, node, CLN_INVALID_ARGUMENT,
                              "a %dx%d kernel with dilation %d and padding %d does not fit a %lldx%lld input",
                              a->kernel_h, a->kernel_w, a->dilation, a->padding, (long long)x.h, (long long)x.w);
    return cln__set_output(g, node, 0, y, CLN__BLOCKED, -1);
}

static void fill_defaults(cln_conv2d_options *o) {
    o->stride = o->stride ? o->stride : 1;
    o->dilation = o->dilation ? o->dilation : 1;
    o->groups = o->groups ? o->groups : 1;
    o->gain = o->gain > 0 ? o->gain : sqrtf(2);
}

static bool options_valid(cln_graph *g, const char *name, const cln_conv2d_options *o, cln_shape x) {
    enum { LIMIT = 1 << 20 }; /* keeps every product of two in 64 bits */
    bool positive = o->out_channels > 0 && o->kernel_h > 0 && o->kernel_w > 0 && o->stride > 0 && o->padding >= 0 &&
                    o->dilation > 0 && o->groups > 0;
    bool small = o->out_channels < LIMIT && o->kernel_h < LIMIT && o->kernel_w < LIMIT && o->stride < LIMIT &&
                 o->padding < LIMIT && o->dilation < LIMIT;
    if (!positive || !small)
        cln_graph_fail(g,
                       "conv2d '%s': out_channels %d, kernel %dx%d, stride %d, padding %d, dilation %d, groups %d: out "
                       "of range",
                       name, o->out_channels, o->kernel_h, o->kernel_w, o->stride, o->padding, o->dilation, o->groups);
    else if (x.c % o->groups || o->out_channels % o->groups)
        cln_graph_fail(g, "conv2d '%s': %lld input and %d output channels cannot be split in %d groups", name,
                       (long long)x.c, o->out_channels, o->groups);
    return cln_graph_status(g) == CLN_OK;
}

cln_tensor cln_conv2d(cln_graph *g, cln_tensor x, const char *name, const cln_conv2d_options *options) {
    cln_conv2d_options o = *options;
    cln_shape xs = cln_tensor_shape(g, x);
    fill_defaults(&o);
    if (cln_graph_status(g) != CLN_OK || !options_valid(g, name, &o, xs))
        return CLN_NO_TENSOR;
    cln_shape ws = {o.out_channels, xs.c / o.groups, o.kernel_h, o.kernel_w};
    double taps = (double)o.kernel_h * o.kernel_w;
    double fan_in = (double)ws.c * taps, fan = o.fan == CLN_FAN_OUT ? o.out_channels * taps : fan_in;
    cln_tensor inputs[3] = {x};
    inputs[1] = cln__param_add(g, CLN__PARAM, name, "weight", ws, CLN__WEIGHT, o.groups > 1 ? CLN_NO_TENSOR : x,
                               CLN__NORMAL, (float)(o.gain / sqrt(fan)));
    if (o.bias)
        inputs[2] = cln__param_add(g, CLN__PARAM, name, "bias", (cln_shape){1, o.out_channels, 1, 1}, CLN__BLOCKED,
                                   CLN_NO_TENSOR, CLN__UNIFORM, (float)(1 / sqrt(fan_in)));
    cln__conv2d_attrs a = {.kernel_h = o.kernel_h,
                           .kernel_w = o.kernel_w,
                           .stride = o.stride,
                           .padding = o.padding,
                           .dilation = o.dilation,
                           .groups = o.groups};
    cln_tensor y = cln__node_add(g, &cln__op_conv2d, name, &a, inputs, o.bias ? 3 : 2);
    if (y.id >= 0)
        cln__at(g, inputs[1].id)->like_out = y.id;
    return y;
}

static void describe(const cln__node *node, char *text, size_t size) {
    const cln__conv2d_attrs *a = node->attrs;
    int used =
        snprintf(text, size, " kernel %dx%d stride %d padding %d", a->kernel_h, a->kernel_w, a->stride, a->padding);
    if (a->dilation > 1 && used > 0)
        used += snprintf(text + used, size - (size_t)used, " dilation %d", a->dilation);
    if (a->groups > 1 && used > 0)
        snprintf(text + used, size - (size_t)used, " groups %d", a->groups);
}

static int64_t multiply_adds(const cln_graph *g, const cln__node *node) {
    cln_shape y = cln__at(g, node->outputs[0])->shape, w = cln__input_shape(g, node, 1);
    return y.n * y.c * y.h * y.w * w.c * w.h * w.w;
}

static bool needs_dense(const cln_graph *g, const cln__node *node) {
    (void)g;
    return ((const cln__conv2d_attrs *)node->attrs)->groups > 1;
}

/* --- gradients --- */

static cln_status backward(cln__gradients *grads, const cln__node *node) {
    cln_graph *g = grads->g;
    cln__conv2d_attrs a = *(const cln__conv2d_attrs *)node->attrs;
    cln_tensor x = cln__input(node, 0), w = cln__input(node, 1), dy = cln__gradient_of(grads, cln__output(node, 0));
    if (node->input_count > 2 && cln__gradient_wanted(grads, cln__input(node, 2)))
        cln__gradient_add(grads, cln__input(node, 2), cln__channel_sum(g, dy));
    if (cln__gradient_wanted(grads, w)) {
        /* The weight is an input for its shape and layout only. */
        cln_tensor inputs[3] = {x, dy, w};
        cln__gradient_add(grads, w, cln__node_add(g, &cln__op_conv2d_grad_weight, node->name, &a, inputs, 3));
    }
    if (cln__gradient_wanted(grads, x)) {
        cln_tensor inputs[3] = {dy, w, x};
        cln__gradient_add(grads, x, cln__node_add(g, &cln__op_conv2d_grad_input, node->name, &a, inputs, 3));
    }
    return g->status;
}

/* --- choice and lowering --- */

static const cln__conv2d_variant *choose(const cln__lowering *l, const cln__conv2d *p) {
    for (int i = 0; l->forced_variant && i < VARIANT_COUNT; i++)
        if (strcmp(variants[i]->name, l->forced_variant) == 0 && !variants[i]->refuses(l, p))
            return variants[i];
    for (int i = 0; i < VARIANT_COUNT; i++)
        if (!variants[i]->refuses(l, p))
            return variants[i];
    return NULL;
}

double cln__conv2d_flops(const cln__lowering *l, const cln__conv2d *p) {
    cln_shape w = cln__shape_of(l, p->w);
    return 2.0 * (double)(p->ys.n * p->ys.c * p->ys.h * p->ys.w) * (double)(w.c * w.h * w.w);
}

static cln_status lower_pass(cln__lowering *l, cln__conv2d *p) {
    p->xs = cln__shape_of(l, p->x);
    p->ys = cln__shape_of(l, p->y);
    const cln__conv2d_variant *variant = choose(l, p);
    if (!variant)
        return cln__lower_fail(l, CLN_UNSUPPORTED, "no kernel variant serves it");
    int first = l->step_count;
    CLN_TRY(variant->lower(l, p));
    for (int i = first; i < l->step_count; i++)
        l->steps[i].variant = variant->name;
    return CLN_OK;
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    cln__conv2d p = {.pass = CLN__FORWARD,
                     .a = *(const cln__conv2d_attrs *)node->attrs,
                     .x = cln__input(node, 0),
                     .w = cln__input(node, 1),
                     .bias = node->input_count > 2 ? cln__input(node, 2) : CLN_NO_TENSOR,
                     .y = cln__output(node, 0)};
    return lower_pass(l, &p);
}

static cln_status lower_grad_input(cln__lowering *l, const cln__node *node) {
    cln__conv2d p = {.pass = CLN__GRAD_INPUT,
                     .a = *(const cln__conv2d_attrs *)node->attrs,
                     .y = cln__input(node, 0),
                     .w = cln__input(node, 1),
                     .x = cln__output(node, 0),
                     .bias = CLN_NO_TENSOR};
    return lower_pass(l, &p);
}

static cln_status lower_grad_weight(cln__lowering *l, const cln__node *node) {
    cln__conv2d p = {.pass = CLN__GRAD_WEIGHT,
                     .a = *(const cln__conv2d_attrs *)node->attrs,
                     .x = cln__input(node, 0),
                     .y = cln__input(node, 1),
                     .w = cln__output(node, 0),
                     .bias = CLN_NO_TENSOR};
    return lower_pass(l, &p);
}

const cln__op cln__op_conv2d = {.name = "conv2d",
                                .attrs_size = sizeof(cln__conv2d_attrs),
                                .outputs = 1,
                                .infer = infer,
                                .backward = backward,
                                .lower = lower,
                                .multiply_adds = multiply_adds,
                                .describe = describe,
                                .needs_dense = needs_dense};

const cln__op cln__op_conv2d_grad_input = {.name = "conv2d_grad_input",
                                           .attrs_size = sizeof(cln__conv2d_attrs),
                                           .outputs = 1,
                                           .infer = cln__infer_like_2,
                                           .lower = lower_grad_input,
                                           .describe = describe};

const cln__op cln__op_conv2d_grad_weight = {.name = "conv2d_grad_weight",
                                            .attrs_size = sizeof(cln__conv2d_attrs),
                                            .outputs = 1,
                                            .infer = cln__infer_weight_like_2,
                                            .lower = lower_grad_weight,
                                            .describe = describe};
