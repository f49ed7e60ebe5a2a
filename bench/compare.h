/* Comparing results of clbench: what was measured, as a list of named quantities. */
#ifndef CLN_BENCH_COMPARE_H
#define CLN_BENCH_COMPARE_H

#include "clnet/base.h"

#include <cjson/cJSON.h>

typedef struct quantity {
    char name[192]; /* "ResNet training, images/s": the same in every kind of result */
    double value;
    double low, high; /* quartiles of its samples, or a standard error below and above; both `value` where unknown */
    bool spread;      /* they are known */
    int better;       /* 1: more is better, -1: less is, 0: neither */
    bool accuracy;    /* compared by difference, not by ratio */
} quantity;

typedef struct results {
    const char *command, *path; /* for messages; borrowed */
    char kind[32], device[256];
    quantity *of; /* owned */
    int count;
} results;

/* Reads the JSON of clbench train, infer, ops, table or of bench/peers/pytorch.py. A failure is printed. Free it even
 * after one. */
cln_status results_read(const char *command, const char *path, results *out);
void results_free(results *r);
const quantity *results_find(const results *r, const char *name);

typedef struct comparison {
    const quantity *a, *b;
    double ratio;                 /* b / a; of accuracies b - a */
    double ratio_low, ratio_high; /* from the spreads of both; equal to ratio where these are unknown */
    int verdict;                  /* 1: b is better beyond noise, -1: worse, 0: neither */
} comparison;

/* Beyond noise: the spreads do not overlap, and the difference exceeds `threshold` (a share). Of accuracies: it exceeds
 * two standard errors of the difference. Where the spread of either is unknown: never. */
comparison compare_quantities(const quantity *a, const quantity *b, double threshold);

#endif
