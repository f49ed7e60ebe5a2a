/* What is done on the way of something else, decided on the whole graph before layouts are joined.
 *
 * forward   act(batchnorm(x)) is not written where all its readers can normalise while they load x; an addition takes
 *           in the normalisation before it and the activation behind it; in evaluation a batch normalisation behind a
 *           convolution goes into its weights, the convolution's kernel does the addition and the activation behind,
 *           and max pooling is done while a convolution loads
 *
 * backward  the kernel of a convolution's gradient adds its result to the gradient that others have left, multiplies by
 *           the activation's derivative, and sums what the batch normalisation before it needs; that of max pooling's
 *           gradient does the same, but adds to nothing.
 *
 * Every rule looks at all readers of a tensor; where one of them needs its numbers, they are written. */
#include "fuse.h"

#include <stdlib.h>
#include <string.h>

typedef struct use {
    int node, input;
} use;

typedef struct pass {
    cln__lowering *l;
    const cln_graph *g;
    cln__fusion *f;
    int *begin; /* by tensor: its first use in `uses`; one more at the end */
    use *uses;
    bool *loadable; /* by tensor */
} pass;

/* --- the readers of a tensor --- */

static cln_status find_uses(pass *p) {
    const cln_graph *g = p->g;
    int total = 0;
    for (int i = 0; i < g->node_count; i++)
        total += g->nodes[i].input_count;
    p->begin = calloc((size_t)g->tensor_count + 2, sizeof *p->begin);
    p->uses = malloc(sizeof *p->uses * (size_t)(total + 1));
    if (!p->begin || !p->uses)
        return cln__fail_memory(g->ctx, "the plan's fusion");
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i].input_count; k++)
            p->begin[g->nodes[i].inputs[k] + 2]++;
    for (int i = 2; i < g->tensor_count + 2; i++)
        p->begin[i] += p->begin[i - 1];
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < g->nodes[i].input_count; k++)
            p->uses[p->begin[g->nodes[i].inputs[k] + 1]++] = (use){i, k};
    return CLN_OK;
}

static const use *uses_of(const pass *p, int tensor, int *count) {
    *count = p->begin[tensor + 1] - p->begin[tensor];
    return p->uses + p->begin[tensor];
}

/* The only use of a tensor that need not be kept, or NULL. */
static const use *sole_use(const pass *p, int tensor) {
    int count;
    const use *u = uses_of(p, tensor, &count);
    return count == 1 && !p->l->kept[tensor] ? u : NULL;
}

static const cln__node *node_of(const pass *p, const use *u) {
    return &p->g->nodes[u->node];
}

static bool reads_as(const pass *p, const use *u, const cln__op *op, int input) {
    return u && node_of(p, u)->op == op && u->input == input;
}

static const cln__node *producer_of(const pass *p, int tensor) {
    int producer = p->g->tensors[tensor].producer;
    return producer >= 0 ? &p->g->nodes[producer] : NULL;
}

static int index_of(const pass *p, const cln__node *node) {
    return (int)(node - p->g->nodes);
}

static bool laid_alike(const pass *p, int a, int b) {
    const cln__layout *of = p->l->layouts->of;
    return cln__shape_equal(p->g->tensors[a].shape, p->g->tensors[b].shape) &&
           cln__same_channels(&of[a], &of[b], p->g->tensors[a].shape.c);
}

bool cln__fusible(cln_activation act) {
    return act == CLN_IDENTITY || act == CLN_RELU || act == CLN_LEAKY_RELU;
}

static bool is_fusible_activation(const cln__node *node) {
    return (node->op == &cln__op_activation || node->op == &cln__op_activation_grad) &&
           cln__fusible(cln__activation_of(node));
}

/* --- forward: tensors that are normalised on load --- */

static cln_activation activation_behind(const pass *p, int tensor) {
    const cln__node *node = producer_of(p, tensor);
    return node && node->op == &cln__op_activation ? cln__activation_of(node) : CLN_IDENTITY;
}

/* The batch normalisation whose result, perhaps through an activation, `tensor` is; or NULL. */
static const cln__node *norm_behind(const pass *p, int tensor) {
    const cln__node *node = producer_of(p, tensor);
    if (node && node->op == &cln__op_activation && is_fusible_activation(node)) {
        tensor = node->inputs[0];
        node = producer_of(p, tensor);
    }
    bool is_norm = node && node->op == &cln__op_batchnorm && node->outputs[CLN__NORM_Y] == tensor;
    return is_norm && !p->f->absorbed[index_of(p, node)] ? node : NULL;
}

/* Output `output` of the normalisations behind the inputs of `concat`, side by side (rewrite.c), or -1. */
static int joined_output(const pass *p, const cln__node *concat, int output) {
    cln_tensor first = cln__output(norm_behind(p, concat->inputs[0]), output);
    return cln__joined_like(p->g, first, cln__output(concat, 0)).id;
}

static bool concat_loadable(const pass *p, const cln__node *concat) {
    for (int i = 0; i < concat->input_count; i++) {
        int in = concat->inputs[i];
        if (!p->loadable[in] || !norm_behind(p, in) ||
            activation_behind(p, in) != activation_behind(p, concat->inputs[0]))
            return false;
    }
    return joined_output(p, concat, CLN__NORM_SCALE) >= 0;
}

/* Whether what makes `tensor` could leave it to its readers. */
static bool can_be_left(const pass *p, int tensor) {
    const cln__node *node = producer_of(p, tensor);
    if (!node || p->l->kept[tensor])
        return false;
    if (node->op == &cln__op_concat)
        return concat_loadable(p, node);
    const cln__node *norm = norm_behind(p, tensor);
    return norm && (node == norm || p->loadable[node->inputs[0]]);
}

static bool is_norm(const pass *p, int tensor) {
    const cln__node *node = producer_of(p, tensor);
    return node && node->op == &cln__op_batchnorm;
}

/* An addition loads a normalisation that has no activation behind it, and then its other operand, whatever that is. */
static bool add_loads(const pass *p, int tensor, const use *u) {
    const cln__node *add = node_of(p, u);
    int other = add->inputs[1 - u->input];
    return !p->f->absorbed[u->node] && tensor != other && laid_alike(p, tensor, other) &&
           (is_norm(p, tensor) || (is_norm(p, other) && p->loadable[other]));
}

static bool reader_loads(const pass *p, int tensor, const use *u) {
    const cln__node *node = node_of(p, u);
    if (node->op == &cln__op_conv2d)
        return u->input == 0 && cln__conv2d_fuses(p->l, node);
    if (node->op == &cln__op_conv2d_grad)
        return u->input == 1 && cln__conv2d_fuses(p->l, node);
    if (node->op == &cln__op_activation)
        return is_fusible_activation(node) && producer_of(p, tensor)->op == &cln__op_batchnorm;
    if (node->op == &cln__op_activation_grad)
        return u->input == 1 && is_fusible_activation(node);
    if (node->op == &cln__op_add)
        return add_loads(p, tensor, u);
    if (node->op == &cln__op_maxpool)
        return !p->f->absorbed[u->node];
    if (node->op == &cln__op_maxpool_grad || node->op == &cln__op_slice) /* a slice asks for the layout only */
        return u->input == 1;
    return node->op == &cln__op_concat && p->loadable[node->outputs[0]];
}

static bool all_readers_load(const pass *p, int tensor) {
    int count;
    const use *u = uses_of(p, tensor, &count);
    for (int i = 0; i < count; i++)
        if (!reader_loads(p, tensor, &u[i]))
            return false;
    return count > 0;
}

/* Begins with all that could be and takes away until nothing changes. */
static void find_loadable(pass *p) {
    for (int t = 0; t < p->g->tensor_count; t++) {
        const cln__node *node = producer_of(p, t);
        p->loadable[t] = node && (node->op == &cln__op_concat || norm_behind(p, t));
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (int t = 0; t < p->g->tensor_count; t++)
            if (p->loadable[t] && !(can_be_left(p, t) && all_readers_load(p, t))) {
                p->loadable[t] = false;
                changed = true;
            }
    }
    for (int t = 0; t < p->g->tensor_count; t++) {
        const cln__node *node = producer_of(p, t);
        if (p->loadable[t])
            p->f->source[t] = node->op == &cln__op_concat ? t : norm_behind(p, t)->inputs[0];
    }
}

/* An addition that loads one of its operands also applies the activation behind it. */
static void absorb_activations(pass *p) {
    for (int i = 0; i < p->g->node_count; i++) {
        const cln__node *add = &p->g->nodes[i];
        if (add->op != &cln__op_add || (!p->loadable[add->inputs[0]] && !p->loadable[add->inputs[1]]))
            continue;
        const use *act = sole_use(p, add->outputs[0]);
        if (!act || node_of(p, act)->op != &cln__op_activation || !is_fusible_activation(node_of(p, act)))
            continue;
        p->f->written[i] = node_of(p, act)->outputs[0];
        p->f->absorbed[act->node] = true;
    }
}

/* --- memory that can be taken over --- */

static int64_t slice_first(const pass *p, const cln__node *node) {
    int64_t first = 0;
    node->op->is_view(p->g, node, true, &first);
    return first;
}

/* The last node, but `except`, that may read the memory of `tensor`, or one more where it is kept: through views,
 * concatenations, and what may be computed by whoever reads it. */
static int last_reader(const pass *p, int tensor, int except);

static int last_reader_through(const pass *p, const use *u, int except) {
    const cln__node *node = node_of(p, u);
    bool left =
        node->op == &cln__op_batchnorm || node->op == &cln__op_activation || node->op == &cln__op_batchnorm_grad;
    bool pooled = node->op == &cln__op_maxpool && p->f->absorbed[u->node];
    bool deferred = node->op->is_view || node->op->joins || pooled || (left && u->input == 0);
    int last = deferred ? last_reader(p, node->outputs[0], except) : -1;
    return last > u->node ? last : u->node;
}

static int last_reader(const pass *p, int tensor, int except) {
    int count, last = p->l->kept[tensor] ? p->g->node_count : -1;
    const use *u = uses_of(p, tensor, &count);
    for (int i = 0; i < count; i++) {
        int reader = u[i].node == except ? -1 : last_reader_through(p, &u[i], except);
        last = reader > last ? reader : last;
    }
    return last;
}

/* Whether other readers of what `view` is a part of are done with that part before node `before`. */
static bool whole_is_done(const pass *p, const cln__node *view, int before) {
    int whole = view->inputs[0], count;
    int64_t first = slice_first(p, view), end = first + p->g->tensors[view->outputs[0]].shape.c;
    const use *u = uses_of(p, whole, &count);
    if (p->l->kept[whole] || p->g->tensors[whole].role != CLN__VALUE) /* the host's inputs stay as they are */
        return false;
    for (int i = 0; i < count; i++) {
        const cln__node *other = node_of(p, &u[i]);
        if (other == view)
            continue;
        if (other->op == &cln__op_slice && u[i].input == 0) {
            int64_t from = slice_first(p, other), to = from + p->g->tensors[other->outputs[0]].shape.c;
            if (to <= first || from >= end)
                continue;
        }
        if (last_reader_through(p, &u[i], -1) >= before)
            return false;
    }
    const cln__node *outer = producer_of(p, whole);
    return !outer || !outer->op->is_view || (outer->op == &cln__op_slice && whole_is_done(p, outer, before));
}

/* Whether node `conv` may compute in the memory of `tensor`, which the addition `add` reads. */
static bool can_take_over(const pass *p, int tensor, int like, int conv, int add) {
    const cln__node *producer = producer_of(p, tensor);
    if (!producer || p->l->kept[tensor] || index_of(p, producer) >= conv || !laid_alike(p, tensor, like) ||
        last_reader(p, tensor, add) >= conv)
        return false;
    return !producer->op->is_view || (producer->op == &cln__op_slice && whole_is_done(p, producer, conv));
}

/* If the only reader of `gradient` adds it to one whose memory can be taken over: that addition, and which. */
static const use *addition(const pass *p, int gradient, int conv, int *other) {
    const use *u = sole_use(p, gradient);
    if (!u || node_of(p, u)->op != &cln__op_add || node_of(p, u)->inputs[0] == node_of(p, u)->inputs[1])
        return NULL;
    *other = node_of(p, u)->inputs[1 - u->input];
    return can_take_over(p, *other, gradient, conv, u->node) ? u : NULL;
}

/* --- evaluation: what follows a convolution --- */

/* The activation that alone reads `tensor`, or NULL. */
static const cln__node *activation_after(const pass *p, int tensor) {
    const use *u = sole_use(p, tensor);
    bool found = u && node_of(p, u)->op == &cln__op_activation && is_fusible_activation(node_of(p, u));
    return found ? node_of(p, u) : NULL;
}

/* If the only reader of `y` adds it to a tensor that nobody needs any more, in whose memory convolution `conv` can
 * therefore add: that addition, and that tensor. */
static const use *addition_in_place(const pass *p, int y, int conv, int *other) {
    const use *add = addition(p, y, conv, other);
    const cln__node *producer = add ? producer_of(p, *other) : NULL;
    bool owns_memory = producer && !producer->op->is_view && !producer->op->joins && !producer->op->splits;
    return owns_memory ? add : NULL;
}

/* A max pooling that only one convolution reads is done while that loads its input. */
static void pool_on_load(pass *p) {
    for (int i = 0; i < p->g->node_count; i++) {
        const cln__node *pool = &p->g->nodes[i];
        const use *u = cln__maxpool_is_3x3(pool) ? sole_use(p, pool->outputs[0]) : NULL;
        int x = pool->inputs[0];
        if (!reads_as(p, u, &cln__op_conv2d, 0) || !laid_alike(p, x, pool->outputs[0]) ||
            !cln__conv2d_pools(p->l, node_of(p, u), (cln_tensor){x}))
            continue;
        p->f->pooled[u->node] = x;
        p->f->absorbed[i] = true;
    }
}

/* The normalisation that alone reads what the convolution or a part of it makes, `y`; or NULL. */
static const cln__node *norm_after(const pass *p, int y) {
    const use *u = sole_use(p, y);
    return reads_as(p, u, &cln__op_batchnorm, 0) ? node_of(p, u) : NULL;
}

/* The convolution stands for several (merge.c). Where all parts are normalised and activated alike, each normalisation
 * goes into its part of the weights, and what the convolution writes is what comes of the parts. */
static void fold_parts(pass *p, int conv, const cln__node *split) {
    const cln__node *first = NULL;
    for (int k = 0; k < split->output_count; k++) {
        const cln__node *norm = norm_after(p, split->outputs[k]);
        const cln__node *act = norm ? activation_after(p, norm->outputs[CLN__NORM_Y]) : NULL;
        first = k ? first : act;
        if (!norm || !act != !first || (act && cln__activation_of(act) != cln__activation_of(first)))
            return;
    }
    const cln__node *node = &p->g->nodes[conv];
    if (first && !cln__conv2d_fuses(p->l, node))
        return;
    p->f->folded[conv] = index_of(p, split);
    for (int i = 1; i < node->input_count; i++) /* joined as they are folded */
        p->f->absorbed[index_of(p, producer_of(p, node->inputs[i]))] = true;
    for (int k = 0; k < split->output_count; k++) {
        const cln__node *norm = norm_after(p, split->outputs[k]);
        const cln__node *act = activation_after(p, norm->outputs[CLN__NORM_Y]);
        p->f->absorbed[index_of(p, norm)] = true;
        if (act)
            p->f->absorbed[index_of(p, act)] = true;
        p->f->alias[act ? act->outputs[0] : norm->outputs[CLN__NORM_Y]] = split->outputs[k];
    }
}

static void fold(pass *p, int conv) {
    const cln__node *node = &p->g->nodes[conv];
    int y = node->outputs[0], other = -1;
    const use *split = sole_use(p, y);
    if (split && node_of(p, split)->op->splits) {
        fold_parts(p, conv, node_of(p, split));
        return;
    }
    const cln__node *norm = norm_after(p, y);
    if (norm) {
        y = norm->outputs[CLN__NORM_Y];
        p->f->folded[conv] = index_of(p, norm);
        p->f->absorbed[index_of(p, norm)] = true;
    }
    if (cln__conv2d_fuses(p->l, node)) {
        const use *add = addition_in_place(p, y, conv, &other);
        if (add) {
            y = node_of(p, add)->outputs[0];
            p->f->absorbed[add->node] = true;
        }
        const cln__node *act = activation_after(p, y);
        if (act) {
            y = act->outputs[0];
            p->f->absorbed[index_of(p, act)] = true;
        }
        p->f->alias[y] = add ? other : -1;
    }
    p->f->written[conv] = y;
}

static void fold_all(pass *p) {
    for (int i = 0; i < p->g->node_count; i++)
        if (p->g->nodes[i].op == &cln__op_conv2d)
            fold(p, i);
}

/* --- backward: what follows a convolution's gradient --- */

/* The gradient of batch normalisation among the readers of `dy`, or NULL. */
static const use *norm_grad(const pass *p, int dy) {
    int count;
    const use *u = uses_of(p, dy, &count);
    for (int i = 0; i < count; i++)
        if (reads_as(p, &u[i], &cln__op_batchnorm_grad, 0) && laid_alike(p, dy, node_of(p, &u[i])->inputs[1]))
            return &u[i];
    return NULL;
}

static void take_sums(pass *p, int conv, int norm, int64_t first) {
    p->f->sums_by[norm] = conv;
    p->f->sums_first[norm] = first;
}

/* `dx` is the gradient of x, the activated result of one normalisation: what follows is absorbed as far as it goes. */
static void follow(pass *p, int conv, int dx, int x) {
    cln__epilogue *e = &p->f->epilogue[conv];
    const use *act = sole_use(p, dx);
    if (act && node_of(p, act)->op == &cln__op_activation_grad && act->input == 0 &&
        is_fusible_activation(node_of(p, act)) && node_of(p, act)->inputs[1] == x) {
        e->mask = cln__activation_of(node_of(p, act));
        p->f->absorbed[act->node] = true;
        p->f->alias[node_of(p, act)->outputs[0]] = dx;
        dx = node_of(p, act)->outputs[0];
    }
    const use *norm = norm_grad(p, dx);
    if (!norm)
        return;
    const cln__node *grad = node_of(p, norm);
    e->sums_of = grad->inputs[1];
    e->sums_mean = grad->inputs[2];
    e->sums_invstd = grad->inputs[3];
    take_sums(p, conv, norm->node, 0);
    if (!sole_use(p, dx))
        return; /* others need it as it is */
    e->scale = grad->inputs[4];
    int other; /* of one memory only: what is added before is in another */
    const use *add = NULL;
    if (p->g->nodes[conv].op == &cln__op_conv2d_grad && e->before < 0)
        add = addition(p, grad->outputs[0], conv, &other);
    if (add) {
        e->after = other;
        e->out = node_of(p, add)->outputs[0];
        p->f->alias[e->out] = other;
        p->f->absorbed[add->node] = true;
    } else {
        p->f->alias[grad->outputs[0]] = e->out;
    }
}

/* Whether slice `index` of the gradient of a concatenation goes through an activation's gradient to that of a batch
 * normalisation, and nowhere else. */
static const use *branch_norm(const pass *p, const use *slice, int x, cln_activation act, const use **mask) {
    if (!reads_as(p, slice, &cln__op_slice, 0))
        return NULL;
    int d = node_of(p, slice)->outputs[0];
    *mask = sole_use(p, d);
    if (act != CLN_IDENTITY) {
        if (!reads_as(p, *mask, &cln__op_activation_grad, 0) || node_of(p, *mask)->inputs[1] != x)
            return NULL;
        d = node_of(p, *mask)->outputs[0];
    }
    const use *norm = sole_use(p, d);
    return reads_as(p, norm, &cln__op_batchnorm_grad, 0) && laid_alike(p, d, node_of(p, norm)->inputs[1]) ? norm : NULL;
}

/* `dx` is the gradient of a concatenation that is normalised on load: the same, for all branches at once. */
static void follow_branches(pass *p, int conv, int dx, const cln__node *concat) {
    int count;
    const use *slices = uses_of(p, dx, &count), *mask = NULL;
    cln_activation act = activation_behind(p, concat->inputs[0]);
    if (p->l->kept[dx] || count != concat->input_count)
        return;
    int64_t first = 0;
    for (int i = 0; i < count; i++) {
        const use *norm = branch_norm(p, &slices[i], concat->inputs[i], act, &mask);
        if (!norm || slice_first(p, node_of(p, &slices[i])) != first)
            return;
        first += p->g->tensors[concat->inputs[i]].shape.c;
    }
    const cln__layout *of = p->l->layouts->of;
    cln__epilogue *e = &p->f->epilogue[conv];
    e->mask = act;
    e->sums_of = concat->outputs[0];
    e->sums_mean = joined_output(p, concat, CLN__NORM_MEAN);
    e->sums_invstd = joined_output(p, concat, CLN__NORM_INVSTD);
    e->scale = joined_output(p, concat, CLN__NORM_SCALE);
    first = 0;
    for (int i = 0; i < count; i++) {
        const use *norm = branch_norm(p, &slices[i], concat->inputs[i], act, &mask);
        int part = node_of(p, &slices[i])->outputs[0];
        take_sums(p, conv, norm->node, of[dx].map[first] - of[part].map[0]);
        if (act != CLN_IDENTITY) {
            p->f->absorbed[mask->node] = true;
            p->f->alias[node_of(p, mask)->outputs[0]] = part;
            part = node_of(p, mask)->outputs[0];
        }
        p->f->alias[node_of(p, norm)->outputs[0]] = part;
        first += p->g->tensors[concat->inputs[i]].shape.c;
    }
}

/* Nodes behind that of a convolution's or a pooling's gradient, which has x as input 1. */
static void plan_epilogue(pass *p, int index) {
    const cln__node *node = &p->g->nodes[index];
    bool conv = node->op == &cln__op_conv2d_grad;
    int dx = node->outputs[0], x = node->inputs[1], other;
    cln__epilogue *e = &p->f->epilogue[index];
    *e = (cln__epilogue){
        .out = dx, .before = -1, .sums_of = -1, .sums_mean = -1, .sums_invstd = -1, .scale = -1, .after = -1};
    if (conv ? !cln__conv2d_fuses(p->l, node) : !cln__maxpool_fuses(p->l, node))
        return;
    const use *add = conv ? addition(p, dx, index, &other) : NULL;
    if (add) {
        e->before = other;
        e->out = dx = node_of(p, add)->outputs[0];
        p->f->alias[dx] = other;
        p->f->absorbed[add->node] = true;
    }
    const cln__node *concat = producer_of(p, x);
    if (p->f->source[x] == x && concat && concat->op == &cln__op_concat)
        follow_branches(p, index, dx, concat);
    else
        follow(p, index, dx, x);
}

/* --- the whole --- */

static cln__fusion *fusion_new(const cln_graph *g) {
    cln__fusion *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    size_t tensors = (size_t)g->tensor_count + 1, nodes = (size_t)g->node_count + 1;
    f->source = malloc(sizeof(int) * tensors);
    f->alias = malloc(sizeof(int) * tensors);
    f->written = malloc(sizeof(int) * nodes);
    f->folded = malloc(sizeof(int) * nodes);
    f->pooled = malloc(sizeof(int) * nodes);
    f->sums_by = malloc(sizeof(int) * nodes);
    f->sums_first = calloc(nodes, sizeof *f->sums_first);
    f->absorbed = calloc(nodes, sizeof *f->absorbed);
    f->epilogue = calloc(nodes, sizeof *f->epilogue);
    f->parts = calloc(nodes, sizeof *f->parts);
    f->left = malloc(sizeof(int) * nodes);
    if (!f->source || !f->alias || !f->written || !f->folded || !f->pooled || !f->sums_by || !f->sums_first ||
        !f->absorbed || !f->epilogue || !f->parts || !f->left) {
        cln__fusion_free(f);
        return NULL;
    }
    memset(f->source, 0xff, sizeof(int) * tensors); /* all -1 */
    memset(f->alias, 0xff, sizeof(int) * tensors);
    memset(f->written, 0xff, sizeof(int) * nodes);
    memset(f->folded, 0xff, sizeof(int) * nodes);
    memset(f->pooled, 0xff, sizeof(int) * nodes);
    memset(f->sums_by, 0xff, sizeof(int) * nodes);
    memset(f->left, 0xff, sizeof(int) * nodes);
    return f;
}

void cln__fusion_free(cln__fusion *f) {
    if (!f)
        return;
    free(f->source);
    free(f->alias);
    free(f->written);
    free(f->folded);
    free(f->pooled);
    free(f->sums_by);
    free(f->sums_first);
    free(f->absorbed);
    free(f->epilogue);
    free(f->parts);
    free(f->left);
    free(f);
}

static void decide(pass *p) {
    if (!p->l->training) {
        pool_on_load(p);
        fold_all(p);
    }
    find_loadable(p);
    absorb_activations(p);
    for (int i = 0; i < p->g->node_count; i++)
        if (p->g->nodes[i].op == &cln__op_conv2d_grad || p->g->nodes[i].op == &cln__op_maxpool_grad)
            plan_epilogue(p, i);
}

cln_status cln__fuse(cln__lowering *l) {
    pass p = {.l = l, .g = l->g};
    l->fusion = p.f = fusion_new(l->g);
    p.loadable = calloc((size_t)l->g->tensor_count + 1, sizeof *p.loadable);
    cln_status status = CLN_OK;
    if (!p.f || !p.loadable)
        status = cln__fail_memory(l->ctx, "the plan's fusion");
    if (status == CLN_OK)
        status = find_uses(&p);
    if (status == CLN_OK)
        decide(&p);
    free(p.begin);
    free(p.uses);
    free(p.loadable);
    return status;
}
