/* Parsing of command lines by a table, the --help text from the same table, and the choice of the command. */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAMES = 128, COLUMN = 28, WIDTH = 100 };

/* --- failures --- */

int cli_misuse(const cli_command *command, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: %s: ", command->program, command->name);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, " (see %s %s --help)\n", command->program, command->name);
    return CLN_INVALID_ARGUMENT;
}

static bool misuse(const cli_command *command, const cli_option *o, const char *text, const char *expected) {
    cli_misuse(command, "--%s: expected %s, found '%s'", o->name, expected, text);
    return false;
}

/* --- values --- */

static bool parse_int(const char *text, const char *end, double min, double max, int64_t *out) {
    if (text == end || isspace((unsigned char)*text))
        return false;
    char *after;
    errno = 0;
    long long value = strtoll(text, &after, 10);
    *out = value;
    return errno == 0 && after == end && (double)value >= min && (double)value <= max;
}

static bool set_int(const cli_command *command, const cli_option *o, const char *text) {
    char expected[96];
    if (parse_int(text, text + strlen(text), o->min, o->max, o->target))
        return true;
    snprintf(expected, sizeof expected, "a whole number from %.0f to %.0f", o->min, o->max);
    return misuse(command, o, text, expected);
}

static bool set_real(const cli_command *command, const cli_option *o, const char *text) {
    char *after, expected[96];
    double value = strtod(text, &after);
    if (after != text && *after == '\0' && !isspace((unsigned char)*text) && value >= o->min && value <= o->max) {
        *(double *)o->target = value;
        return true;
    }
    snprintf(expected, sizeof expected, "a number from %g to %g", o->min, o->max);
    return misuse(command, o, text, expected);
}

static bool set_ints(const cli_command *command, const cli_option *o, const char *text) {
    char expected[96];
    cln_ints list = {.count = 0};
    const char *start = text;
    for (bool more = *text != '\0'; more && list.count < CLN_MAX_INTS;) {
        const char *end = start + strcspn(start, ",");
        int64_t value;
        if (!parse_int(start, end, o->min, o->max, &value))
            break;
        list.values[list.count++] = (int)value;
        more = *end == ',';
        start = end + more;
        if (!more) {
            *(cln_ints *)o->target = list;
            return true;
        }
    }
    snprintf(expected, sizeof expected, "at most %d whole numbers from %.0f to %.0f with commas between them",
             CLN_MAX_INTS, o->min, o->max);
    return misuse(command, o, text, expected);
}

static bool set_choice(const cli_command *command, const cli_option *o, const char *text) {
    char expected[256];
    size_t used = 0;
    for (int i = 0; o->choices[i]; i++) {
        if (strcmp(o->choices[i], text) == 0) {
            *(int *)o->target = i;
            return true;
        }
        int written = snprintf(expected + used, sizeof expected - used, "%s%s", i ? ", " : "one of ", o->choices[i]);
        used = written > 0 && used + (size_t)written < sizeof expected ? used + (size_t)written : used;
    }
    return misuse(command, o, text, expected);
}

static bool set_model(const cli_command *command, const cli_option *o, const char *text) {
    const cln_model *model = cln_model_find(text);
    if (model) {
        *(const cln_model **)o->target = model;
        return true;
    }
    const char *names[MAX_NAMES], *nearest;
    int count;
    const cln_model *const *models = cln_models(&count);
    for (int i = 0; i < count && i < MAX_NAMES; i++)
        names[i] = models[i]->name;
    nearest = cln_nearest_name(text, names, (size_t)(count < MAX_NAMES ? count : MAX_NAMES));
    fprintf(stderr, "%s: %s: unknown model '%s'", command->program, command->name, text);
    if (nearest)
        fprintf(stderr, ": did you mean '%s'?", nearest);
    fprintf(stderr, " (the models are");
    for (int i = 0; i < count; i++)
        fprintf(stderr, "%s %s", i ? "," : "", models[i]->name);
    fprintf(stderr, ")\n");
    return false;
}

static bool set(const cli_command *command, const cli_option *o, const char *text) {
    switch (o->kind) {
    case CLI_FLAG:
        *(bool *)o->target = true;
        return true;
    case CLI_TEXT:
        *(const char **)o->target = text;
        return true;
    case CLI_INT:
        return set_int(command, o, text);
    case CLI_REAL:
        return set_real(command, o, text);
    case CLI_INTS:
        return set_ints(command, o, text);
    case CLI_CHOICE:
        return set_choice(command, o, text);
    case CLI_MODEL:
        return set_model(command, o, text);
    }
    return false;
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

static const cli_option *find(const cli_command *command, const char *text, size_t length) {
    for (const cli_option *o = command->options; o->name; o++)
        if (same_name(o->name, text, length))
            return o;
    return NULL;
}

static cli_parsed unknown_option(const cli_command *command, const char *text, size_t length) {
    const char *names[MAX_NAMES];
    char name[64];
    size_t count = 0, copied = length < sizeof name ? length : sizeof name - 1;
    for (const cli_option *o = command->options; o->name && count < MAX_NAMES; o++)
        if (o->help)
            names[count++] = o->name;
    for (size_t i = 0; i < copied; i++)
        name[i] = plain(text[i]);
    name[copied] = '\0';
    const char *nearest = cln_nearest_name(name, names, count);
    if (nearest)
        cli_misuse(command, "unknown option '--%.*s': did you mean '--%s'?", (int)length, text, nearest);
    else
        cli_misuse(command, "unknown option '--%.*s'", (int)length, text);
    return CLI_BAD;
}

/* --- help --- */

/* `text` in lines that start at COLUMN; the first continues a line of `used` characters. */
static void print_wrapped(const char *text, int used) {
    while (*text) {
        if (used > COLUMN - 2) {
            printf("\n");
            used = 0;
        }
        printf("%*s", COLUMN - used, "");
        int length = (int)strlen(text);
        if (length > WIDTH - COLUMN) {
            length = WIDTH - COLUMN;
            while (length > 0 && text[length] != ' ')
                length--;
        }
        printf("%.*s", length, text);
        text += length + (text[length] == ' ');
        used = WIDTH;
    }
    printf("\n");
}

static void print_help(const cli_command *command) {
    printf("usage: %s %s [options]%s%s\n\n%s\n\noptions:\n", command->program, command->name,
           command->operand ? " " : "", command->operand ? command->operand : "", command->summary);
    for (const cli_option *o = command->options; o->name; o++)
        if (o->help)
            print_wrapped(o->help, printf("  --%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : ""));
    print_wrapped("print this and end", printf("  --help"));
}

/* --- the line --- */

static cli_parsed take_option(const cli_command *command, int argc, char **argv, int *at) {
    const char *text = argv[*at] + 2;
    size_t length = strcspn(text, "=");
    const char *value = text[length] == '=' ? text + length + 1 : NULL;
    if (same_name("help", text, length)) {
        print_help(command);
        return CLI_HELP;
    }
    const cli_option *o = find(command, text, length);
    if (!o)
        return unknown_option(command, text, length);
    if (o->kind == CLI_FLAG && value) {
        cli_misuse(command, "--%s takes no value, found '%s'", o->name, value);
        return CLI_BAD;
    }
    if (o->kind != CLI_FLAG && !value && *at + 1 < argc)
        value = argv[++*at];
    if (o->kind != CLI_FLAG && !value) {
        cli_misuse(command, "--%s needs a value: %s", o->name, o->value ? o->value : "VALUE");
        return CLI_BAD;
    }
    return set(command, o, value) ? CLI_RUN : CLI_BAD;
}

cli_parsed cli_parse(const cli_command *command, int argc, char **argv, int *operands) {
    int count = 0;
    bool only_operands = false;
    for (int i = 1; i < argc; i++) {
        if (!only_operands && strcmp(argv[i], "--") == 0) {
            only_operands = true;
        } else if (!only_operands && strncmp(argv[i], "--", 2) == 0) {
            cli_parsed parsed = take_option(command, argc, argv, &i);
            if (parsed != CLI_RUN)
                return parsed;
        } else if (!only_operands && strcmp(argv[i], "-h") == 0) {
            print_help(command);
            return CLI_HELP;
        } else if (!only_operands && argv[i][0] == '-' && argv[i][1] != '\0') {
            cli_misuse(command, "unknown option '%s': options begin with two dashes", argv[i]);
            return CLI_BAD;
        } else if (command->operand) {
            argv[1 + count++] = argv[i];
        } else {
            cli_misuse(command, "unexpected '%s': this command takes options only", argv[i]);
            return CLI_BAD;
        }
    }
    if (operands)
        *operands = count;
    return CLI_RUN;
}

/* --- commands --- */

static void print_commands(const char *program, const char *about, const cli_entry *entries, int count) {
    printf("%s %s: %s\n\nusage: %s COMMAND [options]\n\ncommands:\n", program, cln_version(), about, program);
    for (int i = 0; i < count; i++)
        if (entries[i].help)
            printf("  %-10s %s\n", entries[i].name, entries[i].help);
    printf("\n%s COMMAND --help lists the options of a command, %s --version prints the version.\n\nexit status:\n",
           program, program);
#define PRINT_STATUS(name, number, text) printf("  %-3d %s\n", number, text);
    CLN_STATUS_LIST(PRINT_STATUS)
#undef PRINT_STATUS
}

static int unknown_command(const char *program, const cli_entry *entries, int count, const char *text) {
    const char *names[MAX_NAMES];
    for (int i = 0; i < count && i < MAX_NAMES; i++)
        names[i] = entries[i].name;
    const char *nearest = cln_nearest_name(text, names, (size_t)count);
    fprintf(stderr, "%s: unknown %s '%s'", program, text[0] == '-' ? "option" : "command", text);
    if (nearest)
        fprintf(stderr, ": did you mean '%s'?", nearest);
    fprintf(stderr, " (see %s --help)\n", program);
    return CLN_INVALID_ARGUMENT;
}

int cli_dispatch(const char *program, const char *about, const cli_entry *entries, int count, int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "%s: no command given (see %s --help)\n", program, program);
        return CLN_INVALID_ARGUMENT;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("%s %s\n", program, cln_version());
        return CLN_OK;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_commands(program, about, entries, count);
        return CLN_OK;
    }
    for (int i = 0; i < count; i++)
        if (strcmp(argv[1], entries[i].name) == 0)
            return entries[i].run(argc - 1, argv + 1);
    return unknown_command(program, entries, count, argv[1]);
}
