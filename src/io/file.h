/* Whole files: reading one into memory, writing one so that it is never seen half done. */
#ifndef CLN_SRC_FILE_H
#define CLN_SRC_FILE_H

#include "../base/base.h"

/* CLN_IO with the message "attempt 'path': the text of errno". */
cln_status cln__fail_errno(cln_context *ctx, const char *attempt, const char *path);

/* Reads all of `path`, a regular file; a name that ends in ".gz" is decompressed. More than `limit` bytes (after
 * decompression) is a failure. *data is malloc'ed, never NULL, owned by the caller. CLN_IO for what the system
 * refuses, CLN_INVALID_FILE for what the content is to blame for. */
cln_status cln__file_read(cln_context *ctx, const char *path, size_t limit, uint8_t **data, size_t *size);

typedef struct cln__bytes {
    const void *data;
    size_t size;
} cln__bytes;

/* Writes the parts one after another to a new file beside `path`, syncs it, renames it to `path` and syncs the folder:
 * whatever happens, `path` is the old file or the whole new one. */
cln_status cln__file_write_atomic(cln_context *ctx, const char *path, const cln__bytes *parts, size_t count);

/* Writes all of it; false, with errno, if the system does not. */
bool cln__file_put(int fd, cln__bytes bytes);
/* Makes a new name in the folder of `path` last. */
cln_status cln__file_sync_folder_of(cln_context *ctx, const char *path);

#endif
