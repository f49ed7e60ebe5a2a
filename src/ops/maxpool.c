/* maxpool: the largest value of each window; the padding never wins. Its gradient goes to the first maximum, in
 * row-major order, of each window. */
#include "fuse.h"
#include "pool.h"

cln_tensor cln_maxpool(cln_graph *g, cln_tensor x, int kernel, int stride, int padding) {
    return cln__pool_add(g, &cln__op_maxpool, x, kernel, stride, padding);
}

static cln_status backward(cln__gradients *grads, const cln__node *node) {
    cln_tensor x = cln__input(node, 0), y = cln__output(node, 0);
    cln_tensor inputs[3] = {cln__gradient_of(grads, y), x, y};
    if (cln__gradient_wanted(grads, x))
        cln__gradient_add(grads, x,
                          cln__node_add(grads->g, &cln__op_maxpool_grad, node->name, node->attrs, inputs, 3));
    return grads->g->status;
}

/* Adds the argument x, which is normalised on load where it is not in memory. */
static void arg_loaded(cln__lowering *l, cln__step *step, cln_tensor x) {
    cln__form form = cln__form_of(l, x);
    bool loaded = form.kind == CLN__LOADED;
    if (loaded)
        x.id = form.source;
    cln__step_define(l, step, "LOADED=%d -DKIND=%d", loaded, loaded ? (int)form.act : 0);
    cln__arg_tensor(step, x, CLN__READ);
    cln__arg_tensor(step, loaded ? (cln_tensor){form.scale} : x, CLN__READ); /* not read without LOADED */
    cln__arg_tensor(step, loaded ? (cln_tensor){form.shift} : x, CLN__READ);
}

/* On a CPU, a work-item goes along whole rows; its registers hold a window. */
static bool in_rows(const cln__lowering *l, const cln__node *node) {
    enum { MAX_KERNEL = 7, MAX_STRIDE = 4 };
    const cln__pool_attrs *a = node->attrs;
    return l->caps->is_cpu && a->kernel <= MAX_KERNEL && a->stride <= MAX_STRIDE;
}

/* Launches over the vectors of `out`; x and y are what is pooled and the result. */
static void launch(cln__lowering *l, cln__step *step, bool rows, cln_tensor x, cln_tensor y, cln_tensor out) {
    cln__pool_sizes(step, cln__shape_of(l, x), cln__shape_of(l, y));
    if (rows) {
        cln__step_define(l, step, "STREAM=%d", cln__streams(l, out));
        cln__step_each_row(l, step, out);
    } else {
        cln__step_each_vector(l, step, out);
    }
}

static bool has_gradient(const cln__lowering *l, cln_tensor y) {
    for (int i = l->node + 1; i < l->g->node_count; i++)
        if (l->g->nodes[i].op == &cln__op_maxpool_grad && l->g->nodes[i].inputs[2] == y.id)
            return true;
    return false;
}

/* Scratch for the places of the maxima, as cl/maxpool.clh has them. */
static cln_tensor winners_of(cln__lowering *l, const cln__node *node, cln_tensor y) {
    enum { BYTE_KERNEL = 16 }; /* its window's places fit a byte */
    cln_shape shape = cln__shape_of(l, y);
    int64_t places = shape.n * shape.h * shape.w * cln__layout_of(l, y).stored;
    int64_t in_float = ((const cln__pool_attrs *)node->attrs)->kernel <= BYTE_KERNEL ? sizeof(float) : 1;
    return cln__scratch(l, cln__divide_up(places, in_float));
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    cln_tensor x = cln__input(node, 0), y = cln__output(node, 0);
    bool rows = in_rows(l, node), winners = has_gradient(l, y);
    cln_tensor places = winners ? winners_of(l, node, y) : y; /* y: not written */
    cln__step *step = cln__pool_step(l, rows ? "maxpool_rows" : "maxpool",
                                     rows ? "maxpool_forward_rows" : "maxpool_forward", node);
    arg_loaded(l, step, x);
    cln__step_define(l, step, "WINNERS=%d", winners);
    cln__arg_tensor(step, y, CLN__WRITE);
    cln__arg_tensor(step, places, CLN__WRITE);
    launch(l, step, rows, x, y, y);
    if (winners)
        cln__leave(l, places);
    return l->status;
}

/* Every pixel of dx asks the windows that contain it whether it won. x is there for its shape and layout, y for the
 * places of the maxima that its step has left. */
static cln_status lower_grad(cln__lowering *l, const cln__node *node) {
    cln_tensor dy = cln__stored(l, cln__input(node, 0)), x = cln__input(node, 1), dx = cln__output(node, 0);
    bool rows = in_rows(l, node);
    cln__step *step =
        cln__pool_step(l, rows ? "maxpool_rows" : "maxpool", rows ? "maxpool_grad_rows" : "maxpool_grad", node);
    cln__arg_tensor(step, cln__left(l, cln__input(node, 2)), CLN__READ);
    cln__arg_tensor(step, dy, CLN__READ);
    cln__arg_tensor(step, dx, CLN__WRITE);
    launch(l, step, rows, x, dy, dx);
    return l->status;
}

const cln__op cln__op_maxpool = {.name = "maxpool",
                                 .attrs_size = sizeof(cln__pool_attrs),
                                 .outputs = 1,
                                 .infer = cln__pool_infer,
                                 .backward = backward,
                                 .lower = lower,
                                 .describe = cln__pool_describe,
                                 .reads_forms = true};

const cln__op cln__op_maxpool_grad = {.name = "maxpool_grad",
                                      .attrs_size = sizeof(cln__pool_attrs),
                                      .outputs = 1,
                                      .infer = cln__infer_like_1,
                                      .lower = lower_grad,
                                      .describe = cln__pool_describe,
                                      .reads_forms = true};
