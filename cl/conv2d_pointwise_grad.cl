/* 1x1 convolution on a CPU, with what precedes and follows it (src/ops/conv2d.h): both gradients at once, from one
 * reading of x and dy.
 *
 *   dw[c][o] = sum over p of  xn[p][c] * d[p][o]       d = dy_scale * dy + dy_slope * y + dy_shift
 *   v[p][c] = sum over o of  d[p][o] * w[c][o]         the gradient of xn, which becomes dx
 *
 * Layout: activations in channel blocks [n][c/B][pixel][B]; dw [C][O], w turned: [O][C].
 *
 * Index map: work-item = a run of pixels of the batch, as in conv2d_pointwise.cl. Groups of 1; private arrays are the
 * scratch memory.
 * Work per item: CHUNK pixels of x and d at a time are copied into private memory (conv2d_pointwise.clh). dw is made in
 * register tiles, with a step for each pixel:
 *
 *                  block 0   ... NB-1
 *   channel c     [B lanes]  [       ]     load NB vectors of d, then  sum += xn[pixel][c] * vector
 *   ...                                    (the last block of an odd number has tiles of 2*TC channels)
 *   c + TC - 1    [       ]  [       ]
 *
 * and added to the item's own row of dw; rows are summed by a later step. dx is made in tiles as in
 * conv2d_pointwise.cl. */
#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block, lanes of a vector */
#endif
#ifndef TILE
#define TILE 8 /* pixels of a tile with NB blocks, with one block */
#endif
#ifndef NB
#define NB 2
#endif
#ifndef WIDE
#define WIDE (2 * TILE)
#endif
#ifndef TC
#define TC (B / 2) /* channels of a tile of dw with NB blocks */
#endif
#ifndef CHUNK
#define CHUNK 32 /* pixels that are staged at a time: a multiple of TILE and WIDE */
#endif
#ifndef BLOCKS
#define BLOCKS 16 /* channel blocks that x and y may have */
#endif

#include "fused.clh"

#include "conv2d_fused.clh"

#include "conv2d_pointwise.clh"

/* ds[block][pixel] = d, and zero where there is no pixel; adds d to db. */
APART void chunk_upstream(vec *ds, __global float *dy, const ulong4 dyv, const ulong *dy_at, __global const float *y,
                           const ulong4 yv, const ulong *y_at, const int live, const int blocks,
                           __global const float *dy_scale, const ulong4 dy_scalev, __global const float *dy_slope,
                           const ulong4 dy_slopev, __global const float *dy_shift, const ulong4 dy_shiftv, vec *db,
                           const int given) {
    for (int block = 0; block < blocks; block++, ds += CHUNK) {
        const vec scale = VECTOR(given & DY_SCALE, dy_scale, dy_scalev, block, 1.0f);
        const vec slope = VECTOR(DY_SLOPE, dy_slope, dy_slopev, block, 0.0f);
        const vec shift = VECTOR(given & DY_SHIFT, dy_shift, dy_shiftv, block, 0.0f);
        __global float *from = dy + AT(dyv, 0, block, 0);
        __global const float *y_from = y + AT(yv, 0, block, 0);
        vec sum = (vec)(0.0f);
        for (int i = 0; i < live; i++) {
            const vec d = upstream(LOAD(B, from + dy_at[i]), y_from + y_at[i], scale, slope, shift);
            ds[i] = d;
            PREFETCH(from + dy_at[i] + CHUNK * dyv.s3);
            PREFETCH(y_from + y_at[i] + CHUNK * yv.s3);
            sum += d;
            if (KEEP_D)
                STORE(B, d, from + dy_at[i]);
        }
        for (int i = live; i < CHUNK; i++)
            ds[i] = (vec)(0.0f);
        db[block] += sum;
    }
}

/* Adds the chunk's part of the gradient to `dw`, for `blocks` output blocks and all channels. */
INLINE void chunk_weights(const float *xs, const vec *ds, const int weights, const int blocks, const int channels,
                          __global float *dw, const int outputs) {
    vec sum[2 * TC * NB];
    for (int c = 0; c < channels; c += weights, dw += weights * outputs) {
#pragma unroll
        for (int i = 0; i < weights * blocks; i++)
            sum[i] = (vec)(0.0f);
        weights_add(sum, weights, blocks, xs + c / B * CHUNK * B + c % B, B, weights, 0, ds, CHUNK, CHUNK);
#pragma unroll
        for (int i = 0; i < weights; i++)
#pragma unroll
            for (int b = 0; b < blocks; b++) {
                __global float *to = dw + i * outputs + b * B;
                STORE(B, LOAD(B, to) + sum[i * blocks + b], to);
            }
    }
}

INLINE void chunk_gradient(const vec *ds, const vec *xs, const int tile, const int blocks, const int block,
                           const int live, __global const float *turned, const int inputs, const int outputs,
                           const ulong *dx_at, const ulong *sums_of_at, const gradient to) {
    vec zero[NB], sum[WIDE * NB];
#pragma unroll
    for (int b = 0; b < blocks; b++)
        zero[b] = (vec)(0.0f);
    for (int first = 0; first < live; first += tile) {
        tile_start(sum, tile, blocks, zero);
        tile_multiply(sum, tile, blocks, ds + first, turned + block * B, inputs, outputs);
        tile_gradient(sum, tile, blocks, min(tile, live - first), block, xs + block * CHUNK + first, CHUNK, 1,
                      dx_at + first, sums_of_at + first, to);
    }
}

/* The two kinds of blocks. */
APART void pair_weights(const float *xs, const vec *ds, const int channels, __global float *dw, const int outputs) {
    chunk_weights(xs, ds, TC, NB, channels, dw, outputs);
}

APART void lone_weights(const float *xs, const vec *ds, const int channels, __global float *dw, const int outputs) {
    chunk_weights(xs, ds, 2 * TC, 1, channels, dw, outputs);
}

APART void pair_gradient(const vec *ds, const vec *xs, const int block, const int live, __global const float *turned,
                         const int inputs, const int outputs, const ulong *dx_at, const ulong *sums_of_at,
                         const gradient to) {
    chunk_gradient(ds, xs, TILE, NB, block, live, turned, inputs, outputs, dx_at, sums_of_at, to);
}

APART void lone_gradient(const vec *ds, const vec *xs, const int block, const int live, __global const float *turned,
                         const int inputs, const int outputs, const ulong *dx_at, const ulong *sums_of_at,
                         const gradient to) {
    chunk_gradient(ds, xs, WIDE, 1, block, live, turned, inputs, outputs, dx_at, sums_of_at, to);
}

/* `channels` of x and `outputs` of y are summed over; the rest as above. `w` is turned. `dw`, `db`, `sums`: rows. */
__kernel void conv2d_pointwise_grad(
    __global const float *x, const ulong4 xv, __global const float *load_scale, const ulong4 load_scalev,
    __global const float *load_shift, const ulong4 load_shiftv, __global const float *restrict w, const ulong4 wv,
    __global const float *y, const ulong4 yv, __global float *dy, const ulong4 dyv, __global const float *dy_scale,
    const ulong4 dy_scalev, __global const float *dy_slope, const ulong4 dy_slopev, __global const float *dy_shift,
    const ulong4 dy_shiftv, __global float *dw, const ulong4 dwv, __global float *db, const ulong4 dbv,
    __global float *dx, const ulong4 dxv, __global const float *sums_of, const ulong4 sums_ofv,
    __global const float *sums_mean, const ulong4 sums_meanv, __global const float *sums_invstd,
    const ulong4 sums_invstdv, __global float *sums, const ulong4 sumsv, __global const float *dx_scale,
    const ulong4 dx_scalev, const int run, const int pixels, const int image_pixels, const int channels,
    const int outputs, const int in_blocks, const int out_blocks, const int given) {
    const int item = get_global_id(0), begin = item * run, end = min(begin + run, pixels);
    const int in = in_blocks * B, out = out_blocks * B;
    vec xs[BLOCKS * CHUNK], ds[BLOCKS * CHUNK];
    vec db_sum[BLOCKS], centre[BLOCKS], scale[BLOCKS], sum[BLOCKS], sum_product[BLOCKS];
    ulong x_at[CHUNK], y_at[CHUNK], dy_at[CHUNK], dx_at[CHUNK], sums_of_at[CHUNK];
    for (int b = 0; b < out_blocks; b++)
        db_sum[b] = (vec)(0.0f);
    for (int b = 0; b < in_blocks; b++) {
        centre[b] = VECTOR(SUMS, sums_mean, sums_meanv, b, 0.0f);
        scale[b] = VECTOR(given & DX_SCALE, dx_scale, dx_scalev, b, 1.0f);
        sum[b] = sum_product[b] = (vec)(0.0f);
    }
    dw += dwv.s0 + (ulong)item * in * out;
    for (int i = 0; i < in * out_blocks; i++)
        STORE(B, (vec)(0.0f), dw + i * B);

    for (int first = begin; first < end; first += CHUNK) {
        const int live = min(CHUNK, end - first);
        chunk_place(x_at, xv, first, live, image_pixels);
        chunk_place(dy_at, dyv, first, live, image_pixels);
        chunk_place(y_at, yv, first, DY_SLOPE ? live : 1, image_pixels);
        chunk_load(xs, x, xv, x_at, in_blocks, load_scale, load_scalev, load_shift, load_shiftv, given, 1);
        chunk_upstream(ds, dy, dyv, dy_at, y, yv, y_at, live, out_blocks, dy_scale, dy_scalev, dy_slope, dy_slopev,
                       dy_shift, dy_shiftv, db_sum, given);
        int block = 0;
        for (; block + NB <= out_blocks; block += NB)
            pair_weights((const float *)xs, ds + block * CHUNK, channels, dw + block * B, out);
        for (; block < out_blocks; block++)
            lone_weights((const float *)xs, ds + block * CHUNK, channels, dw + block * B, out);
        if (!DX)
            continue;
        chunk_place(dx_at, dxv, first, live, image_pixels);
        chunk_place(sums_of_at, sums_ofv, first, SUMS ? live : 1, image_pixels);
        const gradient to = {dx, sums_of, dxv, sums_ofv, centre, scale, sum, sum_product, given};
        for (block = 0; block + NB <= in_blocks; block += NB)
            pair_gradient(ds, xs, block, live, w + wv.s0, in, outputs, dx_at, sums_of_at, to);
        for (; block < in_blocks; block++)
            lone_gradient(ds, xs, block, live, w + wv.s0, in, outputs, dx_at, sums_of_at, to);
    }

    db += dbv.s0 + (ulong)item * out;
    for (int b = 0; (given & DB) && b < out_blocks; b++)
        STORE(B, db_sum[b], db + b * B);
    sums += sumsv.s0 + (ulong)item * 2 * in;
    for (int b = 0; SUMS && b < in_blocks; b++) {
        STORE(B, sum[b], sums + b * B);
        STORE(B, sum_product[b] * VECTOR(SUMS, sums_invstd, sums_invstdv, b, 1.0f), sums + in + b * B);
    }
}
