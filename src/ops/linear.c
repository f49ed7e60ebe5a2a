/* linear: y = x W + b over flat features, its gradients, and the choice between its variants. The weight lies as
 * [stored features of x][stored features of y]; the padding's rows and columns hold zeros, so all of it takes part.
 *
 * direct   kernels of cl/linear.cl, everywhere
 * gemm     CLBlast's SGEMM, for matrices large enough to repay its launches */
#include "ops.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef enum pass { FORWARD, GRAD_INPUT, GRAD_WEIGHT } pass;

/* One computation: `x`, `w` and `y` stand for themselves or for their gradients, whichever the pass reads or writes. */
typedef struct linear {
    pass pass;
    cln_tensor x, w, y, bias; /* bias: FORWARD only */
    int64_t images, in, out;  /* in, out: stored features */
} linear;

typedef struct variant {
    const char *name;
    /* Why it cannot serve `p`, or NULL if it can. */
    const char *(*refuses)(const cln__lowering *l, const linear *p);
    cln_status (*lower)(cln__lowering *l, const linear *p);
} variant;

/* --- shapes --- */

static cln_status infer(cln_graph *g, const cln__node *node) {
    cln_shape x = cln__input_shape(g, node, 0), w = cln__input_shape(g, node, 1);
    if (x.h != 1 || x.w != 1)
        return cln__node_fail(g, node, CLN_INVALID_ARGUMENT,
                              "its input has %lldx%lld pixels an image, it takes flat features: use cln_flatten or "
                              "cln_global_avgpool first",
                              (long long)x.h, (long long)x.w);
    if (w.c != x.c)
        return cln__node_fail(g, node, CLN_INVALID_ARGUMENT, "weight expects %lld input features, input has %lld",
                              (long long)w.c, (long long)x.c);
    return cln__set_output(g, node, 0, (cln_shape){x.n, w.n, 1, 1}, CLN__BLOCKED, -1);
}

cln_tensor cln_linear(cln_graph *g, cln_tensor x, const char *name, int out_features) {
    if (cln_graph_status(g) != CLN_OK)
        return CLN_NO_TENSOR;
    if (out_features < 1) {
        cln_graph_fail(g, "linear '%s': %d output features: at least 1 is needed", name, out_features);
        return CLN_NO_TENSOR;
    }
    cln_shape xs = cln_tensor_shape(g, x);
    float bound = xs.c > 0 ? (float)(1 / sqrt((double)xs.c)) : 0;
    cln_tensor inputs[3] = {x};
    inputs[1] = cln__param_add(g, CLN__PARAM, name, "weight", (cln_shape){out_features, xs.c, 1, 1}, CLN__WEIGHT, x,
                               CLN__UNIFORM, bound);
    inputs[2] = cln__param_add(g, CLN__PARAM, name, "bias", (cln_shape){1, out_features, 1, 1}, CLN__BLOCKED,
                               CLN_NO_TENSOR, CLN__UNIFORM, bound);
    cln_tensor y = cln__node_add(g, &cln__op_linear, name, NULL, inputs, 3);
    if (y.id >= 0) {
        cln__at(g, inputs[1].id)->like_out = y.id;
        cln__at(g, inputs[1].id)->rank = 2;
    }
    return y;
}

static int64_t multiply_adds(const cln_graph *g, const cln__node *node) {
    cln_shape w = cln__input_shape(g, node, 1);
    return cln__input_shape(g, node, 0).n * w.n * w.c;
}

/* --- gradients --- */

static cln_status backward(cln__gradients *grads, const cln__node *node) {
    cln_graph *g = grads->g;
    cln_tensor x = cln__input(node, 0), w = cln__input(node, 1), bias = cln__input(node, 2);
    cln_tensor dy = cln__gradient_of(grads, cln__output(node, 0));
    if (cln__gradient_wanted(grads, bias))
        cln__gradient_add(grads, bias, cln__channel_sum(g, dy));
    if (cln__gradient_wanted(grads, w)) {
        /* The weight is an input for its shape and layout only. */
        cln_tensor inputs[3] = {x, dy, w};
        cln__gradient_add(grads, w, cln__node_add(g, &cln__op_linear_grad_weight, node->name, NULL, inputs, 3));
    }
    if (cln__gradient_wanted(grads, x)) {
        cln_tensor inputs[3] = {dy, w, x};
        cln__gradient_add(grads, x, cln__node_add(g, &cln__op_linear_grad_input, node->name, NULL, inputs, 3));
    }
    return g->status;
}

/* --- direct --- */

enum { TILE = 8 }; /* images of a work-item, whose sums stay in registers */

static const char *direct_refuses(const cln__lowering *l, const linear *p) {
    (void)l;
    (void)p;
    return NULL;
}

static cln__step *new_step(cln__lowering *l, const linear *p, const char *kernel) {
    cln__step *step = cln__step_new(l, "linear", kernel);
    cln__step_define(l, step, "XB=%d", cln__layout_of(l, p->x).block);
    cln__step_define(l, step, "YB=%d", cln__layout_of(l, p->y).block);
    cln__step_define(l, step, "TILE=%d", TILE);
    return step;
}

static void sizes(cln__step *step, const linear *p) {
    cln__arg_int(step, p->images);
    cln__arg_int(step, p->in);
    cln__arg_int(step, p->out);
}

static cln_status direct_lower(cln__lowering *l, const linear *p) {
    static const char *const kernels[] = {"linear_forward", "linear_grad_input", "linear_grad_weight"};
    int64_t x_blocks = cln__blocks(l, p->x), y_blocks = cln__blocks(l, p->y);
    int64_t tiles = cln__divide_up(p->images, TILE);
    cln__step *step = new_step(l, p, kernels[p->pass]);
    cln__arg_tensor(step, p->x, p->pass == GRAD_INPUT ? CLN__WRITE : CLN__READ);
    cln__arg_tensor(step, p->w, p->pass == GRAD_WEIGHT ? CLN__WRITE : CLN__READ);
    if (p->pass == FORWARD)
        cln__arg_tensor(step, p->bias, CLN__READ);
    cln__arg_tensor(step, p->y, p->pass == FORWARD ? CLN__WRITE : CLN__READ);
    sizes(step, p);
    cln__step_items(step, p->pass == FORWARD ? y_blocks : x_blocks, p->pass == GRAD_WEIGHT ? y_blocks : tiles, 1);
    return l->status;
}

/* --- gemm --- */

/* Whether the features of an image lie side by side, whatever the layout calls a block. */
static bool is_matrix(const cln__lowering *l, cln_tensor x) {
    cln__layout layout = cln__layout_of(l, x);
    return layout.block_stride == layout.block || layout.stored == layout.block;
}

static const char *gemm_refuses(const cln__lowering *l, const linear *p) {
    enum { LARGE = 1 << 22 };
    if (!is_matrix(l, p->x) || !is_matrix(l, p->y))
        return "features not side by side";
    if (l->forced_variant && strcmp(l->forced_variant, "gemm") == 0)
        return NULL;
    if (l->caps->is_cpu)
        return "slower than direct kernels on a CPU";
    return (double)p->images * (double)p->in * (double)p->out < LARGE ? "too small" : NULL;
}

/* y = bias in every row, which the GEMM then adds to. */
static void fill_bias(cln__lowering *l, const linear *p) {
    cln__step *step = new_step(l, p, "linear_fill_bias");
    cln__arg_tensor(step, p->bias, CLN__READ);
    cln__arg_tensor(step, p->y, CLN__WRITE);
    sizes(step, p);
    cln__step_items(step, cln__blocks(l, p->y), p->images, 1);
}

static cln_status gemm_lower(cln__lowering *l, const linear *p) {
    int64_t ldx = cln__layout_of(l, p->x).image, ldy = cln__layout_of(l, p->y).image;
    cln__gemm forward = {.m = p->images, .n = p->out, .k = p->in, .lda = ldx, .ldb = p->out, .ldc = ldy, .beta = 1};
    cln__gemm grad_input = {
        .transpose_b = true, .m = p->images, .n = p->in, .k = p->out, .lda = ldy, .ldb = p->out, .ldc = ldx};
    cln__gemm grad_weight = {
        .transpose_a = true, .m = p->in, .n = p->out, .k = p->images, .lda = ldx, .ldb = ldy, .ldc = p->out};
    if (p->pass == FORWARD) {
        fill_bias(l, p);
        cln__step_gemm(l, p->x, p->w, p->y, forward);
    } else if (p->pass == GRAD_INPUT) {
        cln__step_gemm(l, p->y, p->w, p->x, grad_input);
    } else {
        cln__step_gemm(l, p->x, p->y, p->w, grad_weight);
    }
    return l->status;
}

/* --- choice and lowering --- */

static const variant direct = {"direct", direct_refuses, direct_lower}, gemm = {"gemm", gemm_refuses, gemm_lower};

/* gemm wherever it does not refuse, since it knows what is large enough; a forced "direct" keeps it out. */
static const variant *choose(const cln__lowering *l, const linear *p) {
    bool forced = l->forced_variant && strcmp(l->forced_variant, direct.name) == 0;
    return forced || gemm.refuses(l, p) ? &direct : &gemm;
}

static cln_status lower_pass(cln__lowering *l, linear p) {
    p.images = cln__shape_of(l, p.x).n;
    p.in = cln__layout_of(l, p.x).stored;
    p.out = cln__layout_of(l, p.y).stored;
    const variant *chosen = choose(l, &p);
    int first = l->step_count;
    CLN_TRY(chosen->lower(l, &p));
    char why[128] = "";
    if (chosen == &direct && gemm.refuses(l, &p))
        snprintf(why, sizeof why, "gemm: %s", gemm.refuses(l, &p));
    cln__steps_choose(l, first, chosen->name, *why ? why : NULL);
    if (l->step_count > first)
        l->steps[l->step_count - 1].flops =
            2.0 * (double)p.images * (double)cln__shape_of(l, p.x).c * (double)cln__shape_of(l, p.y).c;
    return l->status;
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    return lower_pass(l, (linear){.pass = FORWARD,
                                  .x = cln__input(node, 0),
                                  .w = cln__input(node, 1),
                                  .bias = cln__input(node, 2),
                                  .y = cln__output(node, 0)});
}

static cln_status lower_grad_input(cln__lowering *l, const cln__node *node) {
    return lower_pass(
        l, (linear){.pass = GRAD_INPUT, .y = cln__input(node, 0), .w = cln__input(node, 1), .x = cln__output(node, 0)});
}

static cln_status lower_grad_weight(cln__lowering *l, const cln__node *node) {
    return lower_pass(
        l,
        (linear){.pass = GRAD_WEIGHT, .x = cln__input(node, 0), .y = cln__input(node, 1), .w = cln__output(node, 0)});
}

static void to_onnx(cln__onnx *o, const cln__node *node) {
    const char *inputs[3];
    for (int i = 0; i < 3; i++)
        inputs[i] = cln__onnx_input(o, node, i, CLN__ONNX_ROWS);
    cln__onnx_int(o, cln__onnx_add(o, "Gemm", inputs, 3, cln__onnx_output(o, node, CLN__ONNX_ROWS)), "transB", 1);
}

const cln__op cln__op_linear = {.name = "linear",
                                .outputs = 1,
                                .infer = infer,
                                .backward = backward,
                                .lower = lower,
                                .to_onnx = to_onnx,
                                .multiply_adds = multiply_adds};

const cln__op cln__op_linear_grad_input = {
    .name = "linear_grad_input", .outputs = 1, .infer = cln__infer_like_2, .lower = lower_grad_input};

const cln__op cln__op_linear_grad_weight = {
    .name = "linear_grad_weight", .outputs = 1, .infer = cln__infer_weight_like_2, .lower = lower_grad_weight};
