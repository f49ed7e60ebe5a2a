/* Max pooling as in maxpool.cl, for CPUs and small windows: a work-item goes along rows and keeps in registers what the
 * next windows share.
 *
 *   forward   the largest of each column of K pixels, once; a window's maximum is that of its K columns
 *
 *             . . . . . .            columns  c c c     the next window (S = 1) drops the left one
 *             . [x x x] .                     | | |     and adds one at the right
 *             . [x x x] .
 *             . [x x x] .  first in row-major order: where columns tie, the lower place in the window wins
 *
 *   grad      along a row of dx, the sums of K columns: the windows over the row at column ox add to columns
 *             ox*S ... ox*S+K-1, and the first S of them are done
 *
 *             Before a vector is stored, it may be multiplied by the derivative of the activation before, summed for
 * the gradient of the batch normalisation before that, and scaled.
 *
 * Work-items: (run of rows of y, channel block, image) (forward); (1, channel block, run of images) (grad: parts as in
 * reduce.clh). */
#include "maxpool.clh"

#ifndef STREAM
#define STREAM 0 /* whether the result is too large for the cache, and aligned */
#endif

#ifndef MASK
#define MASK 0 /* activation whose derivative multiplies the gradient, told from x */
#endif
#ifndef SUMS
#define SUMS 0 /* whether the sums of the gradient, and of it times (sums_of - mean) * invstd, are wanted */
#endif
#ifndef DX_SCALE
#define DX_SCALE 0 /* whether the gradient is then multiplied by a vector */
#endif

#include "reduce.clh"

#define KEPT (K > S ? K - S : 0) /* columns that a window shares with the next */

typedef struct best {
    vec value;
    places place;
} best;

/* The better of `a` and of `b`, whose place is beyond that of `a` unless `any`. */
INLINE best better_of(best a, const best b, const bool any) {
    places better = (b.value > a.value) | (b.value != b.value);
    if (any && WINNERS)
        better |= (b.value == a.value) & (b.place < a.place);
    a.value = select(a.value, b.value, better);
    a.place = select(a.place, b.place, better);
    return a;
}

/* Of the K pixels from row `top` down; `x` points to row 0. The padding loses against everything. */
INLINE best column_max(__global const float *x, const ulong row, const vec scale, const vec shift, const int top,
                       const int h) {
    const int first = max(top, 0);
    best all = {load_x(x + first * row, scale, shift), (places)((first - top) * K)};
#pragma unroll
    for (int k = 1; k < K; k++)
        if (top + k > first && top + k < h) {
            const best next = {load_x(x + (top + k) * row, scale, shift), (places)(k * K)};
            all = better_of(all, next, false);
        }
    return all;
}

__kernel void maxpool_forward_rows(__global const float *x, ulong4 xv, __global const float *scale, ulong4 scv,
                                   __global const float *shift, ulong4 shv, __global float *y, ulong4 yv,
                                   __global PLACE *winners, ulong4 wv, int h, int w, int oh, int ow, int rows) {
    const int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * rows;
    const vec a = LOADED ? LOAD(B, scale + AT(scv, 0, block, 0)) : (vec)(1.0f);
    const vec b = LOADED ? LOAD(B, shift + AT(shv, 0, block, 0)) : (vec)(0.0f);
    const best none = {(vec)(-INFINITY), (places)(K * K)};
    x += AT(xv, n, block, 0);
    y += AT(yv, n, block, first * ow);
    winners += PLACE_AT(wv, get_global_size(1), n, block, oh * ow, first * ow);
    for (int oy = first; oy < min(first + rows, oh); oy++) {
        best column[K]; /* of the window */
#pragma unroll
        for (int k = 0; k < K; k++)
            column[k] = none;
        int ix = -P;
#pragma unroll
        for (int k = S; k < K; k++, ix++)
            if (ix >= 0 && ix < w)
                column[k] = column_max(x + ix * xv.s3, w * xv.s3, a, b, oy * S - P, h);
        for (int ox = 0; ox < ow; ox++, y += yv.s3, winners += B) {
#pragma unroll
            for (int k = 0; k < K; k++)
                column[k] = k < KEPT ? column[k + S] : none;
            ix = ox * S - P + KEPT;
#pragma unroll
            for (int k = KEPT; k < K; k++, ix++)
                if (ix >= 0 && ix < w)
                    column[k] = column_max(x + ix * xv.s3, w * xv.s3, a, b, oy * S - P, h);
            best all = column[0];
#pragma unroll
            for (int k = 1; k < K; k++) {
                const best next = {column[k].value, column[k].place + k};
                all = better_of(all, next, true);
            }
            STREAM_BLOCK(STREAM, all.value, y);
            if (WINNERS)
                STORE_PLACES(all.place, winners);
        }
    }
}

/* What is done to a vector of dx before it is stored. */
typedef struct epilogue {
    vec x_scale, x_shift, mean, dx_scale;
    vec sum, sum_x; /* of a row */
} epilogue;

INLINE void finish(vec d, __global float *dx, __global const float *x, __global const float *sums_of, epilogue *e) {
    if (MASK)
        d = activate_grad(MASK, d, load_x(x, e->x_scale, e->x_shift));
    if (SUMS) {
        e->sum += d;
        e->sum_x = fma(d, LOAD(B, sums_of) - e->mean, e->sum_x);
    }
    STREAM_BLOCK(STREAM, DX_SCALE ? d * e->dx_scale : d, dx);
}

/* Row `iy` of dx; dx, x and sums_of point to it, dy and winners to the image. */
INLINE void grad_row(__global const PLACE *winners, __global const float *dy, const ulong dy_pixel, __global float *dx,
                     const ulong dx_pixel, __global const float *x, const ulong x_pixel, __global const float *sums_of,
                     const ulong of_pixel, const int iy, const int w, const int oh, const int ow, epilogue *e) {
    const int last = (iy + P) / S; /* window over this row */
    vec column[K + S];             /* the last S stay zero */
#pragma unroll
    for (int k = 0; k < K + S; k++)
        column[k] = (vec)(0.0f);
    int ix = -P; /* of column[0] */
    for (int ox = 0; ox < ow; ox++) {
#pragma unroll
        for (int i = 0; i < (K + S - 1) / S; i++) {
            const int oy = last - i, k = iy + P - oy * S;
            if (oy < 0 || oy >= oh || k >= K)
                continue;
            const places winner = LOAD_PLACES(winners + (oy * ow + ox) * B) - k * K;
            const vec d = LOAD(B, dy + (oy * ow + ox) * dy_pixel);
#pragma unroll
            for (int j = 0; j < K; j++)
                column[j] = select(column[j], column[j] + d, winner == j);
        }
#pragma unroll
        for (int s = 0; s < S; s++, ix++)
            if (ix >= 0 && ix < w)
                finish(column[s], dx + ix * dx_pixel, x + ix * x_pixel, sums_of + ix * of_pixel, e);
#pragma unroll
        for (int k = 0; k < K; k++)
            column[k] = column[k + S];
    }
    for (; ix < w; ix++) { /* columns behind the last window's first S */
        finish(column[0], dx + ix * dx_pixel, x + ix * x_pixel, sums_of + ix * of_pixel, e);
#pragma unroll
        for (int k = 0; k < K; k++)
            column[k] = column[k + 1];
    }
}

__kernel void maxpool_grad_rows(__global const PLACE *restrict winners, ulong4 wv, __global const float *restrict dy,
                                ulong4 yv, __global float *restrict dx, ulong4 dxv, __global const float *x, ulong4 xv,
                                __global const float *scale, ulong4 scv, __global const float *shift, ulong4 shv,
                                __global const float *sums_of, ulong4 ofv, __global const float *mean, ulong4 mv,
                                __global const float *invstd, ulong4 iv, __global const float *dx_scale, ulong4 dsv,
                                int h, int w, int oh, int ow, PART_ARGUMENTS) {
    const part p = PART;
    const int block = get_global_id(1);
    epilogue e;
    e.x_scale = MASK && LOADED ? LOAD(B, scale + AT(scv, 0, block, 0)) : (vec)(1.0f);
    e.x_shift = MASK && LOADED ? LOAD(B, shift + AT(shv, 0, block, 0)) : (vec)(0.0f);
    e.mean = SUMS ? LOAD(B, mean + AT(mv, 0, block, 0)) : (vec)(0.0f);
    e.dx_scale = DX_SCALE ? LOAD(B, dx_scale + AT(dsv, 0, block, 0)) : (vec)(1.0f);
    vec sum = (vec)(0.0f), sum_x = (vec)(0.0f);
    for (int i = p.first_image; i < p.last_image; i++)
        for (int iy = 0; iy < h; iy++) {
            e.sum = e.sum_x = (vec)(0.0f);
            grad_row(winners + PLACE_AT(wv, get_global_size(1), i, block, oh * ow, 0), dy + AT(yv, i, block, 0), yv.s3,
                     dx + AT(dxv, i, block, iy * w), dxv.s3, x + AT(xv, i, block, iy * w), xv.s3,
                     sums_of + AT(ofv, i, block, iy * w), ofv.s3, iy, w, oh, ow, &e);
            sum += e.sum;
            sum_x += e.sum_x;
        }
    if (SUMS) {
        STORE(B, sum, PART_ROW(0, 2));
        STORE(B, sum_x * LOAD(B, invstd + AT(iv, 0, block, 0)), PART_ROW(1, 2));
    }
}
