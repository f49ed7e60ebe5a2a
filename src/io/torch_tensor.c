/* Tensors of a checkpoint. The pickle describes one as a call:
 *   torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks) */
#include "safetensors_header.h"
#include "torch.h"

#include <string.h>

enum { MAX_WRAPPERS = 8, MAX_PARTS = 4 };

#define TENSOR_MESSAGE CLN__TORCH_INVALID "tensor '%.200s': "
#define UNREADABLE "'%s' cannot be read: its tensor '%.200s' is of a kind that is not supported here: "

static cln_status bad(const cln__torch *t, const char *name, const char *why) {
    return cln__fail(t->ctx, CLN_INVALID_FILE, TENSOR_MESSAGE "%s", t->path, name, why);
}

static bool is_util(const cln__pickled *function, const char *name) {
    return cln__pickled_is_global(function, "torch._utils", name);
}

/* Takes off what may be around the call: a parameter is made of (tensor, requires_grad, hooks), a tensor with
 * attributes of (function, type, arguments, attributes). Gives function and arguments. */
static bool unwrap(const cln__pickled *value, const cln__pickled **function, const cln__pickled **arguments) {
    const cln__pickled *parts[MAX_PARTS];
    for (int i = 0; i < MAX_WRAPPERS; i++) {
        if (!cln__pickled_is(value, CLN__PICKLED_CALL))
            return false;
        *function = value->function;
        *arguments = value->arguments;
        size_t count = cln__pickled_items(*arguments, parts, MAX_PARTS);
        if (cln__pickled_is_global(*function, "torch._tensor", "_rebuild_from_type_v2") && count == 4) {
            *function = parts[0];
            *arguments = parts[2];
            count = cln__pickled_items(*arguments, parts, MAX_PARTS);
        }
        if (!(is_util(*function, "_rebuild_parameter") || is_util(*function, "_rebuild_parameter_with_state")) ||
            count == 0)
            return true;
        value = parts[0];
    }
    return false;
}

/* Up to CLN_MAX_RANK whole numbers of a tuple, a list or a torch.Size. */
static bool read_sizes(const cln__pickled *value, int64_t *out, int *rank) {
    const cln__pickled *items[CLN_MAX_RANK];
    if (cln__pickled_is(value, CLN__PICKLED_CALL) && cln__pickled_is_global(value->function, "torch", "Size") &&
        cln__pickled_items(value->arguments, items, 1) == 1)
        value = items[0];
    if (!cln__pickled_is(value, CLN__PICKLED_TUPLE) && !cln__pickled_is(value, CLN__PICKLED_LIST))
        return false;
    size_t count = cln__pickled_items(value, items, CLN_MAX_RANK);
    if (count > CLN_MAX_RANK)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!cln__pickled_to_int(items[i], &out[i]) || out[i] < 0)
            return false;
    *rank = (int)count;
    return true;
}

/* Whether the tensor lies within `count` elements from its offset's origin on. */
static bool is_within(const cln__torch_tensor *d, int64_t count) {
    size_t last = (size_t)d->offset, reach;
    if (d->tensor.count == 0)
        return d->offset <= count;
    for (int i = 0; i < d->tensor.rank; i++)
        if (!cln__mul_size((size_t)d->tensor.shape[i] - 1, (size_t)d->stride[i], &reach) ||
            !cln__add_size(last, reach, &last))
            return false;
    return last < (uint64_t)count;
}

static cln_status describe(cln__torch *t, const cln__pickled *const parts[MAX_PARTS], const char *name,
                           cln__torch_tensor *d) {
    int64_t first, count;
    int strides;
    size_t bytes;
    cln__torch_storage *storage = cln__torch_find_storage(t, parts[0], &first, &count);
    if (!storage)
        return bad(t, name, "its storage is malformed or of an unknown type");
    if (storage->dtype == CLN_DTYPE_COUNT)
        return cln__fail(t->ctx, CLN_UNSUPPORTED, UNREADABLE "complex or quantised numbers", t->path, name);
    storage->wanted = true;
    d->storage = storage;
    d->tensor = (cln_file_tensor){.name = name, .dtype = storage->dtype};
    if (!cln__pickled_to_int(parts[1], &d->offset) || d->offset < 0)
        return bad(t, name, "its offset is not a whole number from 0 on");
    if (!read_sizes(parts[2], d->tensor.shape, &d->tensor.rank) || !read_sizes(parts[3], d->stride, &strides) ||
        strides != d->tensor.rank)
        return bad(t, name, "its shape and strides are not as many whole numbers from 0 on, at most 8");
    if (!cln__file_tensor_size(&d->tensor, &d->tensor.count, &bytes) || !is_within(d, count))
        return bad(t, name, "it reaches beyond its storage");
    d->offset += first;
    for (int i = 0; i < d->tensor.rank; i++) /* an axis of one element has any stride, and is never stepped along */
        d->stride[i] = d->tensor.shape[i] > 1 ? d->stride[i] : 0;
    return CLN_OK;
}

cln_status cln__torch_add_tensor(cln__torch *t, const cln__pickled *value, const char *name, bool *is_tensor) {
    const cln__pickled *function, *arguments, *parts[MAX_PARTS];
    *is_tensor = false;
    if (!unwrap(value, &function, &arguments) || !cln__pickled_is(function, CLN__PICKLED_GLOBAL) ||
        !cln__pickled_is_text(function->module, "torch._utils"))
        return CLN_OK;
    *is_tensor = true;
    if (!is_util(function, "_rebuild_tensor_v2") && !is_util(function, "_rebuild_tensor"))
        return cln__fail(t->ctx, CLN_UNSUPPORTED, UNREADABLE "%.*s", t->path, name,
                         (int)(function->name->length < 100 ? function->name->length : 100), function->name->text);
    if (cln__pickled_items(arguments, parts, MAX_PARTS) < MAX_PARTS)
        return bad(t, name, "storage, offset, shape or strides are missing");
    cln__torch_tensor *d = cln__arena_new(t->values, sizeof *d);
    if (!d)
        return cln__torch_no_memory(t, t->values);
    CLN_TRY(describe(t, parts, name, d));
    *(t->last ? &t->last->next : &t->first) = d;
    t->last = d;
    t->tensor_count++;
    return CLN_OK;
}

static bool is_contiguous(const cln__torch_tensor *d) {
    int64_t expected = 1;
    for (int i = d->tensor.rank - 1; i >= 0; i--) {
        if (d->tensor.shape[i] > 1 && d->stride[i] != expected)
            return false;
        expected *= d->tensor.shape[i];
    }
    return true;
}

/* Copies the elements in row-major order; all of them are known to lie within the storage. */
static void gather(const cln__torch_tensor *d, uint8_t *out) {
    int64_t index[CLN_MAX_RANK] = {0}, at = d->offset;
    size_t size = cln_dtype_size(d->tensor.dtype);
    for (int64_t n = 0; n < d->tensor.count; n++, out += size) {
        memcpy(out, d->storage->data + (size_t)at * size, size);
        for (int i = d->tensor.rank - 1; i >= 0; i--) {
            at += d->stride[i];
            if (++index[i] < d->tensor.shape[i])
                break;
            at -= index[i] * d->stride[i];
            index[i] = 0;
        }
    }
}

cln_status cln__torch_place_tensor(cln__torch *t, const cln__torch_tensor *d, cln_file_tensor *out) {
    size_t size = cln_dtype_size(d->tensor.dtype);
    *out = d->tensor;
    if (!d->storage->data)
        return bad(t, out->name, "the file does not hold its storage");
    if (out->count == 0 || is_contiguous(d)) {
        out->data = d->storage->data + (out->count ? (size_t)d->offset * size : 0);
        return CLN_OK;
    }
    size_t bytes;
    uint8_t *copy = cln__mul_size((size_t)out->count, size, &bytes) ? cln__arena_new(t->kept, bytes) : NULL;
    if (!copy)
        return cln__torch_no_memory(t, t->kept);
    gather(d, copy);
    out->data = copy;
    return CLN_OK;
}
