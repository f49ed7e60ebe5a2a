/* cltrain fit: what is shown. */
#include "fit.h"

const cli_option fit_output_options[] = {
    {"quiet", CLI_FLAG, FIT_AT(quiet), NULL, "print the result only", 0, 0, NULL},
    {"print-graph", CLI_FLAG, FIT_AT(print_graph), NULL, "print the graph of operators", 0, 0, NULL},
    {"print-plan", CLI_FLAG, FIT_AT(print_plan), NULL, "print the steps of the training plan", 0, 0, NULL},
    {.name = NULL}};
