/* How many rows have their largest logit, the first among equals, at their label.
 * Rows lie in blocks of B channels, without gaps. Work-items: rows (row); count (one). */
#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block */
#endif

__kernel void accuracy_rows(__global const float *restrict x, ulong4 xv, __global const int *restrict labels, ulong4 lv,
                            __global float *restrict hits, ulong4 hv, int rows, int classes) {
    int n = get_global_id(0);
    if (n >= rows)
        return;
    int best = 0;
    float largest = x[AT(xv, n, 0, 0)];
    for (int k = 1; k < classes; k++) {
        float logit = x[AT(xv, n, k / B, 0) + k % B];
        if (logit > largest) {
            largest = logit;
            best = k;
        }
    }
    hits[hv.s0 + n] = best == labels[lv.s0 + n * lv.s1];
}

__kernel void accuracy_count(__global const float *restrict hits, ulong4 hv, __global float *restrict count, ulong4 cv,
                             int rows) {
    if (get_global_id(0) > 0)
        return;
    float sum = 0;
    for (int n = 0; n < rows; n++)
        sum += hits[hv.s0 + n];
    count[cv.s0] = sum;
}
