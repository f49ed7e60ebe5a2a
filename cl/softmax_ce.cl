/* Softmax and cross-entropy over rows of `classes` logits, with label smoothing e:
 *
 *   p[n,k]       = exp(x[n,k] - max) / sum over j of exp(x[n,j] - max)
 *   row loss     = -(1 - e) * log p[n,label] - e / classes * sum over k of log p[n,k]
 *   loss         = mean of the row losses of the `count` rows whose label is a class; 0 if there is none
 *   dx[n,k]      = dloss / count * (p[n,k] - (1 - e) * [k == label] - e / classes), 0 in the other rows
 *
 * With MIXED a row has two labels, both of which must be classes, and a weight w: log p[n,label] becomes
 * w * log p[n,label] + (1 - w) * log p[n,other], and [k == label] accordingly.
 *
 * Rows lie in blocks of B channels; the stored channels beyond `classes` are padding. No gaps.
 * Work-items: rows and grad (row); mean (one, which sums in order, so that the same rows give the same bits). */
#include "tensor.clh"

#ifndef B
#define B 16 /* channels in a block */
#endif

#ifndef MIXED
#define MIXED 0 /* whether rows have two labels */
#endif

#if MIXED
#define OTHERS                                                                                                         \
    __global const int *restrict others, ulong4 ov, __global const float *restrict weights, ulong4 wv,
#define OTHER others[ov.s0 + n * ov.s1]
#define WEIGHT weights[AT(wv, n, 0, 0)]
#else
#define OTHERS
#define OTHER label
#define WEIGHT 1.0f
#endif

#define LOGIT(x, view, k) (x)[AT(view, n, (k) / B, 0) + (k) % B]

__kernel void softmax_ce_rows(__global const float *restrict x, ulong4 xv, __global const int *restrict labels,
                              ulong4 lv, __global float *restrict p, ulong4 pv, __global float *restrict losses,
                              ulong4 rv, OTHERS float smoothing, int rows, int classes, int stored) {
    int n = get_global_id(0);
    if (n >= rows)
        return;
    float largest = LOGIT(x, xv, 0);
    for (int k = 1; k < classes; k++)
        largest = fmax(largest, LOGIT(x, xv, k));
    float sum = 0, distance = 0; /* of the logits below the largest */
    for (int k = 0; k < classes; k++) {
        float below = LOGIT(x, xv, k) - largest, e = exp(below);
        LOGIT(p, pv, k) = e;
        sum += e;
        distance += below;
    }
    for (int k = 0; k < stored; k++)
        LOGIT(p, pv, k) = k < classes ? LOGIT(p, pv, k) / sum : 0;
    int label = labels[lv.s0 + n * lv.s1], other = OTHER;
    bool counts = label >= 0 && label < classes && other >= 0 && other < classes;
    float loss = 0;
    if (counts)
        loss = (1 - smoothing) * (log(sum) - (LOGIT(x, xv, label) - largest));
    if (counts && MIXED)
        loss = WEIGHT * loss + (1 - WEIGHT) * (1 - smoothing) * (log(sum) - (LOGIT(x, xv, other) - largest));
    if (counts && smoothing > 0)
        loss += smoothing * (log(sum) - distance / classes);
    losses[rv.s0 + n] = loss;
    losses[rv.s0 + rows + n] = counts;
}

__kernel void softmax_ce_mean(__global const float *restrict losses, ulong4 rv, __global float *restrict loss,
                              ulong4 lossv, __global float *restrict count, ulong4 cv, int rows) {
    if (get_global_id(0) > 0)
        return;
    float sum = 0, counted = 0;
    for (int n = 0; n < rows; n++) {
        sum += losses[rv.s0 + n];
        counted += losses[rv.s0 + rows + n];
    }
    loss[lossv.s0] = sum / fmax(counted, 1.0f);
    count[cv.s0] = counted;
}

__kernel void softmax_ce_grad(__global const float *restrict p, ulong4 pv, __global const int *restrict labels,
                              ulong4 lv, __global const float *restrict count, ulong4 cv,
                              __global const float *restrict dloss, ulong4 dv, __global float *restrict dx, ulong4 xv,
                              OTHERS float smoothing, int rows, int classes, int stored) {
    int n = get_global_id(0);
    if (n >= rows)
        return;
    int label = labels[lv.s0 + n * lv.s1], other = OTHER;
    bool counts = label >= 0 && label < classes && other >= 0 && other < classes;
    float scale = counts ? dloss[dv.s0] / count[cv.s0] : 0;
    for (int k = 0; k < stored; k++) {
        float target = (k == label ? 1 - smoothing : 0) + smoothing / classes;
        if (MIXED)
            target = (1 - smoothing) * ((k == label ? WEIGHT : 0) + (k == other ? 1 - WEIGHT : 0)) + smoothing / classes;
        LOGIT(dx, xv, k) = counts && k < classes ? scale * (LOGIT(p, pv, k) - target) : 0;
    }
}
