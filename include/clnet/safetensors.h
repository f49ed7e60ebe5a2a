/* Reading and writing safetensors files (https://github.com/huggingface/safetensors). */
#ifndef CLNET_SAFETENSORS_H
#define CLNET_SAFETENSORS_H

#include "clnet/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The most axes that a tensor may have. */
enum { CLN_MAX_RANK = 8 };

/* Types of elements, named as the format names them. */
typedef enum cln_dtype {
    CLN_F32,        /* float */
    CLN_F64,        /* double */
    CLN_F16,        /* IEEE 754's half precision */
    CLN_BF16,       /* the upper half of a CLN_F32 */
    CLN_I64,        /* int64_t */
    CLN_I32,        /* int32_t */
    CLN_I16,        /* int16_t */
    CLN_I8,         /* int8_t */
    CLN_U8,         /* uint8_t */
    CLN_BOOL,       /* a byte, 0 or 1 */
    CLN_DTYPE_COUNT /* how many there are */
} cln_dtype;

/* Bytes of one element. */
CLN_API size_t cln_dtype_size(cln_dtype dtype);
/* The format's name, "F32", ...; a static string. */
CLN_API const char *cln_dtype_name(cln_dtype dtype);

/* A tensor of a file that was read, or that is to be written. Owns nothing. */
typedef struct cln_file_tensor {
    const char *name;            /* UTF-8, not "__metadata__" */
    cln_dtype dtype;             /* of the elements */
    int rank;                    /* 0: a scalar */
    int64_t shape[CLN_MAX_RANK]; /* `rank` of them count */
    int64_t count;               /* elements */
    const void *data;            /* little-endian, row-major, of any alignment */
} cln_file_tensor;

/* A whole file in memory. */
typedef struct cln_safetensors cln_safetensors;

/* Reads and checks a whole file: header length, JSON, types, shapes, offsets (no hole, no overlap, exact file length),
 * duplicate names. The caller frees *out; everything it hands out lives until then. */
CLN_API cln_status cln_safetensors_read(cln_context *ctx, const char *path, cln_safetensors **out);
/* With all tensors and texts that it has handed out. */
CLN_API void cln_safetensors_free(cln_safetensors *file);
/* How many tensors it has. */
CLN_API size_t cln_safetensors_count(const cln_safetensors *file);
/* In the order of the header; NULL beyond the last. */
CLN_API const cln_file_tensor *cln_safetensors_at(const cln_safetensors *file, size_t index);
/* NULL if there is no such tensor. */
CLN_API const cln_file_tensor *cln_safetensors_find(const cln_safetensors *file, const char *name);
/* A value of __metadata__, or NULL. */
CLN_API const char *cln_safetensors_metadata(const cln_safetensors *file, const char *key);
/* Copies `tensor`'s elements as float into `out` (tensor->count of them): every float and integer type. */
CLN_API void cln_file_tensor_to_float(const cln_file_tensor *tensor, float *out);
/* The same as whole numbers: fractions are dropped, what is too large becomes the nearest that is possible. */
CLN_API void cln_file_tensor_to_int64(const cln_file_tensor *tensor, int64_t *out);
/* Writes `count` floats as elements of `dtype`, which is CLN_F32, CLN_F16 or CLN_BF16, into `out`: rounded to the
 * nearest, and to the even one of two (as PyTorch does); what is too large becomes infinite. */
CLN_API void cln_floats_to_dtype(const float *values, int64_t count, cln_dtype dtype, void *out);

/* An entry of __metadata__. Owns nothing. */
typedef struct cln_metadata {
    const char *key, *value; /* UTF-8; no key twice */
} cln_metadata;

/* Writes tensors and metadata beside `path`, syncs, and renames into place: `path` holds the old file or the whole
 * new one, whatever happens. Metadata and tensors keep their order; the same input gives the same bytes. */
CLN_API cln_status cln_safetensors_write(cln_context *ctx, const char *path, const cln_file_tensor *tensors,
                                         size_t count, const cln_metadata *metadata, size_t metadata_count);

#ifdef __cplusplus
}
#endif
#endif
