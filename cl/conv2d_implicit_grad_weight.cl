/* Convolution as an implicit matrix product through local memory, for GPUs: the gradient of the weights.
 *
 *   dw[m][o] = sum over pixels k of  X[k][m] * dy[k][o]
 *
 * with a row m for each (ky, kx, c), and a column k for each output pixel of each image: the input pixel under that
 * tap, or 0 outside the image. X is never stored; its tiles are gathered from x as they are needed.
 *
 * Layout: dy in channel blocks [n][o/B][h][w][B], x likewise in blocks of XB channels (1: planar); dw [ky][kx][c][o],
 * which is the matrix as it lies. B is a multiple of 4, channels are stored ones: multiples of their blocks.
 * The pixels are split in parts whose sums go to a workspace [part][m][o], added up in a fixed order by reduce.cl: no
 * atomics, and the same bits on every run. With one part, dw is the workspace.
 *
 * Index map: work-group = (part, tile of TILE_M rows, tile of TILE_N outputs), the last running fastest, so that groups
 * that read the same pixels run together. In a group, item = (row, output), the latter running fastest.
 * Work per item: all pixels of its part, with the sums of ITEM_M rows times ITEM_N outputs in registers, in vectors: 4
 * neighbouring rows, the next 4 * ITEMS_M further, and outputs likewise. For every TILE_K pixels the group stages, in
 * local memory,
 *
 *       x_tile  [TILE_M rows, pad]      dy_tile  [TILE_N outputs, pad]
 *       TILE_K  [                ]      TILE_K   [                   ]     one step, for a pixel: ITEM_M / 4 vectors of
 *       pixels  [----]-----------]      pixels   [--]----------------]     x_tile, ITEM_N / 4 of dy_tile, and
 *               [                ]               [                   ]     ITEM_M * ITEM_N multiply-adds
 *
 * while the next tiles are on their way from global memory to registers. Neighbouring items load neighbouring pixels,
 * 4 channels each: whole cache lines. The padding of a row (4) keeps vectors of 8 neighbouring rows in different banks.
 */

#include "tensor.clh"

#ifndef B
#define B 4 /* channels in a block of dy: a multiple of 4 */
#endif
#ifndef XB
#define XB B /* channels in a block of x: B or 1 */
#endif
#ifndef TILE_M
#define TILE_M 64 /* rows of a group */
#endif
#ifndef TILE_N
#define TILE_N 32 /* outputs of a group */
#endif
#ifndef TILE_K
#define TILE_K 16 /* pixels staged at a time: a divisor of ITEMS */
#endif
#ifndef ITEM_M
#define ITEM_M 8 /* rows of an item: a multiple of 4 */
#endif
#ifndef ITEM_N
#define ITEM_N 4 /* outputs of an item: a multiple of 4 */
#endif

#define ITEMS_M (TILE_M / ITEM_M)
#define ITEMS_N (TILE_N / ITEM_N)
#define ITEMS (ITEMS_M * ITEMS_N)
#define X_PITCH (TILE_M + 4) /* floats from a row of x_tile to the next */
#define DY_PITCH (TILE_N + 4)

/* Loading: a unit is what one item loads at once, XV channels of x or 4 of dy. An item loads one pixel of a tile, and
 * of every STEP-th unit of it X_UNITS of x and DY_UNITS of dy. */
#define XV (XB == 1 ? 1 : 4)
#define STEP (ITEMS / TILE_K)
#define DIVIDE_UP(a, b) (((a) + (b)-1) / (b))
#define X_UNITS DIVIDE_UP(TILE_M / XV, STEP)
#define DY_UNITS DIVIDE_UP(TILE_N / 4, STEP)

#if XB == 1
typedef float xunit;
#else
typedef float4 xunit;
#endif
#define INLINE static inline __attribute__((always_inline))
#define OUTSIDE (1 << 30) /* a tap's distance that is in no image */

/* A pixel of y: its number among all images' pixels, and where that is. */
typedef struct place {
    int number, n, row, col;
} place;

/* The pixel `step` further on. */
INLINE place place_advance(place a, const place step, const int ho, const int wo) {
    a.number += step.number;
    a.n += step.n;
    a.row += step.row;
    a.col += step.col;
    if (a.col >= wo) {
        a.col -= wo;
        a.row++;
    }
    if (a.row >= ho) {
        a.row -= ho;
        a.n++;
    }
    return a;
}

INLINE place place_of(const int number, const int ho, const int wo) {
    return (place){number, number / (ho * wo), number / wo % ho, number % wo};
}

/* What an item loads of x: where the pixels under its rows' taps are, seen from the one under the first tap. */
typedef struct taps {
    int down[X_UNITS], right[X_UNITS]; /* pixels */
    int shift[X_UNITS];                /* floats, to the channel too */
} taps;

INLINE void x_load(xunit next[X_UNITS], __global const float *x, const ulong4 xv, const taps *t, const int h,
                   const int width, const int s, const int p, const place at, const int end) {
    const int row = at.row * s - p, col = at.col * s - p;
    __global const float *pixel = x + (long)(at.n * xv.s1) + (row * width + col) * (int)xv.s3;
#pragma unroll
    for (int u = 0; u < X_UNITS; u++) {
        const bool inside =
            at.number < end && (uint)(row + t->down[u]) < (uint)h && (uint)(col + t->right[u]) < (uint)width;
        next[u] = 0;
        if (inside)
            next[u] = *(__global const xunit *)(pixel + t->shift[u]);
    }
}

INLINE void dy_load(float4 next[DY_UNITS], __global const float *dy, const ulong4 dyv, const int unit, const int o,
                    const place at, const int wo, const int end) {
    __global const float *pixel = dy + at.n * dyv.s1 + (at.row * wo + at.col) * dyv.s3;
#pragma unroll
    for (int u = 0; u < DY_UNITS; u++) {
        const int channel = (unit + u * STEP) * 4;
        next[u] = 0;
        if (at.number < end && channel < o)
            next[u] = *(__global const float4 *)(pixel + channel / B * dyv.s2 + channel % B);
    }
}

INLINE void tiles_store(__local float4 *x_tile, __local float4 *dy_tile, xunit x_next[X_UNITS],
                        float4 dy_next[DY_UNITS], const int item) {
    const int pixel = item % TILE_K, unit = item / TILE_K;
#pragma unroll
    for (int u = 0; u < X_UNITS; u++)
        if (unit + u * STEP < TILE_M / XV)
            *(__local xunit *)((__local float *)x_tile + pixel * X_PITCH + (unit + u * STEP) * XV) = x_next[u];
#pragma unroll
    for (int u = 0; u < DY_UNITS; u++)
        if (unit + u * STEP < TILE_N / 4)
            dy_tile[pixel * (DY_PITCH / 4) + unit + u * STEP] = dy_next[u];
}

INLINE void tiles_multiply(float4 sum[ITEM_M][ITEM_N / 4], __local const float4 *x_tile, __local const float4 *dy_tile,
                           const int item) {
    x_tile += item / ITEMS_N;
    dy_tile += item % ITEMS_N;
#pragma unroll
    for (int k = 0; k < TILE_K; k++) {
        float4 upstream[ITEM_N / 4];
#pragma unroll
        for (int b = 0; b < ITEM_N / 4; b++)
            upstream[b] = dy_tile[k * (DY_PITCH / 4) + b * ITEMS_N];
#pragma unroll
        for (int a = 0; a < ITEM_M / 4; a++) {
            const float4 rows = x_tile[k * (X_PITCH / 4) + a * ITEMS_M];
#pragma unroll
            for (int b = 0; b < ITEM_N / 4; b++) {
                sum[a * 4 + 0][b] = fma((float4)(rows.s0), upstream[b], sum[a * 4 + 0][b]);
                sum[a * 4 + 1][b] = fma((float4)(rows.s1), upstream[b], sum[a * 4 + 1][b]);
                sum[a * 4 + 2][b] = fma((float4)(rows.s2), upstream[b], sum[a * 4 + 2][b]);
                sum[a * 4 + 3][b] = fma((float4)(rows.s3), upstream[b], sum[a * 4 + 3][b]);
            }
        }
    }
}

/* `pixels`: of all images of y. `c` channels and h * width pixels of x, `o` and ho * wo of dy. A kernel of `window`
 * taps, kw in a row, stride s, padding p, dilation d. A part has `run` pixels, a multiple of TILE_K. */
__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void
conv2d_implicit_grad_weight(__global const float *restrict x, const ulong4 xv, __global const float *restrict dy,
                            const ulong4 dyv, __global float *restrict sums, const ulong4 sumsv, const int pixels,
                            const int c, const int o, const int h, const int width, const int ho, const int wo,
                            const int window, const int kw, const int s, const int p, const int d, const int run) {
    __local float4 x_tile[TILE_K * X_PITCH / 4], dy_tile[TILE_K * DY_PITCH / 4];
    const int item = get_local_id(0), rows = window * c;
    const int tiles_m = DIVIDE_UP(rows, TILE_M), tiles_n = DIVIDE_UP(o, TILE_N);
    int group = get_group_id(0);
    const int n0 = group % tiles_n * TILE_N;
    group /= tiles_n;
    const int m0 = group % tiles_m * TILE_M, part = group / tiles_m;

    taps t;
#pragma unroll
    for (int u = 0; u < X_UNITS; u++) {
        const int m = m0 + (item / TILE_K + u * STEP) * XV, channel = m % c;
        t.down[u] = m < rows ? m / c / kw * d : OUTSIDE;
        t.right[u] = m / c % kw * d;
        t.shift[u] = (m / c / kw * d * width + t.right[u]) * (int)xv.s3 + channel / XB * (int)xv.s2 + channel % XB;
    }
    float4 sum[ITEM_M][ITEM_N / 4];
#pragma unroll
    for (int i = 0; i < ITEM_M; i++)
#pragma unroll
        for (int b = 0; b < ITEM_N / 4; b++)
            sum[i][b] = 0;

    const int end = part * run + min(run, pixels - part * run), unit = n0 / 4 + item / TILE_K;
    const place step = place_of(TILE_K, ho, wo);
    place at = place_of(part * run + item % TILE_K, ho, wo);
    x += xv.s0;
    dy += dyv.s0;
    xunit x_next[X_UNITS];
    float4 dy_next[DY_UNITS];
    x_load(x_next, x, xv, &t, h, width, s, p, at, end);
    dy_load(dy_next, dy, dyv, unit, o, at, wo, end);
    for (int k = part * run; k < end; k += TILE_K) {
        tiles_store(x_tile, dy_tile, x_next, dy_next, item);
        barrier(CLK_LOCAL_MEM_FENCE);
        at = place_advance(at, step, ho, wo);
        x_load(x_next, x, xv, &t, h, width, s, p, at, end); /* past the end: zeros */
        dy_load(dy_next, dy, dyv, unit, o, at, wo, end);
        tiles_multiply(sum, x_tile, dy_tile, item);
        barrier(CLK_LOCAL_MEM_FENCE);
    }

    sums += sumsv.s0 + (ulong)part * rows * o;
#pragma unroll
    for (int i = 0; i < ITEM_M; i++) {
        const int m = m0 + (i / 4 * ITEMS_M + item / ITEMS_N) * 4 + i % 4;
#pragma unroll
        for (int b = 0; b < ITEM_N / 4; b++) {
            const int channel = n0 + (item % ITEMS_N + b * ITEMS_N) * 4;
            if (m < rows && channel < o)
                *(__global float4 *)(sums + (ulong)m * o + channel) = sum[i][b];
        }
    }
}
