/* Dividing the training images: see division.h. */
#include "division.h"
#include "../io/file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LIST_BYTES = 1 << 30, MAX_DIGITS = 20 };

void cln__division_free(cln__division *d) {
    free(d->train);
    free(d->validation);
    *d = (cln__division){.train = NULL};
}

/* How many images to hold back; a share of a small data set is still one image. */
static cln_status count_held_back(cln_context *ctx, double wanted, const char *what, int64_t count, int64_t *out) {
    if (!(wanted >= 0) || (wanted >= 1 && wanted != floor(wanted)))
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "validation split %g: expected a share of the training images below 1, or a whole number of "
                         "them",
                         wanted);
    double images = wanted >= 1 ? wanted : wanted > 0 ? fmax(1, floor(wanted * (double)count + 0.5)) : 0;
    if (images >= (double)count)
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "validation split %g: %s has %" PRId64 " images, and none would be left", wanted, what, count);
    *out = (int64_t)images;
    return CLN_OK;
}

cln_status cln__divide_by_text(cln_context *ctx, int64_t count, double held_back, const char *name, const char *text,
                               size_t size, cln__division *out) {
    int64_t listed;
    *out = (cln__division){.train = NULL};
    CLN_TRY(cln_split_parse(ctx, name, text, size, count, &out->train, &listed));
    cln_status status = count_held_back(ctx, held_back, "the list", listed, &out->validation_count);
    out->train_count = listed - out->validation_count;
    size_t bytes = (size_t)out->validation_count * sizeof *out->validation;
    if (status == CLN_OK && bytes > 0) {
        out->validation = malloc(bytes);
        if (out->validation)
            memcpy(out->validation, out->train + out->train_count, bytes);
        else
            status = cln__fail_memory(ctx, "the validation split");
    }
    if (status != CLN_OK)
        cln__division_free(out);
    return status;
}

static cln_status divide_by_file(cln_context *ctx, int64_t count, double held_back, const char *path,
                                 cln__division *out) {
    uint8_t *bytes;
    size_t size;
    CLN_TRY(cln__file_read(ctx, path, MAX_LIST_BYTES, &bytes, &size));
    cln_status status = cln__divide_by_text(ctx, count, held_back, path, (const char *)bytes, size, out);
    free(bytes);
    return status;
}

cln_status cln__divide(cln_context *ctx, int64_t count, double held_back, uint64_t seed, const char *list,
                       cln__division *out) {
    *out = (cln__division){.train = NULL};
    if (list)
        return divide_by_file(ctx, count, held_back, list, out);
    CLN_TRY(count_held_back(ctx, held_back, "the training set", count, &out->validation_count));
    out->train_count = count - out->validation_count;
    return cln_split_indices(ctx, count, out->validation_count, seed, &out->train, &out->validation);
}

char *cln__division_print(const cln__division *d) {
    size_t count = (size_t)(d->train_count + d->validation_count), room = count * (MAX_DIGITS + 1) + 1, used = 0;
    char *text = calloc(room, 1);
    for (size_t i = 0; text && i < count; i++) {
        size_t first = (size_t)d->train_count;
        int64_t index = i < first ? d->train[i] : d->validation[i - first];
        used += (size_t)snprintf(text + used, room - used, "%s%" PRId64, i ? " " : "", index);
    }
    return text;
}
