/* Reading a PyTorch checkpoint: the stages in their order, and what is kept of them. */
#include "torch_file.h"
#include "torch.h"

#include <stdlib.h>
#include <string.h>

struct cln__torch_file {
    uint8_t *bytes;  /* the whole file, where tensors lie in it; else NULL */
    cln__arena kept; /* everything below, and storages and tensors that are copies */
    cln_file_tensor *tensors;
    size_t count;
    const cln_file_tensor **by_name; /* sorted */
    cln_metadata *metadata;
    size_t metadata_count;
};

/* A byte of a pickle becomes at most a value and an entry, 64 bytes, besides what is made of them. */
static const size_t values_growth = 96, values_most = (size_t)1 << 30;
/* The tensors, where they are copies, besides names; so that tensors that overlap one another cannot fill the memory.
 */
static const size_t kept_growth = 32;

static size_t limit(size_t size, size_t growth, size_t most) {
    const size_t least = (size_t)1 << 20;
    return size < (most - least) / growth ? least + size * growth : most;
}

cln_status cln__torch_no_memory(const cln__torch *t, const cln__arena *arena) {
    if (!arena->full)
        return cln__fail_memory(t->ctx, t->path);
    return cln__fail(t->ctx, CLN_INVALID_FILE,
                     CLN__TORCH_INVALID "it needs more memory than a file of its size should, as its parts overlap",
                     t->path);
}

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const cln_file_tensor *const *)a)->name, (*(const cln_file_tensor *const *)b)->name);
}

/* The tensors as they are handed out. */
static cln_status list(cln__torch *t, cln__torch_file *file) {
    size_t bytes;
    if (!cln__mul_size(t->tensor_count, sizeof *file->tensors, &bytes))
        return cln__fail_memory(t->ctx, t->path);
    file->tensors = cln__arena_new(t->kept, bytes);
    file->by_name = cln__arena_new(t->kept, t->tensor_count * sizeof *file->by_name);
    if (!file->tensors || !file->by_name)
        return cln__torch_no_memory(t, t->kept);
    for (const cln__torch_tensor *d = t->first; d; d = d->next) {
        CLN_TRY(cln__torch_place_tensor(t, d, &file->tensors[file->count]));
        file->by_name[file->count] = &file->tensors[file->count];
        file->count++;
    }
    qsort(file->by_name, file->count, sizeof *file->by_name, compare_names);
    for (size_t i = 1; i < file->count; i++)
        if (strcmp(file->by_name[i - 1]->name, file->by_name[i]->name) == 0)
            return cln__fail(t->ctx, CLN_INVALID_FILE, CLN__TORCH_INVALID "it has two tensors '%.200s'", t->path,
                             file->by_name[i]->name);
    return CLN_OK;
}

static cln_status read_stages(cln__torch *t, bool zip, cln__torch_file *file) {
    CLN_TRY(zip ? cln__torch_zip_open(t) : cln__torch_legacy_open(t));
    CLN_TRY(cln__torch_list_storages(t));
    CLN_TRY(cln__torch_list_tensors(t));
    CLN_TRY(zip ? cln__torch_zip_load(t) : cln__torch_legacy_load(t));
    CLN_TRY(list(t, file));
    return cln__torch_list_metadata(t, &file->metadata, &file->metadata_count);
}

cln_status cln__torch_take(cln_context *ctx, const char *path, uint8_t *bytes, size_t size, cln__torch_file **out) {
    *out = NULL;
    cln__torch_file *file = calloc(1, sizeof *file);
    if (!file) {
        free(bytes);
        return cln__fail_memory(ctx, path);
    }
    bool zip = cln__torch_is_zip(bytes, size);
    cln__arena values = {.limit_bytes = limit(size, values_growth, values_most)};
    file->bytes = bytes;
    file->kept.limit_bytes = limit(size, kept_growth, SIZE_MAX);
    cln__torch t = {.ctx = ctx, .path = path, .bytes = bytes, .size = size, .values = &values, .kept = &file->kept};
    cln_status status = read_stages(&t, zip, file);
    cln__torch_zip_close(&t);
    cln__arena_free(&values);
    if (zip) { /* its storages were copied */
        free(file->bytes);
        file->bytes = NULL;
    }
    if (status != CLN_OK) {
        cln__torch_free(file);
        return status;
    }
    *out = file;
    return CLN_OK;
}

void cln__torch_free(cln__torch_file *file) {
    if (!file)
        return;
    cln__arena_free(&file->kept);
    free(file->bytes);
    free(file);
}

size_t cln__torch_count(const cln__torch_file *file) {
    return file->count;
}

const cln_file_tensor *cln__torch_at(const cln__torch_file *file, size_t index) {
    return index < file->count ? &file->tensors[index] : NULL;
}

const cln_file_tensor *cln__torch_find(const cln__torch_file *file, const char *name) {
    const cln_file_tensor wanted = {.name = name}, *key = &wanted;
    const cln_file_tensor **found = bsearch(&key, file->by_name, file->count, sizeof key, compare_names);
    return found ? *found : NULL;
}

const char *cln__torch_metadata(const cln__torch_file *file, const char *key) {
    for (size_t i = 0; i < file->metadata_count; i++)
        if (strcmp(file->metadata[i].key, key) == 0)
            return file->metadata[i].value;
    return NULL;
}
