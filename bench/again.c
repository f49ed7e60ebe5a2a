/* Running clbench from clbench: see again.h. */
#include "again.h"
#include "../src/base/json_parse.h"
#include "../src/cli/report.h"

#include <errno.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;
enum { MAX_ARGUMENTS = 32, MAX_OUTPUT_BYTES = 16 << 20 };

/* CLN_OK: it ended by itself, with this exit status. Else standard error tells. */
static cln_status run(const char *program, const char *const *arguments, FILE *output, FILE *errors, int *exit_status) {
    char *argv[MAX_ARGUMENTS + 2] = {(char *)(uintptr_t)program};
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status, count = 1;
    for (; *arguments && count <= MAX_ARGUMENTS; arguments++)
        argv[count++] = (char *)(uintptr_t)*arguments;
    int code = posix_spawn_file_actions_init(&actions);
    if (code == 0) {
        posix_spawn_file_actions_adddup2(&actions, fileno(output), 1);
        posix_spawn_file_actions_adddup2(&actions, fileno(errors), 2);
        code = posix_spawn(&child, program, &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    if (code != 0) {
        fprintf(stderr, "clbench: cannot start '%s': %s\n", program, strerror(code));
        return CLN_IO;
    }
    bool ended;
    do
        ended = waitpid(child, &status, 0) == child;
    while (!ended && errno == EINTR);
    if (!ended || !WIFEXITED(status)) {
        fprintf(stderr, "clbench: 'clbench %s' was ended by a signal\n", argv[1]);
        return CLN_FAILED;
    }
    *exit_status = WEXITSTATUS(status);
    return CLN_OK;
}

/* To standard error; false if there is nothing. */
static bool pass_on(FILE *messages) {
    char line[1024];
    bool any = false;
    rewind(messages);
    for (; fgets(line, sizeof line, messages); any = true)
        fputs(line, stderr);
    return any;
}

static cln_status read_json(FILE *file, cJSON **out) {
    long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    if (size < 0 || size > MAX_OUTPUT_BYTES)
        return CLN_IO;
    char *text = malloc((size_t)size + 1);
    if (!text)
        return CLN_OUT_OF_MEMORY;
    rewind(file);
    bool whole = fread(text, 1, (size_t)size, file) == (size_t)size, lacks_memory = false;
    text[whole ? size : 0] = '\0';
    *out = whole ? cln__json_parse(text, NULL, &lacks_memory) : NULL;
    free(text);
    return *out ? CLN_OK : lacks_memory ? CLN_OUT_OF_MEMORY : whole ? CLN_FAILED : CLN_IO;
}

static int take_results(const char *command, FILE *output, FILE *errors, int exit_status, cJSON **out) {
    if (exit_status != 0) {
        if (!pass_on(errors))
            fprintf(stderr, "clbench: 'clbench %s' ended with status %d\n", command, exit_status);
        return exit_status;
    }
    cln_status status = read_json(output, out);
    if (status == CLN_OUT_OF_MEMORY)
        return report_no_memory("clbench");
    if (status != CLN_OK)
        fprintf(stderr, "clbench: cannot read what 'clbench %s' printed\n", command);
    return status;
}

int again(const char *program, const char *const *arguments, cJSON **out, double *seconds) {
    FILE *output = tmpfile(), *errors = tmpfile();
    double start_s = report_now_s();
    int status = CLN_IO, exit_status = 0;
    *out = NULL;
    if (output && errors)
        status = run(program, arguments, output, errors, &exit_status);
    else
        fprintf(stderr, "clbench: cannot make a temporary file: %s\n", strerror(errno));
    *seconds = report_now_s() - start_s;
    if (status == CLN_OK)
        status = take_results(arguments[0], output, errors, exit_status, out);
    if (output)
        fclose(output);
    if (errors)
        fclose(errors);
    return status;
}
