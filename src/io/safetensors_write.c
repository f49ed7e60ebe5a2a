/* Writing a safetensors file: the header by cJSON, then the tensors' bytes as they are, in the order given. */
#include "file.h"
#include "safetensors_header.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What the reader of such a string would refuse, the writer refuses. */
static bool valid_text(const char *text) {
    return text && cln_is_utf8(text);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* `names` is sorted here. */
static const char *find_duplicate(const char **names, size_t count) {
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 1; i < count; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            return names[i];
    return NULL;
}

static cln_status check_tensor(cln_context *ctx, const char *path, const cln_file_tensor *tensor) {
    if (!valid_text(tensor->name) || strcmp(tensor->name, CLN__METADATA_KEY) == 0)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "cannot write '%s': a tensor's name is not UTF-8 or is '%s'", path,
                         CLN__METADATA_KEY);
    int64_t count;
    size_t bytes;
    if (cln_dtype_size(tensor->dtype) == 0 || tensor->rank < 0 || tensor->rank > CLN_MAX_RANK ||
        !cln__file_tensor_size(tensor, &count, &bytes) || count != tensor->count || (bytes > 0 && !tensor->data))
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "cannot write '%s': tensor '%s' has an unknown type, more than %d axes, no data, or a shape "
                         "that does not give its count of %" PRId64,
                         path, tensor->name, CLN_MAX_RANK, tensor->count);
    return CLN_OK;
}

static cln_status check_all(cln_context *ctx, const char *path, const cln_file_tensor *tensors, size_t count,
                            const cln_metadata *metadata, size_t metadata_count) {
    for (size_t i = 0; i < count; i++)
        CLN_TRY(check_tensor(ctx, path, &tensors[i]));
    for (size_t i = 0; i < metadata_count; i++)
        if (!valid_text(metadata[i].key) || !valid_text(metadata[i].value))
            return cln__fail(ctx, CLN_INVALID_ARGUMENT, "cannot write '%s': its metadata is not UTF-8", path);
    const char **names = malloc((count + metadata_count + 1) * sizeof *names);
    if (!names)
        return cln__fail_memory(ctx, "the header of a safetensors file");
    for (size_t i = 0; i < count; i++)
        names[i] = tensors[i].name;
    for (size_t i = 0; i < metadata_count; i++)
        names[count + i] = metadata[i].key;
    const char *twice = find_duplicate(names, count);
    if (!twice)
        twice = find_duplicate(names + count, metadata_count);
    free(names);
    if (twice)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT, "cannot write '%s': '%s' is named twice", path, twice);
    return CLN_OK;
}

/* Adds `item` (NULL: there was no memory for it) and hands it over to `object`. */
static bool add(cJSON *object, const char *key, cJSON *item) {
    if (item && cJSON_AddItemToObject(object, key, item))
        return true;
    cJSON_Delete(item);
    return false;
}

static bool add_number(cJSON *array, double number) {
    cJSON *item = cJSON_CreateNumber(number);
    return item && cJSON_AddItemToArray(array, item);
}

/* The tensor's entry; its data begins at *at, which moves on. cJSON's doubles hold whole numbers below 2^53, far above
 * what fits in memory. */
static cJSON *tensor_entry(const cln_file_tensor *tensor, size_t *at) {
    cJSON *entry = cJSON_CreateObject(), *shape = cJSON_CreateArray(), *offsets = cJSON_CreateArray();
    size_t end = *at + (size_t)tensor->count * cln_dtype_size(tensor->dtype);
    bool ok = entry && shape && offsets;
    for (int i = 0; ok && i < tensor->rank; i++)
        ok = add_number(shape, (double)tensor->shape[i]);
    ok = ok && add_number(offsets, (double)*at) && add_number(offsets, (double)end);
    ok = ok && add(entry, "dtype", cJSON_CreateString(cln_dtype_name(tensor->dtype)));
    if (!ok) {
        cJSON_Delete(shape);
        cJSON_Delete(offsets);
        cJSON_Delete(entry);
        return NULL;
    }
    bool has_shape = add(entry, "shape", shape), has_offsets = add(entry, "data_offsets", offsets);
    if (!has_shape || !has_offsets) {
        cJSON_Delete(entry);
        return NULL;
    }
    *at = end;
    return entry;
}

static bool add_metadata(cJSON *header, const cln_metadata *metadata, size_t count) {
    if (count == 0)
        return true;
    cJSON *object = cJSON_CreateObject();
    bool ok = object != NULL;
    for (size_t i = 0; ok && i < count; i++)
        ok = add(object, metadata[i].key, cJSON_CreateString(metadata[i].value));
    if (ok)
        return add(header, CLN__METADATA_KEY, object);
    cJSON_Delete(object);
    return false;
}

/* The header's text, padded with spaces to whole words of 8 bytes; NULL for lack of memory. */
static char *header_text(const cln_file_tensor *tensors, size_t count, const cln_metadata *metadata,
                         size_t metadata_count) {
    cJSON *header = cJSON_CreateObject();
    size_t at = 0;
    bool ok = header && add_metadata(header, metadata, metadata_count);
    for (size_t i = 0; ok && i < count; i++)
        ok = add(header, tensors[i].name, tensor_entry(&tensors[i], &at));
    char *json = ok ? cJSON_PrintUnformatted(header) : NULL;
    cJSON_Delete(header);
    if (!json)
        return NULL;
    int pad = (int)((8 - strlen(json) % 8) % 8);
    char *text = cln__format("%s%*s", json, pad, "");
    cJSON_free(json);
    return text;
}

cln_status cln_safetensors_write(cln_context *ctx, const char *path, const cln_file_tensor *tensors, size_t count,
                                 const cln_metadata *metadata, size_t metadata_count) {
    CLN_TRY(check_all(ctx, path, tensors, count, metadata, metadata_count));
    char *header = header_text(tensors, count, metadata, metadata_count);
    cln__bytes *parts = malloc((count + 2) * sizeof *parts);
    cln_status status = header && parts ? CLN_OK : cln__fail_memory(ctx, "the header of a safetensors file");
    size_t size = header ? strlen(header) : 0;
    if (status == CLN_OK && size > CLN__MAX_HEADER_BYTES)
        status = cln__fail(ctx, CLN_INVALID_ARGUMENT, "cannot write '%s': its header of %zu bytes exceeds %d", path,
                           size, CLN__MAX_HEADER_BYTES);
    if (status == CLN_OK) {
        uint8_t length[8];
        for (int i = 0; i < 8; i++)
            length[i] = (uint8_t)((uint64_t)size >> (8 * i));
        parts[0] = (cln__bytes){length, sizeof length};
        parts[1] = (cln__bytes){header, size};
        for (size_t i = 0; i < count; i++)
            parts[2 + i] = (cln__bytes){tensors[i].data, (size_t)tensors[i].count * cln_dtype_size(tensors[i].dtype)};
        status = cln__file_write_atomic(ctx, path, parts, count + 2);
    }
    free(parts);
    free(header);
    return status;
}
