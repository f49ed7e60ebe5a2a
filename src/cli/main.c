/* cltrain: trains and tests convolutional networks on any OpenCL device. */
#include "commands.h"
#include "options.h"
#include "tuning.h"

int main(int argc, char **argv) {
    static const cli_entry entries[] = {
        {"fit", cmd_fit, "train a network on a data set, then test it"},
        {"test", cmd_test, "test a weights file on a data set"},
        {"summary", cmd_summary, "list the layers of a network; needs no OpenCL device"},
        {"devices", cmd_devices, "list the OpenCL devices"},
        {"models", cmd_models, "list the networks that can be trained"},
        {TUNING_WORKER, tuning_worker, NULL},
    };
    return cli_dispatch(CLI_PROGRAM, "trains convolutional networks on any OpenCL device", entries,
                        sizeof entries / sizeof *entries, argc, argv);
}
