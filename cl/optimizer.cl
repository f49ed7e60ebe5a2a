/* The update of every parameter, in vectors of V elements, all regions of the weights side by side: values w, gradients
 * g, momentum or first moment m, second moment v. The padding between parameters holds zeros and stays so.
 *
 * First g is multiplied by *scale (CLIP_NORM) or limited to [-limit, limit] (CLIP_VALUE), where asked for.
 *
 *   SGD     g += decay * w;  m = momentum * m + g;  w -= rate * (NESTEROV ? g + momentum * m : m)
 *           (m starts as zeros, so the first m is the first g; without MOMENTUM, w -= rate * g)
 *   Adam    g += decay * w (with DECOUPLED instead w -= rate * decay * w, w being the value before)
 *           m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g^2
 *           w -= rate * (m / correction1) / (sqrt(v / correction2) + eps)
 *
 * Nothing happens where the loss is infinite or undefined. Work-items: runs of `run` vectors, from `first` to before
 * `last`. */
#include "tensor.clh"

#ifndef V
#define V 16 /* elements of a vector */
#endif
#ifndef MOMENTUM
#define MOMENTUM 1 /* whether there is one */
#endif
#ifndef NESTEROV
#define NESTEROV 0
#endif
#ifndef DECOUPLED
#define DECOUPLED 0 /* weight decay apart from the gradient: AdamW */
#endif

#include "clip.clh"

typedef VEC(V) vec;

__kernel void optimizer_sgd(__global const float *loss, ulong4 lv, CLIP_ARGUMENTS int first, int last, int run,
                            __global float *restrict w, __global const float *restrict g,
#if MOMENTUM
                            __global float *restrict m,
#endif
                            float rate, float decay, float momentum) {
    if (!isfinite(loss[lv.s0]))
        return;
    int begin = first + get_global_id(0) * run;
    for (int i = begin; i < min(begin + run, last); i++) {
        ulong at = (ulong)i * V;
        vec value = LOAD(V, w + at), step = CLIPPED(LOAD(V, g + at)) + decay * value;
#if MOMENTUM
        vec velocity = momentum * LOAD(V, m + at) + step;
        STORE(V, velocity, m + at);
        step = NESTEROV ? step + momentum * velocity : velocity;
#endif
        STORE(V, value - rate * step, w + at);
    }
}

__kernel void optimizer_adam(__global const float *loss, ulong4 lv, CLIP_ARGUMENTS int first, int last, int run,
                             __global float *restrict w, __global const float *restrict g,
                             __global float *restrict m, __global float *restrict v,
                             float rate, float correction1, float correction2, float decay, float beta1, float rest1,
                             float beta2, float rest2, float eps) {
    if (!isfinite(loss[lv.s0]))
        return;
    int begin = first + get_global_id(0) * run;
    for (int i = begin; i < min(begin + run, last); i++) {
        ulong at = (ulong)i * V;
        vec value = LOAD(V, w + at), gradient = CLIPPED(LOAD(V, g + at));
        if (!DECOUPLED)
            gradient += decay * value;
        vec mean = beta1 * LOAD(V, m + at) + rest1 * gradient;
        vec square = beta2 * LOAD(V, v + at) + rest2 * gradient * gradient;
        STORE(V, mean, m + at);
        STORE(V, square, v + at);
        vec step = rate / correction1 * mean / (sqrt(square / correction2) + eps);
        if (DECOUPLED) /* one sum, so that w is rounded once */
            step += rate * decay * value;
        STORE(V, value - step, w + at);
    }
}
