/* Parsing of command lines by a table, and the choice of the command. */
#include "config.h"
#include "generate.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_NAMES = 256 };

int cli_misuse(const cli_command *command, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: %s: ", command->program, command->name);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, " (see %s %s --help)\n", command->program, command->name);
    return CLN_INVALID_ARGUMENT;
}

/* --- names --- */

static char plain(char c) {
    return c == '_' ? '-' : c;
}

static bool same_name(const char *name, const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (name[i] == '\0' || name[i] != plain(text[i]))
            return false;
    return name[length] == '\0';
}

/* The first option of a group or of those after it. */
static const cli_option *first_of(const cli_group *group) {
    while (group->title && !group->options->name)
        group++;
    return group->title ? group->options : NULL;
}

const cli_option *cli_next(const cli_command *command, const cli_option *previous) {
    if (!previous)
        return first_of(command->groups);
    if (previous[1].name)
        return previous + 1;
    const cli_group *group = command->groups;
    for (;; group++)
        for (const cli_option *o = group->options; o->name; o++)
            if (o == previous)
                return first_of(group + 1);
}

const cli_option *cli_find(const cli_command *command, const char *text, size_t length) {
    for (const cli_option *o = NULL; (o = cli_next(command, o));)
        if (same_name(o->name, text, length))
            return o;
    return NULL;
}

const char *cli_nearest(const cli_command *command, const char *text, size_t length) {
    const char *names[MAX_NAMES];
    char name[64];
    size_t count = 0;
    if (length >= sizeof name)
        return NULL;
    for (size_t i = 0; i < length; i++)
        name[i] = plain(text[i]);
    name[length] = '\0';
    for (const cli_option *o = NULL; count < MAX_NAMES && (o = cli_next(command, o));)
        if (o->help)
            names[count++] = o->name;
    return cln_nearest_name(name, names, count);
}

static bool unknown_option(const cli_command *command, const char *text, size_t length) {
    const char *nearest = cli_nearest(command, text, length);
    if (nearest)
        cli_misuse(command, "unknown option '--%.*s': did you mean '--%s'?", (int)length, text, nearest);
    else
        cli_misuse(command, "unknown option '--%.*s'", (int)length, text);
    return false;
}

/* --- the line --- */

/* What is parsed into, and which of its members the line sets. */
typedef struct line {
    const cli_command *command;
    void *arguments;
    bool given[CLI_MAX_ARGUMENTS]; /* by offset */
} line;

static bool read_option(line *l, const cli_option *o, const char *text) {
    char message[CLI_MESSAGE];
    l->given[o->offset] = true;
    if (cli_read_value(o, text, (char *)l->arguments + o->offset, message))
        return true;
    cli_misuse(l->command, "--%s: %s", o->name, message);
    return false;
}

bool cli_can_negate(const cli_option *o) {
    return o->kind == CLI_FLAG || o->kind == CLI_FLAG_INT;
}

const cli_option *cli_find_negated(const cli_command *command, const char *text, size_t length) {
    if (length < 4 || !same_name("no-", text, 3))
        return NULL;
    const cli_option *o = cli_find(command, text + 3, length - 3);
    return o && cli_can_negate(o) ? o : NULL;
}

static bool take_option(line *l, int argc, char **argv, int *at) {
    const cli_command *command = l->command;
    const char *text = argv[*at] + 2;
    size_t length = strcspn(text, "=");
    const char *value = text[length] == '=' ? text + length + 1 : NULL;
    const cli_option *o = cli_find(command, text, length);
    const cli_option *negated = o ? NULL : cli_find_negated(command, text, length);
    if (negated && value) {
        cli_misuse(command, "--%.*s takes no value, found '%s'", (int)length, text, value);
        return false;
    }
    if (negated)
        return read_option(l, negated, "false");
    if (!o)
        return unknown_option(command, text, length);
    bool number_follows = *at + 1 < argc && isdigit((unsigned char)argv[*at + 1][0]);
    if (!value && (o->kind == CLI_FLAG || o->kind == CLI_PRINT_CONFIG || (o->kind == CLI_FLAG_INT && !number_follows)))
        value = "true";
    if (!value && *at + 1 < argc)
        value = argv[++*at];
    if (value)
        return read_option(l, o, value);
    cli_misuse(command, "--%s needs a value: %s", o->name, o->value ? o->value : "VALUE");
    return false;
}

/* What the configuration file says and the line does not; the exit status. */
static int read_config(line *l) {
    char message[CLI_MESSAGE];
    const cli_option *o = NULL;
    while ((o = cli_next(l->command, o)) && o->kind != CLI_CONFIG)
        continue;
    cli_config *config = o ? (cli_config *)((char *)l->arguments + o->offset) : NULL;
    if (!config || !config->path)
        return CLN_OK;
    int status = cli_config_read(l->command, config, l->given, l->arguments, message);
    if (status != CLN_OK)
        fprintf(stderr, "%s: %s: %s\n", l->command->program, l->command->name, message);
    return status;
}

static bool is_help(const char *text) {
    return strcmp(text, "-h") == 0 || strcmp(text, "--help") == 0;
}

bool cli_parse(const cli_command *command, void *arguments, int argc, char **argv, int *operands, int *exit_status) {
    line l = {.command = command, .arguments = arguments};
    int count = 0;
    bool only_operands = false;
    *exit_status = CLN_INVALID_ARGUMENT;
    for (int i = 1; i < argc; i++) {
        if (!only_operands && strcmp(argv[i], "--") == 0) {
            only_operands = true;
        } else if (!only_operands && is_help(argv[i])) {
            cli_print_help(command);
            *exit_status = CLN_OK;
            return false;
        } else if (!only_operands && strncmp(argv[i], "--", 2) == 0) {
            if (!take_option(&l, argc, argv, &i))
                return false;
        } else if (!only_operands && argv[i][0] == '-' && argv[i][1] != '\0') {
            cli_misuse(command, "unknown option '%s': options begin with two dashes", argv[i]);
            return false;
        } else if (command->operand) {
            argv[1 + count++] = argv[i];
        } else {
            cli_misuse(command, "unexpected '%s': this command takes options only", argv[i]);
            return false;
        }
    }
    if (operands)
        *operands = count;
    *exit_status = read_config(&l);
    return *exit_status == CLN_OK;
}

/* --- commands --- */

static int unknown_command(const char *program, const cli_command *const *commands, const char *text) {
    const char *names[MAX_NAMES];
    size_t count = 0;
    for (; commands[count] && count < MAX_NAMES; count++)
        names[count] = commands[count]->name;
    const char *nearest = cln_nearest_name(text, names, count);
    fprintf(stderr, "%s: unknown %s '%s'", program, text[0] == '-' ? "option" : "command", text);
    if (nearest)
        fprintf(stderr, ": did you mean '%s'?", nearest);
    fprintf(stderr, " (see %s --help)\n", program);
    return CLN_INVALID_ARGUMENT;
}

int cli_dispatch(const char *program, const char *about, const cli_command *const *commands, int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "%s: no command given (see %s --help)\n", program, program);
        return CLN_INVALID_ARGUMENT;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("%s %s\n", program, cln_version());
        return CLN_OK;
    }
    if (strcmp(argv[1], "help") == 0 || is_help(argv[1])) {
        cli_print_commands(program, about, commands);
        return CLN_OK;
    }
    if (strcmp(argv[1], "--generate") == 0)
        return cli_generate(&(cli_program){program, about, commands}, argv[2]);
    for (int i = 0; commands[i]; i++)
        if (strcmp(argv[1], commands[i]->name) == 0)
            return commands[i]->run(argc - 1, argv + 1);
    return unknown_command(program, commands, argv[1]);
}
