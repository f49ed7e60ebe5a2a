/* cltrain fit: on what it runs, and by which kernels. */
#include "fit.h"

const cli_option fit_run_options[] = {
    {"device", CLI_TEXT, FIT_AT(device), "DEVICE",
     "index as in 0:0, cpu, gpu, or a part of the name (see cltrain devices); default: discrete GPU, integrated GPU, "
     "CPU",
     0, 0, NULL},
    {"variant", CLI_TEXT, FIT_AT(variant), "NAME", "use this kernel variant wherever it can serve", 0, 0, NULL},
    {"benchmark", CLI_FLAG, FIT_AT(benchmark), NULL,
     "first measure the kernel variants of the steps that were never measured on this device (see clbench tune)", 0, 0,
     NULL},
    {"budget", CLI_REAL, FIT_AT(budget_s), "SECONDS", "for --benchmark (default 600)", 1e-3, 1e6, NULL},
    TUNING_CLI(fit_arguments, tuning),
    {.name = NULL}};

int fit_check_run(const cli_command *command, const fit_arguments *a) {
    if (a->benchmark && (a->tuning.none || a->variant || a->pretrained))
        return cli_misuse(command, "--benchmark excludes --no-tuning, --variant and --pretrained");
    if (a->budget_s > 0 && !a->benchmark)
        return cli_misuse(command, "--budget is for --benchmark");
    return CLN_OK;
}
