/* Learning curves of runs, given by their folders or their metrics.csv. */
#ifndef CLN_SRC_CLI_CURVES_H
#define CLN_SRC_CLI_CURVES_H

#include "clnet/plot.h"

/* Draws at most CLN_PLOT_MAX_RUNS of them into `out`. */
cln_status curves_plot(cln_context *ctx, const char *const *runs, int count, const char *out);
/* Where those of one run go: curves.png in its folder. malloc'ed; NULL for lack of memory. */
char *curves_path(const char *folder);

#endif
