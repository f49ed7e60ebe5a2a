/* Making the folder of a run, and metrics.csv in it. */
#include "folder.h"
#include "../io/file.h"
#include "clnet/tensorboard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_METRICS_BYTES = 1 << 28 };

static cln_status make(cln_context *ctx, const char *path) {
    struct stat info;
    if (mkdir(path, 0777) == 0)
        return CLN_OK;
    if (errno != EEXIST)
        return cln__fail_errno(ctx, "cannot make the folder", path);
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return CLN_OK;
    return cln__fail(ctx, CLN_IO, "cannot make the folder '%s': there is a file of that name", path);
}

static cln_status make_parents(cln_context *ctx, char *path) {
    for (char *slash = path + 1; *path && (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        cln_status status = make(ctx, path);
        *slash = '/';
        if (status != CLN_OK)
            return status;
    }
    return CLN_OK;
}

cln_status cln_folder_make(cln_context *ctx, const char *path) {
    char *copy = cln__format("%s", path);
    cln_status status = copy ? make_parents(ctx, copy) : cln__fail_memory(ctx, "a file name");
    free(copy);
    return status == CLN_OK ? make(ctx, path) : status;
}

/* --- what is a run's in its folder --- */

/* The length of the name of one of our files with which `name` begins; 0: it begins with none. */
static size_t our_name(const char *name) {
    static const char *const ours[] = {"best.safetensors", "last.safetensors", "resume.safetensors", "metrics.csv",
                                       "summary.txt",      "config.yaml",      "curves.png",         "trace.json",
                                       "lr_find.csv",      "lr_find.png",      "race.json"};
    static const char epoch[] = "epoch=", weights[] = ".safetensors";
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (cln__starts_with(name, ours[i]))
            return strlen(ours[i]);
    size_t at = cln__starts_with(name, epoch) ? sizeof epoch - 1 : 0;
    at += at > 0 ? strspn(name + at, "0123456789") : 0;
    return at > sizeof epoch - 1 && cln__starts_with(name + at, weights) ? at + sizeof weights - 1 : 0;
}

/* Of a process that was killed while it wrote a file aside: see cln__file_write_atomic. */
static bool is_half_written(const char *name) {
    size_t length = our_name(name);
    return length > 0 && cln__starts_with(name + length, ".tmp-");
}

/* A learning-rate finder's files are of no run. */
static bool is_of_run(const char *name) {
    size_t length = our_name(name);
    return cln_tensorboard_is_name(name) || (length > 0 && name[length] == '\0' && !cln__starts_with(name, "lr_find."));
}

/* Best effort: such files only take room. */
static void remove_all(const char *path, bool (*is_one)(const char *name)) {
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char *name = is_one(entry->d_name) ? cln__format("%s/%s", path, entry->d_name) : NULL;
        if (name)
            unlink(name);
        free(name);
    }
    if (folder)
        closedir(folder);
}

/* --- metrics.csv --- */

/* Its first line is "epoch," and the name of the learning rate, as cln__rate_name has it, and this. */
static const char header_end[] = ",train_loss,train_acc,val_loss,val_acc,images_per_s\n";

/* Behind `part`, if `text` begins with it, else NULL. NULL in, NULL out. */
static const char *skip(const char *text, const char *end, const char *part) {
    size_t length = strlen(part);
    return text && (size_t)(end - text) >= length && memcmp(text, part, length) == 0 ? text + length : NULL;
}

/* The bytes that the header takes in `text`; 0 if there is none. The rate is "lr" in files of earlier versions. */
static size_t header_bytes(const char *text, size_t size, const char *rate) {
    const char *end = text ? text + size : NULL, *name = skip(text, end, "epoch,");
    const char *behind = skip(skip(name, end, rate), end, header_end);
    if (!behind)
        behind = skip(skip(name, end, "lr"), end, header_end);
    return behind ? (size_t)(behind - text) : 0;
}

/* The whole lines of epochs 1, 2, ... up to `epochs`, which becomes the number of those found, behind the header. */
static cln__bytes valid_lines(const char *text, size_t size, const char *rate, int *epochs) {
    size_t begin = header_bytes(text, size, rate), at = begin;
    int found = 0;
    while (begin > 0 && found < *epochs) {
        char number[24];
        const char *end = memchr(text + at, '\n', size - at);
        int length = snprintf(number, sizeof number, "%d,", found + 1);
        if (!end || end - (text + at) < length || memcmp(text + at, number, (size_t)length) != 0)
            break;
        at = (size_t)(end - text) + 1;
        found++;
    }
    *epochs = found;
    return (cln__bytes){begin > 0 ? text + begin : "", at - begin};
}

/* Leaves the header and the lines of the first `epochs` epochs. */
static cln_status cut_metrics(cln_context *ctx, const char *path, const char *rate, int epochs) {
    uint8_t *text = NULL;
    size_t size = 0;
    int found = epochs;
    if (epochs > 0 && (access(path, F_OK) == 0 || errno != ENOENT))
        CLN_TRY(cln__file_read(ctx, path, MAX_METRICS_BYTES, &text, &size));
    cln__bytes lines = valid_lines((const char *)text, size, rate, &found);
    if (found < epochs)
        cln__warn(ctx, "'%s' does not have all of the first %d epochs; what was lost stays lost", path, epochs);
    const cln__bytes parts[] = {
        {"epoch,", strlen("epoch,")}, {rate, strlen(rate)}, {header_end, strlen(header_end)}, lines};
    cln_status status = cln__file_write_atomic(ctx, path, parts, 4);
    free(text);
    return status;
}

/* --- the folder --- */

static cln_status name_all(cln_context *ctx, const char *path, cln__folder *out) {
    out->path = cln__format("%s", path);
    out->best = cln__format("%s/best.safetensors", path);
    out->last = cln__format("%s/last.safetensors", path);
    out->metrics = cln__format("%s/metrics.csv", path);
    out->resume = cln__format("%s/resume.safetensors", path);
    return out->path && out->best && out->last && out->metrics && out->resume ? CLN_OK
                                                                              : cln__fail_memory(ctx, "file names");
}

/* Of runs that begin or go on there at once, one does; the claim ends with the process. A file system that has no
 * locks, or a folder that may not be read, is used without. */
static cln_status claim(cln_context *ctx, cln__folder *folder) {
    folder->claim = opendir(folder->path);
    if (!folder->claim || flock(dirfd(folder->claim), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return CLN_OK;
    return cln__fail(ctx, CLN_INVALID_ARGUMENT,
                     "another run is being trained in '%s': wait for its end, or choose another --out", folder->path);
}

cln_status cln__folder_open(cln_context *ctx, const char *path, cln__folder *out) {
    *out = (cln__folder){.csv = NULL};
    CLN_TRY(name_all(ctx, path, out));
    CLN_TRY(cln_folder_make(ctx, path));
    CLN_TRY(claim(ctx, out));
    remove_all(path, is_half_written);
    return access(path, W_OK | X_OK) == 0 ? CLN_OK : cln__fail_errno(ctx, "cannot write into the folder", path);
}

/* The first in order of the alphabet of a run's files there, "" if there is none, and whether it can be gone on with;
 * false if the folder cannot be read to its end. */
static bool find_of_run(DIR *folder, char first[256], bool *goes_on) {
    first[0] = '\0';
    *goes_on = false;
    struct dirent *entry;
    for (errno = 0; (entry = readdir(folder)); errno = 0) {
        if (is_of_run(entry->d_name) && (first[0] == '\0' || strcmp(entry->d_name, first) < 0))
            snprintf(first, 256, "%.255s", entry->d_name);
        *goes_on = *goes_on || strcmp(entry->d_name, "resume.safetensors") == 0;
    }
    return errno == 0;
}

cln_status cln__folder_check_new(cln_context *ctx, const char *path) {
    DIR *folder = opendir(path);
    if (!folder && (errno == ENOENT || errno == ENOTDIR)) /* the latter is told where the folder is made */
        return CLN_OK;
    char name[256];
    bool goes_on;
    if (!folder || !find_of_run(folder, name, &goes_on)) {
        cln_status status = cln__fail_errno(ctx, "cannot read the folder", path);
        if (folder)
            closedir(folder);
        return status;
    }
    closedir(folder);
    if (name[0] == '\0')
        return CLN_OK;
    return cln__fail(ctx, CLN_INVALID_ARGUMENT, "'%s' already holds %s: %schoose another --out, or remove that folder",
                     path, name, goes_on ? "--resume last goes on with the run there; " : "");
}

cln_status cln__folder_log_open(cln_context *ctx, cln__folder *folder, const char *rate, int epochs) {
    CLN_TRY(cut_metrics(ctx, folder->metrics, rate, epochs));
    folder->csv = fopen(folder->metrics, "a");
    return folder->csv ? CLN_OK : cln__fail_errno(ctx, "cannot write", folder->metrics);
}

void cln__folder_close(cln__folder *folder) {
    if (folder->csv)
        fclose(folder->csv);
    if (folder->claim)
        closedir(folder->claim);
    free(folder->path);
    free(folder->best);
    free(folder->last);
    free(folder->metrics);
    free(folder->resume);
    *folder = (cln__folder){.csv = NULL};
}

static void put_line(FILE *csv, const cln_fit_event *e) {
    locale_t before = cln__point_begin();
    fprintf(csv, "%d,%g,%.6f,%.6f,", e->epoch, (double)e->learning_rate, e->train_loss, e->train_accuracy);
    if (e->validation.count > 0)
        fprintf(csv, "%.6f,%.6f", e->validation.loss, e->validation.accuracy);
    else
        fprintf(csv, ",");
    fprintf(csv, ",%.1f\n", e->images_per_s);
    cln__point_end(before);
}

cln_status cln__folder_log(cln_context *ctx, cln__folder *folder, const cln_fit_event *e) {
    put_line(folder->csv, e);
    /* A pipe or a device in its place cannot be synced and says so by EINVAL: nothing to be done. */
    if (fflush(folder->csv) != 0 || (fsync(fileno(folder->csv)) != 0 && errno != EINVAL))
        return cln__fail_errno(ctx, "cannot write", folder->metrics);
    return CLN_OK;
}

cln_status cln__folder_events(cln_context *ctx, const cln__folder *folder, char latest[256]) {
    DIR *open = opendir(folder->path);
    latest[0] = '\0';
    if (!open)
        return cln__fail_errno(ctx, "cannot read the folder", folder->path);
    struct dirent *entry;
    for (errno = 0; (entry = readdir(open)); errno = 0)
        if (cln_tensorboard_is_name(entry->d_name) && strcmp(entry->d_name, latest) > 0)
            snprintf(latest, 256, "%.255s", entry->d_name);
    cln_status status = errno == 0 ? CLN_OK : cln__fail_errno(ctx, "cannot read the folder", folder->path);
    closedir(open);
    return status;
}

char *cln__folder_epoch(const cln__folder *folder, int epoch) {
    return cln__format("%s/epoch=%02d.safetensors", folder->path, epoch);
}

cln_status cln__folder_drop(cln_context *ctx, const cln__folder *folder, int epoch) {
    char *path = cln__folder_epoch(folder, epoch);
    if (!path)
        return cln__fail_memory(ctx, "a file name");
    cln_status status = unlink(path) == 0 || errno == ENOENT ? CLN_OK : cln__fail_errno(ctx, "cannot remove", path);
    free(path);
    return status;
}
