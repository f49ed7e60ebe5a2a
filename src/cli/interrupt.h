/* Stopping a run by signals, and going on with it. */
#ifndef CLN_SRC_INTERRUPT_H
#define CLN_SRC_INTERRUPT_H

#include <stdbool.h>

/* From now on the first SIGINT or SIGTERM only asks for the end; a SIGINT after that ends the program at once. A file
 * that grows too large for the shell's limit fails to be written instead of ending the program. */
void interrupt_install(void);
/* The signal that asked, or 0. */
int interrupt_signal(void);
/* cln_fit_options.should_stop */
bool interrupt_asked(void *user);

enum { INTERRUPT_PATH = 4096 };
/* The state to go on from: what --resume says, "last" being that of the folder `out`. NULL: there is none yet. `path`
 * has INTERRUPT_PATH bytes. */
const char *interrupt_state(const char *resume, const char *out, char *path);
/* The folder of the state that --resume names by path. */
const char *interrupt_folder(const char *resume, char *path);

/* For a shell, the command line with which a run goes on that the present one began: argv[-1] is the program.
 * Malloc'ed; NULL for lack of memory. */
char *interrupt_command(int argc, char **argv, const char *out);

#endif
