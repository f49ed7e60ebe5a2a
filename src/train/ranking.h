/* Which epochs are the best so far, by the monitor: whose weights are kept. */
#ifndef CLN_SRC_RANKING_H
#define CLN_SRC_RANKING_H

#include "../base/base.h"
#include "clnet/train.h"

typedef struct cln__ranked {
    int epoch; /* from 1 */
    double score;
} cln__ranked;

typedef struct cln__ranking {
    cln_monitor monitor; /* never the default */
    bool lowest;         /* lower scores are better */
    int every;           /* epochs from one score to the next */
    int capacity;        /* 0: nothing is ranked */
    int count;
    cln__ranked at[CLN_MAX_TOP_K + 1]; /* the best first; of equals, the earlier one */
} cln__ranking;

/* From options->monitor, mode and top_k; fails if these want a validation that there is not. */
cln_status cln__ranking_init(cln_context *ctx, const cln_fit_options *options, bool has_validation, cln__ranking *out);

/* What the epoch that `event` tells of is scored by; false if it has no such score. */
bool cln__ranking_score(const cln__ranking *ranking, const cln_fit_event *event, double *score);

/* Ranks the epoch that `event` tells of; false if it is not among the best. *evicted is the epoch that had to go for
 * it, or 0. */
bool cln__ranking_add(cln__ranking *ranking, const cln_fit_event *event, int *evicted);

/* The best epoch, or 0. */
int cln__ranking_best(const cln__ranking *ranking);
bool cln__ranking_has(const cln__ranking *ranking, int epoch);

#endif
