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
 * In padding lanes everything is zero but invstd, which meets zeros only.
 * Work-items: part (reduce.clh); merge as in reduce.cl; statistics and running (channel block); normalise and
 * grad_input (run of pixels, channel block, image). y may be x, dx may be dy. */
#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block */
#endif

#include "reduce.clh"

typedef VEC(B) vec;

typedef struct moments {
    vec count, mean, m2;
} moments;

static inline moments merged(moments a, moments b) {
    vec count = a.count + b.count, delta = b.mean - a.mean, share = b.count / count;
    a.mean += delta * share;
    a.m2 += b.m2 + delta * delta * a.count * share;
    a.count = count;
    return a;
}

/* `part` points to the block's vector in a row of three numbers. */
static inline moments load(__global const float *part, int stored) {
    moments m = {LOAD(B, part), LOAD(B, part + stored), LOAD(B, part + 2 * stored)};
    return m;
}

static inline moments none(void) {
    moments m = {(vec)(0.0f), (vec)(0.0f), (vec)(0.0f)};
    return m;
}

__kernel void batchnorm_part(__global const float *x, ulong4 xv, PART_ARGUMENTS) {
    if (get_global_id(0) >= slots)
        return;
    part p = PART;
    int block = get_global_id(1), held = 0;
    moments all = none();
    /* Deviations from a number near the mean: from the mean so far, at first from the first element. */
    vec origin = LOAD(B, x + AT(xv, p.first_image, block, p.first)), sum = (vec)(0.0f), squares = (vec)(0.0f);
    for (int i = p.first_image; i < p.last_image; i++)
        for (int start = p.first; start < p.last; start += CHUNK * p.step) {
            for (int pixel = start; pixel < min(start + CHUNK * p.step, p.last); pixel += p.step, held++) {
                vec d = LOAD(B, x + AT(xv, i, block, pixel)) - origin;
                sum += d;
                squares += d * d;
            }
            bool last = i + 1 == p.last_image && start + CHUNK * p.step >= p.last;
            if (held < CHUNK && !last)
                continue;
            vec mean = sum / (float)held;
            moments chunk = {(vec)((float)held), origin + mean, max(squares - sum * mean, 0.0f)};
            all = merged(all, chunk);
            origin = all.mean;
            sum = squares = (vec)(0.0f);
            held = 0;
        }
    STORE(B, all.count, PART_ROW(0, 3));
    STORE(B, all.mean, PART_ROW(1, 3));
    STORE(B, all.m2, PART_ROW(2, 3));
}

__kernel void batchnorm_merge(__global const float *restrict in, ulong4 iv, __global float *restrict out, ulong4 ov,
                              int count, int group, int row, int first, int width) {
    int e = get_global_id(0) * B, i = get_global_id(1);
    if (e >= width)
        return;
    moments all = none();
    for (int k = i * group; k < min(i * group + group, count); k++)
        all = merged(all, load(in + iv.s0 + (ulong)k * row + e, width));
    __global float *to = out + ov.s0 + (ulong)i * row + e;
    STORE(B, all.count, to);
    STORE(B, all.mean, to + width);
    STORE(B, all.m2, to + 2 * width);
}

/* `unbias`: N / (N - 1). */
__kernel void batchnorm_statistics(__global const float *parts, ulong4 pv, int count, int row, __global float *mean,
                                   ulong4 mv, __global float *invstd, ulong4 iv, __global float *running_mean,
                                   ulong4 rmv, __global float *running_var, ulong4 rvv, float eps, float momentum,
                                   float unbias, int blocks) {
    int block = get_global_id(0);
    if (block >= blocks)
        return;
    moments all = none();
    for (int k = 0; k < count; k++)
        all = merged(all, load(parts + pv.s0 + (ulong)k * row + block * B, row / 3));
    vec var = all.m2 / all.count;
    STORE(B, all.mean, mean + AT(mv, 0, block, 0));
    STORE(B, 1.0f / sqrt(var + eps), invstd + AT(iv, 0, block, 0));
    running_mean += AT(rmv, 0, block, 0);
    running_var += AT(rvv, 0, block, 0);
    STORE(B, (1.0f - momentum) * LOAD(B, running_mean) + momentum * all.mean, running_mean);
    STORE(B, (1.0f - momentum) * LOAD(B, running_var) + momentum * (var * unbias), running_var);
}

__kernel void batchnorm_running(__global const float *running_mean, ulong4 rmv, __global const float *running_var,
                                ulong4 rvv, __global float *mean, ulong4 mv, __global float *invstd, ulong4 iv,
                                float eps, int blocks) {
    int block = get_global_id(0);
    if (block >= blocks)
        return;
    STORE(B, LOAD(B, running_mean + AT(rmv, 0, block, 0)), mean + AT(mv, 0, block, 0));
    STORE(B, 1.0f / sqrt(LOAD(B, running_var + AT(rvv, 0, block, 0)) + eps), invstd + AT(iv, 0, block, 0));
}

__kernel void batchnorm_normalise(__global const float *x, ulong4 xv, __global float *y, ulong4 yv,
                                  __global const float *mean, ulong4 mv, __global const float *invstd, ulong4 iv,
                                  __global const float *gamma, ulong4 gv, __global const float *beta, ulong4 bv,
                                  int pixels, int run) {
    int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * run;
    vec m = LOAD(B, mean + AT(mv, 0, block, 0));
    vec scale = LOAD(B, invstd + AT(iv, 0, block, 0)) * LOAD(B, gamma + AT(gv, 0, block, 0));
    vec shift = LOAD(B, beta + AT(bv, 0, block, 0));
    for (int pixel = first; pixel < min(first + run, pixels); pixel++)
        STORE(B, (LOAD(B, x + AT(xv, n, block, pixel)) - m) * scale + shift, y + AT(yv, n, block, pixel));
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

/* `inverse_count`: 1 / N, or 0 where mean and invstd do not depend on x. */
__kernel void batchnorm_grad_input(__global const float *dy, ulong4 dyv, __global const float *x, ulong4 xv,
                                   __global const float *mean, ulong4 mv, __global const float *invstd, ulong4 iv,
                                   __global const float *gamma, ulong4 gv, __global const float *dgamma, ulong4 dgv,
                                   __global const float *dbeta, ulong4 dbv, __global float *dx, ulong4 dxv,
                                   float inverse_count, int pixels, int run) {
    int block = get_global_id(1), n = get_global_id(2), first = get_global_id(0) * run;
    vec m = LOAD(B, mean + AT(mv, 0, block, 0)), deviation = LOAD(B, invstd + AT(iv, 0, block, 0));
    vec scale = deviation * LOAD(B, gamma + AT(gv, 0, block, 0));
    vec a = LOAD(B, dbeta + AT(dbv, 0, block, 0)) * inverse_count;
    vec b = LOAD(B, dgamma + AT(dgv, 0, block, 0)) * inverse_count * deviation;
    for (int pixel = first; pixel < min(first + run, pixels); pixel++) {
        vec d = LOAD(B, dy + AT(dyv, n, block, pixel)), centred = LOAD(B, x + AT(xv, n, block, pixel)) - m;
        STORE(B, scale * (d - a - centred * b), dx + AT(dxv, n, block, pixel));
    }
}
