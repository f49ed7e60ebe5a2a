/* Gives every storage an address in an arena, so that storages whose lifetimes do not meet share memory.
 * Greedy by size (Pisarchyk and Lee, arXiv 2001.03288): the largest first, each at the lowest address that is free
 * for as long as it lives. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

typedef struct storage {
    int root;
    int first, last; /* steps */
    int64_t bytes;
    int arena;
    int64_t address; /* bytes */
} storage;

typedef struct placing {
    cln__host_plan *plan;
    int *first, *last; /* by root; first > last: never used */
    int *merged;       /* by root: the root whose memory it takes over, or itself */
} placing;

static int root_of(const placing *p, int tensor) {
    return p->plan->layouts.of[tensor].root;
}

static void use(placing *p, int tensor, int step) {
    int root = root_of(p, tensor);
    if (step < p->first[root])
        p->first[root] = step;
    if (step > p->last[root])
        p->last[root] = step;
}

static void find_lifetimes(placing *p) {
    const cln__host_plan *plan = p->plan;
    for (int i = 0; i < plan->layouts.count; i++) {
        p->first[i] = plan->step_count;
        p->last[i] = -2;
        p->merged[i] = i;
    }
    for (int s = 0; s < plan->step_count; s++)
        for (int a = 0; a < plan->steps[s].arg_count; a++)
            if (plan->steps[s].args[a].kind == CLN__ARG_TENSOR)
                use(p, plan->steps[s].args[a].tensor, s);
    for (int s = 0; s < plan->prepared_count; s++) /* what they leave is there in every step */
        for (int a = 0; a < plan->steps[s].arg_count; a++)
            if (plan->steps[s].args[a].kind == CLN__ARG_TENSOR)
                use(p, plan->steps[s].args[a].tensor, plan->step_count);
    for (int i = 0; i < plan->graph->tensor_count; i++) {
        bool input = plan->graph->tensors[i].role == CLN__INPUT;
        if (input) /* written before the first step, and still there for the next */
            use(p, i, -1);
        if (input || plan->kept[i])
            use(p, i, plan->step_count);
    }
}

static bool in_arena(const placing *p, int tensor) {
    const cln__layout *layout = &p->plan->layouts.of[tensor];
    return layout->root == tensor && layout->region == CLN__ARENA;
}

/* Lets the outputs of element-wise operators overwrite an input that nothing reads afterwards. */
static void merge_in_place(placing *p) {
    const cln_graph *g = p->plan->graph;
    for (int s = 0; s < p->plan->step_count; s++) {
        const cln__node *node = &g->nodes[p->plan->steps[s].node];
        if (!node->op->in_place)
            continue;
        int in = node->inputs[0], out = node->outputs[0];
        const cln__layout *from = &p->plan->layouts.of[in], *to = &p->plan->layouts.of[out];
        bool fits = in_arena(p, in) && in_arena(p, out) && from->elements == to->elements && from->block == to->block &&
                    g->tensors[in].role == CLN__VALUE;
        if (!fits || p->last[in] != s || p->first[out] != s || p->merged[out] != out)
            continue;
        int keeper = p->merged[in];
        p->merged[out] = keeper;
        p->last[keeper] = p->last[out] > p->last[keeper] ? p->last[out] : p->last[keeper];
    }
}

static int by_size(const void *a, const void *b) {
    const storage *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->root - y->root;
}

static bool lifetimes_meet(const storage *a, const storage *b) {
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest address in `arena` free of every placed storage alive at the same time as `wanted`. `order`: the placed
 * ones by address. */
static int64_t lowest_free(const storage *list, const int *order, int count, const storage *wanted, int arena) {
    int64_t address = 0;
    for (int i = 0; i < count; i++) {
        const storage *other = &list[order[i]];
        if (other->arena != arena || !lifetimes_meet(other, wanted) || other->address + other->bytes <= address)
            continue;
        if (other->address >= address + wanted->bytes)
            break;
        address = other->address + other->bytes;
    }
    return address;
}

static void insert_by_address(const storage *list, int *order, int placed) {
    int at = placed;
    for (; at > 0 && list[order[at - 1]].address > list[placed].address; at--)
        order[at] = order[at - 1];
    order[at] = placed;
}

/* CLBlast counts the elements of a buffer in int, so only a storage that is larger by itself makes a larger arena. */
static const uint64_t USUAL_ARENA_BYTES = (uint64_t)8 << 30;

/* What a storage belongs to: the layer whose step is the first that uses it, or an input. */
static cln_status fail_size(cln_context *ctx, cln__host_plan *plan, const storage *s, uint64_t max_alloc) {
    const cln__tensor *tensor = &plan->graph->tensors[s->root];
    const cln__node *node = s->first >= 0 ? &plan->graph->nodes[plan->steps[s->first].node] : NULL;
    char shape[96];
    plan->misfit = true;
    return cln__fail(
        ctx, CLN_OUT_OF_MEMORY,
        "%s '%s': a tensor of shape %s needs %lld bytes in one piece; the device allocates at most %llu at "
        "a time: use a smaller batch",
        node ? node->op->name : "input", node ? node->name : tensor->name, cln__shape_text(tensor->shape, shape),
        (long long)s->bytes, (unsigned long long)max_alloc);
}

static cln_status fail_pieces(cln_context *ctx, cln__host_plan *plan, uint64_t room) {
    plan->misfit = true;
    return cln__fail(ctx, CLN_OUT_OF_MEMORY,
                     "the plan needs more than %d allocations of %llu bytes: use a smaller batch", CLN__MAX_ARENAS,
                     (unsigned long long)room);
}

static cln_status place_all(cln_context *ctx, cln__host_plan *plan, storage *list, int *order, int count,
                            uint64_t max_alloc) {
    cln__arena_sizes *arenas = &plan->arenas;
    for (int i = 0; i < count; i++) {
        uint64_t size = (uint64_t)list[i].bytes, usual = size > USUAL_ARENA_BYTES ? size : USUAL_ARENA_BYTES;
        uint64_t room = usual < max_alloc ? usual : max_alloc;
        if (size > max_alloc)
            return fail_size(ctx, plan, &list[i], max_alloc);
        int arena = 0;
        int64_t address = lowest_free(list, order, i, &list[i], arena);
        while ((uint64_t)address + size > room && arena < CLN__MAX_ARENAS - 1)
            address = lowest_free(list, order, i, &list[i], ++arena);
        if ((uint64_t)address + size > room)
            return fail_pieces(ctx, plan, room);
        list[i].arena = arena;
        list[i].address = address;
        insert_by_address(list, order, i);
        uint64_t end = (uint64_t)address + size;
        arenas->count = arena + 1 > arenas->count ? arena + 1 : arenas->count;
        arenas->bytes[arena] = end > arenas->bytes[arena] ? end : arenas->bytes[arena];
    }
    return CLN_OK;
}

static int list_storages(const placing *p, storage *list, int64_t alignment) {
    int count = 0;
    for (int i = 0; i < p->plan->layouts.count; i++)
        if (in_arena(p, i) && p->merged[i] == i && p->last[i] > -2)
            list[count++] =
                (storage){.root = i,
                          .first = p->first[i],
                          .last = p->last[i],
                          .arena = -1,
                          .bytes = cln__round_up(p->plan->layouts.of[i].elements * (int64_t)sizeof(float), alignment)};
    qsort(list, (size_t)count, sizeof *list, by_size);
    return count;
}

static void record(const placing *p, const storage *list, int count) {
    cln__host_plan *plan = p->plan;
    for (int i = 0; i < count; i++) {
        plan->arena_of[list[i].root] = list[i].arena;
        plan->address_of[list[i].root] = list[i].address / (int64_t)sizeof(float);
    }
    for (int i = 0; i < plan->layouts.count; i++)
        if (in_arena(p, i) && p->merged[i] != i) {
            plan->arena_of[i] = plan->arena_of[p->merged[i]];
            plan->address_of[i] = plan->address_of[p->merged[i]];
        }
    for (int i = 0; i < plan->arenas.count; i++)
        plan->planned_bytes += plan->arenas.bytes[i];
    for (int i = 0; i < plan->layouts.count; i++) {
        const cln__layout *layout = &plan->layouts.of[i];
        if (plan->layouts.of[layout->root].region == CLN__ARENA && p->last[layout->root] > -2)
            plan->unshared_bytes += (uint64_t)layout->elements * sizeof(float);
    }
}

cln_status cln__place(cln_context *ctx, cln__host_plan *plan, const cln__caps *caps) {
    size_t count = (size_t)plan->layouts.count + 1;
    placing p = {.plan = plan};
    p.first = calloc(count, sizeof(int));
    p.last = calloc(count, sizeof(int));
    p.merged = calloc(count, sizeof(int));
    plan->arena_of = malloc(count * sizeof(int));
    plan->address_of = calloc(count, sizeof(int64_t));
    storage *list = calloc(count, sizeof *list);
    int *order = calloc(count, sizeof *order);
    cln_status status = CLN_OK;
    if (!p.first || !p.last || !p.merged || !plan->arena_of || !plan->address_of || !list || !order) {
        status = cln__fail_memory(ctx, "the plan's memory placement");
    } else {
        memset(plan->arena_of, 0xff, count * sizeof(int));
        find_lifetimes(&p);
        merge_in_place(&p);
        int storages = list_storages(&p, list, (int64_t)caps->alignment_bytes);
        status = place_all(ctx, plan, list, order, storages, caps->max_alloc_bytes);
        if (status == CLN_OK)
            record(&p, list, storages);
    }
    free(p.first);
    free(p.last);
    free(p.merged);
    free(list);
    free(order);
    return status;
}
