/* A reader of event files, for tests: see events.h. */
#include "events.h"
#include "../src/io/records.h"
#include "files.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 24 };

static uint64_t number(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

/* The record at `at`, of which `left` bytes are there; returns its length. */
static size_t take(events *e, const uint8_t *at, size_t left) {
    ck_assert_uint_ge(left, CLN__RECORD_HEAD + CLN__RECORD_TAIL);
    uint64_t size = number(at, 8);
    ck_assert_uint_le(size, left - CLN__RECORD_HEAD - CLN__RECORD_TAIL);
    const uint8_t *data = at + CLN__RECORD_HEAD;
    ck_assert_uint_eq(number(at + 8, 4), cln__crc32c_masked(at, 8));
    ck_assert_uint_eq(number(data + size, 4), cln__crc32c_masked(data, size));
    ck_assert_int_lt(e->count, MOST_EVENTS);
    e->at[e->count] = cln__tb__event__unpack(NULL, size, data);
    ck_assert_ptr_nonnull(e->at[e->count++]);
    return size + CLN__RECORD_HEAD + CLN__RECORD_TAIL;
}

events *events_read(const char *path) {
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "there is no %s", path);
    uint8_t *bytes = malloc(MOST_BYTES);
    events *e = calloc(1, sizeof *e);
    ck_assert(bytes && e);
    size_t size = fread(bytes, 1, MOST_BYTES, file);
    fclose(file);
    for (size_t at = 0; at < size;)
        at += take(e, bytes + at, size - at);
    free(bytes);
    return e;
}

void events_free(events *e) {
    for (int i = 0; i < e->count; i++)
        cln__tb__event__free_unpacked(e->at[i], NULL);
    free(e);
}

char *events_name(const char *folder) {
    DIR *open = opendir(folder);
    char *name = NULL;
    ck_assert_ptr_nonnull(open);
    for (struct dirent *entry; (entry = readdir(open));)
        if (strncmp(entry->d_name, "events.out.tfevents.", 20) == 0) {
            ck_assert_msg(!name, "%s has several event files", folder);
            name = malloc(strlen(entry->d_name) + 1);
            strcpy(name, entry->d_name);
        }
    closedir(open);
    ck_assert_msg(name != NULL, "%s has no event file", folder);
    return name;
}

static const Cln__Tb__Value *value_of(const Cln__Tb__Event *event) {
    return event->what_case == CLN__TB__EVENT__WHAT_SUMMARY && event->summary->n_value == 1 ? event->summary->value[0]
                                                                                            : NULL;
}

int events_scalar(const events *e, const char *tag, int64_t *step, float *value) {
    int count = 0;
    for (int i = 0; i < e->count; i++) {
        const Cln__Tb__Value *v = value_of(e->at[i]);
        if (!v || v->value_case != CLN__TB__VALUE__VALUE_SIMPLE_VALUE || strcmp(v->tag, tag) != 0)
            continue;
        count++;
        if (step)
            *step = e->at[i]->step;
        if (value)
            *value = v->simple_value;
    }
    return count;
}

const Cln__Tb__Value *events_find(const events *e, const char *tag) {
    for (int i = 0; i < e->count; i++) {
        const Cln__Tb__Value *v = value_of(e->at[i]);
        if (v && strcmp(v->tag, tag) == 0)
            return v;
    }
    return NULL;
}

Cln__Tb__Graph *events_graph(const events *e) {
    for (int i = 0; i < e->count; i++)
        if (e->at[i]->what_case == CLN__TB__EVENT__WHAT_GRAPH_DEF)
            return cln__tb__graph__unpack(NULL, e->at[i]->graph_def.len, e->at[i]->graph_def.data);
    return NULL;
}
