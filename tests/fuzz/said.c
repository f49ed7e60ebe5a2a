/* Catching standard error: see said.h. With glibc, stderr is a variable. */
#include "said.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *before;
static char *text;
static size_t size;

void said_begin(void) {
    before = stderr;
    stderr = open_memstream(&text, &size);
    if (!stderr)
        exit(1);
}

void said_end(cln_status status) {
    fclose(stderr);
    stderr = before;
    fuzz_check((status == CLN_OK) == (size == 0), "a failure is told, and nothing else is");
    fuzz_check(size == 0 || (strncmp(text, "clbench: ", 9) == 0 && strcspn(text, "\n\033") == size - 1),
               "the message is one line of plain text");
    free(text);
    text = NULL;
}
