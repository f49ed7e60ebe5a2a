/* What cltrain fit shows while it trains: a bar on a terminal, plain lines elsewhere. */
#ifndef CLN_SRC_PROGRESS_H
#define CLN_SRC_PROGRESS_H

#include "clnet/train.h"

typedef struct progress {
    cln_context *ctx; /* whose warnings are shown */
    bool quiet;
    bool terminal;  /* standard output is one */
    bool rates;     /* learning rates are tried: a step tells its rate and loss */
    double shown_s; /* when something was printed last */
} progress;

progress progress_new(cln_context *ctx, bool quiet);
/* cln_fit_options.on_event; `user` is a progress. */
void progress_show(void *user, const cln_fit_event *event);
void progress_result(const cln_fit_result *result);
/* A table of scores; a validation of no images is left out. */
void progress_scores(const cln_score *validation, const cln_score *test);
/* Ends a bar that is left when training ends within an epoch. */
void progress_stop(const progress *p);

#endif
