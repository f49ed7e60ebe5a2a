/* Python's pickles, read as data. A pickle is a program for a small stack machine that may call anything; here the
 * machine runs and nothing is called: a call is a value that tells what would have been called with what, and a global
 * is a value that tells its name. It is for the reader of the values to know those that it understands. */
#ifndef CLN_SRC_PICKLE_H
#define CLN_SRC_PICKLE_H

#include "arena.h"

typedef enum cln__pickled_kind {
    CLN__PICKLED_NONE,
    CLN__PICKLED_BOOL,
    CLN__PICKLED_INT,
    CLN__PICKLED_LONG, /* a whole number beyond 64 bits: `text` holds its bytes, little-endian */
    CLN__PICKLED_FLOAT,
    CLN__PICKLED_TEXT,
    CLN__PICKLED_BYTES,
    CLN__PICKLED_LIST, /* also a set */
    CLN__PICKLED_TUPLE,
    CLN__PICKLED_DICT,       /* also an OrderedDict, and any object that was given items */
    CLN__PICKLED_GLOBAL,     /* `module` and `name`, which are texts */
    CLN__PICKLED_CALL,       /* `function` would have been called with `arguments` */
    CLN__PICKLED_PERSISTENT, /* `id` stands for something outside of the pickle: for PyTorch, a storage */
    CLN__PICKLED_OPAQUE,     /* something else that is well-formed */
} cln__pickled_kind;

typedef struct cln__pickled cln__pickled;

typedef struct cln__pickled_item {
    const cln__pickled *key; /* of a dict, else NULL; also where a dict was made of what is no pair */
    const cln__pickled *value;
    struct cln__pickled_item *next;
} cln__pickled_item;

/* A value. A container may hold itself, and one value may be in many: whoever descends needs a bound. */
struct cln__pickled {
    cln__pickled_kind kind;
    union {
        int64_t integer; /* INT, BOOL */
        double number;
        struct {
            const char *text; /* not NUL-terminated; within the bytes that were read */
            size_t length;
        };
        struct {
            cln__pickled_item *first, *last;
            size_t count;
        };
        struct {
            const cln__pickled *module, *name;
        };
        struct {
            const cln__pickled *function, *arguments;
        };
        const cln__pickled *id;
    };
};

typedef struct cln__pickle {
    const cln__pickled *root;
    const cln__pickled_item *persistent; /* every persistent value of the pickle, in order of appearance */
} cln__pickle;

/* Reads one pickle (protocols 2 to 5; not the text instructions of 0 and 1) from bytes[*at...size-1] and moves *at
 * behind it. The values live in `arena` and point into `bytes`. Memory is bounded by the arena and a few times `size`;
 * there is no recursion. `path` is for messages. */
cln_status cln__pickle_read(cln_context *ctx, const char *path, cln__arena *arena, const uint8_t *bytes, size_t size,
                            size_t *at, cln__pickle *out);

/* All of these take NULL and any kind of value. */
bool cln__pickled_is(const cln__pickled *value, cln__pickled_kind kind);
bool cln__pickled_is_text(const cln__pickled *value, const char *text);
/* A text that is UTF-8 and holds no NUL. */
bool cln__pickled_is_string(const cln__pickled *value);
bool cln__pickled_is_global(const cln__pickled *value, const char *module, const char *name);
bool cln__pickled_to_int(const cln__pickled *value, int64_t *out);
/* The value of a dict's key, the last one if there are several; NULL if there is none. */
const cln__pickled *cln__pickled_get(const cln__pickled *dict, const char *key);
/* Copies up to `room` items of a list or tuple; returns how many it has, 0 for what is neither. */
size_t cln__pickled_items(const cln__pickled *list, const cln__pickled **items, size_t room);

#endif
