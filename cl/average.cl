/* A moving average of the weights: average += share * (w - average), in the form that PyTorch's lerp has, which is exact
 * at both ends. Work-items: vectors of V elements. */
#include "tensor.clh"

#ifndef V
#define V 16 /* elements of a vector */
#endif

__kernel void average(__global float *restrict average, __global const float *restrict w, int vectors, float share) {
    int i = get_global_id(0);
    if (i >= vectors)
        return;
    ulong at = (ulong)i * V;
    VEC(V) a = LOAD(V, average + at), b = LOAD(V, w + at);
    STORE(V, share < 0.5f ? a + share * (b - a) : b - (1.0f - share) * (b - a), average + at);
}
