/* Fused Winograd convolution: backward, both gradients in one kernel. See conv2d_winograd.cl.
 *
 *   xn = load_act(scale * x + shift),  d = dy_scale * dy + dy_slope * y + dy_shift (written over dy if KEEP_D)
 *   dw = gradient of w from xn and d,  db = sum of d
 *   v  = (gradient of xn from d and w  (+ dx if DX_BEFORE)) * mask'(xn)
 *   sums of v and of v * (sums_of - mean) * invstd,  dx = dx_scale * v (+ dx if DX_AFTER)
 *
 * Layout: x, y, dy, dx, sums_of in channel blocks [n][c/B][h][w][B]; ut [36][O][C]; a row for each item of partial
 * sums: [2][C], of db: [O], of dw: [ky][kx][C][O].
 *
 * Index map, patches and tiles: as in conv2d_winograd.cl. For every T tiles of a patch, in turns,
 *
 *      6x6 of staged xn, M x M of d   36 products                    6x6 results
 *      [][][][][][]     B'x B        v[C][36][T]
 *      [][][][][][]    -------->     e[O][36][T]      B m B'          [][][][][][]  added to those of the
 *      ...             A d A'        dU += v e'      ------->         [][][][][][]  neighbours, which overlap
 *      (d: once each)                m = ut' e  [C][36][T]            ...           by K - 1
 *
 * dU stays in private memory through all images of the item and becomes dw = G' dU G at the end. A band ends with K - 1
 * rows of gradients that the next band still adds to.
 *
 * Errors of dx as those of the forward pass; of dw 1e-6 of the largest number, 5e-6 for sums over 16,000 pixels. */

#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block, lanes of a vector: a multiple of 4 */
#endif
#ifndef T
#define T 16 /* tiles that are transformed, then multiplied, at once: a multiple of TT */
#endif
#ifndef TT
#define TT 16 /* tiles x blocks of the register tile of dx: NB divides C / B; TT * NB <= 24 */
#endif
#ifndef NB
#define NB 1
#endif
#ifndef WC
#define WC 16 /* channels x blocks of the register tile of dw: WC divides B, WB divides O / B; WC * WB <= 24 */
#endif
#ifndef WB
#define WB 1
#endif
#ifndef SCRATCH
#define SCRATCH 16384 /* vectors of private memory: xn, its gradient, v, e, m, dU, sums */
#endif
#ifndef DY_SLOPE
#define DY_SLOPE 0 /* whether there is dy_slope, and y */
#endif
#ifndef KEEP_D
#define KEEP_D 0
#endif
#ifndef BIAS_SUM
#define BIAS_SUM 0 /* whether to write the sums of d */
#endif
#ifndef DX
#define DX 1 /* whether there is dx: else dw alone, and db */
#endif
#ifndef DX_BEFORE
#define DX_BEFORE 0
#endif
#ifndef DX_AFTER
#define DX_AFTER 0
#endif
#ifndef MASK
#define MASK 0 /* activation whose derivative is the mask */
#endif
#ifndef SUMS
#define SUMS 0 /* whether to write the sums of v */
#endif
#ifndef EDGES
#define EDGES 1 /* whether tiles reach beyond the image: its sides are no multiples of M */
#endif
#ifndef STREAM
#define STREAM 0 /* whether dx should bypass the cache, if the compiler can */
#endif

#include "fused.clh"
#include "winograd.clh"

/* e of one tile in one block: d from dy and y, and its transform; `e` is the tile's first vector. Returns the sum of d.
 * Rows and columns from `rows`, `columns` on are not there. */
APART vec upstream_transform(__global float *dy, const ulong dy_line, const ulong dy_pixel, __global const float *y,
                              const ulong y_line, const ulong y_pixel, const vec scale, const vec slope,
                              const vec shift, const int rows, const int columns, vec *e) {
    vec d[M][M], total = (vec)(0.0f);
#pragma unroll
    for (int i = 0; i < M; i++)
#pragma unroll
        for (int j = 0; j < M; j++) {
            d[i][j] = (vec)(0.0f);
            if (EDGES && (i >= rows || j >= columns))
                continue;
            __global float *from = dy + i * dy_line + j * dy_pixel;
            vec value = shift;
            if (DY_SLOPE)
                value = fma(slope, BLOCK_OF(y + i * y_line + j * y_pixel), value);
            d[i][j] = fma(scale, BLOCK_OF(from), value);
            if (KEEP_D)
                BLOCK_AT(from) = d[i][j];
            total += d[i][j];
        }
    TRANSFORM(a_plain, M, POINTS, d[i][j], e[AT_POINT(0, i * POINTS + j)] = value);
    return total;
}

/* One point's part of dU: sum[block of o][c] += sum over tiles of v[block of c][tile][lane of c] * e[block of o][tile].
 * WC channels x WB blocks at a time in registers, from zero, so that sums stay short and their errors small. */
APART void filter_multiply(const vec *v, const vec *e, vec *sum, const int tiles, const int channels,
                            const int stored, const int o_blocks) {
    for (int block = 0; block < o_blocks; block += WB)
        for (int c0 = 0; c0 < channels; c0 += WC) {
            const float *lane = (const float *)(v + AT_POINT(c0 / B, 0)) + c0 % B;
            vec *to = sum + block * stored + c0, held[WC][WB];
#pragma unroll
            for (int c = 0; c < WC; c++)
#pragma unroll
                for (int b = 0; b < WB; b++)
                    held[c][b] = (vec)(0.0f);
            for (int t = 0; t < tiles; t++)
#pragma unroll
                for (int c = 0; c < WC; c++)
#pragma unroll
                    for (int b = 0; b < WB; b++)
                        held[c][b] = fma((vec)(lane[t * B + c]), e[AT_POINT(block + b, 0) + t], held[c][b]);
#pragma unroll
            for (int c = 0; c < WC; c++)
#pragma unroll
                for (int b = 0; b < WB; b++)
                    to[b * stored + c] += held[c][b];
        }
}

/* Writes the item's row of dw. */
APART void filter_finish(const vec *filter, __global float *row, const int stored, const int o_blocks) {
    for (int c = 0; c < stored; c++)
        for (int b = 0; b < o_blocks; b++) {
            const vec *from = filter + b * stored + c;
            __global float *to = row + (c * o_blocks + b) * B;
            TRANSFORM(g_transposed, POINTS, K, from[(i * POINTS + j) * stored * o_blocks],
                      STORE(B, value, to + (i * K + j) * stored * o_blocks * B));
        }
}

/* Zeros where no earlier band has added anything; its last K - 1 rows become the first. */
APART void gradient_begin(vec *gradient, const patch p, const int blocks) {
    const int kept = p.top > 0 ? (K - 1) * p.columns : 0, size = p.rows * p.columns;
    for (int plane = 0; plane < p.images * blocks; plane++, gradient += size) {
        for (int i = 0; i < kept; i++)
            gradient[i] = gradient[size - (K - 1) * p.columns + i];
        for (int i = kept; i < size; i++)
            gradient[i] = (vec)(0.0f);
    }
}

/* Adds one tile's part of the gradient to those of its patch; `m` is its first vector. */
APART void gradient_transform(const vec *m, vec *to, const int line) {
    TRANSFORM(b_plain, POINTS, POINTS, m[AT_POINT(0, i * POINTS + j)], to[i * line + j] += value);
}

/* Finishes a row of `width` pixels of a block: mask, sums, dx. */
APART void gradient_finish(const vec *gradient, const vec *xn, __global float *dx, const ulong dx_pixel,
                            __global const float *sums_of, const ulong sums_of_pixel, const int width, const vec scale,
                            const vec mean, vec *sum, vec *sum_of) {
    vec total = (vec)(0.0f), product = (vec)(0.0f);
#pragma unroll 4
    for (int j = 0; j < width; j++, dx += dx_pixel, sums_of += sums_of_pixel) {
        vec value = gradient[j];
        const vec old = DX_BEFORE || DX_AFTER ? BLOCK_OF(dx) : (vec)(0.0f);
        if (DX_BEFORE)
            value += old;
        value = activate_grad(MASK, value, xn[j]);
        if (SUMS) {
            total += value;
            product = fma(value, BLOCK_OF(sums_of) - mean, product);
        }
        value = DX_AFTER ? fma(value, scale, old) : value * scale;
        STREAM_BLOCK(STREAM, value, dx);
    }
    *sum += total;
    *sum_of += product;
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void conv2d_winograd_grad(
    __global const float *restrict x, const ulong4 xv, __global const float *restrict scale, const ulong4 scalev,
    __global const float *restrict shift, const ulong4 shiftv, __global float *restrict dy, const ulong4 dyv,
    __global const float *restrict y, const ulong4 yv, __global const float *restrict dy_scale, const ulong4 dy_scalev,
    __global const float *restrict dy_slope, const ulong4 dy_slopev, __global const float *restrict dy_shift,
    const ulong4 dy_shiftv, __global float *restrict bias_rows, const ulong4 bias_rowsv,
    __global float *restrict weight_rows, const ulong4 weight_rowsv, __global const float *restrict ut,
    const ulong4 utv, __global float *restrict dx, const ulong4 dxv, __global const float *restrict dx_scale,
    const ulong4 dx_scalev, __global const float *restrict sums_of, const ulong4 sums_ofv,
    __global const float *restrict sums_mean, const ulong4 sums_meanv, __global const float *restrict sums_invstd,
    const ulong4 sums_invstdv, __global float *restrict sum_rows, const ulong4 sum_rowsv, const int images,
    const int images_of_item, const int images_of_patch, const int band, const int height, const int width,
    const int channels, const int outputs, const int c_blocks, const int o_blocks,
    const int given, const int load_act) {
    const int item = get_global_id(0), end = min(images, (item + 1) * images_of_item), stored = c_blocks * B;
    vec scratch[SCRATCH];
    const int staged_size = images_of_patch * c_blocks * (band * M + K - 1) * ((width + M - 1) / M * M + K - 1);
    vec *staged = scratch, *gradient = staged + staged_size, *v = gradient + DX * staged_size;
    vec *e = v + AT_POINT(c_blocks, 0), *m = e + AT_POINT(o_blocks, 0), *filter = m + DX * AT_POINT(c_blocks, 0);
    vec *sum = filter + SQUARE * stored * o_blocks, *sum_of = sum + c_blocks, *bias = sum_of + c_blocks;
    for (vec *p = e; p < m; p++)
        *p = (vec)(0.0f); /* tiles that are not there are multiplied too */
    for (vec *p = filter; p < bias + o_blocks; p++)
        *p = (vec)(0.0f);

    for (int n = item * images_of_item; n < end; n += images_of_patch)
        for (int top = 0; top < height; top += band * M) {
            const patch p = patch_of(min(images_of_patch, end - n), top, band, height, width);
            stage(staged, p, x + xv.s0 + n * xv.s1, xv, c_blocks, height, width, load_act,
                  given & LOAD_SCALE ? scale + scalev.s0 : 0, given & LOAD_SHIFT ? shift + shiftv.s0 : 0);
            if (DX)
                gradient_begin(gradient, p, c_blocks);
            const int all = p.images * p.tile_rows * p.tile_columns;
            tile first = {0, 0, 0};
            const int x_lines = lines_ahead(p, c_blocks, height, width);
            const int y_lines = lines_ahead(p, o_blocks, height, width), after = n + p.images;
            __global const float *next_x = x + xv.s0 + after * xv.s1;
            __global const float *next_y = y + yv.s0 + after * yv.s1, *next_dy = dy + dyv.s0 + after * dyv.s1;
            for (int done = 0; done < all; done += T) {
                const int tiles = min(T, all - done);
                tile t = first;
                for (int i = 0; i < tiles; i++, t = tile_next(t, p)) {
                    inputs_transform(staged, p, t, v + i, c_blocks);
                    const int row = top + t.row * M, column = t.column * M;
                    for (int b = 0; b < o_blocks; b++)
                        bias[b] += upstream_transform(
                            dy + AT(dyv, n + t.image, b, row * width + column), width * dyv.s3, dyv.s3,
                            y + AT(yv, n + t.image, b, row * width + column), width * yv.s3, yv.s3,
                            given & DY_SCALE ? LOAD(B, dy_scale + dy_scalev.s0 + b * B) : (vec)(1.0f),
                            DY_SLOPE ? LOAD(B, dy_slope + dy_slopev.s0 + b * B) : (vec)(0.0f),
                            given & DY_SHIFT ? LOAD(B, dy_shift + dy_shiftv.s0 + b * B) : (vec)(0.0f), height - row,
                            width - column, e + AT_POINT(b, 0) + i);
                }
                for (int k = 0; k < SQUARE; k++) {
                    next_x = fetch_ahead(next_x, x_lines);
                    next_dy = fetch_ahead(next_dy, y_lines);
                    if (DY_SLOPE)
                        next_y = fetch_ahead(next_y, y_lines);
                    filter_multiply(v + AT_POINT(0, k), e + AT_POINT(0, k), filter + k * stored * o_blocks, tiles,
                                    channels, stored, o_blocks);
                    if (DX)
                        multiply(e + AT_POINT(0, k), ut + utv.s0 + (ulong)k * stored * o_blocks * B,
                                 m + AT_POINT(0, k), tiles, outputs, c_blocks);
                }
                t = first;
                for (int i = 0; i < tiles; i++, t = tile_next(t, p))
                    for (int b = 0; DX && b < c_blocks; b++)
                        gradient_transform(m + AT_POINT(b, 0) + i, gradient + tile_index(p, c_blocks, t, b),
                                           p.columns);
                first = t;
            }
            const int first_row = max(top - PAD, 0);
            const int end_row = top + band * M < height ? top + band * M - PAD : height;
            for (int plane = 0; DX && plane < p.images * c_blocks; plane++) {
                const int image = plane / c_blocks, b = plane % c_blocks;
                const vec factor = given & DX_SCALE ? LOAD(B, dx_scale + dx_scalev.s0 + b * B) : (vec)(1.0f);
                const vec mean = SUMS ? LOAD(B, sums_mean + sums_meanv.s0 + b * B) : (vec)(0.0f);
                for (int row = first_row; row < end_row; row++) {
                    const int at = staged_index(p, c_blocks, image, b, row - top + PAD) + PAD;
                    gradient_finish(gradient + at, staged + at, dx + AT(dxv, n + image, b, row * width), dxv.s3,
                                    sums_of + AT(sums_ofv, n + image, b, row * width), sums_ofv.s3, width, factor, mean,
                                    sum + b, sum_of + b);
                }
            }
        }

    for (int b = 0; BIAS_SUM && b < o_blocks; b++)
        STORE(B, bias[b], bias_rows + bias_rowsv.s0 + (ulong)(item * o_blocks + b) * B);
    for (int b = 0; SUMS && b < c_blocks; b++) {
        __global float *row = sum_rows + sum_rowsv.s0 + (ulong)item * 2 * stored + b * B;
        STORE(B, sum[b], row);
        STORE(B, sum_of[b] * LOAD(B, sums_invstd + sums_invstdv.s0 + b * B), row + stored);
    }
    filter_finish(filter, weight_rows + weight_rowsv.s0 + (ulong)item * K * K * stored * o_blocks * B, stored,
                  o_blocks);
}
