/* Other commands of clbench in processes of their own, whose memory and start-up are then theirs alone. */
#ifndef CLN_BENCH_AGAIN_H
#define CLN_BENCH_AGAIN_H

#include "clnet/base.h"

#include <cjson/cJSON.h>

/* Runs the program at `program` with `arguments` (ends with NULL), which make it print one JSON object. The caller
 * deletes *out. *seconds: from its start to its end. After a failure, what it said is on standard error and *out is
 * NULL; the result is its exit status, or CLN_FAILED where a signal ended it. */
int again(const char *program, const char *const *arguments, cJSON **out, double *seconds);

#endif
