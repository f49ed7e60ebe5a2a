/* Walking folders and reading lines: see paths.h. */
#include "paths.h"
#include "commands.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MOST_DEPTH = 32 };

static cln_status fail(const char *path) {
    fprintf(stderr, "%s: cannot read '%s': %s\n", CLI_PROGRAM, path, strerror(errno));
    return CLN_IO;
}

static cln_status no_memory(void) {
    fprintf(stderr, "%s: %s\n", CLI_PROGRAM, cln_status_text(CLN_OUT_OF_MEMORY));
    return CLN_OUT_OF_MEMORY;
}

/* Takes `text` over. */
static cln_status append(paths *list, char *text) {
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 64;
        char **moved = realloc(list->at, room * sizeof *moved);
        if (!moved) {
            free(text);
            return no_memory();
        }
        list->at = moved;
        list->room = room;
    }
    list->at[list->count++] = text;
    return CLN_OK;
}

static int not_hidden(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

/* By bytes: alphasort would sort by the user's language. */
static int compare(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

char *path_join(const char *folder, const char *name) {
    size_t length = strlen(folder), size = length + strlen(name) + 2;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s%s%s", folder, length > 0 && folder[length - 1] == '/' ? "" : "/", name);
    return path;
}

static cln_status add_folder(paths *list, const char *folder, int depth);

/* An entry of a folder; takes `path` over. */
static cln_status add_entry(paths *list, char *path, int depth) {
    struct stat info;
    bool known = lstat(path, &info) == 0;
    bool is_folder = known && S_ISDIR(info.st_mode);
    if (known && S_ISLNK(info.st_mode) && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) { /* could go in a circle */
        free(path);
        return CLN_OK;
    }
    if (!is_folder)
        return append(list, path);
    cln_status status = add_folder(list, path, depth + 1);
    free(path);
    return status;
}

static cln_status add_folder(paths *list, const char *folder, int depth) {
    struct dirent **entries = NULL;
    errno = depth > MOST_DEPTH ? ELOOP : 0;
    int count = depth > MOST_DEPTH ? -1 : scandir(folder, &entries, not_hidden, compare);
    if (count < 0)
        return fail(folder);
    cln_status status = CLN_OK;
    for (int i = 0; i < count; i++) {
        char *path = status == CLN_OK ? path_join(folder, entries[i]->d_name) : NULL;
        if (status == CLN_OK)
            status = path ? add_entry(list, path, depth) : no_memory();
        free(entries[i]);
    }
    free(entries);
    return status;
}

cln_status paths_add(paths *list, const char *path) {
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return add_folder(list, path, 0);
    char *copy = strdup(path);
    return copy ? append(list, copy) : no_memory();
}

cln_status paths_add_lines(paths *list, const char *file) {
    FILE *in = fopen(file, "r");
    if (!in)
        return fail(file);
    cln_status status = CLN_OK;
    char *line = NULL;
    size_t room = 0;
    for (ssize_t length; status == CLN_OK && (length = getline(&line, &room, in)) >= 0;) {
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
            line[--length] = '\0';
        char *copy = strdup(line);
        status = copy ? append(list, copy) : no_memory();
    }
    if (status == CLN_OK && ferror(in))
        status = fail(file);
    free(line);
    fclose(in);
    return status;
}

void paths_free(paths *list) {
    for (size_t i = 0; i < list->count; i++)
        free(list->at[i]);
    free(list->at);
}
