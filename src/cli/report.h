/* What the programs print: failures and warnings, the device, tables of results, JSON. */
#ifndef CLN_SRC_REPORT_H
#define CLN_SRC_REPORT_H

#include "../base/json_add.h"
#include "clnet/device.h"

#include <stdio.h>

/* Prints the warnings so far and, unless `status` is CLN_OK, the context's error to standard error, each as
 * "<program>: ...". Returns the exit status. */
int report_end(const char *program, cln_context *ctx, cln_status status);
/* Prints the warnings so far. */
void report_warnings(const char *program, cln_context *ctx);
/* For a failure to make a context; returns the exit status. */
int report_no_memory(const char *program);

/* "device 0:0: <name> (CPU, 2 compute units, 8.0 GiB; <platform>)" */
void report_device(FILE *out, const cln_device_info *info);
/* Opens the device and tells which it is on `out`. */
cln_status report_open_device(cln_context *ctx, const char *spec, FILE *out, cln_device **device);
const char *report_device_type(const cln_device_info *info);

/* JSON on one line, in UTF-8 whatever the texts are made of; deletes `object`. malloc'ed, NULL for lack of memory. */
char *report_json_string(cJSON *object);
/* Prints `object` on one line to standard output and deletes it; NULL, or one
 * that json_add.h has spoilt, is a lack of memory. Returns the exit status. */
int report_json(const char *program, cJSON *object);

/* Adds a number with no more digits than a float has. */
void report_json_float(cJSON *object, const char *name, double value);

/* Seconds of a clock that never goes back. */
double report_now_s(void);

/* How many characters a line of the terminal has: $COLUMNS, or as it says itself; 80 where there is none. */
int report_columns(void);

/* "1,234,567" into `text`; returns `text`. */
char *report_count(int64_t value, char text[32]);
/* "1:02:03" or "2:03" into `text`, "?" if `seconds` is NaN; returns `text`. */
char *report_time(double seconds, char text[32]);
/* "12.3 MiB" into `text`; returns `text`. */
char *report_bytes(uint64_t bytes, char text[32]);

#endif
