/* Fused Winograd convolution: forward. Filters of 3x3 with padding 1 or 5x5 with padding 2, stride 1.
 *
 *   xn = load_act(scale * x + shift),  y = act(conv(xn, w) + bias + (ACCUMULATE ? y : 0)),  moments of y
 *
 * Layout: x and y in channel blocks [n][c/B][h][w][B]; u [36][C][O], made of the weights [ky][kx][C][O] by
 * conv2d_winograd_weights; moments: rows of (count, mean, M2) as in batchnorm.cl, one for each item.
 *
 * Index map: work-item = run of `images_of_item` images, which it takes patch by patch: `images_of_patch` images, or a
 * band of `band` rows of tiles of one.
 * Work per item: for each patch, stage the inputs in private memory; for every T tiles, in turns,
 *
 *      6x6 of staged inputs         36 products              M x M results
 *      [][][][][][]      B'x B     v[C][36][T]      A'm A      [][][][]
 *      [][][][][][]    -------->   m = u' v     ----------->   [][][][]   -> act, moments, y
 *      ...(steps of M)             m[O][36][T]                 ...
 *
 * Errors, relative to the largest result, measured for 3 to 64 channels of noise against double precision: 3e-7 in the
 * mean square and 5e-6 at most; a direct convolution has 4e-7 at most. */

#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block, lanes of a vector: a multiple of 4 */
#endif
#ifndef T
#define T 16 /* tiles that are transformed, then multiplied, at once: a multiple of TT */
#endif
#ifndef TT
#define TT 16 /* tiles of a register tile */
#endif
#ifndef NB
#define NB 1 /* blocks of a register tile: a divisor of O / B; TT * NB <= 24 */
#endif
#ifndef SCRATCH
#define SCRATCH 16384 /* vectors of private memory: staged inputs, v, m, moments */
#endif
#ifndef BIAS
#define BIAS 0 /* whether there is a bias */
#endif
#ifndef ACCUMULATE
#define ACCUMULATE 0 /* whether to add to y */
#endif
#ifndef ACT
#define ACT 0
#endif
#ifndef MOMENTS
#define MOMENTS 0 /* whether to write the moments of y */
#endif
#ifndef EDGES
#define EDGES 1 /* whether tiles reach beyond the image: its sides are no multiples of M */
#endif
#ifndef STREAM
#define STREAM 0 /* whether y should bypass the cache, if the compiler can */
#endif

#include "fused.clh"
#include "winograd.clh"

/* Finishes one tile of a block: `m` is its first vector, `y` its first pixel. Rows and columns from `rows`, `columns`
 * on are not there. */
APART void results_transform(const vec *m, __global float *y, const ulong line, const ulong pixel,
                              const vec bias, const int rows, const int columns, running *moments,
                              const float before) {
    vec result[M][M], sum = (vec)(0.0f), squares = (vec)(0.0f);
    TRANSFORM(a_transposed, POINTS, M, m[AT_POINT(0, i * POINTS + j)], result[i][j] = value);
#pragma unroll
    for (int i = 0; i < M; i++)
#pragma unroll
        for (int j = 0; j < M; j++) {
            if (EDGES && (i >= rows || j >= columns))
                continue;
            __global float *to = y + i * line + j * pixel;
            vec value = result[i][j];
            if (BIAS)
                value += bias;
            if (ACCUMULATE)
                value += BLOCK_OF(to);
            result[i][j] = value = activate(ACT, value);
            STREAM_BLOCK(STREAM, value, to);
            sum += value;
        }
    if (!MOMENTS)
        return;
    const float count = EDGES ? rows * columns : M * M;
    const vec centre = sum * (1 / count);
#pragma unroll
    for (int i = 0; i < M; i++)
#pragma unroll
        for (int j = 0; j < M; j++)
            if (!EDGES || (i < rows && j < columns)) {
                const vec d = result[i][j] - centre;
                squares = fma(d, d, squares);
            }
    moments_add(moments, before, centre, squares, count);
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void
conv2d_winograd(__global const float *restrict x, const ulong4 xv, __global const float *restrict u, const ulong4 uv,
                __global float *restrict y, const ulong4 yv, __global const float *restrict scale, const ulong4 scalev,
                __global const float *restrict shift, const ulong4 shiftv, __global const float *restrict bias,
                const ulong4 biasv, __global float *restrict rows, const ulong4 rowsv, const int images,
                const int images_of_item, const int images_of_patch, const int band, const int height, const int width,
                const int channels, const int c_blocks, const int o_blocks, const int given,
                const int load_act) {
    const int item = get_global_id(0), end = min(images, (item + 1) * images_of_item);
    vec scratch[SCRATCH];
    const int staged_size = images_of_patch * c_blocks * (band * M + K - 1) * ((width + M - 1) / M * M + K - 1);
    vec *staged = scratch, *v = staged + staged_size, *m = v + AT_POINT(c_blocks, 0);
    running *moments = (running *)(m + AT_POINT(o_blocks, 0));
    for (int i = 0; i < AT_POINT(c_blocks, 0); i++)
        v[i] = (vec)(0.0f); /* tiles that are not there are multiplied too */
    moments_start(moments, o_blocks);
    float seen = 0;

    for (int n = item * images_of_item; n < end; n += images_of_patch)
        for (int top = 0; top < height; top += band * M) {
            const patch p = patch_of(min(images_of_patch, end - n), top, band, height, width);
            stage(staged, p, x + xv.s0 + n * xv.s1, xv, c_blocks, height, width, load_act,
                  given & LOAD_SCALE ? scale + scalev.s0 : 0, given & LOAD_SHIFT ? shift + shiftv.s0 : 0);
            const int all = p.images * p.tile_rows * p.tile_columns;
            tile first = {0, 0, 0};
            __global const float *next = x + xv.s0 + (n + p.images) * xv.s1;
            const int lines = lines_ahead(p, c_blocks, height, width);
            for (int done = 0; done < all; done += T) {
                const int tiles = min(T, all - done);
                tile t = first;
                for (int i = 0; i < tiles; i++, t = tile_next(t, p))
                    inputs_transform(staged, p, t, v + i, c_blocks);
                for (int k = 0; k < SQUARE; k++) {
                    next = fetch_ahead(next, lines);
                    multiply(v + AT_POINT(0, k), u + uv.s0 + (ulong)k * c_blocks * B * o_blocks * B,
                             m + AT_POINT(0, k), tiles, channels, o_blocks);
                }
                float before = seen;
                for (int block = 0; block < o_blocks; block++) {
                    const vec start = BIAS ? LOAD(B, bias + biasv.s0 + block * B) : (vec)(0.0f);
                    t = first;
                    before = seen;
                    for (int i = 0; i < tiles; i++, t = tile_next(t, p)) {
                        const int row = top + t.row * M, column = t.column * M;
                        const int there = min(M, height - row), across = min(M, width - column);
                        results_transform(m + AT_POINT(block, 0) + i,
                                          y + AT(yv, n + t.image, block, row * width + column), width * yv.s3, yv.s3,
                                          start, there, across, moments + block, before);
                        before += there * across;
                    }
                }
                seen = before;
                first = t;
            }
        }

    if (MOMENTS)
        moments_store(moments, o_blocks, seen, rows + rowsv.s0 + (ulong)item * 3 * o_blocks * B);
}

/* u = G w G' of one block of weights, those of a tap beginning at `w`, `tap` floats from one to the next. Transposed,
 * the block's lanes are `line` floats apart. */
APART void weights_transform(__global const float *w, const int tap, const int line, __global float *u) {
    vec taps[K][K];
    for (int i = 0; i < K * K; i++, w += tap) {
        float lanes[B];
        for (int lane = 0; lane < B; lane++)
            lanes[lane] = w[lane * line];
        taps[i / K][i % K] = LOAD(B, lanes);
    }
    TRANSFORM(g_plain, K, POINTS, taps[i][j], STORE(B, value, u + (ulong)(i * POINTS + j) * tap));
}

/* u [36][C][O], or `transposed` [36][O][C]. `inputs`, `outputs`: stored channels.
 * Index map: work-item = (block of the last axis, number along the other axis), the block running fastest. */
__kernel void conv2d_winograd_weights(__global const float *restrict w, const ulong4 wv, __global float *restrict u,
                                      const ulong4 uv, const int inputs, const int outputs, const int transposed) {
    const int width = transposed ? inputs : outputs, height = transposed ? outputs : inputs;
    const int item = get_global_id(0), first = item % (width / B) * B, row = item / (width / B);
    if (row < height)
        weights_transform(w + wv.s0 + (transposed ? first * outputs + row : row * outputs + first), inputs * outputs,
                          transposed ? outputs : 1, u + uv.s0 + (ulong)row * width + first);
}
