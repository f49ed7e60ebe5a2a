/* Files for tests: see files.h. */
#define _GNU_SOURCE /* setresuid */
#include "files.h"
#include "suite.h"

#include <check.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

char *path_of(const char *folder, const char *name) {
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    ck_assert_ptr_nonnull(path);
    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

char *folder_new(void) {
    const char *root = getenv("TMPDIR");
    char *path = path_of(root && root[0] ? root : "/tmp", "clnet-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(path));
    return path;
}

static void remove_tree(const char *path) {
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *inner = path_of(path, entry->d_name);
        remove_tree(inner);
        free(inner);
    }
    if (folder)
        closedir(folder);
    remove(path);
}

void folder_remove(char *folder) {
    remove_tree(folder);
    free(folder);
}

void folder_empty(const char *folder) {
    remove_tree(folder);
    ck_assert_int_eq(mkdir(folder, 0700), 0);
}

void file_write(const char *folder, const char *name, const void *bytes, size_t size) {
    char *path = path_of(folder, name);
    size_t length = strlen(name);
    bool compress = length > 3 && strcmp(name + length - 3, ".gz") == 0;
    gzFile file = gzopen(path, compress ? "wb" : "wbT"); /* T: as it is */
    ck_assert_ptr_nonnull(file);
    if (size > 0)
        ck_assert_int_eq(gzwrite(file, bytes, (unsigned)size), (int)size);
    ck_assert_int_eq(gzclose(file), Z_OK);
    free(path);
}

void file_remove(const char *folder, const char *name) {
    char *path = path_of(folder, name);
    ck_assert_int_eq(unlink(path), 0);
    free(path);
}

void folder_make(const char *folder, const char *name) {
    char *path = path_of(folder, name);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    free(path);
}

int folder_count(const char *folder) {
    int count = 0;
    DIR *open = opendir(folder);
    ck_assert_ptr_nonnull(open);
    for (struct dirent *entry; (entry = readdir(open));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(open);
    return count;
}

void folder_allow(const char *folder, bool writing) {
    enum { NOBODY = 65534 };
    static bool is_root;
    bool done;
    if (writing) {
        done = (!is_root || setresuid(0, 0, 0) == 0) && chmod(folder, 0700) == 0;
    } else {
        is_root = geteuid() == 0;
        done = chmod(folder, 0500) == 0 &&
               (!is_root || (chown(folder, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, 0) == 0));
    }
    if (!done)
        ck_abort_msg("cannot change who may write into '%s'", folder);
}

/* Asserts nothing under a limit: Check writes every assertion to a file of its own. */
void file_limit(long bytes) {
    struct rlimit limit;
    bool got = getrlimit(RLIMIT_FSIZE, &limit) == 0;
    limit.rlim_cur = bytes > 0 ? (rlim_t)bytes : limit.rlim_max;
    if (bytes > 0)
        ck_assert(got);
    bool set = got && setrlimit(RLIMIT_FSIZE, &limit) == 0;
    signal(SIGXFSZ, bytes > 0 ? SIG_IGN : SIG_DFL);
    if (bytes <= 0)
        ck_assert(set);
}

double proc_number(const char *path, const char *key) {
    FILE *file = fopen(path, "r");
    char line[256];
    double number = 0;
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0)
            number = strtod(line + strlen(key), NULL);
    if (file)
        fclose(file);
    return number;
}

char *shared_path(const char *name, const char *what) {
    const char *shared = getenv("CLNET_SHARED");
    char *path = path_of(shared && shared[0] ? shared : "../shared", name);
    if (access(path, R_OK) == 0)
        return path;
    skip(what, "there is no %s", path);
    free(path);
    return NULL;
}
