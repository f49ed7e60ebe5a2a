/* Max pooling with windows of K x K pixels, stride S, padding P.
 *
 *   y[n,c,oy,ox]  = max over the window's pixels inside the image: rows oy*S-P ..., columns ox*S-P ...
 *   dx[n,c,iy,ix] = sum of dy over the windows whose first maximum, in row-major order, is (iy, ix)
 *
 * Any window; each vector on its own. Work-items: (run of pixels, channel block, image), of y (forward) or of dx
 * (grad). */
#include "maxpool.clh"

__kernel void maxpool_forward(__global const float *x, ulong4 xv, __global const float *scale, ulong4 scv,
                              __global const float *shift, ulong4 shv, __global float *y, ulong4 yv,
                              __global PLACE *winners, ulong4 wv, int h, int w, int oh, int ow, int pixels, int run) {
    int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * run;
    __global const float *image = x + AT(xv, n, block, 0);
    vec a = LOADED ? LOAD(B, scale + AT(scv, 0, block, 0)) : (vec)(1.0f);
    vec b = LOADED ? LOAD(B, shift + AT(shv, 0, block, 0)) : (vec)(0.0f);
    for (int pixel = first; pixel < min(first + run, pixels); pixel++) {
        int top = pixel / ow * S - P, left = pixel % ow * S - P;
        vec best = (vec)(-INFINITY);
        places winner = (places)((max(top, 0) - top) * K + max(left, 0) - left);
        for (int iy = max(top, 0); iy < min(top + K, h); iy++)
            for (int ix = max(left, 0); ix < min(left + K, w); ix++) {
                vec value = load_x(image + (ulong)(iy * w + ix) * xv.s3, a, b);
                places better = (value > best) | (value != value);
                winner = select(winner, (places)((iy - top) * K + ix - left), better);
                best = select(best, value, better);
            }
        STORE(B, best, y + AT(yv, n, block, pixel));
        if (WINNERS)
            STORE_PLACES(winner, winners + PLACE_AT(wv, get_global_size(1), n, block, pixels, pixel));
    }
}

__kernel void maxpool_grad(__global const PLACE *winners, ulong4 wv, __global const float *restrict dy, ulong4 yv,
                           __global float *restrict dx, ulong4 xv, int h, int w, int oh, int ow, int pixels, int run) {
    int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * run;
    for (int pixel = first; pixel < min(first + run, pixels); pixel++) {
        int iy = pixel / w + P, ix = pixel % w + P; /* in the padded image */
        vec sum = (vec)(0.0f);
        for (int oy = max(iy - K + S, 0) / S; oy <= min(iy / S, oh - 1); oy++)
            for (int ox = max(ix - K + S, 0) / S; ox <= min(ix / S, ow - 1); ox++) {
                int from = oy * ow + ox;
                places winner = LOAD_PLACES(winners + PLACE_AT(wv, get_global_size(1), n, block, oh * ow, from));
                places here = (places)((iy - oy * S) * K + ix - ox * S);
                sum += select((vec)(0.0f), LOAD(B, dy + AT(yv, n, block, from)), winner == here);
            }
        STORE(B, sum, dx + AT(xv, n, block, pixel));
    }
}
