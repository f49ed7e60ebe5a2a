/* maxpool: the largest value of each window; the padding never wins. Its gradient goes to the first maximum, in
 * row-major order, of each window. */
#include "fuse.h"
#include "pool.h"

cln_tensor cln_maxpool(cln_graph *g, cln_tensor x, int kernel, int stride, int padding) {
    return cln__pool_add(g, &cln__op_maxpool, x, kernel, stride, padding);
}

static cln_status backward(cln__gradients *grads, const cln__node *node) {
    return cln__pool_backward(grads, node, &cln__op_maxpool_grad);
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

static cln_status lower(cln__lowering *l, const cln__node *node) {
    cln_tensor x = cln__input(node, 0), y = cln__output(node, 0);
    cln__step *step = cln__pool_step(l, "maxpool", "maxpool_forward", node);
    arg_loaded(l, step, x);
    cln__arg_tensor(step, y, CLN__WRITE);
    cln__pool_sizes(step, cln__shape_of(l, x), cln__shape_of(l, y));
    cln__step_each_vector(l, step, y);
    return l->status;
}

/* First which pixel of each window won, then every pixel of dx asks the windows that contain it: kernel^2 operations
 * a pixel in each, where one step that looked for the maximum again would take kernel^4. */
static cln_status lower_grad(cln__lowering *l, const cln__node *node) {
    cln_tensor dy = cln__stored(l, cln__input(node, 0)), x = cln__input(node, 1), dx = cln__output(node, 0);
    cln_shape xs = cln__shape_of(l, x), ys = cln__shape_of(l, dy);
    cln_tensor winner = cln__scratch(l, ys.n * ys.h * ys.w * cln__layout_of(l, x).stored);
    cln__step *step = cln__pool_step(l, "maxpool", "maxpool_winner", node);
    arg_loaded(l, step, x);
    cln__arg_tensor(step, winner, CLN__WRITE);
    cln__pool_sizes(step, xs, ys);
    cln__step_each_vector(l, step, dy);

    step = cln__pool_step(l, "maxpool", "maxpool_grad", node);
    cln__arg_tensor(step, winner, CLN__READ);
    cln__arg_tensor(step, dy, CLN__READ);
    cln__arg_tensor(step, dx, CLN__WRITE);
    cln__pool_sizes(step, xs, ys);
    cln__step_each_vector(l, step, dx);
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
