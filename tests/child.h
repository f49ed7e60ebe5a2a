/* Other processes for tests: other runs of the test's own program, `<program> --child <task> <argument>`. */
#ifndef CLN_TESTS_CHILD_H
#define CLN_TESTS_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

/* What a child does, with a context of its own in `ctx`; returns its exit status. */
typedef struct child_task {
    const char *name;
    int (*run)(const char *argument);
} child_task;

/* For main: whether it is to run a child, and that; `tasks` ends with a NULL name. */
bool is_child(int argc, char **argv);
int child_run(char **argv, const child_task *tasks);

pid_t start_child(const char *task, const char *argument);
/* Its exit status; -1 if it ended in another way. */
int wait_child(pid_t child);

#endif
