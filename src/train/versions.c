/* Folders of runs, numbered as PyTorch Lightning numbers them: <root>/<model>/version_0, version_1, ... */
#include "../io/file.h"
#include "clnet/train.h"
#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_VERSION = 999999999, MAX_TRIES = 1000 };
static const char prefix[] = "version_";

/* N of "version_N" as we write it, else -1. */
static int number_of(const char *name) {
    if (strncmp(name, prefix, sizeof prefix - 1) != 0)
        return -1;
    const char *digits = name + sizeof prefix - 1;
    size_t length = strlen(digits);
    bool good = length > 0 && length <= 9 && strspn(digits, "0123456789") == length && (*digits != '0' || length == 1);
    return good ? atoi(digits) : -1;
}

static bool has_state(const char *folder, const char *name) {
    char *path = cln__format("%s/%s/resume.safetensors", folder, name);
    bool has = path && access(path, F_OK) == 0;
    free(path);
    return has;
}

/* The highest number in `folder`, or of those there that can be resumed; -1 if there is none. */
static int latest(const char *folder, bool resumable) {
    int highest = -1;
    DIR *open = opendir(folder);
    for (struct dirent *entry; open && (entry = readdir(open));) {
        int number = number_of(entry->d_name);
        if (number > highest && (!resumable || has_state(folder, entry->d_name)))
            highest = number;
    }
    if (open)
        closedir(open);
    return highest;
}

/* Makes the next one; two processes at once get two. */
static cln_status make_next(cln_context *ctx, const char *folder, char **path) {
    for (int i = 0; i < MAX_TRIES; i++) {
        int number = latest(folder, false) + 1;
        if (number > MAX_VERSION)
            return cln__fail(ctx, CLN_IO, "'%s' has a folder version_%d: there is no next number", folder, MAX_VERSION);
        *path = cln__format("%s/%s%d", folder, prefix, number);
        if (!*path)
            return cln__fail_memory(ctx, "a file name");
        if (mkdir(*path, 0777) == 0)
            return CLN_OK;
        if (errno != EEXIST)
            break;
        free(*path);
        *path = NULL;
    }
    cln_status status = cln__fail_errno(ctx, "cannot make the folder", *path ? *path : folder);
    free(*path);
    *path = NULL;
    return status;
}

cln_status cln_run_folder_new(cln_context *ctx, const char *root, const char *model, char **path) {
    *path = NULL;
    char *folder = cln__format("%s/%s", root, model);
    if (!folder)
        return cln__fail_memory(ctx, "a file name");
    cln_status status = cln_folder_make(ctx, folder);
    if (status == CLN_OK)
        status = make_next(ctx, folder, path);
    free(folder);
    return status;
}

cln_status cln_run_folder_latest(cln_context *ctx, const char *root, const char *model, char **path) {
    *path = NULL;
    char *folder = cln__format("%s/%s", root, model);
    if (!folder)
        return cln__fail_memory(ctx, "a file name");
    int number = latest(folder, true);
    if (number >= 0)
        *path = cln__format("%s/%s%d", folder, prefix, number);
    free(folder);
    return number < 0 || *path ? CLN_OK : cln__fail_memory(ctx, "a file name");
}
