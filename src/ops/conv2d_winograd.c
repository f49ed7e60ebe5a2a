/* conv2d's winograd variant: lowers to the fused Winograd kernels of cl/conv2d_winograd.cl and
 * cl/conv2d_winograd_grad.cl, and chooses their tiles from the shape. For CPUs, which hold an item's inputs and
 * transformed tiles in private memory; filters of 3x3 with padding 1 and of 5x5 with padding 2, stride 1. */
#include "conv2d_fused.h"

enum {
    POINTS = 6,
    SQUARE = POINTS * POINTS,
    WIDE_TILES = 16, /* register tiles: tiles (or channels) by one block; by two or three */
    NARROW_TILES = 8,
    BACKWARD_TILES = 16,     /* transformed at once: enough to pay for reading and writing dU */
    MAX_IMAGES = 16,         /* of a patch */
    PATCH_KIB = 300,         /* staged at once, of x and dx: leaves half of a usual second-level cache */
    SCRATCH_BYTES = 3 << 20, /* private memory of an item: threads have stacks of 8 MiB. What is not touched costs
                                nothing, so all share the size, and with it programs */
    FORWARD_ITEMS = 8,       /* for each core, */
    BACKWARD_ITEMS = 4       /* each of which leaves partial gradients of the weights */
};

/* See cl/conv2d_winograd.cl for the letters. */
typedef struct problem {
    int64_t n, h, w, c_blocks, o_blocks;
    int b, k, m;
    bool backward, dx;
    int64_t tile_rows, tile_columns;
    int64_t tiles;        /* transformed at once: T */
    int64_t images, band; /* of a patch */
    cln__shares shares;   /* of the images */
} problem;

/* Blocks of a register tile. */
static int blocks_of(int64_t blocks) {
    return blocks % 3 == 0 ? 3 : blocks % 2 == 0 ? 2 : 1;
}

static int tiles_of(int64_t blocks) {
    return blocks_of(blocks) == 1 ? WIDE_TILES : NARROW_TILES;
}

/* Vectors. */
static int64_t staged_size(const problem *q) {
    return q->images * q->c_blocks * (q->band * q->m + q->k - 1) * (q->tile_columns * q->m + q->k - 1);
}

static int64_t scratch_size(const problem *q) {
    int64_t c = q->c_blocks, o = q->o_blocks, points = SQUARE * (q->tiles + 1);
    if (!q->backward)
        return staged_size(q) + points * (c + o) + 3 * o;
    int64_t for_dx = q->dx ? staged_size(q) + points * c : 0;
    return staged_size(q) + points * (c + o) + for_dx + SQUARE * q->b * c * o + 2 * c + o;
}

static int64_t scratch_bytes(const problem *q) {
    return scratch_size(q) * q->b * (int64_t)sizeof(float);
}

/* The fewest images that fill the last of their tiles' batches well. */
static void images_choose(problem *q) {
    double best = 0;
    for (int64_t images = 1; images <= cln__least(q->n, MAX_IMAGES); images++) {
        int64_t tiles = images * q->tile_rows * q->tile_columns;
        double full = (double)tiles / (double)cln__round_up(tiles, q->tiles);
        if (full > best + 0.03) {
            best = full;
            q->images = images;
        }
    }
}

static void patch_choose(problem *q, int kib) {
    q->band = q->tile_rows;
    images_choose(q);
    int64_t bytes = (int64_t)kib << 10,
            vectors = bytes / (q->backward && q->dx ? 2 : 1) / (q->b * (int64_t)sizeof(float));
    while (staged_size(q) > vectors && (q->images > 1 || q->band > 1))
        if (q->images > 1)
            q->images = cln__divide_up(q->images, 2);
        else
            q->band = cln__divide_up(q->band, 2);
}

static problem problem_of(const cln__lowering *l, const cln__conv2d *p) {
    int b = cln__layout_of(l, p->y).block;
    problem q = {.n = p->ys.n, .h = p->ys.h, .w = p->ys.w, .b = b, .k = p->a.kernel_h, .images = 1};
    q.c_blocks = cln__layout_of(l, p->x).stored / b;
    q.o_blocks = cln__layout_of(l, p->y).stored / b;
    q.m = POINTS + 1 - q.k;
    q.backward = p->pass == CLN__BACKWARD;
    q.dx = q.backward && p->dx.id >= 0;
    q.tile_rows = cln__divide_up(q.h, q.m);
    q.tile_columns = cln__divide_up(q.w, q.m);
    q.tiles = cln__conv2d_parameter(p->parameters, "T", q.backward ? BACKWARD_TILES : tiles_of(q.o_blocks));
    patch_choose(&q, cln__conv2d_parameter(p->parameters, "PATCH", PATCH_KIB));
    int each = cln__conv2d_parameter(p->parameters, "ITEMS", q.backward ? BACKWARD_ITEMS : FORWARD_ITEMS);
    cln__shares patches = cln__shares_of(l, cln__divide_up(q.n, q.images), each);
    q.shares = (cln__shares){.items = patches.items, .per_item = patches.per_item * q.images};
    return q;
}

/* --- what it refuses --- */

static int64_t scratch_limit(const cln__lowering *l) {
    return cln__least(SCRATCH_BYTES, l->caps->private_bytes);
}

static const char *refuses(const cln__lowering *l, const cln__conv2d *p) {
    const cln__conv2d_attrs *a = &p->a;
    const char *reason = cln__fused_refuses(l, p);
    if (reason)
        return reason;
    if (a->kernel_h != a->kernel_w || (a->kernel_h != 3 && a->kernel_h != 5))
        return "its filter is neither 3x3 nor 5x5";
    if (a->stride != 1)
        return "its stride is not 1";
    if (a->padding != a->kernel_h / 2)
        return "its padding changes the size";
    cln__layout x = cln__layout_of(l, p->x), y = cln__layout_of(l, p->y);
    if (x.block != y.block)
        return "input and output have channel blocks of different sizes";
    if (x.block % 4 != 0)
        return "its channel blocks are no multiples of 4";
    problem q = problem_of(l, p);
    if (scratch_bytes(&q) > scratch_limit(l))
        return "a work-item would need too much private memory";
    return NULL;
}

/* --- lowering --- */

/* The transformed weights: u, or ut for a backward pass. */
static cln_tensor weights_transform(cln__lowering *l, const cln__conv2d *p, const problem *q) {
    int64_t inputs = q->c_blocks * q->b, outputs = q->o_blocks * q->b;
    cln_tensor u = cln__scratch(l, SQUARE * inputs * outputs);
    cln__step *step = cln__step_new(l, "conv2d_winograd", "conv2d_winograd_weights");
    cln__step_define(l, step, "B=%d -DK=%d", q->b, q->k);
    cln__arg_tensor(step, p->w, CLN__READ);
    cln__arg_tensor(step, u, CLN__WRITE);
    cln__arg_int(step, inputs);
    cln__arg_int(step, outputs);
    cln__arg_int(step, q->backward);
    cln__step_items(step, inputs * outputs / q->b, 1, 1);
    return u;
}

/* In training, blocks as large as a cache line are written past the cache: the backward pass reads them much later. In
 * evaluation the next layer does, and then the memory is used again. */
enum { LINE_FLOATS = 16 };

static void define(cln__lowering *l, cln__step *step, const problem *q) {
    cln__step_define(l, step, "B=%d -DK=%d -DT=%lld", q->b, q->k, (long long)q->tiles);
    cln__step_define(l, step, "SCRATCH=%lld", (long long)(scratch_limit(l) / (q->b * (int64_t)sizeof(float))));
    cln__step_define(l, step, "EDGES=%d", q->h % q->m != 0 || q->w % q->m != 0);
}

/* A vector that may be missing: the kernel then does not touch the argument. */
static void arg_vector(cln__step *step, cln_tensor x, cln_tensor stand_in) {
    cln__arg_tensor(step, x.id >= 0 ? x : stand_in, CLN__READ);
}

/* Which vectors there are, in the bits of cl/winograd.clh. */
static int given(const cln__conv2d *p) {
    const cln_tensor vectors[] = {p->load_scale, p->load_shift, p->dy_scale, p->dy_shift, p->dx_scale};
    int bits = 0;
    for (int i = 0; i < 5; i++)
        bits |= (vectors[i].id >= 0) << i;
    return bits;
}

/* Images, patches and sizes, with which both kernels go on. */
static void arg_sizes(cln__step *step, const problem *q) {
    cln__arg_int(step, q->n);
    cln__arg_int(step, q->shares.per_item);
    cln__arg_int(step, q->images);
    cln__arg_int(step, q->band);
    cln__arg_int(step, q->h);
    cln__arg_int(step, q->w);
}

static void launch(cln__step *step, const cln__conv2d *p, const problem *q, double flops) {
    cln__arg_int(step, q->c_blocks);
    cln__arg_int(step, q->o_blocks);
    cln__arg_int(step, given(p));
    cln__arg_int(step, p->load_act);
    cln__step_items(step, q->shares.items, 1, 1);
    step->local[0] = step->local[1] = step->local[2] = 1;
    step->flops = flops;
}

static cln_status forward(cln__lowering *l, cln__conv2d *p, const problem *q) {
    cln_tensor u = weights_transform(l, p, q);
    p->moment_parts = cln__rows_of(l, p->moments ? q->shares.items : 0, p->y, 3);
    cln__step *step = cln__step_new(l, "conv2d_winograd", "conv2d_winograd");
    define(l, step, q);
    cln__step_define(l, step, "TT=%d -DNB=%d", tiles_of(q->o_blocks), blocks_of(q->o_blocks));
    cln__step_define(l, step, "ACCUMULATE=%d -DACT=%d", p->accumulate, (int)p->act);
    cln__step_define(l, step, "STREAM=%d", l->training && q->b == LINE_FLOATS && !p->accumulate);
    cln__arg_tensor(step, p->x, CLN__READ);
    cln__arg_tensor(step, u, CLN__READ);
    cln__arg_tensor(step, p->y, p->accumulate ? CLN__READ_WRITE : CLN__WRITE);
    arg_vector(step, p->load_scale, u);
    arg_vector(step, p->load_shift, u);
    cln__arg_optional(l, step, "BIAS", p->bias, u, CLN__READ);
    cln__arg_optional(l, step, "MOMENTS", p->moment_parts.partial, u, CLN__WRITE);
    arg_sizes(step, q);
    cln__arg_int(step, cln__channels_summed(l, p->x));
    launch(step, p, q, cln__conv2d_flops(l, p));
    return l->status;
}

static cln_status backward(cln__lowering *l, cln__conv2d *p, const problem *q) {
    bool sums = q->dx && p->sums_of.id >= 0;
    cln_tensor ut = q->dx ? weights_transform(l, p, q) : CLN_NO_TENSOR;
    cln__parts weight_rows = cln__weight_rows_of(l, q->shares.items, p);
    cln__parts bias_rows = cln__rows_of(l, p->db.id >= 0 ? q->shares.items : 0, p->y, 1);
    p->sum_parts = cln__rows_of(l, sums ? q->shares.items : 0, p->x, 2);
    cln__step *step = cln__step_new(l, "conv2d_winograd_grad", "conv2d_winograd_grad");
    define(l, step, q);
    int c_tile = blocks_of(q->c_blocks), o_tile = blocks_of(q->o_blocks);
    cln__step_define(l, step, "TT=%d -DNB=%d", tiles_of(q->c_blocks), c_tile);
    cln__step_define(l, step, "WC=%lld -DWB=%d", (long long)cln__least(q->b, tiles_of(q->o_blocks)), o_tile);
    cln__step_define(l, step, "KEEP_D=%d -DDX_BEFORE=%d -DDX_AFTER=%d", p->keep_d, q->dx && p->dx_before,
                     q->dx && p->dx_after);
    cln__step_define(l, step, "MASK=%d", q->dx ? (int)p->mask : CLN_IDENTITY);
    cln__step_define(l, step, "STREAM=%d", q->b == LINE_FLOATS && !p->dx_before && !p->dx_after);
    cln__arg_tensor(step, p->x, CLN__READ);
    arg_vector(step, p->load_scale, p->x);
    arg_vector(step, p->load_shift, p->x);
    cln__arg_tensor(step, p->dy, p->keep_d ? CLN__READ_WRITE : CLN__READ);
    cln__arg_tensor(step, p->dy_slope.id >= 0 ? p->y : p->x, CLN__READ);
    arg_vector(step, p->dy_scale, p->x);
    cln__arg_optional(l, step, "DY_SLOPE", p->dy_slope, p->x, CLN__READ);
    arg_vector(step, p->dy_shift, p->x);
    cln__arg_optional(l, step, "BIAS_SUM", bias_rows.partial, p->x, CLN__WRITE);
    cln__arg_tensor(step, weight_rows.partial, CLN__WRITE);
    cln_tensor none = p->x;
    cln__arg_tensor(step, q->dx ? ut : none, CLN__READ);
    cln__arg_optional(l, step, "DX", p->dx, none, p->dx_before || p->dx_after ? CLN__READ_WRITE : CLN__WRITE);
    arg_vector(step, p->dx_scale, none);
    cln__arg_tensor(step, sums ? p->sums_of : none, CLN__READ);
    cln__arg_tensor(step, sums ? p->sums_mean : none, CLN__READ);
    cln__arg_tensor(step, sums ? p->sums_invstd : none, CLN__READ);
    cln__arg_optional(l, step, "SUMS", p->sum_parts.partial, none, CLN__WRITE);
    arg_sizes(step, q);
    cln__arg_int(step, cln__channels_summed(l, p->x));
    cln__arg_int(step, cln__channels_summed(l, p->y));
    launch(step, p, q, cln__conv2d_flops(l, p) * (q->dx ? 2 : 1));
    cln__weight_rows_sum(l, &weight_rows, p);
    if (p->db.id >= 0)
        cln__parts_sum(l, &bias_rows, 0, p->db);
    return l->status;
}

static cln_status lower(cln__lowering *l, cln__conv2d *p) {
    problem q = problem_of(l, p);
    return q.backward ? backward(l, p, &q) : forward(l, p, &q);
}

static bool alternative(const cln__lowering *l, const cln__conv2d *p, int index, char text[CLN__PARAMETERS]) {
    static const char *const forwards[] = {"ITEMS=4", "ITEMS=16", "PATCH=150", "PATCH=600", NULL};
    static const char *const backwards[] = {"ITEMS=2", "ITEMS=8", "PATCH=150", "PATCH=600", "T=32", NULL};
    (void)l;
    return cln__conv2d_alternative(p->pass == CLN__FORWARD ? forwards : backwards, index, text);
}

const cln__conv2d_variant cln__conv2d_winograd = {
    .name = "winograd", .fuses = true, .refuses = refuses, .lower = lower, .alternative = alternative};
