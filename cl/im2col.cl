/* Between activations and the matrices of a convolution by GEMM: a row for each pixel of y, in it the taps of the window,
 * in each tap the stored channels of x. With a 1x1 window a row is just a pixel.
 *
 *   pack    matrix[n,oy,ox][ky,kx,c] = x[first+n, c, oy*S-P+ky*D, ox*S-P+kx*D], 0 outside the image
 *   unpack  x[first+n, c, iy, ix]    = bias[c] + sum over ky,kx of matrix[n,oy,ox][ky,kx,c] where oy*S-P+ky*D == iy,
 *                                      likewise ox
 *
 * Work-items: pack (pixel of y, channel block, image of the chunk), unpack (pixel of x, channel block, image). */
#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block of x */
#endif
#ifndef KH
#define KH 3 /* window */
#define KW 3
#endif
#ifndef S
#define S 1 /* stride */
#endif
#ifndef P
#define P 1 /* padding */
#endif
#ifndef D
#define D 1 /* dilation */
#endif
#ifndef BIAS
#define BIAS 0
#endif

typedef VEC(B) vec;

/* Where the matrix holds tap `tap` of the window of output pixel `pixel`. */
#define CELL(view, pixel, tap) \
    ((view).s0 + ((((ulong)n * oh * ow + (pixel)) * (KH * KW) + (tap)) * get_global_size(1) + block) * B)

__kernel void im2col_pack(__global const float *restrict x, ulong4 xv, __global float *restrict matrix, ulong4 mv,
                          int h, int w, int oh, int ow, int first) {
    int pixel = get_global_id(0), block = get_global_id(1), n = get_global_id(2);
    if (pixel >= oh * ow)
        return;
    for (int tap = 0; tap < KH * KW; tap++) {
        int iy = pixel / ow * S - P + tap / KW * D, ix = pixel % ow * S - P + tap % KW * D;
        bool inside = iy >= 0 && iy < h && ix >= 0 && ix < w;
        vec value = (vec)(0.0f);
        if (inside)
            value = LOAD(B, x + AT(xv, first + n, block, iy * w + ix));
        STORE(B, value, matrix + CELL(mv, pixel, tap));
    }
}

__kernel void im2col_unpack(__global const float *restrict matrix, ulong4 mv, __global const float *restrict bias,
                            ulong4 bv, __global float *restrict x, ulong4 xv, int h, int w, int oh, int ow, int first) {
    int pixel = get_global_id(0), block = get_global_id(1), n = get_global_id(2);
    if (pixel >= h * w)
        return;
    vec sum = (vec)(0.0f);
    if (BIAS)
        sum = LOAD(B, bias + bv.s0 + block * B);
    for (int tap = 0; tap < KH * KW; tap++) {
        int sy = pixel / w + P - tap / KW * D, sx = pixel % w + P - tap % KW * D;
        if (sy >= 0 && sx >= 0 && sy % S == 0 && sx % S == 0 && sy / S < oh && sx / S < ow)
            sum += LOAD(B, matrix + CELL(mv, sy / S * ow + sx / S, tap));
    }
    STORE(B, sum, x + AT(xv, first + n, block, pixel));
}
