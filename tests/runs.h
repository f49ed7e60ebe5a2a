/* Runs of cltrain fit as processes that are watched, killed, gone on with, and compared. */
#ifndef CLN_TESTS_RUNS_H
#define CLN_TESTS_RUNS_H

#include <check.h>
#include <stdbool.h>
#include <sys/types.h>

/* A network that is built and trained in a moment, and a few steps an epoch on the tiny data set in data/. */
#define RUN_FIT                                                                                                        \
    "fit --model ResNet --hparams '{\"num_blocks\": [1], \"c_hidden\": [8]}' --data data --batch-size 16 "             \
    "--val-split 20 "

/* What a process that was started printed, until the next one is started. */
extern char run_output[1 << 16], run_errors[1 << 16];

typedef struct run {
    pid_t pid;
    bool ended;
    int status; /* as waitpid gives it */
} run;

/* The folder in which runs are started: call before any other. */
void run_begin(const char *folder);
/* A folder for that, with tiny.h's data set in its folder "data"; malloc'ed, for folder_remove. Begins. */
char *run_folder_new(void);
/* Such a folder for a whole suite. */
extern char *run_root;
void run_fixture(TCase *tests);
/* Starts cltrain of CLNET_BIN_DIR with `arguments`, as a shell reads them; `before` is put before it ("" or "ulimit -f
 * 9; exec"). */
run run_start(const char *before, const char *arguments);
/* The same of another program. */
run run_start_program(const char *program, const char *before, const char *arguments);
/* Waits until the process has printed `text`; false if it ended without. */
bool run_prints(run *r, const char *text);
void run_signal(const run *r, int number);
/* Waits for the end; then run_output and run_errors are complete. The exit status, or minus the number of a signal. */
int run_end(run *r);
/* Start and end in one. */
int run_all(const char *before, const char *arguments);
/* The same of a run that must succeed, or end with `status` and one message, in which `message` is. */
void run_well(const char *arguments);
void run_fails(const char *arguments, int status, const char *message);
/* Whether there is a file `name` in run_root; its bytes, malloc'ed, with a zero behind them; `size` may be
 * NULL. */
bool run_has(const char *name);
char *run_read(const char *name, size_t *size);

/* Fails the test unless the folders have the same files with the same bytes; in metrics.csv the last column, a speed,
 * does not count, nor do times in event files and the content of trace.json. */
void runs_same(const char *a, const char *b);

/* Trains with `options` into the folder <name>-whole, then again into <name>-cut, where the process is killed `kills`
 * times, at moments drawn from `seed`, and gone on with; both must end the same. */
void runs_kill(const char *name, const char *options, int kills, unsigned seed);

#endif
