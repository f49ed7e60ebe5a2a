/* Event files read back: for tests of what was written. */
#ifndef CLN_TESTS_EVENTS_H
#define CLN_TESTS_EVENTS_H

#include <stdint.h>
#include <tensorboard.pb-c.h>

enum { MOST_EVENTS = 4096 };
typedef struct events {
    int count;
    Cln__Tb__Event *at[MOST_EVENTS];
} events;

/* Every event of the file; a record with a wrong length or checksum, or a torn one, fails the test. */
events *events_read(const char *path);
void events_free(events *e);
/* The name of the only event file of a folder, malloc'ed. */
char *events_name(const char *folder);

/* How many points the curve has; the last of them at *step and *value, where they are not NULL. */
int events_scalar(const events *e, const char *tag, int64_t *step, float *value);
/* The first value of that tag, or NULL. */
const Cln__Tb__Value *events_find(const events *e, const char *tag);
/* The graph; the caller frees it with cln__tb__graph__free_unpacked. */
Cln__Tb__Graph *events_graph(const events *e);

#endif
