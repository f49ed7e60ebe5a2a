/* Fusion while lowering: what the kernels of nodes leave for later ones, and tensors that are told, not stored
 * (cln__form in plan.h), written where a reader needs them in memory. What is fused was decided before: fuse.c. */
#include "fuse.h"

void cln__parts_leave(cln__lowering *l, cln__parts parts) {
    l->fusion->parts[l->node] = parts;
}

/* The stored channel of `whole` where output `part` of `split` begins. */
static int64_t split_first(const cln__lowering *l, const cln__node *split, int part) {
    int64_t first = 0;
    for (int k = 0; split->outputs[k] != part; k++)
        first += l->g->tensors[split->outputs[k]].shape.c;
    return l->layouts->of[split->inputs[0]].map[first] - l->layouts->of[part].map[0];
}

bool cln__parts_left(const cln__lowering *l, cln_tensor x, cln__parts *parts, int64_t *first) {
    int64_t begin = 0;
    int producer = l->g->tensors[x.id].producer;
    if (producer >= 0 && l->g->nodes[producer].op->splits) {
        const cln__node *split = &l->g->nodes[producer];
        begin = split_first(l, split, x.id);
        producer = l->g->tensors[split->inputs[0]].producer;
    }
    if (producer < 0 || !l->fusion->parts[producer].count)
        return false;
    *first = begin;
    *parts = l->fusion->parts[producer];
    return true;
}

void cln__leave(cln__lowering *l, cln_tensor scratch) {
    l->fusion->left[l->node] = scratch.id;
}

cln_tensor cln__left(const cln__lowering *l, cln_tensor y) {
    return (cln_tensor){l->fusion->left[l->g->tensors[y.id].producer]};
}

bool cln__has_moments(const cln__lowering *l, cln_tensor x) {
    for (int i = l->node + 1; i < l->g->node_count; i++) {
        const cln__node *node = &l->g->nodes[i];
        if (node->inputs[0] != x.id)
            continue;
        if (node->op == &cln__op_moments)
            return true;
        for (int k = 0; node->op->splits && k < node->output_count; k++)
            if (cln__has_moments(l, cln__output(node, k)))
                return true;
    }
    return false;
}

bool cln__read_later(const cln__lowering *l, cln_tensor x) {
    for (int i = 0; i < l->g->node_count; i++) {
        const cln__node *node = &l->g->nodes[i];
        for (int k = 0; k < node->input_count; k++)
            if (node->inputs[k] == x.id &&
                (i > l->node || (node->op->is_view && cln__read_later(l, cln__output(node, 0)))))
                return true;
    }
    return l->kept[x.id];
}

void cln__load_into(cln__lowering *l, cln__form form, cln_tensor addend, cln_tensor y) {
    cln__form more = addend.id >= 0 ? cln__form_of(l, addend) : form; /* not read without ADD */
    bool loaded = more.kind == CLN__LOADED;
    if (!loaded)
        more = (cln__form){.source = cln__stored(l, addend).id, .scale = form.scale, .shift = form.shift};
    cln__step *step = cln__step_new(l, "batchnorm", "batchnorm_normalise");
    cln__step_define(l, step, "KIND=%d", (int)form.act);
    cln__step_define(l, step, "ADD=%d", addend.id < 0 ? 0 : loaded ? 2 : 1);
    cln__step_define(l, step, "ADD_KIND=%d", addend.id >= 0 && loaded ? (int)more.act : 0);
    cln__arg_tensor(step, (cln_tensor){form.source}, CLN__READ);
    cln__arg_tensor(step, (cln_tensor){form.scale}, CLN__READ);
    cln__arg_tensor(step, (cln_tensor){form.shift}, CLN__READ);
    cln__arg_tensor(step, (cln_tensor){more.source}, CLN__READ);
    cln__arg_tensor(step, (cln_tensor){more.scale}, CLN__READ);
    cln__arg_tensor(step, (cln_tensor){more.shift}, CLN__READ);
    cln__arg_tensor(step, y, CLN__WRITE);
    cln__step_each_vector(l, step, y);
}

static void correct_into(cln__lowering *l, cln__form form, cln_tensor dx) {
    cln__step *step = cln__step_new(l, "batchnorm", "batchnorm_grad_input");
    cln__step_define(l, step, "SCALE=%d", form.scale >= 0);
    cln__arg_tensor(step, (cln_tensor){form.source}, CLN__READ);
    cln__arg_tensor(step, (cln_tensor){form.of}, CLN__READ);
    cln__arg_tensor(step, (cln_tensor){form.scale >= 0 ? form.scale : form.slope}, CLN__READ);
    cln__arg_tensor(step, (cln_tensor){form.slope}, CLN__READ);
    cln__arg_tensor(step, (cln_tensor){form.shift}, CLN__READ);
    cln__arg_tensor(step, dx, CLN__WRITE);
    cln__step_each_vector(l, step, dx);
}

void cln__mark_stored(cln__lowering *l, cln_tensor x) {
    l->forms[x.id] = (cln__form){.kind = CLN__STORED};
    for (int i = 0; i < l->g->node_count; i++) {
        const cln__node *node = &l->g->nodes[i];
        if (node->op->is_view && node->inputs[0] == x.id && l->layouts->of[node->outputs[0]].shows_input &&
            l->forms[node->outputs[0]].kind != CLN__STORED)
            cln__mark_stored(l, cln__output(node, 0));
    }
}

static int64_t view_first(const cln__lowering *l, const cln__node *view) {
    int64_t first = 0;
    view->op->is_view(l->g, view, l->training, &first);
    return first;
}

/* Whether two views of one tensor have channels in common. */
static bool views_meet(const cln__lowering *l, const cln__node *a, const cln__node *b) {
    int64_t first = view_first(l, a), other = view_first(l, b);
    return first < other + cln__shape_of(l, cln__output(b, 0)).c &&
           other < first + cln__shape_of(l, cln__output(a, 0)).c;
}

/* Whether others than `view` still want the channels that it shows of its input, which is told, not stored. */
static bool shown_elsewhere(const cln__lowering *l, const cln__node *view) {
    int from = view->inputs[0];
    for (int i = 0; i < l->g->node_count; i++) {
        const cln__node *node = &l->g->nodes[i];
        bool shows = node->op->is_view && l->layouts->of[node->outputs[0]].shows_input;
        for (int k = 0; k < node->input_count && node != view; k++)
            if (node->inputs[k] == from &&
                (shows ? k == 0 && views_meet(l, node, view) && cln__read_later(l, cln__output(node, 0)) : i > l->node))
                return true;
    }
    return l->kept[from];
}

/* The tensor that is to be stored for `x` to be: what x shows a part of is, where others want that part of it, since it
 * is computed in place, once. */
static cln_tensor whole_of(const cln__lowering *l, cln_tensor x) {
    int producer = l->g->tensors[x.id].producer;
    const cln__node *node = producer >= 0 ? &l->g->nodes[producer] : NULL;
    if (!node || !node->op->is_view || !l->layouts->of[x.id].shows_input || cln__form_of(l, x).kind == CLN__STORED)
        return x;
    cln_tensor from = cln__input(node, 0), outer = whole_of(l, from);
    bool all = cln__shape_of(l, from).c == cln__shape_of(l, x).c;
    return all || outer.id != from.id || shown_elsewhere(l, node) ? outer : x;
}

bool cln__is_part_of_told(const cln__lowering *l, cln_tensor x) {
    return whole_of(l, x).id != x.id;
}

cln_tensor cln__stored(cln__lowering *l, cln_tensor tensor) {
    cln_tensor x = whole_of(l, tensor);
    cln__form form = cln__form_of(l, x);
    if (form.kind == CLN__LOADED)
        cln__load_into(l, form, CLN_NO_TENSOR, x);
    else if (form.kind == CLN__CORRECTED)
        correct_into(l, form, x);
    if (form.kind != CLN__STORED)
        cln__mark_stored(l, x);
    return tensor;
}
