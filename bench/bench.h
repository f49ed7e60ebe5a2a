/* The commands of clbench. */
#ifndef CLN_BENCH_H
#define CLN_BENCH_H

#include "../src/cli/options.h"

extern const cli_command verify_command, peak_command, train_command, infer_command, ops_command, tune_command,
    table_command, race_command, compare_command, report_command;

#endif
