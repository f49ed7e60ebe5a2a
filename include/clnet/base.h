/* Status codes, the message context, shapes: what every other header of clnet rests on.
 *
 * Every function that can fail returns a cln_status; the sentence that explains the failure is kept in
 * the context that the failing object was made with (cln_context_error). The library never prints,
 * exits or aborts. */
#ifndef CLNET_BASE_H
#define CLNET_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Marks what the shared library exports. */
#if defined(CLN_BUILDING) && defined(__GNUC__)
#define CLN_API __attribute__((visibility("default")))
#else
#define CLN_API
#endif

/* name, number (also the exit status of cltrain and clbench), meaning */
#define CLN_STATUS_LIST(X)                                                                                             \
    X(OK, 0, "success")                                                                                                \
    X(FAILED, 1, "a check failed")                                                                                     \
    X(INVALID_ARGUMENT, 2, "an option, value or shape is invalid")                                                     \
    X(INVALID_FILE, 3, "a file's content is not what it should be")                                                    \
    X(IO, 4, "a file could not be read or written")                                                                    \
    X(NO_DEVICE, 5, "no such OpenCL device")                                                                           \
    X(OPENCL, 6, "an OpenCL call failed")                                                                              \
    X(OUT_OF_MEMORY, 7, "not enough memory on the host or the device")                                                 \
    X(DIVERGED, 8, "the loss or a weight became infinite or not a number")                                             \
    X(UNSUPPORTED, 9, "a valid request that this build cannot serve")                                                  \
    X(INTERNAL, 10, "a broken invariant: please report it")

/* How a call ended: CLN_OK, CLN_FAILED, ... with the numbers of CLN_STATUS_LIST. */
typedef enum cln_status {
#define CLN_STATUS_ENUM(name, number, text) CLN_##name = number,
    CLN_STATUS_LIST(CLN_STATUS_ENUM)
#undef CLN_STATUS_ENUM
} cln_status;

/* A one-line meaning of `status`; a static string, never NULL. */
CLN_API const char *cln_status_text(cln_status status);

/* The library's version, "major.minor.patch"; a static string. */
CLN_API const char *cln_version(void);

/* Where an object's messages go. One context may serve many objects and threads; it must outlive them. Of several
 * threads that fail, the last one's message stays: a thread that reads messages while others work needs a context of
 * its own. docs/reliability.md says which objects threads may share. */
typedef struct cln_context cln_context;

/* Makes a context; needs no OpenCL. The caller frees it. Fails only for lack of memory. */
CLN_API cln_status cln_context_new(cln_context **out);
/* Last, after every object that was made with it. NULL is allowed, as for every object that has a type of its own in
 * the library; what a caller holds as a struct, such as a cln_image, is freed and set to zero where it stands. */
CLN_API void cln_context_free(cln_context *ctx);

/* The message of the last failure, or "" if there was none. Valid until the next failure, in whichever thread. */
CLN_API const char *cln_context_error(const cln_context *ctx);

/* Copies the oldest warning not yet taken into `text` (cut to `size` bytes) and forgets it;
 * false if there is none. Warnings tell of things handled, such as a corrupt cache entry rebuilt. */
CLN_API bool cln_context_take_warning(cln_context *ctx, char *text, size_t size);

/* The name among `names` (count of them) nearest to `name` by edit distance, or NULL if none is near:
 * for "did you mean". */
CLN_API const char *cln_nearest_name(const char *name, const char *const *names, size_t count);

/* Whether `text` is UTF-8, as every name in the files that the library writes is. */
CLN_API bool cln_is_utf8(const char *text);
/* A copy in which U+FFFD stands for each byte that is part of no character of UTF-8, as in the name of a file, which
 * can be any bytes. The caller frees it; NULL for lack of memory. */
CLN_API char *cln_utf8_repair(const char *text);

/* Writes a whole file: aside, synced and then renamed, so that `path` is the old file or the new one, never a part. */
CLN_API cln_status cln_file_write(cln_context *ctx, const char *path, const void *data, size_t size);

/* The shape of a tensor; an axis that does not apply is 1. */
typedef struct cln_shape {
    int64_t n, c, h, w; /* batch, channels, height, width */
} cln_shape;

#ifdef __cplusplus
}
#endif
#endif
