/* What worker.c prints and tune.c reads, a line each; candidates are counted from 0, which is the rule's choice:
 *
 *   candidates COUNT
 *   try INDEX CANDIDATE                  it is being built, checked and measured
 *   done INDEX SECONDS RULE_SECONDS      and that is its time, and the rule's beside it (0: there is none)
 *   refused INDEX MESSAGE                or it could not be built
 *   bad INDEX MESSAGE                    or it failed: the worker ends, as what it ran may have broken more than itself
 *   confirming INDEX CANDIDATE           at the end: the fastest is measured anew, as the best of many is often luck
 *   confirm INDEX SECONDS RULE_SECONDS   and that is its time
 *   failed MESSAGE                       the computation cannot be tried at all
 *   end
 *
 * A worker that follows one that was lost begins where that one ended, and is told which candidate is the best so far.
 * Each line begins with a word of ours, so that what a driver prints is not taken for a result. */
#ifndef CLN_SRC_TUNE_PROTOCOL_H
#define CLN_SRC_TUNE_PROTOCOL_H

#define CLN__TUNE_MARK "clnet-tune: "
enum { CLN__TUNE_LINE = 2048 };
/* A candidate that is preferred to the rule's takes at most this part of its time. */
#define CLN__TUNE_RATIO 0.97
/* Until the first candidate, which includes the reference, a worker has so many times the time of a candidate. */
enum { CLN__TUNE_PREPARATION = 5 };

/* Another process, of which a pipe is read. */
typedef struct cln__child {
    long pid; /* 0: none */
    int pipe;
    int used;
    char text[CLN__TUNE_LINE];
} cln__child;

typedef enum cln__heard { CLN__HEARD_LINE, CLN__HEARD_END, CLN__HEARD_NOTHING } cln__heard;

/* Starts `argv` (ends with NULL) with its standard output as the pipe and standard error and input closed; 0 or
 * errno's value. */
int cln__child_start(cln__child *child, const char *const *argv);
/* The next line of ours, without its mark and end, into `line`. NOTHING: none came within `seconds`, or a signal did.
 */
cln__heard cln__child_read(cln__child *child, double seconds, char line[CLN__TUNE_LINE]);
/* Ends it, and all that it has started, if it still runs; tells how it ended in `how`. */
void cln__child_stop(cln__child *child, char how[64]);

#endif
