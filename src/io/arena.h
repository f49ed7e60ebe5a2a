/* Memory that is given back all at once and that has a bound: for trees whose size a file decides. */
#ifndef CLN_SRC_ARENA_H
#define CLN_SRC_ARENA_H

#include "../base/base.h"

typedef struct cln__arena {
    struct cln__arena_block *last;
    size_t limit_bytes; /* set by the owner; everything else starts as zero */
    size_t used_bytes;
    bool full; /* the limit, not the system, refused memory */
} cln__arena;

/* `size` zeroed bytes, aligned for any type, that live as long as the arena; NULL when there are none. */
void *cln__arena_new(cln__arena *arena, size_t size);
/* `length` bytes of `text` and a NUL; NULL when there is no memory. */
char *cln__arena_text(cln__arena *arena, const char *text, size_t length);
void cln__arena_free(cln__arena *arena);

#endif
