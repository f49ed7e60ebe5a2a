/* cltrain plot: pictures of runs, weights and augmented images. */
#include "commands.h"
#include "curves.h"
#include "report.h"

#include "clnet/plot.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct arguments {
    const char *out, *filters, *layer;
} arguments;

static cln_status plot_filters(cln_context *ctx, const arguments *a, const char *out) {
    cln_weights_file *file;
    cln_status status = cln_weights_file_read(ctx, a->filters, &file);
    if (status != CLN_OK)
        return status;
    status = cln_plot_filters(ctx, file, a->layer, out);
    cln_weights_file_free(file);
    return status;
}

#define AT(member) offsetof(arguments, member)

static const cli_option options[] = {
    {"out", CLI_TEXT, AT(out), "FILE",
     "the picture, .png or .svg (default: curves.png in the folder of the run, or here for several; filters.png)", 0, 0,
     NULL},
    {"filters", CLI_TEXT, AT(filters), "WEIGHTS", "draw the filters of the first convolution of a weights file", 0, 0,
     NULL},
    {"layer", CLI_TEXT, AT(layer), "NAME", "with --filters: of this convolution, as in blocks.0.net.0", 0, 0, NULL},
    {.name = NULL}};

static int check(const arguments *a, int count) {
    if (a->filters ? count > 0 : count == 0)
        return cli_misuse(&plot_command, a->filters ? "--filters and runs exclude each other" : "no run is given");
    if (count > CLN_PLOT_MAX_RUNS)
        return cli_misuse(&plot_command, "%d runs are given, at most %d can be told apart", count, CLN_PLOT_MAX_RUNS);
    if (a->layer && !a->filters)
        return cli_misuse(&plot_command, "--layer is for --filters");
    if (a->out && !cln_plot_can_write(a->out))
        return cli_misuse(&plot_command, "--out: expected a file that ends in .png or .svg, found '%s'", a->out);
    return CLN_OK;
}

static char *default_out(const arguments *a, const char *const *runs, int count) {
    struct stat info;
    if (a->filters)
        return strdup("filters.png");
    bool folder = count == 1 && stat(runs[0], &info) == 0 && S_ISDIR(info.st_mode);
    return folder ? curves_path(runs[0]) : strdup("curves.png");
}

static int run(const arguments *a, const char *const *runs, int count) {
    cln_context *ctx;
    if (cln_context_new(&ctx) != CLN_OK)
        return report_no_memory(CLI_PROGRAM);
    char *out = a->out ? strdup(a->out) : default_out(a, runs, count);
    cln_status status = CLN_OUT_OF_MEMORY;
    if (out)
        status = a->filters ? plot_filters(ctx, a, out) : curves_plot(ctx, runs, count, out);
    int exit_status = report_end(CLI_PROGRAM, ctx, status);
    if (status == CLN_OK)
        printf("%s\n", out);
    free(out);
    cln_context_free(ctx);
    return exit_status;
}

static int run_command(int argc, char **argv) {
    arguments a = {.out = NULL};
    int count, exit_status;
    if (!cli_parse(&plot_command, &a, argc, argv, &count, &exit_status))
        return exit_status;
    exit_status = check(&a, count);
    return exit_status ? exit_status : run(&a, (const char *const *)argv + 1, count);
}

const cli_command plot_command = {CLI_PROGRAM,
                                  "plot",
                                  "draw learning curves or filters",
                                  "Draws the learning curves of runs, given by their folders (or their metrics.csv), "
                                  "side by side; or filters.",
                                  "RUN...",
                                  CLI_ONE_GROUP(options),
                                  run_command};
