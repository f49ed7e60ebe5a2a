/* Adding up the gradients of several steps, in vectors of V elements: sums = keep * sums + share * g. At the first of
 * them keep is 0, and what the sums held does not matter.
 *
 * A step whose loss is infinite or undefined adds nothing. Work-items: runs of `run` vectors, from `first` to before
 * `last`. */
#include "tensor.clh"

#ifndef V
#define V 16 /* elements of a vector */
#endif

typedef VEC(V) vec;

__kernel void accumulate(__global const float *loss, ulong4 lv, int first, int last, int run,
                         __global float *restrict sums, __global const float *restrict g, float keep, float share) {
    bool finite = isfinite(loss[lv.s0]);
    int begin = first + get_global_id(0) * run;
    for (int i = begin; i < min(begin + run, last); i++) {
        ulong at = (ulong)i * V;
        vec sum = keep > 0.0f ? LOAD(V, sums + at) : (vec)(0.0f);
        if (finite)
            sum += share * LOAD(V, g + at);
        STORE(V, sum, sums + at);
    }
}
