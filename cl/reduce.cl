/* Merging the rows that parts left (reduce.clh).
 *
 *   out[i][e] = sum of in[k][first + e] over the rows k = i*group ... of a group, for e < width
 *
 * Work-items: (B floats of the row, i). */
#include "tensor.clh"

#ifndef B
#define B 16 /* floats of a work-item */
#endif

__kernel void sum(__global const float *restrict in, ulong4 iv, __global float *restrict out, ulong4 ov, int count,
                  int group, int row, int first, int width) {
    int e = get_global_id(0) * B, i = get_global_id(1);
    if (e >= width)
        return;
    VEC(B) total = (VEC(B))(0.0f);
    for (int k = i * group; k < min(i * group + group, count); k++)
        total += LOAD(B, in + iv.s0 + (ulong)k * row + first + e);
    STORE(B, total, out + ov.s0 + (ulong)i * width + e);
}
