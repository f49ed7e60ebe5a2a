/* As test_resume.c, with twenty kills of one run, for every kind of optimiser state. */
#include "files.h"
#include "runs.h"
#include "suite.h"

#include <stdlib.h>

START_TEST(killed_twenty_times) {
    static const char *const names[] = {"sgd", "adamw", "muon"};
    static const char *const options[] = {"--epochs 60 --save-every 0.05 --save-top-k 3",
                                          "--epochs 60 --save-every 0 --optimizer adamw --monitor train_loss",
                                          "--epochs 60 --save-every 0.05 --optimizer muon --lr-scheduler onecycle"};
    runs_kill(names[_i], options[_i], 20, 11 + (unsigned)_i);
}
END_TEST

static void add_tests(TCase *tests) {
    if (!suite_has_programs())
        return;
    run_fixture(tests);
    tcase_add_loop_test(tests, killed_twenty_times, 0, 3);
}

int main(void) {
    return suite_run_on_device("slow_resume", add_tests);
}
