/* cltrain: trains and tests convolutional networks on any OpenCL device. */
#include "commands.h"
#include "tuning.h"

int main(int argc, char **argv) {
    static const cli_command *const commands[] = {
        &fit_command,     &validate_command, &test_command,   &predict_command,       &plot_command, &export_command,
        &summary_command, &devices_command,  &models_command, &tuning_worker_command, NULL};
    return cli_dispatch(CLI_PROGRAM, "trains convolutional networks on any OpenCL device", commands, argc, argv);
}
