/* Reading and writing safetensors files (https://github.com/huggingface/safetensors). */
#ifndef CLNET_SAFETENSORS_H
#define CLNET_SAFETENSORS_H

#include "clnet/base.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CLN_MAX_RANK = 8 };

typedef enum cln_dtype {
    CLN_F32,
    CLN_F64,
    CLN_F16,
    CLN_BF16,
    CLN_I64,
    CLN_I32,
    CLN_I16,
    CLN_I8,
    CLN_U8,
    CLN_BOOL,
    CLN_DTYPE_COUNT
} cln_dtype;

/* Bytes of one element, and the format's name ("F32", ...). */
CLN_API size_t cln_dtype_size(cln_dtype dtype);
CLN_API const char *cln_dtype_name(cln_dtype dtype);

typedef struct cln_file_tensor {
    const char *name;
    cln_dtype dtype;
    int rank;
    int64_t shape[CLN_MAX_RANK];
    int64_t count;    /* elements */
    const void *data; /* little-endian, row-major, of any alignment */
} cln_file_tensor;

typedef struct cln_safetensors cln_safetensors;

/* Reads and checks a whole file: header length, JSON, types, shapes, offsets (no hole, no overlap, exact file length),
 * duplicate names. The caller frees *out; everything it hands out lives until then. */
CLN_API cln_status cln_safetensors_read(cln_context *ctx, const char *path, cln_safetensors **out);
CLN_API void cln_safetensors_free(cln_safetensors *file);
CLN_API size_t cln_safetensors_count(const cln_safetensors *file);
CLN_API const cln_file_tensor *cln_safetensors_at(const cln_safetensors *file, size_t index);
/* NULL if there is no such tensor. */
CLN_API const cln_file_tensor *cln_safetensors_find(const cln_safetensors *file, const char *name);
/* A value of __metadata__, or NULL. */
CLN_API const char *cln_safetensors_metadata(const cln_safetensors *file, const char *key);
/* Copies `tensor`'s elements as float into `out` (tensor->count of them): every float and integer type. */
CLN_API void cln_file_tensor_to_float(const cln_file_tensor *tensor, float *out);
CLN_API void cln_file_tensor_to_int64(const cln_file_tensor *tensor, int64_t *out);
/* Writes `count` floats as elements of `dtype`, which is CLN_F32, CLN_F16 or CLN_BF16, into `out`: rounded to the
 * nearest, and to the even one of two (as PyTorch does); what is too large becomes infinite. */
CLN_API void cln_floats_to_dtype(const float *values, int64_t count, cln_dtype dtype, void *out);

typedef struct cln_metadata {
    const char *key, *value;
} cln_metadata;

/* Writes tensors and metadata beside `path`, syncs, and renames into place: `path` holds the old file or the whole
 * new one, whatever happens. Metadata and tensors keep their order; the same input gives the same bytes. */
CLN_API cln_status cln_safetensors_write(cln_context *ctx, const char *path, const cln_file_tensor *tensors,
                                         size_t count, const cln_metadata *metadata, size_t metadata_count);

#ifdef __cplusplus
}
#endif
#endif
