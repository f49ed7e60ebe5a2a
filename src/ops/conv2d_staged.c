/* conv2d's staged variant: lowers convolutions of any filter, stride and padding, with everything that may be fused, to
 * the kernels of cl/conv2d_staged.cl and cl/conv2d_staged_grad.cl. For CPUs; an item keeps a whole image in private
 * memory, so images must not be too large. */
#include "conv2d_fused.h"

enum {
    TILE = 8,              /* columns of a tile with two channel blocks */
    WIDE = 16,             /* and with one, if rows are so long */
    MAX_WEIGHTS = 12,      /* of a tile of dw, for each block, with planar x */
    ITEMS = 8,             /* for each core */
    GRAD_ITEMS = 4,        /* fewer, since each has a dw of its own */
    MAX_BLOCKS = 64,       /* channel blocks of x and y: their sums are private, too */
    STAGE_BYTES = 1 << 18, /* private arrays have this size, four or twelve times it: few sizes, few programs */
    MAX_FILTER = 64        /* rows or columns: keeps borders small */
};

/* Rows and columns of a staged image of x, and of d: see cl/conv2d_staged.clh. */
typedef struct stages {
    int64_t rows, columns, d_rows, d_columns;
    int64_t vectors; /* of both */
} stages;

/* The tensor that tiles make, y or dx, has an odd number of channel blocks: the last gets tiles of its own. */
static bool has_lone_block(const cln__lowering *l, const cln__conv2d *p) {
    return cln__blocks(l, p->pass == CLN__FORWARD ? p->y : p->x) % 2 != 0;
}

/* Those are wide unless the rows are short; without such a block, all kernels are compiled alike. */
static int lone_width(const cln__lowering *l, const cln__conv2d *p) {
    int64_t columns = p->pass == CLN__FORWARD ? p->ys.w : cln__divide_up(p->xs.w, p->a.stride);
    return has_lone_block(l, p) && columns <= TILE ? TILE : WIDE;
}

/* Tiles reach beyond the rows of what they make: forward into x, backward into d. */
static stages stages_of(const cln__lowering *l, const cln__conv2d *p) {
    cln__layout x = cln__layout_of(l, p->x), y = cln__layout_of(l, p->y);
    bool forward = p->pass == CLN__FORWARD;
    int64_t s = p->a.stride, padding = p->a.padding;
    int width = has_lone_block(l, p) ? lone_width(l, p) : TILE;
    int64_t reached = forward ? cln__divide_up(p->ys.w, width) * width : p->ys.w;
    stages q = {.rows = cln__most(p->xs.h + padding, (p->ys.h - 1) * s + p->a.kernel_h),
                .columns = cln__most(p->xs.w + padding, (reached - 1) * s + p->a.kernel_w)};
    q.vectors = cln__divide_up(x.stored * q.rows * q.columns, y.block);
    if (forward)
        return q;
    q.d_rows = (p->a.kernel_h - 1) / s + cln__most(p->ys.h, (p->xs.h - 1 + padding) / s + 1);
    q.d_columns = (p->a.kernel_w - 1) / s + cln__most(p->ys.w, (p->xs.w - 1 + padding) / s + width);
    q.vectors += y.stored / y.block * q.d_rows * q.d_columns;
    return q;
}

/* The size of the private array that holds so many vectors of `block` floats; 0 if none does. */
static int64_t stage_size(const cln__lowering *l, int64_t vectors, int block) {
    int64_t unit = STAGE_BYTES / (int64_t)sizeof(float) / block, size = 12 * unit;
    if (vectors <= 4 * unit)
        size = vectors <= unit ? unit : 4 * unit;
    return vectors <= size && size * block * (int64_t)sizeof(float) <= l->caps->private_bytes ? size : 0;
}

static const char *refuses(const cln__lowering *l, const cln__conv2d *p) {
    const char *reason = cln__fused_refuses(l, p);
    if (reason)
        return reason;
    cln__layout x = cln__layout_of(l, p->x), y = cln__layout_of(l, p->y);
    if (p->a.kernel_h > MAX_FILTER || p->a.kernel_w > MAX_FILTER || p->a.padding > MAX_FILTER ||
        p->a.stride > MAX_FILTER)
        return "the filter is too wide";
    if (cln__most(x.stored, y.stored) > MAX_BLOCKS * (int64_t)y.block || p->xs.h * p->xs.w > STAGE_BYTES * 12 ||
        !stage_size(l, stages_of(l, p).vectors, y.block))
        return "an image does not fit an item's private memory";
    return NULL;
}

static void define(cln__lowering *l, cln__step *step, const cln__conv2d *p, const stages *q) {
    cln__layout x = cln__layout_of(l, p->x), y = cln__layout_of(l, p->y);
    cln__step_define(l, step, "B=%d -DXB=%d -DS=%d", y.block, x.block, p->a.stride);
    cln__step_define(l, step, "TILE=%d -DWIDE=%d", TILE, lone_width(l, p));
    cln__step_define(l, step, "STAGE=%lld -DBLOCKS=%d", (long long)stage_size(l, q->vectors, y.block), MAX_BLOCKS);
}

static void arguments(cln__lowering *l, cln__step *step, const cln__conv2d *p, const stages *q,
                      const cln__shares *shares, int given) {
    int64_t sizes[] = {shares->per_item, p->xs.n,    p->xs.h, p->xs.w, p->a.padding,
                       q->rows,          q->columns, p->ys.h, p->ys.w};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        cln__arg_int(step, sizes[i]);
    if (p->pass == CLN__BACKWARD) {
        cln__arg_int(step, q->d_rows);
        cln__arg_int(step, q->d_columns);
    }
    cln__arg_int(step, p->a.kernel_h);
    cln__arg_int(step, p->a.kernel_w);
    cln__arg_int(step, cln__channels_summed(l, p->x));
    if (p->pass == CLN__BACKWARD)
        cln__arg_int(step, cln__channels_summed(l, p->y));
    cln__arg_int(step, cln__blocks(l, p->x));
    cln__arg_int(step, cln__blocks(l, p->y));
    cln__arg_int(step, given);
    cln__step_items(step, shares->items, 1, 1);
}

static cln_status forward(cln__lowering *l, cln__conv2d *p) {
    stages q = stages_of(l, p);
    cln__shares shares = cln__shares_of(l, p->xs.n, cln__conv2d_parameter(p->parameters, "ITEMS", ITEMS));
    p->moment_parts = cln__rows_of(l, p->moments ? shares.items : 0, p->y, 3);
    cln__step *step = cln__step_new(l, "conv2d_staged", "conv2d_staged");
    define(l, step, p, &q);
    int given = cln__fused_load(l, step, p);
    given |= cln__fused_forward(l, step, p);
    arguments(l, step, p, &q, &shares, given);
    return l->status;
}

/* A planar input has few channels: a tile of dw takes taps of a row as well. */
static void define_weight_tile(cln__lowering *l, cln__step *step, const cln__conv2d *p) {
    int64_t channels = cln__layout_of(l, p->x).stored, best_channels = 1, best_taps = 1;
    for (int64_t c = 1; c <= MAX_WEIGHTS && c <= channels; c++)
        for (int64_t taps = 1; c * taps <= MAX_WEIGHTS && taps <= p->a.kernel_w; taps++)
            if (channels % c == 0 && p->a.kernel_w % taps == 0 && c * taps > best_channels * best_taps) {
                best_channels = c;
                best_taps = taps;
            }
    cln__step_define(l, step, "TC=%lld -DTK=%lld", (long long)best_channels, (long long)best_taps);
}

static cln_status backward(cln__lowering *l, cln__conv2d *p) {
    stages q = stages_of(l, p);
    cln__shares shares = cln__shares_of(l, p->xs.n, cln__conv2d_parameter(p->parameters, "ITEMS", GRAD_ITEMS));
    cln__fused_rows rows = cln__fused_rows_of(l, p, shares.items);
    cln__step *step = cln__step_new(l, "conv2d_staged_grad", "conv2d_staged_grad");
    define(l, step, p, &q);
    if (cln__layout_of(l, p->x).block == 1)
        define_weight_tile(l, step, p);
    int given = cln__fused_load(l, step, p);
    given |= cln__fused_backward(l, step, p, &rows);
    arguments(l, step, p, &q, &shares, given);
    return cln__fused_rows_sum(l, p, &rows);
}

static cln_status lower(cln__lowering *l, cln__conv2d *p) {
    return p->pass == CLN__FORWARD ? forward(l, p) : backward(l, p);
}

static bool alternative(const cln__lowering *l, const cln__conv2d *p, int index, char text[CLN__PARAMETERS]) {
    static const char *const forwards[] = {"ITEMS=4", "ITEMS=16", NULL};
    static const char *const backwards[] = {"ITEMS=2", "ITEMS=8", NULL};
    (void)l;
    return cln__conv2d_alternative(p->pass == CLN__FORWARD ? forwards : backwards, index, text);
}

const cln__conv2d_variant cln__conv2d_staged = {
    .name = "staged", .fuses = true, .refuses = refuses, .lower = lower, .alternative = alternative};
