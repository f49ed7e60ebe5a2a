/* Average pooling with windows of K x K pixels, stride S, padding P; the padding counts as zeros.
 *
 *   y[n,c,oy,ox]  = 1 / K^2 * sum over the window's pixels inside the image: rows oy*S-P ..., columns ox*S-P ...
 *   dx[n,c,iy,ix] = 1 / K^2 * sum of dy over the windows that contain (iy, ix)
 *
 * Work-items: (run of pixels, channel block, image), of y (forward) or of dx (grad). */
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

typedef VEC(B) vec;

__kernel void avgpool_forward(__global const float *restrict x, ulong4 xv, __global float *restrict y, ulong4 yv, int h,
                              int w, int oh, int ow, int pixels, int run) {
    int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * run;
    for (int pixel = first; pixel < min(first + run, pixels); pixel++) {
        int top = pixel / ow * S - P, left = pixel % ow * S - P;
        vec sum = (vec)(0.0f);
        for (int iy = max(top, 0); iy < min(top + K, h); iy++)
            for (int ix = max(left, 0); ix < min(left + K, w); ix++)
                sum += LOAD(B, x + AT(xv, n, block, iy * w + ix));
        STORE(B, sum * (1.0f / (K * K)), y + AT(yv, n, block, pixel));
    }
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
        STORE(B, sum * (1.0f / (K * K)), dx + AT(xv, n, block, pixel));
    }
}
