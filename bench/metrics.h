/* Columns of numbers from CSV files: metrics.csv of a run, and published learning curves. */
#ifndef CLN_BENCH_METRICS_H
#define CLN_BENCH_METRICS_H

#include <stdbool.h>

enum { METRICS_MAX_EPOCHS = 20000 };

/* What is not there is NAN. */
typedef struct metrics {
    int count;
    double *epoch; /* from 1 */
    double *train_acc, *val_acc;
} metrics;

/* Reads the columns epoch, train_acc and val_acc. Epochs that begin with 0 are moved by one. False if the file is not
 * there or is no such table (*out is then empty). Free *out in any case. */
bool metrics_read(const char *path, metrics *out);
void metrics_free(metrics *m);

#endif
