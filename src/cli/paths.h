/* Paths: joined, and lists of files (or lines) as predict takes them. */
#ifndef CLN_SRC_CLI_PATHS_H
#define CLN_SRC_CLI_PATHS_H

#include "clnet/base.h"

/* "folder/name", malloc'ed; NULL for lack of memory. */
char *path_join(const char *folder, const char *name);

typedef struct paths {
    char **at; /* owned */
    size_t count, room;
} paths;

/* Adds `path`, or, if it is a folder, the files in it and in its folders, sorted by the bytes of their names; hidden
 * ones and links to folders are left out. CLN_IO, told on standard error, for what cannot be read. */
cln_status paths_add(paths *list, const char *path);
/* Adds the lines of a text file. */
cln_status paths_add_lines(paths *list, const char *file);
void paths_free(paths *list);

#endif
