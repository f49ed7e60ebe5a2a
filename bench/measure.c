#include "measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, int64_t count) {
    qsort(values, (size_t)count, sizeof *values, ascending);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

double bench_quantile(const double *sorted, int64_t count, double share) {
    double at = share * (double)(count - 1);
    int64_t below = (int64_t)at;
    if (below + 1 >= count)
        return sorted[count - 1];
    return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}

void bench_noise(float *values, int64_t count) {
    uint32_t state = 1;
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        values[i] = ((float)(state >> 8) * 0x1p-24f - 0.5f) * 3.46f;
    }
}

/* Linux's high-water mark of the resident set. */
uint64_t bench_peak_memory_bytes(void) {
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long long kib = 0;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %llu kB", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return (uint64_t)kib * 1024;
}

void bench_join_command(int argc, char **argv, char *out, size_t size) {
    int used = snprintf(out, size, "clbench");
    for (int i = 0; i < argc && used >= 0 && (size_t)used < size; i++)
        used += snprintf(out + used, size - (size_t)used, strpbrk(argv[i], " '\"$") ? " '%s'" : " %s", argv[i]);
}
