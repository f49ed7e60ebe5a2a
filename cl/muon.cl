/* Muon: the update of a convolution's weight, taken as a matrix w of K rows (taps and input channels) and M columns
 * (stored output channels), whose moment is made orthogonal before it is added.
 *
 *   m = momentum * m + (1 - momentum) * g;  u = (1 - momentum) * g + momentum * m
 *   X = u / |u|, then 5 times X = X * (a*I + b*A + c*A^2) with A = X^T * X;  w -= rate * (factor * X + decay * w)
 *
 * All that is multiplied with X commutes with A, so it can be gathered in a matrix T of M x M before u is touched again:
 * with P = a*I + b*A + c*A^2 the next A is A*P*P, and T grows by P. The A and T of matrices of equally many columns lie
 * behind each other, and one launch of muon_scale or muon_product computes them all; else a launch is of one matrix. In
 * products a work-item has V rows of a vector. Padding holds zeros and stays so: it is rows and columns of zeros in u.
 */
#include "tensor.clh"

#ifndef V
#define V 16 /* elements of a vector; divides M */
#endif

#include "clip.clh"

typedef VEC(V) vec;

/* u from the gradient, and the moment; the vectors from `first` to before `last` become those of u from `to` on. */
__kernel void muon_moment(__global const float *loss, ulong4 lv, CLIP_ARGUMENTS int first, int last, int run,
                          __global const float *restrict g, __global float *restrict m, __global float *restrict u,
                          ulong4 uv, int to, float momentum, float rest) {
    int begin = first + get_global_id(0) * run;
    bool keep = isfinite(loss[lv.s0]);
    for (int i = begin; i < min(begin + run, last); i++) {
        ulong at = (ulong)i * V;
        vec part = rest * CLIPPED(LOAD(V, g + at)), mean = momentum * LOAD(V, m + at) + part;
        if (keep)
            STORE(V, mean, m + at);
        STORE(V, part + momentum * mean, u + uv.s0 + (ulong)(to + i - first) * V);
    }
}

/* gram[matrix] = u^T * u, u from vector `from` on. */
__kernel void muon_gram(__global const float *restrict u, ulong4 uv, int from, int rows, int columns, int matrix,
                        __global float *restrict gram, ulong4 gv) {
    int j = get_global_id(0) * V, i = get_global_id(1) * V;
    if (j >= columns || i >= columns)
        return;
    vec sums[V];
    for (int r = 0; r < V; r++)
        sums[r] = (vec)(0.0f);
    __global const float *row = u + uv.s0 + (ulong)from * V;
    for (int k = 0; k < rows; k++, row += columns) {
        vec x = LOAD(V, row + j);
        for (int r = 0; r < V; r++)
            sums[r] += row[i + r] * x;
    }
    for (int r = 0; r < V; r++)
        STORE(V, sums[r], gram + gv.s0 + ((ulong)matrix * columns + i + r) * columns + j);
}

/* A = gram / |u|^2, and scales[matrix] = 1 / |u|: the trace of u^T * u is the square of u's norm. */
__kernel void muon_scale(__global const float *restrict gram, ulong4 gv, int columns, int count,
                         __global float *restrict A, ulong4 av, __global float *restrict scales, ulong4 sv) {
    int i = get_global_id(0), matrix = get_global_id(1);
    if (i >= columns || matrix >= count)
        return;
    ulong begin = (ulong)matrix * columns * columns;
    float trace = 0.0f;
    for (int k = 0; k < columns; k++)
        trace += gram[gv.s0 + begin + (ulong)k * (columns + 1)];
    float scale = 1.0f / fmax(sqrt(trace), 1e-7f);
    for (int j = 0; j < columns; j += V) {
        ulong at = begin + (ulong)i * columns + j;
        STORE(V, scale * scale * LOAD(V, gram + gv.s0 + at), A + av.s0 + at);
    }
    if (i == 0)
        scales[sv.s0 + matrix] = scale;
}

/* sums = x * y, V rows of x and V columns of y; rows beyond `last` are that row again. */
static inline void multiply(__global const float *x, int last, __global const float *y, int columns, vec *sums) {
    for (int r = 0; r < V; r++)
        sums[r] = (vec)(0.0f);
    for (int k = 0; k < columns; k++) {
        vec row = LOAD(V, y + (ulong)k * columns);
        for (int r = 0; r < V; r++)
            sums[r] += x[(ulong)min(r, last) * columns + k] * row;
    }
}

/* out = a*I + b*X + c*X*Y */
__kernel void muon_product(__global const float *restrict X, ulong4 xv, __global const float *restrict Y, ulong4 yv,
                           int columns, int count, float a, float b, float c, __global float *restrict out,
                           ulong4 ov) {
    int j = get_global_id(0) * V, i = get_global_id(1) * V, matrix = get_global_id(2);
    if (j >= columns || i >= columns || matrix >= count)
        return;
    ulong begin = (ulong)matrix * columns * columns, at = begin + (ulong)i * columns;
    __global const float *x = X + xv.s0 + at, *y = Y + yv.s0 + begin + j;
    vec sums[V];
    multiply(x, V - 1, y, columns, sums);
    for (int r = 0; r < V; r++) {
        float one[V];
        for (int lane = 0; lane < V; lane++)
            one[lane] = i + r == j + lane ? a : 0.0f;
        vec sum = LOAD(V, one) + b * LOAD(V, x + (ulong)r * columns + j) + c * sums[r];
        STORE(V, sum, out + ov.s0 + at + (ulong)r * columns + j);
    }
}

/* w -= rate * (factor * scales[matrix] * u * T + decay * w), w from vector `first` on. */
__kernel void muon_update(__global const float *loss, ulong4 lv, __global const float *restrict u, ulong4 uv, int from,
                          __global const float *restrict T, ulong4 tv, __global const float *restrict scales,
                          ulong4 sv, int rows, int columns, int matrix, __global float *restrict w, int first,
                          float rate, float factor, float decay) {
    int j = get_global_id(0) * V, begin = get_global_id(1) * V;
    if (j >= columns || begin >= rows || !isfinite(loss[lv.s0]))
        return;
    int last = min(V, rows - begin) - 1;
    __global const float *x = u + uv.s0 + (ulong)from * V;
    __global const float *y = T + tv.s0 + (ulong)matrix * columns * columns + j;
    vec sums[V];
    multiply(x + (ulong)begin * columns, last, y, columns, sums);
    float share = factor * scales[sv.s0 + matrix];
    for (int r = 0; r <= last; r++) {
        ulong at = (ulong)first * V + (ulong)(begin + r) * columns + j;
        vec value = LOAD(V, w + at);
        STORE(V, value - rate * (share * sums[r] + decay * value), w + at);
    }
}
