/* Batch normalisation. Over the N elements of a channel (all images and pixels):
 *
 *   mean = 1/N sum of x,  var = 1/N sum of (x - mean)^2,  invstd = 1 / sqrt(var + eps)
 *   xhat = (x - mean) * invstd,  y = gamma * xhat + beta
 *   running_mean = (1 - momentum) running_mean + momentum mean,  running_var likewise with N/(N-1) var
 *   dbeta = sum of dy,  dgamma = sum of dy * xhat,  dx = gamma * invstd * (dy - (dbeta + xhat * dgamma) / N)
 *
 * Mean and variance in one pass over x: each part keeps its count, mean and sum of squared deviations M2; two of them
 * merge without loss of digits (Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
 * sample variances", 1979), so that a large mean does no harm.
 * Whoever reads y can apply  y = scale * x + shift  itself, with scale = gamma * invstd, shift = beta - mean * scale,
 * and dx is three numbers a channel:  dx = scale * dy + slope * x + shift. In padding lanes everything is zero but
 * invstd, which meets zeros only. Work-items: part (reduce.clh); merge as in reduce.cl; moments, prepare, running and
 * grad_finish (channel block); normalise and grad_input (run of pixels, channel block, image). */
#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block */
#endif

#ifndef KIND
#define KIND 0 /* activation of batchnorm_normalise, as in fused.clh */
#endif
#ifndef ADD
#define ADD 0 /* whether batchnorm_normalise adds a tensor */
#endif
#ifndef MORE
#define MORE 0 /* whether batchnorm_grad_finish adds to an earlier slope and shift */
#endif
#ifndef SCALE
#define SCALE 1 /* whether batchnorm_grad_input scales dy */
#endif

#include "moments.clh"

/* `part` points to the block's vector in a row of three numbers. */
static inline moments load(__global const float *part, int stored) {
    moments m = {LOAD(B, part), LOAD(B, part + stored), LOAD(B, part + 2 * stored)};
    return m;
}

__kernel void batchnorm_part(__global const float *x, ulong4 xv, PART_ARGUMENTS) {
    if (get_global_id(0) >= slots)
        return;
    part p = PART;
    int block = get_global_id(1);
    gathering g = gather_nothing();
    for (int i = p.first_image; i < p.last_image; i++)
        for (int pixel = p.first; pixel < p.last; pixel += p.step)
            gather(&g, LOAD(B, x + AT(xv, i, block, pixel)));
    GATHERED(g);
}

__kernel void batchnorm_merge(__global const float *restrict in, ulong4 iv, __global float *restrict out, ulong4 ov,
                              int count, int group, int row, int first, int width) {
    int e = get_global_id(0) * B, i = get_global_id(1);
    if (e >= width)
        return;
    moments all = no_moments();
    for (int k = i * group; k < min(i * group + group, count); k++)
        all = merged(all, load(in + iv.s0 + (ulong)k * row + e, width));
    __global float *to = out + ov.s0 + (ulong)i * row + e;
    STORE(B, all.count, to);
    STORE(B, all.mean, to + width);
    STORE(B, all.m2, to + 2 * width);
}

/* Of the channels from `first` on. */
__kernel void batchnorm_moments(__global const float *parts, ulong4 pv, int count, int row, int first,
                                __global float *mean, ulong4 mv, __global float *var, ulong4 vv, int blocks) {
    int block = get_global_id(0);
    if (block >= blocks)
        return;
    moments all = no_moments();
    for (int k = 0; k < count; k++)
        all = merged(all, load(parts + pv.s0 + (ulong)k * row + first + block * B, row / 3));
    STORE(B, all.mean, mean + AT(mv, 0, block, 0));
    STORE(B, all.m2 / all.count, var + AT(vv, 0, block, 0));
}

/* From the moments of the batch: what normalises it, and the running estimates. `unbias`: N / (N - 1). */
__kernel void batchnorm_prepare(__global const float *gamma, ulong4 gv, __global const float *beta, ulong4 bv,
                                __global const float *batch_mean, ulong4 bmv, __global const float *var, ulong4 vv,
                                __global float *running_mean, ulong4 rmv, __global float *running_var, ulong4 rvv,
                                __global float *mean, ulong4 mv, __global float *invstd, ulong4 iv,
                                __global float *scale, ulong4 scv, __global float *shift, ulong4 shv, float eps,
                                float momentum, float unbias, int blocks) {
    int block = get_global_id(0);
    if (block >= blocks)
        return;
    vec m = LOAD(B, batch_mean + AT(bmv, 0, block, 0)), v = LOAD(B, var + AT(vv, 0, block, 0));
    vec deviation = 1.0f / sqrt(v + eps), a = deviation * LOAD(B, gamma + AT(gv, 0, block, 0));
    STORE(B, m, mean + AT(mv, 0, block, 0));
    STORE(B, deviation, invstd + AT(iv, 0, block, 0));
    STORE(B, a, scale + AT(scv, 0, block, 0));
    STORE(B, fma(-m, a, LOAD(B, beta + AT(bv, 0, block, 0))), shift + AT(shv, 0, block, 0));
    running_mean += AT(rmv, 0, block, 0);
    running_var += AT(rvv, 0, block, 0);
    STORE(B, (1.0f - momentum) * LOAD(B, running_mean) + momentum * m, running_mean);
    STORE(B, (1.0f - momentum) * LOAD(B, running_var) + momentum * (v * unbias), running_var);
}

/* The same from the running estimates, which stay as they are. */
__kernel void batchnorm_running(__global const float *gamma, ulong4 gv, __global const float *beta, ulong4 bv,
                                __global const float *running_mean, ulong4 rmv, __global const float *running_var,
                                ulong4 rvv, __global float *mean, ulong4 mv, __global float *invstd, ulong4 iv,
                                __global float *scale, ulong4 scv, __global float *shift, ulong4 shv, float eps,
                                int blocks) {
    int block = get_global_id(0);
    if (block >= blocks)
        return;
    vec m = LOAD(B, running_mean + AT(rmv, 0, block, 0));
    vec deviation = 1.0f / sqrt(LOAD(B, running_var + AT(rvv, 0, block, 0)) + eps);
    vec a = deviation * LOAD(B, gamma + AT(gv, 0, block, 0));
    STORE(B, m, mean + AT(mv, 0, block, 0));
    STORE(B, deviation, invstd + AT(iv, 0, block, 0));
    STORE(B, a, scale + AT(scv, 0, block, 0));
    STORE(B, fma(-m, a, LOAD(B, beta + AT(bv, 0, block, 0))), shift + AT(shv, 0, block, 0));
}

/* y = act(scale * x + shift), or with ADD act(scale * x + shift + addend); y may be x or addend. */
__kernel void batchnorm_normalise(__global const float *x, ulong4 xv, __global const float *scale, ulong4 scv,
                                  __global const float *shift, ulong4 shv, __global const float *addend, ulong4 av,
                                  __global float *y, ulong4 yv, int pixels, int run) {
    int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * run;
    vec a = LOAD(B, scale + AT(scv, 0, block, 0)), b = LOAD(B, shift + AT(shv, 0, block, 0));
    for (int pixel = first; pixel < min(first + run, pixels); pixel++) {
        vec v = fma(LOAD(B, x + AT(xv, n, block, pixel)), a, b);
        if (ADD)
            v += LOAD(B, addend + AT(av, n, block, pixel));
        STORE(B, activate(KIND, v), y + AT(yv, n, block, pixel));
    }
}

__kernel void batchnorm_grad_part(__global const float *dy, ulong4 dyv, __global const float *x, ulong4 xv,
                                  __global const float *mean, ulong4 mv, __global const float *invstd, ulong4 iv,
                                  PART_ARGUMENTS) {
    if (get_global_id(0) >= slots)
        return;
    part p = PART;
    int block = get_global_id(1);
    vec m = LOAD(B, mean + AT(mv, 0, block, 0));
    vec sum_dy = (vec)(0.0f), sum_dyx = (vec)(0.0f);
    for (int i = p.first_image; i < p.last_image; i++)
        for (int start = p.first; start < p.last; start += CHUNK * p.step) {
            vec s = (vec)(0.0f), sx = (vec)(0.0f);
            for (int pixel = start; pixel < min(start + CHUNK * p.step, p.last); pixel += p.step) {
                vec d = LOAD(B, dy + AT(dyv, i, block, pixel));
                s += d;
                sx += d * (LOAD(B, x + AT(xv, i, block, pixel)) - m);
            }
            sum_dy += s;
            sum_dyx += sx;
        }
    STORE(B, sum_dy, PART_ROW(0, 2));
    STORE(B, sum_dyx * LOAD(B, invstd + AT(iv, 0, block, 0)), PART_ROW(1, 2));
}

/* From the parts' sums, of the floats first..first+width-1 of each number: the gradients of the parameters, and the
 * slope and shift with which  dx = scale * dy + slope * x + shift.  With MORE, slope0 and shift0 are added to them.
 * `inverse_count`: 1 / N, or 0 where mean and invstd do not depend on x. */
__kernel void batchnorm_grad_finish(__global const float *parts, ulong4 pv, int count, int row, int first,
                                    __global const float *mean, ulong4 mv, __global const float *invstd, ulong4 iv,
                                    __global const float *scale, ulong4 scv, __global const float *slope0,
                                    ulong4 slope0v, __global const float *shift0, ulong4 shift0v,
                                    __global float *dgamma, ulong4 dgv, __global float *dbeta, ulong4 dbv,
                                    __global float *slope, ulong4 slopev, __global float *shift, ulong4 shiftv,
                                    float inverse_count, int blocks) {
    int block = get_global_id(0);
    if (block >= blocks)
        return;
    vec sum = (vec)(0.0f), sum_xhat = (vec)(0.0f);
    for (int k = 0; k < count; k++) {
        __global const float *part = parts + pv.s0 + (ulong)k * row + first + block * B;
        sum += LOAD(B, part);
        sum_xhat += LOAD(B, part + row / 2);
    }
    STORE(B, sum_xhat, dgamma + AT(dgv, 0, block, 0));
    STORE(B, sum, dbeta + AT(dbv, 0, block, 0));
    vec share = -inverse_count * LOAD(B, scale + AT(scv, 0, block, 0));
    vec a = share * sum_xhat * LOAD(B, invstd + AT(iv, 0, block, 0));
    vec b = share * sum - a * LOAD(B, mean + AT(mv, 0, block, 0));
    if (MORE) {
        a += LOAD(B, slope0 + AT(slope0v, 0, block, 0));
        b += LOAD(B, shift0 + AT(shift0v, 0, block, 0));
    }
    STORE(B, a, slope + AT(slopev, 0, block, 0));
    STORE(B, b, shift + AT(shiftv, 0, block, 0));
}

/* dx = scale * dy + slope * x + shift (without SCALE, scale is 1); dx may be dy. */
__kernel void batchnorm_grad_input(__global const float *dy, ulong4 dyv, __global const float *x, ulong4 xv,
                                   __global const float *scale, ulong4 scv, __global const float *slope, ulong4 slopev,
                                   __global const float *shift, ulong4 shiftv, __global float *dx, ulong4 dxv,
                                   int pixels, int run) {
    int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * run;
    vec a = SCALE ? LOAD(B, scale + AT(scv, 0, block, 0)) : (vec)(1.0f);
    vec b = LOAD(B, slope + AT(slopev, 0, block, 0)), c = LOAD(B, shift + AT(shiftv, 0, block, 0));
    for (int pixel = first; pixel < min(first + run, pixels); pixel++) {
        vec d = LOAD(B, dy + AT(dyv, n, block, pixel)), v = LOAD(B, x + AT(xv, n, block, pixel));
        STORE(B, fma(a, d, fma(b, v, c)), dx + AT(dxv, n, block, pixel));
    }
}
