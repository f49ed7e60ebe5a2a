/* 1x1 convolution on a CPU, with what precedes and follows it (src/ops/conv2d.h): forward, and both gradients at once.
 *
 *   y[p][o] = sum over c of  xn[p][c] * w[c][o]        for the pixels p of all images, xn = act(scale * x + shift)
 *   dw[c][o] = sum over p of  xn[p][c] * d[p][o]       d = dy_scale * dy + dy_slope * y + dy_shift
 *   v[p][c] = sum over o of  d[p][o] * w[c][o]         the gradient of xn, which becomes dx
 *
 * Layout: activations in channel blocks [n][c/B][pixel][B]; w and dw [C][O], turned [O][C].
 *
 * Index map: work-item = a run of pixels of the batch. Since no pixel sees its neighbours, images may be of any size:
 * a run goes on from one to the next. Groups of 1; private arrays are the scratch memory.
 * Work per item: CHUNK pixels at a time are normalised into private memory, [c/B][CHUNK][B], then multiplied in tiles of
 * registers that run along the chunk:
 *
 *             block 0   ... NB-1
 *   pixel 0  [B lanes]  [       ]      one step, for a channel c: load NB vectors of weights w[c][B lanes], then
 *   ...                                sum += xn[pixel][c] * vector
 *   TILE-1   [       ]  [       ]      (the last block of an odd number has tiles of WIDE pixels)
 *
 * and for dw, with a step for a pixel, in tiles of TC channels times NB output blocks. The chunks' sums are added up in
 * the item's own row of dw; rows are summed by a later step. */
#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block, lanes of a vector */
#endif
#ifndef TILE
#define TILE 8 /* pixels of a tile with NB blocks */
#endif
#ifndef NB
#define NB 2
#endif
#ifndef WIDE
#define WIDE (2 * TILE) /* pixels of a tile with one block */
#endif
#ifndef TC
#define TC (B / 2) /* channels of a tile of dw with NB blocks */
#endif
#ifndef CHUNK
#define CHUNK 16 /* pixels that are staged at a time: a multiple of TILE and WIDE */
#endif
#ifndef BLOCKS
#define BLOCKS 16 /* channel blocks that x and y may have */
#endif

#include "fused.clh"

#include "conv2d_fused.clh"

/* Where the pixels of a chunk lie in a tensor: relative to the tensor's offset. */
INLINE void chunk_place(ulong *at, const ulong4 view, const int first, const int live, const int image_pixels) {
    int n = first / image_pixels, p = first % image_pixels;
    for (int i = 0; i < CHUNK; i++) {
        at[i] = n * view.s1 + p * view.s3;
        if (i + 1 >= live)
            continue; /* repeats the last pixel, so that nothing need be tested where it does no harm */
        if (++p == image_pixels) {
            p = 0;
            n++;
        }
    }
}

/* xs[block][pixel] = xn. */
INLINE void chunk_load(vec *xs, __global const float *x, const ulong4 xv, const ulong *at, const int blocks,
                       __global const float *load_scale, const ulong4 load_scalev, __global const float *load_shift,
                       const ulong4 load_shiftv) {
    for (int block = 0; block < blocks; block++, xs += CHUNK) {
        const vec scale = VECTOR(LOAD_SCALE, load_scale, load_scalev, block, 1.0f);
        const vec shift = VECTOR(LOAD_SHIFT, load_shift, load_shiftv, block, 0.0f);
        __global const float *from = x + AT(xv, 0, block, 0);
#pragma unroll 8
        for (int i = 0; i < CHUNK; i++)
            xs[i] = loaded(LOAD(B, from + at[i]), scale, shift);
    }
}

/* The sums of one tile over all channels of the chunk. */
INLINE void tile_multiply(vec *sum, const int tile, const int blocks, const vec *chunk, __global const float *w,
                          const int row, const int channels) {
    for (int c = 0; c < channels; c += B, w += B * row, chunk += CHUNK)
        tile_add(sum, tile, blocks, (const float *)chunk, B, w, row, min(B, channels - c));
}

/* --- forward --- */

typedef struct output {
    __global float *y;
    ulong4 view;
    const ulong *at;
    vec *mean, *m2;
    int live;     /* pixels of the chunk */
    float before; /* pixels before it */
} output;

INLINE void chunk_forward(const vec *xs, const int tile, const int blocks, const int block, __global const float *w,
                          const int outputs, const int channels, __global const float *bias, const ulong4 biasv,
                          const output out) {
    vec start[NB], sum[WIDE * NB];
#pragma unroll
    for (int b = 0; b < blocks; b++)
        start[b] = VECTOR(BIAS, bias, biasv, block + b, 0.0f);
    for (int first = 0; first < out.live; first += tile) {
        tile_start(sum, tile, blocks, start);
        tile_multiply(sum, tile, blocks, xs + first, w + block * B, outputs, channels);
        tile_finish(sum, tile, blocks, min(tile, out.live - first), out.y + AT(out.view, 0, block, 0), out.view.s2, out.at + first,
                    out.mean + block, out.m2 + block, out.before + first);
    }
}

/* `run` pixels an item, `pixels` in all, `image_pixels` in an image; `channels` of x are summed over; `row` floats are
 * in a row of moments. */
__kernel void conv2d_pointwise(__global const float *x, const ulong4 xv, __global const float *load_scale,
                               const ulong4 load_scalev, __global const float *load_shift, const ulong4 load_shiftv,
                               __global const float *restrict w, const ulong4 wv, __global const float *restrict bias,
                               const ulong4 biasv, __global float *y, const ulong4 yv, __global float *restrict moments,
                               const ulong4 momentsv, const int run, const int pixels, const int image_pixels,
                               const int channels, const int in_blocks, const int out_blocks) {
    const int item = get_global_id(0), begin = item * run, end = min(begin + run, pixels);
    vec xs[BLOCKS * CHUNK], mean[BLOCKS], m2[BLOCKS];
    ulong x_at[CHUNK], y_at[CHUNK];
    for (int b = 0; MOMENTS && b < out_blocks; b++)
        mean[b] = m2[b] = (vec)(0.0f);
    w += wv.s0;
    for (int first = begin; first < end; first += CHUNK) {
        const output out = {y, yv, y_at, mean, m2, min(CHUNK, end - first), first - begin};
        chunk_place(x_at, xv, first, out.live, image_pixels);
        chunk_place(y_at, yv, first, out.live, image_pixels);
        chunk_load(xs, x, xv, x_at, in_blocks, load_scale, load_scalev, load_shift, load_shiftv);
        int block = 0;
        for (; block + NB <= out_blocks; block += NB)
            chunk_forward(xs, TILE, NB, block, w, out_blocks * B, channels, bias, biasv, out);
        for (; block < out_blocks; block++)
            chunk_forward(xs, WIDE, 1, block, w, out_blocks * B, channels, bias, biasv, out);
    }
    moments += momentsv.s0 + (ulong)item * 3 * out_blocks * B;
    for (int b = 0; MOMENTS && b < out_blocks; b++) {
        STORE(B, (vec)(end - begin), moments + b * B);
        STORE(B, mean[b], moments + (out_blocks + b) * B);
        STORE(B, m2[b], moments + (2 * out_blocks + b) * B);
    }
}

/* --- backward --- */

/* ds[block][pixel] = d, and zero where there is no pixel; adds d to db. */
INLINE void chunk_upstream(vec *ds, __global float *dy, const ulong4 dyv, const ulong *dy_at, __global const float *y,
                           const ulong4 yv, const ulong *y_at, const int live, const int blocks,
                           __global const float *dy_scale, const ulong4 dy_scalev, __global const float *dy_slope,
                           const ulong4 dy_slopev, __global const float *dy_shift, const ulong4 dy_shiftv, vec *db) {
    for (int block = 0; block < blocks; block++, ds += CHUNK) {
        const vec scale = VECTOR(DY_SCALE, dy_scale, dy_scalev, block, 1.0f);
        const vec slope = VECTOR(DY_SLOPE, dy_slope, dy_slopev, block, 0.0f);
        const vec shift = VECTOR(DY_SHIFT, dy_shift, dy_shiftv, block, 0.0f);
        __global float *from = dy + AT(dyv, 0, block, 0);
        __global const float *y_from = y + AT(yv, 0, block, 0);
        vec sum = (vec)(0.0f);
#pragma unroll 4
        for (int i = 0; i < live; i++) {
            const vec d = upstream(LOAD(B, from + dy_at[i]), y_from + y_at[i], scale, slope, shift);
            ds[i] = d;
            if (DB)
                sum += d;
            if (KEEP_D)
                STORE(B, d, from + dy_at[i]);
        }
        for (int i = live; i < CHUNK; i++)
            ds[i] = (vec)(0.0f);
        if (DB)
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
    const int outputs, const int in_blocks, const int out_blocks) {
    const int item = get_global_id(0), begin = item * run, end = min(begin + run, pixels);
    const int in = in_blocks * B, out = out_blocks * B;
    vec xs[BLOCKS * CHUNK], ds[BLOCKS * CHUNK];
    vec db_sum[BLOCKS], centre[BLOCKS], scale[BLOCKS], sum[BLOCKS], sum_product[BLOCKS];
    ulong x_at[CHUNK], y_at[CHUNK], dy_at[CHUNK], dx_at[CHUNK], sums_of_at[CHUNK];
    for (int b = 0; b < out_blocks; b++)
        db_sum[b] = (vec)(0.0f);
    for (int b = 0; b < in_blocks; b++) {
        centre[b] = VECTOR(SUMS, sums_mean, sums_meanv, b, 0.0f);
        scale[b] = VECTOR(DX_SCALE, dx_scale, dx_scalev, b, 1.0f);
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
        chunk_load(xs, x, xv, x_at, in_blocks, load_scale, load_scalev, load_shift, load_shiftv);
        chunk_upstream(ds, dy, dyv, dy_at, y, yv, y_at, live, out_blocks, dy_scale, dy_scalev, dy_slope, dy_slopev,
                       dy_shift, dy_shiftv, db_sum);
        int block = 0;
        for (; block + NB <= out_blocks; block += NB)
            chunk_weights((const float *)xs, ds + block * CHUNK, TC, NB, channels, dw + block * B, out);
        for (; block < out_blocks; block++)
            chunk_weights((const float *)xs, ds + block * CHUNK, 2 * TC, 1, channels, dw + block * B, out);
        if (!DX)
            continue;
        chunk_place(dx_at, dxv, first, live, image_pixels);
        chunk_place(sums_of_at, sums_ofv, first, SUMS ? live : 1, image_pixels);
        const gradient to = {dx, sums_of, dxv, sums_ofv, centre, scale, sum, sum_product};
        for (block = 0; block + NB <= in_blocks; block += NB)
            chunk_gradient(ds, xs, TILE, NB, block, live, w + wv.s0, in, outputs, dx_at, sums_of_at, to);
        for (; block < in_blocks; block++)
            chunk_gradient(ds, xs, WIDE, 1, block, live, w + wv.s0, in, outputs, dx_at, sums_of_at, to);
    }

    db += dbv.s0 + (ulong)item * out;
    for (int b = 0; DB && b < out_blocks; b++)
        STORE(B, db_sum[b], db + b * B);
    sums += sumsv.s0 + (ulong)item * 2 * in;
    for (int b = 0; SUMS && b < in_blocks; b++) {
        STORE(B, sum[b], sums + b * B);
        STORE(B, sum_product[b] * LOAD(B, sums_invstd + AT(sums_invstdv, 0, b, 0)), sums + in + b * B);
    }
}
