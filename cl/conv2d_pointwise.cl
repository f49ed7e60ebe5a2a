/* 1x1 convolution on a CPU, with what precedes and follows it (src/ops/conv2d.h): forward. The gradients are in
 * conv2d_pointwise_grad.cl.
 *
 *   y[p][o] = sum over c of  xn[p][c] * w[c][o]        for the pixels p of all images, xn = act(scale * x + shift),
 *                                                      or the largest x of 3x3 pixels
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
#ifndef POOLED
#define POOLED 0 /* whether x is read through max pooling of 3x3 pixels */
#endif

#include "fused.clh"

#include "conv2d_fused.clh"

#include "conv2d_pointwise.clh"

typedef struct input {
    const vec *xs;
    int channels; /* that are summed over, */
    ulong lanes;  /* but of each of the first 16 blocks only so many, less 1: four bits a block. The rest are zeros */
    __global const float *next; /* the next chunk, and how far from there blocks and pixels are */
    ulong next_block, next_pixel;
} input;

typedef struct output {
    __global float *y;
    ulong4 view;
    const ulong *at;
    running *moments;
    int live;     /* pixels of the chunk */
    float before; /* pixels before it */
    int given;
} output;

INLINE int lanes_of(const input in, const int block) {
    return min(block < 16 ? (int)(in.lanes >> 4 * block & 15) + 1 : B, in.channels - block * B);
}

/* The sums of one tile. What the next chunk needs is asked for in between, by the first blocks of results: all at once
 * would keep the tile waiting. */
INLINE void tile_forward(vec *sum, const int tile, const int blocks, const int first, __global const float *w,
                         const int row, const input in, const int ahead) {
    __global const float *next = in.next + first * in.next_pixel;
    for (int block = 0; block * B < in.channels; block++, w += B * row, next += in.next_block) {
        for (int i = 0; ahead && i < tile; i++)
            PREFETCH(next + i * in.next_pixel);
        tile_add(sum, tile, blocks, (const float *)(in.xs + block * CHUNK + first), B, w, row, lanes_of(in, block));
    }
}

INLINE void chunk_forward(const input in, const int tile, const int blocks, const int block, __global const float *w,
                          const int outputs, __global const float *bias, const ulong4 biasv, const output out) {
    vec start[NB], sum[WIDE * NB];
#pragma unroll
    for (int b = 0; b < blocks; b++)
        start[b] = VECTOR(out.given & BIAS, bias, biasv, block + b, 0.0f);
    for (int first = 0; first < out.live; first += tile) {
        tile_start(sum, tile, blocks, start);
        tile_forward(sum, tile, blocks, first, w + block * B, outputs, in, block == 0);
        tile_finish(sum, tile, blocks, min(tile, out.live - first), out.y + AT(out.view, 0, block, 0), out.view.s2,
                    out.at + first, out.moments + block, out.before + first, out.given);
    }
}

/* The two kinds of blocks. */
APART void pair_forward(const input in, const int block, __global const float *w, const int outputs,
                        __global const float *bias, const ulong4 biasv, const output out) {
    chunk_forward(in, TILE, NB, block, w, outputs, bias, biasv, out);
}

APART void lone_forward(const input in, const int block, __global const float *w, const int outputs,
                        __global const float *bias, const ulong4 biasv, const output out) {
    chunk_forward(in, WIDE, 1, block, w, outputs, bias, biasv, out);
}

#if POOLED
/* The larger value; what is not a number wins, so that it is not hidden. */
INLINE vec larger(const vec a, const vec b) {
    return select(select(b, a, a > b), a, a != a);
}

/* Of column `column` of an image, the largest of the pixels in the rows above, at and below, which are multiples of the
 * row's length. Beyond the image its border is repeated, which changes no maximum. */
INLINE vec column_max(__global const float *image, const int above, const int at, const int below, const int column,
                      const ulong pixel) {
    const vec a = LOAD(B, image + (above + column) * pixel), b = LOAD(B, image + (at + column) * pixel);
    return larger(larger(a, b), LOAD(B, image + (below + column) * pixel));
}

/* xs[block][pixel] = the largest of 3x3 pixels of x. A chunk goes along rows: of three columns, two are known. */
APART void chunk_pool(vec *xs, __global const float *x, const ulong4 xv, const int begin, const int live,
                      const int image_pixels, const int width, const int blocks) {
    for (int block = 0; block < blocks; block++, xs += CHUNK) {
        vec left, centre, right;
        int above = 0, at = 0, below = 0, column = width - 1;
        __global const float *image = x;
        for (int i = 0; i < CHUNK; i++) {
            if (i < live && ++column == width) { /* a row begins, or the chunk */
                const int pixel = (begin + i) % image_pixels;
                column = pixel % width;
                at = pixel - column;
                above = max(at - width, 0);
                below = at + width < image_pixels ? at + width : at;
                image = x + AT(xv, (begin + i) / image_pixels, block, 0);
                left = column_max(image, above, at, below, max(column - 1, 0), xv.s3);
                centre = column_max(image, above, at, below, column, xv.s3);
            } else if (i < live) {
                left = centre;
                centre = right;
            }
            right = column_max(image, above, at, below, min(column + 1, width - 1), xv.s3);
            xs[i] = larger(larger(left, centre), right);
        }
    }
}
#endif

/* `run` pixels an item, `pixels` in all, `image_pixels` in an image, in rows of `width`; `channels` of x are summed
 * over; `lanes`: see input; `given`: bits, see conv2d_fused.clh. */
__kernel void conv2d_pointwise(__global const float *x, const ulong4 xv, __global const float *load_scale,
                               const ulong4 load_scalev, __global const float *load_shift, const ulong4 load_shiftv,
                               __global const float *restrict w, const ulong4 wv, __global const float *restrict bias,
                               const ulong4 biasv, __global float *y, const ulong4 yv, __global float *restrict moments,
                               const ulong4 momentsv, const int run, const int pixels, const int image_pixels,
                               const int width, const int channels, const int lanes_low, const int lanes_high,
                               const int in_blocks, const int out_blocks, const int given) {
    const int item = get_global_id(0), begin = item * run, end = min(begin + run, pixels);
    vec xs[BLOCKS * CHUNK];
    running all[BLOCKS];
    ulong x_at[CHUNK], y_at[CHUNK];
    if (MOMENTS)
        moments_start(all, out_blocks);
    w += wv.s0;
    input in = {xs, channels, (uint)lanes_low | (ulong)lanes_high << 32, 0, xv.s2, xv.s3};
    for (int first = begin; first < end; first += CHUNK) {
        const output out = {y, yv, y_at, all, min(CHUNK, end - first), first - begin, given};
        chunk_place(x_at, xv, first, out.live, image_pixels);
        chunk_place(y_at, yv, first, out.live, image_pixels);
#if POOLED
        chunk_pool(xs, x, xv, first, out.live, image_pixels, width, in_blocks);
        in.next = x + xv.s0 + x_at[0] + (CHUNK + width) * xv.s3;
#else
        chunk_load(xs, x, xv, x_at, in_blocks, load_scale, load_scalev, load_shift, load_shiftv, given, 0);
        in.next = x + xv.s0 + x_at[0] + CHUNK * xv.s3;
#endif
        int block = 0;
        for (; block + NB <= out_blocks; block += NB)
            pair_forward(in, block, w, out_blocks * B, bias, biasv, out);
        for (; block < out_blocks; block++)
            lone_forward(in, block, w, out_blocks * B, bias, biasv, out);
    }
    if (MOMENTS)
        moments_store(all, out_blocks, end - begin, moments + momentsv.s0 + (ulong)item * 3 * out_blocks * B);
}
