/* Numbers for tests: see numbers.h. */
#include "numbers.h"
#include "../src/base/base.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

int64_t count_of(cln_shape s) {
    return s.n * s.c * s.h * s.w;
}

float noise(uint64_t stream, int64_t i) {
    cln__random r = cln__philox(stream, 1, (uint64_t)i);
    double u = (r.word[0] + 0.5) / 4294967296.0, v = r.word[1] / 4294967296.0;
    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

float *noises(uint64_t stream, int64_t count) {
    float *values = floats(count);
    for (int64_t i = 0; i < count; i++)
        values[i] = noise(stream, i);
    return values;
}

float *floats(int64_t count) {
    float *values = malloc((size_t)count * sizeof *values);
    ck_assert_ptr_nonnull(values);
    return values;
}

double *zeros(int64_t count) {
    double *values = calloc((size_t)count, sizeof *values);
    ck_assert_ptr_nonnull(values);
    return values;
}

void check_sums(const char *what, const float *got, const double *expected, int64_t count, double tolerance,
                double least) {
    double error = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        error += (got[i] - expected[i]) * (got[i] - expected[i]);
        norm += expected[i] * expected[i];
    }
    error = sqrt(error);
    norm = fmax(sqrt(norm), least);
    ck_assert_msg(error <= tolerance * norm, "%s: error %g of %g", what, error, norm);
}

void check_close(const char *what, const float *got, const double *expected, int64_t count, double tolerance) {
    check_sums(what, got, expected, count, tolerance, 0);
}
