/* Whole files in and out. POSIX calls for all of it, so that every failure has an errno to tell of. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { CHUNK_BYTES = 1 << 20, MAX_WRITE_BYTES = 1 << 30, MAX_ASIDE_NAMES = 100 };

cln_status cln__fail_errno(cln_context *ctx, const char *attempt, const char *path) {
    char text[128];
    int code = errno;
    if (strerror_r(code, text, sizeof text) != 0)
        snprintf(text, sizeof text, "error %d", code);
    return cln__fail(ctx, CLN_IO, "%s '%s': %s", attempt, path, text);
}

static cln_status fail_limit(cln_context *ctx, const char *path, size_t limit) {
    return cln__fail(ctx, CLN_INVALID_FILE, "'%s' holds more than the %zu bytes that are accepted here", path, limit);
}

static cln_status read_plain(cln_context *ctx, const char *path, int fd, size_t size, uint8_t **out) {
    uint8_t *data = malloc(size ? size : 1);
    if (!data)
        return cln__fail_memory(ctx, path);
    for (size_t done = 0; done < size;) {
        size_t left = size - done;
        ssize_t got = read(fd, data + done, left < MAX_WRITE_BYTES ? left : MAX_WRITE_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            cln_status status =
                got < 0 ? cln__fail_errno(ctx, "cannot read", path)
                        : cln__fail(ctx, CLN_IO, "'%s' became shorter while it was read: byte %zu of %zu is missing",
                                    path, done, size);
            free(data);
            return status;
        }
        done += (size_t)got;
    }
    *out = data;
    return CLN_OK;
}

/* Doubles the buffer, up to one byte over the limit: that byte tells a file that is too long. */
static bool grow(uint8_t **data, size_t *room, size_t limit) {
    size_t most = limit < SIZE_MAX ? limit + 1 : limit;
    size_t larger = *room == 0 ? CHUNK_BYTES : *room <= most / 2 ? *room * 2 : most;
    larger = larger < most ? larger : most;
    uint8_t *moved = realloc(*data, larger);
    if (!moved)
        return false;
    *data = moved;
    *room = larger;
    return true;
}

static cln_status fail_gz(cln_context *ctx, const char *path, gzFile gz) {
    int code;
    const char *text = gzerror(gz, &code);
    if (code == Z_ERRNO)
        return cln__fail_errno(ctx, "cannot read", path);
    if (code == Z_MEM_ERROR)
        return cln__fail_memory(ctx, path);
    return cln__fail(ctx, CLN_INVALID_FILE, "'%s' is damaged or truncated: its gzip data cannot be decompressed (%s)",
                     path, text);
}

static cln_status inflate_all(cln_context *ctx, const char *path, gzFile gz, size_t limit, uint8_t **out,
                              size_t *size) {
    size_t room = 0, done = 0;
    for (;;) {
        if (done == room && !grow(out, &room, limit))
            return cln__fail_memory(ctx, path);
        size_t left = room - done;
        int got = gzread(gz, *out + done, left < CHUNK_BYTES ? (unsigned)left : CHUNK_BYTES);
        int code = Z_OK;
        gzerror(gz, &code);
        /* A truncated stream reads as its end (0 bytes) with Z_BUF_ERROR set. */
        if (got < 0 || code < 0)
            return fail_gz(ctx, path, gz);
        if (got == 0)
            break;
        done += (size_t)got;
        if (done > limit)
            return fail_limit(ctx, path, limit);
    }
    *size = done;
    return CLN_OK;
}

/* Takes `fd` over. */
static cln_status read_gz(cln_context *ctx, const char *path, int fd, size_t limit, uint8_t **out, size_t *size) {
    uint8_t magic[2] = {0, 0};
    ssize_t got = pread(fd, magic, 2, 0);
    if (got < 0) {
        cln_status status = cln__fail_errno(ctx, "cannot read", path);
        close(fd);
        return status;
    }
    if (got != 2 || magic[0] != 0x1f || magic[1] != 0x8b) {
        close(fd);
        if (got < 2)
            return cln__fail(ctx, CLN_INVALID_FILE, "'%s' is not a gzip file: it is %s", path,
                             got == 0 ? "empty" : "too short");
        return cln__fail(ctx, CLN_INVALID_FILE, "'%s' is not a gzip file: it starts with 0x%02x%02x, not 0x1f8b", path,
                         magic[0], magic[1]);
    }
    gzFile gz = gzdopen(fd, "rb");
    if (!gz) {
        close(fd);
        return cln__fail_memory(ctx, path);
    }
    cln_status status = inflate_all(ctx, path, gz, limit, out, size);
    gzclose(gz);
    if (status != CLN_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

static bool ends_in_gz(const char *path) {
    size_t length = strlen(path);
    return length >= 3 && strcmp(path + length - 3, ".gz") == 0;
}

cln_status cln__file_read(cln_context *ctx, const char *path, size_t limit, uint8_t **data, size_t *size) {
    *data = NULL;
    *size = 0;
    /* Not blocking: opening a pipe that nobody writes to would wait for ever. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return cln__fail_errno(ctx, "cannot open", path);
    struct stat info;
    cln_status status = CLN_OK;
    if (fstat(fd, &info) != 0)
        status = cln__fail_errno(ctx, "cannot examine", path);
    else if (!S_ISREG(info.st_mode))
        status = cln__fail(ctx, CLN_IO, "'%s' is %s, not a regular file", path,
                           S_ISDIR(info.st_mode) ? "a folder" : "a device, pipe or socket");
    if (status == CLN_OK && ends_in_gz(path))
        return read_gz(ctx, path, fd, limit, data, size);
    if (status == CLN_OK && (uintmax_t)info.st_size > limit)
        status = fail_limit(ctx, path, limit);
    if (status == CLN_OK)
        status = read_plain(ctx, path, fd, (size_t)info.st_size, data);
    if (status == CLN_OK)
        *size = (size_t)info.st_size;
    close(fd);
    return status;
}

/* Creates a file beside `path` under a name that is not taken; *name is malloc'ed. */
static cln_status open_aside(cln_context *ctx, const char *path, char **name, int *fd) {
    for (int i = 0; i < MAX_ASIDE_NAMES; i++) {
        *name = cln__format("%s.tmp-%ld-%d", path, (long)getpid(), i);
        if (!*name)
            return cln__fail_memory(ctx, "a file name");
        *fd = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (*fd >= 0)
            return CLN_OK;
        if (errno != EEXIST)
            break;
        free(*name);
        *name = NULL;
    }
    cln_status status = cln__fail_errno(ctx, "cannot create", *name ? *name : path);
    free(*name);
    *name = NULL;
    return status;
}

bool cln__file_put(int fd, cln__bytes part) {
    const char *at = part.data;
    for (size_t left = part.size; left > 0;) {
        ssize_t wrote = write(fd, at, left < MAX_WRITE_BYTES ? left : MAX_WRITE_BYTES);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return false;
        at += wrote;
        left -= (size_t)wrote;
    }
    return true;
}

/* Takes `fd` over. */
static cln_status write_parts(cln_context *ctx, const char *path, int fd, const cln__bytes *parts, size_t count) {
    cln_status status = CLN_OK;
    for (size_t i = 0; i < count && status == CLN_OK; i++)
        if (!cln__file_put(fd, parts[i]))
            status = cln__fail_errno(ctx, "cannot write", path);
    if (status == CLN_OK && fsync(fd) != 0)
        status = cln__fail_errno(ctx, "cannot sync", path);
    /* close can report a write that failed late, over a network for one. */
    if (close(fd) != 0 && status == CLN_OK)
        status = cln__fail_errno(ctx, "cannot close", path);
    return status;
}

/* Makes the rename itself last. Some file systems cannot sync a folder and say so by EINVAL: nothing to be done. */
cln_status cln__file_sync_folder_of(cln_context *ctx, const char *path) {
    const char *slash = strrchr(path, '/');
    int length = slash ? (int)(slash - path) + 1 : 1;
    char *folder = cln__format("%.*s", length, slash ? path : ".");
    if (!folder)
        return cln__fail_memory(ctx, "a file name");
    cln_status status = CLN_OK;
    int fd = open(folder, O_RDONLY | O_CLOEXEC);
    /* A folder may allow writing and not reading (mode 0300). */
    if (fd < 0 && errno != EACCES)
        status = cln__fail_errno(ctx, "cannot open the folder", folder);
    else if (fd >= 0 && fsync(fd) != 0 && errno != EINVAL)
        status = cln__fail_errno(ctx, "cannot sync the folder", folder);
    if (fd >= 0)
        close(fd);
    free(folder);
    return status;
}

cln_status cln__file_write_atomic(cln_context *ctx, const char *path, const cln__bytes *parts, size_t count) {
    char *aside = NULL;
    int fd = -1;
    CLN_TRY(open_aside(ctx, path, &aside, &fd));
    cln_status status = write_parts(ctx, path, fd, parts, count);
    if (status == CLN_OK && rename(aside, path) != 0)
        status = cln__fail_errno(ctx, "cannot put the new file in place of", path);
    if (status != CLN_OK)
        unlink(aside);
    free(aside);
    CLN_TRY(status);
    return cln__file_sync_folder_of(ctx, path);
}

cln_status cln_file_write(cln_context *ctx, const char *path, const void *data, size_t size) {
    return cln__file_write_atomic(ctx, path, &(cln__bytes){data, size}, 1);
}
