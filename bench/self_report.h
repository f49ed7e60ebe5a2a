/* What clbench verify --report prints: the device and the outcome of the checks in Markdown, to paste into the report
 * of a bug. Everything is printed as soon as it is known, so that a driver that crashes leaves what came before. */
#ifndef CLN_BENCH_SELF_REPORT_H
#define CLN_BENCH_SELF_REPORT_H

#include "verify.h"

/* A group of cases is a row of the table. */
typedef struct self_report {
    char group[32]; /* the one that is being checked, "" before the first */
    int cases, passed;
    double seconds;
    verify_result worst; /* against its tolerance */
    char where[100];     /* the case that has it, "" before the first */
    int note_count, note_capacity;
    char **notes; /* failures and warnings, for the end */
} self_report;

/* The device, and the head of the table. `settings` tells what differs from the usual run, or is "". */
void self_report_begin(const cln_device_info *device, const char *settings);
void self_report_case(self_report *r, const char *group, const char *title, const verify_case *c, bool passed,
                      double seconds);
/* Takes the warnings so far. */
void self_report_warnings(self_report *r, cln_context *ctx);
/* The last row, the totals and the notes. */
void self_report_end(self_report *r, int passed, int failed, double seconds);
void self_report_free(self_report *r);

#endif
