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
 * Work-items: (run of rows, channel block, image), of y (forward) or of dx (grad). */
#include "maxpool.clh"

#ifndef STREAM
#define STREAM 0 /* whether the result is too large for the cache, and aligned */
#endif

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

__kernel void maxpool_grad_rows(__global const PLACE *restrict winners, ulong4 wv, __global const float *restrict dy,
                                ulong4 yv, __global float *restrict dx, ulong4 xv, int h, int w, int oh, int ow, int rows) {
    const int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * rows;
    winners += PLACE_AT(wv, get_global_size(1), n, block, oh * ow, 0);
    dy += AT(yv, n, block, 0);
    dx += AT(xv, n, block, first * w);
    for (int iy = first; iy < min(first + rows, h); iy++) {
        const int last = (iy + P) / S; /* window over this row */
        vec column[K + S]; /* the last S stay zero */
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
                const vec d = LOAD(B, dy + (oy * ow + ox) * yv.s3);
#pragma unroll
                for (int j = 0; j < K; j++)
                    column[j] = select(column[j], column[j] + d, winner == j);
            }
#pragma unroll
            for (int s = 0; s < S; s++, ix++)
                if (ix >= 0 && ix < w) {
                    STREAM_BLOCK(STREAM, column[s], dx);
                    dx += xv.s3;
                }
#pragma unroll
            for (int k = 0; k < K; k++)
                column[k] = column[k + S];
        }
        for (; ix < w; ix++, dx += xv.s3) { /* columns behind the last window's first S */
            STREAM_BLOCK(STREAM, column[0], dx);
#pragma unroll
            for (int k = 0; k < K; k++)
                column[k] = column[k + 1];
        }
    }
}
