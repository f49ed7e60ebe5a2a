/* conv2d's implicit variant: a matrix product whose one factor is gathered from the image as it is needed, by the
 * kernels of cl/conv2d_implicit.cl and cl/conv2d_implicit_grad_weight.cl. For GPUs: it lives by local memory and
 * barriers, which a CPU has to imitate. Takes everything but groups and the gradient of a planar input. Shapes are
 * arguments, so a program serves all layers that have the same tile. */
#include "conv2d.h"

#include <stdio.h>
#include <string.h>

/* A work-group's tile, and an item's share of it: see the kernels for the letters and for what they may be. Groups are
 * of 64 or 128 items: whole wavefronts on every GPU. */
typedef struct tile {
    int m, n, k, item_m, item_n;
} tile;

static const tile tiles[] = {
    {128, 64, 8, 8, 8}, {64, 64, 16, 8, 4},  {128, 32, 16, 8, 4},
    {64, 32, 16, 4, 4}, {128, 16, 16, 8, 4}, {64, 16, 16, 4, 4},
};
static const tile weight_tiles[] = {
    {64, 64, 16, 8, 8}, {32, 64, 16, 4, 8},  {64, 32, 16, 8, 4},
    {32, 32, 16, 4, 4}, {128, 16, 16, 8, 4}, {64, 16, 16, 4, 4},
};
enum {
    TILES = sizeof tiles / sizeof *tiles,
    WEIGHT_TILES = sizeof weight_tiles / sizeof *weight_tiles,
    PAD = 4,       /* floats */
    LOAD_COST = 4, /* of bringing a number to local memory, in multiply-adds */
    FILLED = 4,    /* items_target / FILLED items keep the device's arithmetic busy: each has many independent sums */
    LEAST_RUN = 8, /* tiles deep that a part of the gradient of the weights is at least */
    SIZE_LIMIT = 1 << 30 /* of rows and columns with their padding: the kernels' OUTSIDE is beyond */
};

/* The product of a pass: m rows, n columns, in `phases` pieces alike, summing over k. */
typedef struct product {
    int64_t m, n, phases;
    int64_t k;
} product;

static int items_of(const tile *t) {
    return t->m / t->item_m * (t->n / t->item_n);
}

static int64_t groups_of(const tile *t, const product *q) {
    return cln__divide_up(q->m, t->m) * cln__divide_up(q->n, t->n);
}

/* Local memory of either kernel, rounded up a little. */
static uint64_t local_bytes(const tile *t) {
    int floats = (t->m + PAD) * (t->k + PAD) + t->k * (t->n + PAD) + 2 * t->m;
    return sizeof(float) * (uint64_t)floats;
}

static bool tile_fits(const tile *t, const cln__caps *caps) {
    return (size_t)items_of(t) <= caps->max_work_group && local_bytes(t) <= caps->local_bytes;
}

/* What an item does for a step along k, in multiply-adds: those, its reads from local memory, its share of loading. */
static double item_cost(const tile *t) {
    return t->item_m * t->item_n + t->item_m + t->item_n + (double)LOAD_COST * (t->m + t->n) / items_of(t);
}

/* Time of the whole: work, where it fills the device; where it does not, an item's. `split`: k is split until it does.
 */
static double tile_cost(const tile *t, const product *q, const cln__caps *caps, bool split) {
    double items = (double)(groups_of(t, q) * q->phases * items_of(t));
    double rounds = items * FILLED / caps->items_target;
    return item_cost(t) * (rounds < 1 && !split ? 1 : rounds);
}

/* The cheapest that the device can run, or NULL. */
static const tile *tile_choose(const tile *from, int count, const product *q, const cln__caps *caps, bool split) {
    const tile *best = NULL;
    for (int i = 0; i < count; i++)
        if (tile_fits(&from[i], caps) &&
            (!best || tile_cost(&from[i], q, caps, split) < tile_cost(best, q, caps, split)))
            best = &from[i];
    return best;
}

/* The output pixels of a phase are a row each; phases are as in cl/conv2d_implicit.cl. */
static product product_of(const cln__lowering *l, const cln__conv2d *p) {
    int64_t x_stored = cln__layout_of(l, p->x).stored, y_stored = cln__layout_of(l, p->y).stored;
    int64_t taps = (int64_t)p->a.kernel_h * p->a.kernel_w, s = p->a.stride;
    if (p->pass == CLN__FORWARD)
        return (product){.m = p->ys.n * p->ys.h * p->ys.w, .n = y_stored, .phases = 1, .k = taps * x_stored};
    if (p->pass == CLN__GRAD_WEIGHT)
        return (product){.m = taps * x_stored, .n = y_stored, .phases = 1, .k = p->ys.n * p->ys.h * p->ys.w};
    return (product){.m = p->xs.n * cln__divide_up(p->xs.h, s) * cln__divide_up(p->xs.w, s),
                     .n = x_stored,
                     .phases = cln__least(s, p->xs.h) * cln__least(s, p->xs.w),
                     .k = taps * y_stored};
}

/* The tile that is asked for by its sides, which tell them apart; NULL if there is none, or the device cannot run it.
 */
static const tile *tile_find(const tile *from, int count, const cln__caps *caps, const char *parameters) {
    int m = cln__conv2d_parameter(parameters, "M", 0), n = cln__conv2d_parameter(parameters, "N", 0);
    for (int i = 0; i < count; i++)
        if (from[i].m == m && from[i].n == n && tile_fits(&from[i], caps))
            return &from[i];
    return NULL;
}

static const tile *tile_of(const cln__lowering *l, const cln__conv2d *p) {
    product q = product_of(l, p);
    bool weight = p->pass == CLN__GRAD_WEIGHT;
    const tile *from = weight ? weight_tiles : tiles;
    int count = weight ? WEIGHT_TILES : TILES;
    return p->parameters ? tile_find(from, count, l->caps, p->parameters)
                         : tile_choose(from, count, &q, l->caps, weight);
}

/* --- what it refuses --- */

static bool aligned(const cln__layout *a) {
    return a->block == 1 || (a->offset | a->image | a->block_stride | a->pixel) % 4 == 0;
}

static bool fits_int(const cln__lowering *l, const cln__conv2d *p) {
    cln__layout x = cln__layout_of(l, p->x), y = cln__layout_of(l, p->y);
    product q = product_of(l, p);
    int64_t pad = 2 * (int64_t)p->a.padding, slack = 256; /* the last tile's */
    return p->xs.h + pad < SIZE_LIMIT && p->xs.w + pad < SIZE_LIMIT && (p->xs.h + pad) * (p->xs.w + pad) <= INT32_MAX &&
           (p->xs.h + pad) * (p->xs.w + pad) * x.pixel <= INT32_MAX &&
           x.stored / x.block * x.block_stride <= INT32_MAX && p->ys.h * p->ys.w * y.pixel <= INT32_MAX &&
           y.stored / y.block * y.block_stride <= INT32_MAX &&
           x.stored * p->a.kernel_h * p->a.kernel_w <= INT32_MAX / y.stored && q.m <= INT32_MAX - slack &&
           q.k <= INT32_MAX - slack;
}

static const char *refuses(const cln__lowering *l, const cln__conv2d *p) {
    cln__layout x = cln__layout_of(l, p->x), y = cln__layout_of(l, p->y);
    bool forced = l->forced_variant && strcmp(l->forced_variant, "implicit") == 0;
    if (l->caps->is_cpu && !forced)
        return "a CPU has no use for local memory";
    if (p->a.groups > 1)
        return "it has groups";
    if (y.block % 4 != 0 || (x.block != y.block && (x.block != 1 || p->pass == CLN__GRAD_INPUT)))
        return "input and output have channel blocks of different sizes";
    if (!aligned(&x) || !aligned(&y))
        return "the channel blocks are not aligned";
    if (!fits_int(l, p))
        return "an image, the weights or the pixels exceed 2^31";
    if (!tile_of(l, p))
        return "no tile fits the device's work-groups and local memory";
    return NULL;
}

/* --- lowering --- */

static void define(cln__lowering *l, cln__step *step, const tile *t, int block, int x_block) {
    cln__step_define(l, step, "B=%d -DXB=%d", block, x_block);
    cln__step_define(l, step, "TILE_M=%d -DTILE_N=%d -DTILE_K=%d", t->m, t->n, t->k);
    cln__step_define(l, step, "ITEM_M=%d -DITEM_N=%d", t->item_m, t->item_n);
    step->local[0] = (size_t)items_of(t);
}

/* The kernel's convolution: from `x` to `y`, which for the gradient of the input are dy and dx. */
static cln_status convolve(cln__lowering *l, const cln__conv2d *p, cln_tensor x, cln_tensor y) {
    product q = product_of(l, p);
    const tile *t = tile_of(l, p);
    cln__layout from = cln__layout_of(l, x), to = cln__layout_of(l, y);
    cln_shape in = cln__shape_of(l, x), out = cln__shape_of(l, y);
    bool bias = p->pass == CLN__FORWARD && p->bias.id >= 0;
    cln__step *step = cln__step_new(l, "conv2d_implicit", "conv2d_implicit");
    define(l, step, t, to.block, from.block);
    cln__step_define(l, step, "GRAD_INPUT=%d -DBIAS=%d", p->pass == CLN__GRAD_INPUT, bias);
    cln__arg_tensor(step, x, CLN__READ);
    cln__arg_tensor(step, p->w, CLN__READ);
    cln__arg_tensor(step, bias ? p->bias : p->w, CLN__READ); /* not read without BIAS */
    cln__arg_tensor(step, y, CLN__WRITE);
    const int64_t sizes[] = {in.n,  from.stored,   to.stored,     in.h,        in.w,         out.h,
                             out.w, p->a.kernel_h, p->a.kernel_w, p->a.stride, p->a.padding, p->a.dilation};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        cln__arg_int(step, sizes[i]);
    cln__step_items(step, groups_of(t, &q) * items_of(t), q.phases, 1);
    step->flops = cln__conv2d_flops(l, p);
    return l->status;
}

/* Pixels of a part of the gradient of the weights: few enough that the parts fill the device, but with sums that take
 * no more memory than a quarter of what they are made of. */
static int64_t run_choose(const cln__lowering *l, const cln__conv2d *p, const tile *t) {
    product q = product_of(l, p);
    int64_t read = p->xs.n * (p->xs.h * p->xs.w * cln__layout_of(l, p->x).stored + p->ys.h * p->ys.w * q.n);
    int64_t items = groups_of(t, &q) * items_of(t);
    int64_t parts = cln__least(cln__divide_up(l->caps->items_target, items), read / 4 / (q.m * q.n));
    int64_t run = cln__round_up(cln__divide_up(q.k, cln__most(parts, 1)), t->k);
    return cln__most(run, LEAST_RUN * t->k);
}

static cln_status grad_weight(cln__lowering *l, const cln__conv2d *p) {
    product q = product_of(l, p);
    const tile *t = tile_of(l, p);
    int block = cln__layout_of(l, p->y).block;
    int64_t run = run_choose(l, p, t);
    cln__parts parts = {.count = cln__divide_up(q.k, run), .row = q.m * q.n, .stored = q.m * q.n, .block = block};
    parts.partial = parts.count > 1 ? cln__scratch(l, parts.count * parts.row) : p->w;
    cln__step *step = cln__step_new(l, "conv2d_implicit_grad_weight", "conv2d_implicit_grad_weight");
    define(l, step, t, block, cln__layout_of(l, p->x).block);
    cln__arg_tensor(step, p->x, CLN__READ);
    cln__arg_tensor(step, p->y, CLN__READ);
    cln__arg_tensor(step, parts.partial, CLN__WRITE);
    int taps = p->a.kernel_h * p->a.kernel_w;
    const int64_t sizes[] = {q.k,  q.m / taps,    q.n,         p->xs.h,      p->xs.w,       p->ys.h, p->ys.w,
                             taps, p->a.kernel_w, p->a.stride, p->a.padding, p->a.dilation, run};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        cln__arg_int(step, sizes[i]);
    cln__step_items(step, parts.count * groups_of(t, &q) * items_of(t), 1, 1);
    step->flops = cln__conv2d_flops(l, p);
    if (parts.count > 1) {
        cln__parts_merge(l, &parts, "reduce", "sum", parts.row);
        cln__parts_sum(l, &parts, 0, p->w);
    }
    return l->status;
}

static cln_status lower(cln__lowering *l, cln__conv2d *p) {
    return p->pass == CLN__FORWARD      ? convolve(l, p, p->x, p->y)
           : p->pass == CLN__GRAD_INPUT ? convolve(l, p, p->y, p->x)
                                        : grad_weight(l, p);
}

/* All tiles but its own; those that do not fit are refused. */
static bool alternative(const cln__lowering *l, const cln__conv2d *p, int index, char text[CLN__PARAMETERS]) {
    bool weight = p->pass == CLN__GRAD_WEIGHT;
    const tile *from = weight ? weight_tiles : tiles, *own = tile_of(l, p);
    int count = weight ? WEIGHT_TILES : TILES;
    for (int i = 0; i < count; i++)
        if (&from[i] != own && index-- == 0) {
            snprintf(text, CLN__PARAMETERS, "M=%d N=%d", from[i].m, from[i].n);
            return true;
        }
    return false;
}

const cln__conv2d_variant cln__conv2d_implicit = {
    .name = "implicit", .refuses = refuses, .lower = lower, .alternative = alternative};
