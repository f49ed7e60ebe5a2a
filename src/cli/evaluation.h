/* How the result of a test is shown: as tables, or as JSON. */
#ifndef CLN_SRC_CLI_EVALUATION_H
#define CLN_SRC_CLI_EVALUATION_H

#include "clnet/evaluate.h"

#include <cjson/cJSON.h>

void evaluation_print(const cln_evaluation *e);
/* NULL for lack of memory. */
cJSON *evaluation_json(const cln_evaluation *e);

#endif
