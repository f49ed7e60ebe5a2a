/* conv2d: two-dimensional convolution (cross-correlation) with stride, padding, dilation and groups, its shape rules,
 * its gradients, and the choice among the variants that compute it. The mathematics is written out in
 * cl/conv2d_reference.cl. */
#include "conv2d.h"
#include "conv2d_case.h"
#include "conv2d_choice.h"
#include "fuse.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Fastest first; the last accepts everything. The rule: the first that does not refuse. */
static const cln__conv2d_variant *const variants[] = {
    &cln__conv2d_pointwise, &cln__conv2d_winograd, &cln__conv2d_staged, &cln__conv2d_implicit,
    &cln__conv2d_direct,    &cln__conv2d_gemm,     &cln__conv2d_im2col, &cln__conv2d_reference,
};
enum { VARIANT_COUNT = sizeof variants / sizeof *variants };

cln_status cln__variant_check(cln_context *ctx, const char *name) {
    char names[200] = "";
    for (int i = 0; i < VARIANT_COUNT; i++) {
        if (strcmp(variants[i]->name, name) == 0)
            return CLN_OK;
        size_t used = strlen(names);
        const char *before = i == 0 ? "" : i == VARIANT_COUNT - 1 ? " and " : ", ";
        snprintf(names + used, sizeof names - used, "%s%s", before, variants[i]->name);
    }
    return cln__fail(ctx, CLN_INVALID_ARGUMENT, "there is no kernel variant '%s'; there are %s", name, names);
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

bool cln__conv2d_is_pointwise(const cln__node *node) {
    const cln__conv2d_attrs *a = node->attrs;
    return a->kernel_h == 1 && a->kernel_w == 1 && a->stride == 1 && a->padding == 0 && a->groups == 1;
}

/* --- gradients --- */

/* Inputs and outputs of the gradient. */
enum { DY, X, W, GRAD_INPUTS };
enum { DX, DW, DB };

typedef struct grad_attrs {
    cln__conv2d_attrs conv;
    bool input, weight, bias; /* which of dx, dw and db are wanted; variants that fuse make dw anyway */
} grad_attrs;

static cln_status backward(cln__gradients *grads, const cln__node *node) {
    cln_graph *g = grads->g;
    cln_tensor x = cln__input(node, 0), w = cln__input(node, 1);
    cln_tensor bias = node->input_count > 2 ? cln__input(node, 2) : CLN_NO_TENSOR;
    cln_tensor inputs[GRAD_INPUTS] = {[DY] = cln__gradient_of(grads, cln__output(node, 0)), [X] = x, [W] = w};
    grad_attrs a = {.conv = *(const cln__conv2d_attrs *)node->attrs,
                    .input = cln__gradient_wanted(grads, x),
                    .weight = cln__gradient_wanted(grads, w),
                    .bias = cln__gradient_wanted(grads, bias)};
    cln_tensor dx = cln__node_add(g, &cln__op_conv2d_grad, node->name, &a, inputs, GRAD_INPUTS);
    if (a.bias)
        cln__gradient_add(grads, bias, cln__node_output(g, dx, DB));
    cln__gradient_add(grads, w, cln__node_output(g, dx, DW));
    cln__gradient_add(grads, x, dx);
    return g->status;
}

static cln_status infer_grad(cln_graph *g, const cln__node *node) {
    const cln__tensor w = *cln__at(g, node->inputs[W]);
    cln_shape db = {1, w.shape.n, 1, 1};
    CLN_TRY(cln__set_output(g, node, DX, cln__input_shape(g, node, X), CLN__LIKE, node->inputs[X]));
    CLN_TRY(cln__set_output(g, node, DW, w.shape, CLN__WEIGHT, w.like));
    cln__at(g, node->outputs[DW])->like_out = w.like_out;
    return cln__set_output(g, node, DB, db, CLN__LIKE, w.like_out);
}

/* --- choice --- */

/* Variants that fuse do both gradients at once, the others each by itself. */
static bool takes_pass(const cln__conv2d_variant *variant, cln__conv2d_pass pass) {
    return pass == CLN__FORWARD || variant->fuses == (pass == CLN__BACKWARD);
}

const char *cln__conv2d_refusal(const cln__lowering *l, const cln__conv2d *p, const cln__conv2d_variant *v) {
    return p->pooled && !v->pools ? "its input is pooled on load" : v->refuses(l, p);
}

static bool is_forced(const cln__lowering *l, const cln__conv2d_variant *v) {
    return l->forced_variant && strcmp(l->forced_variant, v->name) == 0;
}

static const cln__conv2d_variant *choose(const cln__lowering *l, const cln__conv2d *p) {
    const cln__conv2d_variant *first = NULL;
    for (int i = 0; i < VARIANT_COUNT; i++) {
        const cln__conv2d_variant *v = variants[i];
        if (!takes_pass(v, p->pass) || cln__conv2d_refusal(l, p, v))
            continue;
        if (is_forced(l, v))
            return v;
        /* Who asks for one variant wants to see that one: what stands in for it adds no rounding of its own. */
        if (!first && !(l->forced_variant && v == &cln__conv2d_winograd))
            first = v;
    }
    return first;
}

cln__conv2d cln__conv2d_describe(const cln__lowering *l, cln__conv2d_pass pass, const cln__conv2d_attrs *a,
                                 cln_tensor x, cln_tensor w, cln_tensor y) {
    return (cln__conv2d){.pass = pass,
                         .a = *a,
                         .x = x,
                         .w = w,
                         .y = y,
                         .xs = cln__shape_of(l, x),
                         .ys = cln__shape_of(l, y),
                         .bias = CLN_NO_TENSOR,
                         .load_scale = CLN_NO_TENSOR,
                         .load_shift = CLN_NO_TENSOR,
                         .dy = CLN_NO_TENSOR,
                         .dy_scale = CLN_NO_TENSOR,
                         .dy_slope = CLN_NO_TENSOR,
                         .dy_shift = CLN_NO_TENSOR,
                         .dw = CLN_NO_TENSOR,
                         .db = CLN_NO_TENSOR,
                         .dx = CLN_NO_TENSOR,
                         .sums_of = CLN_NO_TENSOR,
                         .sums_mean = CLN_NO_TENSOR,
                         .sums_invstd = CLN_NO_TENSOR,
                         .dx_scale = CLN_NO_TENSOR};
}

static cln__conv2d describe_forward(const cln__lowering *l, const cln__node *node) {
    cln__conv2d p = cln__conv2d_describe(l, CLN__FORWARD, node->attrs, cln__input(node, 0), cln__input(node, 1),
                                         cln__output(node, 0));
    if (node->input_count > 2)
        p.bias = cln__input(node, 2);
    int pooled = l->fusion->pooled[node - l->g->nodes];
    if (pooled >= 0) {
        p.x.id = pooled;
        p.pooled = true;
    }
    return p;
}

static cln__conv2d describe_backward(const cln__lowering *l, const cln__node *node) {
    const grad_attrs *a = node->attrs;
    cln_tensor dy = cln__input(node, DY);
    cln__conv2d p = cln__conv2d_describe(l, CLN__BACKWARD, &a->conv, cln__input(node, X), cln__input(node, W), dy);
    p.dy = dy;
    p.dw = cln__output(node, DW);
    if (a->bias)
        p.db = cln__output(node, DB);
    if (a->input)
        p.dx = cln__output(node, DX);
    return p;
}

/* The variant that does both gradients at once, or NULL: none serves, or another kind is asked for. */
static const cln__conv2d_variant *choose_backward(const cln__lowering *l, const cln__conv2d *p) {
    const cln__conv2d_variant *variant = choose(l, p);
    if (!variant || !l->forced_variant || is_forced(l, variant))
        return variant;
    cln__conv2d alone = cln__conv2d_describe(l, CLN__GRAD_WEIGHT, &p->a, p->x, p->dw, p->dy);
    const cln__conv2d_variant *asked = choose(l, &alone);
    return asked && is_forced(l, asked) ? NULL : variant;
}

bool cln__conv2d_fuses(cln__lowering *l, const cln__node *node) {
    cln__conv2d p = node->op == &cln__op_conv2d ? describe_forward(l, node) : describe_backward(l, node);
    const cln__conv2d_variant *variant = p.pass == CLN__FORWARD ? choose(l, &p) : choose_backward(l, &p);
    return variant && variant->fuses;
}

bool cln__conv2d_pools(cln__lowering *l, const cln__node *node, cln_tensor x) {
    cln__conv2d p = describe_forward(l, node);
    const cln__conv2d_variant *variant = choose(l, &p);
    p.x = x;
    p.pooled = true;
    return variant && variant->pools && !cln__conv2d_refusal(l, &p, variant);
}

double cln__conv2d_flops(const cln__lowering *l, const cln__conv2d *p) {
    cln_shape w = cln__shape_of(l, p->w);
    return 2.0 * (double)(p->ys.n * p->ys.c * p->ys.h * p->ys.w) * (double)(w.c * w.h * w.w);
}

/* --- lowering --- */

/* The variants that refused, and why, as text. */
typedef struct reasons {
    char text[600];
} reasons;

static void append_reason(char *text, size_t size, const char *variant, const char *reason) {
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%s: %s", used ? "; " : "", variant, reason);
}

/* Why other variants than `chosen` do not do it, as "winograd: the stride is 2; ...". What takes another pass than `p`
 * is asked about `both`, the two gradients at once, if that is given. */
static void explain(const cln__lowering *l, const cln__conv2d_variant *chosen, const cln__conv2d *p,
                    const cln__conv2d *both, reasons *why) {
    why->text[0] = '\0';
    for (int i = 0; i < VARIANT_COUNT; i++) {
        const cln__conv2d *asked = takes_pass(variants[i], p->pass) ? p : both;
        if (variants[i] == chosen || !asked || !takes_pass(variants[i], asked->pass))
            continue;
        const char *reason = cln__conv2d_refusal(l, asked, variants[i]);
        if (reason)
            append_reason(why->text, sizeof why->text, variants[i]->name, reason);
    }
}

static cln_status run(cln__lowering *l, const cln__conv2d_variant *variant, cln__conv2d *p, const reasons *why) {
    if (!variant)
        return cln__lower_fail(l, CLN_UNSUPPORTED, "no kernel variant serves it (%s)", why->text);
    cln__conv2d_choice choice;
    CLN_TRY(cln__conv2d_choose(l, p, variants, VARIANT_COUNT, variant, &choice));
    int first = l->step_count;
    p->parameters = *choice.parameters ? choice.parameters : NULL;
    CLN_TRY(choice.variant->lower(l, p));
    p->parameters = NULL;
    cln__steps_choose(l, first, choice.variant->name, why->text[0] ? why->text : NULL);
    return l->status;
}

/* x is read as its form says, where that is not in memory. */
static void load(const cln__lowering *l, cln__conv2d *p) {
    cln__form form = cln__form_of(l, p->x);
    if (form.kind != CLN__LOADED)
        return;
    p->x.id = form.source;
    p->load_scale.id = form.scale;
    p->load_shift.id = form.shift;
    p->load_act = form.act;
}

/* Folds the batch normalisation `norm` of p->y's channels from `first` on, and weights and bias of them, into `weight`
 * and `bias`, which are laid like p->w and the channels of p->y. */
static void fold_part(cln__lowering *l, const cln__conv2d *p, const cln__node *norm, int64_t first, cln_tensor w,
                      cln_tensor b, cln_tensor weight, cln_tensor bias) {
    cln__layout y = cln__layout_of(l, p->y), part = cln__layout_of(l, cln__input(norm, 0));
    if (cln__batchnorm_prepare(l, norm) != CLN_OK)
        return;
    cln__step *step = cln__step_new(l, "conv2d_fold", "conv2d_fold");
    cln__step_define(l, step, "B=%d", y.block);
    cln__step_define(l, step, "BIAS=%d", b.id >= 0);
    cln__arg_tensor(step, w, CLN__READ);
    cln__arg_tensor(step, b.id >= 0 ? b : w, CLN__READ); /* not read without BIAS */
    cln__arg_tensor(step, cln__output(norm, CLN__NORM_SCALE), CLN__READ);
    cln__arg_tensor(step, cln__output(norm, CLN__NORM_SHIFT), CLN__READ);
    cln__arg_tensor(step, weight, CLN__WRITE);
    cln__arg_tensor(step, bias, CLN__WRITE);
    cln__arg_int(step, cln__layout_of(l, p->w).elements / y.stored);
    cln__arg_int(step, part.stored / part.block);
    cln__arg_int(step, y.stored / y.block);
    cln__arg_int(step, y.map[first] / y.block);
    cln__step_items(step, part.stored / part.block, 1, 1);
}

/* The node that reads `tensor` first. */
static const cln__node *reader_of(const cln__lowering *l, int tensor) {
    const cln__node *node = &l->g->nodes[l->g->tensors[tensor].producer];
    while (node->inputs[0] != tensor)
        node++;
    return node;
}

static const cln__node *producer_of(const cln__lowering *l, cln_tensor x) {
    return &l->g->nodes[l->g->tensors[x.id].producer];
}

/* Each part of a convolution that stands for several has its own normalisation, weights and bias. */
static void fold_parts(cln__lowering *l, const cln__conv2d *p, const cln__node *split, cln_tensor weight,
                       cln_tensor bias) {
    int64_t first = 0;
    for (int k = 0; k < split->output_count && l->status == CLN_OK; k++) {
        cln_tensor w = cln__input(producer_of(l, p->w), k), none = CLN_NO_TENSOR;
        cln_tensor b = p->bias.id >= 0 ? cln__input(producer_of(l, p->bias), k) : none;
        fold_part(l, p, reader_of(l, split->outputs[k]), first, w, b, weight, bias);
        first += cln__shape_of(l, cln__output(split, k)).c;
    }
}

/* Evaluation: the batch normalisation behind, or those behind the parts, goes into weights and bias, which are made
 * anew in each step. */
static cln_status fold(cln__lowering *l, cln__conv2d *p, const cln__node *behind) {
    cln_tensor weight = cln__scratch(l, cln__layout_of(l, p->w).elements), bias = cln__scratch_vector(l, p->y);
    if (behind->op->splits)
        fold_parts(l, p, behind, weight, bias);
    else
        fold_part(l, p, behind, 0, p->w, p->bias, weight, bias);
    if (l->status == CLN_OK)
        l->g->tensors[weight.id].shape = cln__shape_of(l, p->w);
    p->w = weight;
    p->bias = bias;
    return l->status;
}

/* The activation that the step does, where the result of the convolution or of its parts is `tensor`. */
static cln_activation activation_of(const cln__lowering *l, int tensor) {
    const cln__node *node = &l->g->nodes[l->g->tensors[tensor].producer];
    return node->op == &cln__op_activation ? cln__activation_of(node) : CLN_IDENTITY;
}

/* Evaluation: what the kernel does behind the convolution. */
static cln_status follow(cln__lowering *l, cln__conv2d *p) {
    int folded = l->fusion->folded[l->node], written = l->fusion->written[l->node];
    const cln__node *behind = folded >= 0 ? &l->g->nodes[folded] : NULL;
    if (behind && behind->op->splits) {
        const cln__node *norm = reader_of(l, behind->outputs[0]);
        int y = norm->outputs[CLN__NORM_Y];
        p->act = l->fusion->alias[y] < 0 ? cln__activation_of(reader_of(l, y)) : CLN_IDENTITY;
    } else if (written >= 0) {
        p->act = activation_of(l, written);
        p->accumulate = l->fusion->alias[written] >= 0;
    }
    if (behind)
        CLN_TRY(fold(l, p, behind));
    if (written >= 0)
        p->y.id = written;
    return l->status;
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    cln__conv2d p = describe_forward(l, node);
    const cln__conv2d_variant *variant = choose(l, &p);
    reasons why;
    explain(l, variant, &p, NULL, &why);
    cln_tensor y = p.y;
    if (variant && variant->fuses)
        load(l, &p);
    else
        cln__stored(l, p.x);
    CLN_TRY(follow(l, &p));
    p.moments = variant && variant->fuses && cln__has_moments(l, y);
    CLN_TRY(run(l, variant, &p, &why));
    if (p.moments)
        cln__parts_leave(l, p.moment_parts);
    return CLN_OK;
}

static cln_status choose_and_run(cln__lowering *l, cln__conv2d *p, const cln__conv2d *both) {
    const cln__conv2d_variant *variant = choose(l, p);
    reasons why;
    explain(l, variant, p, both, &why);
    return run(l, variant, p, &why);
}

cln_status cln__conv2d_run(cln__lowering *l, cln__conv2d *p) {
    return choose_and_run(l, p, NULL);
}

/* Each gradient by itself, from dy in memory. */
static cln_status lower_apart(cln__lowering *l, const cln__conv2d *both, bool weight) {
    cln__stored(l, both->x);
    cln__stored(l, both->dy);
    cln__conv2d p = cln__conv2d_describe(l, CLN__GRAD_WEIGHT, &both->a, both->x, both->dw, both->dy);
    if (weight)
        CLN_TRY(choose_and_run(l, &p, both));
    if (both->db.id >= 0)
        CLN_TRY(cln__lower_channel_sum(l, both->dy, both->db));
    if (both->dx.id < 0)
        return l->status;
    p = cln__conv2d_describe(l, CLN__GRAD_INPUT, &both->a, both->dx, both->w, both->dy);
    return choose_and_run(l, &p, both);
}

static bool same_memory(const cln__lowering *l, cln_tensor a, cln_tensor b) {
    cln__layout x = cln__layout_of(l, a), y = cln__layout_of(l, b);
    return x.root == y.root && x.offset == y.offset;
}

/* dy is read as its form says; if others read it later, its numbers are left for them in its memory. */
static void load_dy(cln__lowering *l, cln__conv2d *p) {
    cln__form form = cln__form_of(l, p->dy);
    bool others = cln__read_later(l, p->dy);
    bool in_place = form.kind == CLN__CORRECTED && same_memory(l, (cln_tensor){form.source}, p->dy) &&
                    !cln__is_part_of_told(l, p->dy);
    if (form.kind != CLN__CORRECTED || (others && !in_place)) {
        cln__stored(l, p->dy);
        return;
    }
    if (others) {
        p->keep_d = true;
        cln__mark_stored(l, p->dy);
    }
    p->dy.id = form.source;
    p->y.id = form.of;
    p->dy_scale.id = form.scale;
    p->dy_slope.id = form.slope;
    p->dy_shift.id = form.shift;
}

/* What is added after everything else may itself be told by slope and shift, if they refer to the same tensor: then the
 * next ones are added to those. */
static void prepare_after(cln__lowering *l, const cln__epilogue *e) {
    cln_tensor after = {e->after};
    cln__form form = cln__form_of(l, after);
    if (form.kind == CLN__CORRECTED && form.scale < 0 && same_memory(l, (cln_tensor){form.source}, after) &&
        same_memory(l, (cln_tensor){form.of}, (cln_tensor){e->sums_of}))
        return;
    cln__stored(l, after);
}

static void add_epilogue(cln__lowering *l, cln__conv2d *p, const cln__epilogue *e) {
    if (e->before >= 0)
        cln__stored(l, (cln_tensor){e->before});
    if (e->after >= 0)
        prepare_after(l, e);
    p->dx.id = e->out;
    p->dx_before = e->before >= 0;
    p->dx_after = e->after >= 0;
    p->mask = e->mask;
    p->sums_of.id = e->sums_of;
    p->sums_mean.id = e->sums_mean;
    p->sums_invstd.id = e->sums_invstd;
    p->dx_scale.id = e->scale;
}

static cln_status lower_grad(cln__lowering *l, const cln__node *node) {
    cln__conv2d p = describe_backward(l, node);
    const cln__conv2d_variant *variant = choose_backward(l, &p);
    if (!variant)
        return lower_apart(l, &p, ((const grad_attrs *)node->attrs)->weight);
    reasons why;
    explain(l, variant, &p, NULL, &why);
    load(l, &p);
    load_dy(l, &p);
    if (p.dx.id >= 0)
        add_epilogue(l, &p, &l->fusion->epilogue[l->node]);
    CLN_TRY(run(l, variant, &p, &why));
    if (p.sums_of.id >= 0)
        cln__parts_leave(l, p.sum_parts);
    return l->status;
}

static void describe_grad(const cln__node *node, char *text, size_t size) {
    cln__node conv = *node;
    conv.attrs = &((grad_attrs *)node->attrs)->conv;
    describe(&conv, text, size);
}

static void to_onnx(cln__onnx *o, const cln__node *node) {
    const cln__conv2d_attrs *a = node->attrs;
    const char *inputs[3];
    for (int i = 0; i < node->input_count; i++)
        inputs[i] = cln__onnx_input(o, node, i, CLN__ONNX_IMAGES);
    cln__onnx_node *conv =
        cln__onnx_add(o, "Conv", inputs, node->input_count, cln__onnx_output(o, node, CLN__ONNX_IMAGES));
    cln__onnx_ints(o, conv, "kernel_shape", (int64_t[]){a->kernel_h, a->kernel_w}, 2);
    cln__onnx_ints(o, conv, "strides", (int64_t[]){a->stride, a->stride}, 2);
    cln__onnx_ints(o, conv, "pads", (int64_t[]){a->padding, a->padding, a->padding, a->padding}, 4);
    cln__onnx_ints(o, conv, "dilations", (int64_t[]){a->dilation, a->dilation}, 2);
    cln__onnx_int(o, conv, "group", a->groups);
}

const cln__op cln__op_conv2d = {.name = "conv2d",
                                .attrs_size = sizeof(cln__conv2d_attrs),
                                .outputs = 1,
                                .infer = infer,
                                .backward = backward,
                                .lower = lower,
                                .to_onnx = to_onnx,
                                .multiply_adds = multiply_adds,
                                .describe = describe,
                                .needs_dense = needs_dense,
                                .reads_forms = true};

const cln__op cln__op_conv2d_grad = {.name = "conv2d_grad",
                                     .attrs_size = sizeof(grad_attrs),
                                     .outputs = 3,
                                     .infer = infer_grad,
                                     .lower = lower_grad,
                                     .describe = describe_grad,
                                     .reads_forms = true};
