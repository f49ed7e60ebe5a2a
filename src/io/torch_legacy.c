/* The container of PyTorch before 1.6, a stream: five pickles (a magic number, the protocol's version, facts about the
 * system, the object, the keys of the storages), then for each key an int64 element count and the elements. */
#include "torch.h"
#include "torch_file.h"

#include <string.h>

enum { PROTOCOL = 1001 };
static const uint8_t magic[10] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

/* It begins with PROTO and the magic number, in protocol 4 and 5 within a FRAME. */
bool cln__torch_is_legacy(const uint8_t *bytes, size_t size) {
    return size >= 2 && bytes[0] == 0x80 && bytes[1] <= 5 &&
           (size < 3 || bytes[2] == 0x8a /* LONG1 */ || bytes[2] == 0x95 /* FRAME */);
}

static cln_status read_pickle(cln__torch *t, size_t *at, cln__pickle *out) {
    return cln__pickle_read(t->ctx, t->path, t->values, t->bytes, t->size, at, out);
}

static cln_status check_system(const cln__torch *t, const cln__pickled *system) {
    const cln__pickled *little = cln__pickled_get(system, "little_endian");
    if (!cln__pickled_is(little, CLN__PICKLED_BOOL) || little->integer)
        return CLN_OK;
    return cln__fail(t->ctx, CLN_UNSUPPORTED,
                     "'%s' was written on a big-endian machine, which cannot be read here: load it in PyTorch and save "
                     "it again on a little-endian one",
                     t->path);
}

cln_status cln__torch_legacy_open(cln__torch *t) {
    cln__pickle p;
    int64_t version;
    size_t at = 0;
    CLN_TRY(read_pickle(t, &at, &p));
    if (!cln__pickled_is(p.root, CLN__PICKLED_LONG) || p.root->length != sizeof magic ||
        memcmp(p.root->text, magic, sizeof magic) != 0)
        return cln__fail(t->ctx, CLN_INVALID_FILE,
                         "'%s' is a pickle, but not one of PyTorch: its magic number is wrong", t->path);
    CLN_TRY(read_pickle(t, &at, &p));
    if (!cln__pickled_to_int(p.root, &version) || version != PROTOCOL)
        return cln__fail(t->ctx, CLN_INVALID_FILE, CLN__TORCH_INVALID "its protocol is not %d", t->path, PROTOCOL);
    CLN_TRY(read_pickle(t, &at, &p));
    CLN_TRY(check_system(t, p.root));
    size_t before = at;
    CLN_TRY(read_pickle(t, &at, &t->object));
    t->object_bytes = at - before;
    t->keys_at = at;
    return CLN_OK;
}

static cln_status bad_storage(const cln__torch *t, const cln__pickled *key, const char *why) {
    return cln__fail(t->ctx, CLN_INVALID_FILE, CLN__TORCH_INVALID "storage '%.*s': %s", t->path,
                     (int)(key->length < 100 ? key->length : 100), key->text, why);
}

/* The element count at *at, the elements behind it. */
static cln_status load(cln__torch *t, const cln__pickled *key, size_t *at) {
    cln__torch_storage *s = cln__torch_find_key(t, key);
    if (!s)
        return bad_storage(t, key, "it is of an unknown type, so that its size is not known");
    if (s->data)
        return bad_storage(t, key, "the list of storages names it twice");
    if (t->size - *at < 8)
        return bad_storage(t, key, "the file is truncated");
    uint64_t count = 0;
    for (int i = 0; i < 8; i++)
        count |= (uint64_t)t->bytes[*at + (size_t)i] << (8 * i);
    *at += 8;
    if (count != (uint64_t)s->count)
        return bad_storage(t, key, "the element count in front of it is not the one that the tensors expect");
    if (s->bytes > t->size - *at)
        return bad_storage(t, key, "the file is truncated");
    s->data = t->bytes + *at;
    *at += s->bytes;
    return CLN_OK;
}

cln_status cln__torch_legacy_load(cln__torch *t) {
    cln__pickle keys;
    size_t at = t->keys_at;
    CLN_TRY(read_pickle(t, &at, &keys));
    if (!cln__pickled_is(keys.root, CLN__PICKLED_LIST))
        return cln__fail(t->ctx, CLN_INVALID_FILE, CLN__TORCH_INVALID "it has no list of storages", t->path);
    for (const cln__pickled_item *item = keys.root->first; item; item = item->next) {
        if (!cln__pickled_is(item->value, CLN__PICKLED_TEXT))
            return cln__fail(t->ctx, CLN_INVALID_FILE, CLN__TORCH_INVALID "the key of a storage is not a text",
                             t->path);
        CLN_TRY(load(t, item->value, &at));
    }
    return CLN_OK;
}
