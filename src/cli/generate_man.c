/* The manual page of a program, in man(7): all commands on one page. */
#include "generate.h"

#include <ctype.h>
#include <string.h>

/* Text of roff: neither requests nor escapes, and hyphens that can be typed in again. */
static void print_text(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (text[i] == '\\')
            printf("\\(rs");
        else if (text[i] == '-')
            printf("\\-");
        else if ((text[i] == '.' || text[i] == '\'') && (i == 0 || text[i - 1] == '\n'))
            printf("\\&%c", text[i]);
        else if (text[i] == '\'')
            printf("\\(aq");
        else
            putchar(text[i]);
}

static void print_line(const char *text) {
    print_text(text, strlen(text));
    putchar('\n');
}

static void print_heading(const char *macro, const char *text) {
    printf(".%s ", macro);
    for (; *text; text++)
        putchar(strcmp(macro, "SH") == 0 ? toupper((unsigned char)*text) : *text);
    putchar('\n');
}

/* Lines of text; a blank one begins a paragraph, and an example stays as it is. */
static void print_summary(const char *text) {
    for (const char *end; *text; text = end + (*end == '\n')) {
        static const char example[] = "example: ";
        end = text + strcspn(text, "\n");
        bool is_example = strncmp(text, example, sizeof example - 1) == 0;
        if (end == text)
            printf(".PP\n");
        if (is_example) {
            text += sizeof example - 1;
            printf("Example:\n.PP\n.RS 4\n.EX\n");
        }
        if (end > text) {
            print_text(text, (size_t)(end - text));
            putchar('\n');
        }
        if (is_example)
            printf(".EE\n.RE\n");
    }
}

static void print_option(const cli_option *o) {
    printf(".TP\n\\fB\\-\\-");
    print_text(o->name, strlen(o->name));
    printf("\\fR");
    if (o->value) {
        printf(" \\fI");
        print_text(o->value, strlen(o->value));
        printf("\\fR");
    }
    putchar('\n');
    print_line(o->help);
}

static void print_command(const char *program, const cli_command *command) {
    print_heading("SS", command->name);
    printf("\\fB%s %s\\fR [\\fIoptions\\fR]", program, command->name);
    if (command->operand)
        printf(" \\fI%s\\fR", command->operand);
    printf("\n.PP\n");
    print_summary(command->summary);
    for (const cli_group *group = command->groups; group->title; group++) {
        printf(".PP\n");
        putchar(toupper((unsigned char)*group->title));
        printf("%s:\n", group->title + 1);
        for (const cli_option *o = group->options; o->name; o++)
            if (o->help)
                print_option(o);
    }
}

static void print_status(void) {
    print_heading("SH", "exit status");
#define PRINT_STATUS(name, number, text) printf(".TP\n.B %d\n%s\n", number, text);
    CLN_STATUS_LIST(PRINT_STATUS)
#undef PRINT_STATUS
    printf(".TP\n.BR 130 \", \" 143\nstopped by Ctrl\\-C or SIGTERM, with everything saved to go on\n");
}

static void print_files(void) {
    print_heading("SH", "files");
    printf(".TP\n.I $XDG_CACHE_HOME/clnet\n"
           "compiled kernels, and the tuner's results in tuning.sqlite; ~/.cache/clnet where the variable is not set.\n"
           "Safe to remove: what is missing is compiled, or measured, again.\n");
}

void generate_man(const cli_program *program) {
    const char *name = program->name;
    printf(".\\\" Made from the option tables by %s \\-\\-generate man\n.TH ", name);
    for (const char *c = name; *c; c++)
        putchar(toupper((unsigned char)*c));
    printf(" 1 \"\" \"clnet %s\" \"User Commands\"\n", cln_version());
    print_heading("SH", "name");
    printf("%s \\- ", name);
    print_line(program->about);
    print_heading("SH", "synopsis");
    printf(".B %s\n.I command\n.RI [ options ]\n.br\n.B %s\n.I command\n.B \\-\\-help\n.br\n.B %s \\-\\-version\n",
           name, name, name);
    print_heading("SH", "description");
    printf("Names of options may be written with dashes or underscores, and values as \\fB\\-\\-name\\fR \\fIvalue\\fR "
           "or\n"
           "\\fB\\-\\-name\\fR=\\fIvalue\\fR. Of two that are given the last counts. A flag \\fB\\-\\-name\\fR is "
           "undone by\n"
           "\\fB\\-\\-no\\-name\\fR.\n");
    print_heading("SH", "commands");
    for (int i = 0; program->commands[i]; i++)
        if (program->commands[i]->help)
            print_command(name, program->commands[i]);
    print_status();
    print_files();
    print_heading("SH", "see also");
    printf(".BR %s (1)\n", strcmp(name, "cltrain") == 0 ? "clbench" : "cltrain");
}
