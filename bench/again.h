/* Other commands of clbench in processes of their own, whose memory and start-up are then theirs alone. */
#ifndef CLN_BENCH_AGAIN_H
#define CLN_BENCH_AGAIN_H

#include "clnet/base.h"

#include <cjson/cJSON.h>

/* Runs the program at `program` with `arguments` (ends with NULL), which make it print one JSON object. The caller
 * deletes *out. *seconds: from its start to its end. After a failure, standard error tells of it and *out is NULL; the
 * result is the exit status, CLN_FAILED where a signal ended it, or CLN_IO where it could not be started or read. */
int again(const char *program, const char *const *arguments, cJSON **out, double *seconds);

#endif
