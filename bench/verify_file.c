/* What a case holds, checked on the way out: tensors by type and shape, numbers of the JSON in its metadata. */
#include "../src/base/json_parse.h"
#include "verify.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 256, SHAPE_SIZE = 176 };
static const double default_tolerance = 1e-5;

/* --- tensors --- */

size_t verify_tensor_count(const verify_case *c) {
    return c->file ? cln_safetensors_count(c->file) : (size_t)c->tensor_count;
}

const cln_file_tensor *verify_tensor_at(const verify_case *c, size_t index) {
    return c->file ? cln_safetensors_at(c->file, index) : c->tensors[index];
}

const cln_file_tensor *verify_lookup(const verify_case *c, const char *name) {
    if (c->file)
        return cln_safetensors_find(c->file, name);
    for (int i = 0; i < c->tensor_count; i++)
        if (strcmp(c->tensors[i]->name, name) == 0)
            return c->tensors[i];
    return NULL;
}

const char *verify_find_metadata(const verify_case *c, const char *key) {
    if (c->file)
        return cln_safetensors_metadata(c->file, key);
    for (int i = 0; i < c->metadata_count; i++)
        if (strcmp(c->metadata[i].key, key) == 0)
            return c->metadata[i].value;
    return NULL;
}

static const cln_file_tensor *find(verify_case *c, cln_dtype dtype, const char *name) {
    const cln_file_tensor *t = verify_lookup(c, name);
    if (!t) {
        verify_fail(c, "there is no tensor '%s'", name);
        return NULL;
    }
    if (t->dtype == dtype)
        return t;
    verify_fail(c, "tensor '%s' has type %s, expected %s", name, cln_dtype_name(t->dtype), cln_dtype_name(dtype));
    return NULL;
}

const cln_file_tensor *verify_find(verify_case *c, cln_dtype dtype, const char *format, ...) {
    char name[NAME_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    return find(c, dtype, name);
}

/* "[2, 3]"; a negative side is "any". */
static const char *shape_text(int rank, const int64_t *shape, char *text) {
    int used = snprintf(text, SHAPE_SIZE, "[");
    for (int i = 0; i < rank && used < SHAPE_SIZE; i++)
        used += shape[i] < 0
                    ? snprintf(text + used, (size_t)(SHAPE_SIZE - used), "%sany", i ? ", " : "")
                    : snprintf(text + used, (size_t)(SHAPE_SIZE - used), "%s%lld", i ? ", " : "", (long long)shape[i]);
    if (used < SHAPE_SIZE)
        snprintf(text + used, (size_t)(SHAPE_SIZE - used), "]");
    return text;
}

static bool has_shape(verify_case *c, const cln_file_tensor *t, int rank, const int64_t *shape) {
    char found[SHAPE_SIZE], expected[SHAPE_SIZE];
    bool same = t->rank == rank;
    for (int i = 0; same && i < rank; i++)
        same = shape[i] < 0 || t->shape[i] == shape[i];
    return same || verify_fail(c, "tensor '%s' has shape %s, expected %s", t->name,
                               shape_text(t->rank, t->shape, found), shape_text(rank, shape, expected));
}

float *verify_floats(verify_case *c, int rank, const int64_t *shape, const char *format, ...) {
    char name[NAME_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    const cln_file_tensor *t = find(c, CLN_F32, name);
    if (!t || !has_shape(c, t, rank, shape))
        return NULL;
    float *values = verify_alloc(c, t->count, sizeof *values);
    if (values)
        cln_file_tensor_to_float(t, values);
    return values;
}

int64_t *verify_int64s(verify_case *c, int rank, const int64_t *shape, const char *name) {
    const cln_file_tensor *t = find(c, CLN_I64, name);
    if (!t || !has_shape(c, t, rank, shape))
        return NULL;
    int64_t *values = verify_alloc(c, t->count, sizeof *values);
    if (values)
        cln_file_tensor_to_int64(t, values);
    return values;
}

bool verify_shape(verify_case *c, const cln_file_tensor *t, cln_shape *out) {
    int64_t sides[4] = {1, 1, 1, 1};
    char text[SHAPE_SIZE];
    if (t->rank > 4 || t->count < 1)
        return verify_fail(c, "tensor '%s' has shape %s, expected at most four axes, none empty", t->name,
                           shape_text(t->rank, t->shape, text));
    for (int i = 0; i < t->rank; i++)
        sides[i] = t->shape[i];
    *out = (cln_shape){sides[0], sides[1], sides[2], sides[3]};
    return true;
}

int64_t verify_count(cln_shape shape) {
    return shape.n * shape.c * shape.h * shape.w;
}

int32_t *verify_labels(verify_case *c, int64_t count, int64_t classes) {
    int64_t *wide = verify_int64s(c, 1, &count, "label");
    int32_t *labels = wide ? verify_alloc(c, count, sizeof *labels) : NULL;
    for (int64_t i = 0; labels && i < count; i++) {
        if (wide[i] < 0 || wide[i] >= classes) {
            verify_fail(c, "label %lld of image %lld is outside the %lld classes", (long long)wide[i], (long long)i,
                        (long long)classes);
            return NULL;
        }
        labels[i] = (int32_t)wide[i];
    }
    return labels;
}

/* --- metadata --- */

const char *verify_metadata(verify_case *c, const char *key) {
    const char *value = verify_find_metadata(c, key);
    if (!value)
        verify_fail(c, "its __metadata__ has no '%s'", key);
    return value;
}

static bool parse_object(verify_case *c, const char *key, const char *text, cJSON **out) {
    bool lacks_memory;
    *out = cln__json_parse(text, NULL, &lacks_memory);
    if (lacks_memory)
        return verify_fail_memory(c);
    return cJSON_IsObject(*out) || verify_fail(c, "its %s is not a JSON object: %.80s", key, text);
}

bool verify_parse(verify_case *c, const char *key) {
    const char *text = verify_metadata(c, key);
    cJSON_Delete(c->attributes);
    c->attributes = NULL;
    return text && parse_object(c, key, text, &c->attributes);
}

static bool to_int(verify_case *c, const char *name, const cJSON *value, int *out) {
    double x = cJSON_IsNumber(value) ? value->valuedouble : -1;
    if (!(x >= 0 && x <= INT32_MAX && x == floor(x)))
        return verify_fail(c, "'%s' is not a whole number from 0 to %d", name, INT32_MAX);
    *out = (int)x;
    return true;
}

bool verify_int(verify_case *c, const char *name, int fallback, int *out) {
    int pair[2] = {fallback, fallback};
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(c->attributes, name);
    *out = fallback;
    if (!value)
        return true;
    if (!cJSON_IsArray(value))
        return to_int(c, name, value, out);
    if (!verify_int_pair(c, name, pair))
        return false;
    *out = pair[0];
    return pair[0] == pair[1] ||
           verify_fail(c, "'%s' is %d by %d: only equal ones are supported", name, pair[0], pair[1]);
}

bool verify_int_pair(verify_case *c, const char *name, int out[2]) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(c->attributes, name);
    if (!value)
        return verify_fail(c, "'%s' is missing", name);
    if (!cJSON_IsArray(value))
        return to_int(c, name, value, &out[0]) && to_int(c, name, value, &out[1]);
    if (cJSON_GetArraySize(value) != 2)
        return verify_fail(c, "'%s' is neither a number nor two", name);
    return to_int(c, name, cJSON_GetArrayItem(value, 0), &out[0]) &&
           to_int(c, name, cJSON_GetArrayItem(value, 1), &out[1]);
}

bool verify_real(verify_case *c, const char *name, double fallback, double *out) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(c->attributes, name);
    *out = cJSON_IsNumber(value) ? value->valuedouble : fallback;
    if (!value || (cJSON_IsNumber(value) && isfinite(*out)))
        return true;
    return verify_fail(c, "'%s' is not a number", name);
}

bool verify_flag(verify_case *c, const char *name, bool fallback, bool *out) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(c->attributes, name);
    *out = value ? cJSON_IsTrue(value) : fallback;
    return !value || cJSON_IsBool(value) || verify_fail(c, "'%s' is neither true nor false", name);
}

bool verify_tolerance(verify_case *c, const char *key, int index, double *out) {
    const char *text = verify_find_metadata(c, "tolerance");
    *out = default_tolerance;
    if (!text)
        return true;
    if (!c->tolerance && !parse_object(c, "tolerance", text, &c->tolerance))
        return false;
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(c->tolerance, key);
    if (cJSON_IsArray(value))
        value = cJSON_GetArrayItem(value, index);
    if (!value)
        return true;
    *out = cJSON_IsNull(value) ? -1 : value->valuedouble;
    return cJSON_IsNull(value) || (cJSON_IsNumber(value) && *out >= 0) ||
           verify_fail(c, "its tolerance of '%s' is neither null nor a number of 0 or more", key);
}
