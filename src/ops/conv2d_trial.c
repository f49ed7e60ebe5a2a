/* The operator conv2d_trial: one computation of conv2d on inputs that the host writes. See conv2d_trial.h. It is no
 * part of any model. */
#include "conv2d_trial.h"
#include "fuse.h"

#include <stdlib.h>
#include <string.h>

enum { OUT_Y, OUT_DW, OUT_DB, OUT_SUM0, OUT_SUM1, OUTPUTS };
enum { WEIGHT = CLN__TRIAL_INPUTS, PLACES }; /* of attrs.tensors */

typedef struct attrs {
    cln__conv2d_case c;
    int tensors[PLACES]; /* or -1 */
    char *signature;     /* the graph's */
} attrs;

static bool is_forward(const cln__conv2d_case *c) {
    return c->pass == CLN__FORWARD;
}

/* --- the operator --- */

static cln_shape vector_of(cln_shape shape) {
    return (cln_shape){1, shape.c, 1, 1};
}

static cln_status infer(cln_graph *g, const cln__node *node) {
    const attrs *a = node->attrs;
    const cln_shape none = {1, 1, 1, 1};
    const cln__tensor w = *cln__at(g, a->tensors[WEIGHT]);
    int x = a->tensors[CLN__TRIAL_X], dy = a->tensors[CLN__TRIAL_DY];
    bool sums = a->c.sums != CLN__NO_SUMS;
    CLN_TRY(cln__set_output(g, node, OUT_Y, is_forward(&a->c) ? a->c.ys : none, CLN__BLOCKED, -1));
    CLN_TRY(cln__set_output(g, node, OUT_DW, w.shape, CLN__WEIGHT, w.like));
    cln__at(g, node->outputs[OUT_DW])->like_out = dy >= 0 ? dy : node->outputs[OUT_Y];
    CLN_TRY(a->c.db ? cln__set_output(g, node, OUT_DB, vector_of(a->c.ys), CLN__LIKE, dy)
                    : cln__set_output(g, node, OUT_DB, none, CLN__FLAT, -1));
    for (int i = OUT_SUM0; i <= OUT_SUM1; i++)
        CLN_TRY(sums ? cln__set_output(g, node, i, vector_of(a->c.xs), CLN__LIKE, x)
                     : cln__set_output(g, node, i, none, CLN__FLAT, -1));
    return CLN_OK;
}

static cln_tensor input(const attrs *a, cln__trial_input which) {
    return (cln_tensor){a->tensors[which]};
}

static void describe_forward(const attrs *a, cln__conv2d *p) {
    p->pooled = a->c.pooled;
    p->accumulate = a->c.accumulate;
    p->bias = input(a, CLN__TRIAL_BIAS);
    p->act = a->c.act;
    p->moments = a->c.moments;
}

static void describe_backward(const attrs *a, const cln__node *node, cln__conv2d *p) {
    p->dy = input(a, CLN__TRIAL_DY);
    p->y = a->c.dy_slope ? input(a, CLN__TRIAL_Y) : p->dy;
    p->dy_scale = input(a, CLN__TRIAL_DY_SCALE);
    p->dy_slope = input(a, CLN__TRIAL_DY_SLOPE);
    p->dy_shift = input(a, CLN__TRIAL_DY_SHIFT);
    p->keep_d = a->c.keep_d;
    p->dw = cln__output(node, OUT_DW);
    p->db = a->c.db ? cln__output(node, OUT_DB) : CLN_NO_TENSOR;
    p->dx = input(a, CLN__TRIAL_DX);
    p->dx_before = a->c.dx_before;
    p->dx_after = a->c.dx_after;
    p->mask = a->c.mask;
    p->sums_of = a->c.sums == CLN__SUMS_OF_X ? p->x : input(a, CLN__TRIAL_SUMS_OF);
    p->sums_mean = input(a, CLN__TRIAL_SUMS_MEAN);
    p->sums_invstd = input(a, CLN__TRIAL_SUMS_INVSTD);
    p->dx_scale = input(a, CLN__TRIAL_DX_SCALE);
}

static cln__conv2d describe(cln__lowering *l, const cln__node *node) {
    const attrs *a = node->attrs;
    bool grad_input = a->c.pass == CLN__GRAD_INPUT, grad_weight = a->c.pass == CLN__GRAD_WEIGHT;
    cln_tensor y = is_forward(&a->c) ? cln__output(node, OUT_Y) : input(a, CLN__TRIAL_DY);
    y = a->c.accumulate ? input(a, CLN__TRIAL_Y) : y;
    cln__conv2d p = cln__conv2d_describe(l, a->c.pass, &a->c.a, input(a, grad_input ? CLN__TRIAL_DX : CLN__TRIAL_X),
                                         grad_weight ? cln__output(node, OUT_DW) : (cln_tensor){a->tensors[WEIGHT]}, y);
    p.load_scale = input(a, CLN__TRIAL_LOAD_SCALE);
    p.load_shift = input(a, CLN__TRIAL_LOAD_SHIFT);
    p.load_act = a->c.load_act;
    if (is_forward(&a->c))
        describe_forward(a, &p);
    else if (a->c.pass == CLN__BACKWARD)
        describe_backward(a, node, &p);
    return p;
}

/* A result that belongs to another computation would be worse than none. */
static cln_status check_signature(cln__lowering *l, const attrs *a, const cln__conv2d *p) {
    cln__conv2d_case c = cln__conv2d_case_of(l, p);
    char *signature = cln__conv2d_case_print(&c);
    cln_status status = CLN_OK;
    if (!signature)
        status = cln__lower_fail(l, CLN_OUT_OF_MEMORY, "not enough memory to compare signatures");
    else if (strcmp(signature, a->signature) != 0)
        status =
            cln__lower_fail(l, CLN_UNSUPPORTED, "'%s' cannot be tried alone: it becomes '%s'", a->signature, signature);
    free(signature);
    return status;
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    cln__conv2d p = describe(l, node);
    CLN_TRY(check_signature(l, node->attrs, &p));
    CLN_TRY(cln__conv2d_run(l, &p));
    if (p.moments)
        cln__parts_leave(l, p.moment_parts);
    for (int i = 0; i < 2 && p.sums_of.id >= 0; i++)
        cln__parts_sum(l, &p.sum_parts, i, cln__output(node, OUT_SUM0 + i));
    return l->status;
}

static const cln__op op_trial = {.name = "conv2d_trial",
                                 .attrs_size = sizeof(attrs),
                                 .outputs = OUTPUTS,
                                 .infer = infer,
                                 .lower = lower,
                                 .reads_forms = true};

/* --- the graph --- */

static cln_tensor add_input(cln_graph *g, const char *name, cln_shape s) {
    return cln_input(g, name, s.n, s.c, s.h, s.w);
}

/* An input laid like `like`: the same channels in the same blocks. */
static void add_like(cln__conv2d_trial *t, bool wanted, cln__trial_input which, const char *name, cln_shape shape,
                     cln_tensor like) {
    if (!wanted || like.id < 0)
        return;
    t->in[which] = add_input(t->graph, name, shape);
    if (t->in[which].id < 0)
        return;
    cln__at(t->graph, t->in[which].id)->packing = CLN__LIKE;
    cln__at(t->graph, t->in[which].id)->like = like.id;
}

static void add_inputs(cln__conv2d_trial *t) {
    const cln__conv2d_case *c = &t->c;
    cln_tensor x = t->in[CLN__TRIAL_X] = add_input(t->graph, "x", c->xs), dy = CLN_NO_TENSOR;
    cln_shape xv = vector_of(c->xs), yv = vector_of(c->ys);
    if (!is_forward(c))
        dy = t->in[CLN__TRIAL_DY] = add_input(t->graph, "dy", c->ys);
    if (c->accumulate)
        t->in[CLN__TRIAL_Y] = add_input(t->graph, "y", c->ys);
    if (c->bias)
        t->in[CLN__TRIAL_BIAS] = add_input(t->graph, "bias", yv);
    add_like(t, c->load_scale, CLN__TRIAL_LOAD_SCALE, "load_scale", xv, x);
    add_like(t, c->load_shift, CLN__TRIAL_LOAD_SHIFT, "load_shift", xv, x);
    add_like(t, c->dy_slope, CLN__TRIAL_Y, "y", c->ys, dy);
    add_like(t, c->dy_scale, CLN__TRIAL_DY_SCALE, "dy_scale", yv, dy);
    add_like(t, c->dy_slope, CLN__TRIAL_DY_SLOPE, "dy_slope", yv, dy);
    add_like(t, c->dy_shift, CLN__TRIAL_DY_SHIFT, "dy_shift", yv, dy);
    add_like(t, c->dx || c->pass == CLN__GRAD_INPUT, CLN__TRIAL_DX, "dx", c->xs, x);
    add_like(t, c->sums == CLN__SUMS_OF_OTHER, CLN__TRIAL_SUMS_OF, "sums_of", c->xs, x);
    add_like(t, c->sums != CLN__NO_SUMS, CLN__TRIAL_SUMS_MEAN, "sums_mean", xv, x);
    add_like(t, c->sums != CLN__NO_SUMS, CLN__TRIAL_SUMS_INVSTD, "sums_invstd", xv, x);
    add_like(t, c->dx_scale, CLN__TRIAL_DX_SCALE, "dx_scale", xv, x);
}

static cln_status add_node(cln__conv2d_trial *t, const char *signature) {
    const cln__conv2d_case *c = &t->c;
    cln_graph *g = t->graph;
    cln_shape ws = {c->ys.c, c->xs.c / c->a.groups, c->a.kernel_h, c->a.kernel_w};
    cln_tensor inputs[PLACES];
    int count = 0;
    attrs a = {.c = *c, .signature = (char *)cln_name(g, "%s", signature)};
    add_inputs(t);
    cln_tensor w = cln__param_add(g, CLN__PARAM, "conv", "weight", ws, CLN__WEIGHT,
                                  c->a.groups > 1 ? CLN_NO_TENSOR : t->in[CLN__TRIAL_X], CLN__NORMAL, 1);
    for (int i = 0; i < CLN__TRIAL_INPUTS; i++) {
        a.tensors[i] = t->in[i].id;
        if (t->in[i].id >= 0)
            inputs[count++] = t->in[i];
    }
    a.tensors[WEIGHT] = w.id;
    inputs[count++] = w;
    CLN_TRY(g->status);
    cln__at(g, w.id)->like_out = is_forward(c) ? -1 : t->in[CLN__TRIAL_DY].id;
    t->y = t->out = cln__node_add(g, &op_trial, "trial", &a, inputs, count);
    CLN_TRY(g->status);
    if (c->accumulate)
        t->y = t->in[CLN__TRIAL_Y];
    if (is_forward(c))
        cln__at(g, w.id)->like_out = t->y.id;
    return CLN_OK;
}

static void find_results(cln__conv2d_trial *t) {
    const cln__conv2d_case *c = &t->c;
    cln_tensor node = t->out;
    if (c->pass == CLN__BACKWARD || c->pass == CLN__GRAD_WEIGHT)
        t->dw = cln__node_output(t->graph, node, OUT_DW);
    if (c->db)
        t->db = cln__node_output(t->graph, node, OUT_DB);
    for (int i = 0; i < 2 && c->sums != CLN__NO_SUMS; i++)
        t->sums[i] = cln__node_output(t->graph, node, OUT_SUM0 + i);
    if (!is_forward(c))
        t->y = CLN_NO_TENSOR;
    if (c->moments) {
        t->mean = cln__moments(t->graph, "moments", t->y);
        t->var = cln__node_output(t->graph, t->mean, 1);
    }
}

cln_status cln__conv2d_trial_new(cln_context *ctx, const char *signature, cln__conv2d_trial *t) {
    const cln_tensor none = CLN_NO_TENSOR;
    *t = (cln__conv2d_trial){
        .out = none, .y = none, .mean = none, .var = none, .dw = none, .db = none, .sums = {none, none}};
    for (int i = 0; i < CLN__TRIAL_INPUTS; i++)
        t->in[i] = none;
    cln_status status = cln__conv2d_case_parse(signature, &t->c);
    if (status == CLN_OUT_OF_MEMORY)
        return cln__fail_memory(ctx, "the computation of a trial");
    if (status != CLN_OK)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "'%.300s' is no signature of a computation", signature);
    if (t->c.accumulate && (t->c.pass != CLN__FORWARD || t->c.moments))
        return cln__fail(ctx, CLN_UNSUPPORTED, "'%s' cannot be tried alone", signature);
    t->graph = cln_graph_new(ctx);
    if (!t->graph)
        return cln__fail_memory(ctx, "the graph of a trial");
    status = add_node(t, signature);
    if (status == CLN_OK) {
        find_results(t);
        status = t->graph->status;
    }
    if (status == CLN_OK)
        return CLN_OK;
    cln_graph_free(t->graph);
    t->graph = NULL;
    return status;
}
