/* IDX, the format of MNIST and its family: an images file and a labels file a split, gzipped or not. Big-endian:
 *   images  0x00000803, count, rows, columns, then count x rows x columns bytes
 *   labels  0x00000801, count, then count bytes */
#include "../io/file.h"
#include "dataset.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    IMAGES_MAGIC = 0x803,
    LABELS_MAGIC = 0x801,
    IMAGES_HEADER = 16,
    LABELS_HEADER = 8,
    MAX_SIDE = 4096,
    MNIST_CLASSES = 10,
};
static const size_t max_bytes = (size_t)1 << 31;

static const char *images_name(cln_split split) {
    return split == CLN_SPLIT_TRAIN ? "train-images-idx3-ubyte" : "t10k-images-idx3-ubyte";
}

static const char *labels_name(cln_split split) {
    return split == CLN_SPLIT_TRAIN ? "train-labels-idx1-ubyte" : "t10k-labels-idx1-ubyte";
}

/* The path of the file `name` or `name`.gz in `folder`, malloc'ed; NULL if there is neither. False for lack of memory.
 */
static bool find_file(const char *folder, const char *name, char **path) {
    struct stat info;
    char *plain = cln__path_join(folder, name), *gz = plain ? cln__format("%s.gz", plain) : NULL;
    char **found = !gz ? NULL : stat(plain, &info) == 0 ? &plain : stat(gz, &info) == 0 ? &gz : NULL;
    bool good = gz != NULL;
    *path = found ? *found : NULL;
    if (found)
        *found = NULL;
    free(plain);
    free(gz);
    return good;
}

static bool has_file(const char *folder, const char *name) {
    char *path;
    bool has = find_file(folder, name, &path) && path;
    free(path);
    return has;
}

bool cln__idx_present(const char *folder) {
    return has_file(folder, images_name(CLN_SPLIT_TRAIN)) || has_file(folder, labels_name(CLN_SPLIT_TRAIN)) ||
           has_file(folder, images_name(CLN_SPLIT_TEST)) || has_file(folder, labels_name(CLN_SPLIT_TEST));
}

/* One file in memory. */
typedef struct idx_file {
    char *path;
    uint8_t *bytes;
    size_t size, count, rows, columns;
} idx_file;

static void release(idx_file *file) {
    free(file->path);
    free(file->bytes);
}

static size_t big_endian(const uint8_t *p) {
    return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

/* Reads the file and checks its magic number. What is read is released by the caller even after a failure. */
static cln_status open_file(cln_context *ctx, const char *folder, const char *name, size_t magic, size_t header,
                            idx_file *file) {
    if (!find_file(folder, name, &file->path))
        return cln__fail_memory(ctx, "the path of an IDX file");
    if (!file->path)
        return cln__fail(ctx, CLN_IO, "IDX data set in '%s': neither %s nor %s.gz is there", folder, name, name);
    CLN_TRY(cln__file_read(ctx, file->path, max_bytes, &file->bytes, &file->size));
    if (file->size < header)
        return cln__fail(ctx, CLN_INVALID_FILE, "IDX file '%s' has %zu bytes, fewer than the %zu of its header",
                         file->path, file->size, header);
    size_t found = big_endian(file->bytes);
    if (found != magic)
        return cln__fail(ctx, CLN_INVALID_FILE, "IDX file '%s' begins with 0x%08zx, expected the magic number 0x%08zx",
                         file->path, found, magic);
    file->count = big_endian(file->bytes + 4);
    if (file->count == 0)
        return cln__fail(ctx, CLN_INVALID_FILE, "IDX file '%s' holds no records", file->path);
    return CLN_OK;
}

/* The file must end where its header says. */
static cln_status check_size(cln_context *ctx, const idx_file *file, size_t header, size_t record) {
    size_t bytes, expected;
    bool fits = cln__mul_size(file->count, record, &bytes) && cln__add_size(header, bytes, &expected);
    if (fits && file->size == expected)
        return CLN_OK;
    bool compressed = file->path[strlen(file->path) - 1] == 'z';
    return cln__fail(ctx, CLN_INVALID_FILE,
                     "IDX file '%s' has %zu bytes%s, expected %zu: a header of %zu, then %zu records of %zu",
                     file->path, file->size, compressed ? " when decompressed" : "", fits ? expected : SIZE_MAX, header,
                     file->count, record);
}

static cln_status open_images(cln_context *ctx, const char *folder, const char *name, idx_file *file) {
    CLN_TRY(open_file(ctx, folder, name, IMAGES_MAGIC, IMAGES_HEADER, file));
    file->rows = big_endian(file->bytes + 8);
    file->columns = big_endian(file->bytes + 12);
    if (file->rows < 1 || file->rows > MAX_SIDE || file->columns < 1 || file->columns > MAX_SIDE)
        return cln__fail(ctx, CLN_INVALID_FILE, "IDX file '%s' has images of %zux%zu, expected sides of 1 to %d",
                         file->path, file->rows, file->columns, MAX_SIDE);
    return check_size(ctx, file, IMAGES_HEADER, file->rows * file->columns);
}

static cln_status open_labels(cln_context *ctx, const char *folder, const char *name, idx_file *file) {
    CLN_TRY(open_file(ctx, folder, name, LABELS_MAGIC, LABELS_HEADER, file));
    return check_size(ctx, file, LABELS_HEADER, 1);
}

/* How many classes the labels speak of. The format does not say, so that a damaged label could invent classes: all from
 * 1 up must occur (some sets begin at 1), or all labels be those of MNIST, some of which a small subset may lack. */
static int count_classes(const idx_file *labels) {
    bool seen[256] = {false};
    for (size_t i = 0; i < labels->count; i++)
        seen[labels->bytes[LABELS_HEADER + i]] = true;
    int most = 255, present = 1;
    while (most > 0 && !seen[most])
        most--;
    while (present <= most && seen[present])
        present++;
    if (present == most + 1)
        return present;
    return present > MNIST_CLASSES ? present : MNIST_CLASSES;
}

/* The test images' classes are those that training knows, where the training labels are there to tell. */
static cln_status find_classes(cln_context *ctx, const char *folder, cln_split split, const idx_file *labels,
                               int *classes) {
    if (split == CLN_SPLIT_TRAIN || !has_file(folder, labels_name(CLN_SPLIT_TRAIN))) {
        *classes = count_classes(labels);
        return CLN_OK;
    }
    idx_file train = {0};
    cln_status status = open_labels(ctx, folder, labels_name(CLN_SPLIT_TRAIN), &train);
    if (status == CLN_OK)
        *classes = count_classes(&train);
    release(&train);
    return status;
}

static cln_status copy_labels(cln_context *ctx, const idx_file *file, cln_dataset *dataset) {
    dataset->labels = calloc(file->count, sizeof *dataset->labels);
    if (!dataset->labels)
        return cln__fail_memory(ctx, file->path);
    for (size_t i = 0; i < file->count; i++) {
        int label = file->bytes[LABELS_HEADER + i];
        if (label >= dataset->num_classes)
            return cln__fail(ctx, CLN_INVALID_FILE,
                             "IDX file '%s': record %zu (counted from 0) has label %d, expected 0 to %d", file->path, i,
                             label, dataset->num_classes - 1);
        dataset->labels[i] = label;
    }
    return CLN_OK;
}

/* 28x28 grows by two black pixels on each side to 32x32, which halves evenly; other sizes stay. */
static cln_status copy_images(cln_context *ctx, const idx_file *file, cln_dataset *dataset) {
    size_t pad = file->rows == 28 && file->columns == 28 ? 2 : 0;
    size_t height = file->rows + 2 * pad, width = file->columns + 2 * pad;
    dataset->images = calloc(file->count, height * width);
    if (!dataset->images)
        return cln__fail_memory(ctx, file->path);
    const uint8_t *row = file->bytes + IMAGES_HEADER;
    for (size_t i = 0; i < file->count; i++)
        for (size_t y = 0; y < file->rows; y++, row += file->columns)
            memcpy(dataset->images + (i * height + y + pad) * width + pad, row, file->columns);
    dataset->count = (int64_t)file->count;
    dataset->channels = 1;
    dataset->height = (int)height;
    dataset->width = (int)width;
    return CLN_OK;
}

static cln_status load_files(cln_context *ctx, const char *folder, cln_split split, const char *const *names,
                             int num_classes, idx_file *images, idx_file *labels, cln_dataset *dataset) {
    CLN_TRY(open_images(ctx, folder, images_name(split), images));
    CLN_TRY(open_labels(ctx, folder, labels_name(split), labels));
    if (images->count != labels->count)
        return cln__fail(ctx, CLN_INVALID_FILE, "IDX data set in '%s': %zu images in '%s', but %zu labels in '%s'",
                         folder, images->count, images->path, labels->count, labels->path);
    if (!names)
        CLN_TRY(find_classes(ctx, folder, split, labels, &num_classes));
    CLN_TRY(cln__dataset_name_classes(ctx, dataset, folder, names, num_classes));
    CLN_TRY(copy_labels(ctx, labels, dataset));
    return copy_images(ctx, images, dataset);
}

cln_status cln__idx_load(cln_context *ctx, const char *folder, cln_split split, const char *const *names,
                         int num_classes, cln_dataset *dataset) {
    dataset->format = cln__format("idx");
    if (!dataset->format)
        return cln__fail_memory(ctx, "a data set");
    idx_file images = {0}, labels = {0};
    cln_status status = load_files(ctx, folder, split, names, num_classes, &images, &labels, dataset);
    release(&images);
    release(&labels);
    return status;
}
