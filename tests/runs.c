/* Processes and their folders: see runs.h. */
#include "runs.h"
#include "events.h"
#include "files.h"
#include "tiny.h"

#include <dirent.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

char run_output[1 << 16], run_errors[1 << 16];
static const char *folder;

void run_begin(const char *path) {
    folder = path;
}

char *run_folder_new(void) {
    char *root = folder_new(), *data = path_of(root, "data");
    folder_make(root, "data");
    tiny_write(data);
    free(data);
    run_begin(root);
    return root;
}

char *run_root;

static void make_root(void) {
    run_root = run_folder_new();
}

static void remove_root(void) {
    folder_remove(run_root);
}

void run_fixture(TCase *tests) {
    tcase_add_unchecked_fixture(tests, make_root, remove_root);
}

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void sleep_s(double seconds) {
    struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&time, NULL);
}

static void read_text(const char *name, char *text, size_t size) {
    char *path = path_of(folder, name);
    FILE *file = fopen(path, "rb");
    size_t length = file ? fread(text, 1, size - 1, file) : 0;
    text[length] = '\0';
    if (file)
        fclose(file);
    free(path);
}

static void read_both(void) {
    read_text("output", run_output, sizeof run_output);
    read_text("errors", run_errors, sizeof run_errors);
}

/* --- one process --- */

run run_start_program(const char *program, const char *before, const char *arguments) {
    char command[4096];
    run r = {.ended = false};
    file_write(folder, "output", "", 0); /* what the last process printed is no sign of this one */
    file_write(folder, "errors", "", 0);
    int length = snprintf(command, sizeof command, "cd '%s' && %s exec '%s/%s' %s >output 2>errors </dev/null", folder,
                          before, getenv("CLNET_BIN_DIR"), program, arguments);
    ck_assert_int_lt(length, (int)sizeof command);
    char *argv[] = {"sh", "-c", command, NULL};
    ck_assert_int_eq(posix_spawn(&r.pid, "/bin/sh", NULL, NULL, argv, environ), 0);
    return r;
}

run run_start(const char *before, const char *arguments) {
    return run_start_program("cltrain", before, arguments);
}

static bool has_ended(run *r, int options) {
    r->ended = r->ended || waitpid(r->pid, &r->status, options) == r->pid;
    return r->ended;
}

bool run_prints(run *r, const char *text) {
    for (;;) {
        bool ended = has_ended(r, WNOHANG);
        read_both();
        if (strstr(run_output, text) || strstr(run_errors, text))
            return true;
        if (ended)
            return false;
        sleep_s(0.001);
    }
}

void run_signal(const run *r, int number) {
    if (!r->ended)
        kill(r->pid, number);
}

int run_end(run *r) {
    ck_assert(has_ended(r, 0));
    read_both();
    return WIFSIGNALED(r->status) ? -WTERMSIG(r->status) : WEXITSTATUS(r->status);
}

int run_all(const char *before, const char *arguments) {
    run r = run_start(before, arguments);
    return run_end(&r);
}

void run_well(const char *arguments) {
    int status = run_all("", arguments);
    ck_assert_msg(status == 0, "%s: status %d: %s", arguments, status, run_errors);
}

void run_fails(const char *arguments, int expected, const char *message) {
    int status = run_all("", arguments);
    ck_assert_msg(status == expected, "%s: status %d: %s", arguments, status, run_errors);
    ck_assert_msg(strstr(run_errors, message) != NULL, "%s: expected '%s', found: %s", arguments, message, run_errors);
    ck_assert_msg(strncmp(run_errors, "cltrain: ", 9) == 0 && strchr(run_errors, '\n')[1] == '\0',
                  "more than one message: %s", run_errors);
}

bool run_has(const char *name) {
    char *path = path_of(run_root, name);
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

char *run_read(const char *name, size_t *size) {
    char *path = path_of(run_root, name), *bytes = malloc(1 << 20);
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(bytes);
    ck_assert_msg(file != NULL, "there is no %s", path);
    size_t length = fread(bytes, 1, (1 << 20) - 1, file);
    ck_assert_msg(length < (1 << 20) - 1, "%s is larger than is read here", path);
    bytes[length] = '\0';
    if (size)
        *size = length;
    fclose(file);
    free(path);
    return bytes;
}

/* --- comparing --- */

static unsigned char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "there is no %s", path);
    unsigned char *bytes = malloc(1 << 20);
    *size = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    return bytes;
}

/* Leaves out the last column of each line. */
static size_t drop_speed(unsigned char *text, size_t size) {
    size_t to = 0, comma = 0;
    for (size_t from = 0; from < size; from++) {
        if (text[from] == ',')
            comma = to;
        if (text[from] == '\n')
            to = comma;
        text[to++] = text[from];
    }
    return to;
}

static void same_file(const char *a, const char *b, const char *name) {
    char *a_path = path_of(a, name), *b_path = path_of(b, name);
    size_t a_size, b_size;
    unsigned char *a_bytes = read_file(a_path, &a_size), *b_bytes = read_file(b_path, &b_size);
    if (strcmp(name, "metrics.csv") == 0) {
        a_size = drop_speed(a_bytes, a_size);
        b_size = drop_speed(b_bytes, b_size);
    }
    ck_assert_msg(a_size == b_size && memcmp(a_bytes, b_bytes, a_size) == 0, "%s and %s differ", a_path, b_path);
    free(a_bytes);
    free(b_bytes);
    free(a_path);
    free(b_path);
}

/* Event files have times in their names, and each event has one of its own. */
static void same_events(const char *a, const char *b) {
    const char *folders[] = {a, b};
    events *both[2];
    for (int i = 0; i < 2; i++) {
        char *name = events_name(folders[i]), *path = path_of(folders[i], name);
        both[i] = events_read(path);
        free(name);
        free(path);
    }
    ck_assert_int_eq(both[0]->count, both[1]->count);
    for (int i = 0; i < both[0]->count; i++) {
        uint8_t bytes[2][1 << 16];
        size_t size[2];
        for (int k = 0; k < 2; k++) {
            both[k]->at[i]->wall_time = 0;
            ck_assert_uint_le(cln__tb__event__get_packed_size(both[k]->at[i]), sizeof bytes[k]);
            size[k] = cln__tb__event__pack(both[k]->at[i], bytes[k]);
        }
        ck_assert_msg(size[0] == size[1] && memcmp(bytes[0], bytes[1], size[0]) == 0, "event %d of %s and %s differs",
                      i, a, b);
    }
    events_free(both[0]);
    events_free(both[1]);
}

void runs_same(const char *a, const char *b) {
    char *a_path = path_of(folder, a), *b_path = path_of(folder, b);
    DIR *open = opendir(a_path);
    ck_assert_ptr_nonnull(open);
    ck_assert_int_eq(folder_count(a_path), folder_count(b_path));
    for (struct dirent *entry; (entry = readdir(open));)
        if (strncmp(entry->d_name, "events.", 7) == 0)
            same_events(a_path, b_path);
        else if (entry->d_name[0] != '.' && strcmp(entry->d_name, "trace.json") != 0) /* all of it is times */
            same_file(a_path, b_path, entry->d_name);
    closedir(open);
    free(a_path);
    free(b_path);
}

/* --- killing --- */

static double draw(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) / 16777216.0;
}

/* Waits for the first step. */
static bool trains(run *r, const char *arguments) {
    return run_prints(r, strstr(arguments, "--json-lines") ? "\"event\":\"start\"" : "ready after");
}

/* Kills the run at a moment that is drawn from its training, or now and then from all of it. */
static bool kill_once(const char *arguments, double start_s, double training_s, bool anywhere, uint32_t *state) {
    run r = run_start("", arguments);
    double start = draw(state) * start_s, training = draw(state) * training_s;
    if (anywhere)
        sleep_s(start);
    else if (trains(&r, arguments))
        sleep_s(training);
    run_signal(&r, SIGKILL);
    int status = run_end(&r);
    ck_assert_msg(status == -SIGKILL || status == 0, "status %d: %s", status, run_errors);
    return status == -SIGKILL;
}

void runs_kill(const char *name, const char *options, int kills, unsigned seed) {
    char arguments[2048];
    uint32_t state = seed;
    /* Once before, since drivers compile while the first run trains. */
    snprintf(arguments, sizeof arguments, RUN_FIT "%s --out %s-before", options, name);
    ck_assert_msg(run_all("", arguments) == 0, "%s", run_errors);
    snprintf(arguments, sizeof arguments, RUN_FIT "%s --out %s-whole", options, name);
    double begin_s = now_s();
    run whole = run_start("", arguments);
    ck_assert_msg(trains(&whole, arguments), "%s", run_errors);
    double start_s = now_s() - begin_s;
    ck_assert_msg(run_end(&whole) == 0, "%s", run_errors);
    double training_s = now_s() - begin_s - start_s;
    snprintf(arguments, sizeof arguments, RUN_FIT "%s --out %s-cut --resume last", options, name);
    int killed = 0;
    while (killed < kills && kill_once(arguments, start_s, 1.5 * training_s / (kills + 1), killed % 5 == 4, &state))
        killed++;
    /* A machine that has become faster since may end the run before all of them. */
    ck_assert_msg(killed >= kills / 2, "killed only %d times", killed);
    ck_assert_msg(run_all("", arguments) == 0, "%s", run_errors);
    printf("%s: killed %d times in %.2f s of training\n", name, killed, training_s);
    char a[64], b[64];
    snprintf(a, sizeof a, "%s-whole", name);
    snprintf(b, sizeof b, "%s-cut", name);
    runs_same(a, b);
}
