/* A batch normalisation behind a convolution, y = scale * conv(x, w) + shift, as a convolution:
 *
 *   folded[r][o] = w[r][o] * scale[o],   folded_bias[o] = bias[o] * scale[o] + shift[o]
 *
 * Layout: w [rows][blocks * B], a row for each tap and input channel; folded [rows][all_blocks * B], of which w takes the
 * blocks from `first` on: convolutions that become one lie side by side.
 * Index map: work-item = output channel block. Work per item: all its rows. */
#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block */
#endif
#ifndef BIAS
#define BIAS 0 /* whether there is a bias */
#endif

__kernel void conv2d_fold(__global const float *w, ulong4 wv, __global const float *bias, ulong4 biasv,
                          __global const float *scale, ulong4 scv, __global const float *shift, ulong4 shv,
                          __global float *folded, ulong4 fv, __global float *folded_bias, ulong4 fbv, int rows,
                          int blocks, int all_blocks, int first) {
    int block = get_global_id(0);
    if (block >= blocks)
        return;
    VEC(B) a = LOAD(B, scale + AT(scv, 0, block, 0)), b = LOAD(B, shift + AT(shv, 0, block, 0));
    if (BIAS)
        b = fma(LOAD(B, bias + AT(biasv, 0, block, 0)), a, b);
    STORE(B, b, folded_bias + fbv.s0 + (first + block) * B);
    for (int r = 0; r < rows; r++) {
        ulong from = ((ulong)r * blocks + block) * B, to = ((ulong)r * all_blocks + first + block) * B;
        STORE(B, a * LOAD(B, w + wv.s0 + from), folded + fv.s0 + to);
    }
}
