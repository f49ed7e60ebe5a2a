/* Gives every tensor its channel blocks and strides, and finds the tensors that need no memory of their own.
 *
 * A concatenation numbers its stored channels by laying the inputs' blocks side by side, padding included, so every
 * input starts on a block and can be written in place, whatever its channel count. Whoever reads the result sees a
 * channel map with gaps; the weights that meet it are packed with the same gaps (zeros), so kernels need not know. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

/* Images of this many channels or fewer stay planar: padding them to a block would multiply their traffic. */
enum { PLANAR_CHANNELS = 4 };

typedef struct pass {
    const cln_graph *g;
    const cln__caps *caps;
    const cln__fusion *fusion;
    cln__layouts *layouts;
    bool *force_dense;
} pass;

static void set_strides(cln__layout *layout, cln_shape shape) {
    layout->pixel = layout->block;
    layout->block_stride = shape.h * shape.w * layout->block;
    layout->image = shape.h * shape.w * layout->stored;
    layout->elements = shape.n * layout->image;
}

static bool new_map(cln__layout *layout, int64_t channels) {
    layout->map = malloc(sizeof(int32_t) * (size_t)channels);
    return layout->map != NULL;
}

static bool lay_blocked(cln__layout *layout, cln_shape shape, int block) {
    layout->block = block;
    layout->stored = cln__round_up(shape.c, block);
    layout->dense = true;
    if (!new_map(layout, shape.c))
        return false;
    for (int64_t c = 0; c < shape.c; c++)
        layout->map[c] = (int32_t)c;
    set_strides(layout, shape);
    return true;
}

static bool lay_like(cln__layout *layout, const cln__layout *like, cln_shape shape) {
    layout->block = like->block;
    layout->stored = like->stored;
    layout->dense = like->dense;
    if (!new_map(layout, shape.c))
        return false;
    memcpy(layout->map, like->map, sizeof(int32_t) * (size_t)shape.c);
    set_strides(layout, shape);
    return true;
}

/* The inputs' blocks side by side; channels renumbered without gaps if that is forced or their blocks differ. */
static bool lay_joined(const pass *p, cln__layout *layout, int tensor) {
    const cln__tensor *t = &p->g->tensors[tensor];
    const cln__node *node = &p->g->nodes[t->producer];
    const cln__layout *of = p->layouts->of;
    bool dense = p->force_dense[tensor];
    for (int i = 0; i < node->input_count; i++)
        dense = dense || of[node->inputs[i]].block != p->caps->block;
    if (dense)
        return lay_blocked(layout, t->shape, p->caps->block);
    layout->block = p->caps->block;
    layout->dense = true;
    if (!new_map(layout, t->shape.c))
        return false;
    int64_t channel = 0;
    for (int i = 0; i < node->input_count; i++) {
        const cln__layout *in = &of[node->inputs[i]];
        for (int64_t c = 0; c < cln__input_shape(p->g, node, i).c; c++, channel++) {
            layout->map[channel] = (int32_t)(layout->stored + in->map[c]);
            layout->dense = layout->dense && layout->map[channel] == channel;
        }
        layout->stored += in->stored;
    }
    set_strides(layout, t->shape);
    return true;
}

static bool lay_flat(cln__layout *layout, cln_shape shape) {
    if (!lay_blocked(layout, shape, 1))
        return false;
    layout->pixel = 1;
    return true;
}

/* [kh*kw][stored in][stored out]; a grouped weight's input channels are not padded. */
static bool lay_weight(const pass *p, cln__layout *layout, const cln__tensor *t) {
    const cln__layout *of = p->layouts->of;
    int64_t in = t->like < 0 ? t->shape.c : of[t->like].stored;
    layout->block = 1;
    layout->stored = of[t->like_out].stored;
    layout->pixel = 1;
    layout->elements = t->shape.h * t->shape.w * in * layout->stored;
    return true;
}

/* What a layout refers to is laid first, whatever the order of creation. */
static bool lay(const pass *p, int tensor) {
    const cln__tensor *t = &p->g->tensors[tensor];
    cln__layout *layout = &p->layouts->of[tensor];
    if (layout->map)
        return true;
    if (t->packing == CLN__LIKE && !lay(p, t->like))
        return false;
    *layout = (cln__layout){.root = tensor};
    switch (t->packing) {
    case CLN__BLOCKED: {
        bool planar = t->role == CLN__INPUT && t->shape.c <= PLANAR_CHANNELS && t->shape.h * t->shape.w > 1;
        return lay_blocked(layout, t->shape, planar ? 1 : p->caps->block);
    }
    case CLN__LIKE:
        return lay_like(layout, &p->layouts->of[t->like], t->shape);
    case CLN__JOINED:
        return lay_joined(p, layout, tensor);
    case CLN__FLAT:
        return lay_flat(layout, t->shape);
    case CLN__WEIGHT:
        break; /* after everything that it refers to */
    }
    return true;
}

/* Marks the concatenations behind the activations of operators that cannot deal with gaps. */
static void mark_dense(const pass *p) {
    for (int i = 0; i < p->g->node_count; i++) {
        const cln__node *node = &p->g->nodes[i];
        if (!node->op->needs_dense || !node->op->needs_dense(p->g, node))
            continue;
        for (int k = 0; k < node->input_count; k++) {
            int t = node->inputs[k];
            while (p->g->tensors[t].packing == CLN__LIKE)
                t = p->g->tensors[t].like;
            p->force_dense[t] = true;
        }
    }
}

/* Whether the channels from `first` on of tensor `whole` lie exactly as tensor `part` would lie alone, padding
 * included; *stored: where they start. A block shared with a following channel is refused: it would not be padding. */
static bool lies_within(const pass *p, int whole, int part, int64_t first, int64_t *stored) {
    const cln__layout *outer = &p->layouts->of[whole], *inner = &p->layouts->of[part];
    int64_t channels = p->g->tensors[part].shape.c, after = first + channels;
    *stored = outer->map[first] - inner->map[0];
    if (inner->block != outer->block || *stored < 0 || *stored % outer->block)
        return false;
    for (int64_t c = 0; c < channels; c++)
        if (outer->map[first + c] != *stored + inner->map[c])
            return false;
    bool shares = after < p->g->tensors[whole].shape.c && outer->map[after] < *stored + inner->stored;
    return !shares && *stored + inner->stored <= outer->stored;
}

static void make_view(cln__layout *view, const cln__layout *of, int64_t stored) {
    view->root = of->root;
    view->offset = of->offset + stored / of->block * of->block_stride;
    view->image = of->image;
    view->block_stride = of->block_stride;
    view->pixel = of->pixel;
}

static bool makes_view(const pass *p, const cln__node *node, bool training, int64_t *first) {
    return node->op->is_view && node->op->is_view(p->g, node, training, first);
}

/* The tensor in whose memory `tensor` is computed. */
static int computed_in(const pass *p, int tensor) {
    if (p->fusion->source[tensor] >= 0)
        tensor = p->fusion->source[tensor];
    while (p->fusion->alias[tensor] >= 0)
        tensor = p->fusion->alias[tensor];
    return tensor;
}

/* Makes the inputs of a concatenation, or what is read in their place, views of its output. Outer concatenations come
 * first (the walk is backwards), so that inner ones inherit their place. */
static void join_inputs(const pass *p, const cln__node *node, bool training) {
    cln__layout *of = p->layouts->of;
    int whole = node->outputs[0];
    int64_t first = 0, stored, unused;
    for (int i = 0; i < node->input_count; i++) {
        int in = computed_in(p, node->inputs[i]);
        const cln__tensor *t = &p->g->tensors[in];
        bool owned = t->role == CLN__VALUE && of[in].root == in && of[in].region == CLN__ARENA &&
                     !makes_view(p, &p->g->nodes[t->producer], training, &unused);
        if (owned && lies_within(p, whole, in, first, &stored))
            make_view(&of[in], &of[whole], stored);
        first += t->shape.c;
    }
}

/* Tensors that fusion computes in the memory of others; it has checked that they are laid alike. */
static void take_over(const pass *p, const cln__node *node) {
    cln__layout *of = p->layouts->of;
    for (int k = 0; k < node->output_count; k++) {
        int out = node->outputs[k], alias = p->fusion->alias[out];
        if (alias >= 0)
            make_view(&of[out], &of[alias], 0);
    }
}

static void split_output(const pass *p, const cln__node *node) {
    cln__layout *of = p->layouts->of;
    int whole = node->inputs[0];
    int64_t first = 0, stored;
    for (int k = 0; k < node->output_count; k++) {
        int part = node->outputs[k];
        bool free = of[part].root == part && of[part].region == CLN__ARENA;
        if (free && lies_within(p, whole, part, first, &stored)) {
            make_view(&of[part], &of[whole], stored);
            of[part].shows_input = true;
        }
        first += p->g->tensors[part].shape.c;
    }
}

/* `part` is the last one of `whole`, from `first` on, and begins a storage that reaches further: that storage becomes
 * the end of whole's, so that the part lies in both. */
static bool extend(const pass *p, int whole, int part, int64_t first) {
    cln__layout *of = p->layouts->of;
    int tail = of[part].root;
    int64_t stored;
    bool begins = tail != whole && of[whole].root == whole && of[tail].root == tail && of[part].offset == 0 &&
                  of[whole].region == CLN__ARENA && of[tail].region == CLN__ARENA &&
                  p->g->tensors[tail].role == CLN__VALUE && of[part].block_stride == of[whole].block_stride &&
                  of[part].pixel == of[whole].pixel;
    if (!begins || !lies_within(p, whole, part, first, &stored))
        return false;
    int64_t offset = stored / of[whole].block * of[whole].block_stride, image = offset + of[tail].image;
    of[whole].elements = of[whole].elements / of[whole].image * image;
    for (int t = 0; t < p->layouts->count; t++) {
        if (of[t].root == tail) {
            of[t].root = whole;
            of[t].offset += offset;
            of[t].image = image;
        } else if (of[t].root == whole) {
            of[t].image = image;
        }
    }
    return true;
}

/* Tensors whose last part lies elsewhere already: the last output of a split in a concatenation, and the gradients of
 * both. */
static void extend_all(const pass *p) {
    for (int i = 0; i < p->g->node_count; i++) {
        const cln__node *node = &p->g->nodes[i];
        if (!node->op->splits && !node->op->joins)
            continue;
        const int *parts = node->op->splits ? node->outputs : node->inputs;
        int count = node->op->splits ? node->output_count : node->input_count, last = parts[count - 1];
        int whole = node->op->splits ? node->inputs[0] : node->outputs[0];
        int64_t first = p->g->tensors[whole].shape.c - p->g->tensors[last].shape.c;
        int memory = node->op->splits ? last : computed_in(p, last);
        if (count > 1 && extend(p, whole, memory, first) && node->op->splits)
            p->layouts->of[last].shows_input = true;
    }
}

static void find_views(const pass *p, bool training) {
    cln__layout *of = p->layouts->of;
    for (int i = p->g->node_count - 1; i >= 0; i--)
        if (p->g->nodes[i].op->joins)
            join_inputs(p, &p->g->nodes[i], training);
    for (int i = 0; i < p->g->node_count; i++) {
        const cln__node *node = &p->g->nodes[i];
        int64_t first = 0, stored;
        take_over(p, node);
        if (node->op->splits)
            split_output(p, node);
        if (!makes_view(p, node, training, &first))
            continue;
        int out = node->outputs[0];
        if (!lies_within(p, node->inputs[0], out, first, &stored))
            continue;
        make_view(&of[out], &of[node->inputs[0]], stored);
        of[out].shows_input = true;
    }
    extend_all(p);
}

/* Parameters and states lie in the weights' regions, in order of creation. */
static void assign_regions(const pass *p) {
    int64_t align = (int64_t)(p->caps->alignment_bytes / sizeof(float));
    for (int i = 0; i < p->g->tensor_count; i++) {
        cln__layout *layout = &p->layouts->of[i];
        cln__role role = p->g->tensors[i].role;
        if (role != CLN__PARAM && role != CLN__STATE)
            continue;
        int64_t *end = role == CLN__PARAM ? &p->layouts->values_elements : &p->layouts->states_elements;
        layout->region = role == CLN__PARAM ? CLN__VALUES : CLN__STATES;
        layout->region_offset = *end;
        *end += cln__round_up(layout->elements, align);
    }
}

static bool lay_all(const pass *p) {
    for (int i = 0; i < p->g->tensor_count; i++)
        if (!lay(p, i))
            return false;
    for (int i = 0; i < p->g->tensor_count; i++)
        if (p->g->tensors[i].packing == CLN__WEIGHT && !lay_weight(p, &p->layouts->of[i], &p->g->tensors[i]))
            return false;
    return true;
}

cln_status cln__layouts_build(const cln_graph *g, const cln__caps *caps, cln__layouts *out) {
    *out = (cln__layouts){.count = g->tensor_count};
    pass p = {.g = g, .caps = caps, .layouts = out};
    p.force_dense = calloc((size_t)g->tensor_count + 1, sizeof(bool));
    out->of = calloc((size_t)g->tensor_count + 1, sizeof *out->of);
    bool ok = p.force_dense && out->of;
    if (ok) {
        mark_dense(&p);
        ok = lay_all(&p);
    }
    if (ok)
        assign_regions(&p);
    free(p.force_dense);
    if (ok)
        return CLN_OK;
    cln__layouts_free(out);
    return cln__fail_memory(g->ctx, "the layouts of the graph");
}

void cln__layout_alone(cln__layout *layout, int tensor, cln_shape shape) {
    layout->root = tensor;
    layout->offset = 0;
    layout->shows_input = false;
    set_strides(layout, shape);
}

void cln__layouts_join(const cln_graph *g, const cln__caps *caps, bool training, const cln__fusion *fusion,
                       cln__layouts *layouts) {
    find_views(&(pass){.g = g, .caps = caps, .fusion = fusion, .layouts = layouts}, training);
}

bool cln__same_channels(const cln__layout *a, const cln__layout *b, int64_t channels) {
    return a->block == b->block && a->stored == b->stored &&
           memcmp(a->map, b->map, sizeof *a->map * (size_t)channels) == 0;
}

void cln__layouts_free(cln__layouts *layouts) {
    for (int i = 0; i < layouts->count && layouts->of; i++)
        free(layouts->of[i].map);
    free(layouts->of);
    *layouts = (cln__layouts){0};
}
