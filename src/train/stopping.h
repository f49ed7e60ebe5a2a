/* Early stopping: when the monitor has not been better for long enough. */
#ifndef CLN_SRC_STOPPING_H
#define CLN_SRC_STOPPING_H

#include "ranking.h"

#include <cjson/cJSON.h>

/* Fails if there is nothing to monitor. */
cln_status cln__stopping_check(cln_context *ctx, const cln_fit_options *options, bool has_validation);

/* Counts the epoch that `event` tells of, if it has a score. */
void cln__stopping_add(cln_stopping *stopping, const cln_fit_options *options, const cln__ranking *ranking,
                       const cln_fit_event *event);

/* As a member of the state to resume from, and back: false if it is not that of a run of `epochs` epochs. */
void cln__stopping_write(const cln_stopping *stopping, cJSON *object);
bool cln__stopping_read(const cJSON *object, int64_t epochs, const cln_fit_options *options, cln_stopping *stopping);

#endif
