/* Steps held against the roofline: the time that a device needs at its peak for a step's arithmetic or its memory
 * traffic, whichever takes longer (Williams, Waterman and Patterson, "Roofline", CACM 52(4), 2009). */
#ifndef CLN_BENCH_ROOFLINE_H
#define CLN_BENCH_ROOFLINE_H

#include "clnet/plan.h"

typedef struct roofline_row {
    int step;                  /* in the plan */
    const cln_step_time *time; /* its texts, arithmetic and bytes; borrowed */
    double seconds;            /* median */
    double low_s, high_s;      /* the quartiles below and above it */
    double attainable_s, lost_s;
    bool arithmetic; /* bound by arithmetic, else by memory */
} roofline_row;

typedef struct roofline_sum {
    int steps;
    double seconds, attainable_s, lost_s, flops;
} roofline_sum;

typedef struct roofline {
    double gflops, gbs; /* the device's peak */
    int steps;
    roofline_row *rows;                     /* the most time lost first */
    roofline_sum arithmetic, memory, whole; /* whole: with the time between launches */
    double low_s, high_s;                   /* quartiles of the time of a whole step */
    double between_s;                       /* from the first launch to the end of the last, when none ran; median */
    int typical;                            /* the round whose duration is the median */
} roofline;

/* Of `rounds` profiles of `steps` steps each, one after the other in `times`, which is borrowed. CLN_OUT_OF_MEMORY
 * without a message. */
cln_status roofline_make(double gflops, double gbs, const cln_step_time *times, int steps, int rounds, roofline *out);
void roofline_free(roofline *r);

/* In GFLOP/s, GB/s and per cent of the roofline, for a step that took `seconds`. */
typedef struct roofline_rates {
    double gflops, gbs, percent;
} roofline_rates;
roofline_rates roofline_rates_of(const roofline_row *row, double seconds);

#endif
