/* Cases made in memory, of the form that golden files have. */
#include "verify.h"

#include <stdlib.h>
#include <string.h>

static char *copy_text(verify_case *c, const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = verify_alloc(c, (int64_t)size, 1);
    return copy ? memcpy(copy, text, size) : NULL;
}

/* A tensor with room for its values at `*values`. */
static bool put(verify_case *c, const char *name, cln_dtype dtype, int rank, const int64_t *shape, void **values) {
    cln_file_tensor *t = verify_alloc(c, 1, sizeof *t);
    char *copy = t ? copy_text(c, name) : NULL;
    if (!copy || !verify_grow(c, (void **)&c->tensors, &c->tensor_capacity, c->tensor_count, sizeof *c->tensors))
        return false;
    *t = (cln_file_tensor){.name = copy, .dtype = dtype, .rank = rank, .count = 1};
    for (int i = 0; i < rank; i++) {
        t->shape[i] = shape[i];
        t->count *= shape[i];
    }
    t->data = *values = verify_alloc(c, t->count, cln_dtype_size(dtype));
    c->tensors[c->tensor_count++] = t;
    return t->data != NULL;
}

bool verify_put(verify_case *c, const char *name, int rank, const int64_t *shape, const double *values) {
    void *room;
    if (!put(c, name, CLN_F32, rank, shape, &room))
        return false;
    float *rounded = room;
    for (int64_t i = 0; i < c->tensors[c->tensor_count - 1]->count; i++)
        rounded[i] = (float)values[i];
    return true;
}

bool verify_put_labels(verify_case *c, int64_t count, const int64_t *labels) {
    void *room;
    if (!put(c, "label", CLN_I64, 1, &count, &room))
        return false;
    memcpy(room, labels, (size_t)count * sizeof *labels);
    return true;
}

bool verify_put_metadata(verify_case *c, const char *key, const char *value) {
    char *key_copy = copy_text(c, key), *value_copy = key_copy ? copy_text(c, value) : NULL;
    if (!value_copy)
        return false;
    if (c->metadata_count == VERIFY_METADATA)
        return verify_fail(c, "too many metadata values");
    c->metadata[c->metadata_count++] = (cln_metadata){key_copy, value_copy};
    return true;
}
