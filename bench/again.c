/* Running clbench from clbench: see again.h. */
#include "again.h"
#include "../src/base/json_parse.h"
#include "../src/cli/report.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;
enum { MAX_ARGUMENTS = 32, MAX_OUTPUT_BYTES = 16 << 20 };

/* Its exit status; below 0 if it ended in another way, or could not be started. */
static int run(const char *program, const char *const *arguments, FILE *output, FILE *errors) {
    char *argv[MAX_ARGUMENTS + 2] = {(char *)(uintptr_t)program};
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status, count = 1;
    for (; *arguments && count <= MAX_ARGUMENTS; arguments++)
        argv[count++] = (char *)(uintptr_t)*arguments;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fileno(output), 1);
    posix_spawn_file_actions_adddup2(&actions, fileno(errors), 2);
    int code = posix_spawn(&child, program, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (code != 0) {
        fprintf(stderr, "clbench: cannot start '%s': %s\n", program, strerror(code));
        return -1;
    }
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char *read_back(FILE *file) {
    long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    char *text = size >= 0 && size <= MAX_OUTPUT_BYTES ? malloc((size_t)size + 1) : NULL;
    if (!text)
        return NULL;
    rewind(file);
    text[fread(text, 1, (size_t)size, file)] = '\0';
    return text;
}

int again(const char *program, const char *const *arguments, cJSON **out, double *seconds) {
    FILE *output = tmpfile(), *errors = tmpfile();
    double start_s = report_now_s();
    *out = NULL;
    int status = output && errors ? run(program, arguments, output, errors) : -1;
    *seconds = report_now_s() - start_s;
    char *text = output ? read_back(output) : NULL, *messages = errors ? read_back(errors) : NULL;
    bool lacks_memory = false;
    if (status == 0 && text)
        *out = cln__json_parse(text, NULL, &lacks_memory);
    if (status > 0 && messages)
        fputs(messages, stderr);
    else if (lacks_memory)
        report_no_memory("clbench");
    free(text);
    free(messages);
    if (output)
        fclose(output);
    if (errors)
        fclose(errors);
    return *out ? CLN_OK : lacks_memory ? CLN_OUT_OF_MEMORY : status > 0 ? status : CLN_FAILED;
}
