/* What the safetensors reader and writer share. */
#ifndef CLN_SRC_SAFETENSORS_HEADER_H
#define CLN_SRC_SAFETENSORS_HEADER_H

#include "../base/base.h"
#include "clnet/safetensors.h"

/* The format's own bound. */
#define CLN__MAX_HEADER_BYTES 100000000
#define CLN__METADATA_KEY "__metadata__"

/* Checks a header's text before cJSON parses it, for what cJSON lets pass or cannot bound: see safetensors_scan.c.
 * `text` is `size` bytes; `path` is for messages. */
cln_status cln__safetensors_scan(cln_context *ctx, const char *path, const char *text, size_t size);

/* Reads a file that is in memory; takes `bytes` (malloc'ed) over, also on failure. `path` is for messages. */
cln_status cln__safetensors_take(cln_context *ctx, const char *path, uint8_t *bytes, size_t size,
                                 cln_safetensors **out);

/* Elements of a shape and their bytes; false if an axis is negative or a product overflows. */
bool cln__file_tensor_size(const cln_file_tensor *tensor, int64_t *count, size_t *bytes);

/* Finds a type by the format's name; false if there is none. */
bool cln__dtype_find(const char *name, cln_dtype *out);

#endif
