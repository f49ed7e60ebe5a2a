/* y = a + b, element by element; y may be a or b.
 *
 * Work-items: (run of pixels, channel block, image). */
#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block */
#endif

__kernel void add(__global const float *a, ulong4 av, __global const float *b, ulong4 bv, __global float *y, ulong4 yv,
                  int pixels, int run) {
    int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * run;
    for (int pixel = first; pixel < min(first + run, pixels); pixel++)
        STORE(B, LOAD(B, a + AT(av, n, block, pixel)) + LOAD(B, b + AT(bv, n, block, pixel)),
              y + AT(yv, n, block, pixel));
}
