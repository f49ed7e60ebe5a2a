/* Max pooling with windows of K x K pixels, stride S, padding P.
 *
 *   y[n,c,oy,ox]  = max over the window's pixels inside the image: rows oy*S-P ..., columns ox*S-P ...
 *   dx[n,c,iy,ix] = sum of dy over the windows whose first maximum, in row-major order, is (iy, ix)
 *
 * Work-items: (run of pixels, channel block, image), of y (forward, winner) or of dx (grad).
 * A not-a-number wins every comparison, so that it is not hidden. */
#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block */
#endif
#ifndef K
#define K 3
#endif
#ifndef S
#define S 2
#endif
#ifndef P
#define P 1
#endif

#ifndef LOADED
#define LOADED 0 /* whether x is read as act(scale * x + shift) */
#endif
#ifndef KIND
#define KIND 0 /* that activation, as in fused.clh */
#endif

#include "fused.clh"

/* The maximum of the window whose first pixel, which may be outside, is (top, left); *winner: where it is, row by row. */
static inline vec window_max(__global const float *image, ulong pixel_stride, vec scale, vec shift, int top, int left,
                             int h, int w, vec *winner) {
    int first_y = max(top, 0), first_x = max(left, 0);
    vec best = (vec)(-INFINITY);
    *winner = (vec)((float)((first_y - top) * K + first_x - left));
    for (int iy = first_y; iy < min(top + K, h); iy++)
        for (int ix = first_x; ix < min(left + K, w); ix++) {
            vec value = LOAD(B, image + (ulong)(iy * w + ix) * pixel_stride);
            if (LOADED)
                value = activate(KIND, fma(value, scale, shift));
            vec tap = (vec)((float)((iy - top) * K + ix - left));
            *winner = select(*winner, tap, (value > best) | (value != value));
            best = select(best, value, (value > best) | (value != value));
        }
    return best;
}

__kernel void maxpool_forward(__global const float *x, ulong4 xv, __global const float *scale, ulong4 scv,
                              __global const float *shift, ulong4 shv, __global float *y, ulong4 yv, int h, int w,
                              int oh, int ow, int pixels, int run) {
    int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * run;
    __global const float *image = x + AT(xv, n, block, 0);
    vec a = LOADED ? LOAD(B, scale + AT(scv, 0, block, 0)) : (vec)(1.0f);
    vec b = LOADED ? LOAD(B, shift + AT(shv, 0, block, 0)) : (vec)(0.0f);
    for (int pixel = first; pixel < min(first + run, pixels); pixel++) {
        vec winner;
        vec best = window_max(image, xv.s3, a, b, pixel / ow * S - P, pixel % ow * S - P, h, w, &winner);
        STORE(B, best, y + AT(yv, n, block, pixel));
    }
}

/* The winners lie as [image][channel block][pixel][lane], without gaps. */
#define WINNER(view, pixel, count) ((view).s0 + (((ulong)n * get_global_size(1) + block) * (count) + (pixel)) * B)

__kernel void maxpool_winner(__global const float *x, ulong4 xv, __global const float *scale, ulong4 scv,
                              __global const float *shift, ulong4 shv, __global float *winners, ulong4 wv, int h, int w,
                              int oh, int ow, int pixels, int run) {
    int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * run;
    __global const float *image = x + AT(xv, n, block, 0);
    vec a = LOADED ? LOAD(B, scale + AT(scv, 0, block, 0)) : (vec)(1.0f);
    vec b = LOADED ? LOAD(B, shift + AT(shv, 0, block, 0)) : (vec)(0.0f);
    for (int pixel = first; pixel < min(first + run, pixels); pixel++) {
        vec winner;
        window_max(image, xv.s3, a, b, pixel / ow * S - P, pixel % ow * S - P, h, w, &winner);
        STORE(B, winner, winners + WINNER(wv, pixel, pixels));
    }
}

__kernel void maxpool_grad(__global const float *restrict winners, ulong4 wv, __global const float *restrict dy,
                           ulong4 yv, __global float *restrict dx, ulong4 xv, int h, int w, int oh, int ow, int pixels,
                           int run) {
    int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * run;
    for (int pixel = first; pixel < min(first + run, pixels); pixel++) {
        int iy = pixel / w + P, ix = pixel % w + P; /* in the padded image */
        vec sum = (vec)(0.0f);
        for (int oy = max(iy - K + S, 0) / S; oy <= min(iy / S, oh - 1); oy++)
            for (int ox = max(ix - K + S, 0) / S; ox <= min(ix / S, ow - 1); ox++) {
                vec winner = LOAD(B, winners + WINNER(wv, oy * ow + ox, oh * ow));
                vec tap = (vec)((float)((iy - oy * S) * K + ix - ox * S));
                sum += select((vec)(0.0f), LOAD(B, dy + AT(yv, n, block, oy * ow + ox)), winner == tap);
            }
        STORE(B, sum, dx + AT(xv, n, block, pixel));
    }
}
