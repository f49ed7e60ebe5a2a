/* Manual pages and shell completion from the option tables, for the build: <program> --generate man|bash|zsh|fish. */
#ifndef CLN_SRC_CLI_GENERATE_H
#define CLN_SRC_CLI_GENERATE_H

#include "options.h"

#include <stdio.h>

typedef struct cli_program {
    const char *name, *about;
    const cli_command *const *commands; /* ends with NULL */
} cli_program;

/* Writes to standard output; the exit status. */
int cli_generate(const cli_program *program, const char *kind);

void generate_man(const cli_program *program);
void generate_bash(const cli_program *program);
void generate_zsh(const cli_program *program);
void generate_fish(const cli_program *program);

/* --- what the shells share --- */

/* What can be completed after an option. */
typedef enum generate_values {
    GENERATE_NONE, /* it is a flag */
    GENERATE_ANY,  /* nobody knows */
    GENERATE_WORDS,
    GENERATE_FILES,
    GENERATE_FOLDERS,
} generate_values;
generate_values generate_values_of(const cli_option *o);
/* Prints those words, with spaces between them. */
void generate_words(const cli_option *o);
/* The beginning of a help text, what fits into a menu: its length. */
int generate_short(const char *help);
/* Prints `length` characters of `text`, with `escape` before each of `special`. */
void generate_escaped(const char *text, int length, const char *special, const char *escape);

#endif
