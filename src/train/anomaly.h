/* A look at gradients and weights after a step. */
#ifndef CLN_SRC_ANOMALY_H
#define CLN_SRC_ANOMALY_H

#include "trainer.h"

/* Waits for the step `index` of `epoch` (both from 0), whose loss was finite. CLN_DIVERGED, naming the layer, if a
 * gradient or a weight is not. */
cln_status cln__anomaly_check(cln__trainer *t, int epoch, int64_t index);

#endif
