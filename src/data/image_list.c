/* Finding the images of a folder: see image_list.h. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "image_list.h"
#include "../io/file.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Names in a folder, sorted. */
typedef struct names {
    struct dirent **entry;
    int count;
} names;

static int not_hidden(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

/* By bytes: alphasort would sort by the user's language. */
static int compare(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static cln_status names_read(cln_context *ctx, const char *folder, names *out) {
    out->count = scandir(folder, &out->entry, not_hidden, compare);
    if (out->count >= 0)
        return CLN_OK;
    *out = (names){0};
    return cln__fail_errno(ctx, "cannot read the folder", folder);
}

static void names_free(names *n) {
    for (int i = 0; i < n->count; i++)
        free(n->entry[i]);
    free(n->entry);
}

/* Whether `path` is a folder, or a regular file. A link is followed only within `root`, a path without links. */
static cln_status examine(cln_context *ctx, const char *root, const char *path, bool *folder, bool *file) {
    struct stat info;
    if (lstat(path, &info) != 0)
        return cln__fail_errno(ctx, "cannot examine", path);
    if (S_ISLNK(info.st_mode)) {
        size_t length = strlen(root);
        char *target = realpath(path, NULL);
        bool inside = target && strncmp(target, root, length) == 0 && (length == 1 || target[length] == '/');
        free(target);
        if (!inside)
            return cln__fail(ctx, CLN_INVALID_FILE,
                             "image folder: '%s' is a symbolic link that leads out of the data set, or nowhere", path);
        if (stat(path, &info) != 0)
            return cln__fail_errno(ctx, "cannot examine", path);
    }
    *folder = S_ISDIR(info.st_mode);
    *file = S_ISREG(info.st_mode);
    return CLN_OK;
}

void cln__image_list_free(cln__image_list *l) {
    for (size_t i = 0; i < l->count; i++)
        free(l->path[i]);
    free(l->path);
    free(l->label);
    free(l->root);
}

/* Takes `path` over. */
static bool append(cln__image_list *l, char *path, int32_t label) {
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 1024;
        char **paths = realloc(l->path, room * sizeof *paths);
        l->path = paths ? paths : l->path;
        int32_t *labels = paths ? realloc(l->label, room * sizeof *labels) : NULL;
        l->label = labels ? labels : l->label;
        if (!paths || !labels)
            return false;
        l->room = room;
    }
    l->path[l->count] = path;
    l->label[l->count++] = label;
    return true;
}

static cln_status list_image(cln_context *ctx, cln__image_list *l, const char *folder, const char *name,
                             int32_t label) {
    char *path = cln__path_join(folder, name);
    if (!path)
        return cln__fail_memory(ctx, "a file name");
    bool is_folder, is_file;
    cln_status status = examine(ctx, l->root, path, &is_folder, &is_file);
    if (status == CLN_OK && !is_file)
        status = cln__fail(ctx, CLN_INVALID_FILE, "image folder: '%s' is %s, expected an image", path,
                           is_folder ? "a folder" : "a device, pipe or socket");
    if (status == CLN_OK && !append(l, path, label))
        status = cln__fail_memory(ctx, "the list of images");
    if (status != CLN_OK)
        free(path);
    return status;
}

static cln_status list_images(cln_context *ctx, cln__image_list *l, const char *folder, int32_t label) {
    names files;
    CLN_TRY(names_read(ctx, folder, &files));
    cln_status status = CLN_OK;
    for (int i = 0; i < files.count && status == CLN_OK; i++)
        status = list_image(ctx, l, folder, files.entry[i]->d_name, label);
    names_free(&files);
    return status;
}

/* Keeps of the names in `folder` those of folders. */
static cln_status keep_folders(cln_context *ctx, const char *root, const char *folder, names *n) {
    int kept = 0;
    cln_status status = CLN_OK;
    for (int i = 0; i < n->count; i++) {
        char *path = status == CLN_OK ? cln__path_join(folder, n->entry[i]->d_name) : NULL;
        bool is_folder = false, is_file;
        if (path)
            status = examine(ctx, root, path, &is_folder, &is_file);
        else if (status == CLN_OK)
            status = cln__fail_memory(ctx, "a file name");
        free(path);
        if (status == CLN_OK && is_folder)
            n->entry[kept++] = n->entry[i];
        else
            free(n->entry[i]);
    }
    n->count = kept;
    return status;
}

static cln_status read_classes(cln_context *ctx, const char *root, const char *folder, names *out) {
    CLN_TRY(names_read(ctx, folder, out));
    cln_status status = keep_folders(ctx, root, folder, out);
    if (status == CLN_OK && out->count == 0)
        status =
            cln__fail(ctx, CLN_INVALID_FILE, "image folder: '%s' has no folders, expected one for each class", folder);
    if (status != CLN_OK) {
        names_free(out);
        *out = (names){0};
    }
    return status;
}

static cln_status name_classes(cln_context *ctx, const char *folder, const names *classes, cln_dataset *dataset) {
    const char **list = malloc((size_t)classes->count * sizeof *list);
    if (!list)
        return cln__fail_memory(ctx, "the class names");
    for (int i = 0; i < classes->count; i++)
        list[i] = classes->entry[i]->d_name;
    cln_status status = cln__dataset_name_classes(ctx, dataset, folder, list, classes->count);
    free(list);
    return status;
}

static int find_class(const cln_dataset *dataset, const char *name) {
    int i = 0;
    while (i < dataset->num_classes && strcmp(dataset->class_names[i], name) != 0)
        i++;
    return i;
}

static cln_status list_class(cln_context *ctx, cln__image_list *l, const char *folder, const char *name,
                             const cln_dataset *dataset) {
    int label = find_class(dataset, name);
    if (label == dataset->num_classes)
        return cln__fail(ctx, CLN_INVALID_FILE, "image folder: '%s' has a class '%s' that the training images lack",
                         folder, name);
    char *path = cln__path_join(folder, name);
    if (!path)
        return cln__fail_memory(ctx, "a file name");
    cln_status status = list_images(ctx, l, path, label);
    free(path);
    return status;
}

/* The images in the classes of `folder`, the classes being those of `train` if that is not NULL. */
static cln_status list_split(cln_context *ctx, cln__image_list *l, const char *folder, const char *train,
                             cln_dataset *dataset) {
    names classes;
    const char *named = train ? train : folder;
    CLN_TRY(read_classes(ctx, l->root, named, &classes));
    cln_status status = name_classes(ctx, named, &classes, dataset);
    names_free(&classes);
    CLN_TRY(status);
    CLN_TRY(read_classes(ctx, l->root, folder, &classes));
    for (int i = 0; i < classes.count && status == CLN_OK; i++) {
        size_t before = l->count;
        status = list_class(ctx, l, folder, classes.entry[i]->d_name, dataset);
        if (status == CLN_OK && l->count == before && !train)
            status = cln__fail(ctx, CLN_INVALID_FILE, "image folder: class '%s' of '%s' has no images",
                               classes.entry[i]->d_name, folder);
    }
    names_free(&classes);
    if (status == CLN_OK && l->count == 0)
        status = cln__fail(ctx, CLN_INVALID_FILE, "image folder: '%s' has no images", folder);
    return status;
}

/* `path` is that of the split's folder. */
static cln_status list_folder(cln_context *ctx, cln__image_list *l, const char *path, const char *train,
                              cln_dataset *dataset) {
    bool is_folder, is_file;
    CLN_TRY(examine(ctx, l->root, path, &is_folder, &is_file));
    if (!is_folder)
        return cln__fail(ctx, CLN_INVALID_FILE, "image folder: '%s' is not a folder", path);
    return list_split(ctx, l, path, train, dataset);
}

cln_status cln__image_list_read(cln_context *ctx, const char *folder, cln_split split, cln_dataset *dataset,
                                cln__image_list *out) {
    bool training = split == CLN_SPLIT_TRAIN;
    const char *name = training ? "train" : cln__folder_has(folder, "test") ? "test" : "val";
    *out = (cln__image_list){.root = realpath(folder, NULL)};
    if (!out->root)
        return cln__fail_errno(ctx, "cannot find", folder);
    if (!cln__folder_has(folder, name))
        return cln__fail(ctx, CLN_IO, "image folder '%s': there is no folder %s in it", folder,
                         training ? "train" : "test or val");
    char *path = cln__path_join(folder, name), *train = cln__path_join(folder, "train");
    bool apart = !training && cln__folder_has(folder, "train");
    cln_status status = path && train ? list_folder(ctx, out, path, apart ? train : NULL, dataset)
                                      : cln__fail_memory(ctx, "a file name");
    free(path);
    free(train);
    return status;
}
