/* Copies channels from one layout to another, and fills channels with a number.
 *
 *   copy: lane first + i of `to` = lane first_from + i of `from` where i < count, 0 where count <= i < lanes
 *   fill: lane first + i of x    = value where i < count, 0 where count <= i < lanes
 *
 * A lane is a stored channel number: lane s lies in block s / B, at s % B. What is zeroed is padding.
 * Work-items: (run of pixels, block of the destination that the lanes touch, image). */
#include "tensor.clh"

#ifndef FROM /* channels in a block of the source */
#define FROM 16
#endif
#ifndef TO /* channels in a block of the destination */
#define TO 16
#endif

__kernel void copy(__global const float *from, ulong4 fv, __global float *to, ulong4 tv, int first_from, int first,
                   int count, int lanes, int pixels, int run) {
    int block = get_global_id(1) + first / TO, n = get_global_id(2), start = get_global_id(0) * run;
    int low = max(block * TO, first), high = min(block * TO + TO, first + lanes);
    for (int pixel = start; pixel < min(start + run, pixels); pixel++)
        for (int lane = low; lane < high; lane++) {
            int source = first_from + lane - first;
            bool real = lane - first < count;
            to[AT(tv, n, block, pixel) + lane % TO] =
                real ? from[AT(fv, n, source / FROM, pixel) + source % FROM] : 0.0f;
        }
}

__kernel void fill(__global float *x, ulong4 xv, float value, int first, int count, int lanes, int pixels, int run) {
    int block = get_global_id(1) + first / TO, n = get_global_id(2), start = get_global_id(0) * run;
    int low = max(block * TO, first), high = min(block * TO + TO, first + lanes);
    for (int pixel = start; pixel < min(start + run, pixels); pixel++)
        for (int lane = low; lane < high; lane++)
            x[AT(xv, n, block, pixel) + lane % TO] = lane - first < count ? value : 0.0f;
}

/* Copies `columns` columns of a matrix: to[r][to_first + j] = from[r][from_first + j]. Widths and offsets are multiples
 * of TO. Work-items: (TO columns). */
__kernel void copy_columns(__global const float *from, ulong4 fv, __global float *to, ulong4 tv, int rows,
                           int from_width, int to_width, int from_first, int to_first, int columns) {
    int column = get_global_id(0) * TO;
    if (column >= columns)
        return;
    from += fv.s0 + from_first + column;
    to += tv.s0 + to_first + column;
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < TO; j++)
            to[(ulong)r * to_width + j] = from[(ulong)r * from_width + j];
}
