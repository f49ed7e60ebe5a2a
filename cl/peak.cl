/* What a device can do at most, for `clbench peak`: multiply-adds in registers, and passes over memory. No network
 * uses these.
 *
 * peak_fma      a work-item keeps CHAINS independent vectors of WIDTH floats and applies x = x * a + b to each, `rounds`
 *               times: 2 * WIDTH * CHAINS operations a round. Independent, so that the latency of one hides in the
 *               others; all of them end up in out[], so that none is optimised away.
 * peak_read     out[i] = sum of a part of x            4 bytes an element
 * peak_copy     y = x                                  8 bytes an element
 * peak_scale    y = a * y, in place                    8 bytes an element
 * peak_triad    y = x + a * z                         12 bytes an element
 *
 * Index map of the passes, over `count` vectors of WIDTH floats, for work-item i of n:
 *
 *   SPLIT 1   [0 0 0 0 | 1 1 1 1 | 2 2 2 2 | ...]   consecutive parts: a CPU core streams
 *   SPLIT 0   [0 1 2 .. n-1 | 0 1 2 .. n-1 | ...]   neighbours side by side: a GPU coalesces
 *
 * Any global and local size works. */

#ifndef WIDTH /* floats in a vector: 1, 2, 4, 8, 16 */
#define WIDTH 4
#endif
#ifndef CHAINS /* independent vectors in a work-item */
#define CHAINS 8
#endif
#ifndef SPLIT /* 1: consecutive parts, 0: neighbours side by side */
#define SPLIT 0
#endif

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#if WIDTH == 1
typedef float vec;
#else
typedef PASTE(float, WIDTH) vec;
#endif

__kernel void peak_fma(__global vec *out, float a, float b, int rounds) {
    vec x[CHAINS];
    const vec va = (vec)(a), vb = (vec)(b);
#pragma unroll
    for (int c = 0; c < CHAINS; c++)
        x[c] = (vec)((float)get_global_id(0) + c);
    for (int r = 0; r < rounds; r++) {
#pragma unroll
        for (int c = 0; c < CHAINS; c++)
            x[c] = fma(x[c], va, vb);
    }
    vec sum = x[0];
#pragma unroll
    for (int c = 1; c < CHAINS; c++)
        sum += x[c];
    out[get_global_id(0)] = sum;
}

/* The loop of a work-item over its vectors. */
#if SPLIT
#define FOR_MINE(i)                                                                                                    \
    const ulong part = (count + get_global_size(0) - 1) / get_global_size(0);                                          \
    const ulong first = get_global_id(0) * part, end = min(first + part, count);                                       \
    for (ulong i = first; i < end; i++)
#else
#define FOR_MINE(i) for (ulong i = get_global_id(0); i < count; i += get_global_size(0))
#endif

__kernel void peak_read(__global vec *out, __global const vec *x, ulong count) {
    vec sum = (vec)(0.0f);
    FOR_MINE(i)
        sum += x[i];
    out[get_global_id(0)] = sum;
}

__kernel void peak_copy(__global vec *restrict y, __global const vec *restrict x, ulong count) {
    FOR_MINE(i)
        y[i] = x[i];
}

__kernel void peak_scale(__global vec *y, float a, ulong count) {
    FOR_MINE(i)
        y[i] *= a;
}

__kernel void peak_triad(__global vec *restrict y, __global const vec *restrict x, __global const vec *restrict z,
                         float a, ulong count) {
    FOR_MINE(i)
        y[i] = x[i] + a * z[i];
}
