/* The tuner in the programs: see tuning.h. */
#include "tuning.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

void tuning_command(char **argv, const char *command[TUNING_COMMAND]) {
    static const char self[] = "/proc/self/exe"; /* Linux; elsewhere the program as it was called */
    command[0] = access(self, X_OK) == 0 ? self : argv[-1];
    command[1] = tuning_worker_command.name;
    command[2] = NULL;
}

static int run_worker(int argc, char **argv) {
    return cln_tune_worker(argc - 1, argv + 1);
}

const cli_command tuning_worker_command = {.name = "tune-worker", .run = run_worker};

static void show_time(const cln_tune_event *e) {
    if (strcmp(e->candidate, e->rule) == 0)
        printf("%s %.3f ms, as by default\n", e->candidate, e->seconds * 1e3);
    else if (e->rule_seconds > 0)
        printf("%s %.3f ms, %.0f%% of the %.3f ms of %s\n", e->candidate, e->seconds * 1e3,
               100 * e->seconds / e->rule_seconds, e->rule_seconds * 1e3, e->rule);
    else
        printf("%s %.3f ms, as %s, the default, is lost\n", e->candidate, e->seconds * 1e3, e->rule);
}

void tuning_show(void *user, const cln_tune_event *e) {
    (void)user;
    switch (e->stage) {
    case CLN_TUNE_BEGIN:
        printf("tuning: %d computation%s to measure, %d known; at most %.0f s\n", e->count, e->count == 1 ? "" : "s",
               e->known, e->budget_s);
        break;
    case CLN_TUNE_CANDIDATE:
        return;
    case CLN_TUNE_LOST:
        printf("  lost: %s%s%s: %s\n", e->candidate ? e->candidate : "", e->candidate ? " of " : "", e->signature,
               e->message);
        break;
    case CLN_TUNE_SAVED:
        printf("[%d/%d, %.0f s] %s: ", e->index, e->count, e->elapsed_s, e->signature);
        show_time(e);
        break;
    }
    fflush(stdout);
}

void tuning_show_result(const cln_tune_result *r) {
    printf("tuned %d computation%s in %.0f s", r->tuned, r->tuned == 1 ? "" : "s", r->seconds);
    if (r->lost)
        printf("; %d candidate%s lost", r->lost, r->lost == 1 ? "" : "s");
    if (r->left)
        printf("; %d left as they are", r->left);
    printf("\n");
    fflush(stdout);
}
