/* Completion for fish (3.0 and later). */
#include "generate.h"

#include <string.h>

static void print_quoted(const char *text, int length) {
    printf("'");
    generate_escaped(text, length, "'\\", "\\");
    printf("'");
}

static void print_option(const char *program, const cli_command *command, const cli_option *o) {
    printf("complete -c %s -n '__fish_seen_subcommand_from %s' -l %s", program, command->name, o->name);
    switch (generate_values_of(o)) {
    case GENERATE_NONE:
        break;
    case GENERATE_ANY:
        printf(" -x");
        break;
    case GENERATE_WORDS:
        printf(" -x -a '");
        generate_words(o);
        printf("'");
        break;
    case GENERATE_FILES:
        printf(" -r -F");
        break;
    case GENERATE_FOLDERS:
        printf(" -x -a '(__fish_complete_directories)'");
        break;
    }
    printf(" -d ");
    print_quoted(o->help, generate_short(o->help));
    printf("\n");
    if (cli_can_negate(o))
        printf("complete -c %s -n '__fish_seen_subcommand_from %s; and string match -q -- \"--no*\" (commandline -ct)' "
               "-l no-%s -d 'not --%s'\n",
               program, command->name, o->name, o->name);
}

static void print_command(const char *program, const cli_command *command) {
    printf("complete -c %s -n __fish_use_subcommand -a %s -d ", program, command->name);
    print_quoted(command->help, (int)strlen(command->help));
    printf("\n");
    for (const cli_option *o = NULL; (o = cli_next(command, o));)
        if (o->help)
            print_option(program, command, o);
    if (command->operand)
        printf("complete -c %s -n '__fish_seen_subcommand_from %s' -F\n", program, command->name);
}

void generate_fish(const cli_program *program) {
    printf("# fish completion for %s, made from its option tables\n\ncomplete -c %s -f\n", program->name,
           program->name);
    printf("complete -c %s -l help -d 'print help and end'\n", program->name);
    printf("complete -c %s -n __fish_use_subcommand -l version -d 'print the version'\n", program->name);
    for (int i = 0; program->commands[i]; i++)
        if (program->commands[i]->help)
            print_command(program->name, program->commands[i]);
}
