/* Between the files of src/ocl: compiled programs in a folder (cache.c knows files and no OpenCL), and in memory
 * (program.c). */
#ifndef CLN_SRC_OCL_CACHE_H
#define CLN_SRC_OCL_CACHE_H

#include "ocl.h"

/* A program cache for `device`, without a folder. Released with cln__program_cache_free. */
cln_status cln__program_cache_new(cln_device *device);
/* Saves what is still to be saved, releases every program. */
void cln__program_cache_free(cln_device *device);
/* False where the driver's own cache is measured to be the better one (the table in drivers.c). */
bool cln__program_cache_wanted(const cln_device *device);

/* "<xdg>/clnet", else "<home>/.cache/clnet"; what is NULL, empty or no absolute path does not count. *out is
 * malloc'ed, or NULL if neither counts. The caller reads the environment. */
cln_status cln__cache_default_folder(cln_context *ctx, const char *xdg, const char *home, char **out);

/* mkdir -p, each new folder for its owner alone, as the XDG specification asks. False with errno set. */
bool cln__cache_make_folders(const char *folder);

/* Makes `folder` and its parents with mode 0700. False with a warning if it cannot be used: binaries are trusted
 * code, so a folder that belongs to another user or that others can write to is refused. */
bool cln__cache_prepare(cln_context *ctx, const char *folder);

/* The entry of `key` (any bytes): true with a malloc'ed payload in *data. False if there is none; one that
 * is truncated, corrupt, foreign or open to other users gives a warning that calls it `what`. */
bool cln__cache_load(cln_context *ctx, const char *folder, const char *what, const char *key, size_t key_size,
                     unsigned char **data, size_t *size);

/* Writes an entry aside, syncs it, renames it into place. False, with errno set and nothing left behind, if it cannot
 * be written. */
bool cln__cache_store(const char *folder, const char *key, size_t key_size, const unsigned char *data, size_t size);

#endif
