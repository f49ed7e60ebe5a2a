/* Completion for bash (3.2 and later), without help of the package bash-completion. */
#include "generate.h"

#include <string.h>

/* "fit --out": in its value's place, what completes it. */
static void print_values(const cli_command *command, const cli_option *o) {
    generate_values values = generate_values_of(o);
    if (values == GENERATE_NONE)
        return;
    printf("    '%s --%s')", command->name, o->name);
    if (values == GENERATE_WORDS) {
        printf(" words='");
        generate_words(o);
        printf("' ;;\n");
    } else {
        printf(" kind='%s' ;;\n", values == GENERATE_FILES ? "file" : values == GENERATE_FOLDERS ? "directory" : "any");
    }
}

static void print_options(const cli_command *command) {
    printf("        %s)\n            words='", command->name);
    for (const cli_option *o = NULL; (o = cli_next(command, o));)
        if (o->help)
            printf("--%s ", o->name);
    printf("--help'\n            if [[ $cur == --no* ]]; then words+='");
    for (const cli_option *o = NULL; (o = cli_next(command, o));)
        if (o->help && cli_can_negate(o))
            printf(" --no-%s", o->name);
    printf("'; fi\n");
    if (command->operand)
        printf("            if [[ $cur != -* ]]; then words='' kind=file; fi\n");
    printf("            ;;\n");
}

void generate_bash(const cli_program *program) {
    const cli_command *const *commands = program->commands;
    printf("# bash completion for %s, made from its option tables\n\n_%s() {\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}\n"
           "    local words='' kind=word IFS=$' \\t\\n'\n"
           "    COMPREPLY=()\n"
           "    # bash takes --name=value for three words.\n"
           "    if [[ $cur == = ]]; then\n        cur=''\n"
           "    elif [[ $prev == = && $COMP_CWORD -gt 2 ]]; then\n        prev=${COMP_WORDS[COMP_CWORD - 2]}\n    fi\n"
           "    case \"$command ${prev//_/-}\" in\n",
           program->name, program->name);
    for (int i = 0; commands[i]; i++)
        for (const cli_option *o = NULL; commands[i]->help && (o = cli_next(commands[i], o));)
            print_values(commands[i], o);
    printf("    *) kind=none ;;\n    esac\n"
           "    if [[ $COMP_CWORD -eq 1 ]]; then\n        kind=word words='");
    for (int i = 0; commands[i]; i++)
        if (commands[i]->help)
            printf("%s ", commands[i]->name);
    printf("--help --version'\n    elif [[ $kind == none ]]; then\n        kind=word\n        case $command in\n");
    for (int i = 0; commands[i]; i++)
        if (commands[i]->help)
            print_options(commands[i]);
    printf("        esac\n    fi\n"
           "    case $kind in\n"
           "    word) words=$(compgen -W \"$words\" -- \"$cur\") ;;\n"
           "    any) words='' ;;\n"
           "    *)\n        compopt -o filenames 2>/dev/null\n"
           "        words=$(compgen -A \"$kind\" -- \"$cur\")\n        ;;\n    esac\n"
           "    IFS=$'\\n'\n"
           "    set -o noglob # names of files, not patterns\n"
           "    # shellcheck disable=SC2206\n"
           "    COMPREPLY=($words)\n"
           "    set +o noglob\n"
           "}\n"
           "complete -F _%s %s\n",
           program->name, program->name);
}
