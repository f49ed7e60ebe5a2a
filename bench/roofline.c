/* Medians over the rounds, attainable times, and their sums. */
#include "roofline.h"
#include "measure.h"

#include <stdlib.h>

/* From the start of the first launch to the end of the last. */
static double span_s(const cln_step_time *round, int steps) {
    return steps ? round[steps - 1].start_s + round[steps - 1].seconds : 0;
}

static double between_s(const cln_step_time *round, int steps) {
    double sum = span_s(round, steps);
    for (int s = 0; s < steps; s++)
        sum -= round[s].seconds;
    return sum > 0 ? sum : 0;
}

static void measure_row(const cln_step_time *times, int steps, int rounds, roofline_row *row, double *scratch) {
    for (int i = 0; i < rounds; i++)
        scratch[i] = times[(size_t)i * (size_t)steps + (size_t)row->step].seconds;
    row->seconds = bench_median(scratch, rounds); /* sorts */
    row->low_s = bench_quantile(scratch, rounds, 0.25);
    row->high_s = bench_quantile(scratch, rounds, 0.75);
}

static void fill_row(const roofline *r, roofline_row *row) {
    double arithmetic_s = row->time->flops / (r->gflops * 1e9), memory_s = row->time->bytes / (r->gbs * 1e9);
    row->arithmetic = arithmetic_s > memory_s;
    row->attainable_s = row->arithmetic ? arithmetic_s : memory_s;
    row->lost_s = row->seconds - row->attainable_s;
}

static void add_row(roofline_sum *sum, const roofline_row *row) {
    sum->steps++;
    sum->seconds += row->seconds;
    sum->attainable_s += row->attainable_s;
    sum->lost_s += row->lost_s;
    sum->flops += row->time->flops;
}

static void sum_between(roofline *r, const cln_step_time *times, int rounds, double *scratch) {
    for (int i = 0; i < rounds; i++)
        scratch[i] = between_s(times + (size_t)i * (size_t)r->steps, r->steps);
    r->between_s = bench_median(scratch, rounds);
    r->whole.seconds += r->between_s;
    r->whole.lost_s += r->between_s;
}

/* The round that lasts as long as half of the others at most, and the quartiles of all. */
static int typical_round(roofline *r, const cln_step_time *times, int rounds, double *scratch) {
    int steps = r->steps;
    for (int i = 0; i < rounds; i++)
        scratch[i] = span_s(times + (size_t)i * (size_t)steps, steps);
    bench_median(scratch, rounds); /* sorts */
    r->low_s = bench_quantile(scratch, rounds, 0.25);
    r->high_s = bench_quantile(scratch, rounds, 0.75);
    double wanted = scratch[(rounds - 1) / 2];
    int i = 0;
    while (i < rounds - 1 && span_s(times + (size_t)i * (size_t)steps, steps) != wanted)
        i++;
    return i;
}

static int most_lost_first(const void *a, const void *b) {
    const roofline_row *x = a, *y = b;
    if (x->lost_s != y->lost_s)
        return x->lost_s < y->lost_s ? 1 : -1;
    return (x->step > y->step) - (x->step < y->step);
}

cln_status roofline_make(double gflops, double gbs, const cln_step_time *times, int steps, int rounds, roofline *out) {
    *out = (roofline){.gflops = gflops, .gbs = gbs, .steps = steps};
    out->rows = calloc((size_t)steps + 1, sizeof *out->rows);
    double *scratch = malloc((size_t)rounds * sizeof *scratch);
    if (!out->rows || !scratch) {
        free(scratch);
        return CLN_OUT_OF_MEMORY;
    }
    for (int s = 0; s < steps; s++) {
        roofline_row *row = &out->rows[s];
        *row = (roofline_row){.step = s, .time = &times[s]};
        measure_row(times, steps, rounds, row, scratch);
        fill_row(out, row);
        add_row(row->arithmetic ? &out->arithmetic : &out->memory, row);
        add_row(&out->whole, row);
    }
    sum_between(out, times, rounds, scratch);
    out->typical = typical_round(out, times, rounds, scratch);
    free(scratch);
    qsort(out->rows, (size_t)steps, sizeof *out->rows, most_lost_first);
    return CLN_OK;
}

void roofline_free(roofline *r) {
    free(r->rows);
}

roofline_rates roofline_rates_of(const roofline_row *row, double seconds) {
    return (roofline_rates){.gflops = row->time->flops / seconds * 1e-9,
                            .gbs = row->time->bytes / seconds * 1e-9,
                            .percent = 100 * row->attainable_s / seconds};
}
