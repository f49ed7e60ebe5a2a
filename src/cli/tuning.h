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

#define TUNING_FILE_CLI(o)                                                                                             \
    {                                                                                                                  \
        "tuning", CLI_TEXT, &(o)->path, "FILE",                                                                        \
            "the database of the tuner's results (default $XDG_CACHE_HOME/clnet/tuning.sqlite)", 0, 0, NULL            \
    }
#define TUNING_CLI(o)                                                                                                  \
    TUNING_FILE_CLI(o), {                                                                                              \
        "no-tuning", CLI_FLAG, &(o)->none, NULL, "use no results of the tuner (clbench tune)", 0, 0, NULL              \
    }

/* The command by which a program starts itself as the tuner's worker: fills in `command`, whose texts live as long as
 * argv, the arguments of one of its commands. */
enum { TUNING_COMMAND = 3 };
void tuning_command(char **argv, const char *command[TUNING_COMMAND]);
/* That command, to be listed with no help. */
#define TUNING_WORKER "tune-worker"
int tuning_worker(int argc, char **argv);

/* cln_tune_options.on_event: a line for each computation. `user` is unused. */
void tuning_show(void *user, const cln_tune_event *event);
void tuning_show_result(const cln_tune_result *result);

#endif
