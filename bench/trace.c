/* The trace event format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU */
#include "trace.h"
#include "../src/cli/report.h"

#include <cjson/cJSON.h>
#include <string.h>

enum { PROCESS = 1, QUEUE = 1 };

static cJSON *event_new(const char *name, const char *phase) {
    cJSON *event = cJSON_CreateObject();
    cJSON_AddStringToObject(event, "name", name);
    cJSON_AddStringToObject(event, "ph", phase);
    cJSON_AddNumberToObject(event, "pid", PROCESS);
    cJSON_AddNumberToObject(event, "tid", QUEUE);
    return event;
}

/* Names what the viewers show as a process. */
static cJSON *device_event(const char *device) {
    cJSON *event = event_new("process_name", "M");
    cJSON_AddStringToObject(cJSON_AddObjectToObject(event, "args"), "name", device);
    return event;
}

static cJSON *step_event(const roofline_row *row, const cln_step_time *t) {
    char name[256];
    snprintf(name, sizeof name, "%s %s", t->op, t->layer);
    cJSON *event = event_new(name, "X");
    cJSON_AddStringToObject(event, "cat", t->op);
    report_json_float(event, "ts", t->start_s * 1e6); /* microseconds */
    report_json_float(event, "dur", t->seconds * 1e6);
    cJSON *args = cJSON_AddObjectToObject(event, "args");
    roofline_rates rates = roofline_rates_of(row, t->seconds);
    cJSON_AddStringToObject(args, "layer", t->layer);
    cJSON_AddStringToObject(args, "operator", t->op);
    cJSON_AddStringToObject(args, "variant", t->variant);
    cJSON_AddStringToObject(args, "kernel", t->kernel);
    if (*t->why_not)
        cJSON_AddStringToObject(args, "refused", t->why_not);
    report_json_float(args, "GFLOP/s", rates.gflops);
    report_json_float(args, "GB/s", rates.gbs);
    report_json_float(args, "percent of roofline", rates.percent);
    return event;
}

static cJSON *trace_new(const char *device, const roofline *r, const cln_step_time *round) {
    cJSON *trace = cJSON_CreateObject();
    cJSON_AddStringToObject(trace, "displayTimeUnit", "ms");
    cJSON *events = cJSON_AddArrayToObject(trace, "traceEvents");
    cJSON_AddItemToArray(events, device_event(device));
    for (int i = 0; i < r->steps; i++)
        cJSON_AddItemToArray(events, step_event(&r->rows[i], &round[r->rows[i].step]));
    return trace;
}

cln_status trace_write(cln_context *ctx, const char *path, const char *device, const roofline *r,
                       const cln_step_time *round) {
    cJSON *trace = trace_new(device, r, round);
    char *text = trace ? cJSON_PrintUnformatted(trace) : NULL;
    cJSON_Delete(trace);
    cln_status status = text ? cln_file_write(ctx, path, text, strlen(text)) : CLN_OUT_OF_MEMORY;
    cJSON_free(text);
    return status;
}
