/* The program cache's folder: one file an entry. Files only; what is kept in them is program.c's business.
 *
 * An entry is a header, the whole key, and the payload. The file's name is a 128-bit hash of the key, two FNV-1a64 of
 * different start: simple, and strong enough, because the key in the entry is compared byte by byte. Two keys of one
 * name would cost a compilation each time, never give a wrong program. Numbers are in the machine's own byte order, as
 * the payload is for this machine alone. Entries are not aged; the folder may be removed at any time. */
#include "cache.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sha2.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRY_VERSION = 2 };
static const uint64_t MAX_ENTRY_BYTES = (uint64_t)256 << 20;

typedef struct entry_header {
    char magic[8];
    uint64_t version, key_bytes, payload_bytes;
    unsigned char digest[SHA256_DIGEST_LENGTH]; /* of the members above, the key and the payload */
} entry_header;

static const char MAGIC[8] = {'c', 'l', 'n', 'e', 't', 'P', 'R', 'G'};

cln_status cln__cache_default_folder(cln_context *ctx, const char *xdg, const char *home, char **out) {
    *out = NULL;
    if (xdg && xdg[0] == '/')
        *out = cln__format("%s/clnet", xdg);
    else if (home && home[0] == '/')
        *out = cln__format("%s/.cache/clnet", home);
    else
        return CLN_OK;
    return *out ? CLN_OK : cln__fail_memory(ctx, "the path of the program cache");
}

bool cln__cache_make_folders(const char *folder) {
    char *path = cln__format("%s", folder);
    if (!path)
        return false;
    bool made = true;
    for (char *end = path + 1; made; end++) {
        if (*end != '/' && *end != '\0')
            continue;
        bool last = *end == '\0';
        *end = '\0';
        made = mkdir(path, 0700) == 0 || errno == EEXIST;
        /* A parent that exists may answer with another error than EEXIST, on a read-only disk for example. */
        struct stat status;
        made = made || (stat(path, &status) == 0 && S_ISDIR(status.st_mode));
        if (last)
            break;
        *end = '/';
    }
    int reason = errno;
    free(path);
    errno = reason;
    return made;
}

bool cln__cache_prepare(cln_context *ctx, const char *folder) {
    struct stat status;
    if (folder[0] == '\0' || !cln__cache_make_folders(folder) || stat(folder, &status) != 0) {
        cln__warn(ctx, "compiled programs are not kept: cannot make the folder '%s': %s", folder, strerror(errno));
        return false;
    }
    if (!S_ISDIR(status.st_mode)) {
        cln__warn(ctx, "compiled programs are not kept: '%s' is not a folder", folder);
        return false;
    }
    if (status.st_uid != geteuid() || (status.st_mode & (S_IWGRP | S_IWOTH))) {
        cln__warn(ctx, "compiled programs are not kept: other users can write to '%s' (chmod 700 it, if it is yours)",
                  folder);
        return false;
    }
    return true;
}

static uint64_t fnv1a64(uint64_t hash, const char *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* Malloc'ed. */
static char *entry_path(const char *folder, const char *key, size_t key_size) {
    uint64_t a = fnv1a64(UINT64_C(0xcbf29ce484222325), key, key_size); /* FNV's own start */
    uint64_t b = fnv1a64(UINT64_C(0x9e3779b97f4a7c15), key, key_size); /* the golden ratio */
    return cln__format("%s/%016" PRIx64 "%016" PRIx64 ".bin", folder, a, b);
}

static void digest_entry(const entry_header *header, const void *key, const void *payload,
                         unsigned char out[SHA256_DIGEST_LENGTH]) {
    SHA2_CTX sha;
    SHA256Init(&sha);
    SHA256Update(&sha, (const unsigned char *)header, offsetof(entry_header, digest));
    SHA256Update(&sha, key, (size_t)header->key_bytes);
    SHA256Update(&sha, payload, (size_t)header->payload_bytes);
    SHA256Final(out, &sha);
}

/* All of the file in malloc'ed memory; NULL, with what is wrong about it, if it is no regular file that nobody but the
 * user can write to. */
static unsigned char *read_whole(int file, size_t *size, const char **fault) {
    struct stat status;
    *fault = "not a readable file";
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode))
        return NULL;
    if ((uint64_t)status.st_size > MAX_ENTRY_BYTES) {
        *fault = "larger than any entry";
        return NULL;
    }
    if (status.st_uid != geteuid() || (status.st_mode & (S_IWGRP | S_IWOTH))) {
        *fault = "a file that other users can write to";
        return NULL;
    }
    *fault = "too large for the memory there is";
    unsigned char *bytes = malloc((size_t)status.st_size + 1); /* never of size 0 */
    size_t done = 0;
    while (bytes && done < (size_t)status.st_size) {
        ssize_t got = read(file, bytes + done, (size_t)status.st_size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    *size = done;
    return bytes;
}

/* NULL if `bytes` is the whole entry of `key`, else what it is instead. */
static const char *entry_fault(const unsigned char *bytes, size_t size, const char *key, size_t key_size) {
    entry_header header;
    unsigned char digest[sizeof header.digest];
    if (size < sizeof header)
        return "truncated";
    memcpy(&header, bytes, sizeof header);
    if (memcmp(header.magic, MAGIC, sizeof MAGIC) != 0 || header.version != ENTRY_VERSION)
        return "no entry of this version of clnet";
    if (header.key_bytes > MAX_ENTRY_BYTES || header.payload_bytes > MAX_ENTRY_BYTES)
        return "corrupt";
    uint64_t expected = sizeof header + header.key_bytes + header.payload_bytes;
    if (size != expected)
        return size < expected ? "truncated" : "longer than it says";
    const unsigned char *kept_key = bytes + sizeof header, *payload = kept_key + header.key_bytes;
    digest_entry(&header, kept_key, payload, digest);
    if (memcmp(digest, header.digest, sizeof digest) != 0)
        return "corrupt";
    if (header.key_bytes != key_size || memcmp(kept_key, key, key_size) != 0)
        return "the entry of another program";
    return NULL;
}

bool cln__cache_load(cln_context *ctx, const char *folder, const char *what, const char *key, size_t key_size,
                     unsigned char **data, size_t *size) {
    char *path = entry_path(folder, key, key_size);
    int file = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1; /* O_NONBLOCK: never wait for a pipe */
    if (file < 0) {
        free(path);
        return false;
    }
    size_t read_size = 0;
    const char *fault;
    unsigned char *bytes = read_whole(file, &read_size, &fault);
    close(file);
    if (bytes)
        fault = entry_fault(bytes, read_size, key, key_size);
    if (fault) {
        cln__warn(ctx, "the cache entry of %s is %s, it is compiled again: %s", what, fault, path);
        free(bytes);
    } else {
        size_t start = sizeof(entry_header) + key_size;
        *size = read_size - start;
        memmove(bytes, bytes + start, *size);
        *data = bytes;
    }
    free(path);
    return !fault;
}

static bool write_whole(int file, const void *bytes, size_t size) {
    const char *next = bytes;
    while (size > 0) {
        ssize_t put = write(file, next, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        next += put;
        size -= (size_t)put;
    }
    return true;
}

/* 0, or errno's value. */
static int write_entry(int file, const char *key, size_t key_size, const unsigned char *data, size_t size) {
    entry_header header = {.version = ENTRY_VERSION, .key_bytes = key_size, .payload_bytes = size};
    memcpy(header.magic, MAGIC, sizeof MAGIC);
    digest_entry(&header, key, data, header.digest);
    bool written = write_whole(file, &header, sizeof header) && write_whole(file, key, key_size) &&
                   write_whole(file, data, size) && fsync(file) == 0;
    int reason = written ? 0 : errno;
    if (close(file) != 0 && reason == 0)
        reason = errno;
    return reason;
}

bool cln__cache_store(const char *folder, const char *key, size_t key_size, const unsigned char *data, size_t size) {
    if (key_size > MAX_ENTRY_BYTES || size > MAX_ENTRY_BYTES - key_size - sizeof(entry_header)) {
        errno = EFBIG;
        return false;
    }
    char *path = entry_path(folder, key, key_size);
    char *aside = path ? cln__format("%s.XXXXXX", path) : NULL;
    int file = aside ? mkstemp(aside) : -1; /* mode 0600, and a name of its own for each writer */
    int reason = file < 0 ? errno : write_entry(file, key, key_size, data, size);
    if (file >= 0 && reason == 0 && rename(aside, path) != 0)
        reason = errno;
    if (file >= 0 && reason != 0)
        unlink(aside);
    free(aside);
    free(path);
    errno = reason;
    return file >= 0 && reason == 0;
}
