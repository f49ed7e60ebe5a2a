/* What was published of the networks: the numbers to compare with. */
#ifndef CLN_BENCH_PUBLISHED_H
#define CLN_BENCH_PUBLISHED_H

#include <stdint.h>

typedef struct published {
    const char *model;
    double validation, test; /* accuracies */
    int64_t parameters;
} published;

/* NULL: nothing was published of that name. */
const published *published_find(const char *model);

/* Where the numbers come from, and of how many images the test accuracies are. */
extern const char published_source[];
enum { PUBLISHED_TRAIN_IMAGES = 50000, PUBLISHED_TEST_IMAGES = 10000 };

#endif
