/* Reading a file of weights: its first bytes tell the format, and that format's reader does the rest. */
#include "weights_read.h"
#include "clnet/weights_file.h"
#include "file.h"
#include "safetensors_header.h"
#include "torch_file.h"

#include <stdlib.h>

/* One of the two is NULL. */
struct cln_weights_file {
    cln_safetensors *safetensors;
    cln__torch_file *torch;
};

/* The header of safetensors is JSON behind a length of eight bytes. */
static bool is_safetensors(const uint8_t *bytes, size_t size) {
    return size > 8 && bytes[8] == '{';
}

/* Takes `bytes` over. */
static cln_status read_as(cln_context *ctx, const char *path, uint8_t *bytes, size_t size, cln_weights_file *file) {
    if (is_safetensors(bytes, size))
        return cln__safetensors_take(ctx, path, bytes, size, &file->safetensors);
    if (cln__torch_is_zip(bytes, size) || cln__torch_is_legacy(bytes, size))
        return cln__torch_take(ctx, path, bytes, size, &file->torch);
    free(bytes);
    return cln__fail(ctx, CLN_INVALID_FILE,
                     "'%s' holds no weights in a format that is known here: safetensors, and what torch.save writes",
                     path);
}

cln_status cln__weights_file_take(cln_context *ctx, const char *path, uint8_t *bytes, size_t size,
                                  cln_weights_file **out) {
    *out = NULL;
    cln_weights_file *file = calloc(1, sizeof *file);
    if (!file) {
        free(bytes);
        return cln__fail_memory(ctx, path);
    }
    cln_status status = read_as(ctx, path, bytes, size, file);
    if (status != CLN_OK) {
        free(file);
        return status;
    }
    *out = file;
    return CLN_OK;
}

cln_status cln_weights_file_read(cln_context *ctx, const char *path, cln_weights_file **out) {
    uint8_t *bytes;
    size_t size;
    *out = NULL;
    CLN_TRY(cln__file_read(ctx, path, SIZE_MAX / 2, &bytes, &size));
    return cln__weights_file_take(ctx, path, bytes, size, out);
}

void cln_weights_file_free(cln_weights_file *file) {
    if (!file)
        return;
    cln_safetensors_free(file->safetensors);
    cln__torch_free(file->torch);
    free(file);
}

size_t cln_weights_file_count(const cln_weights_file *file) {
    return file->torch ? cln__torch_count(file->torch) : cln_safetensors_count(file->safetensors);
}

const cln_file_tensor *cln_weights_file_at(const cln_weights_file *file, size_t index) {
    return file->torch ? cln__torch_at(file->torch, index) : cln_safetensors_at(file->safetensors, index);
}

const cln_file_tensor *cln_weights_file_find(const cln_weights_file *file, const char *name) {
    return file->torch ? cln__torch_find(file->torch, name) : cln_safetensors_find(file->safetensors, name);
}

const char *cln_weights_file_metadata(const cln_weights_file *file, const char *key) {
    return file->torch ? cln__torch_metadata(file->torch, key) : cln_safetensors_metadata(file->safetensors, key);
}
