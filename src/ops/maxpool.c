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
        cln__gradient_add(grads, x, cln__node_add(grads->g, &cln__op_maxpool_grad, node->name, node->attrs, inputs, 3));
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
bool cln__maxpool_fuses(const cln__lowering *l, const cln__node *node) {
    enum { MAX_KERNEL = 7, MAX_STRIDE = 4 };
    const cln__pool_attrs *a = node->attrs;
    return l->caps->is_cpu && a->kernel <= MAX_KERNEL && a->stride <= MAX_STRIDE;
}

bool cln__maxpool_is_3x3(const cln__node *node) {
    const cln__pool_attrs *a = node->attrs;
    return node->op == &cln__op_maxpool && a->kernel == 3 && a->stride == 1 && a->padding == 1;
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
    bool rows = cln__maxpool_fuses(l, node), winners = has_gradient(l, y);
    cln_tensor places = winners ? winners_of(l, node, y) : y; /* y: not written */
    cln__step *step =
        cln__pool_step(l, rows ? "maxpool_rows" : "maxpool", rows ? "maxpool_forward_rows" : "maxpool_forward", node);
    arg_loaded(l, step, x);
    cln__step_define(l, step, "WINNERS=%d", winners);
    cln__arg_tensor(step, y, CLN__WRITE);
    cln__arg_tensor(step, places, CLN__WRITE);
    cln__pool_sizes(step, cln__shape_of(l, x), cln__shape_of(l, y));
    if (rows) {
        cln__step_define(l, step, "STREAM=%d", cln__streams(l, y));
        cln__step_each_row(l, step, y);
    } else {
        cln__step_each_vector(l, step, y);
    }
    if (winners)
        cln__leave(l, places);
    return l->status;
}

/* Runs of whole images. */
static cln__parts parts_of(cln__lowering *l, cln_tensor x) {
    cln_shape shape = cln__shape_of(l, x);
    int64_t wanted = cln__divide_up(l->caps->items_target, cln__blocks(l, x));
    cln__parts parts = {.block = cln__layout_of(l, x).block,
                        .stored = cln__layout_of(l, x).stored,
                        .slots = 1,
                        .run = shape.h * shape.w,
                        .images = cln__divide_up(shape.n, cln__least(shape.n, wanted))};
    parts.row = 2 * parts.stored;
    parts.count = parts.groups = cln__divide_up(shape.n, parts.images);
    parts.partial = cln__scratch(l, parts.count * parts.row);
    return parts;
}

/* The rows that such a gradient leaves, and what is done to each vector before it is stored. */
static void lower_rows(cln__lowering *l, const cln__node *node, cln_tensor dy, cln_tensor x) {
    const cln__epilogue *e = &l->fusion->epilogue[l->node];
    cln_tensor dx = {e->out};
    bool sums = e->sums_of >= 0, scaled = e->scale >= 0;
    cln__parts parts = parts_of(l, x);
    cln__step *step = cln__pool_step(l, "maxpool_rows", "maxpool_grad_rows", node);
    cln__step_define(l, step, "MASK=%d -DSUMS=%d", (int)e->mask, sums);
    cln__step_define(l, step, "DX_SCALE=%d -DSTREAM=%d", scaled, cln__streams(l, dx));
    cln__arg_tensor(step, cln__left(l, cln__input(node, 2)), CLN__READ);
    cln__arg_tensor(step, dy, CLN__READ);
    cln__arg_tensor(step, dx, CLN__WRITE);
    if (e->mask != CLN_IDENTITY)
        arg_loaded(l, step, x);
    else /* not read */
        for (int i = 0; i < 3; i++)
            cln__arg_tensor(step, dy, CLN__READ);
    cln__arg_tensor(step, sums ? (cln_tensor){e->sums_of} : dy, CLN__READ);
    cln__arg_tensor(step, sums ? (cln_tensor){e->sums_mean} : dy, CLN__READ);
    cln__arg_tensor(step, sums ? (cln_tensor){e->sums_invstd} : dy, CLN__READ);
    cln__arg_tensor(step, scaled ? (cln_tensor){e->scale} : dy, CLN__READ);
    cln__pool_sizes(step, cln__shape_of(l, x), cln__shape_of(l, dy));
    cln__parts_launch(l, step, &parts, x);
    if (sums)
        cln__parts_leave(l, parts);
}

/* Every pixel of dx asks the windows that contain it whether it won: y is there for the places of the maxima, which its
 * step has left; x for its shape and layout, and for the derivative of its activation where that is done here. */
static cln_status lower_grad(cln__lowering *l, const cln__node *node) {
    cln_tensor dy = cln__stored(l, cln__input(node, 0)), x = cln__input(node, 1), dx = cln__output(node, 0);
    if (cln__maxpool_fuses(l, node)) {
        lower_rows(l, node, dy, x);
        return l->status;
    }
    cln__step *step = cln__pool_step(l, "maxpool", "maxpool_grad", node);
    cln__arg_tensor(step, cln__left(l, cln__input(node, 2)), CLN__READ);
    cln__arg_tensor(step, dy, CLN__READ);
    cln__arg_tensor(step, dx, CLN__WRITE);
    cln__pool_sizes(step, cln__shape_of(l, x), cln__shape_of(l, dy));
    cln__step_each_vector(l, step, dx);
    return l->status;
}

static void to_onnx(cln__onnx *o, const cln__node *node) {
    cln__pool_to_onnx(o, node, "MaxPool");
}

const cln__op cln__op_maxpool = {.name = "maxpool",
                                 .attrs_size = sizeof(cln__pool_attrs),
                                 .outputs = 1,
                                 .infer = cln__pool_infer,
                                 .backward = backward,
                                 .lower = lower,
                                 .to_onnx = to_onnx,
                                 .describe = cln__pool_describe,
                                 .reads_forms = true};

const cln__op cln__op_maxpool_grad = {.name = "maxpool_grad",
                                      .attrs_size = sizeof(cln__pool_attrs),
                                      .outputs = 1,
                                      .infer = cln__infer_like_1,
                                      .lower = lower_grad,
                                      .describe = cln__pool_describe,
                                      .reads_forms = true};
