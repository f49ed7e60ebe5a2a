/* Which kernels a run uses: those that it used before, if it is resumed, else the tuner's results. */
#ifndef CLN_SRC_KERNELS_H
#define CLN_SRC_KERNELS_H

#include "trainer.h"

/* Fills in t->choices for the plans of the jobs, and their options' members; tunes first if that is asked for. */
cln_status cln__kernels_choose(cln__trainer *t, cln_plan_options *training, cln_plan_options *evaluation);

/* Once the plans are built: warns if a resumed run's record lacks some of their computations. */
void cln__kernels_warn(const cln__trainer *t);

/* The choices of both plans as JSON, for the run's files; NULL for lack of memory. */
char *cln__kernels_print(const cln_plan *training, const cln_plan *evaluation);

#endif
