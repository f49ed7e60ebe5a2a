/* Completion for zsh. */
#include "generate.h"

#include <string.h>

/* '--out=[where to write]:DIR:_files -/' */
static void print_option(const cli_option *o) {
    generate_values values = generate_values_of(o);
    printf(" \\\n            '--%s%s[", o->name, values == GENERATE_NONE ? "" : "=");
    /* Within single quotes nothing but these is special; a quote closes, is quoted itself, and opens. */
    const char *help = o->help;
    for (int length = generate_short(help); length > 0; length--, help++)
        if (*help == '\'')
            printf("'\\''");
        else
            generate_escaped(help, 1, "[]:\\", "\\");
    printf("]");
    if (values != GENERATE_NONE) {
        printf(":");
        generate_escaped(o->value, (int)strlen(o->value), ":\\", "\\");
        printf(":");
    }
    if (values == GENERATE_WORDS) {
        printf("(");
        generate_words(o);
        printf(")");
    }
    printf("%s'", values == GENERATE_FILES ? "_files" : values == GENERATE_FOLDERS ? "_files -/" : "");
    if (cli_can_negate(o))
        printf(" \\\n            '--no-%s[not --%s]'", o->name, o->name);
}

static void print_command(const cli_command *command) {
    printf("    %s)\n        _arguments", command->name);
    for (const cli_option *o = NULL; (o = cli_next(command, o));)
        if (o->help)
            print_option(o);
    printf(" \\\n            '--help[print this and end]'");
    if (command->operand)
        printf(" \\\n            '*:file:_files'");
    printf("\n        ;;\n");
}

void generate_zsh(const cli_program *program) {
    const cli_command *const *commands = program->commands;
    printf("#compdef %s\n# zsh completion, made from the option tables of %s\n\n_%s() {\n    local -a commands=(\n",
           program->name, program->name, program->name);
    for (int i = 0; commands[i]; i++) {
        if (!commands[i]->help)
            continue;
        printf("        '%s:", commands[i]->name);
        generate_escaped(commands[i]->help, (int)strlen(commands[i]->help), ":\\", "\\");
        printf("'\n");
    }
    printf("        '--help:list the commands'\n        '--version:print the version'\n    )\n"
           "    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n"
           "    shift words\n    (( CURRENT-- ))\n    case $words[1] in\n");
    for (int i = 0; commands[i]; i++)
        if (commands[i]->help)
            print_command(commands[i]);
    printf("    esac\n}\n\n_%s \"$@\"\n", program->name);
}
