/* By what the gradients g are multiplied so that their L2 norm is at most `limit`, as PyTorch's clip_grad_norm_ has it:
 *
 *   scale = min(1, limit / (sqrt(sum of g^2) + 1e-6))
 *
 * clip_norm_part: work-item p sums the squares of its run of the vectors from `begin` to before `end`, CHUNK of them at
 * a time, into parts[offset + p].
 * clip_norm: one work-item adds the parts, in order. */
#include "tensor.clh"

#ifndef V
#define V 16 /* elements of a vector */
#endif
#define CHUNK 32 /* keeps the rounding error of long sums small */

typedef VEC(V) vec;

__kernel void clip_norm_part(__global const float *restrict g, int begin, int end, int run, __global float *parts,
                             ulong4 pv, int offset) {
    int part = get_global_id(0), first = begin + part * run, last = min(first + run, end);
    vec total = (vec)(0.0f);
    if (first >= last)
        return;
    for (int chunk = first; chunk < last; chunk += CHUNK) {
        vec sum = (vec)(0.0f);
        for (int i = chunk; i < min(chunk + CHUNK, last); i++) {
            vec x = LOAD(V, g + (ulong)i * V);
            sum += x * x;
        }
        total += sum;
    }
    float lanes[V], sum = 0.0f;
    STORE(V, total, lanes);
    for (int k = 0; k < V; k++)
        sum += lanes[k];
    parts[pv.s0 + offset + part] = sum;
}

__kernel void clip_norm(__global const float *restrict parts, ulong4 pv, int count, float limit, __global float *scale,
                        ulong4 sv) {
    float sum = 0.0f;
    if (get_global_id(0) > 0)
        return;
    for (int i = 0; i < count; i++)
        sum += parts[pv.s0 + i];
    float coefficient = limit / (sqrt(sum) + 1e-6f);
    scale[sv.s0] = coefficient > 1.0f ? 1.0f : coefficient;
}
