/* stb_image, compiled here and nowhere else (with its warnings off, see CMakeLists.txt). */
#include "image.h"

#include <stdlib.h>

/* A damaged file may ask for any amount of memory. Of the thread, as stb_image passes nothing on to its allocator. */
static _Thread_local size_t most_bytes;

void cln__stb_limit(size_t bytes) {
    most_bytes = bytes;
}

/* Zeroed, because version 2.27 reads tables that a damaged file does not define, and pixels that it does not have. */
static void *allocate(size_t size) {
    return size <= most_bytes ? calloc(size ? size : 1, 1) : NULL;
}

static void *reallocate(void *old, size_t size) {
    return size <= most_bytes ? realloc(old, size ? size : 1) : NULL;
}

#define STBI_MALLOC(size) allocate(size)
#define STBI_REALLOC(old, size) reallocate(old, size)
#define STBI_FREE(old) free(old)
#define STBI_ASSERT(condition) ((void)0) /* the library never aborts */
#define STBI_NO_STDIO
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
