/* Between an image in channel blocks and a row of features, both without gaps among their channels:
 *
 *   flatten:   y[n, c * pixels + p] = x[n,c,p]
 *   unflatten: dx[n,c,p] = dy[n, c * pixels + p]
 *
 * Work-items: flatten (run of features, image); unflatten (run of pixels, channel block, image). Padding is zeroed. */
#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block of the image */
#endif
#ifndef ROW
#define ROW 16 /* features in a block of the row */
#endif

/* `stored`: features with the padding. */
__kernel void flatten(__global const float *restrict x, ulong4 xv, __global float *restrict y, ulong4 yv, int channels,
                      int stored, int pixels, int run) {
    int n = get_global_id(1), first = get_global_id(0) * run;
    for (int f = first; f < min(first + run, stored); f++) {
        int c = f / pixels, p = f % pixels;
        y[AT(yv, n, f / ROW, 0) + f % ROW] = c < channels ? x[AT(xv, n, c / B, p) + c % B] : 0.0f;
    }
}

__kernel void unflatten(__global const float *restrict dy, ulong4 yv, __global float *restrict dx, ulong4 xv,
                        int channels, int pixels, int run) {
    int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * run;
    for (int pixel = first; pixel < min(first + run, pixels); pixel++)
        for (int lane = 0; lane < B; lane++) {
            int c = block * B + lane, f = c * pixels + pixel;
            dx[AT(xv, n, block, pixel) + lane] = c < channels ? dy[AT(yv, n, f / ROW, 0) + f % ROW] : 0.0f;
        }
}
