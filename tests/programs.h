/* The programs as a user runs them, from a folder of the suite, in a shell. */
#ifndef CLN_TESTS_PROGRAMS_H
#define CLN_TESTS_PROGRAMS_H

#include <cjson/cJSON.h>

/* What the last one printed. */
extern char program_output[1 << 18], program_errors[1 << 16];

/* Runs "<program> <arguments>", the program being one of CLNET_BIN_DIR, in `folder`; `before` is put before it ("", or
 * "POCL_X=1"). The exit status. */
int program_run(const char *folder, const char *before, const char *format, ...);

/* What it printed, which must be JSON; the caller deletes it. */
cJSON *program_json(void);
/* The number `name` of an object, which must be there. */
double json_number(const cJSON *object, const char *name);

#endif
