/* The element types of safetensors files and their conversion. Elements are put together from bytes: the data is
 * little-endian whatever the host is, and need not be aligned. */
#include "safetensors_header.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[CLN_DTYPE_COUNT] = {
    [CLN_F32] = {"F32", 4}, [CLN_F64] = {"F64", 8},   [CLN_F16] = {"F16", 2}, [CLN_BF16] = {"BF16", 2},
    [CLN_I64] = {"I64", 8}, [CLN_I32] = {"I32", 4},   [CLN_I16] = {"I16", 2}, [CLN_I8] = {"I8", 1},
    [CLN_U8] = {"U8", 1},   [CLN_BOOL] = {"BOOL", 1},
};

static bool known(cln_dtype dtype) {
    return (int)dtype >= 0 && dtype < CLN_DTYPE_COUNT;
}

size_t cln_dtype_size(cln_dtype dtype) {
    return known(dtype) ? dtypes[dtype].size : 0;
}

const char *cln_dtype_name(cln_dtype dtype) {
    return known(dtype) ? dtypes[dtype].name : "unknown";
}

bool cln__dtype_find(const char *name, cln_dtype *out) {
    for (int i = 0; i < CLN_DTYPE_COUNT; i++)
        if (strcmp(name, dtypes[i].name) == 0) {
            *out = (cln_dtype)i;
            return true;
        }
    return false;
}

bool cln__file_tensor_size(const cln_file_tensor *tensor, int64_t *count, size_t *bytes) {
    size_t product = 1;
    for (int i = 0; i < tensor->rank; i++) {
        int64_t side = tensor->shape[i];
        if (side < 0 || (uint64_t)side > SIZE_MAX || !cln__mul_size(product, (size_t)side, &product))
            return false;
    }
    *count = (int64_t)product;
    return product <= INT64_MAX && cln__mul_size(product, cln_dtype_size(tensor->dtype), bytes);
}

static uint16_t load16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t load32(const uint8_t *p) {
    return load16(p) | (uint32_t)load16(p + 2) << 16;
}

static uint64_t load64(const uint8_t *p) {
    return load32(p) | (uint64_t)load32(p + 4) << 32;
}

static float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static double double_of(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* IEEE binary16: 1 sign, 5 exponent, 10 fraction bits; exact in a float. */
static float half_of(uint16_t bits) {
    uint32_t sign = (uint32_t)(bits >> 15) << 31, exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent == 31)
        return float_of(sign | 0x7f800000u | fraction << 13);
    if (exponent > 0)
        return float_of(sign | (exponent + 112) << 23 | fraction << 13);
    float subnormal = (float)fraction * 0x1p-24f;
    return sign ? -subnormal : subnormal;
}

/* `bits` without the lowest `drop` ones (1 to 31), rounded to the nearest, of two to the even one. */
static uint32_t round_off(uint32_t bits, unsigned drop) {
    uint32_t half = (uint32_t)1 << (drop - 1), odd = bits >> drop & 1;
    return (bits + half - 1 + odd) >> drop;
}

static uint16_t to_bfloat(uint32_t bits) {
    bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
    return (uint16_t)(nan ? bits >> 16 | 0x40 : round_off(bits, 16));
}

static uint16_t to_half(uint32_t bits) {
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x477ff000u) /* 65520, half a step above the largest */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude >= 0x38800000u) /* 2^-14, the smallest normal number; the exponents' biases differ by 112 */
        return (uint16_t)(sign | round_off(magnitude - ((uint32_t)112 << 23), 13));
    uint32_t exponent = magnitude >> 23, fraction = (magnitude & 0x7fffff) | 0x800000;
    if (exponent < 102) /* below 2^-25, half of the smallest number */
        return (uint16_t)sign;
    return (uint16_t)(sign | round_off(fraction, 126 - exponent));
}

void cln_floats_to_dtype(const float *values, int64_t count, cln_dtype dtype, void *out) {
    size_t size = cln_dtype_size(dtype);
    uint8_t *p = out;
    for (int64_t i = 0; i < count; i++, p += size) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        uint32_t stored = dtype == CLN_F16 ? to_half(bits) : dtype == CLN_BF16 ? to_bfloat(bits) : bits;
        for (size_t k = 0; k < size; k++)
            p[k] = (uint8_t)(stored >> (8 * k));
    }
}

static double float_element(cln_dtype dtype, const uint8_t *p) {
    switch (dtype) {
    case CLN_F64:
        return double_of(load64(p));
    case CLN_F32:
        return (double)float_of(load32(p));
    case CLN_BF16:
        return (double)float_of((uint32_t)load16(p) << 16);
    default:
        return (double)half_of(load16(p));
    }
}

static bool is_float(cln_dtype dtype) {
    return dtype == CLN_F32 || dtype == CLN_F64 || dtype == CLN_F16 || dtype == CLN_BF16;
}

static int64_t signed_of(uint64_t bits) {
    int64_t x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The lowest `width` bits as a two's complement number. */
static int64_t extend(uint64_t bits, int width) {
    uint64_t sign = (uint64_t)1 << (width - 1);
    return signed_of((bits ^ sign) - sign);
}

static int64_t integer_element(cln_dtype dtype, const uint8_t *p) {
    switch (dtype) {
    case CLN_I64:
        return signed_of(load64(p));
    case CLN_I32:
        return extend(load32(p), 32);
    case CLN_I16:
        return extend(load16(p), 16);
    case CLN_I8:
        return extend(p[0], 8);
    case CLN_BOOL:
        return p[0] != 0;
    default:
        return p[0];
    }
}

/* C leaves the conversion of a number beyond the range of the result undefined. */
static float narrow(double x) {
    if (x > (double)FLT_MAX || x < -(double)FLT_MAX)
        /* Up to half a step above the largest float rounds down to it. */
        return fabs(x) < 0x1.ffffffp127 ? copysignf(FLT_MAX, (float)(x > 0 ? 1 : -1)) : x > 0 ? INFINITY : -INFINITY;
    return (float)x;
}

static int64_t saturate(double x) {
    if (!(x > -0x1p63))
        return x <= -0x1p63 ? INT64_MIN : 0; /* 0: not a number */
    return x < 0x1p63 ? (int64_t)x : INT64_MAX;
}

void cln_file_tensor_to_float(const cln_file_tensor *tensor, float *out) {
    const uint8_t *p = tensor->data;
    size_t size = cln_dtype_size(tensor->dtype);
    if (tensor->dtype == CLN_F32) {
        for (int64_t i = 0; i < tensor->count; i++)
            out[i] = float_of(load32(p + 4 * i));
        return;
    }
    bool floating = is_float(tensor->dtype);
    for (int64_t i = 0; i < tensor->count; i++, p += size)
        out[i] = floating ? narrow(float_element(tensor->dtype, p)) : (float)integer_element(tensor->dtype, p);
}

void cln_file_tensor_to_int64(const cln_file_tensor *tensor, int64_t *out) {
    const uint8_t *p = tensor->data;
    size_t size = cln_dtype_size(tensor->dtype);
    bool floating = is_float(tensor->dtype);
    for (int64_t i = 0; i < tensor->count; i++, p += size)
        out[i] = floating ? saturate(float_element(tensor->dtype, p)) : integer_element(tensor->dtype, p);
}
