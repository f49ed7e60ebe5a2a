/* The sum of each channel over a part of the images and pixels: y[c] = sum of x[n,c,pixel].
 *
 * Work-items and rows: see reduce.clh; a part has one number. */
#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block */
#endif

#include "reduce.clh"

__kernel void channel_sum(__global const float *x, ulong4 xv, PART_ARGUMENTS) {
    if (get_global_id(0) >= slots)
        return;
    part p = PART;
    VEC(B) total = (VEC(B))(0.0f);
    for (int i = p.first_image; i < p.last_image; i++)
        for (int start = p.first; start < p.last; start += CHUNK * p.step) {
            VEC(B) sum = (VEC(B))(0.0f);
            for (int pixel = start; pixel < min(start + CHUNK * p.step, p.last); pixel += p.step)
                sum += LOAD(B, x + AT(xv, i, get_global_id(1), pixel));
            total += sum;
        }
    STORE(B, total, PART_ROW(0, 1));
}
