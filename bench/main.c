/* clbench: checks a device against reference results and measures it. */
#include "../src/cli/tuning.h"
#include "bench.h"

int main(int argc, char **argv) {
    static const cli_command *const commands[] = {
        &verify_command, &peak_command, &train_command,   &infer_command,  &ops_command,           &tune_command,
        &table_command,  &race_command, &compare_command, &report_command, &tuning_worker_command, NULL};
    return cli_dispatch("clbench", "checks and measures OpenCL devices for clnet", commands, argc, argv);
}
