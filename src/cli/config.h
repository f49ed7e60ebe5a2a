/* Configuration files: the options of a command in YAML, read and printed by its tables. */
#ifndef CLN_SRC_CLI_CONFIG_H
#define CLN_SRC_CLI_CONFIG_H

#include "options.h"

#include <stdio.h>

/* Rows of an option table, for a cli_config that is `member` of `type`. */
#define CLI_CONFIG_ROWS(type, member)                                                                                  \
    {"config",                                                                                                         \
     CLI_CONFIG,                                                                                                       \
     offsetof(type, member),                                                                                           \
     "FILE",                                                                                                           \
     "a YAML file of options, as --print-config writes it; what the command line says wins",                           \
     0,                                                                                                                \
     0,                                                                                                                \
     NULL},                                                                                                            \
    {                                                                                                                  \
        "print-config", CLI_PRINT_CONFIG, offsetof(type, member.print), NULL,                                          \
            "print all options with their values as such a file, and end", 0, 0, NULL                                  \
    }

/* Sets the options that the file config->path names, except those that are `given` (by offset) already; every value is
 * checked. The exit status; unless it is CLN_OK, `message` says why, with file and line. */
int cli_config_read(const cli_command *command, cli_config *config, const bool given[CLI_MAX_ARGUMENTS],
                    void *arguments, char message[CLI_MESSAGE]);
/* Writes every option that has a value, so that reading it sets the same values. False for lack of memory. */
bool cli_config_print(const cli_command *command, const void *arguments, FILE *to);
void cli_config_free(cli_config *config);

#endif
