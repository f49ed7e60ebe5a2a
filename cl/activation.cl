/* Activation functions, element by element.
 *
 *   relu       y = max(x, 0)             dx = dy where y > 0, else 0
 *   leakyrelu  y = x > 0 ? x : x / 100   dx = dy where y > 0, else dy / 100
 *   tanh       y = tanh(x)               dx = dy * (1 - y^2)
 *   gelu       y = x * Phi(x)            dx = dy * (Phi(x) + x * phi(x))
 *
 * with Phi and phi the normal distribution and its density. All are 0 at 0, so padding stays zero. What is not a number
 * stays that, so that it can be found.
 * Work-items: (run of pixels, channel block, image). y may be x, dx may be dy. */
#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block */
#endif
#ifndef LOADED
#define LOADED 0 /* whether the gradient is at scale * at + shift, the activation's input; not for tanh and gelu */
#endif
#ifndef KIND /* as in cln_activation */
#define KIND 1
#endif

typedef VEC(B) vec;

#define SLOPE 0.01f

static inline vec phi_integral(vec x) {
    return 0.5f * (1.0f + erf(x * 0.70710678f)); /* x / sqrt(2) */
}

static inline vec phi(vec x) {
    return 0.39894228f * exp(-0.5f * x * x); /* 1 / sqrt(2 pi) */
}

#if KIND == 1
static inline vec function(vec x) {
    return select(x, (vec)(0.0f), x < 0.0f);
}
static inline vec gradient(vec dy, vec y) {
    return select(dy, (vec)(0.0f), y <= 0.0f);
}
#elif KIND == 2
static inline vec function(vec x) {
    return select(x, x * SLOPE, x < 0.0f);
}
static inline vec gradient(vec dy, vec y) {
    return select(dy, dy * SLOPE, y <= 0.0f);
}
#elif KIND == 3
static inline vec function(vec x) {
    return tanh(x);
}
static inline vec gradient(vec dy, vec y) {
    return dy * (1.0f - y * y);
}
#else
static inline vec function(vec x) {
    return x * phi_integral(x);
}
static inline vec gradient(vec dy, vec x) {
    return dy * (phi_integral(x) + x * phi(x));
}
#endif

__kernel void activation_forward(__global const float *x, ulong4 xv, __global float *y, ulong4 yv, int pixels,
                                 int run) {
    int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * run;
    for (int pixel = first; pixel < min(first + run, pixels); pixel++)
        STORE(B, function(LOAD(B, x + AT(xv, n, block, pixel))), y + AT(yv, n, block, pixel));
}

/* `at`: y, or x for gelu. */
__kernel void activation_grad(__global const float *dy, ulong4 dyv, __global const float *at, ulong4 av,
                              __global const float *scale, ulong4 scv, __global const float *shift, ulong4 shv,
                              __global float *dx, ulong4 dxv, int pixels, int run) {
    int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * run;
    vec a = LOADED ? LOAD(B, scale + AT(scv, 0, block, 0)) : (vec)(1.0f);
    vec b = LOADED ? LOAD(B, shift + AT(shv, 0, block, 0)) : (vec)(0.0f);
    for (int pixel = first; pixel < min(first + run, pixels); pixel++) {
        vec z = LOAD(B, at + AT(av, n, block, pixel));
        if (LOADED)
            z = fma(z, a, b);
        STORE(B, gradient(LOAD(B, dy + AT(dyv, n, block, pixel)), z), dx + AT(dxv, n, block, pixel));
    }
}
