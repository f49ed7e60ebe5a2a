/* Arithmetic that says when it does not fit, and shapes. */
#include "base.h"

#include <inttypes.h>
#include <stdio.h>

bool cln__mul_size(size_t a, size_t b, size_t *out) {
    if (a != 0 && b > SIZE_MAX / a)
        return false;
    *out = a * b;
    return true;
}

bool cln__add_size(size_t a, size_t b, size_t *out) {
    if (b > SIZE_MAX - a)
        return false;
    *out = a + b;
    return true;
}

bool cln__shape_count(cln_shape shape, int64_t *out) {
    const int64_t axis[4] = {shape.n, shape.c, shape.h, shape.w}, limit = (int64_t)1 << 48;
    int64_t count = 1;
    for (int i = 0; i < 4; i++) {
        if (axis[i] < 1 || axis[i] > limit / count)
            return false;
        count *= axis[i];
    }
    *out = count;
    return true;
}

char *cln__shape_text(cln_shape shape, char *text) {
    snprintf(text, 84, "%" PRId64 "x%" PRId64 "x%" PRId64 "x%" PRId64, shape.n, shape.c, shape.h, shape.w);
    return text;
}

bool cln__shape_equal(cln_shape a, cln_shape b) {
    return a.n == b.n && a.c == b.c && a.h == b.h && a.w == b.w;
}

int64_t cln__least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

int64_t cln__most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

int64_t cln__divide_up(int64_t a, int64_t b) {
    return a / b + (a % b != 0);
}

int64_t cln__round_up(int64_t a, int64_t multiple) {
    return cln__divide_up(a, multiple) * multiple;
}
