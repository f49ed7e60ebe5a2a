/* The native multiply-add loop of `clbench peak`. */
#ifndef CLN_BENCH_NATIVE_H
#define CLN_BENCH_NATIVE_H

/* Runs the widest multiply-add loop that this CPU has on `threads` threads at once, for about `seconds`; GFLOP/s, or 0
 * if the threads cannot be started. *name is the loop's name, a static string. */
double native_gflops(int threads, double seconds, const char **name);

#endif
