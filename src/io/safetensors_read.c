/* Reading a safetensors file. Nothing in the file is trusted: the header's text is scanned, then parsed by cJSON, then
 * every type, shape and offset is checked against the others and against the length of the file. */
#include "../base/json_parse.h"
#include "file.h"
#include "safetensors_header.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct cln_safetensors {
    uint8_t *bytes; /* the whole file; the tensors point into it */
    cJSON *header;  /* owns the names and the metadata */
    const cJSON *metadata;
    size_t count;
    cln_file_tensor *tensors;        /* in the header's order */
    const cln_file_tensor **by_name; /* sorted */
};

/* What the checks of one file need to know. */
typedef struct reader {
    cln_context *ctx;
    const char *path;
    cln_safetensors *file;
    const uint8_t *data;
    size_t data_size;
} reader;

/* Names come from the file and may be long: messages show their beginning. */
#define TENSOR_MESSAGE "'%s' is not a valid safetensors file: tensor '%.200s': "

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const cln_file_tensor *const *)a)->name, (*(const cln_file_tensor *const *)b)->name);
}

static size_t tensor_bytes(const cln_file_tensor *tensor) {
    return (size_t)tensor->count * cln_dtype_size(tensor->dtype);
}

/* By place in the file; an empty tensor before the one that begins where it does. */
static int compare_places(const void *a, const void *b) {
    const cln_file_tensor *x = *(const cln_file_tensor *const *)a, *y = *(const cln_file_tensor *const *)b;
    const uint8_t *begin_x = x->data, *begin_y = y->data;
    if (begin_x != begin_y)
        return begin_x < begin_y ? -1 : 1;
    size_t size_x = tensor_bytes(x), size_y = tensor_bytes(y);
    return (size_x > size_y) - (size_x < size_y);
}

static int compare_keys(const void *a, const void *b) {
    return strcmp((*(const cJSON *const *)a)->string, (*(const cJSON *const *)b)->string);
}

/* A whole number; the scan has seen to its syntax and digits. */
static bool whole_number(const cJSON *item, int64_t *out) {
    if (!cJSON_IsNumber(item) || item->valuedouble < 0 || item->valuedouble >= 0x1p53)
        return false;
    *out = (int64_t)item->valuedouble;
    return true;
}

static cln_status parse_shape(const reader *r, const cJSON *shape, cln_file_tensor *tensor) {
    if (!cJSON_IsArray(shape))
        return cln__fail(r->ctx, CLN_INVALID_FILE, TENSOR_MESSAGE "its shape is not an array", r->path, tensor->name);
    const cJSON *side;
    cJSON_ArrayForEach(side, shape) {
        if (tensor->rank == CLN_MAX_RANK || !whole_number(side, &tensor->shape[tensor->rank]))
            return cln__fail(r->ctx, CLN_INVALID_FILE,
                             TENSOR_MESSAGE "its shape is not an array of at most %d whole numbers below 2^53", r->path,
                             tensor->name, CLN_MAX_RANK);
        tensor->rank++;
    }
    return CLN_OK;
}

static cln_status parse_dtype(const reader *r, const cJSON *dtype, cln_file_tensor *tensor) {
    if (!cJSON_IsString(dtype))
        return cln__fail(r->ctx, CLN_INVALID_FILE, TENSOR_MESSAGE "its dtype is not a string", r->path, tensor->name);
    if (!cln__dtype_find(dtype->valuestring, &tensor->dtype))
        return cln__fail(r->ctx, CLN_INVALID_FILE,
                         TENSOR_MESSAGE
                         "dtype '%.20s' is none of F32, F64, F16, BF16, I64, I32, I16, I8, U8 and BOOL, which can be "
                         "read here",
                         r->path, tensor->name, dtype->valuestring);
    return CLN_OK;
}

static cln_status place_tensor(const reader *r, const cJSON *offsets, cln_file_tensor *tensor) {
    int64_t begin, end;
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 || !whole_number(offsets->child, &begin) ||
        !whole_number(offsets->child->next, &end) || begin > end)
        return cln__fail(r->ctx, CLN_INVALID_FILE,
                         TENSOR_MESSAGE "data_offsets are not two whole numbers [begin, end] with begin <= end",
                         r->path, tensor->name);
    if ((uint64_t)end > r->data_size)
        return cln__fail(r->ctx, CLN_INVALID_FILE,
                         TENSOR_MESSAGE "data_offsets [%" PRId64 ", %" PRId64 "] reach beyond the %zu bytes of data",
                         r->path, tensor->name, begin, end, r->data_size);
    size_t bytes;
    if (!cln__file_tensor_size(tensor, &tensor->count, &bytes))
        return cln__fail(r->ctx, CLN_INVALID_FILE, TENSOR_MESSAGE "the product of its shape is too large", r->path,
                         tensor->name);
    if (bytes != (size_t)(end - begin))
        return cln__fail(r->ctx, CLN_INVALID_FILE,
                         TENSOR_MESSAGE "its shape needs %zu bytes of %s, its data_offsets give %" PRId64, r->path,
                         tensor->name, bytes, cln_dtype_name(tensor->dtype), end - begin);
    tensor->data = r->data + begin;
    return CLN_OK;
}

static cln_status parse_tensor(const reader *r, const cJSON *entry, cln_file_tensor *tensor) {
    static const char *const keys[3] = {"dtype", "shape", "data_offsets"};
    const cJSON *value[3] = {NULL, NULL, NULL}, *member;
    tensor->name = entry->string;
    if (!cJSON_IsObject(entry))
        return cln__fail(r->ctx, CLN_INVALID_FILE, TENSOR_MESSAGE "its entry is not an object", r->path, tensor->name);
    cJSON_ArrayForEach(member, entry) {
        int k = 0;
        while (k < 3 && strcmp(member->string, keys[k]) != 0)
            k++;
        if (k == 3 || value[k])
            return cln__fail(r->ctx, CLN_INVALID_FILE, TENSOR_MESSAGE "%s key '%.50s' in its entry", r->path,
                             tensor->name, k == 3 ? "unknown" : "duplicate", member->string);
        value[k] = member;
    }
    for (int k = 0; k < 3; k++)
        if (!value[k])
            return cln__fail(r->ctx, CLN_INVALID_FILE, TENSOR_MESSAGE "its entry lacks '%s'", r->path, tensor->name,
                             keys[k]);
    CLN_TRY(parse_dtype(r, value[0], tensor));
    CLN_TRY(parse_shape(r, value[1], tensor));
    return place_tensor(r, value[2], tensor);
}

/* Tensors side by side from the first byte of the data to the last. Leaves by_name sorted by place. */
static cln_status check_places(const reader *r) {
    cln_safetensors *file = r->file;
    qsort(file->by_name, file->count, sizeof *file->by_name, compare_places);
    size_t at = 0;
    for (size_t i = 0; i < file->count; i++) {
        const cln_file_tensor *tensor = file->by_name[i];
        size_t begin = (size_t)((const uint8_t *)tensor->data - r->data);
        if (begin != at)
            return cln__fail(r->ctx, CLN_INVALID_FILE,
                             TENSOR_MESSAGE "its data begins at %zu, %s the tensor before it, which ends at %zu",
                             r->path, tensor->name, begin, begin < at ? "overlapping" : "leaving a hole behind", at);
        at += tensor_bytes(tensor);
    }
    if (at != r->data_size)
        return cln__fail(r->ctx, CLN_INVALID_FILE,
                         "'%s' is not a valid safetensors file: it has %zu bytes of data, its tensors fill %zu",
                         r->path, r->data_size, at);
    return CLN_OK;
}

static cln_status check_names(const reader *r) {
    cln_safetensors *file = r->file;
    qsort(file->by_name, file->count, sizeof *file->by_name, compare_names);
    for (size_t i = 1; i < file->count; i++)
        if (strcmp(file->by_name[i - 1]->name, file->by_name[i]->name) == 0)
            return cln__fail(r->ctx, CLN_INVALID_FILE, TENSOR_MESSAGE "the header names it twice", r->path,
                             file->by_name[i]->name);
    return CLN_OK;
}

static cln_status fail_metadata(const reader *r, const char *fault, const char *key) {
    return cln__fail(r->ctx, CLN_INVALID_FILE, "'%s' is not a valid safetensors file: %s '%.200s'", r->path, fault,
                     key);
}

static cln_status check_metadata(const reader *r, const cJSON *metadata) {
    if (r->file->metadata)
        return fail_metadata(r, "the header has more than one", CLN__METADATA_KEY);
    if (!cJSON_IsObject(metadata))
        return fail_metadata(r, "not an object:", CLN__METADATA_KEY);
    r->file->metadata = metadata;
    size_t count = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, metadata) {
        if (!cJSON_IsString(item))
            return fail_metadata(r, "metadata holds something other than a string at key", item->string);
        count++;
    }
    if (count == 0)
        return CLN_OK;
    const cJSON **sorted = malloc(count * sizeof *sorted);
    if (!sorted)
        return cln__fail_memory(r->ctx, "the metadata of a safetensors file");
    count = 0;
    cJSON_ArrayForEach(item, metadata) sorted[count++] = item;
    qsort(sorted, count, sizeof *sorted, compare_keys);
    cln_status status = CLN_OK;
    for (size_t i = 1; i < count && status == CLN_OK; i++)
        if (strcmp(sorted[i - 1]->string, sorted[i]->string) == 0)
            status = fail_metadata(r, "metadata has twice the key", sorted[i]->string);
    free(sorted);
    return status;
}

static cln_status parse_entries(const reader *r) {
    cln_safetensors *file = r->file;
    size_t entries = (size_t)cJSON_GetArraySize(file->header);
    file->tensors = calloc(entries + 1, sizeof *file->tensors);
    file->by_name = calloc(entries + 1, sizeof *file->by_name);
    if (!file->tensors || !file->by_name)
        return cln__fail_memory(r->ctx, "the tensors of a safetensors file");
    const cJSON *entry;
    cJSON_ArrayForEach(entry, file->header) {
        if (strcmp(entry->string, CLN__METADATA_KEY) == 0) {
            CLN_TRY(check_metadata(r, entry));
            continue;
        }
        cln_file_tensor *tensor = &file->tensors[file->count];
        file->by_name[file->count++] = tensor;
        CLN_TRY(parse_tensor(r, entry, tensor));
    }
    CLN_TRY(check_places(r));
    return check_names(r);
}

/* `text`: `size` bytes of the file. */
static cln_status parse_header(const reader *r, const char *text, size_t size) {
    CLN_TRY(cln__safetensors_scan(r->ctx, r->path, text, size));
    /* cJSON wants the NUL that the file has no room for. */
    char *copy = malloc(size + 1);
    if (!copy)
        return cln__fail_memory(r->ctx, "the header of a safetensors file");
    memcpy(copy, text, size);
    copy[size] = '\0';
    const char *end = copy;
    bool lacks_memory;
    r->file->header = cln__json_parse(copy, &end, &lacks_memory);
    cln_status status = CLN_OK;
    if (lacks_memory)
        status = cln__fail_memory(r->ctx, "the header of a safetensors file");
    else if (!cJSON_IsObject(r->file->header))
        status = cln__fail(r->ctx, CLN_INVALID_FILE,
                           "'%s' is not a valid safetensors file: the JSON of its header cannot be parsed at byte %zu",
                           r->path, (size_t)(end - copy));
    free(copy);
    CLN_TRY(status);
    return parse_entries(r);
}

static cln_status parse_file(cln_context *ctx, const char *path, cln_safetensors *file, size_t size) {
    if (size < 8)
        return cln__fail(ctx, CLN_INVALID_FILE,
                         "'%s' is not a safetensors file: it has %zu bytes, fewer than the 8 of the header's length",
                         path, size);
    uint64_t length = 0;
    for (int i = 0; i < 8; i++)
        length |= (uint64_t)file->bytes[i] << (8 * i);
    if (length > CLN__MAX_HEADER_BYTES)
        return cln__fail(ctx, CLN_INVALID_FILE,
                         "'%s' is not a safetensors file: its header length reads %" PRIu64 ", the most is %d", path,
                         length, CLN__MAX_HEADER_BYTES);
    if (length > size - 8)
        return cln__fail(ctx, CLN_INVALID_FILE,
                         "'%s' is truncated or not a safetensors file: the header should have %" PRIu64
                         " bytes, the file has %zu after the header's length",
                         path, length, size - 8);
    size_t header = (size_t)length;
    reader r = {ctx, path, file, file->bytes + 8 + header, size - 8 - header};
    return parse_header(&r, (const char *)file->bytes + 8, header);
}

cln_status cln__safetensors_take(cln_context *ctx, const char *path, uint8_t *bytes, size_t size,
                                 cln_safetensors **out) {
    *out = NULL;
    cln_safetensors *file = calloc(1, sizeof *file);
    if (!file) {
        free(bytes);
        return cln__fail_memory(ctx, "a safetensors file");
    }
    file->bytes = bytes;
    cln_status status = parse_file(ctx, path, file, size);
    if (status != CLN_OK) {
        cln_safetensors_free(file);
        return status;
    }
    *out = file;
    return CLN_OK;
}

cln_status cln_safetensors_read(cln_context *ctx, const char *path, cln_safetensors **out) {
    uint8_t *bytes;
    size_t size;
    *out = NULL;
    CLN_TRY(cln__file_read(ctx, path, SIZE_MAX / 2, &bytes, &size));
    return cln__safetensors_take(ctx, path, bytes, size, out);
}

void cln_safetensors_free(cln_safetensors *file) {
    if (!file)
        return;
    free(file->by_name);
    free(file->tensors);
    cJSON_Delete(file->header);
    free(file->bytes);
    free(file);
}

size_t cln_safetensors_count(const cln_safetensors *file) {
    return file->count;
}

const cln_file_tensor *cln_safetensors_at(const cln_safetensors *file, size_t index) {
    return index < file->count ? &file->tensors[index] : NULL;
}

const cln_file_tensor *cln_safetensors_find(const cln_safetensors *file, const char *name) {
    const cln_file_tensor wanted = {.name = name}, *key = &wanted;
    const cln_file_tensor **found = bsearch(&key, file->by_name, file->count, sizeof key, compare_names);
    return found ? *found : NULL;
}

const char *cln_safetensors_metadata(const cln_safetensors *file, const char *key) {
    const cJSON *item = file->metadata ? cJSON_GetObjectItemCaseSensitive(file->metadata, key) : NULL;
    return item ? item->valuestring : NULL;
}
