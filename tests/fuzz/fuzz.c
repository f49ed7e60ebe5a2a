/* What all fuzz targets share. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[512];

void fuzz_check(bool holds, const char *what) {
    if (holds)
        return;
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

void fuzz_use(unsigned value) {
    static volatile unsigned sink;
    sink = value;
    (void)sink;
}

void fuzz_check_status(cln_context *ctx, cln_status status) {
    fuzz_check(status == CLN_OK || cln_context_error(ctx)[0] != '\0', "a failure without a message");
    fuzz_check(status != CLN_INTERNAL, "a broken invariant");
}

void fuzz_read_tensor(const cln_file_tensor *tensor) {
    fuzz_check(tensor->name != NULL && tensor->rank >= 0 && tensor->rank <= CLN_MAX_RANK, "a tensor's name or rank");
    int64_t count = 1;
    for (int i = 0; i < tensor->rank; i++)
        count *= tensor->shape[i];
    fuzz_check(count == tensor->count, "a tensor's count is not the product of its shape");
    size_t room = (size_t)count + 1;
    float *floats = calloc(room, sizeof *floats);
    int64_t *wholes = calloc(room, sizeof *wholes);
    if (floats && wholes) {
        cln_file_tensor_to_float(tensor, floats);
        cln_file_tensor_to_int64(tensor, wholes);
    }
    free(floats);
    free(wholes);
}

void fuzz_check_dataset(const cln_dataset *d) {
    fuzz_check(d->count > 0 && d->channels > 0 && d->height > 0 && d->width > 0 && d->num_classes > 0 && d->format,
               "an empty data set");
    size_t bytes = (size_t)d->count * (size_t)d->channels * (size_t)d->height * (size_t)d->width;
    unsigned sum = 0;
    for (size_t i = 0; i < bytes; i++)
        sum += d->images[i];
    for (int64_t i = 0; i < d->count; i++)
        fuzz_check(d->labels[i] >= 0 && d->labels[i] < d->num_classes, "a label that is none of the classes");
    for (int i = 0; i < d->num_classes; i++)
        sum += (unsigned)strlen(d->class_names[i]);
    fuzz_use(sum);
}

/* --- files --- */

static void remove_folder(void) {
    rmdir(folder);
}

const char *fuzz_folder(void) {
    if (folder[0])
        return folder;
    const char *parent = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/clnet-fuzz-XXXXXX", parent ? parent : "/tmp");
    if (!mkdtemp(folder)) {
        perror(folder);
        exit(1);
    }
    atexit(remove_folder);
    return folder;
}

char *fuzz_path(const char *name) {
    size_t size = strlen(fuzz_folder()) + strlen(name) + 2;
    char *path = malloc(size);
    if (!path)
        exit(1);
    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

void fuzz_write(const char *name, const uint8_t *data, size_t size) {
    char *path = fuzz_path(name);
    FILE *file = fopen(path, "wb");
    if (!file || (size && fwrite(data, 1, size, file) != size) || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
    free(path);
}

void fuzz_remove(const char *name) {
    char *path = fuzz_path(name);
    unlink(path);
    free(path);
}

/* --- seeds --- */

void fuzz_put(fuzz_bytes *out, const void *data, size_t size) {
    uint8_t *moved = realloc(out->data, out->size + size + 1);
    if (!moved)
        exit(1);
    if (size)
        memcpy(moved + out->size, data, size);
    out->data = moved;
    out->size += size;
}

void fuzz_text(fuzz_bytes *out, const char *text) {
    fuzz_put(out, text, strlen(text));
}

void fuzz_little(fuzz_bytes *out, uint64_t value, int size) {
    for (int i = 0; i < size; i++)
        fuzz_put(out, &(uint8_t){(uint8_t)(value >> 8 * i)}, 1);
}

void fuzz_big(fuzz_bytes *out, uint64_t value, int size) {
    for (int i = size - 1; i >= 0; i--)
        fuzz_put(out, &(uint8_t){(uint8_t)(value >> 8 * i)}, 1);
}

/* libFuzzer calls this before it reads its corpus: with FUZZ_SEEDS=<folder> the seeds are written there. */
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    const char *to = getenv("FUZZ_SEEDS");
    fuzz_bytes seed = {0};
    for (int i = 0; to && fuzz_seed(i, &seed); i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/seed-%02d", to, i);
        FILE *file = fopen(path, "wb");
        if (!file || fwrite(seed.data, 1, seed.size, file) != seed.size || fclose(file) != 0) {
            perror(path);
            exit(1);
        }
        free(seed.data);
        seed = (fuzz_bytes){0};
    }
    return 0;
}
