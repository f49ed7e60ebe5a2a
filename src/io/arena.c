/* An arena: blocks of memory, handed out from front to back. */
#include "arena.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 1 << 16 };

typedef struct cln__arena_block {
    struct cln__arena_block *before;
    size_t used, size;
    max_align_t data[];
} block;

static block *add_block(cln__arena *arena, size_t size) {
    size = size > BLOCK_BYTES ? size : BLOCK_BYTES;
    block *b = size <= SIZE_MAX - sizeof *b ? calloc(1, sizeof *b + size) : NULL;
    if (!b)
        return NULL;
    b->before = arena->last;
    b->size = size;
    return arena->last = b;
}

void *cln__arena_new(cln__arena *arena, size_t size) {
    const size_t unit = _Alignof(max_align_t);
    size_t rounded = size <= SIZE_MAX - unit ? (size + unit - 1) / unit * unit : SIZE_MAX;
    if (rounded > arena->limit_bytes - arena->used_bytes) {
        arena->full = true;
        return NULL;
    }
    block *b = arena->last;
    if (!b || rounded > b->size - b->used)
        b = add_block(arena, rounded);
    if (!b)
        return NULL;
    void *at = (char *)b->data + b->used;
    b->used += rounded;
    arena->used_bytes += rounded;
    return at;
}

char *cln__arena_text(cln__arena *arena, const char *text, size_t length) {
    char *copy = length < SIZE_MAX ? cln__arena_new(arena, length + 1) : NULL;
    if (copy)
        memcpy(copy, text, length);
    return copy;
}

void cln__arena_free(cln__arena *arena) {
    while (arena->last) {
        block *before = arena->last->before;
        free(arena->last);
        arena->last = before;
    }
    arena->used_bytes = 0;
}
