/* From the folders of runs to a picture: see curves.h. */
#include "curves.h"
#include "paths.h"

#include <stdlib.h>
#include <sys/stat.h>

/* `run` is the folder of a run, or its metrics.csv. */
static cln_status read_run(cln_context *ctx, const char *run, cln_metrics **out) {
    struct stat info;
    if (stat(run, &info) != 0 || !S_ISDIR(info.st_mode))
        return cln_metrics_read(ctx, run, out);
    char *path = path_join(run, "metrics.csv");
    cln_status status = path ? cln_metrics_read(ctx, path, out) : CLN_OUT_OF_MEMORY;
    free(path);
    return status;
}

cln_status curves_plot(cln_context *ctx, const char *const *runs, int count, const char *out) {
    cln_plot_run list[CLN_PLOT_MAX_RUNS] = {{NULL, NULL}};
    cln_metrics *metrics[CLN_PLOT_MAX_RUNS] = {NULL};
    cln_status status = CLN_OK;
    for (int i = 0; i < count && status == CLN_OK; i++) {
        status = read_run(ctx, runs[i], &metrics[i]);
        list[i] = (cln_plot_run){runs[i], metrics[i]};
    }
    if (status == CLN_OK)
        status = cln_plot_curves(ctx, list, count, out);
    for (int i = 0; i < count; i++)
        cln_metrics_free(metrics[i]);
    return status;
}

char *curves_path(const char *folder) {
    return path_join(folder, "curves.png");
}
