/* The operators whose results look at a window of their input: convolution and pooling. */
#include "reference.h"

#include <math.h>

/* The row (or column) of x that tap `k` of the window at `i` looks at; negative outside. */
static int64_t tap(const reference_window *w, int64_t i, int64_t k, int64_t side) {
    int64_t at = i * w->stride + k * w->dilation - w->padding;
    return at < side ? at : -1;
}

static bool window_output(reference *r, const reference_node *x, const reference_window *w, int64_t channels,
                          cln_shape *out) {
    int64_t reach_h = (int64_t)(w->kernel_h - 1) * w->dilation + 1, h = x->shape.h + 2 * (int64_t)w->padding - reach_h;
    int64_t reach_w = (int64_t)(w->kernel_w - 1) * w->dilation + 1, v = x->shape.w + 2 * (int64_t)w->padding - reach_w;
    if (w->kernel_h < 1 || w->kernel_w < 1 || w->stride < 1 || h < 0 || v < 0)
        return verify_fail(r->c, "a window of %dx%d does not fit", w->kernel_h, w->kernel_w);
    *out = (cln_shape){x->shape.n, channels, h / w->stride + 1, v / w->stride + 1};
    return true;
}

/* --- convolution --- */

/* One output and all that meets it: y += sum x w, or with `back` the gradients that its own one brings. */
static void conv2d_at(reference_node *y, int64_t n, int64_t o, int64_t i, int64_t j, bool back) {
    reference_node *x = y->in[0], *w = y->in[1];
    const reference_window *f = &y->window;
    int64_t channels = x->shape.c / f->groups, first = o / (y->shape.c / f->groups) * channels;
    int64_t at_y = ((n * y->shape.c + o) * y->shape.h + i) * y->shape.w + j;
    double sum = 0, dy = y->gradient[at_y];
    for (int64_t c = 0; c < channels; c++)
        for (int64_t k = 0; k < f->kernel_h; k++)
            for (int64_t l = 0; l < f->kernel_w; l++) {
                int64_t row = tap(f, i, k, x->shape.h), column = tap(f, j, l, x->shape.w);
                if (row < 0 || column < 0)
                    continue;
                int64_t at_x = ((n * x->shape.c + first + c) * x->shape.h + row) * x->shape.w + column;
                int64_t at_w = ((o * channels + c) * f->kernel_h + k) * f->kernel_w + l;
                if (back) {
                    x->gradient[at_x] += dy * w->value[at_w];
                    w->gradient[at_w] += dy * x->value[at_x];
                } else {
                    sum += x->value[at_x] * w->value[at_w];
                }
            }
    y->value[at_y] += sum;
    if (y->in[2] && back)
        y->in[2]->gradient[o] += dy;
    else if (y->in[2])
        y->value[at_y] += y->in[2]->value[o];
}

static void conv2d_all(reference_node *y, bool back) {
    for (int64_t n = 0; n < y->shape.n; n++)
        for (int64_t o = 0; o < y->shape.c; o++)
            for (int64_t i = 0; i < y->shape.h; i++)
                for (int64_t j = 0; j < y->shape.w; j++)
                    conv2d_at(y, n, o, i, j, back);
}

static void conv2d_backward(reference_node *y) {
    conv2d_all(y, true);
}

reference_node *reference_conv2d(reference *r, reference_node *x, const char *layer, int out,
                                 const reference_window *window, bool bias) {
    cln_shape shape;
    if (!x || !window_output(r, x, window, out, &shape))
        return NULL;
    const int64_t channels = x->shape.c / window->groups;
    const int64_t sides[4] = {out, channels, window->kernel_h, window->kernel_w};
    double fan = (double)(channels * window->kernel_h * window->kernel_w);
    reference_node *w = reference_weight(r, layer, "weight", 4, sides, 0, sqrt(2 / fan));
    reference_node *b = w && bias ? reference_weight(r, layer, "bias", 1, sides, 0, 0.5) : NULL;
    reference_node *y = reference_append(r, shape, conv2d_backward, x);
    if (!w || (bias && !b) || !y)
        return NULL;
    y->in[1] = w;
    y->in[2] = b;
    y->window = *window;
    conv2d_all(y, false);
    return y;
}

/* --- pooling --- */

/* The element of x in plane `p` that holds the maximum of the window at (i, j): the first one, in row-major order. */
static int64_t find_maximum(const reference_node *y, int64_t p, int64_t i, int64_t j) {
    const reference_node *x = y->in[0];
    int64_t best = -1;
    for (int64_t k = 0; k < y->window.kernel_h; k++)
        for (int64_t l = 0; l < y->window.kernel_w; l++) {
            int64_t row = tap(&y->window, i, k, x->shape.h), column = tap(&y->window, j, l, x->shape.w);
            int64_t at = (p * x->shape.h + row) * x->shape.w + column;
            if (row >= 0 && column >= 0 && (best < 0 || x->value[at] > x->value[best]))
                best = at;
        }
    return best;
}

static void maxpool_all(reference_node *y, bool back) {
    int64_t at = 0;
    for (int64_t p = 0; p < y->shape.n * y->shape.c; p++)
        for (int64_t i = 0; i < y->shape.h; i++)
            for (int64_t j = 0; j < y->shape.w; j++, at++) {
                int64_t from = find_maximum(y, p, i, j);
                if (from >= 0 && back)
                    y->in[0]->gradient[from] += y->gradient[at];
                else if (from >= 0)
                    y->value[at] = y->in[0]->value[from];
            }
}

static void maxpool_backward(reference_node *y) {
    maxpool_all(y, true);
}

static void avgpool_at(reference_node *y, int64_t p, int64_t i, int64_t j, int64_t at, bool back) {
    reference_node *x = y->in[0];
    double taps = (double)y->window.kernel_h * y->window.kernel_w;
    for (int64_t k = 0; k < y->window.kernel_h; k++)
        for (int64_t l = 0; l < y->window.kernel_w; l++) {
            int64_t row = tap(&y->window, i, k, x->shape.h), column = tap(&y->window, j, l, x->shape.w);
            int64_t from = (p * x->shape.h + row) * x->shape.w + column;
            if (row < 0 || column < 0)
                continue;
            if (back)
                x->gradient[from] += y->gradient[at] / taps;
            else
                y->value[at] += x->value[from] / taps;
        }
}

static void avgpool_all(reference_node *y, bool back) {
    int64_t at = 0;
    for (int64_t p = 0; p < y->shape.n * y->shape.c; p++)
        for (int64_t i = 0; i < y->shape.h; i++)
            for (int64_t j = 0; j < y->shape.w; j++, at++)
                avgpool_at(y, p, i, j, at, back);
}

static void avgpool_backward(reference_node *y) {
    avgpool_all(y, true);
}

static reference_node *pool(reference *r, reference_node *x, int kernel, int stride, int padding,
                            void (*backward)(reference_node *y), void (*all)(reference_node *y, bool back)) {
    const reference_window window = {kernel, kernel, stride, padding, 1, 1};
    cln_shape shape;
    if (!x || !window_output(r, x, &window, x->shape.c, &shape))
        return NULL;
    reference_node *y = reference_append(r, shape, backward, x);
    if (!y)
        return NULL;
    y->window = window;
    all(y, false);
    return y;
}

reference_node *reference_maxpool(reference *r, reference_node *x, int kernel, int stride, int padding) {
    return pool(r, x, kernel, stride, padding, maxpool_backward, maxpool_all);
}

reference_node *reference_avgpool(reference *r, reference_node *x, int kernel, int stride, int padding) {
    return pool(r, x, kernel, stride, padding, avgpool_backward, avgpool_all);
}
