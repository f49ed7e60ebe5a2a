/* Signals, and the command line that undoes them. */
#include "interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile sig_atomic_t asked;

static void restore(int number) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

/* Only what may be called in a signal handler. */
static void ask(int number) {
    static const char message[] = "\nstopping after this step; Ctrl-C stops at once\n";
    int code = errno;
    restore(SIGINT);
    if (asked)
        return;
    asked = number;
    if (write(STDERR_FILENO, message, sizeof message - 1) < 0)
        errno = code; /* nobody listens: it is done all the same */
    errno = code;
}

/* What was ignored when the program began (nohup, a shell's background) stays so. */
static void handle(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, before;
    sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(number, &action, NULL);
}

void interrupt_install(void) {
    handle(SIGINT, ask);
    handle(SIGTERM, ask);
    handle(SIGXFSZ, SIG_IGN);
}

int interrupt_signal(void) {
    return (int)asked;
}

bool interrupt_asked(void *user) {
    (void)user;
    return asked != 0;
}

/* --- the state --- */

static bool is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

const char *interrupt_state(const char *resume, const char *out, char *path) {
    struct stat info;
    bool last = strcmp(resume, "last") == 0, absent;
    if (!last && !is_folder(resume))
        return resume;
    snprintf(path, INTERRUPT_PATH, "%s/resume.safetensors", last ? out : resume);
    absent = stat(path, &info) != 0 && (errno == ENOENT || errno == ENOTDIR);
    return last && absent ? NULL : path;
}

const char *interrupt_folder(const char *resume, char *path) {
    const char *slash = strrchr(resume, '/');
    if (is_folder(resume))
        return resume;
    if (!slash)
        return ".";
    snprintf(path, INTERRUPT_PATH, "%.*s", slash == resume ? 1 : (int)(slash - resume), resume);
    return path;
}

/* --- the command line --- */

static void print_quoted(FILE *to, const char *text) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,+@%";
    if (*text && text[strspn(text, plain)] == '\0') {
        fprintf(to, "%s", text);
        return;
    }
    fputc('\'', to);
    for (; *text; text++)
        if (*text == '\'')
            fprintf(to, "'\\''");
        else
            fputc(*text, to);
    fputc('\'', to);
}

/* How many arguments --name and its value take, if `text` begins with it; else 0. */
static int arguments_of(const char *name, const char *text) {
    size_t length = strlen(name);
    if (strncmp(text, "--", 2) != 0 || strncmp(text + 2, name, length) != 0)
        return 0;
    return text[2 + length] == '\0' ? 2 : text[2 + length] == '=' ? 1 : 0;
}

static void print_command(FILE *to, int argc, char **argv, const char *out) {
    bool has_out = false;
    for (int i = -1; i < argc; i++) {
        int skipped = i > 0 ? arguments_of("resume", argv[i]) : 0;
        if (skipped > 0) {
            i += skipped - 1;
            continue;
        }
        has_out = has_out || (i > 0 && arguments_of("out", argv[i]) > 0);
        print_quoted(to, argv[i]);
        fputc(' ', to);
    }
    if (!has_out) {
        fprintf(to, "--out ");
        print_quoted(to, out);
        fputc(' ', to);
    }
    fprintf(to, "--resume last");
}

char *interrupt_command(int argc, char **argv, const char *out) {
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    if (!to)
        return NULL;
    print_command(to, argc, argv, out);
    if (fclose(to) == 0)
        return text;
    free(text);
    return NULL;
}
