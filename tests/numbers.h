/* Numbers for tests: noise that is the same everywhere, and comparisons of arrays. */
#ifndef CLN_TESTS_NUMBERS_H
#define CLN_TESTS_NUMBERS_H

#include "clnet/base.h"

/* Single precision against double: a few roundings an element, in the norm. */
#define TOLERANCE 1e-6

int64_t count_of(cln_shape s);

/* A normal number that depends on `stream` and the index alone; an array of them, which the caller frees. */
float noise(uint64_t stream, int64_t i);
float *noises(uint64_t stream, int64_t count);
/* The caller frees them too. */
float *floats(int64_t count);
double *zeros(int64_t count);

/* |got - expected| <= tolerance * |expected|, which what is not a number never is. */
void check_close(const char *what, const float *got, const double *expected, int64_t count, double tolerance);
/* `least`: of the norm that the error is held against, for sums in which much may cancel. */
void check_sums(const char *what, const float *got, const double *expected, int64_t count, double tolerance,
                double least);

#endif
