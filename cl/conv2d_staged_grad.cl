/* Convolution on a CPU, of any filter size, stride and padding, with what precedes and follows it (src/ops/conv2d.h):
 * both gradients at once, from one reading of x and dy.
 *
 *   dw[ky][kx][c][o] = sum over n, r, j of  xn[n][c][r*S + ky - padding][j*S + kx - padding] * d[n][o][r][j]
 *   v[n][c][a][b] = sum over o, ky, kx of  d[n][o][(a + padding - ky) / S][(b + padding - kx) / S] * w[ky][kx][c][o]
 *
 * where only exact divisions count, v is the gradient of xn, which becomes dx, and d = dy_scale * dy + dy_slope * y +
 * dy_shift.
 *
 * Layout: dy, dx in channel blocks [n][o/B][pixel][B], x likewise in blocks of XB channels (1: planar, without dx);
 * dw [ky][kx][C][O], w turned: [KH-1-ky][KW-1-kx][O][C].
 *
 * Index map: work-item = a run of images. Groups of 1; private arrays are the scratch memory.
 * Work per item: an image of x and one of d are copied into private memory with borders of zeros (conv2d_staged.clh),
 * so that no tap is ever tested. dw is made in register tiles, with a step for each pixel of d:
 *
 *                  block 0   ... NB-1
 *   channel c     [B lanes]  [       ]     load NB vectors of d, then  sum += xn[c under the tap] * vector
 *   ...                                    (planar x: TC channels times TK taps of a row)
 *   c + TC - 1    [       ]  [       ]
 *
 * and added to the item's own row of dw; rows are summed by a later step. dx is a convolution of d for each of the S *
 * S classes of pixels whose rows, and columns, have the same remainder modulo S and thus the same taps; tiles as in
 * conv2d_staged.cl. */
#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block, lanes of a vector */
#endif
#ifndef XB
#define XB B /* channels in a block of x: B or 1 */
#endif
#ifndef S
#define S 1 /* stride */
#endif
#ifndef TILE
#define TILE 8 /* columns of a tile of dx with NB blocks, with one block */
#endif
#ifndef NB
#define NB 2
#endif
#ifndef WIDE
#define WIDE (2 * TILE)
#endif
#ifndef TC
#define TC (XB == 1 ? 1 : B / 2) /* channels of a tile of dw: a divisor of C, and of B / 2 unless x is planar */
#endif
#ifndef TK
#define TK 1 /* taps, of a row, of a tile of dw: a divisor of KW; 1 unless x is planar */
#endif
#ifndef STAGE
#define STAGE 8192 /* vectors that the two staged images may have */
#endif
#ifndef BLOCKS
#define BLOCKS 16 /* channel blocks that x and y may have */
#endif
#define FEW (TC * TK) /* weights of a tile of dw with NB blocks, with one block */
#define MANY (XB == 1 ? FEW : 2 * FEW)

#include "fused.clh"

#include "conv2d_fused.clh"

#include "conv2d_staged.clh"

/* A staged image: [block][rows][columns]. */
typedef struct stage {
    int rows, columns;
    int top, left; /* border */
} stage;

typedef struct sizes {
    int kh, kw, h, w, ho, wo;
    int channels, outputs;     /* that count */
    int stored_in, stored_out; /* with the padding of their blocks */
} sizes;

/* Stages image n of d; adds d to db. */
APART void image_upstream(vec *ds, const stage to, const int n, const sizes s, __global float *dy, const ulong4 dyv,
                           __global const float *y, const ulong4 yv, __global const float *dy_scale,
                           const ulong4 dy_scalev, __global const float *dy_slope, const ulong4 dy_slopev,
                           __global const float *dy_shift, const ulong4 dy_shiftv, vec *db, const int given) {
    ds += to.top * to.columns + to.left;
    for (int block = 0; block < s.stored_out / B; block++, ds += to.rows * to.columns) {
        const vec scale = VECTOR(given & DY_SCALE, dy_scale, dy_scalev, block, 1.0f);
        const vec slope = VECTOR(DY_SLOPE, dy_slope, dy_slopev, block, 0.0f);
        const vec shift = VECTOR(given & DY_SHIFT, dy_shift, dy_shiftv, block, 0.0f);
        __global float *from = dy + AT(dyv, n, block, 0);
        __global const float *y_from = y + AT(yv, n, block, 0);
        vec sum = (vec)(0.0f);
        for (int r = 0; r < s.ho; r++)
            for (int j = 0; j < s.wo; j++, from += dyv.s3, y_from += yv.s3) {
                const vec d = upstream(LOAD(B, from), y_from, scale, slope, shift);
                ds[r * to.columns + j] = d;
                sum += d;
                if (KEEP_D)
                    STORE(B, d, from);
            }
        db[block] += sum;
    }
}

/* Adds the image's part of the gradient of weights[channel][kx], the tile's `count` weights from (ky, kx, c) on, for
 * `blocks` output blocks from `ds`, `dw` on. */
INLINE void tile_weights(const float *xs, const stage from, const vec *ds, const stage to, const int count,
                         const int blocks, const sizes s, __global float *dw) {
    const int near = XB == 1 ? TK : count; /* weights that follow each other in a row of xs */
    vec sum[MANY * NB];
#pragma unroll
    for (int i = 0; i < count * blocks; i++)
        sum[i] = (vec)(0.0f);
    ds += to.top * to.columns + to.left;
    for (int r = 0; r < s.ho; r++, xs += S * from.columns * XB, ds += to.columns)
        weights_add(sum, count, blocks, xs, S * XB, near, from.rows * from.columns, ds, to.rows * to.columns, s.wo);
#pragma unroll
    for (int i = 0; i < count; i++)
#pragma unroll
        for (int b = 0; b < blocks; b++) {
            const int tap = XB == 1 ? i % TK : 0, c = XB == 1 ? i / TK : i;
            __global float *at = dw + (tap * s.stored_in + c) * s.stored_out + b * B;
            STORE(B, LOAD(B, at) + sum[i * blocks + b], at);
        }
}

/* The same for all weights of `blocks` output blocks. */
INLINE void image_weights(const float *xs, const stage from, const vec *ds, const stage to, const int count,
                          const int blocks, const sizes s, __global float *dw) {
    for (int ky = 0; ky < s.kh; ky++)
        for (int kx = 0; kx < s.kw; kx += TK)
            for (int c = 0; c < s.channels; c += count / TK)
                tile_weights(xs + ((c / XB * from.rows + ky) * from.columns + kx) * XB + c % XB, from, ds, to, count,
                             blocks, s, dw + ((ky * s.kw + kx) * s.stored_in + c) * s.stored_out);
}

/* The two kinds of blocks. */
APART void pair_weights(const float *xs, const stage from, const vec *ds, const stage to, const sizes s,
                        __global float *dw) {
    image_weights(xs, from, ds, to, FEW, NB, s, dw);
}

APART void lone_weights(const float *xs, const stage from, const vec *ds, const stage to, const sizes s,
                        __global float *dw) {
    image_weights(xs, from, ds, to, MANY, 1, s, dw);
}

/* One tile of dx: `ds` is what its first column meets under the first taps of its class, (ky, kx); further taps of the
 * class are S apart. */
INLINE void tile_back(vec *sum, const int tile, const int blocks, const vec *ds, const stage from,
                      __global const float *turned, const sizes s, const int ky0, const int kx0) {
    for (int ky = ky0; ky < s.kh; ky += S, ds -= from.columns)
        for (int kx = kx0; kx < s.kw; kx += S)
            for (int o = 0; o < s.outputs; o += B)
                tile_add(sum, tile, blocks, (const float *)(ds + o / B * from.rows * from.columns - (kx - kx0) / S), B,
                         turned + ((ulong)((s.kh - 1 - ky) * s.kw + s.kw - 1 - kx) * s.stored_out + o) * s.stored_in,
                         s.stored_in, min(B, s.outputs - o));
}

/* All pixels of `blocks` blocks of dx whose row is a0, and whose column is b0, modulo S. `to` tells of the image's
 * gradient. */
INLINE void class_gradient(const vec *ds, const stage from, const vec *xs, const stage stage_x, const int a0,
                           const int b0, const int tile, const int blocks, const int block,
                           __global const float *turned, const sizes s, const gradient to) {
    vec zero[NB], sum[WIDE * NB];
    ulong dx_at[WIDE], sums_of_at[WIDE];
#pragma unroll
    for (int b = 0; b < blocks; b++)
        zero[b] = (vec)(0.0f);
    const int ky0 = (a0 + stage_x.top) % S, kx0 = (b0 + stage_x.left) % S;
    for (int a = a0; a < s.h; a += S)
        for (int b = b0; b < s.w; b += S * tile) {
            const int row = (a + stage_x.top - ky0) / S, column = (b + stage_x.left - kx0) / S;
            tile_start(sum, tile, blocks, zero);
            tile_back(sum, tile, blocks, ds + (row + from.top) * from.columns + column + from.left, from,
                      turned + block * B, s, ky0, kx0);
            for (int i = 0; i < tile; i++) {
                dx_at[i] = (ulong)(a * s.w + b + i * S) * to.dx_view.s3;
                sums_of_at[i] = (ulong)(a * s.w + b + i * S) * to.sums_of_view.s3;
            }
            const vec *xn = xs + (block * stage_x.rows + a + stage_x.top) * stage_x.columns + b + stage_x.left;
            tile_gradient(sum, tile, blocks, min(tile, (s.w - b + S - 1) / S), block, xn,
                          stage_x.rows * stage_x.columns, S, dx_at, sums_of_at, to);
        }
}

APART void image_gradient(const vec *ds, const stage from, const vec *xs, const stage stage_x,
                           __global const float *turned, const sizes s, const gradient to) {
    for (int a0 = 0; a0 < S; a0++)
        for (int b0 = 0; b0 < S; b0++) {
            int block = 0;
            for (; block + NB <= s.stored_in / B; block += NB)
                class_gradient(ds, from, xs, stage_x, a0, b0, TILE, NB, block, turned, s, to);
            for (; block < s.stored_in / B; block++)
                class_gradient(ds, from, xs, stage_x, a0, b0, WIDE, 1, block, turned, s, to);
        }
}

/* `run` images an item, `images` in all, of h x w pixels with `padding` around, staged in rows x columns; results of
 * ho x wo, staged in d_rows x d_columns; a filter of kh x kw; `channels` of x and `outputs` of y are summed over. `w`
 * is turned. `dw`, `db`, `sums`: rows, one for each item. */
__kernel void conv2d_staged_grad(
    __global const float *x, const ulong4 xv, __global const float *load_scale, const ulong4 load_scalev,
    __global const float *load_shift, const ulong4 load_shiftv, __global const float *restrict w, const ulong4 wv,
    __global const float *y, const ulong4 yv, __global float *dy, const ulong4 dyv, __global const float *dy_scale,
    const ulong4 dy_scalev, __global const float *dy_slope, const ulong4 dy_slopev, __global const float *dy_shift,
    const ulong4 dy_shiftv, __global float *dw, const ulong4 dwv, __global float *db, const ulong4 dbv,
    __global float *dx, const ulong4 dxv, __global const float *sums_of, const ulong4 sums_ofv,
    __global const float *sums_mean, const ulong4 sums_meanv, __global const float *sums_invstd,
    const ulong4 sums_invstdv, __global float *sums, const ulong4 sumsv, __global const float *dx_scale,
    const ulong4 dx_scalev, const int run, const int images, const int h, const int width, const int padding,
    const int rows, const int columns, const int ho, const int wo, const int d_rows, const int d_columns, const int kh,
    const int kw, const int channels, const int outputs, const int in_blocks, const int out_blocks, const int given) {
    const int item = get_global_id(0), begin = item * run, end = min(begin + run, images);
    const sizes s = {kh, kw, h, width, ho, wo, channels, outputs, in_blocks * XB, out_blocks * B};
    const stage stage_x = {rows, columns, padding, padding};
    const stage stage_d = {d_rows, d_columns, (kh - 1) / S, (kw - 1) / S};
    const int x_vectors = (s.stored_in * rows * columns + B - 1) / B;
    vec staged[STAGE], db_sum[BLOCKS], centre[BLOCKS], scale[BLOCKS], sum[BLOCKS], sum_product[BLOCKS];
    vec *ds = staged + x_vectors;
    image_clear(staged, x_vectors + out_blocks * d_rows * d_columns);
    for (int b = 0; b < out_blocks; b++)
        db_sum[b] = (vec)(0.0f);
    for (int b = 0; DX && b < in_blocks; b++) {
        centre[b] = VECTOR(SUMS, sums_mean, sums_meanv, b, 0.0f);
        scale[b] = VECTOR(given & DX_SCALE, dx_scale, dx_scalev, b, 1.0f);
        sum[b] = sum_product[b] = (vec)(0.0f);
    }
    dw += dwv.s0 + (ulong)item * kh * kw * s.stored_in * s.stored_out;
    for (int i = 0; i < kh * kw * s.stored_in * out_blocks; i++)
        STORE(B, (vec)(0.0f), dw + i * B);

    for (int n = begin; n < end; n++) {
        image_load((float *)staged, rows, columns, x, xv, n, h, width, padding, in_blocks, load_scale, load_scalev,
                   load_shift, load_shiftv, given);
        image_upstream(ds, stage_d, n, s, dy, dyv, y, yv, dy_scale, dy_scalev, dy_slope, dy_slopev, dy_shift, dy_shiftv,
                       db_sum, given);
        int block = 0;
        for (; block + NB <= out_blocks; block += NB)
            pair_weights((const float *)staged, stage_x, ds + block * d_rows * d_columns, stage_d, s,
                         dw + block * B);
        for (; block < out_blocks; block++)
            lone_weights((const float *)staged, stage_x, ds + block * d_rows * d_columns, stage_d, s,
                         dw + block * B);
        const gradient to = {
            dx + n * dxv.s1, sums_of + n * sums_ofv.s1, dxv, sums_ofv, centre, scale, sum, sum_product, given};
        if (DX)
            image_gradient(ds, stage_d, staged, stage_x, w + wv.s0, s, to);
    }

    db += dbv.s0 + (ulong)item * s.stored_out;
    for (int b = 0; (given & DB) && b < out_blocks; b++)
        STORE(B, db_sum[b], db + b * B);
    sums += sumsv.s0 + (ulong)item * 2 * s.stored_in;
    for (int b = 0; DX && SUMS && b < in_blocks; b++) {
        STORE(B, sum[b], sums + b * B);
        STORE(B, sum_product[b] * VECTOR(SUMS, sums_invstd, sums_invstdv, b, 1.0f), sums + s.stored_in + b * B);
    }
}
