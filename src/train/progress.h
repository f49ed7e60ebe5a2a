/* How far a run is and what came of it so far, as the JSON object that is the metadata "progress" of resume.safetensors
 * (resume.h). */
#ifndef CLN_SRC_PROGRESS_H
#define CLN_SRC_PROGRESS_H

#include "trainer.h"

/* Of t->position and what goes with it, malloc'ed; NULL for lack of memory. */
char *cln__progress_print(const cln__trainer *t);
/* Sets position, ranking, stopping and validation; false if the text is no progress of this run. */
bool cln__progress_read(cln__trainer *t, const char *text);

#endif
