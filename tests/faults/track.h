/* Calls of our own code that are counted, remembered by the way that led to them, and made to fail: see track.c. */
#ifndef CLN_TESTS_FAULTS_TRACK_H
#define CLN_TESTS_FAULTS_TRACK_H

#include <stdbool.h>
#include <stddef.h>

typedef struct call {
    const char *name;
    bool on_device; /* fails too once the device is lost */
    long count;
    struct call *next;
} call;

/* Counts the call; whether it must fail. */
bool fault(call *c);
/* OpenCL's code to fail with. */
int fault_code(void);

/* Memory that our code has allocated and must free; adding NULL and dropping what was not added do nothing. */
void live_add(const void *memory);
void live_drop(const void *memory);

/* OpenCL objects, by kind. */
enum { LIVE_CONTEXT, LIVE_QUEUE, LIVE_BUFFER, LIVE_PROGRAM, LIVE_KERNEL, LIVE_EVENT, LIVE_KINDS };
void live_object(int kind, int change);
extern const char *const live_names[LIVE_KINDS];
/* How many there are. */
long live_objects(int kind);
long live_blocks(void);
/* From here on the tables of what is alive are in memory as a whole, so that they do not count as growth. */
void live_settle(void);

#endif
