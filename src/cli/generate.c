/* What the shells' completions share, and the choice among what can be generated. */
#include "generate.h"

#include <string.h>

int cli_generate(const cli_program *program, const char *kind) {
    static const struct {
        const char *kind;
        void (*generate)(const cli_program *program);
    } all[] = {{"man", generate_man}, {"bash", generate_bash}, {"zsh", generate_zsh}, {"fish", generate_fish}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (kind && strcmp(all[i].kind, kind) == 0) {
            all[i].generate(program);
            return fflush(stdout) == 0 ? CLN_OK : CLN_IO;
        }
    fprintf(stderr, "%s: --generate needs one of man, bash, zsh, fish\n", program->name);
    return CLN_INVALID_ARGUMENT;
}

generate_values generate_values_of(const cli_option *o) {
    if (!o->value || o->kind == CLI_FLAG_INT)
        return GENERATE_NONE;
    if (o->kind == CLI_CHOICE || o->kind == CLI_MODEL)
        return GENERATE_WORDS;
    if (strstr(o->value, "FILE") || strstr(o->value, "PATH"))
        return GENERATE_FILES;
    return strstr(o->value, "DIR") ? GENERATE_FOLDERS : GENERATE_ANY;
}

void generate_words(const cli_option *o) {
    int count = 0;
    const cln_model *const *models = o->kind == CLI_MODEL ? cln_models(&count) : NULL;
    for (int i = 0; i < count; i++)
        printf("%s%s", i ? " " : "", models[i]->name);
    for (int i = 0; o->choices && o->choices[i]; i++)
        printf("%s%s", i ? " " : "", o->choices[i]);
}

int generate_short(const char *help) {
    enum { MENU = 60 };
    int end = 0, word = 0;
    for (; help[end] && end <= MENU; end++) {
        bool stop = strchr(".;:", help[end]) && (help[end + 1] == ' ' || help[end + 1] == '\0');
        if (stop || strncmp(help + end, " (", 2) == 0)
            return end;
        if (help[end] == ' ')
            word = end;
    }
    return end <= MENU ? end : word;
}

void generate_escaped(const char *text, int length, const char *special, const char *escape) {
    for (int i = 0; i < length; i++)
        printf("%s%c", strchr(special, text[i]) ? escape : "", text[i]);
}
