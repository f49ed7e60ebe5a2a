/* The schedule of learning rate and momentum, as far as the trainer needs more of it than cln_recipe_rates. */
#ifndef CLN_SRC_SCHEDULE_H
#define CLN_SRC_SCHEDULE_H

#include "../base/base.h"
#include "clnet/train.h"

/* What a learning rate is called in curves and tables, as PyTorch Lightning's LearningRateMonitor does it: "lr-SGD",
 * ...; "lr" without an optimiser. */
const char *cln__rate_name(cln_optimizer_kind kind);
/* The optimiser as a plan must know it: with a momentum, if the schedule sets one. */
cln_optimizer cln__schedule_optimizer(const cln_recipe *recipe);
/* The one-cycle's numbers with the defaults filled in. */
cln_onecycle cln__schedule_onecycle(const cln_recipe *recipe);
/* CLN_INVALID_ARGUMENT, saying what is out of range. */
cln_status cln__schedule_check(cln_context *ctx, const cln_recipe *recipe);
/* The same, if a warm-up leaves nothing of the run, with `updates` in an epoch. */
cln_status cln__schedule_check_length(cln_context *ctx, const cln_recipe *recipe, int64_t updates);

#endif
