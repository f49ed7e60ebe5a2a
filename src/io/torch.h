/* A PyTorch checkpoint while it is read: what the files torch_*.c share. The stages, in order: the container gives the
 * object (a pickle); the storages that it speaks of are listed; its tensors are found and described; the container
 * gives the bytes of the storages; the tensors are laid over them. */
#ifndef CLN_SRC_TORCH_H
#define CLN_SRC_TORCH_H

#include "arena.h"
#include "clnet/safetensors.h"
#include "pickle.h"

/* Memory that tensors may share. */
typedef struct cln__torch_storage {
    const cln__pickled *key; /* a text */
    cln_dtype dtype;         /* CLN_DTYPE_COUNT: one that cannot be read here */
    int64_t count;           /* elements */
    size_t bytes;
    bool wanted;         /* a tensor of the state_dict lies in it */
    const uint8_t *data; /* NULL until the container has found it */
} cln__torch_storage;

typedef struct cln__torch_tensor {
    cln_file_tensor tensor; /* its name and shape; the data comes last */
    const cln__torch_storage *storage;
    int64_t offset, stride[CLN_MAX_RANK]; /* in elements */
    struct cln__torch_tensor *next;
} cln__torch_tensor;

typedef struct cln__torch {
    cln_context *ctx;
    const char *path;
    const uint8_t *bytes;
    size_t size;
    cln__arena *values; /* what is needed only while reading */
    cln__arena *kept;   /* what the file object keeps */
    cln__pickle object;
    size_t object_bytes; /* of its pickle: no honest object has more items */
    cln__torch_storage *storages;
    size_t storage_count; /* sorted by key */
    cln__torch_tensor *first, *last;
    size_t tensor_count;
    size_t keys_at; /* legacy: where the list of keys begins */
    void *zip;      /* the archive; NULL for legacy */
} cln__torch;

#define CLN__TORCH_INVALID "'%s' is not a valid PyTorch checkpoint: "

/* The failure of an arena to give memory. */
cln_status cln__torch_no_memory(const cln__torch *t, const cln__arena *arena);

/* torch_legacy.c: the pickles up to the object; the storages behind them. */
cln_status cln__torch_legacy_open(cln__torch *t);
cln_status cln__torch_legacy_load(cln__torch *t);

/* torch_zip.c: the archive and its object; the wanted storages. */
cln_status cln__torch_zip_open(cln__torch *t);
cln_status cln__torch_zip_load(cln__torch *t);
void cln__torch_zip_close(cln__torch *t);

/* torch_storage.c: lists the storages that the object speaks of; finds one by its key (a text); finds the one that a
 * persistent value means, and the part of it, in elements, that the value stands for. NULL: it is none of a known type.
 */
cln_status cln__torch_list_storages(cln__torch *t);
cln__torch_storage *cln__torch_find_key(const cln__torch *t, const cln__pickled *key);
cln__torch_storage *cln__torch_find_storage(const cln__torch *t, const cln__pickled *value, int64_t *first,
                                            int64_t *count);

/* torch_tensor.c: adds what `value` describes to the list if it is a tensor, and says so in *is_tensor; lays a
 * described tensor over its storage, or copies its elements together. `name` lives in t->kept. */
cln_status cln__torch_add_tensor(cln__torch *t, const cln__pickled *value, const char *name, bool *is_tensor);
cln_status cln__torch_place_tensor(cln__torch *t, const cln__torch_tensor *described, cln_file_tensor *out);

/* torch_state.c: finds the state_dict in the object and adds its tensors. */
cln_status cln__torch_list_tensors(cln__torch *t);

/* torch_metadata.c: what else Lightning says, in memory of t->kept. */
cln_status cln__torch_list_metadata(cln__torch *t, cln_metadata **out, size_t *count);

#endif
