/* Command lines: one table of options for each command drives parsing, checking and the --help text. The values go into
 * the command's own struct of arguments, which holds the defaults before; rows name its members by offset, so that
 * tables are constant data. */
#ifndef CLN_SRC_OPTIONS_H
#define CLN_SRC_OPTIONS_H

#include "clnet/models.h"

#include <stddef.h>

typedef enum cli_kind {
    CLI_FLAG,         /* bool: --name, --name=true, --name=false or --no-name */
    CLI_TEXT,         /* const char *: borrows from argv */
    CLI_ONCE,         /* the same, but of this call rather than of the run: --print-config leaves it out */
    CLI_JSON,         /* const char *: a JSON object; a mapping in a configuration file */
    CLI_INT,          /* int64_t from min to max */
    CLI_FLAG_INT,     /* the same, or without a value 1: --name, --name N, --name=N, --no-name */
    CLI_REAL,         /* double from min to max */
    CLI_INTS,         /* cln_ints: whole numbers with commas between them, each from min to max */
    CLI_REALS,        /* cli_reals: numbers with commas between them, each from min to max */
    CLI_CHOICE,       /* int: index into choices */
    CLI_MODEL,        /* const cln_model *: by name */
    CLI_CONFIG,       /* cli_config: the configuration file */
    CLI_PRINT_CONFIG, /* bool: print the configuration and end */
} cli_kind;

enum { CLI_MAX_REALS = 4 };
typedef struct cli_reals {
    int count;
    double values[CLI_MAX_REALS];
} cli_reals;

/* "--name VALUE" or "--name=VALUE"; dashes and underscores are the same. */
typedef struct cli_option {
    const char *name; /* without dashes; NULL ends a table */
    cli_kind kind;
    size_t offset;     /* where in the arguments the value goes */
    const char *value; /* what stands for the value in --help: "N"; NULL for flags */
    const char *help;  /* NULL: an alias, not listed */
    double min, max;
    const char *const *choices; /* ends with NULL */
} cli_option;

/* What the rows CLI_CONFIG_ROWS (config.h) set. To be released by cli_config_free after cli_parse, whatever it says. */
typedef struct cli_config {
    const char *path; /* NULL: no file */
    bool print;
    struct cli_text *texts; /* read from the file; the arguments borrow them */
} cli_config;

/* The arguments of a command have at most this many bytes. */
enum { CLI_MAX_ARGUMENTS = 4096 };

/* Options under one heading of --help. */
typedef struct cli_group {
    const char *title;         /* NULL ends a list */
    const cli_option *options; /* ends with a row without a name */
} cli_group;

typedef struct cli_command {
    const char *program; /* "cltrain" */
    const char *name;    /* "fit" */
    const char *help;    /* its line in the list of commands; NULL: not listed */
    const char *summary; /* first lines of its --help */
    const char *operand; /* what stands for operands in --help: "FILE..."; NULL: none are allowed */
    const cli_group *groups;
    /* argv[0] is the command's name, argv[-1] the program's; the result is the exit status. */
    int (*run)(int argc, char **argv);
} cli_command;

/* The groups of a command with few options. */
#define CLI_ONE_GROUP(table) ((const cli_group[]){{"options", table}, {NULL, NULL}})

/* Reads argv[1...argc-1] into `arguments`, and where these name a configuration file, what it says besides. Operands
 * are moved to argv[1...*operands]. False: the command ends here, with *exit_status: --help was asked for and printed,
 * or one message was printed to standard error. */
bool cli_parse(const cli_command *command, void *arguments, int argc, char **argv, int *operands, int *exit_status);

/* Prints "<program>: <command>: <message> (see ...)" and returns CLN_INVALID_ARGUMENT. */
int cli_misuse(const cli_command *command, const char *format, ...);

/* Runs the command that argv[1] names, or prints --help or --version. Ends with the exit status. `commands` ends with
 * NULL. */
int cli_dispatch(const char *program, const char *about, const cli_command *const *commands, int argc, char **argv);

/* --- for what works with the tables --- */

/* The options of all groups one by one, in order: `previous` NULL gives the first, NULL is the end. */
const cli_option *cli_next(const cli_command *command, const cli_option *previous);
/* The option of that name, `length` characters of `text`; NULL: there is none. */
const cli_option *cli_find(const cli_command *command, const char *text, size_t length);
/* The nearest name of a listed option, or NULL. */
const char *cli_nearest(const cli_command *command, const char *text, size_t length);

/* Whether --no-<name> turns it off, and the option that it turns off, NULL: none. */
bool cli_can_negate(const cli_option *o);
const cli_option *cli_find_negated(const cli_command *command, const char *text, size_t length);

/* "a whole number from 1 to 64": what an option takes. */
enum { CLI_EXPECTED = 512 };
void cli_expected(const cli_option *o, char expected[CLI_EXPECTED]);
/* Reads a value of an option from `text` into `target`. False: `message` says what was expected and found. */
enum { CLI_MESSAGE = 1024 };
bool cli_read_value(const cli_option *o, const char *text, void *target, char message[CLI_MESSAGE]);

/* --- help.c --- */

void cli_print_help(const cli_command *command);
void cli_print_commands(const char *program, const char *about, const cli_command *const *commands);

#endif
