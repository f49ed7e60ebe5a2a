/* PyTorch checkpoints made by hand, well-formed and otherwise: pickles from a small assembly language, the legacy
 * stream, zip archives. */
#ifndef CLN_TESTS_TORCH_MAKER_H
#define CLN_TESTS_TORCH_MAKER_H

#include "clnet/weights_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bytes {
    uint8_t *at; /* malloc'ed */
    size_t size, room;
} bytes;
void bytes_add(bytes *b, const void *more, size_t size);
void bytes_add_number(bytes *b, uint64_t value, int width); /* little-endian */
void bytes_free(bytes *b);

/* Adds a pickle. Words of `program`, with spaces between them:
 *   'text          a text                         #12             a whole number
 *   %2.5           a floating-point number         \8f            a byte
 *   /module:name   a global
 *   $key:12:Float  a storage of 12 elements       ~key:12:Float@4:2,3:3,1  a tensor in it: offset, shape, strides
 *   and an instruction by its letter, with an operand of one byte if need be: "}", "(", "u", ".", "N", "q5", "h5". */
void pickle_add(bytes *b, const char *program);

/* Adds the stream of PyTorch before 1.6, up to the storages: magic number, protocol, system, `object` and `keys` (both
 * programs). */
void legacy_add(bytes *b, const char *object, const char *keys);

typedef struct member {
    const char *name;
    const void *data;
    size_t size;
    bool deflated;
    /* What the archive lies about: added to what is true. */
    int64_t size_error, stored_error, crc_error, offset_error;
    uint16_t flags, method_error;
} member;
void zip_add(bytes *b, const member *members, int count);

/* A tensor of the two first elements of storage "0". */
#define TENSOR "~0:12:Float@0:2:1"

enum { STORAGE_ELEMENTS = 12 };
extern const float storage_values[STORAGE_ELEMENTS]; /* 0, 1, 2 ... */
/* Whole files of `object`, with storage "0" of those floats. */
bytes legacy_file(const char *object);
bytes zip_file(const char *object);
extern bytes (*const containers[2])(const char *object); /* both */

/* The reader on a copy of its own; the file that `object` makes in a container; a failure, and in both containers. */
cln_status read_bytes(const bytes *b, cln_weights_file **out);
cln_weights_file *read_object(int container, const char *object);
void expect_bad_bytes(const bytes *b, cln_status expected, const char *message);
void expect_bad(const char *object, cln_status expected, const char *message);

#endif
