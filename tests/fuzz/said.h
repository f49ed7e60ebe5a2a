/* For targets whose readers print what is wrong: standard error, caught, must be one line of plain text. */
#ifndef CLN_TESTS_FUZZ_SAID_H
#define CLN_TESTS_FUZZ_SAID_H

#include "fuzz.h"

/* From here on standard error is caught ... */
void said_begin(void);
/* ... until here, where there must be a message for a failure, and none for success. */
void said_end(cln_status status);

#endif
