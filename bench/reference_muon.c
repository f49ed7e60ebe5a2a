/* Muon as it is published, https://kellerjordan.github.io/posts/muon, with the scale of Liu et al., arXiv 2502.16982.
 */
#include "reference.h"

#include <math.h>
#include <string.h>

enum { ITERATIONS = 5 };

static double dot(const double *x, int64_t step_x, const double *y, int64_t step_y, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += x[i * step_x] * y[i * step_y];
    return sum;
}

/* x = a x + (b A + c A^2) x with A = x x^T. */
static void iterate(double *x, int64_t out, int64_t in, double *A, double *P, double *next) {
    const double a = 3.4445, b = -4.7750, c = 2.0315;
    for (int64_t i = 0; i < out * out; i++)
        A[i] = dot(x + i / out * in, 1, x + i % out * in, 1, in);
    for (int64_t i = 0; i < out * out; i++)
        P[i] = b * A[i] + c * dot(A + i / out * out, 1, A + i % out, out, out);
    for (int64_t i = 0; i < out * in; i++)
        next[i] = a * x[i] + dot(P + i / in * out, 1, x + i % in, in, out);
    memcpy(x, next, (size_t)(out * in) * sizeof *x);
}

void reference_orthogonalise(double *x, int64_t out, int64_t in, double *scratch) {
    double *A = scratch, *P = A + out * out, *next = P + out * out;
    double norm = fmax(sqrt(dot(x, 1, x, 1, out * in)), 1e-7);
    for (int64_t i = 0; i < out * in; i++)
        x[i] /= norm;
    for (int i = 0; i < ITERATIONS; i++)
        iterate(x, out, in, A, P, next);
}

bool reference_muon(verify_case *c, const verify_optimizer *o, double lr, int64_t out, int64_t in, const float *g,
                    double *m, double *w) {
    const double momentum = o->momentum, rest = 1 - momentum, factor = 0.2 * sqrt((double)(out > in ? out : in));
    int64_t count = out * in;
    double *x = verify_alloc(c, count, sizeof *x), *scratch = verify_alloc(c, 2 * out * out + count, sizeof *scratch);
    if (!x || !scratch)
        return false;
    for (int64_t i = 0; i < count; i++) {
        m[i] = momentum * m[i] + rest * (double)g[i];
        x[i] = rest * (double)g[i] + momentum * m[i];
    }
    reference_orthogonalise(x, out, in, scratch);
    for (int64_t i = 0; i < count; i++)
        w[i] -= lr * (factor * x[i] + o->weight_decay * w[i]);
    return true;
}
