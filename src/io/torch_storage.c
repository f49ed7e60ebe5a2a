/* The storages of a checkpoint. The pickle speaks of one by a persistent id:
 *   ('storage', torch.FloatStorage, key, location, count[, view])
 * where location is the device that it was on, which does not matter here. */
#include "torch.h"

#include <stdlib.h>
#include <string.h>

/* Those of no type here can be stepped over. */
static const struct {
    const char *module, *name;
    cln_dtype dtype;
    size_t size;
} types[] = {
    {"torch", "FloatStorage", CLN_F32, 4},
    {"torch", "DoubleStorage", CLN_F64, 8},
    {"torch", "HalfStorage", CLN_F16, 2},
    {"torch", "BFloat16Storage", CLN_BF16, 2},
    {"torch", "LongStorage", CLN_I64, 8},
    {"torch", "IntStorage", CLN_I32, 4},
    {"torch", "ShortStorage", CLN_I16, 2},
    {"torch", "CharStorage", CLN_I8, 1},
    {"torch", "ByteStorage", CLN_U8, 1},
    {"torch", "BoolStorage", CLN_BOOL, 1},
    {"torch", "ComplexFloatStorage", CLN_DTYPE_COUNT, 8},
    {"torch", "ComplexDoubleStorage", CLN_DTYPE_COUNT, 16},
    {"torch", "QInt8Storage", CLN_DTYPE_COUNT, 1},
    {"torch", "QUInt8Storage", CLN_DTYPE_COUNT, 1},
    {"torch", "QInt32Storage", CLN_DTYPE_COUNT, 4},
    {"torch.storage", "UntypedStorage", CLN_DTYPE_COUNT, 1},
};

static bool find_type(const cln__pickled *global, cln_dtype *dtype, size_t *size) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (cln__pickled_is_global(global, types[i].module, types[i].name)) {
            *dtype = types[i].dtype;
            *size = types[i].size;
            return true;
        }
    return false;
}

/* By length first: any order of keys will do. */
static int compare(const void *left, const void *right) {
    const cln__pickled *a = ((const cln__torch_storage *)left)->key, *b = ((const cln__torch_storage *)right)->key;
    if (a->length != b->length)
        return a->length < b->length ? -1 : 1;
    return a->length ? memcmp(a->text, b->text, a->length) : 0;
}

enum { KIND, TYPE, KEY, LOCATION, COUNT, VIEW, PARTS };

/* The storage that an id tells of, and the parts of the id; false if it is not one of a known type and possible size.
 */
static bool read_id(const cln__pickled *value, const cln__pickled *parts[PARTS], cln__torch_storage *out) {
    *out = (cln__torch_storage){.count = 0};
    if (!cln__pickled_is(value, CLN__PICKLED_PERSISTENT) || !cln__pickled_is(value->id, CLN__PICKLED_TUPLE))
        return false;
    size_t size, count = cln__pickled_items(value->id, parts, PARTS);
    if (count != VIEW && count != PARTS)
        return false;
    if (count == VIEW)
        parts[VIEW] = NULL;
    if (!cln__pickled_is_text(parts[KIND], "storage") || !cln__pickled_is(parts[KEY], CLN__PICKLED_TEXT) ||
        !cln__pickled_to_int(parts[COUNT], &out->count) || !find_type(parts[TYPE], &out->dtype, &size))
        return false;
    out->key = parts[KEY];
    return out->count >= 0 && (uint64_t)out->count <= SIZE_MAX && cln__mul_size((size_t)out->count, size, &out->bytes);
}

/* One entry a key; the pickle tells of a storage again for each tensor in it. */
static cln_status merge(cln__torch *t) {
    size_t kept = 0;
    qsort(t->storages, t->storage_count, sizeof *t->storages, compare);
    for (size_t i = 0; i < t->storage_count; i++) {
        const cln__torch_storage *s = &t->storages[i], *before = kept ? &t->storages[kept - 1] : NULL;
        if (!before || compare(before, s) != 0)
            t->storages[kept++] = *s;
        else if (before->dtype != s->dtype || before->count != s->count)
            return cln__fail(t->ctx, CLN_INVALID_FILE,
                             CLN__TORCH_INVALID "storage '%.*s' is described in two different ways", t->path,
                             (int)(s->key->length < 100 ? s->key->length : 100), s->key->text);
    }
    t->storage_count = kept;
    return CLN_OK;
}

cln_status cln__torch_list_storages(cln__torch *t) {
    const cln__pickled *parts[PARTS];
    size_t count = 0;
    for (const cln__pickled_item *item = t->object.persistent; item; item = item->next)
        count++;
    size_t bytes;
    if (!cln__mul_size(count + 1, sizeof *t->storages, &bytes))
        return cln__fail_memory(t->ctx, "the storages of a checkpoint");
    t->storages = cln__arena_new(t->values, bytes);
    if (!t->storages)
        return cln__torch_no_memory(t, t->values);
    for (const cln__pickled_item *item = t->object.persistent; item; item = item->next)
        if (read_id(item->value, parts, &t->storages[t->storage_count]))
            t->storage_count++;
    return merge(t);
}

/* A view: (key, first element, number of elements), of PyTorch before 0.4. */
static bool read_view(const cln__pickled *view, const cln__torch_storage *storage, int64_t *first, int64_t *count) {
    const cln__pickled *parts[3];
    *first = 0;
    *count = storage->count;
    if (!view || view->kind == CLN__PICKLED_NONE)
        return true;
    return cln__pickled_items(view, parts, 3) == 3 && cln__pickled_to_int(parts[1], first) &&
           cln__pickled_to_int(parts[2], count) && *first >= 0 && *count >= 0 && *first <= storage->count &&
           *count <= storage->count - *first;
}

cln__torch_storage *cln__torch_find_key(const cln__torch *t, const cln__pickled *key) {
    const cln__torch_storage wanted = {.key = key};
    return t->storage_count ? bsearch(&wanted, t->storages, t->storage_count, sizeof wanted, compare) : NULL;
}

cln__torch_storage *cln__torch_find_storage(const cln__torch *t, const cln__pickled *value, int64_t *first,
                                            int64_t *count) {
    const cln__pickled *parts[PARTS];
    cln__torch_storage found;
    return read_id(value, parts, &found) && read_view(parts[VIEW], &found, first, count)
               ? cln__torch_find_key(t, found.key)
               : NULL;
}
