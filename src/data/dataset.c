/* Finds out which format a path holds and hands over to it. */
#include "dataset.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FASHION_MNIST "fashion-mnist"
#define FASHION_MNIST_FOLDER "/usr/share/datasets/fashion-mnist"

static const char *const fashion_names[10] = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                              "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};

/* What the published archives unpack to. */
static const char *const cifar_subfolders[2] = {"cifar-10-batches-bin", "cifar-100-binary"};

enum { MAX_LISTED = 5 };

const char *cln__split_name(cln_split split) {
    return split == CLN_SPLIT_TRAIN ? "train" : "test";
}

char *cln__path_join(const char *folder, const char *name) {
    size_t length = strlen(folder);
    return cln__format("%s%s%s", folder, length > 0 && folder[length - 1] == '/' ? "" : "/", name);
}

bool cln__folder_has(const char *folder, const char *name) {
    char *path = cln__path_join(folder, name);
    struct stat info;
    bool found = path && stat(path, &info) == 0;
    free(path);
    return found;
}

cln_status cln__dataset_name_classes(cln_context *ctx, cln_dataset *dataset, const char *path, const char *const *names,
                                     int count) {
    dataset->class_names = calloc((size_t)count, sizeof *dataset->class_names);
    if (!dataset->class_names)
        return cln__fail_memory(ctx, "the class names");
    dataset->num_classes = count;
    for (int i = 0; i < count; i++) {
        if (names && !cln_is_utf8(names[i]))
            return cln__fail(ctx, CLN_INVALID_FILE, "'%s': the name of class %d, '%s', is not UTF-8: rename it", path,
                             i, names[i]);
        dataset->class_names[i] = names ? cln__format("%s", names[i]) : cln__format("%d", i);
        if (!dataset->class_names[i])
            return cln__fail_memory(ctx, "the class names");
    }
    return CLN_OK;
}

static int not_hidden(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

/* "nothing", or the first few names in the folder; NULL for lack of memory. */
static char *list_folder(const char *folder) {
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, not_hidden, alphasort);
    char *text = count > 0 ? cln__format("%s", entries[0]->d_name) : cln__format("nothing");
    for (int i = 1; text && i < count && i < MAX_LISTED; i++) {
        char *longer = cln__format("%s, %s", text, entries[i]->d_name);
        free(text);
        text = longer;
    }
    if (text && count > MAX_LISTED) {
        char *longer = cln__format("%s and %d more", text, count - MAX_LISTED);
        free(text);
        text = longer;
    }
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    return text;
}

static cln_status fail_unrecognised(cln_context *ctx, const char *folder) {
    char *found = list_folder(folder);
    cln_status status = cln__fail(
        ctx, CLN_INVALID_FILE,
        "no data set in folder '%s': expected CIFAR-10 binary (data_batch_1.bin to data_batch_5.bin and "
        "test_batch.bin, or a folder cifar-10-batches-bin with them), CIFAR-100 binary (train.bin and test.bin, or "
        "cifar-100-binary), IDX (train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte[.gz], t10k-...), or images as "
        "<split>/<class>/<image> with the splits train and test or val; found %s",
        folder, found ? found : "other files");
    free(found);
    return status;
}

static cln_status check_folder(cln_context *ctx, const char *path) {
    struct stat info;
    if (stat(path, &info) != 0)
        return cln__fail(ctx, CLN_IO, "no data set at '%s': %s", path,
                         errno == ENOENT || errno == ENOTDIR ? "there is no such folder" : "it cannot be examined");
    if (!S_ISDIR(info.st_mode))
        return cln__fail(ctx, CLN_INVALID_FILE, "no data set at '%s': it is a file, expected the folder of a data set",
                         path);
    return CLN_OK;
}

/* The Debian folder by whatever spelling: what its classes mean is known. */
static bool is_fashion_mnist(const char *path) {
    struct stat a, b;
    return stat(path, &a) == 0 && stat(FASHION_MNIST_FOLDER, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static cln_status load_folder(cln_context *ctx, const char *path, cln_split split, const cln_dataset_options *options,
                              cln_dataset *dataset) {
    CLN_TRY(check_folder(ctx, path));
    if (cln__cifar_present(path))
        return cln__cifar_load(ctx, path, split, dataset);
    if (cln__idx_present(path))
        return cln__idx_load(ctx, path, split, is_fashion_mnist(path) ? fashion_names : NULL, 10, dataset);
    for (int i = 0; i < 2; i++) {
        char *inner = cln__path_join(path, cifar_subfolders[i]);
        if (!inner)
            return cln__fail_memory(ctx, "a file name");
        bool present = cln__cifar_present(inner);
        cln_status status = present ? cln__cifar_load(ctx, inner, split, dataset) : CLN_OK;
        free(inner);
        if (present)
            return status;
    }
    return cln__images_present(path) ? cln__images_load(ctx, path, split, options, dataset)
                                     : fail_unrecognised(ctx, path);
}

static cln_status load(cln_context *ctx, const char *path, cln_split split, const cln_dataset_options *options,
                       cln_dataset *dataset) {
    if (!path || path[0] == '\0')
        return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                         "no data set given: expected a folder, or the name '" FASHION_MNIST "'");
    if (strcmp(path, FASHION_MNIST) != 0)
        return load_folder(ctx, path, split, options, dataset);
    struct stat info;
    if (stat(FASHION_MNIST_FOLDER, &info) != 0)
        return cln__fail(ctx, CLN_IO,
                         "no data set '" FASHION_MNIST "': there is no folder " FASHION_MNIST_FOLDER
                         "; install Debian's package dataset-fashion-mnist, or give the folder that holds the four "
                         "files");
    return load_folder(ctx, FASHION_MNIST_FOLDER, split, options, dataset);
}

cln_status cln_dataset_load(cln_context *ctx, const char *path, cln_split split, const cln_dataset_options *options,
                            cln_dataset **out) {
    static const cln_dataset_options defaults = {0};
    *out = NULL;
    cln_dataset *dataset = calloc(1, sizeof *dataset);
    if (!dataset)
        return cln__fail_memory(ctx, "a data set");
    cln_status status = load(ctx, path, split, options ? options : &defaults, dataset);
    if (status != CLN_OK) {
        cln_dataset_free(dataset);
        return status;
    }
    *out = dataset;
    return CLN_OK;
}

void cln_dataset_free(cln_dataset *dataset) {
    if (!dataset)
        return;
    for (int i = 0; dataset->class_names && i < dataset->num_classes; i++)
        free(dataset->class_names[i]);
    free(dataset->class_names);
    free(dataset->images);
    free(dataset->labels);
    free(dataset->format);
    free(dataset);
}
