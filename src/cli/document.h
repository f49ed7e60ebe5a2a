/* A YAML file as a tree, read with suspicion: no more than a configuration needs of the language. */
#ifndef CLN_SRC_CLI_DOCUMENT_H
#define CLN_SRC_CLI_DOCUMENT_H

#include "options.h"

#include <yaml.h>

/* Reads the one document of `path`: UTF-8, at most 1 MiB, 4096 values nested at most 16 deep, without anchors, aliases
 * and tags. CLN_OK: `out` is the caller's to delete by yaml_document_delete. Otherwise the exit status, and `message`
 * says why. */
int document_read(const char *path, yaml_document_t *out, char message[CLI_MESSAGE]);

/* Writes "<path>:<line>: ..." into `message`, control characters replaced; returns CLN_INVALID_FILE. */
int document_refuse(const char *path, size_t line, char message[CLI_MESSAGE], const char *format, ...);

/* A scalar's text; NULL for a list or a mapping. */
const char *document_text(const yaml_node_t *node);
/* A scalar without quotes. */
bool document_is_plain(const yaml_node_t *node);
/* null, ~ or nothing. */
bool document_is_null(const yaml_node_t *node);
/* "a list", "a mapping", "a quoted text", "a text". */
const char *document_kind(const yaml_node_t *node);
size_t document_line(const yaml_node_t *node);

#endif
