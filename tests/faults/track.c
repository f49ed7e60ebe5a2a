/* What the wrapped calls (wrap.c) do: they are counted, and one of them fails, or all from one on.
 *
 *   CLNET_FAULT=NAME:N         the N-th call of NAME fails
 *   CLNET_FAULT=NAME:N+        and all later ones
 *   CLNET_FAULT=...:CODE       with this OpenCL code (default: CL_OUT_OF_RESOURCES)
 *   CLNET_FAULT=...,NAME:N     and another call fails, too (one CODE serves both)
 *   CLNET_FAULT=lost:N         from the N-th launch of a kernel on, every call that uses the device fails
 *   CLNET_FAULT_REPORT=FILE    what is told at the end: "count NAME N"; "live WHAT N" for what was not released;
 *                              "leak ADDRESS..." the way to each block of memory among it; and "hit", if the last of
 *                              CLNET_FAULT was met
 *   CLNET_FAULT_WAYS=DEPTH     and "way NAME N ADDRESS...": the N-th call of NAME was the first that came by this way,
 *                              which is the DEPTH innermost return addresses in our own code
 *   CLNET_FAULT=clock:1        the time of day goes backwards, an hour a call
 *
 * Processes that the program starts see none of these. */
#include "track.h"

#include <execinfo.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS = 1 << 14, BLOCKS = 1 << 18, MAX_DEPTH = 12, MAX_FRAMES = 64, MAX_FAULTS = 2 };
enum { CL_OUT_OF_RESOURCES_CODE = -5 };

typedef struct way {
    const call *of;
    long number;
    void *address[MAX_DEPTH];
} way;

typedef struct block {
    const void *memory; /* NULL: free */
    void *address[MAX_DEPTH];
} block;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static call *calls;
static way ways[WAYS];
static block blocks[BLOCKS];
static long objects[LIVE_KINDS];
static long block_count, way_count;

static struct wanted {
    char name[64];
    long number;
    bool rest; /* and all later ones */
} wanted[MAX_FAULTS];
static int wanted_count;
static char report[4096];
static bool device_lost, hit;
static int code = CL_OUT_OF_RESOURCES_CODE, depth;

#define NOINLINE __attribute__((noinline))

/* The report is no call of the program's. */
FILE *__real_fopen64(const char *path, const char *mode);
int __real_fclose(FILE *file);

extern char __executable_start, etext;

static void take(const char *name, char *out, size_t size) {
    const char *value = getenv(name);
    snprintf(out, size, "%s", value ? value : "");
    unsetenv(name);
}

/* Behind it there may be another. */
static const char *read_fault(const char *text) {
    struct wanted *w = &wanted[wanted_count];
    size_t length = strcspn(text, ":");
    if (wanted_count == MAX_FAULTS || !text[length] || length >= sizeof w->name)
        abort();
    memcpy(w->name, text, length);
    const char *number = text + length + 1;
    char *at;
    w->number = strtol(number, &at, 10);
    if (at == number)
        abort();
    w->rest = *at == '+';
    at += w->rest;
    if (*at == ':')
        code = (int)strtol(at + 1, &at, 10);
    if (*at && *at != ',')
        abort();
    wanted_count++;
    return *at ? at + 1 : at;
}

__attribute__((constructor)) static void begin(void) {
    char text[MAX_FAULTS * sizeof *wanted], number[16];
    take("CLNET_FAULT", text, sizeof text);
    take("CLNET_FAULT_REPORT", report, sizeof report);
    take("CLNET_FAULT_WAYS", number, sizeof number);
    depth = atoi(number);
    depth = depth < MAX_DEPTH ? depth : MAX_DEPTH;
    for (const char *next = text; *next;)
        next = read_fault(next);
}

/* The innermost return addresses that are in the program itself, but for the `inner` ones of this file and wrap.c. */
NOINLINE static void find_way(void **out, int most, int inner) {
    void *frames[MAX_FRAMES];
    int count = backtrace(frames, MAX_FRAMES), found = 0;
    for (int i = inner; i < count && found < most; i++)
        if ((char *)frames[i] >= &__executable_start && (char *)frames[i] < &etext)
            out[found++] = frames[i];
}

static uint64_t mix(uint64_t hash, uint64_t value) {
    return (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15) ^ (hash >> 29);
}

NOINLINE static void note_way(const call *c) {
    void *address[MAX_DEPTH] = {0};
    find_way(address, depth, 4);
    uint64_t at = mix(7, (uint64_t)(uintptr_t)c);
    for (int i = 0; i < depth; i++)
        at = mix(at, (uint64_t)(uintptr_t)address[i]);
    for (at %= WAYS; ways[at].of; at = (at + 1) % WAYS)
        if (ways[at].of == c && memcmp(ways[at].address, address, sizeof address) == 0)
            return;
    if (++way_count > WAYS / 2)
        abort();
    ways[at] = (way){c, c->count, {0}};
    memcpy(ways[at].address, address, sizeof address);
}

static bool is_met(const struct wanted *w, const call *c) {
    if (strcmp(w->name, "lost") == 0)
        return device_lost && c->on_device;
    return strcmp(c->name, w->name) == 0 && (w->rest ? c->count >= w->number : c->count == w->number);
}

NOINLINE bool fault(call *c) {
    pthread_mutex_lock(&lock);
    if (c->count++ == 0) {
        c->next = calls;
        calls = c;
    }
    if (depth > 0)
        note_way(c);
    bool fails = false;
    for (int i = 0; i < wanted_count; i++) {
        const struct wanted *w = &wanted[i];
        if (strcmp(w->name, "lost") == 0 && strcmp(c->name, "clEnqueueNDRangeKernel") == 0)
            device_lost = device_lost || c->count >= w->number;
        bool met = is_met(w, c);
        hit = hit || (met && i == wanted_count - 1);
        fails = fails || met;
    }
    pthread_mutex_unlock(&lock);
    return fails;
}

int fault_code(void) {
    return code;
}

/* --- what is alive --- */

static size_t slot_of(const void *memory) {
    size_t at = (size_t)mix(3, (uint64_t)(uintptr_t)memory) % BLOCKS;
    while (blocks[at].memory && blocks[at].memory != memory)
        at = (at + 1) % BLOCKS;
    return at;
}

NOINLINE void live_add(const void *memory) {
    if (!memory)
        return;
    pthread_mutex_lock(&lock);
    if (++block_count > BLOCKS / 2)
        abort();
    block *b = &blocks[slot_of(memory)];
    *b = (block){.memory = memory};
    if (depth > 0 || wanted_count > 0)
        find_way(b->address, MAX_DEPTH, 3);
    pthread_mutex_unlock(&lock);
}

void live_drop(const void *memory) {
    pthread_mutex_lock(&lock);
    size_t at = memory ? slot_of(memory) : 0;
    if (memory && blocks[at].memory) {
        blocks[at].memory = NULL;
        block_count--;
        /* Those behind it must still be found: they are put in again. */
        for (size_t next = (at + 1) % BLOCKS; blocks[next].memory; next = (next + 1) % BLOCKS) {
            block moved = blocks[next];
            blocks[next].memory = NULL;
            blocks[slot_of(moved.memory)] = moved;
        }
    }
    pthread_mutex_unlock(&lock);
}

void live_object(int kind, int change) {
    pthread_mutex_lock(&lock);
    objects[kind] += change;
    pthread_mutex_unlock(&lock);
}

const char *const live_names[LIVE_KINDS] = {"context", "queue", "buffer", "program", "kernel", "event"};

long live_objects(int kind) {
    pthread_mutex_lock(&lock);
    long count = objects[kind];
    pthread_mutex_unlock(&lock);
    return count;
}

long live_blocks(void) {
    pthread_mutex_lock(&lock);
    long count = block_count;
    pthread_mutex_unlock(&lock);
    return count;
}

void live_settle(void) {
    for (int i = 0; i < BLOCKS; i++)
        *(void *volatile *)&blocks[i].address[0] = blocks[i].address[0];
}

/* --- the report --- */

static void write_way(FILE *out, void *const *address) {
    for (int i = 0; i < MAX_DEPTH && address[i]; i++)
        fprintf(out, " %p", address[i]);
    fprintf(out, "\n");
}

__attribute__((destructor)) static void end(void) {
    FILE *out = report[0] ? __real_fopen64(report, "w") : NULL;
    if (!out)
        return;
    for (const call *c = calls; c; c = c->next)
        fprintf(out, "count %s %ld\n", c->name, c->count);
    for (int i = 0; i < WAYS; i++)
        if (ways[i].of) {
            fprintf(out, "way %s %ld", ways[i].of->name, ways[i].number);
            write_way(out, ways[i].address);
        }
    for (int i = 0; i < LIVE_KINDS; i++)
        fprintf(out, "live %s %ld\n", live_names[i], objects[i]);
    fprintf(out, "live memory %ld\n", block_count);
    for (int i = 0; i < BLOCKS; i++)
        if (blocks[i].memory) {
            fprintf(out, "leak");
            write_way(out, blocks[i].address);
        }
    if (hit)
        fprintf(out, "hit\n");
    __real_fclose(out);
}
