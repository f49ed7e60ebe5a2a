/* What the programs share about the tuner: options, the worker command, progress. */
#ifndef CLN_SRC_CLI_TUNING_H
#define CLN_SRC_CLI_TUNING_H

#include "clnet/tune.h"
#include "options.h"

/* The tuner's results that a command uses. */
typedef struct tuning_options {
    const char *path; /* NULL: the default database */
    bool none;
} tuning_options;

/* Rows of an option table, for a tuning_options that is `member` of `type`. */
#define TUNING_FILE_CLI(type, member)                                                                                  \
    {                                                                                                                  \
        "tuning", CLI_TEXT, offsetof(type, member.path), "FILE",                                                       \
            "the database of the tuner's results (default $XDG_CACHE_HOME/clnet/tuning.sqlite)", 0, 0, NULL            \
    }
#define TUNING_CLI(type, member)                                                                                       \
    TUNING_FILE_CLI(type, member), {                                                                                   \
        "no-tuning", CLI_FLAG, offsetof(type, member.none), NULL, "use no results of the tuner (clbench tune)", 0, 0,  \
            NULL                                                                                                       \
    }

/* The command by which a program starts itself as the tuner's worker: fills in `command`, whose texts live as long as
 * argv, the arguments of one of its commands. */
enum { TUNING_COMMAND = 3 };
void tuning_command(char **argv, const char *command[TUNING_COMMAND]);
/* That command, the same in both programs. */
extern const cli_command tuning_worker_command;

/* cln_tune_options.on_event: a line for each computation. `user` is unused. */
void tuning_show(void *user, const cln_tune_event *event);
void tuning_show_result(const cln_tune_result *result);

#endif
