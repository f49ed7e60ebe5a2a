/* Other processes for tests: see child.h. */
#include "child.h"
#include "suite.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

bool is_child(int argc, char **argv) {
    return argc == 4 && strcmp(argv[1], "--child") == 0;
}

int child_run(char **argv, const child_task *tasks) {
    while (tasks->name && strcmp(tasks->name, argv[2]) != 0)
        tasks++;
    if (!tasks->name || cln_context_new(&ctx) != CLN_OK)
        return 125;
    int status = tasks->run(argv[3]);
    if (status != 0)
        fprintf(stderr, "child %s: status %d, message '%s'\n", tasks->name, status, cln_context_error(ctx));
    cln_context_free(ctx);
    return status;
}

pid_t start_child(const char *task, const char *argument) {
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "test", "--child", task, argument, (char *)NULL);
        _exit(126);
    }
    ck_assert_int_gt(child, 0);
    return child;
}

int wait_child(pid_t child) {
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
