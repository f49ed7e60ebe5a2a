/* What the measurements share. */
#ifndef CLN_BENCH_MEASURE_H
#define CLN_BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>

/* Sorts `values` and returns their median. */
double bench_median(double *values, int64_t count);
/* A quantile (0 to 1) of sorted values, interpolated between neighbours. */
double bench_quantile(const double *sorted, int64_t count, double share);
/* Fills with noise of mean 0 and deviation about 1, as normalised images have. */
void bench_noise(float *values, int64_t count);
/* The most memory that this process has held so far; 0 where the system does not tell. */
uint64_t bench_peak_memory_bytes(void);

/* The command line as a text, "clbench table --data 'a b'"; argv[0] is the command's name. */
void bench_join_command(int argc, char **argv, char *out, size_t size);

#endif
