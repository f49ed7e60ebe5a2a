/* The container of PyTorch from 1.6 on, a zip archive that is not compressed: in a folder named after the file,
 * data.pkl (the object), data/<key> (a storage each), byteorder, and others that do not matter here. */
#include "torch.h"
#include "torch_file.h"

#include <stdlib.h>
#include <string.h>
#include <zip.h>

enum { MAX_PREFIX = 256, MAX_KEY = 64 };

/* The members together may be so many times as large as the file: PyTorch does not compress, but others may have. */
static const uint64_t max_growth = 16;

typedef struct container {
    zip_t *archive;
    char prefix[MAX_PREFIX + 1]; /* "resnet/" */
    uint64_t left_bytes;         /* that members may still have */
} container;

bool cln__torch_is_zip(const uint8_t *bytes, size_t size) {
    return size >= 4 && memcmp(bytes, "PK\3\4", 4) == 0;
}

static cln_status fail_zip(const cln__torch *t, zip_error_t *error) {
    cln_status status = zip_error_code_zip(error) == ZIP_ER_MEMORY
                            ? cln__fail_memory(t->ctx, t->path)
                            : cln__fail(t->ctx, CLN_INVALID_FILE, "'%s' is damaged or not a zip archive: %s", t->path,
                                        zip_error_strerror(error));
    zip_error_fini(error);
    return status;
}

static cln_status open_archive(cln__torch *t, container *c) {
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *source = zip_source_buffer_create(t->bytes, t->size, 0, &error);
    if (!source)
        return fail_zip(t, &error);
    c->archive = zip_open_from_source(source, ZIP_RDONLY, &error);
    if (!c->archive) {
        zip_source_free(source);
        return fail_zip(t, &error);
    }
    zip_error_fini(&error);
    return CLN_OK;
}

/* The folder that holds data.pkl: there must be one only. */
static cln_status find_prefix(cln__torch *t, container *c) {
    static const char object[] = "data.pkl";
    int found = 0;
    zip_int64_t count = zip_get_num_entries(c->archive, 0);
    for (zip_int64_t i = 0; i < count; i++) {
        const char *name = zip_get_name(c->archive, (zip_uint64_t)i, ZIP_FL_ENC_RAW);
        const char *slash = name ? strchr(name, '/') : NULL;
        if (!slash || strcmp(slash + 1, object) != 0 || slash - name >= MAX_PREFIX)
            continue;
        memcpy(c->prefix, name, (size_t)(slash + 1 - name));
        found++;
    }
    if (found == 1)
        return CLN_OK;
    return cln__fail(t->ctx, CLN_INVALID_FILE, "'%s' is a zip archive, but not one of PyTorch: it has %s %s", t->path,
                     found ? "more than one" : "no", object);
}

static cln_status bad_member(const cln__torch *t, const char *name, const char *why) {
    return cln__fail(t->ctx, CLN_INVALID_FILE, CLN__TORCH_INVALID "its member '%.300s' %s", t->path, name, why);
}

/* Finds a member and checks what the archive says of it. */
static cln_status examine(cln__torch *t, container *c, const char *name, zip_stat_t *out) {
    const zip_uint64_t needed =
        ZIP_STAT_INDEX | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    if (zip_stat(c->archive, name, ZIP_FL_ENC_RAW, out) != 0 || (out->valid & needed) != needed)
        return bad_member(t, name, "is missing");
    if (out->encryption_method != ZIP_EM_NONE)
        return bad_member(t, name, "is encrypted");
    if (out->comp_method != ZIP_CM_STORE && out->comp_method != ZIP_CM_DEFLATE)
        return bad_member(t, name, "is compressed in a way that PyTorch does not use");
    if (out->comp_method == ZIP_CM_STORE && out->size != out->comp_size)
        return bad_member(t, name, "has two sizes");
    if (out->size > c->left_bytes)
        return bad_member(t, name, "is too large for an archive of this size");
    c->left_bytes -= out->size;
    return CLN_OK;
}

/* Reads to the end, where libzip compares the checksum. */
static bool read_all(zip_file_t *file, uint8_t *data, uint64_t size) {
    for (uint64_t done = 0; done < size;) {
        zip_int64_t got = zip_fread(file, data + done, size - done);
        if (got <= 0)
            return false;
        done += (uint64_t)got;
    }
    uint8_t more;
    return zip_fread(file, &more, 1) == 0;
}

static cln_status read_member(cln__torch *t, container *c, const char *name, cln__arena *arena, const uint8_t **out,
                              size_t *size) {
    zip_stat_t stat;
    CLN_TRY(examine(t, c, name, &stat));
    uint8_t *data = stat.size < SIZE_MAX ? cln__arena_new(arena, (size_t)stat.size + 1) : NULL;
    if (!data)
        return cln__torch_no_memory(t, arena);
    zip_file_t *file = zip_fopen_index(c->archive, stat.index, 0);
    bool good = file && read_all(file, data, stat.size);
    if (file)
        zip_fclose(file);
    if (!good)
        return bad_member(t, name, "cannot be read: it is truncated, or its checksum is wrong or was never computed");
    *out = data;
    *size = (size_t)stat.size;
    return CLN_OK;
}

static cln_status check_byte_order(cln__torch *t, container *c) {
    char name[MAX_PREFIX + 32];
    const uint8_t *order;
    size_t size;
    snprintf(name, sizeof name, "%sbyteorder", c->prefix);
    if (zip_name_locate(c->archive, name, ZIP_FL_ENC_RAW) < 0) /* older than PyTorch 2.0 */
        return CLN_OK;
    CLN_TRY(read_member(t, c, name, t->values, &order, &size));
    if (size == 6 && memcmp(order, "little", 6) == 0)
        return CLN_OK;
    return cln__fail(t->ctx, CLN_UNSUPPORTED,
                     "'%s' does not say 'little' in its member '%s': data of another byte order cannot be read here",
                     t->path, name);
}

cln_status cln__torch_zip_open(cln__torch *t) {
    char name[MAX_PREFIX + 32];
    const uint8_t *pickle;
    size_t at = 0;
    container *c = t->zip = cln__arena_new(t->values, sizeof *c);
    if (!c)
        return cln__torch_no_memory(t, t->values);
    c->left_bytes = t->size < UINT64_MAX / max_growth ? t->size * max_growth : UINT64_MAX;
    CLN_TRY(open_archive(t, c));
    CLN_TRY(find_prefix(t, c));
    CLN_TRY(check_byte_order(t, c));
    snprintf(name, sizeof name, "%sdata.pkl", c->prefix);
    CLN_TRY(read_member(t, c, name, t->values, &pickle, &t->object_bytes));
    return cln__pickle_read(t->ctx, t->path, t->values, pickle, t->object_bytes, &at, &t->object);
}

static cln_status load(cln__torch *t, cln__torch_storage *s) {
    char name[MAX_PREFIX + MAX_KEY + 32];
    container *c = t->zip;
    size_t size;
    if (s->key->length > MAX_KEY || !cln__pickled_is_string(s->key))
        return cln__fail(t->ctx, CLN_INVALID_FILE, CLN__TORCH_INVALID "the key of a storage is not a short text",
                         t->path);
    snprintf(name, sizeof name, "%sdata/%.*s", c->prefix, (int)s->key->length, s->key->text);
    CLN_TRY(read_member(t, c, name, t->kept, &s->data, &size));
    return size == s->bytes ? CLN_OK : bad_member(t, name, "is not of the size that the tensors expect");
}

cln_status cln__torch_zip_load(cln__torch *t) {
    for (size_t i = 0; i < t->storage_count; i++)
        if (t->storages[i].wanted)
            CLN_TRY(load(t, &t->storages[i]));
    return CLN_OK;
}

void cln__torch_zip_close(cln__torch *t) {
    container *c = t->zip;
    if (c && c->archive)
        zip_discard(c->archive);
}
