/* conv2d's direct variant: lowers to the register-tiled kernels of cl/conv2d_direct.cl and
 * cl/conv2d_direct_grad_weight.cl, and chooses their tiles from the shape. Fast on any device whose registers hold the
 * tiles; takes everything but groups, the gradient of a planar input, and shapes whose unrolled code would grow out of
 * hand. */
#include "conv2d.h"

#include <stdio.h>

enum {
    MAX_SUMS = 24,       /* vectors of a tile: 32 registers, less the operands */
    MAX_BLOCKS = 4,      /* output blocks of a tile */
    FULL_TILE = 16,      /* columns that fill a tile */
    FMA_LATENCY = 8,     /* multiply-adds that hide one another's latency */
    MAX_UNROLLED = 4096, /* multiply-adds in unrolled code: a second or so of compiling */
    PART_BYTES = 1 << 19 /* of x and dy that a part of the filter gradient reads: half of a usual second-level cache */
};

/* A convolution as the kernels see it: see cl/conv2d_direct.cl for the letters. */
typedef struct problem {
    int64_t n, c, o, h, w, ho, wo;
    int kh, kw, s, up, ph, pw, d;
    int b, xb;
    int64_t x_pixel, y_pixel;
    const char *parameters; /* the tile, or NULL: the cheapest */
} problem;

/* --- the problem --- */

/* A 1x1 convolution sees no neighbours, so rows too short for a full tile are read as fewer, longer ones. */
static void rows_merge(problem *q) {
    bool pointwise = q->kh == 1 && q->kw == 1 && q->s == 1 && q->up == 1 && q->ph == 0;
    if (!pointwise || q->w >= FULL_TILE)
        return;
    int64_t rows = 1;
    while (rows < q->h && (q->h % rows != 0 || rows * q->w < FULL_TILE))
        rows++;
    q->h = q->ho = q->h / rows;
    q->w = q->wo = q->w * rows;
}

/* x and y are the kernel's input and output: for the gradient of the input, dy and dx. */
static problem problem_make(const cln__conv2d *p, cln__layout x, cln_shape xs, cln__layout y, cln_shape ys) {
    problem q = {.n = xs.n, .c = x.stored, .o = y.stored, .h = xs.h, .w = xs.w, .ho = ys.h, .wo = ys.w};
    q.kh = p->a.kernel_h;
    q.kw = p->a.kernel_w;
    q.d = p->a.dilation;
    q.s = p->a.stride;
    q.up = 1;
    q.ph = q.pw = p->a.padding;
    if (p->pass == CLN__GRAD_INPUT) {
        q.s = 1;
        q.up = p->a.stride;
        q.ph = q.d * (q.kh - 1) - p->a.padding;
        q.pw = q.d * (q.kw - 1) - p->a.padding;
    }
    q.b = y.block;
    q.xb = x.block;
    q.x_pixel = x.pixel;
    q.y_pixel = y.pixel;
    q.parameters = p->parameters;
    rows_merge(&q);
    return q;
}

static problem problem_of(const cln__lowering *l, const cln__conv2d *p) {
    cln__layout x = cln__layout_of(l, p->x), y = cln__layout_of(l, p->y);
    return p->pass == CLN__GRAD_INPUT ? problem_make(p, y, p->ys, x, p->xs) : problem_make(p, x, p->xs, y, p->ys);
}

/* --- tiles --- */

typedef struct tile {
    int width, blocks; /* columns, output blocks */
    int64_t rows;      /* of a work-item */
} tile;

/* Half cycles a core with two multiply-adds and two loads a cycle spends on one tap of a row of one output block, and,
 * to break ties, a little for each load. */
static double tile_cost(int64_t columns, int width, int blocks) {
    int sums = width * blocks;
    int64_t busy = cln__most(cln__most(sums, width + blocks), FMA_LATENCY);
    return (double)(cln__divide_up(columns, width) * busy) / blocks + (width + 2.0 * blocks) / (64 * sums);
}

/* The cheapest tile; as many rows a work-item as leave the device enough work-items. */
static tile tile_choose(const problem *q, const cln__caps *caps) {
    int64_t columns = cln__divide_up(q->wo, q->up), out_blocks = q->o / q->b;
    tile best = {.width = 1, .blocks = 1, .rows = q->ho};
    for (int blocks = 1; blocks <= MAX_BLOCKS; blocks++)
        for (int width = 1; out_blocks % blocks == 0 && width * blocks <= MAX_SUMS && width <= columns; width++)
            if (tile_cost(columns, width, blocks) < tile_cost(columns, best.width, best.blocks)) {
                best.width = width;
                best.blocks = blocks;
            }
    if (q->parameters) {
        best.width = cln__conv2d_parameter(q->parameters, "TW", 1);
        best.blocks = cln__conv2d_parameter(q->parameters, "NB", 1);
    }
    while (best.rows > 1 && q->n * (out_blocks / best.blocks) * cln__divide_up(q->ho, best.rows) < caps->items_target)
        best.rows = cln__divide_up(best.rows, 2);
    return best;
}

typedef struct weight_tile {
    int channels, taps, blocks; /* input channels, filter columns, output blocks */
    int64_t tiles;              /* in all of dw */
    int64_t parts;              /* that the rows of the batch are split in */
} weight_tile;

/* Multiply-adds per half cycle, as above, and a little for each sum, since more of them read dy less often. */
static double weight_tile_rate(int channels, int taps, int blocks) {
    int sums = channels * taps * blocks;
    return (double)sums / (double)cln__most(cln__most(sums, blocks + channels * taps), FMA_LATENCY) + sums / 1000.0;
}

static bool weight_tile_fits(const problem *q, const weight_tile *t) {
    return q->c % t->channels == 0 && (q->xb == 1 || q->xb % t->channels == 0) && q->kw % t->taps == 0 &&
           q->o / q->b % t->blocks == 0 && t->channels * t->taps * t->blocks <= MAX_SUMS;
}

/* Parts small enough for the cache and many enough for the device, unless their sums would take more memory than a
 * quarter of what they read. */
static int64_t parts_choose(const problem *q, int64_t tiles, const cln__caps *caps) {
    int64_t read_bytes = (int64_t)sizeof(float) * q->n * (q->c * q->h * q->w + q->o * q->ho * q->wo);
    int64_t sums_bytes = (int64_t)sizeof(float) * q->kh * q->kw * q->c * q->o;
    int64_t parts = cln__most(read_bytes / PART_BYTES, cln__divide_up(caps->items_target, tiles));
    return cln__most(1, cln__least(cln__least(parts, read_bytes / 4 / sums_bytes), q->n * q->ho));
}

static weight_tile weight_tile_choose(const problem *q, const cln__caps *caps) {
    weight_tile best = {1, 1, 1, 0, 0};
    double best_rate = 0;
    for (int blocks = 1; blocks <= MAX_BLOCKS; blocks++)
        for (int channels = 1; channels <= MAX_SUMS; channels++)
            for (int taps = 1; taps <= q->kw && taps <= MAX_SUMS; taps++) {
                weight_tile t = {channels, taps, blocks, 0, 0};
                if (weight_tile_fits(q, &t) && weight_tile_rate(channels, taps, blocks) > best_rate) {
                    best_rate = weight_tile_rate(channels, taps, blocks);
                    best = t;
                }
            }
    if (q->parameters)
        best =
            (weight_tile){cln__conv2d_parameter(q->parameters, "TC", 1), cln__conv2d_parameter(q->parameters, "TK", 1),
                          cln__conv2d_parameter(q->parameters, "NB", 1), 0, 0};
    best.tiles = q->o / q->b / best.blocks * (q->c / best.channels) * q->kh * (q->kw / best.taps);
    best.parts = parts_choose(q, best.tiles, caps);
    return best;
}

/* --- what it refuses --- */

/* At least as many multiply-adds as the kernels unroll: tiles (or columns) at the border, and one in the middle. */
static int64_t unrolled(const problem *q, const cln__conv2d *p, const cln__caps *caps) {
    int64_t border = (int64_t)q->d * (q->kw - 1) + 1; /* input columns under the filter */
    if (p->pass == CLN__GRAD_WEIGHT) {
        weight_tile t = weight_tile_choose(q, caps);
        return cln__least(q->wo, border / q->s + 3) * t.taps * t.channels * t.blocks;
    }
    tile t = tile_choose(q, caps);
    int64_t span = (int64_t)t.width * q->up,
            tiles = cln__least(cln__divide_up(q->wo, span), border / (span * q->s) + 4);
    return tiles * cln__most(q->kw, q->up) * t.width * t.blocks;
}

static bool fits_int(const problem *q, const cln__caps *caps) {
    weight_tile t = weight_tile_choose(q, caps);
    return q->h * q->w * q->x_pixel <= INT32_MAX && q->ho * q->wo * q->y_pixel <= INT32_MAX &&
           q->c * q->kh * q->kw <= INT32_MAX / q->o && q->n * q->o * q->ho <= INT32_MAX &&
           t.tiles <= INT32_MAX / t.parts;
}

static const char *refuses(const cln__lowering *l, const cln__conv2d *p) {
    cln__layout x = cln__layout_of(l, p->x), y = cln__layout_of(l, p->y);
    if (p->a.groups > 1)
        return "it has groups";
    if (x.block != y.block && (x.block != 1 || p->pass == CLN__GRAD_INPUT))
        return "input and output have channel blocks of different sizes";
    cln__layout out = p->pass == CLN__GRAD_INPUT ? x : y;
    if ((out.offset | out.image | out.block_stride | out.pixel) % out.block != 0)
        return "the output's channel blocks are not aligned";
    problem q = problem_of(l, p);
    if (!fits_int(&q, l->caps))
        return "an image, the weights or the work-items exceed 2^31";
    if (unrolled(&q, p, l->caps) > MAX_UNROLLED)
        return "the filter is too wide to unroll";
    return NULL;
}

/* --- lowering --- */

static void define(cln__lowering *l, cln__step *step, const problem *q) {
    cln__step_define(l, step, "B=%d -DXB=%d", q->b, q->xb);
    cln__step_define(l, step, "X_PIXEL=%lld -DY_PIXEL=%lld", (long long)q->x_pixel, (long long)q->y_pixel);
    cln__step_define(l, step, "C=%lld -DO=%lld", (long long)q->c, (long long)q->o);
    cln__step_define(l, step, "H=%lld -DW=%lld", (long long)q->h, (long long)q->w);
    cln__step_define(l, step, "HO=%lld -DWO=%lld", (long long)q->ho, (long long)q->wo);
    cln__step_define(l, step, "KH=%d -DKW=%d", q->kh, q->kw);
    cln__step_define(l, step, "S=%d -DD=%d", q->s, q->d);
}

/* y = x convolved with w: the forward pass, and the gradient of the input with the weights flipped. */
static cln_status convolve(cln__lowering *l, const problem *q, cln_tensor x, cln_tensor w, cln_tensor bias,
                           cln_tensor y, double flops) {
    tile t = tile_choose(q, l->caps);
    cln__step *step = cln__step_new(l, "conv2d_direct", "conv2d_direct");
    define(l, step, q);
    cln__step_define(l, step, "UP=%d -DPH=%d -DPW=%d", q->up, q->ph, q->pw);
    cln__step_define(l, step, "TW=%d -DNB=%d -DROWS=%lld", t.width, t.blocks, (long long)t.rows);
    cln__step_define(l, step, "BIAS=%d", bias.id >= 0);
    cln__arg_tensor(step, x, CLN__READ);
    cln__arg_tensor(step, w, CLN__READ);
    cln__arg_tensor(step, bias.id >= 0 ? bias : w, CLN__READ); /* not read without BIAS */
    cln__arg_tensor(step, y, CLN__WRITE);
    int64_t items = q->n * (q->o / q->b / t.blocks) * cln__divide_up(q->ho, t.rows);
    cln__arg_int(step, items);
    cln__step_items(step, items, 1, 1);
    step->flops = flops;
    return l->status;
}

/* q is the convolution of dy with the flipped weights: its input channels are w's output channels. */
static cln_status grad_input(cln__lowering *l, const cln__conv2d *p, const problem *q) {
    int64_t taps = (int64_t)q->kh * q->kw;
    cln_tensor flipped = cln__scratch(l, taps * q->c * q->o);
    cln__step *step = cln__step_new(l, "conv2d_direct", "conv2d_direct_flip");
    cln__step_define(l, step, "B=%d", q->b);
    cln__arg_tensor(step, p->w, CLN__READ);
    cln__arg_tensor(step, flipped, CLN__WRITE);
    cln__arg_int(step, taps);
    cln__arg_int(step, q->o);
    cln__arg_int(step, q->c);
    cln__step_items(step, taps * (q->c / q->b) * (q->o / q->b), 1, 1);
    return convolve(l, q, p->y, flipped, CLN_NO_TENSOR, p->x, cln__conv2d_flops(l, p));
}

static void grad_weight_reduce(cln__lowering *l, const cln__conv2d *p, const problem *q, cln_tensor sums,
                               int64_t parts) {
    int64_t vectors = q->kh * q->kw * q->c * q->o / q->b;
    cln__step *step = cln__step_new(l, "conv2d_direct_grad_weight", "conv2d_direct_grad_weight_reduce");
    cln__step_define(l, step, "B=%d", q->b);
    cln__arg_tensor(step, sums, CLN__READ);
    cln__arg_tensor(step, p->w, CLN__WRITE);
    cln__arg_int(step, vectors);
    cln__arg_int(step, parts);
    cln__step_items(step, vectors, 1, 1);
}

static cln_status grad_weight(cln__lowering *l, const cln__conv2d *p, const problem *q) {
    weight_tile t = weight_tile_choose(q, l->caps);
    cln_tensor sums = p->w;
    if (t.parts > 1)
        sums = cln__scratch(l, t.parts * q->kh * q->kw * q->c * q->o);
    cln__step *step = cln__step_new(l, "conv2d_direct_grad_weight", "conv2d_direct_grad_weight");
    define(l, step, q);
    cln__step_define(l, step, "P=%d", q->pw);
    cln__step_define(l, step, "TC=%d -DTK=%d -DNB=%d", t.channels, t.taps, t.blocks);
    cln__arg_tensor(step, p->x, CLN__READ);
    cln__arg_tensor(step, p->y, CLN__READ);
    cln__arg_tensor(step, sums, CLN__WRITE);
    cln__arg_int(step, q->n);
    cln__arg_int(step, t.parts);
    cln__step_items(step, t.parts * t.tiles, 1, 1);
    step->flops = cln__conv2d_flops(l, p);
    if (t.parts > 1)
        grad_weight_reduce(l, p, q, sums, t.parts);
    return l->status;
}

static cln_status lower(cln__lowering *l, cln__conv2d *p) {
    problem q = problem_of(l, p);
    if (p->pass == CLN__FORWARD)
        return convolve(l, &q, p->x, p->w, p->bias, p->y, cln__conv2d_flops(l, p));
    return p->pass == CLN__GRAD_INPUT ? grad_input(l, p, &q) : grad_weight(l, p, &q);
}

/* --- alternatives --- */

enum { ALTERNATIVES = 4 };

/* The cheapest so far, in order; the first is the variant's own choice. */
typedef struct ranking {
    int count;
    double cost[ALTERNATIVES + 1];
    weight_tile of[ALTERNATIVES + 1]; /* a tile as {width, 1, blocks} */
} ranking;

/* Of equal ones the earlier comes first, as where one is chosen. */
static void rank(ranking *r, double cost, int channels, int taps, int blocks) {
    if (r->count == ALTERNATIVES + 1 && cost >= r->cost[ALTERNATIVES])
        return;
    int at = r->count == ALTERNATIVES + 1 ? ALTERNATIVES : r->count++;
    for (; at > 0 && r->cost[at - 1] > cost; at--) {
        r->cost[at] = r->cost[at - 1];
        r->of[at] = r->of[at - 1];
    }
    r->cost[at] = cost;
    r->of[at] = (weight_tile){channels, taps, blocks, 0, 0};
}

static void rank_tiles(const problem *q, ranking *r) {
    int64_t columns = cln__divide_up(q->wo, q->up), out_blocks = q->o / q->b;
    for (int blocks = 1; blocks <= MAX_BLOCKS; blocks++)
        for (int width = 1; out_blocks % blocks == 0 && width * blocks <= MAX_SUMS && width <= columns; width++)
            rank(r, tile_cost(columns, width, blocks), width, 1, blocks);
}

static void rank_weight_tiles(const problem *q, ranking *r) {
    for (int blocks = 1; blocks <= MAX_BLOCKS; blocks++)
        for (int channels = 1; channels <= MAX_SUMS; channels++)
            for (int taps = 1; taps <= q->kw && taps <= MAX_SUMS; taps++) {
                weight_tile t = {channels, taps, blocks, 0, 0};
                if (weight_tile_fits(q, &t))
                    rank(r, 1 / weight_tile_rate(channels, taps, blocks), channels, taps, blocks);
            }
}

static bool alternative(const cln__lowering *l, const cln__conv2d *p, int index, char text[CLN__PARAMETERS]) {
    problem q = problem_of(l, p);
    ranking r = {.count = 0};
    bool weight = p->pass == CLN__GRAD_WEIGHT;
    (weight ? rank_weight_tiles : rank_tiles)(&q, &r);
    if (index + 1 >= r.count)
        return false;
    const weight_tile *t = &r.of[index + 1];
    if (weight)
        snprintf(text, CLN__PARAMETERS, "TC=%d TK=%d NB=%d", t->channels, t->taps, t->blocks);
    else
        snprintf(text, CLN__PARAMETERS, "TW=%d NB=%d", t->channels, t->blocks);
    return true;
}

const cln__conv2d_variant cln__conv2d_direct = {
    .name = "direct", .refuses = refuses, .lower = lower, .alternative = alternative};
