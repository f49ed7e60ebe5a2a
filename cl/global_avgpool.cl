/* The mean of each channel over the pixels of an image.
 *
 *   y[n,c]      = 1 / (h*w) * sum over pixels of x[n,c,pixel]
 *   dx[n,c,pixel] = dy[n,c] * scale, scale = 1 / (h*w)
 *
 * Work-items: forward (channel blocks of all images); grad (run of pixels, channel block, image). */
#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block */
#endif

typedef VEC(B) vec;

/* One sum a row, then the sum of those: keeps the rounding error small. */
__kernel void global_avgpool_forward(__global const float *restrict x, ulong4 xv, __global float *restrict y, ulong4 yv,
                                     int h, int w, int blocks, int items) {
    int item = get_global_id(0), block = item % blocks, n = item / blocks;
    if (item >= items)
        return;
    vec total = (vec)(0.0f);
    for (int row = 0; row < h; row++) {
        vec sum = (vec)(0.0f);
        for (int column = 0; column < w; column++)
            sum += LOAD(B, x + AT(xv, n, block, row * w + column));
        total += sum;
    }
    STORE(B, total / (float)(h * w), y + AT(yv, n, block, 0));
}

__kernel void global_avgpool_grad(__global const float *restrict dy, ulong4 yv, __global float *restrict dx, ulong4 xv,
                                  float scale, int pixels, int run) {
    int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * run;
    vec value = LOAD(B, dy + AT(yv, n, block, 0)) * scale;
    for (int pixel = first; pixel < min(first + run, pixels); pixel++)
        STORE(B, value, dx + AT(xv, n, block, pixel));
}
