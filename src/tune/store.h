/* Between the files of src/tune: the database (store.c), choices (choices.c), JSON (exchange.c), one computation tried
 * (trial.c) by a process of its own (worker.c), which tune.c starts through child.c. */
#ifndef CLN_SRC_TUNE_STORE_H
#define CLN_SRC_TUNE_STORE_H

#include "../base/base.h"
#include "clnet/tune.h"

cln_context *cln__tuning_context(const cln_tuning *tuning);
/* All, or none after a failure. */
cln_status cln__tuning_save_all(cln_tuning *tuning, const cln_tuning_record *records, int count);
/* Whether they are of the same device, driver and kernels. */
bool cln__tuning_same_key(const cln_tuning_record *a, const cln_tuning_record *b);

/* Choices under construction: room for `capacity`, then copies of the texts. False for lack of memory. */
bool cln__choices_begin(cln_choices *choices, int capacity);
bool cln__choices_add(cln_choices *choices, const char *signature, const char *candidate);

#endif
