/* Register-tiled direct convolution: forward, and the gradient of the input as a convolution of dy.
 *
 *   y[n][o][h][w] = bias[o] + sum over c, ky, kx of  x[n][c][row][column] * w[ky][kx][c][o]
 *                   with row = (h*S + ky*D - PH) / UP, column = (w*S + kx*D - PW) / UP
 *
 * where taps count only if the divisions are exact and the input pixel exists. UP > 1 reads x as if UP - 1 zeros stood
 * between its pixels: the gradient of a convolution of stride s, padding p is this with S = 1, UP = s,
 * PH = D*(KH - 1) - p, PW likewise (they may be negative), and the weights turned by conv2d_direct_flip.
 *
 * Layout: y in channel blocks [n][o/B][h][w][B], x likewise in blocks of XB channels (1: planar); w [ky][kx][C][O].
 *
 * Index map: work-item = (image, group of NB output blocks, group of ROWS output rows), the rows running fastest.
 * Work per item: for each of its rows, tiles of TW columns, kept in TW * NB vector registers from first tap to last:
 *
 *        column      0   UP  ...  (TW-1)*UP
 *      block 0     [B lanes][  ]...[      ]    one step, for a tap and an input channel c: load NB vectors of weights
 *      block NB-1  [       ][  ]...[      ]    w[ky][kx][c][B lanes], then  sum += x[c under the tap] * vector
 *
 * A tile's columns share their remainder modulo UP, so that they share their taps. Which columns of a tile at the
 * border have an input pixel is known when compiling, as those tiles are unrolled; the tiles between test nothing. */

#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block, lanes of a vector */
#endif
#ifndef XB
#define XB B /* channels in a block of x: B or 1 */
#endif
#ifndef X_PIXEL
#define X_PIXEL XB /* elements from a pixel to the next: x, y */
#endif
#ifndef Y_PIXEL
#define Y_PIXEL B
#endif
#ifndef C
#define C 16 /* input channels, a multiple of XB */
#endif
#ifndef O
#define O 16 /* output channels, a multiple of B */
#endif
#ifndef H
#define H 32 /* input rows, columns */
#define W 32
#endif
#ifndef HO
#define HO 32 /* output rows, columns */
#define WO 32
#endif
#ifndef KH
#define KH 3 /* filter rows, columns */
#define KW 3
#endif
#ifndef S
#define S 1 /* stride */
#endif
#ifndef UP
#define UP 1 /* zeros between input pixels, plus 1; S or UP is 1 */
#endif
#ifndef PH
#define PH 1 /* padding of rows, of columns; may be negative */
#endif
#ifndef PW
#define PW 1
#endif
#ifndef D
#define D 1 /* dilation */
#endif
#ifndef TW
#define TW 16 /* columns of a tile */
#endif
#ifndef NB
#define NB 1 /* output blocks of a tile, a divisor of O / B */
#endif
#ifndef ROWS
#define ROWS 32 /* output rows of a work-item */
#endif
#ifndef BIAS
#define BIAS 0 /* whether there is a bias */
#endif

typedef VEC(B) vec;
/* Blocks are aligned to their size where they are written. On pocl a vstore16 becomes four stores: a few percent
 * slower, and a third more to compile. */
#define STORE_BLOCK(v, p) (*(__global vec *)(p) = (v))
/* The accumulators stay in registers only if the calls disappear, however large the unrolled bodies. */
#define INLINE static inline __attribute__((always_inline))

#define DIVIDE_UP(a, b) (((a) + (b)-1) / (b))
#define SPAN (TW * UP) /* output columns from a tile to the next of the same remainder */
#define TILES DIVIDE_UP(WO, SPAN)
/* Output columns whose last tap has an input pixel: whole tiles of them need no test, nor do tiles past the padding. */
#define FITTING_ (UP * W - 1 + PW - (KW - 1) * D < 0 ? 0 : (UP * W - 1 + PW - (KW - 1) * D) / S + 1)
#define FITTING (FITTING_ < WO ? FITTING_ : WO)
#define LEFT_ (PW > 0 ? DIVIDE_UP(PW, SPAN * S) : 0)
#define LEFT (LEFT_ < TILES ? LEFT_ : TILES)
#define RIGHT (FITTING / SPAN > LEFT ? FITTING / SPAN : LEFT)

/* Adds one filter tap to a tile whose first column reads input column `first`; `x` is the input row, `tap` the weights.
 * Where `test` is set, only columns below `columns` that have an input pixel take part. */
INLINE void tap_add(vec sum[TW][NB], __global const float *x, const ulong x_block, __global const float *tap,
                    const int first, const int columns, const int test) {
    __global const float *pixels = x + (long)first * X_PIXEL;
    for (int block = 0; block < C / XB; block++, pixels += x_block) {
#pragma unroll 1 /* a tile has independent sums enough */
        for (int lane = 0; lane < XB; lane++, tap += O) {
            vec weight[NB];
#pragma unroll
            for (int b = 0; b < NB; b++)
                weight[b] = LOAD(B, tap + b * B);
#pragma unroll
            for (int i = 0; i < TW; i++) {
                if (test && (i >= columns || first + i * S < 0 || first + i * S >= W))
                    continue;
#pragma unroll
                for (int b = 0; b < NB; b++)
                    sum[i][b] = fma((vec)(pixels[i * S * X_PIXEL + lane]), weight[b], sum[i][b]);
            }
        }
    }
}

/* One tile: output row `row`, columns `column`, `column` + UP, ... `x` is the image; `w`, `bias` begin at the item's
 * output channels, `y` at the output row. `phase` is `column` modulo UP. */
INLINE void tile_compute(__global const float *x, const ulong x_block, __global const float *w,
                         __global const float *bias, __global float *y, const ulong y_block, const int row,
                         const int column, const int phase, const int test) {
    const int columns = DIVIDE_UP(WO - column, UP); /* that exist */
    vec sum[TW][NB];
#pragma unroll
    for (int b = 0; b < NB; b++) {
        const vec start = BIAS ? LOAD(B, bias + b * B) : (vec)(0);
#pragma unroll
        for (int i = 0; i < TW; i++)
            sum[i][b] = start;
    }
    for (int ky = 0; ky < KH; ky++) {
        const int stuffed = row * S + ky * D - PH, input_row = stuffed / UP;
        if (stuffed < 0 || stuffed % UP != 0 || input_row >= H)
            continue;
#pragma unroll
        for (int kx = 0; kx < KW; kx++)
            if ((phase * S + kx * D - PW) % UP == 0)
                tap_add(sum, x + input_row * W * X_PIXEL, x_block, w + (ky * KW + kx) * C * O,
                        (column * S + kx * D - PW) / UP, columns, test);
    }
#pragma unroll
    for (int i = 0; i < TW; i++)
        if (!test || i < columns)
#pragma unroll
            for (int b = 0; b < NB; b++)
                STORE_BLOCK(sum[i][b], y + b * y_block + (column + i * UP) * Y_PIXEL);
}

/* `bias` is not read unless BIAS. */
__kernel void conv2d_direct(__global const float *restrict x, const ulong4 xv, __global const float *restrict w,
                            const ulong4 wv, __global const float *restrict bias, const ulong4 biasv,
                            __global float *restrict y, const ulong4 yv, const int items) {
    const int item = get_global_id(0);
    if (item >= items)
        return;
    const int row_groups = DIVIDE_UP(HO, ROWS), block_groups = O / B / NB;
    const int row0 = item % row_groups * ROWS, block0 = item / row_groups % block_groups * NB;
    const ulong n = item / row_groups / block_groups;

    __global const float *image = x + xv.s0 + n * xv.s1;
    __global float *out = y + yv.s0 + n * yv.s1 + block0 * yv.s2;
    __global const float *taps = w + wv.s0 + block0 * B, *start = bias + biasv.s0 + block0 * B;
    for (int row = row0; row < min(row0 + ROWS, HO); row++) {
        __global float *out_row = out + row * WO * Y_PIXEL;
#pragma unroll
        for (int phase = 0; phase < UP; phase++) {
#pragma unroll
            for (int t = 0; t < LEFT; t++)
                tile_compute(image, xv.s2, taps, start, out_row, yv.s2, row, t * SPAN + phase, phase, 1);
            for (int t = LEFT; t < RIGHT; t++)
                tile_compute(image, xv.s2, taps, start, out_row, yv.s2, row, t * SPAN + phase, phase, 0);
#pragma unroll
            for (int t = RIGHT; t < TILES; t++)
                tile_compute(image, xv.s2, taps, start, out_row, yv.s2, row, t * SPAN + phase, phase, 1);
        }
    }
}

/* Turns weights for the gradient of the input: flipped[last tap - tap][o][c] = w[tap][c][o]. Sizes are arguments, so
 * that one program serves all layers. Index map: work-item = (tap of flipped, block of o, block of c), the last running
 * fastest. Work per item: B * B elements. */
__kernel void conv2d_direct_flip(__global const float *restrict w, const ulong4 wv, __global float *restrict flipped,
                                 const ulong4 flippedv, const int taps, const int channels, const int outputs) {
    const int item = get_global_id(0), c_blocks = channels / B, o_blocks = outputs / B;
    const int c = item % c_blocks * B, o = item / c_blocks % o_blocks * B, tap = item / c_blocks / o_blocks;
    if (tap >= taps)
        return;
    __global const float *from = w + wv.s0 + ((taps - 1 - tap) * channels + c) * outputs + o;
    __global float *to = flipped + flippedv.s0 + (tap * outputs + o) * channels + c;
    for (int i = 0; i < B; i++)
        for (int j = 0; j < B; j++)
            to[i * channels + j] = from[j * outputs + i];
}
