/* The device's peak for other measurements, as `clbench peak` finds it. */
#ifndef CLN_BENCH_PEAK_H
#define CLN_BENCH_PEAK_H

#include "clnet/device.h"

/* The best multiply-add loop and the best pass over memory, in a second or two. False after a failure, which is
 * printed. */
bool peak_measure(const cln_device_info *info, double *gflops, double *gbs);

#endif
