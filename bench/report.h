/* The parts of clbench report's page. */
#ifndef CLN_BENCH_REPORT_H
#define CLN_BENCH_REPORT_H

#include "compare.h"
#include "table.h"

typedef struct report_options {
    const char *table, *runs, *peers, *curves, *out;
} report_options;

typedef struct report {
    cln_context *ctx;
    const report_options *o;
    const char *command; /* the command line */
    table t;
    results peers;     /* count 0: none */
    bool lacks_memory; /* a section is not whole */
} report;

/* Each prints a section, or nothing where there is nothing to show. */
void report_accuracy(const report *r, FILE *to);
void report_curves(report *r, FILE *to);
void report_speed(const report *r, FILE *to);
void report_roofline(const report *r, FILE *to);
void report_facts(const report *r, FILE *to);

#endif
