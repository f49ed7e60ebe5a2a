/* CIFAR-10 in its binary layout: files of records, each a label byte and 3,072 bytes of red, green and blue planes. */
#include "../io/file.h"
#include "dataset.h"

#include <stdlib.h>
#include <string.h>

enum {
    SIDE = 32,
    IMAGE_BYTES = 3 * SIDE * SIDE,
    RECORD_BYTES = 1 + IMAGE_BYTES,
    CLASSES = 10,
    TRAIN_FILES = 5,
    MAX_RECORDS = 500000, /* of a file; the published files have 10,000 */
    MAX_META_BYTES = 65536,
};

static const char *const train_files[TRAIN_FILES] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                                     "data_batch_4.bin", "data_batch_5.bin"};
static const char *const test_file[1] = {"test_batch.bin"};

static const char *const published_names[CLASSES] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                                     "dog",      "frog",       "horse", "ship", "truck"};

bool cln__cifar10_present(const char *folder) {
    bool found = cln__folder_has(folder, test_file[0]);
    for (int i = 0; i < TRAIN_FILES; i++)
        found = found || cln__folder_has(folder, train_files[i]);
    return found;
}

static cln_status check_files(cln_context *ctx, const char *folder, const char *const *names, int count) {
    for (int i = 0; i < count; i++)
        if (!cln__folder_has(folder, names[i]))
            return cln__fail(ctx, CLN_IO, "CIFAR-10 data set in '%s': %s is missing, expected %s%s%s", folder, names[i],
                             names[0], count > 1 ? " to " : "", count > 1 ? names[count - 1] : "");
    return CLN_OK;
}

static cln_status append_records(cln_context *ctx, const char *path, const uint8_t *bytes, size_t count,
                                 cln_dataset *dataset) {
    size_t before = (size_t)dataset->count, total, image_bytes, label_bytes;
    if (!cln__add_size(before, count, &total) || !cln__mul_size(total, IMAGE_BYTES, &image_bytes) ||
        !cln__mul_size(total, sizeof *dataset->labels, &label_bytes))
        return cln__fail_memory(ctx, path);
    uint8_t *images = realloc(dataset->images, image_bytes);
    if (!images)
        return cln__fail_memory(ctx, path);
    dataset->images = images;
    int32_t *labels = realloc(dataset->labels, label_bytes);
    if (!labels)
        return cln__fail_memory(ctx, path);
    dataset->labels = labels;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *record = bytes + i * RECORD_BYTES;
        if (record[0] >= CLASSES)
            return cln__fail(ctx, CLN_INVALID_FILE,
                             "CIFAR-10 file '%s': record %zu (counted from 0) has label %d, expected 0 to %d", path, i,
                             record[0], CLASSES - 1);
        labels[before + i] = record[0];
        memcpy(images + (before + i) * IMAGE_BYTES, record + 1, IMAGE_BYTES);
    }
    dataset->count = (int64_t)total;
    return CLN_OK;
}

static cln_status append_file(cln_context *ctx, const char *folder, const char *name, cln_dataset *dataset) {
    char *path = cln__path_join(folder, name);
    if (!path)
        return cln__fail_memory(ctx, "a file name");
    uint8_t *bytes = NULL;
    size_t size = 0;
    cln_status status = cln__file_read(ctx, path, (size_t)MAX_RECORDS * RECORD_BYTES, &bytes, &size);
    if (status == CLN_OK && (size == 0 || size % RECORD_BYTES != 0))
        status = cln__fail(ctx, CLN_INVALID_FILE,
                           "CIFAR-10 file '%s' has %zu bytes, expected one or more whole records of %d bytes (found "
                           "%zu records and %zu bytes)",
                           path, size, RECORD_BYTES, size / RECORD_BYTES, size % RECORD_BYTES);
    if (status == CLN_OK)
        status = append_records(ctx, path, bytes, size / RECORD_BYTES, dataset);
    free(bytes);
    free(path);
    return status;
}

/* Cuts `text` into lines in place; returns how many are not empty, keeping the first CLASSES of them. */
static int cut_lines(char *text, const char **lines) {
    int count = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest)) {
        if (count < CLASSES)
            lines[count] = line;
        count++;
    }
    return count;
}

/* From batches.meta.txt, one name a line, or the published ones where that file is absent. */
static cln_status name_classes(cln_context *ctx, const char *folder, cln_dataset *dataset) {
    if (!cln__folder_has(folder, "batches.meta.txt"))
        return cln__dataset_name_classes(ctx, dataset, published_names, CLASSES);
    char *path = cln__path_join(folder, "batches.meta.txt");
    if (!path)
        return cln__fail_memory(ctx, "a file name");
    uint8_t *bytes = NULL;
    size_t size = 0;
    cln_status status = cln__file_read(ctx, path, MAX_META_BYTES, &bytes, &size);
    if (status == CLN_OK) {
        const char *lines[CLASSES];
        char *text = cln__format("%.*s", (int)size, (const char *)bytes);
        int count = text ? cut_lines(text, lines) : 0;
        if (!text)
            status = cln__fail_memory(ctx, "the class names");
        else if (count != CLASSES)
            status = cln__fail(ctx, CLN_INVALID_FILE, "'%s' has %d class names, expected %d, one a line", path, count,
                               CLASSES);
        else
            status = cln__dataset_name_classes(ctx, dataset, lines, CLASSES);
        free(text);
    }
    free(bytes);
    free(path);
    return status;
}

cln_status cln__cifar10_load(cln_context *ctx, const char *folder, cln_split split, cln_dataset *dataset) {
    const char *const *names = split == CLN_SPLIT_TRAIN ? train_files : test_file;
    int files = split == CLN_SPLIT_TRAIN ? TRAIN_FILES : 1;
    dataset->channels = 3;
    dataset->height = dataset->width = SIDE;
    dataset->format = cln__format("cifar10");
    if (!dataset->format)
        return cln__fail_memory(ctx, "a data set");
    CLN_TRY(check_files(ctx, folder, names, files));
    CLN_TRY(name_classes(ctx, folder, dataset));
    for (int i = 0; i < files; i++)
        CLN_TRY(append_file(ctx, folder, names[i], dataset));
    return CLN_OK;
}
