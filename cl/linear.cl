/* y = x W + b over flat features.
 *
 *   y[n,o]  = b[o] + sum over c of x[n,c] * w[c,o]
 *   dx[n,c] = sum over o of dy[n,o] * w[c,o]
 *   dw[c,o] = sum over n of x[n,c] * dy[n,o]
 *
 * x, y in blocks of XB, YB features; w as [in][out], both stored, padding (zeros) included.
 * Work-items: forward (block of y, TILE images), grad_input (block of x, TILE images), grad_weight (block of x, block of
 * y), fill_bias (block of y, image). Sums are kept in registers: a vector of YB lanes for each image of the tile, or for
 * each lane of x:
 *
 *        image     0        1      ...  TILE-1
 *              [YB lanes][      ]  ... [      ]     one step: load a row of w, once for the whole tile */
#include "tensor.clh"

#ifndef XB
#define XB 16 /* features in a block of x */
#endif
#ifndef YB
#define YB 16 /* features in a block of y */
#endif
#ifndef TILE
#define TILE 8 /* images of a work-item */
#endif

typedef VEC(YB) vec;

static float sum_1(float v) {
    return v;
}
static float sum_2(float2 v) {
    return v.x + v.y;
}
static float sum_4(float4 v) {
    return sum_2(v.lo + v.hi);
}
static float sum_8(float8 v) {
    return sum_4(v.lo + v.hi);
}
static float sum_16(float16 v) {
    return sum_8(v.lo + v.hi);
}

__kernel void linear_forward(__global const float *restrict x, ulong4 xv, __global const float *restrict w, ulong4 wv,
                             __global const float *restrict bias, ulong4 bv, __global float *restrict y, ulong4 yv,
                             int images, int in, int out) {
    int block = get_global_id(0), first = get_global_id(1) * TILE;
    if (block * YB >= out)
        return;
    vec sum[TILE];
    for (int i = 0; i < TILE; i++)
        sum[i] = LOAD(YB, bias + bv.s0 + block * YB);
    for (int c = 0; c < in; c++) {
        vec weights = LOAD(YB, w + wv.s0 + (ulong)c * out + block * YB);
        for (int i = 0; i < TILE; i++) /* what is past the last image repeats it, and is not stored */
            sum[i] += x[AT(xv, min(first + i, images - 1), c / XB, 0) + c % XB] * weights;
    }
    for (int i = 0; i < TILE && first + i < images; i++)
        STORE(YB, sum[i], y + AT(yv, first + i, block, 0));
}

__kernel void linear_grad_input(__global float *restrict dx, ulong4 xv, __global const float *restrict w, ulong4 wv,
                                __global const float *restrict dy, ulong4 yv, int images, int in, int out) {
    int block = get_global_id(0), first = get_global_id(1) * TILE;
    if (block * XB >= in)
        return;
    for (int lane = 0; lane < XB; lane++) {
        __global const float *row = w + wv.s0 + (ulong)(block * XB + lane) * out;
        vec sum[TILE];
        for (int i = 0; i < TILE; i++)
            sum[i] = (vec)(0.0f);
        for (int o = 0; o < out / YB; o++) {
            vec weights = LOAD(YB, row + o * YB);
            for (int i = 0; i < TILE; i++)
                sum[i] += LOAD(YB, dy + AT(yv, min(first + i, images - 1), o, 0)) * weights;
        }
        for (int i = 0; i < TILE && first + i < images; i++)
            dx[AT(xv, first + i, block, 0) + lane] = PASTE(sum_, YB)(sum[i]);
    }
}

__kernel void linear_grad_weight(__global const float *restrict x, ulong4 xv, __global float *restrict dw, ulong4 wv,
                                 __global const float *restrict dy, ulong4 yv, int images, int in, int out) {
    int c = get_global_id(0), o = get_global_id(1); /* blocks */
    if (c * XB >= in)
        return;
    vec sum[XB];
    for (int lane = 0; lane < XB; lane++)
        sum[lane] = (vec)(0.0f);
    for (int n = 0; n < images; n++) {
        vec from = LOAD(YB, dy + AT(yv, n, o, 0));
        for (int lane = 0; lane < XB; lane++)
            sum[lane] += x[AT(xv, n, c, 0) + lane] * from;
    }
    for (int lane = 0; lane < XB; lane++)
        STORE(YB, sum[lane], dw + wv.s0 + (ulong)(c * XB + lane) * out + o * YB);
}

__kernel void linear_fill_bias(__global const float *restrict bias, ulong4 bv, __global float *restrict y, ulong4 yv,
                               int images, int in, int out) {
    int block = get_global_id(0), n = get_global_id(1);
    if (block * YB < out)
        STORE(YB, LOAD(YB, bias + bv.s0 + block * YB), y + AT(yv, n, block, 0));
}
