/* Files for tests: a folder that goes away, files of given bytes, and the optional shared folder of reference data. */
#ifndef CLN_TESTS_FILES_H
#define CLN_TESTS_FILES_H

#include <stdbool.h>
#include <stddef.h>

/* A new folder under $TMPDIR or /tmp; freed by folder_remove, with all that is in it. */
char *folder_new(void);
void folder_remove(char *folder);
/* Removes all that is in it. */
void folder_empty(const char *folder);
/* "folder/name"; the caller frees it. */
char *path_of(const char *folder, const char *name);
/* Writes a file of `size` bytes; a name that ends in ".gz" is compressed. */
void file_write(const char *folder, const char *name, const void *bytes, size_t size);
void file_remove(const char *folder, const char *name);
void folder_make(const char *folder, const char *name);
/* How many entries the folder has. */
int folder_count(const char *folder);
/* Takes from this process the right to write into the folder, and gives it back; root, who may write anywhere, is
 * another user in between. Assert nothing there: Check writes every assertion to a file of its own. */
void folder_allow(const char *folder, bool writing);
/* From here on no file can be written beyond `bytes`, as if the disk were full; 0 lifts that. */
void file_limit(long bytes);

/* Of a file of /proc, the number behind `key`, as in "MemAvailable:"; 0: there is none. */
double proc_number(const char *path, const char *key);

/* The path of `name` in $CLNET_SHARED or ../shared, freed by the caller; NULL, after skip(what), if it is not there. */
char *shared_path(const char *name, const char *what);

#endif
