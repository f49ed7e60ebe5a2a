/* See clnet/trace.h. The document is kept as cJSON has it. */
#include "clnet/trace.h"
#include "../base/base.h"
#include "../base/json_add.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROCESS = 1 };

struct cln_trace {
    cln_context *ctx;
    cJSON *document, *events; /* events: a member of document */
    cJSON *details;           /* of the last span */
};

/* Seven digits tell a microsecond in ten seconds, and JSON has no infinite numbers. */
static void put_number(cJSON *object, const char *key, double value) {
    char text[32];
    snprintf(text, sizeof text, "%.7g", value);
    char *comma = strchr(text, ','); /* of the program's locale */
    if (comma)
        *comma = '.';
    if (isfinite(value))
        cln__json_add(object, key, cJSON_CreateRaw(text));
    else
        cln__json_add(object, key, cJSON_CreateNull());
}

static cJSON *event_new(cln_trace *trace, const char *name, const char *phase, int track) {
    cJSON *event = cln__json_append(trace->events, cJSON_CreateObject());
    cln__json_add(event, "name", cJSON_CreateString(name));
    cln__json_add(event, "ph", cJSON_CreateString(phase));
    cln__json_add(event, "pid", cJSON_CreateNumber(PROCESS));
    cln__json_add(event, "tid", cJSON_CreateNumber(track));
    return event;
}

static void name_event(cln_trace *trace, const char *what, int track, const char *name) {
    cJSON *event = event_new(trace, what, "M", track);
    cln__json_add(cln__json_add(event, "args", cJSON_CreateObject()), "name", cJSON_CreateString(name));
}

cln_status cln_trace_new(cln_context *ctx, const char *name, cln_trace **out) {
    cln_trace *trace = *out = calloc(1, sizeof *trace);
    if (!trace)
        return cln__fail_memory(ctx, "a trace");
    trace->ctx = ctx;
    trace->document = cJSON_CreateObject();
    cln__json_add(trace->document, "displayTimeUnit", cJSON_CreateString("ms"));
    trace->events = cln__json_add(trace->document, "traceEvents", cJSON_CreateArray());
    name_event(trace, "process_name", 1, name);
    return CLN_OK;
}

void cln_trace_free(cln_trace *trace) {
    if (!trace)
        return;
    cJSON_Delete(trace->document);
    free(trace);
}

void cln_trace_track(cln_trace *trace, int track, const char *name) {
    name_event(trace, "thread_name", track, name);
}

void cln_trace_span(cln_trace *trace, int track, const char *name, const char *category, double start_s,
                    double seconds) {
    cJSON *event = event_new(trace, name, "X", track);
    cln__json_add(event, "cat", cJSON_CreateString(category));
    cln__json_add(event, "ts", cJSON_CreateNumber(rint(start_s * 1e9) / 1e3)); /* microseconds */
    put_number(event, "dur", seconds * 1e6);
    trace->details = cln__json_add(event, "args", cJSON_CreateObject());
}

void cln_trace_text(cln_trace *trace, const char *key, const char *value) {
    cln__json_add(trace->details, key, cJSON_CreateString(value));
}

void cln_trace_number(cln_trace *trace, const char *key, double value) {
    put_number(trace->details, key, value);
}

cln_status cln_trace_write(const cln_trace *trace, const char *path) {
    char *text = cJSON_PrintUnformatted(trace->document);
    cln_status status =
        text ? cln_file_write(trace->ctx, path, text, strlen(text)) : cln__fail_memory(trace->ctx, "a trace");
    cJSON_free(text);
    return status;
}
