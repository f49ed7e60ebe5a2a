/* Register-tiled direct convolution: the gradient of the weights.
 *
 *   dw[ky][kx][c][o] = sum over n, h, w of  x[n][c][h*S + ky*D - P][w*S + kx*D - P] * dy[n][o][h][w]
 *
 * Layout: dy in channel blocks [n][o/B][h][w][B], x likewise in blocks of XB channels (1: planar); dw [ky][kx][C][O].
 * The rows of the batch are split in parts whose sums go to a workspace [part][ky][kx][c][o], added up in the order of
 * the parts by conv2d_direct_grad_weight_reduce: no atomics, and the same bits on every run. With one part, dw is the
 * workspace.
 *
 * Index map: work-item = (part, ky, group of TK kx, group of TC input channels, group of NB output blocks), the parts
 * running slowest, so that items that read the same rows run close together.
 * Work per item: all pixels of its rows, with TK * TC * NB vector registers as sums:
 *
 *        c        0      1   ...  TC-1
 *      kx 0    [B lanes][  ]...[      ]      one step, for a pixel (h, w): load NB vectors of dy, then for each tap and
 *      kx TK-1 [       ][  ]...[      ]      channel  sum += x[c of the pixel under the tap] * vector
 *      (NB times)
 *
 * Columns whose taps may fall outside the input (left of LEFT, from RIGHT on) are tested, those between are not. */

#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block, lanes of a vector */
#endif
#ifndef XB
#define XB B /* channels in a block of x: B or 1 */
#endif
#ifndef X_PIXEL
#define X_PIXEL XB /* elements from a pixel to the next: x, dy */
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
#ifndef P
#define P 1 /* padding */
#endif
#ifndef D
#define D 1 /* dilation */
#endif
#ifndef TC
#define TC 8 /* input channels of a tile: a divisor of C, and of XB unless that is 1 */
#endif
#ifndef TK
#define TK 3 /* filter columns of a tile: a divisor of KW */
#endif
#ifndef NB
#define NB 1 /* output blocks of a tile: a divisor of O / B */
#endif

typedef VEC(B) vec;
/* The sums stay in registers only if the calls disappear, however large the unrolled bodies. */
#define INLINE static inline __attribute__((always_inline))

#define DIVIDE_UP(a, b) (((a) + (b)-1) / (b))
#define LEFT_ DIVIDE_UP(P, S)
#define LEFT (LEFT_ < WO ? LEFT_ : WO)
#define RIGHT_ (W - 1 + P - (KW - 1) * D < 0 ? 0 : (W - 1 + P - (KW - 1) * D) / S + 1)
#define RIGHT (RIGHT_ > WO ? WO : RIGHT_ > LEFT ? RIGHT_ : LEFT)

/* Adds column w of a row to the sums. `x` is the input row at the tile's first channel, `column` the input column
 * under the tile's first tap; where `test` is set, taps outside the row are left out. */
INLINE void pixel_add(vec sum[TK][TC][NB], __global const float *x, const ulong x_block, __global const float *dy,
                      const ulong dy_block, const int column, const int test) {
    vec upstream[NB];
#pragma unroll
    for (int b = 0; b < NB; b++)
        upstream[b] = LOAD(B, dy + b * dy_block);
#pragma unroll
    for (int k = 0; k < TK; k++) {
        if (test && (column + k * D < 0 || column + k * D >= W))
            continue;
        __global const float *pixel = x + (column + k * D) * X_PIXEL;
#pragma unroll
        for (int c = 0; c < TC; c++)
#pragma unroll
            for (int b = 0; b < NB; b++)
                sum[k][c][b] = fma((vec)(pixel[c / XB * x_block + c % XB]), upstream[b], sum[k][c][b]);
    }
}

__kernel void conv2d_direct_grad_weight(__global const float *restrict x, const ulong4 xv,
                                        __global const float *restrict dy, const ulong4 dyv,
                                        __global float *restrict sums, const ulong4 sumsv, const int images,
                                        const int parts) {
    const int block_groups = O / B / NB, channel_groups = C / TC, tap_groups = KW / TK;
    int item = get_global_id(0);
    const int block0 = item % block_groups * NB;
    item /= block_groups;
    const int c0 = item % channel_groups * TC;
    item /= channel_groups;
    const int kx0 = item % tap_groups * TK;
    item /= tap_groups;
    const int ky = item % KH, part = item / KH;
    if (part >= parts)
        return;

    vec sum[TK][TC][NB];
#pragma unroll
    for (int k = 0; k < TK; k++)
#pragma unroll
        for (int c = 0; c < TC; c++)
#pragma unroll
            for (int b = 0; b < NB; b++)
                sum[k][c][b] = 0;

    x += xv.s0 + c0 / XB * xv.s2 + c0 % XB;
    dy += dyv.s0 + block0 * dyv.s2;
    const int first = kx0 * D - P; /* the input column under the first tap at output column 0 */
    const long rows = (long)images * HO, end = rows * (part + 1) / parts;
    for (long r = rows * part / parts; r < end; r++) {
        const int row = r % HO, input_row = row * S + ky * D - P;
        if (input_row < 0 || input_row >= H)
            continue;
        __global const float *x_row = x + r / HO * xv.s1 + input_row * W * X_PIXEL;
        __global const float *dy_row = dy + r / HO * dyv.s1 + row * WO * Y_PIXEL;
#pragma unroll
        for (int w = 0; w < LEFT; w++)
            pixel_add(sum, x_row, xv.s2, dy_row + w * Y_PIXEL, dyv.s2, first + w * S, 1);
        for (int w = LEFT; w < RIGHT; w++)
            pixel_add(sum, x_row, xv.s2, dy_row + w * Y_PIXEL, dyv.s2, first + w * S, 0);
#pragma unroll
        for (int w = RIGHT; w < WO; w++)
            pixel_add(sum, x_row, xv.s2, dy_row + w * Y_PIXEL, dyv.s2, first + w * S, 1);
    }

    __global float *out = sums + sumsv.s0 + (((ulong)part * KH + ky) * KW + kx0) * C * O + c0 * O + block0 * B;
#pragma unroll
    for (int k = 0; k < TK; k++)
#pragma unroll
        for (int c = 0; c < TC; c++)
#pragma unroll
            for (int b = 0; b < NB; b++)
                STORE(B, sum[k][c][b], out + (k * C + c) * O + b * B);
}

/* dw = the sum of the parts. Sizes are arguments, so that one program serves all layers.
 * Index map: work-item = one of the `vectors` of B elements of dw. */
__kernel void conv2d_direct_grad_weight_reduce(__global const float *restrict sums, const ulong4 sumsv,
                                               __global float *restrict dw, const ulong4 dwv, const int vectors,
                                               const int parts) {
    const int item = get_global_id(0);
    if (item >= vectors)
        return;
    __global const float *from = sums + sumsv.s0 + item * B;
    vec total = 0;
    for (int part = 0; part < parts; part++, from += vectors * B)
        total += LOAD(B, from);
    STORE(B, total, dw + dwv.s0 + item * B);
}
