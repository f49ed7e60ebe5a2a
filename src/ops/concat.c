/* concat: tensors side by side along channels; slice: some channels of a tensor, laid out like another one. Where the
 * layouts allow, both only show memory that exists (plan/layout.c), and the steps here are for what is left. */
#include "fuse.h"

#include <stdio.h>
#include <stdlib.h>

/* --- concat --- */

cln_tensor cln_concat(cln_graph *g, const cln_tensor *xs, int count) {
    if (count < 1) {
        cln_graph_fail(g, "concat: %d inputs: at least 1 is needed", count);
        return CLN_NO_TENSOR;
    }
    return cln__node_add(g, &cln__op_concat, NULL, NULL, xs, count);
}

cln_tensor cln__join_like(cln_graph *g, const cln_tensor *parts, int count, cln_tensor x) {
    cln_tensor joined = cln_concat(g, parts, count);
    if (joined.id >= 0) {
        cln__at(g, joined.id)->packing = CLN__LIKE;
        cln__at(g, joined.id)->like = x.id;
    }
    return joined;
}

cln_tensor cln__joined_like(const cln_graph *g, cln_tensor first, cln_tensor x) {
    for (int i = 0; i < g->node_count; i++) {
        const cln__node *node = &g->nodes[i];
        if (node->op == &cln__op_concat && node->inputs[0] == first.id && g->tensors[node->outputs[0]].like == x.id)
            return cln__output(node, 0);
    }
    return CLN_NO_TENSOR;
}

static cln_status infer(cln_graph *g, const cln__node *node) {
    cln_shape y = cln__input_shape(g, node, 0);
    char first[96], other[96];
    for (int i = 1; i < node->input_count; i++) {
        cln_shape x = cln__input_shape(g, node, i);
        if (x.n != y.n || x.h != y.h || x.w != y.w)
            return cln__node_fail(g, node, CLN_INVALID_ARGUMENT,
                                  "input %d has shape %s, input 0 has %s: only the channels may differ", i,
                                  cln__shape_text(x, other), cln__shape_text(cln__input_shape(g, node, 0), first));
        if (x.c > INT64_MAX - y.c)
            return cln__node_fail(g, node, CLN_INVALID_ARGUMENT, "its inputs have too many channels together");
        y.c += x.c;
    }
    return cln__set_output(g, node, 0, y, CLN__JOINED, -1);
}

/* Whether `part` already is the channels from `first` on of `whole`. */
static bool is_placed(const cln__lowering *l, cln_tensor part, cln_tensor whole, int64_t first) {
    cln__layout inner = cln__layout_of(l, part), outer = cln__layout_of(l, whole);
    int64_t stored = outer.map[first] - inner.map[0];
    return inner.root == outer.root && inner.block == outer.block && stored % outer.block == 0 &&
           inner.offset == outer.offset + stored / outer.block * outer.block_stride;
}

/* Whether all inputs are told by slope and shift, refer to parts of one tensor (*of), and what these are added to lies
 * side by side: then so is the result told. */
static bool all_corrected(const cln__lowering *l, const cln__node *node, cln_tensor *of) {
    cln_tensor y = cln__output(node, 0);
    int64_t first = 0;
    *of = (cln_tensor){l->g->tensors[y.id].like};
    for (int i = 0; i < node->input_count; i++) {
        cln__form form = cln__form_of(l, cln__input(node, i));
        if (form.kind != CLN__CORRECTED || form.scale >= 0 || of->id < 0 ||
            !is_placed(l, (cln_tensor){form.source}, y, first) || !is_placed(l, (cln_tensor){form.of}, *of, first))
            return false;
        first += cln__input_shape(l->g, node, i).c;
    }
    return true;
}

static cln_status join_corrected(cln__lowering *l, const cln__node *node, cln_tensor of) {
    cln_tensor y = cln__output(node, 0), slope = cln__scratch_vector(l, y), shift = cln__scratch_vector(l, y);
    CLN_TRY(l->status);
    int64_t first = 0;
    for (int i = 0; i < node->input_count; i++) {
        cln__form form = cln__form_of(l, cln__input(node, i));
        int64_t channels = cln__input_shape(l->g, node, i).c;
        CLN_TRY(cln__lower_copy(l, (cln_tensor){form.slope}, 0, slope, first, channels));
        CLN_TRY(cln__lower_copy(l, (cln_tensor){form.shift}, 0, shift, first, channels));
        first += channels;
    }
    l->forms[y.id] = (cln__form){
        .kind = CLN__CORRECTED, .source = y.id, .scale = -1, .slope = slope.id, .shift = shift.id, .of = of.id};
    return l->status;
}

static cln_status lower(cln__lowering *l, const cln__node *node) {
    cln_tensor y = cln__output(node, 0), of;
    if (all_corrected(l, node, &of))
        return join_corrected(l, node, of);
    bool loaded = l->fusion->source[y.id] >= 0;
    cln__form form = cln__form_of(l, cln__input(node, 0));
    if (loaded) { /* what lies side by side is what the inputs are read from */
        form.source = y.id;
        form.scale = cln__joined_like(l->g, (cln_tensor){form.scale}, y).id;
        form.shift = cln__joined_like(l->g, (cln_tensor){form.shift}, y).id;
        l->forms[y.id] = form;
    }
    int64_t first = 0;
    for (int i = 0; i < node->input_count; i++) {
        cln_tensor x = cln__input(node, i);
        if (loaded)
            x.id = cln__form_of(l, x).source;
        else
            cln__stored(l, x);
        int64_t channels = cln__shape_of(l, x).c;
        if (!is_placed(l, x, y, first))
            CLN_TRY(cln__lower_copy(l, x, 0, y, first, channels));
        first += channels;
    }
    return CLN_OK;
}

/* --- slice --- */

typedef struct slice_attrs {
    int64_t first; /* channel */
} slice_attrs;

/* The channels from `first` on of `x`, as many as `like` has. */
static cln_tensor slice(cln_graph *g, const char *name, cln_tensor x, int64_t first, cln_tensor like) {
    cln_tensor inputs[2] = {x, like};
    return cln__node_add(g, &cln__op_slice, name, &(slice_attrs){.first = first}, inputs, 2);
}

cln_tensor cln__laid_like(cln_graph *g, cln_tensor x, cln_tensor like) {
    return slice(g, NULL, x, 0, like);
}

static cln_status backward(cln__gradients *grads, const cln__node *node) {
    cln_tensor dy = cln__gradient_of(grads, cln__output(node, 0));
    int64_t first = 0;
    for (int i = 0; i < node->input_count; i++) {
        cln_tensor x = cln__input(node, i);
        if (cln__gradient_wanted(grads, x))
            cln__gradient_add(grads, x, slice(grads->g, node->name, dy, first, x));
        first += cln_tensor_shape(grads->g, x).c;
    }
    return grads->g->status;
}

static bool slice_is_view(const cln_graph *g, const cln__node *node, bool training, int64_t *first) {
    (void)g;
    (void)training;
    *first = ((const slice_attrs *)node->attrs)->first;
    return true;
}

static void describe_slice(const cln__node *node, char *text, size_t size) {
    snprintf(text, size, " from channel %lld", (long long)((const slice_attrs *)node->attrs)->first);
}

static cln_status lower_slice(cln__lowering *l, const cln__node *node) {
    cln_tensor y = cln__output(node, 0);
    const slice_attrs *a = node->attrs;
    return cln__lower_copy(l, cln__input(node, 0), a->first, y, 0, cln__shape_of(l, y).c);
}

static void to_onnx(cln__onnx *o, const cln__node *node) {
    int axes = cln__onnx_axes(o, node, 0);
    const char **inputs = calloc((size_t)node->input_count, sizeof *inputs);
    for (int i = 0; inputs && i < node->input_count; i++)
        inputs[i] = cln__onnx_input(o, node, i, axes);
    cln__onnx_int(o, cln__onnx_add(o, "Concat", inputs, node->input_count, cln__onnx_output(o, node, axes)), "axis", 1);
    free(inputs);
}

const cln__op cln__op_concat = {.name = "concat",
                                .outputs = 1,
                                .infer = infer,
                                .backward = backward,
                                .lower = lower,
                                .to_onnx = to_onnx,
                                .joins = true,
                                .reads_forms = true};

const cln__op cln__op_slice = {.name = "slice",
                               .attrs_size = sizeof(slice_attrs),
                               .outputs = 1,
                               .infer = cln__infer_like_1,
                               .lower = lower_slice,
                               .describe = describe_slice,
                               .is_view = slice_is_view};
