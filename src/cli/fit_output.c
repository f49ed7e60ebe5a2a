/* cltrain fit: what is shown, and all options in a file. */
#include "config.h"
#include "fit.h"

const cli_option fit_output_options[] = {
    {"quiet", CLI_FLAG, FIT_AT(quiet), NULL, "print the result only", 0, 0, NULL},
    {"json-lines", CLI_FLAG, FIT_AT(json_lines), NULL,
     "print progress for programs: a JSON object a line (start, step, epoch, test, stopped, error)", 0, 0, NULL},
    {"tensorboard", CLI_FLAG, FIT_AT(tensorboard), NULL,
     "write an event file for TensorBoard, as is the default (else: --no-tensorboard)", 0, 0, NULL},
    {"print-graph", CLI_FLAG, FIT_AT(print_graph), NULL, "print the graph of operators", 0, 0, NULL},
    {"print-plan", CLI_FLAG, FIT_AT(print_plan), NULL, "print the steps of the training plan", 0, 0, NULL},
    CLI_CONFIG_ROWS(fit_arguments, config),
    {.name = NULL}};

int fit_check_output(const cli_command *command, const fit_arguments *a) {
    const char *other = a->quiet ? "quiet" : a->print_graph ? "print-graph" : a->print_plan ? "print-plan" : NULL;
    if (a->json_lines && other)
        return cli_misuse(command, "--json-lines and --%s exclude each other", other);
    return CLN_OK;
}
