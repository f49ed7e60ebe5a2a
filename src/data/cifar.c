/* CIFAR-10 and CIFAR-100 in their binary layouts: files of records, each one or two label bytes and 3,072 bytes of red,
 * green and blue planes. Of two labels the second, the finer one, counts. */
#include "../io/file.h"
#include "dataset.h"

#include <stdlib.h>
#include <string.h>

enum {
    SIDE = 32,
    IMAGE_BYTES = 3 * SIDE * SIDE,
    MAX_LABELS = 2,
    MAX_CLASSES = 100,
    MAX_RECORDS = 500000, /* of a file; the published files have at most 50,000 */
    MAX_NAMES_BYTES = 65536,
};

typedef struct layout {
    const char *format, *title;
    const char *const *train_files;
    int train_count;
    const char *test_file, *names_file;  /* names_file: the classes, one a line */
    int labels, label_count[MAX_LABELS]; /* bytes before the pixels; how many values each may have */
    const char *const *names;            /* where names_file is absent; NULL: numbers */
} layout;

static const char *const train_files_10[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                             "data_batch_4.bin", "data_batch_5.bin"};
static const char *const train_files_100[] = {"train.bin"};
static const char *const names_10[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                       "dog",      "frog",       "horse", "ship", "truck"};

static const layout layouts[] = {
    {"cifar10", "CIFAR-10", train_files_10, 5, "test_batch.bin", "batches.meta.txt", 1, {10}, names_10},
    {"cifar100", "CIFAR-100", train_files_100, 1, "test.bin", "fine_label_names.txt", 2, {20, 100}, NULL},
};

static const layout *find_layout(const char *folder) {
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        bool found = cln__folder_has(folder, layouts[i].test_file);
        for (int k = 0; !found && k < layouts[i].train_count; k++)
            found = cln__folder_has(folder, layouts[i].train_files[k]);
        if (found)
            return &layouts[i];
    }
    return NULL;
}

bool cln__cifar_present(const char *folder) {
    return find_layout(folder) != NULL;
}

static cln_status check_files(cln_context *ctx, const layout *l, const char *folder, const char *const *names,
                              int count) {
    for (int i = 0; i < count; i++)
        if (!cln__folder_has(folder, names[i]))
            return cln__fail(ctx, CLN_IO, "%s data set in '%s': %s is missing, expected %s%s%s", l->title, folder,
                             names[i], names[0], count > 1 ? " to " : "", count > 1 ? names[count - 1] : "");
    return CLN_OK;
}

static cln_status make_room(cln_context *ctx, const char *path, size_t count, cln_dataset *dataset) {
    size_t image_bytes, label_bytes;
    if (!cln__mul_size(count, IMAGE_BYTES, &image_bytes) || !cln__mul_size(count, sizeof(int32_t), &label_bytes))
        return cln__fail_memory(ctx, path);
    uint8_t *images = realloc(dataset->images, image_bytes);
    if (!images)
        return cln__fail_memory(ctx, path);
    dataset->images = images;
    int32_t *labels = realloc(dataset->labels, label_bytes);
    if (!labels)
        return cln__fail_memory(ctx, path);
    dataset->labels = labels;
    return CLN_OK;
}

static cln_status append_records(cln_context *ctx, const layout *l, const char *path, const uint8_t *bytes,
                                 size_t count, cln_dataset *dataset) {
    size_t before = (size_t)dataset->count, record_bytes = (size_t)l->labels + IMAGE_BYTES;
    CLN_TRY(make_room(ctx, path, before + count, dataset));
    for (size_t i = 0; i < count; i++) {
        const uint8_t *record = bytes + i * record_bytes;
        for (int k = 0; k < l->labels; k++)
            if (record[k] >= l->label_count[k])
                return cln__fail(ctx, CLN_INVALID_FILE,
                                 "%s file '%s': record %zu (counted from 0) has %slabel %d, expected 0 to %d", l->title,
                                 path, i, k + 1 < l->labels ? "coarse " : "", record[k], l->label_count[k] - 1);
        dataset->labels[before + i] = record[l->labels - 1];
        memcpy(dataset->images + (before + i) * IMAGE_BYTES, record + l->labels, IMAGE_BYTES);
    }
    dataset->count = (int64_t)(before + count);
    return CLN_OK;
}

static cln_status append_file(cln_context *ctx, const layout *l, const char *folder, const char *name,
                              cln_dataset *dataset) {
    char *path = cln__path_join(folder, name);
    if (!path)
        return cln__fail_memory(ctx, "a file name");
    uint8_t *bytes = NULL;
    size_t size = 0, record_bytes = (size_t)l->labels + IMAGE_BYTES;
    cln_status status = cln__file_read(ctx, path, MAX_RECORDS * record_bytes, &bytes, &size);
    if (status == CLN_OK && (size == 0 || size % record_bytes != 0))
        status = cln__fail(ctx, CLN_INVALID_FILE,
                           "%s file '%s' has %zu bytes, expected one or more whole records of %zu bytes (found "
                           "%zu records and %zu bytes)",
                           l->title, path, size, record_bytes, size / record_bytes, size % record_bytes);
    if (status == CLN_OK)
        status = append_records(ctx, l, path, bytes, size / record_bytes, dataset);
    free(bytes);
    free(path);
    return status;
}

/* Cuts `text` into lines in place; returns how many are not empty, keeping the first `most` of them. */
static int cut_lines(char *text, int most, const char **lines) {
    int count = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest)) {
        if (count < most)
            lines[count] = line;
        count++;
    }
    return count;
}

static cln_status name_classes(cln_context *ctx, const layout *l, const char *folder, cln_dataset *dataset) {
    int classes = l->label_count[l->labels - 1];
    if (!cln__folder_has(folder, l->names_file))
        return cln__dataset_name_classes(ctx, dataset, folder, l->names, classes);
    char *path = cln__path_join(folder, l->names_file);
    if (!path)
        return cln__fail_memory(ctx, "a file name");
    uint8_t *bytes = NULL;
    size_t size = 0;
    cln_status status = cln__file_read(ctx, path, MAX_NAMES_BYTES, &bytes, &size);
    if (status == CLN_OK) {
        const char *lines[MAX_CLASSES];
        char *text = cln__format("%.*s", (int)size, (const char *)bytes);
        int count = text ? cut_lines(text, MAX_CLASSES, lines) : 0;
        if (!text)
            status = cln__fail_memory(ctx, "the class names");
        else if (count != classes)
            status = cln__fail(ctx, CLN_INVALID_FILE, "'%s' has %d class names, expected %d, one a line", path, count,
                               classes);
        else
            status = cln__dataset_name_classes(ctx, dataset, path, lines, classes);
        free(text);
    }
    free(bytes);
    free(path);
    return status;
}

cln_status cln__cifar_load(cln_context *ctx, const char *folder, cln_split split, cln_dataset *dataset) {
    const layout *l = find_layout(folder);
    if (!l)
        return cln__fail(ctx, CLN_IO, "CIFAR data set in '%s': its files went away", folder);
    bool train = split == CLN_SPLIT_TRAIN;
    const char *const *names = train ? l->train_files : &l->test_file;
    int files = train ? l->train_count : 1;
    dataset->channels = 3;
    dataset->height = dataset->width = SIDE;
    dataset->format = cln__format("%s", l->format);
    if (!dataset->format)
        return cln__fail_memory(ctx, "a data set");
    CLN_TRY(check_files(ctx, l, folder, names, files));
    CLN_TRY(name_classes(ctx, l, folder, dataset));
    for (int i = 0; i < files; i++)
        CLN_TRY(append_file(ctx, l, folder, names[i], dataset));
    return CLN_OK;
}
