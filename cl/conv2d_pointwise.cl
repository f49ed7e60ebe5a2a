/* 1x1 convolution on a CPU, with what precedes and follows it (src/ops/conv2d.h): forward. The gradients are in
 * conv2d_pointwise_grad.cl.
 *
 *   y[p][o] = sum over c of  xn[p][c] * w[c][o]        for the pixels p of all images, xn = act(scale * x + shift)
 *
 * Layout: activations in channel blocks [n][c/B][pixel][B]; w [C][O].
 *
 * Index map: work-item = a run of pixels of the batch. Since no pixel sees its neighbours, images may be of any size:
 * a run goes on from one to the next. Groups of 1; private arrays are the scratch memory.
 * Work per item: CHUNK pixels at a time are normalised into private memory (conv2d_pointwise.clh), then multiplied in
 * tiles of registers:
 *
 *             block 0   ... NB-1
 *   pixel 0  [B lanes]  [       ]      one step, for a channel c: load NB vectors of weights w[c][B lanes], then
 *   ...                                sum += xn[pixel][c] * vector
 *   TILE-1   [       ]  [       ]      (the last block of an odd number has tiles of WIDE pixels) */
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
#ifndef CHUNK
#define CHUNK 16 /* pixels that are staged at a time: a multiple of TILE and WIDE */
#endif
#ifndef BLOCKS
#define BLOCKS 16 /* channel blocks that x and y may have */
#endif

#include "fused.clh"

#include "conv2d_fused.clh"

#include "conv2d_pointwise.clh"

typedef struct output {
    __global float *y;
    ulong4 view;
    const ulong *at;
    running *moments;
    int live;     /* pixels of the chunk */
    float before; /* pixels before it */
    int given;
} output;

INLINE void chunk_forward(const vec *xs, const int tile, const int blocks, const int block, __global const float *w,
                          const int outputs, const int channels, __global const float *bias, const ulong4 biasv,
                          const output out) {
    vec start[NB], sum[WIDE * NB];
#pragma unroll
    for (int b = 0; b < blocks; b++)
        start[b] = VECTOR(out.given & BIAS, bias, biasv, block + b, 0.0f);
    for (int first = 0; first < out.live; first += tile) {
        tile_start(sum, tile, blocks, start);
        tile_multiply(sum, tile, blocks, xs + first, w + block * B, outputs, channels);
        tile_finish(sum, tile, blocks, min(tile, out.live - first), out.y + AT(out.view, 0, block, 0), out.view.s2,
                    out.at + first, out.moments + block, out.before + first, out.given);
    }
}

/* The two kinds of blocks. */
APART void pair_forward(const vec *xs, const int block, __global const float *w, const int outputs, const int channels,
                        __global const float *bias, const ulong4 biasv, const output out) {
    chunk_forward(xs, TILE, NB, block, w, outputs, channels, bias, biasv, out);
}

APART void lone_forward(const vec *xs, const int block, __global const float *w, const int outputs, const int channels,
                        __global const float *bias, const ulong4 biasv, const output out) {
    chunk_forward(xs, WIDE, 1, block, w, outputs, channels, bias, biasv, out);
}

/* `run` pixels an item, `pixels` in all, `image_pixels` in an image; `channels` of x are summed over; `given`: bits,
 * see conv2d_fused.clh. */
__kernel void conv2d_pointwise(__global const float *x, const ulong4 xv, __global const float *load_scale,
                               const ulong4 load_scalev, __global const float *load_shift, const ulong4 load_shiftv,
                               __global const float *restrict w, const ulong4 wv, __global const float *restrict bias,
                               const ulong4 biasv, __global float *y, const ulong4 yv, __global float *restrict moments,
                               const ulong4 momentsv, const int run, const int pixels, const int image_pixels,
                               const int channels, const int in_blocks, const int out_blocks, const int given) {
    const int item = get_global_id(0), begin = item * run, end = min(begin + run, pixels);
    vec xs[BLOCKS * CHUNK];
    running all[BLOCKS];
    ulong x_at[CHUNK], y_at[CHUNK];
    if (MOMENTS)
        moments_start(all, out_blocks);
    w += wv.s0;
    for (int first = begin; first < end; first += CHUNK) {
        const output out = {y, yv, y_at, all, min(CHUNK, end - first), first - begin, given};
        chunk_place(x_at, xv, first, out.live, image_pixels);
        chunk_place(y_at, yv, first, out.live, image_pixels);
        chunk_load(xs, x, xv, x_at, in_blocks, load_scale, load_scalev, load_shift, load_shiftv, given);
        int block = 0;
        for (; block + NB <= out_blocks; block += NB)
            pair_forward(xs, block, w, out_blocks * B, channels, bias, biasv, out);
        for (; block < out_blocks; block++)
            lone_forward(xs, block, w, out_blocks * B, channels, bias, biasv, out);
    }
    if (MOMENTS)
        moments_store(all, out_blocks, end - begin, moments + momentsv.s0 + (ulong)item * 3 * out_blocks * B);
}
