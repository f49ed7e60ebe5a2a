/* The host side that the fused convolutions share: see conv2d_fused.h. */
#include "conv2d_fused.h"

#include "fuse.h"

cln__shares cln__shares_of(const cln__lowering *l, int64_t units, int each) {
    int64_t items = cln__least(units, (int64_t)l->caps->compute_units * each);
    int64_t per_item = cln__divide_up(units, items);
    return (cln__shares){.items = cln__divide_up(units, per_item), .per_item = per_item};
}

void cln__arg_optional(cln__lowering *l, cln__step *step, const char *name, cln_tensor x, cln_tensor stand_in,
                       cln__access access) {
    bool given = x.id >= 0;
    cln__step_define(l, step, "%s=%d", name, given);
    cln__arg_tensor(step, given ? x : stand_in, given ? access : CLN__READ);
}

/* --- partial results --- */

cln__parts cln__rows_of(cln__lowering *l, int64_t items, cln_tensor like, int numbers) {
    cln__layout layout = cln__layout_of(l, like);
    cln__parts rows = {.count = items, .row = numbers * layout.stored, .block = layout.block, .stored = layout.stored};
    rows.partial = items > 0 ? cln__scratch(l, rows.count * rows.row) : CLN_NO_TENSOR;
    return rows;
}

static int64_t weight_elements(const cln__lowering *l, const cln__conv2d *p) {
    int64_t in = cln__layout_of(l, p->x).stored, out = cln__layout_of(l, p->y).stored;
    return in * out * p->a.kernel_h * p->a.kernel_w;
}

/* The whole gradient counts as one number of so many channels. */
cln__parts cln__weight_rows_of(cln__lowering *l, int64_t items, const cln__conv2d *p) {
    int64_t elements = weight_elements(l, p);
    cln__parts rows = {.count = items, .row = elements, .block = cln__layout_of(l, p->y).block, .stored = elements};
    rows.partial = items > 1 ? cln__scratch(l, rows.count * rows.row) : p->dw;
    return rows;
}

void cln__weight_rows_sum(cln__lowering *l, const cln__parts *rows, const cln__conv2d *p) {
    if (rows->count > 1)
        cln__parts_sum(l, rows, 0, p->dw);
}

/* --- weights --- */

cln_tensor cln__weight_turned(cln__lowering *l, const cln__conv2d *p) {
    cln__layout x = cln__layout_of(l, p->x), y = cln__layout_of(l, p->y);
    int64_t taps = (int64_t)p->a.kernel_h * p->a.kernel_w;
    cln_tensor turned = cln__scratch(l, weight_elements(l, p));
    cln__step *step = cln__step_new(l, "conv2d_direct", "conv2d_direct_flip");
    cln__step_define(l, step, "B=%d", y.block);
    cln__arg_tensor(step, p->w, CLN__READ);
    cln__arg_tensor(step, turned, CLN__WRITE);
    cln__arg_int(step, taps);
    cln__arg_int(step, x.stored);
    cln__arg_int(step, y.stored);
    cln__step_items(step, taps * (x.stored / y.block) * (y.stored / y.block), 1, 1);
    return turned;
}

int64_t cln__channels_summed(const cln__lowering *l, cln_tensor x) {
    cln__layout layout = cln__layout_of(l, x);
    return layout.dense ? cln__shape_of(l, x).c : layout.stored;
}

/* --- arguments --- */

/* Numbered as in cl/fused.clh, whatever the order in cln_activation. */
static int activation_number(cln_activation act) {
    return act == CLN_RELU ? 1 : act == CLN_LEAKY_RELU ? 2 : 0;
}

/* Bits of `given` in cl/conv2d_fused.clh. */
enum {
    LOAD_SCALE = 1,
    LOAD_SHIFT = 2,
    BIAS = 4,
    DY_SCALE = 8,
    DY_SHIFT = 16,
    DX_SCALE = 32,
    DB = 64,
    STREAM = 128,
};

/* Adds the argument `x`, or `stand_in`, which is not touched; returns `bit` or 0. */
static int arg_given(cln__step *step, int bit, cln_tensor x, cln_tensor stand_in, cln__access access) {
    bool given = x.id >= 0;
    cln__arg_tensor(step, given ? x : stand_in, given ? access : CLN__READ);
    return given ? bit : 0;
}

int cln__fused_load(cln__lowering *l, cln__step *step, const cln__conv2d *p) {
    cln__arg_tensor(step, p->x, CLN__READ);
    int given = arg_given(step, LOAD_SCALE, p->load_scale, p->x, CLN__READ);
    given |= arg_given(step, LOAD_SHIFT, p->load_shift, p->x, CLN__READ);
    cln__step_define(l, step, "LOAD_ACT=%d", activation_number(p->load_act));
    return given;
}

int cln__fused_forward(cln__lowering *l, cln__step *step, const cln__conv2d *p) {
    int given = !p->accumulate && cln__streams(l, p->y) ? STREAM : 0;
    cln__step_define(l, step, "ACCUMULATE=%d -DACT=%d", p->accumulate, activation_number(p->act));
    cln__arg_tensor(step, p->w, CLN__READ);
    given |= arg_given(step, BIAS, p->bias, p->w, CLN__READ);
    cln__arg_tensor(step, p->y, p->accumulate ? CLN__READ_WRITE : CLN__WRITE);
    cln__arg_optional(l, step, "MOMENTS", p->moments ? p->moment_parts.partial : CLN_NO_TENSOR, p->w, CLN__WRITE);
    step->flops = cln__conv2d_flops(l, p);
    return given;
}

cln__fused_rows cln__fused_rows_of(cln__lowering *l, cln__conv2d *p, int64_t items) {
    cln__fused_rows rows = {.turned = CLN_NO_TENSOR};
    if (p->dx.id >= 0)
        rows.turned = cln__weight_turned(l, p);
    rows.dw = cln__weight_rows_of(l, items, p);
    rows.db = cln__rows_of(l, p->db.id >= 0 ? items : 0, p->y, 1);
    p->sum_parts = cln__rows_of(l, p->dx.id >= 0 && p->sums_of.id >= 0 ? items : 0, p->x, 2);
    return rows;
}

int cln__fused_backward(cln__lowering *l, cln__step *step, const cln__conv2d *p, const cln__fused_rows *rows) {
    bool dx = p->dx.id >= 0, added_to = p->dx_before || p->dx_after;
    cln_tensor sums = dx ? p->sum_parts.partial : CLN_NO_TENSOR;
    bool summed = sums.id >= 0;
    int given = dx && !added_to && cln__streams(l, p->dx) ? STREAM : 0;
    cln__arg_tensor(step, dx ? rows->turned : p->w, CLN__READ);
    cln__arg_tensor(step, p->dy_slope.id >= 0 ? p->y : p->dy, CLN__READ); /* else y is not read, and need not be kept */
    cln__step_define(l, step, "KEEP_D=%d", p->keep_d);
    cln__arg_tensor(step, p->dy, p->keep_d ? CLN__READ_WRITE : CLN__READ);
    given |= arg_given(step, DY_SCALE, p->dy_scale, p->dy, CLN__READ);
    cln__arg_optional(l, step, "DY_SLOPE", p->dy_slope, p->dy, CLN__READ);
    given |= arg_given(step, DY_SHIFT, p->dy_shift, p->dy, CLN__READ);
    cln__arg_tensor(step, rows->dw.partial, CLN__WRITE);
    given |= arg_given(step, DB, rows->db.partial, p->x, CLN__WRITE);
    cln__step_define(l, step, "DX_BEFORE=%d -DDX_AFTER=%d", dx && p->dx_before, dx && p->dx_after);
    cln__step_define(l, step, "MASK=%d", dx ? activation_number(p->mask) : 0);
    cln__arg_optional(l, step, "DX", p->dx, p->x, added_to ? CLN__READ_WRITE : CLN__WRITE);
    cln__arg_tensor(step, summed ? p->sums_of : p->x, CLN__READ);
    cln__arg_tensor(step, summed ? p->sums_mean : p->x, CLN__READ);
    cln__arg_tensor(step, summed ? p->sums_invstd : p->x, CLN__READ);
    cln__arg_optional(l, step, "SUMS", sums, p->x, CLN__WRITE);
    given |= arg_given(step, DX_SCALE, dx ? p->dx_scale : CLN_NO_TENSOR, p->x, CLN__READ);
    step->flops = (dx ? 2 : 1) * cln__conv2d_flops(l, p);
    return given;
}

cln_status cln__fused_rows_sum(cln__lowering *l, const cln__conv2d *p, const cln__fused_rows *rows) {
    cln__weight_rows_sum(l, &rows->dw, p);
    if (rows->db.count > 0)
        cln__parts_sum(l, &rows->db, 0, p->db);
    return l->status;
}

/* --- what they refuse --- */

static bool aligned(const cln__layout *x) {
    return (x->offset | x->image | x->block_stride | x->pixel) % x->block == 0;
}

static bool gradients_aligned(const cln__lowering *l, const cln__conv2d *p) {
    cln__layout dy = cln__layout_of(l, p->dy), dx = cln__layout_of(l, p->dx.id >= 0 ? p->dx : p->dy);
    return aligned(&dy) && aligned(&dx);
}

static bool fits_int(const cln__layout *x, cln_shape shape) {
    return shape.h * shape.w * x->pixel <= INT32_MAX && shape.n * shape.h * shape.w <= INT32_MAX;
}

const char *cln__fused_refuses(const cln__lowering *l, const cln__conv2d *p) {
    cln__layout x = cln__layout_of(l, p->x), y = cln__layout_of(l, p->y);
    bool planar = x.block == 1 && y.block != 1;
    if (!l->caps->is_cpu)
        return "the device is not a CPU";
    if (p->a.groups > 1)
        return "it has groups";
    if (p->a.dilation > 1)
        return "it is dilated";
    if (!cln__fusible(p->load_act) || !cln__fusible(p->act) || !cln__fusible(p->mask))
        return "its activation cannot be fused";
    if (y.block == 1 || (x.block != y.block && (!planar || (p->pass == CLN__BACKWARD && p->dx.id >= 0))))
        return "input and output have channel blocks of different sizes";
    if (!aligned(&x) || !aligned(&y) || (p->pass == CLN__BACKWARD && !gradients_aligned(l, p)))
        return "its channel blocks are not aligned";
    if (!fits_int(&x, p->xs) || !fits_int(&y, p->ys) || weight_elements(l, p) > INT32_MAX)
        return "an image, the pixels or the weights exceed 2^31";
    return NULL;
}
