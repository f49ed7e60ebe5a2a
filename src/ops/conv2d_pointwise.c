/* conv2d's pointwise variant: lowers 1x1 convolutions, with everything that may be fused, to the kernels of
 * cl/conv2d_pointwise.cl. For CPUs; any number and size of images. */
#include "conv2d_fused.h"

enum {
    CHUNK = 16,        /* pixels that the kernels stage at a time */
    GRAD_CHUNK = 32,   /* backward more, since each chunk adds to all of dw */
    FEW_BLOCKS = 16,   /* channel blocks that private arrays hold: usually, */
    MANY_BLOCKS = 256, /* and at most */
    ITEMS = 8,         /* for each core */
    GRAD_ITEMS = 4,    /* fewer, since each has a dw of its own */
};

static const char *refuses(const cln__lowering *l, const cln__conv2d *p) {
    cln__layout x = cln__layout_of(l, p->x), y = cln__layout_of(l, p->y);
    if (p->a.kernel_h != 1 || p->a.kernel_w != 1 || p->a.stride != 1 || p->a.padding != 0)
        return "it is not 1x1 with stride 1 and no padding";
    if (x.block != y.block)
        return "its input is planar";
    int64_t blocks = cln__most(x.stored, y.stored) / y.block, held = blocks <= FEW_BLOCKS ? FEW_BLOCKS : MANY_BLOCKS;
    if (blocks > held || 2 * held * GRAD_CHUNK * y.block * (int64_t)sizeof(float) > l->caps->private_bytes)
        return "it has more channels than fit an item's private memory";
    return cln__fused_refuses(l, p);
}

static int define_load(cln__lowering *l, cln__step *step, const cln__conv2d *p, int chunk) {
    int64_t blocks = cln__most(cln__blocks(l, p->x), cln__blocks(l, p->y));
    cln__step_define(l, step, "B=%d -DCHUNK=%d", cln__layout_of(l, p->y).block, chunk);
    cln__step_define(l, step, "BLOCKS=%d", blocks <= FEW_BLOCKS ? FEW_BLOCKS : MANY_BLOCKS);
    return cln__fused_load(l, step, p);
}

/* Of each of the first 16 channel blocks of x, how many lanes are in use, less 1: four bits a block, in two numbers. */
static void arg_lanes(cln__lowering *l, cln__step *step, cln_tensor x) {
    cln__layout layout = cln__layout_of(l, x);
    int64_t channels = cln__shape_of(l, x).c;
    uint32_t lanes[2] = {0, 0};
    for (int64_t c = 0; c < channels; c++) { /* ascending, so the last of a block counts */
        int64_t block = layout.map[c] / layout.block, lane = layout.map[c] % layout.block;
        if (block < 16)
            lanes[block / 8] = (lanes[block / 8] & ~(15u << block % 8 * 4)) | (uint32_t)lane << block % 8 * 4;
    }
    cln__arg_int(step, (int32_t)lanes[0]);
    cln__arg_int(step, (int32_t)lanes[1]);
}

static cln_status forward(cln__lowering *l, cln__conv2d *p) {
    int64_t image = p->xs.h * p->xs.w, pixels = p->xs.n * image;
    int chunk = cln__conv2d_parameter(p->parameters, "CHUNK", CHUNK);
    int each = cln__conv2d_parameter(p->parameters, "ITEMS", ITEMS);
    cln__shares shares = cln__shares_of(l, cln__divide_up(pixels, chunk), each);
    p->moment_parts = cln__rows_of(l, p->moments ? shares.items : 0, p->y, 3);
    cln__step *step = cln__step_new(l, "conv2d_pointwise", "conv2d_pointwise");
    int given = define_load(l, step, p, chunk);
    cln__step_define(l, step, "POOLED=%d", p->pooled);
    given |= cln__fused_forward(l, step, p);
    cln__arg_int(step, shares.per_item * chunk);
    cln__arg_int(step, pixels);
    cln__arg_int(step, image);
    cln__arg_int(step, p->xs.w);
    cln__arg_int(step, cln__channels_summed(l, p->x));
    arg_lanes(l, step, p->x);
    cln__arg_int(step, cln__blocks(l, p->x));
    cln__arg_int(step, cln__blocks(l, p->y));
    cln__arg_int(step, given);
    cln__step_items(step, shares.items, 1, 1);
    return l->status;
}

static cln_status backward(cln__lowering *l, cln__conv2d *p) {
    int64_t image = p->xs.h * p->xs.w, pixels = p->xs.n * image;
    int chunk = cln__conv2d_parameter(p->parameters, "CHUNK", GRAD_CHUNK);
    int each = cln__conv2d_parameter(p->parameters, "ITEMS", GRAD_ITEMS);
    cln__shares shares = cln__shares_of(l, cln__divide_up(pixels, chunk), each);
    cln__fused_rows rows = cln__fused_rows_of(l, p, shares.items);
    cln__step *step = cln__step_new(l, "conv2d_pointwise_grad", "conv2d_pointwise_grad");
    int given = define_load(l, step, p, chunk);
    given |= cln__fused_backward(l, step, p, &rows);
    cln__arg_int(step, shares.per_item * chunk);
    cln__arg_int(step, pixels);
    cln__arg_int(step, image);
    cln__arg_int(step, cln__channels_summed(l, p->x));
    cln__arg_int(step, cln__channels_summed(l, p->y));
    cln__arg_int(step, cln__blocks(l, p->x));
    cln__arg_int(step, cln__blocks(l, p->y));
    cln__arg_int(step, given);
    cln__step_items(step, shares.items, 1, 1);
    return cln__fused_rows_sum(l, p, &rows);
}

static cln_status lower(cln__lowering *l, cln__conv2d *p) {
    return p->pass == CLN__FORWARD ? forward(l, p) : backward(l, p);
}

static bool alternative(const cln__lowering *l, const cln__conv2d *p, int index, char text[CLN__PARAMETERS]) {
    static const char *const forwards[] = {"ITEMS=4", "ITEMS=16", "CHUNK=32", NULL};
    static const char *const backwards[] = {"ITEMS=2", "ITEMS=8", "CHUNK=16", "CHUNK=64", NULL};
    (void)l;
    return cln__conv2d_alternative(p->pass == CLN__FORWARD ? forwards : backwards, index, text);
}

const cln__conv2d_variant cln__conv2d_pointwise = {
    .name = "pointwise", .fuses = true, .pools = true, .refuses = refuses, .lower = lower, .alternative = alternative};
