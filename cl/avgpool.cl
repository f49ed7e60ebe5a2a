/* Average pooling with windows of K x K pixels, stride S, padding P; the padding counts as zeros.
 *
 *   y[n,c,oy,ox]  = 1 / K^2 * sum over the window's pixels inside the image: rows oy*S-P ..., columns ox*S-P ...
 *   dx[n,c,iy,ix] = 1 / K^2 * sum of dy over the windows that contain (iy, ix)
 *
 * Work-items: (run of pixels, channel block, image), of y (forward) or of dx (grad); forward_part: part of y
 * (reduce.clh). */
#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block */
#endif
#ifndef K
#define K 2
#endif
#ifndef S
#define S 2
#endif
#ifndef P
#define P 0
#endif

#ifndef STREAM
#define STREAM 0 /* whether the result is too large for the cache */
#endif

#include "moments.clh"

/* The mean of the window of pixel `pixel` of y. */
INLINE vec window_mean(__global const float *image, const ulong pixel_stride, const int pixel, const int h, const int w,
                       const int ow) {
    const int top = pixel / ow * S - P, left = pixel % ow * S - P;
    vec sum = (vec)(0.0f);
#if K <= 4 && P == 0
#pragma unroll
    for (int k = 0; k < K * K; k++)
        sum += LOAD(B, image + (ulong)((top + k / K) * w + left + k % K) * pixel_stride);
#else
    for (int iy = max(top, 0); iy < min(top + K, h); iy++)
        for (int ix = max(left, 0); ix < min(left + K, w); ix++)
            sum += LOAD(B, image + (ulong)(iy * w + ix) * pixel_stride);
#endif
    return sum * (1.0f / (K * K));
}

__kernel void avgpool_forward(__global const float *restrict x, ulong4 xv, __global float *restrict y, ulong4 yv, int h,
                              int w, int oh, int ow, int pixels, int run) {
    int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * run;
    __global const float *image = x + AT(xv, n, block, 0);
    for (int pixel = first; pixel < min(first + run, pixels); pixel++)
        STORE(B, window_mean(image, xv.s3, pixel, h, w, ow), y + AT(yv, n, block, pixel));
}

/* The same, which also leaves the moments of y. */
__kernel void avgpool_forward_part(__global const float *x, ulong4 xv, __global float *y, ulong4 yv, int h, int w,
                                   int oh, int ow, PART_ARGUMENTS) {
    if (get_global_id(0) >= slots)
        return;
    part p = PART;
    int block = get_global_id(1);
    gathering g = gather_nothing();
    for (int i = p.first_image; i < p.last_image; i++) {
        __global const float *image = x + AT(xv, i, block, 0);
        for (int pixel = p.first; pixel < p.last; pixel += p.step) {
            vec mean = window_mean(image, xv.s3, pixel, h, w, ow);
            STORE(B, mean, y + AT(yv, i, block, pixel));
            gather(&g, mean);
        }
    }
    GATHERED(g);
}

__kernel void avgpool_grad(__global const float *restrict dy, ulong4 yv, __global float *restrict dx, ulong4 xv, int h,
                           int w, int oh, int ow, int pixels, int run) {
    int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * run;
    for (int pixel = first; pixel < min(first + run, pixels); pixel++) {
        int iy = pixel / w + P, ix = pixel % w + P; /* in the padded image */
        vec sum = (vec)(0.0f);
        for (int oy = max(iy - K + S, 0) / S; oy <= min(iy / S, oh - 1); oy++)
            for (int ox = max(ix - K + S, 0) / S; ox <= min(ix / S, ow - 1); ox++)
                sum += LOAD(B, dy + AT(yv, n, block, oy * ow + ox));
        STREAM_BLOCK(STREAM, sum * (1.0f / (K * K)), dx + AT(xv, n, block, pixel));
    }
}
