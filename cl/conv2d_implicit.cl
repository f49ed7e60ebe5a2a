/* Convolution as an implicit matrix product through local memory, for GPUs: forward, and the gradient of the input.
 *
 *   y[m][o] = bias[o] + sum over k of  X[m][k] * w[k][o]
 *
 * with a row m for each output pixel of each image, and a column k for each (ky, kx, c): the input pixel under that
 * tap, or 0 outside the image. X is never stored; its tiles are gathered from x as they are needed.
 *
 * Layout: y in channel blocks [n][o/B][h][w][B], x likewise in blocks of XB channels (1: planar); w [ky][kx][c][o],
 * which is the matrix as it lies. B is a multiple of 4, channels are stored ones: multiples of their blocks.
 *
 * With GRAD_INPUT, `x` is dy, `y` is dx, and w is read as it is: [ky][kx][o][c] to this kernel. Then
 *   dx[row][column] = sum over the taps with  (row + P - ky*D) % S == 0, columns likewise, of  dy[(row+P-ky*D)/S] * w
 * so rows and columns that are alike modulo S, a phase, share their taps. A work-group does pixels of one phase, and k
 * runs only over the taps of the phase.
 *
 * Index map: work-group axis 0 = (tile of TILE_M pixels, tile of TILE_N outputs), the latter running fastest, so that
 * groups that read the same pixels run together; axis 1 = phase (forward: one). In a group, item = (pixel, output), the
 * latter running fastest: a row of ITEMS_N items writes neighbouring channels, the rows neighbouring pixels.
 * Work per item: ITEM_M pixels, ITEMS_M apart, times ITEM_N / 4 vectors of outputs, ITEMS_N vectors apart, in
 * registers. For every TILE_K columns k the group stages, in local memory,
 *
 *                                 w_tile   [TILE_N outputs]
 *                                 TILE_K   [              ]
 *       x_tile    [TILE_K][pad]            [   |          ]
 *       TILE_M    [      ]                     v
 *       pixels    [------]----------->     [ ] sums of     for 4 columns: ITEM_N vectors of w_tile; then, for each of
 *                 [      ]                 [ ] an item     its pixels, a vector of x_tile and 4 * ITEM_N multiply-adds
 *
 * while the next tiles are on their way from global memory to registers. Neighbouring items load neighbouring pixels,
 * 4 channels each: whole cache lines. The padding of a row (4) keeps vectors of 8 neighbouring rows in different banks.
 */

#include "tensor.clh"

#ifndef B
#define B 4 /* channels in a block of y: a multiple of 4 */
#endif
#ifndef XB
#define XB B /* channels in a block of x: B or 1 */
#endif
#ifndef GRAD_INPUT
#define GRAD_INPUT 0
#endif
#ifndef BIAS
#define BIAS 0 /* whether there is a bias */
#endif
#ifndef TILE_M
#define TILE_M 128 /* pixels of a group */
#endif
#ifndef TILE_N
#define TILE_N 32 /* outputs of a group */
#endif
#ifndef TILE_K
#define TILE_K 16 /* columns staged at a time: a multiple of 4 and of 4 * ITEMS / TILE_M, ITEMS / TILE_N */
#endif
#ifndef ITEM_M
#define ITEM_M 8 /* pixels of an item */
#endif
#ifndef ITEM_N
#define ITEM_N 4 /* outputs of an item: a multiple of 4 */
#endif

#define ITEMS_M (TILE_M / ITEM_M)
#define ITEMS_N (TILE_N / ITEM_N)
#define ITEMS (ITEMS_M * ITEMS_N) /* a multiple of TILE_N; one of ITEMS and TILE_M is a multiple of the other */
#define VECTORS (ITEM_N / 4)      /* of outputs of an item */
#define PITCH (TILE_K + 4)        /* floats from a row of x_tile to the next */

/* Loading x: a unit is what one item loads at once, XV channels of a pixel. An item always loads for the same
 * X_PIXELS pixels, and of every X_STEP-th unit X_UNITS in a tile. */
#define XV (XB == 1 ? 1 : 4)
#define X_PIXELS (TILE_M > ITEMS ? TILE_M / ITEMS : 1)
#define X_STEP (TILE_M > ITEMS ? 1 : ITEMS / TILE_M)
#define X_UNITS (TILE_K / XV / X_STEP)
/* Loading w: vectors of 4 outputs, or for the gradient of the input of 4 columns k: of every W_STEP-th one W_UNITS. */
#define W_STEP (ITEMS / TILE_N)
#define W_UNITS (GRAD_INPUT ? TILE_K / 4 / W_STEP : (TILE_K * TILE_N / 4 + ITEMS - 1) / ITEMS)

#if XB == 1
typedef float xunit;
#else
typedef float4 xunit;
#endif
#define INLINE static inline __attribute__((always_inline))
#define OUTSIDE (-(1 << 30)) /* a row that no tap moves into the image */

/* The taps of one axis that the pixels of a phase see, and where in x they fall. */
typedef struct axis {
    int first, step, count; /* taps first, first + step, ... */
    int move;               /* from a tap's input position to the next one's */
} axis;

/* `phase` is the remainder of the output positions modulo the stride; forward has one phase, 0, and all taps. */
INLINE axis axis_of(const int phase, const int taps, const int s, const int p, const int d) {
    axis a = {0, 1, taps, d};
    if (GRAD_INPUT) {
        while (a.first < taps && (phase + p - a.first * d) % s != 0)
            a.first++;
        while (a.step < taps && a.step * d % s != 0)
            a.step++;
        a.count = a.first < taps ? (taps - 1 - a.first) / a.step + 1 : 0;
        a.move = -(a.step * d / s);
    }
    return a;
}

/* The input position under the first tap of output position `at`. */
INLINE int axis_origin(const axis a, const int at, const int s, const int p, const int d) {
    return GRAD_INPUT ? (at + p - a.first * d) / s : at * s - p;
}

/* A unit of X's columns: number `unit` of the channels under tap (ky, kx), counted within the phase. */
typedef struct column {
    int unit, kx, ky;
} column;

INLINE column column_advance(column k, const int by, const int units, const int taps) {
    k.unit += by;
    while (k.unit >= units) {
        k.unit -= units;
        if (++k.kx == taps) {
            k.kx = 0;
            k.ky++;
        }
    }
    return k;
}

/* What all functions need: the convolution as the group sees it. */
typedef struct problem {
    int c, o, h, width, kw; /* as the kernel's arguments */
    int x_block, x_pixel;
    axis ys, xs; /* the taps of its phase */
    int n0;      /* its first output */
} problem;

/* Loads this item's units of the next tile of X, and moves `at` past them. `under_first`, `row`, `col`: the input
 * pixels under the first tap of its output pixels, whether they exist or not. */
INLINE void x_load(xunit next[X_PIXELS][X_UNITS], const problem *q, __global const float *under_first[X_PIXELS],
                   const int row[X_PIXELS], const int col[X_PIXELS], column *at) {
#pragma unroll
    for (int u = 0; u < X_UNITS; u++) {
        const int down = at->ky * q->ys.move, right = at->kx * q->xs.move;
        const int channel = at->unit / (XB / XV) * q->x_block + at->unit % (XB / XV) * XV;
        const int shift = (down * q->width + right) * q->x_pixel + channel;
#pragma unroll
        for (int i = 0; i < X_PIXELS; i++) {
            const bool inside =
                at->ky < q->ys.count && (uint)(row[i] + down) < (uint)q->h && (uint)(col[i] + right) < (uint)q->width;
            next[i][u] = 0;
            if (inside)
                next[i][u] = *(__global const xunit *)(under_first[i] + shift);
        }
        *at = column_advance(*at, X_STEP, q->c / XV, q->xs.count);
    }
}

INLINE void x_store(__local float4 *tile, xunit next[X_PIXELS][X_UNITS], const int item) {
    __local float *row = (__local float *)tile + item % TILE_M * PITCH + item / TILE_M * XV;
#pragma unroll
    for (int i = 0; i < X_PIXELS; i++, row += ITEMS * PITCH)
#pragma unroll
        for (int u = 0; u < X_UNITS; u++)
            *(__local xunit *)(row + u * X_STEP * XV) = next[i][u];
}

#if GRAD_INPUT
/* w is [tap][output][column k] here: vectors along k, which w_store turns. */
INLINE void w_load(float4 next[W_UNITS], const problem *q, __global const float *w, const int item, column *at) {
    const int channel = q->n0 + item % TILE_N;
#pragma unroll
    for (int u = 0; u < W_UNITS; u++) {
        const int tap = (q->ys.first + at->ky * q->ys.step) * q->kw + q->xs.first + at->kx * q->xs.step;
        next[u] = 0;
        if (at->ky < q->ys.count && channel < q->o)
            next[u] = *(__global const float4 *)(w + (tap * q->o + channel) * q->c + at->unit * 4);
        *at = column_advance(*at, W_STEP, q->c / 4, q->xs.count);
    }
}

INLINE void w_store(__local float4 *tile, float4 next[W_UNITS], const int item) {
    __local float *to = (__local float *)tile + item / TILE_N * 4 * TILE_N + item % TILE_N;
#pragma unroll
    for (int u = 0; u < W_UNITS; u++, to += W_STEP * 4 * TILE_N) {
        to[0 * TILE_N] = next[u].s0;
        to[1 * TILE_N] = next[u].s1;
        to[2 * TILE_N] = next[u].s2;
        to[3 * TILE_N] = next[u].s3;
    }
}
#else
/* w is [tap][column k][output], so that all columns of all taps are rows of one matrix. `at`: the next tile's first. */
INLINE void w_load(float4 next[W_UNITS], const problem *q, __global const float *w, const int item, column *at) {
#pragma unroll
    for (int u = 0; u < W_UNITS; u++) {
        const int vector = item + u * ITEMS, k = at->unit + vector / (TILE_N / 4);
        const int channel = q->n0 + vector % (TILE_N / 4) * 4;
        next[u] = 0;
        if (k < q->ys.count * q->xs.count * q->c && channel < q->o)
            next[u] = *(__global const float4 *)(w + k * q->o + channel);
    }
    at->unit += TILE_K;
}

INLINE void w_store(__local float4 *tile, float4 next[W_UNITS], const int item) {
#pragma unroll
    for (int u = 0; u < W_UNITS; u++)
        if (item + u * ITEMS < TILE_K * TILE_N / 4)
            tile[item + u * ITEMS] = next[u];
}
#endif

/* sum += x_tile * w_tile, this item's part. */
INLINE void tiles_multiply(float4 sum[ITEM_M][VECTORS], __local const float4 *x_tile, __local const float4 *w_tile,
                           const int item) {
    x_tile += item / ITEMS_N * (PITCH / 4);
    w_tile += item % ITEMS_N;
#pragma unroll
    for (int k = 0; k < TILE_K; k += 4) {
        float4 weight[4][VECTORS];
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int b = 0; b < VECTORS; b++)
                weight[j][b] = w_tile[(k + j) * (TILE_N / 4) + b * ITEMS_N];
#pragma unroll
        for (int i = 0; i < ITEM_M; i++) {
            const float4 pixel = x_tile[i * ITEMS_M * (PITCH / 4) + k / 4];
#pragma unroll
            for (int b = 0; b < VECTORS; b++) {
                sum[i][b] = fma((float4)(pixel.s0), weight[0][b], sum[i][b]);
                sum[i][b] = fma((float4)(pixel.s1), weight[1][b], sum[i][b]);
                sum[i][b] = fma((float4)(pixel.s2), weight[2][b], sum[i][b]);
                sum[i][b] = fma((float4)(pixel.s3), weight[3][b], sum[i][b]);
            }
        }
    }
}

/* `images`: of x and y. `c` channels and h * width pixels of x, `o` and ho * wo of y, as this kernel names them. A
 * kernel of kh * kw taps, stride s, padding p, dilation d. `bias` is not read unless BIAS. */
__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void
conv2d_implicit(__global const float *restrict x, const ulong4 xv, __global const float *restrict w, const ulong4 wv,
                __global const float *restrict bias, const ulong4 biasv, __global float *restrict y, const ulong4 yv,
                const int images, const int c, const int o, const int h, const int width, const int ho, const int wo,
                const int kh, const int kw, const int s, const int p, const int d) {
    __local float4 x_tile[TILE_M * PITCH / 4], w_tile[TILE_K * TILE_N / 4];
    __local int2 places[TILE_M]; /* of the output pixels: image (-1: it does not exist), pixel */
    const int item = get_local_id(0), group = get_group_id(0), tiles_n = (o + TILE_N - 1) / TILE_N;

    /* The pixels of a phase: out_h * out_w, every up-th row and column of y. */
    const int up = GRAD_INPUT ? s : 1, phases_x = min(up, wo);
    const int phase_y = (int)get_group_id(1) / phases_x, phase_x = (int)get_group_id(1) % phases_x;
    const int out_h = (ho - phase_y + up - 1) / up, out_w = (wo - phase_x + up - 1) / up;
    axis ys = axis_of(phase_y, kh, s, p, d);
    const axis xs = axis_of(phase_x, kw, s, p, d);
    if (xs.count == 0)
        ys.count = 0; /* no tap is seen: none is loaded */
    const problem q = {.c = c,
                       .o = o,
                       .h = h,
                       .width = width,
                       .kw = kw,
                       .x_block = xv.s2,
                       .x_pixel = xv.s3,
                       .ys = ys,
                       .xs = xs,
                       .n0 = group % tiles_n * TILE_N};

    __global const float *under_first[X_PIXELS];
    int row[X_PIXELS], col[X_PIXELS];
#pragma unroll
    for (int i = 0; i < X_PIXELS; i++) {
        const int m_own = item % TILE_M + i * ITEMS, m = group / tiles_n * TILE_M + m_own;
        const int n = m / (out_h * out_w), at = m % (out_h * out_w);
        const int out_row = at / out_w * up + phase_y, out_col = at % out_w * up + phase_x;
        row[i] = n < images ? axis_origin(q.ys, out_row, s, p, d) : OUTSIDE;
        col[i] = axis_origin(q.xs, out_col, s, p, d);
        under_first[i] = x + xv.s0;
        if (n < images)
            under_first[i] += (long)(n * xv.s1) + (row[i] * width + col[i]) * q.x_pixel;
        if (item < TILE_M)
            places[m_own] = (int2)(n < images ? n : -1, out_row * wo + out_col);
    }

    float4 sum[ITEM_M][VECTORS];
#pragma unroll
    for (int b = 0; b < VECTORS; b++) {
        const int channel = q.n0 + (item % ITEMS_N + b * ITEMS_N) * 4;
        float4 start = 0;
        if (BIAS && channel < o)
            start = *(__global const float4 *)(bias + biasv.s0 + channel);
#pragma unroll
        for (int i = 0; i < ITEM_M; i++)
            sum[i][b] = start;
    }

    xunit x_next[X_PIXELS][X_UNITS];
    float4 w_next[W_UNITS];
    column x_at = column_advance((column){0, 0, 0}, item / TILE_M, c / XV, q.xs.count), w_at = {0, 0, 0};
    if (GRAD_INPUT)
        w_at = column_advance(w_at, item / TILE_N, c / 4, q.xs.count);
    w += wv.s0;
    x_load(x_next, &q, under_first, row, col, &x_at);
    w_load(w_next, &q, w, item, &w_at);
    barrier(CLK_LOCAL_MEM_FENCE); /* of the places, if there is no tap */
    for (int k = 0; k < q.ys.count * q.xs.count * c; k += TILE_K) {
        x_store(x_tile, x_next, item);
        w_store(w_tile, w_next, item);
        barrier(CLK_LOCAL_MEM_FENCE);
        x_load(x_next, &q, under_first, row, col, &x_at); /* past the end: zeros */
        w_load(w_next, &q, w, item, &w_at);
        tiles_multiply(sum, x_tile, w_tile, item);
        barrier(CLK_LOCAL_MEM_FENCE);
    }

    y += yv.s0;
#pragma unroll
    for (int i = 0; i < ITEM_M; i++) {
        const int2 place = places[item / ITEMS_N + i * ITEMS_M];
        if (place.s0 < 0)
            continue;
        __global float *to = y + place.s0 * yv.s1 + place.s1 * yv.s3;
#pragma unroll
        for (int b = 0; b < VECTORS; b++) {
            const int channel = q.n0 + (item % ITEMS_N + b * ITEMS_N) * 4;
            if (channel < o)
                *(__global float4 *)(to + channel / B * yv.s2 + channel % B) = sum[i][b];
        }
    }
}
