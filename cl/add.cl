/* y = a + b, element by element; y may be a or b.
 *
 * Work-items: (run of pixels, channel block, image); add_part, which also leaves the moments of y: part (reduce.clh).
 */
#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block */
#endif

#include "moments.clh"

__kernel void add(__global const float *a, ulong4 av, __global const float *b, ulong4 bv, __global float *y, ulong4 yv,
                  int pixels, int run) {
    int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * run;
    for (int pixel = first; pixel < min(first + run, pixels); pixel++)
        STORE(B, LOAD(B, a + AT(av, n, block, pixel)) + LOAD(B, b + AT(bv, n, block, pixel)),
              y + AT(yv, n, block, pixel));
}

__kernel void add_part(__global const float *a, ulong4 av, __global const float *b, ulong4 bv, __global float *y,
                       ulong4 yv, PART_ARGUMENTS) {
    if (get_global_id(0) >= slots)
        return;
    part p = PART;
    int block = get_global_id(1);
    gathering g = gather_nothing();
    for (int i = p.first_image; i < p.last_image; i++)
        for (int pixel = p.first; pixel < p.last; pixel += p.step) {
            vec sum = LOAD(B, a + AT(av, i, block, pixel)) + LOAD(B, b + AT(bv, i, block, pixel));
            STORE(B, sum, y + AT(yv, i, block, pixel));
            gather(&g, sum);
        }
    GATHERED(g);
}
