/* How far a run is and what came of it so far, as the JSON object that is the metadata "progress" of resume.safetensors
 * (resume.h). */
#ifndef CLN_SRC_PROGRESS_H
#define CLN_SRC_PROGRESS_H

#include "trainer.h"

/* Of t->position and what goes with it, malloc'ed; NULL for lack of memory. */
char *cln__progress_print(const cln__trainer *t);
/* Sets position, ranking, stopping and validation; refuses a text that is no progress of this run, in words that name
 * the state `path`. */
cln_status cln__progress_read(cln__trainer *t, const char *path, const char *text);

#endif
