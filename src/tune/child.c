/* A process beside this one, in a process group of its own, so that all of it can be ended. */
#include "../base/base.h"
#include "protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* Whatever this process ignores or blocks: an alarm ends the other one, and so does a crash. */
static void clear_signals(posix_spawnattr_t *attributes) {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &all);
    posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn(cln__child *child, const char *const *argv, int output) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    pid_t pid = 0;
    int code = posix_spawn_file_actions_init(&files);
    if (code != 0)
        return code;
    code = posix_spawnattr_init(&attributes);
    if (code == 0) {
        posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
        posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        clear_signals(&attributes);
        posix_spawnattr_setpgroup(&attributes, 0);
        code = posix_spawn(&pid, argv[0], &files, &attributes, (char *const *)argv, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&files);
    child->pid = code == 0 ? pid : 0;
    return code;
}

int cln__child_start(cln__child *child, const char *const *argv) {
    int ends[2];
    *child = (cln__child){.pid = 0};
    if (pipe(ends) != 0)
        return errno;
    for (int i = 0; i < 2; i++)
        fcntl(ends[i], F_SETFD, FD_CLOEXEC);
    child->pipe = ends[0];
    int code = spawn(child, argv, ends[1]);
    close(ends[1]);
    if (code != 0)
        close(ends[0]);
    return code;
}

/* Takes a line out of what was read; false if there is none. */
static bool take_line(cln__child *child, char line[CLN__TUNE_LINE]) {
    char *end = memchr(child->text, '\n', (size_t)child->used);
    if (!end)
        return false;
    int length = (int)(end - child->text);
    memcpy(line, child->text, (size_t)length);
    line[length] = '\0';
    child->used -= length + 1;
    memmove(child->text, end + 1, (size_t)child->used);
    return true;
}

static bool is_ours(char line[CLN__TUNE_LINE]) {
    size_t mark = strlen(CLN__TUNE_MARK);
    if (strncmp(line, CLN__TUNE_MARK, mark) != 0)
        return false;
    memmove(line, line + mark, strlen(line + mark) + 1);
    return true;
}

cln__heard cln__child_read(cln__child *child, double seconds, char line[CLN__TUNE_LINE]) {
    double end_s = cln__now_s() + seconds;
    for (;;) {
        while (take_line(child, line))
            if (is_ours(line))
                return CLN__HEARD_LINE;
        if (child->used == CLN__TUNE_LINE)
            child->used = 0; /* longer than any line of ours */
        double left_s = end_s - cln__now_s();
        struct pollfd file = {.fd = child->pipe, .events = POLLIN};
        int ready = left_s > 0 ? poll(&file, 1, (int)(left_s * 1000) + 1) : 0;
        if (ready <= 0)
            return CLN__HEARD_NOTHING;
        ssize_t got = read(child->pipe, child->text + child->used, (size_t)(CLN__TUNE_LINE - child->used));
        if (got < 0 && errno == EINTR)
            return CLN__HEARD_NOTHING;
        if (got <= 0)
            return CLN__HEARD_END;
        child->used += (int)got;
    }
}

void cln__child_stop(cln__child *child, char how[64]) {
    int status = 0;
    snprintf(how, 64, "it ended without a result");
    if (!child->pid)
        return;
    close(child->pipe);
    /* One that has ended by itself is left a moment to be seen ending so. */
    pid_t ended = 0;
    for (int i = 0; i < 20 && ended == 0; i++) {
        ended = waitpid((pid_t)child->pid, &status, WNOHANG);
        if (ended == 0)
            nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    kill(-(pid_t)child->pid, SIGKILL);
    while (ended == 0 && waitpid((pid_t)child->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (ended > 0 && WIFSIGNALED(status))
        snprintf(how, 64, "it crashed (signal %d)", WTERMSIG(status));
    else if (ended > 0)
        snprintf(how, 64, "it ended with status %d", WEXITSTATUS(status));
    child->pid = 0;
}
