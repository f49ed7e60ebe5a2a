/* What --help prints, from the tables. */
#include "options.h"

#include <stdio.h>
#include <string.h>

enum { COLUMN = 28, WIDTH = 100 };

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

void cli_print_help(const cli_command *command) {
    printf("usage: %s %s [options]%s%s\n\n%s\n", command->program, command->name, command->operand ? " " : "",
           command->operand ? command->operand : "", command->summary);
    for (const cli_group *group = command->groups; group->title; group++) {
        printf("\n%s:\n", group->title);
        for (const cli_option *o = group->options; o->name; o++)
            if (o->help)
                print_wrapped(o->help, printf("  --%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : ""));
    }
    print_wrapped("print this and end", printf("  --help"));
}

void cli_print_commands(const char *program, const char *about, const cli_command *const *commands) {
    printf("%s %s: %s\n\nusage: %s COMMAND [options]\n\ncommands:\n", program, cln_version(), about, program);
    for (; *commands; commands++)
        if ((*commands)->help)
            printf("  %-10s %s\n", (*commands)->name, (*commands)->help);
    printf("\n%s COMMAND --help lists the options of a command, %s --version prints the version.\n\nexit status:\n",
           program, program);
#define PRINT_STATUS(name, number, text) printf("  %-3d %s\n", number, text);
    CLN_STATUS_LIST(PRINT_STATUS)
#undef PRINT_STATUS
}
