/* Convolution on a CPU, of any filter size, stride and padding, with what precedes and follows it (src/ops/conv2d.h):
 * forward. The gradients are in conv2d_staged_grad.cl.
 *
 *   y[n][o][r][j] = sum over c, ky, kx of  xn[n][c][r*S + ky - padding][j*S + kx - padding] * w[ky][kx][c][o]
 *
 * Layout: y in channel blocks [n][o/B][pixel][B], x likewise in blocks of XB channels (1: planar); w [ky][kx][C][O].
 *
 * Index map: work-item = a run of images. Groups of 1; private arrays are the scratch memory.
 * Work per item: each image is copied, normalised and with its border of zeros, into private memory
 * (conv2d_staged.clh), so that no tap is ever tested; then every row is made in tiles of registers:
 *
 *     column   j        j+1   ...   j+TILE-1
 *   block 0  [B lanes][      ]...[      ]      one step, for a tap and a channel c: load NB vectors of weights, then
 *   block 1  [       ][      ]...[      ]      sum += xn[c under the tap] * vector
 *
 * The last block of an odd number has tiles of WIDE columns. Columns beyond the row are computed and left. */
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
#define TILE 8 /* columns of a tile with NB blocks, with one block */
#endif
#ifndef NB
#define NB 2
#endif
#ifndef WIDE
#define WIDE (2 * TILE)
#endif
#ifndef STAGE
#define STAGE 4096 /* vectors that the staged image may have */
#endif
#ifndef BLOCKS
#define BLOCKS 16 /* channel blocks that y may have */
#endif

#define LINE 16 /* floats of a cache line */

#include "fused.clh"

#include "conv2d_fused.clh"

#include "conv2d_staged.clh"

typedef struct filter {
    __global const float *w;
    int kh, kw, channels, inputs, outputs; /* channels that count, and that are stored */
} filter;

/* The next image: its lines are asked for while this one is computed, `lines` with each tap of the first blocks. */
typedef struct ahead {
    __global const float *next;
    int lines;
} ahead;

typedef struct output {
    __global float *y; /* of the image */
    ulong4 view;
    int h, w;
    running *moments;
    float before; /* pixels of earlier images */
    int given;
} output;

/* One tile: `x` is what the first tap of its first column sees. */
INLINE void tile_convolve(vec *sum, const int tile, const int blocks, const float *x, const int rows, const int columns,
                          const filter f, const int block, ahead *to_come) {
    __global const float *w = f.w + block * B;
    for (int ky = 0; ky < f.kh; ky++)
        for (int kx = 0; kx < f.kw; kx++, w += f.inputs * f.outputs) {
            for (int i = 0; i < to_come->lines; i++, to_come->next += LINE)
                PREFETCH(to_come->next);
            for (int c = 0; c < f.channels; c += XB)
                tile_add(sum, tile, blocks, x + (c / XB * rows * columns + ky * columns + kx) * XB, S * XB,
                         w + c * f.outputs, f.outputs, min(XB, f.channels - c));
        }
}

/* All rows of `blocks` blocks of y. */
INLINE void image_convolve(const float *staged, const int tile, const int blocks, const int rows, const int columns,
                           const filter f, const int block, __global const float *bias, const ulong4 biasv,
                           const output out, ahead to_come) {
    vec start[NB], sum[WIDE * NB];
    ulong at[WIDE];
#pragma unroll
    for (int b = 0; b < blocks; b++)
        start[b] = VECTOR(out.given & BIAS, bias, biasv, block + b, 0.0f);
    for (int i = 0; i < tile; i++)
        at[i] = i * out.view.s3;
    for (int row = 0; row < out.h; row++)
        for (int column = 0; column < out.w; column += tile) {
            const int pixel = row * out.w + column;
            tile_start(sum, tile, blocks, start);
            tile_convolve(sum, tile, blocks, staged + (row * S * columns + column * S) * XB, rows, columns, f, block,
                          &to_come);
            tile_finish(sum, tile, blocks, min(tile, out.w - column), out.y + AT(out.view, 0, block, pixel),
                        out.view.s2, at, out.moments + block, out.before + pixel, out.given);
        }
}

/* The two kinds of blocks. */
APART void pair_convolve(const float *staged, const int rows, const int columns, const filter f, const int block,
                         __global const float *bias, const ulong4 biasv, const output out, const ahead to_come) {
    image_convolve(staged, TILE, NB, rows, columns, f, block, bias, biasv, out, to_come);
}

APART void lone_convolve(const float *staged, const int rows, const int columns, const filter f, const int block,
                         __global const float *bias, const ulong4 biasv, const output out, const ahead to_come) {
    image_convolve(staged, WIDE, 1, rows, columns, f, block, bias, biasv, out, to_come);
}

/* `run` images an item, `images` in all, of h x w pixels with `padding` around, staged in rows x columns; results of
 * ho x wo; a filter of kh x kw; `channels` of x are summed over; `given`: bits, see conv2d_fused.clh. */
__kernel void conv2d_staged(__global const float *x, const ulong4 xv, __global const float *load_scale,
                            const ulong4 load_scalev, __global const float *load_shift, const ulong4 load_shiftv,
                            __global const float *restrict w, const ulong4 wv, __global const float *restrict bias,
                            const ulong4 biasv, __global float *y, const ulong4 yv, __global float *restrict moments,
                            const ulong4 momentsv, const int run, const int images, const int h, const int width,
                            const int padding, const int rows, const int columns, const int ho, const int wo,
                            const int kh, const int kw, const int channels, const int in_blocks, const int out_blocks,
                            const int given) {
    const int item = get_global_id(0), begin = item * run, end = min(begin + run, images);
    vec staged[STAGE];
    running all[BLOCKS];
    if (MOMENTS)
        moments_start(all, out_blocks);
    const filter f = {w + wv.s0, kh, kw, channels, in_blocks * XB, out_blocks * B};
    image_clear(staged, (in_blocks * rows * columns * XB + B - 1) / B);
    for (int n = begin; n < end; n++) {
        const output out = {y + n * yv.s1, yv, ho, wo, all, (float)(n - begin) * ho * wo, given};
        image_load((float *)staged, rows, columns, x, xv, n, h, width, padding, in_blocks, load_scale, load_scalev,
                   load_shift, load_shiftv, given);
        const int lines = (in_blocks * h * width * XB + LINE - 1) / LINE;
        const int taps = ho * ((wo + TILE - 1) / TILE) * kh * kw;
        ahead to_come = {x + xv.s0 + (n + 1) * xv.s1, (lines + taps - 1) / taps};
        int block = 0;
        for (; block + NB <= out_blocks; block += NB, to_come.lines = 0)
            pair_convolve((const float *)staged, rows, columns, f, block, bias, biasv, out, to_come);
        for (; block < out_blocks; block++, to_come.lines = 0)
            lone_convolve((const float *)staged, rows, columns, f, block, bias, biasv, out, to_come);
    }
    if (MOMENTS)
        moments_store(all, out_blocks, (float)(end - begin) * ho * wo,
                      moments + momentsv.s0 + (ulong)item * 3 * out_blocks * B);
}
