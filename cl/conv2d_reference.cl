/* conv2d, the reference: every kernel size, stride, padding, dilation, group count and layout; simple, not fast.
 *
 *   y[n,o,oy,ox]  = bias[o] + sum over c,ky,kx of x[n,c,oy*S-P+ky*D, ox*S-P+kx*D] * w[ky,kx,c,o]
 *   dx[n,c,iy,ix] = sum over o,ky,kx of dy[n,o,oy,ox] * w[ky,kx,c,o]  where oy*S-P+ky*D == iy, likewise ox
 *   dw[ky,kx,c,o] = sum over n,oy,ox of x[...] * dy[n,o,oy,ox]
 *
 * Weights: [ky][kx][input channels of a group][O]. Channels are stored ones, padding included; with groups they are
 * the real ones, and the padding is left out of the sums.
 * Work-items: forward and grad_input (pixel, channel block, image); grad_weight (c, tap, output channel block). */
#include "tensor.clh"

#ifndef XB /* channels in a block of x and dx */
#define XB 16
#endif
#ifndef YB /* channels in a block of y and dy */
#define YB 16
#endif
#ifndef KH /* kernel */
#define KH 3
#define KW 3
#endif
#ifndef S /* stride */
#define S 1
#endif
#ifndef P /* padding */
#define P 1
#endif
#ifndef D /* dilation */
#define D 1
#endif
#ifndef C /* input channels: stored, or real with groups */
#define C 16
#endif
#ifndef O /* output channels: stored, or real with groups */
#define O 16
#endif
#ifndef OS /* output channels stored: the row length of w */
#define OS 16
#endif
#ifndef GROUPS
#define GROUPS 1
#endif
#ifndef BIAS
#define BIAS 0
#endif
#define GC (C / GROUPS) /* channels of a group */
#define GO (O / GROUPS)

__kernel void conv2d_forward(__global const float *x, ulong4 xv, __global const float *w, ulong4 wv,
                             __global const float *bias, ulong4 bv, __global float *y, ulong4 yv, int h, int width,
                             int oh, int ow) {
    int pixel = get_global_id(0), block = get_global_id(1), n = get_global_id(2);
    if (pixel >= oh * ow)
        return;
    int oy = pixel / ow, ox = pixel % ow;
    float sum[YB];
    for (int l = 0; l < YB; l++)
        sum[l] = BIAS ? bias[bv.s0 + block * YB + l] : 0;
    for (int ky = 0; ky < KH; ky++)
        for (int kx = 0; kx < KW; kx++) {
            int iy = oy * S - P + ky * D, ix = ox * S - P + kx * D;
            if (iy < 0 || iy >= h || ix < 0 || ix >= width)
                continue;
            __global const float *taps = w + wv.s0 + (ulong)(ky * KW + kx) * GC * OS + block * YB;
            for (int l = 0; l < YB; l++) {
                int o = block * YB + l;
                int first = o / GO * GC; /* the first channel that o sees */
                for (int c = 0; c < GC && o < O; c++)
                    sum[l] += x[AT(xv, n, (first + c) / XB, iy * width + ix) + (first + c) % XB] * taps[c * OS + l];
            }
        }
    for (int l = 0; l < YB; l++)
        y[AT(yv, n, block, pixel) + l] = sum[l];
}

__kernel void conv2d_grad_input(__global const float *dy, ulong4 yv, __global const float *w, ulong4 wv,
                                __global float *dx, ulong4 xv, int h, int width, int oh, int ow) {
    int pixel = get_global_id(0), block = get_global_id(1), n = get_global_id(2);
    if (pixel >= h * width)
        return;
    int iy = pixel / width, ix = pixel % width;
    float sum[XB];
    for (int l = 0; l < XB; l++)
        sum[l] = 0;
    for (int ky = 0; ky < KH; ky++)
        for (int kx = 0; kx < KW; kx++) {
            int sy = iy + P - ky * D, sx = ix + P - kx * D;
            if (sy < 0 || sx < 0 || sy % S || sx % S || sy / S >= oh || sx / S >= ow)
                continue;
            int from = sy / S * ow + sx / S;
            for (int l = 0; l < XB; l++) {
                int c = block * XB + l;
                int first = c / GC * GO; /* the first output that sees c */
                __global const float *taps = w + wv.s0 + ((ulong)(ky * KW + kx) * GC + c % GC) * OS + first;
                for (int o = 0; o < GO && c < C; o++)
                    sum[l] += dy[AT(yv, n, (first + o) / YB, from) + (first + o) % YB] * taps[o];
            }
        }
    for (int l = 0; l < XB; l++)
        dx[AT(xv, n, block, pixel) + l] = sum[l];
}

/* One sum an image, then the sum of those: keeps the rounding error of long sums small. */
__kernel void conv2d_grad_weight(__global const float *x, ulong4 xv, __global const float *dy, ulong4 yv,
                                 __global float *dw, ulong4 wv, int h, int width, int oh, int ow, int images) {
    int c = get_global_id(0), tap = get_global_id(1), block = get_global_id(2);
    if (c >= GC)
        return;
    int ky = tap / KW, kx = tap % KW;
    float total[YB];
    for (int l = 0; l < YB; l++)
        total[l] = 0;
    for (int n = 0; n < images; n++) {
        float sum[YB];
        for (int l = 0; l < YB; l++)
            sum[l] = 0;
        for (int oy = 0; oy < oh; oy++)
            for (int ox = 0; ox < ow; ox++) {
                int iy = oy * S - P + ky * D, ix = ox * S - P + kx * D;
                if (iy < 0 || iy >= h || ix < 0 || ix >= width)
                    continue;
                for (int l = 0; l < YB; l++) {
                    int o = block * YB + l, from = o / GO * GC + c;
                    if (o < O)
                        sum[l] += x[AT(xv, n, from / XB, iy * width + ix) + from % XB] *
                                  dy[AT(yv, n, block, oy * ow + ox) + l];
                }
            }
        for (int l = 0; l < YB; l++)
            total[l] += sum[l];
    }
    for (int l = 0; l < YB; l++)
        dw[wv.s0 + ((ulong)tap * GC + c) * OS + block * YB + l] = total[l];
}
