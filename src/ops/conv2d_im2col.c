/* conv2d's variant for any window without groups, by SGEMM of CLBlast over matrices of a chunk of images at a time:
 *
 *   columns  a row for each output pixel, the input pixels under its window: [pixels][taps * stored C]
 *   rows     a row for each output pixel: [pixels][stored O]
 *   w        as it lies: [taps * stored C][stored O]
 *
 *   forward      rows = columns * w,          rows unpacked to y, adding the bias
 *   grad_input   columns = rows * w^T,        columns unpacked to dx, summing what meets
 *   grad_weight  w += columns^T * rows,       chunk after chunk
 *
 * The kernels that pack and unpack are in cl/im2col.cl. */
#include "conv2d_im2col.h"

#include <string.h>

/* How one of the two matrices is made of its activation. */
typedef struct side {
    cln_tensor x;         /* the activation */
    cln__conv2d_attrs a;  /* its window; 1x1 for rows */
    cln_shape xs, pixels; /* its shape, and that whose pixels are the matrix's rows */
    bool is_matrix;       /* it is the matrix as it lies */
    cln_tensor matrix;    /* a workspace, or the activation */
    int64_t columns, ld;
} side;

typedef struct chunk {
    int64_t first, images;
} chunk;

/* Images whose matrices fit the workspace. */
static int64_t images_fitting(const cln__lowering *l, const cln__conv2d *p) {
    const uint64_t most_bytes = (uint64_t)64 << 20;
    uint64_t limit = l->caps->max_alloc_bytes / 4 < most_bytes ? l->caps->max_alloc_bytes / 4 : most_bytes;
    double taps = (double)p->a.kernel_h * p->a.kernel_w;
    double row = taps * (double)cln__layout_of(l, p->x).stored + (double)cln__layout_of(l, p->y).stored;
    double images = (double)limit / (sizeof(float) * row * (double)(p->ys.h * p->ys.w));
    return images < (double)p->ys.n ? (int64_t)images : p->ys.n;
}

const char *cln__conv2d_im2col_refuses(const cln__lowering *l, const cln__conv2d *p, const char *name) {
    bool forced = l->forced_variant && strcmp(l->forced_variant, name) == 0;
    if (p->a.groups > 1)
        return "groups";
    if (l->caps->is_cpu && !forced)
        return "slower than direct kernels on a CPU";
    return images_fitting(l, p) < 1 ? "the matrices of one image exceed the workspace" : NULL;
}

static const char *refuses(const cln__lowering *l, const cln__conv2d *p) {
    return cln__conv2d_im2col_refuses(l, p, "im2col");
}

/* Whether the channels of a pixel, and the pixels of all images, follow each other at one distance. */
static bool is_matrix(const cln__layout *layout, cln_shape s) {
    int64_t pixels = s.h * s.w;
    bool channels = layout->stored == layout->block || layout->block_stride == layout->block;
    return channels && (pixels == 1 || s.n == 1 || layout->image == pixels * layout->pixel);
}

static side side_make(cln__lowering *l, const cln__conv2d *p, cln_tensor x, const cln__conv2d_attrs *a, bool direct,
                      int64_t images) {
    cln__layout layout = cln__layout_of(l, x);
    side s = {.x = x, .a = *a, .xs = cln__shape_of(l, x), .pixels = p->ys, .matrix = x};
    bool plain = a->kernel_h == 1 && a->kernel_w == 1 && a->stride == 1 && a->padding == 0;
    s.is_matrix = direct && plain && is_matrix(&layout, s.xs);
    s.columns = a->kernel_h * a->kernel_w * layout.stored;
    s.ld = !s.is_matrix ? s.columns : s.xs.h * s.xs.w == 1 ? layout.image : layout.pixel;
    if (!s.is_matrix)
        s.matrix = cln__scratch(l, images * p->ys.h * p->ys.w * s.columns);
    return s;
}

/* Elements from the matrix's tensor to the chunk's first row. */
static int64_t side_offset(const cln__lowering *l, const side *s, chunk c) {
    return s->is_matrix ? c.first * cln__layout_of(l, s->x).image : 0;
}

static cln__step *new_step(cln__lowering *l, const side *s, const char *kernel, bool bias) {
    cln__step *step = cln__step_new(l, "im2col", kernel);
    cln__step_define(l, step, "B=%d", cln__layout_of(l, s->x).block);
    cln__step_define(l, step, "KH=%d", s->a.kernel_h);
    cln__step_define(l, step, "KW=%d", s->a.kernel_w);
    cln__step_define(l, step, "S=%d", s->a.stride);
    cln__step_define(l, step, "P=%d", s->a.padding);
    cln__step_define(l, step, "D=%d", s->a.dilation);
    cln__step_define(l, step, "BIAS=%d", bias);
    return step;
}

static void sizes(cln__step *step, const side *s, chunk c) {
    cln__arg_int(step, s->xs.h);
    cln__arg_int(step, s->xs.w);
    cln__arg_int(step, s->pixels.h);
    cln__arg_int(step, s->pixels.w);
    cln__arg_int(step, c.first);
}

static void pack(cln__lowering *l, const side *s, chunk c) {
    if (s->is_matrix)
        return;
    cln__step *step = new_step(l, s, "im2col_pack", false);
    cln__arg_tensor(step, s->x, CLN__READ);
    cln__arg_tensor(step, s->matrix, CLN__WRITE);
    sizes(step, s, c);
    cln__step_items(step, s->pixels.h * s->pixels.w, cln__blocks(l, s->x), c.images);
}

static void unpack(cln__lowering *l, const side *s, cln_tensor bias, chunk c) {
    if (s->is_matrix)
        return;
    cln__step *step = new_step(l, s, "im2col_unpack", bias.id >= 0);
    cln__arg_tensor(step, s->matrix, CLN__READ);
    cln__arg_tensor(step, bias.id >= 0 ? bias : s->matrix, CLN__READ); /* not read without BIAS */
    cln__arg_tensor(step, s->x, CLN__WRITE);
    sizes(step, s, c);
    cln__step_items(step, s->xs.h * s->xs.w, cln__blocks(l, s->x), c.images);
}

/* One chunk of images, from activations to activations or to the weight. */
static void lower_chunk(cln__lowering *l, const cln__conv2d *p, const side *columns, const side *rows, chunk c) {
    int64_t pixels = c.images * p->ys.h * p->ys.w;
    int64_t columns_at = side_offset(l, columns, c), rows_at = side_offset(l, rows, c);
    if (p->pass != CLN__GRAD_INPUT)
        pack(l, columns, c);
    if (p->pass != CLN__FORWARD)
        pack(l, rows, c);
    if (p->pass == CLN__FORWARD) {
        cln__gemm forward = {.m = pixels, .n = rows->columns, .k = columns->columns};
        forward.lda = columns->ld, forward.ldb = rows->columns, forward.ldc = rows->ld;
        forward.offset_a = columns_at, forward.offset_c = rows_at;
        cln__step_gemm(l, columns->matrix, p->w, rows->matrix, forward);
    } else if (p->pass == CLN__GRAD_INPUT) {
        cln__gemm grad_input = {.transpose_b = true, .m = pixels, .n = columns->columns, .k = rows->columns};
        grad_input.lda = rows->ld, grad_input.ldb = rows->columns, grad_input.ldc = columns->ld;
        grad_input.offset_a = rows_at, grad_input.offset_c = columns_at;
        cln__step_gemm(l, rows->matrix, p->w, columns->matrix, grad_input);
    } else {
        cln__gemm grad_weight = {.transpose_a = true, .m = columns->columns, .n = rows->columns, .k = pixels};
        grad_weight.lda = columns->ld, grad_weight.ldb = rows->ld, grad_weight.ldc = rows->columns;
        grad_weight.offset_a = columns_at, grad_weight.offset_b = rows_at, grad_weight.beta = c.first > 0;
        cln__step_gemm(l, columns->matrix, rows->matrix, p->w, grad_weight);
    }
    if (p->pass == CLN__FORWARD)
        unpack(l, rows, p->bias, c);
    if (p->pass == CLN__GRAD_INPUT)
        unpack(l, columns, CLN_NO_TENSOR, c);
}

cln_status cln__conv2d_im2col_lower(cln__lowering *l, cln__conv2d *p) {
    static const cln__conv2d_attrs pixel = {.kernel_h = 1, .kernel_w = 1, .stride = 1, .dilation = 1, .groups = 1};
    int64_t images = images_fitting(l, p);
    side columns = side_make(l, p, p->x, &p->a, true, images);
    side rows = side_make(l, p, p->y, &pixel, p->bias.id < 0, images); /* the bias comes with unpacking */
    for (chunk c = {0, images}; c.first < p->ys.n && l->status == CLN_OK; c.first += images) {
        c.images = p->ys.n - c.first < images ? p->ys.n - c.first : images;
        lower_chunk(l, p, &columns, &rows, c);
    }
    return l->status;
}

const cln__conv2d_variant cln__conv2d_im2col = {
    .name = "im2col", .refuses = refuses, .lower = cln__conv2d_im2col_lower};
