/* Command lines: one table of options for each command drives parsing, checking and the --help text. */
#ifndef CLN_SRC_OPTIONS_H
#define CLN_SRC_OPTIONS_H

#include "clnet/models.h"

typedef enum cli_kind {
    CLI_FLAG,   /* bool: no value */
    CLI_TEXT,   /* const char *: borrows from argv */
    CLI_INT,    /* int64_t from min to max */
    CLI_REAL,   /* double from min to max */
    CLI_INTS,   /* cln_ints: whole numbers with commas between them, each from min to max */
    CLI_CHOICE, /* int: index into choices */
    CLI_MODEL,  /* const cln_model *: by name */
} cli_kind;

/* "--name VALUE" or "--name=VALUE"; dashes and underscores are the same. */
typedef struct cli_option {
    const char *name; /* without dashes; NULL ends a table */
    cli_kind kind;
    void *target;      /* where the value goes; holds the default before */
    const char *value; /* what stands for the value in --help: "N"; NULL for flags */
    const char *help;  /* NULL: an alias, not listed */
    double min, max;
    const char *const *choices; /* ends with NULL */
} cli_option;

/* Options of both fit and test. */
#define CLI_IMAGE_SIZE(target)                                                                                         \
    {                                                                                                                  \
        "image-size", CLI_INTS, target, "N|H,W",                                                                       \
            "size to which the images of an image folder are resized; default: their own, if all are equal (in a "     \
            "test: that "                                                                                              \
            "of the training)",                                                                                        \
            1, 4096, NULL                                                                                              \
    }
#define CLI_SPLIT_INDICES(target)                                                                                      \
    {                                                                                                                  \
        "split-indices", CLI_TEXT, target, "FILE",                                                                     \
            "a text file of training images, as numbers from 0 with white space between them, each at most once: the " \
            "last "                                                                                                    \
            "ones, as many as --val-split says, are held back for validation, those before train, others are left "    \
            "out. The "                                                                                                \
            "numbers count the images of the data set as they lie in its files, in a sample of CIFAR-10 too",          \
            0, 0, NULL                                                                                                 \
    }

typedef struct cli_command {
    const char *program; /* "cltrain" */
    const char *name;    /* "fit" */
    const char *summary; /* first lines of --help */
    const char *operand; /* what stands for operands in --help: "FILE..."; NULL: none are allowed */
    const cli_option *options;
} cli_command;

typedef enum cli_parsed { CLI_RUN, CLI_HELP, CLI_BAD } cli_parsed;

/* Reads argv[1...argc-1] (argv[0] is the command). Operands are moved to argv[1...*operands]. CLI_HELP: --help was
 * asked for and printed; CLI_BAD: one message was printed to standard error, the exit status is CLN_INVALID_ARGUMENT.
 */
cli_parsed cli_parse(const cli_command *command, int argc, char **argv, int *operands);

/* Prints "<program>: <command>: <message> (see ...)" and returns CLN_INVALID_ARGUMENT. */
int cli_misuse(const cli_command *command, const char *format, ...);

/* Runs the command that argv[1] names, or prints --help or --version. Ends with the exit status. */
typedef struct cli_entry {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help; /* NULL: not listed */
} cli_entry;
int cli_dispatch(const char *program, const char *about, const cli_entry *entries, int count, int argc, char **argv);

#endif
