/* Where the time of a run goes: see cln_fit_profile. Does nothing unless the options ask for it. */
#ifndef CLN_SRC_PROFILER_H
#define CLN_SRC_PROFILER_H

#include "trainer.h"

cln_status cln__profiler_open(cln__trainer *t);
/* From now on the time counts for `phase`. Returns the phase before. */
cln_phase cln__profiler_enter(cln__trainer *t, cln_phase phase);
/* cln__flight_start of a training step; the times of some steps' kernels are taken, which changes nothing else. */
cln_status cln__profiler_step(cln__trainer *t, const cln_batch *batch, const cln_rates *rates, cln__flight *out);
/* Completes the profile and writes trace.json. */
cln_status cln__profiler_end(cln__trainer *t);
void cln__profiler_close(cln__trainer *t);

#endif
