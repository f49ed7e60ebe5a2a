/* The cases of clbench verify --self. */
#ifndef CLN_BENCH_SELF_H
#define CLN_BENCH_SELF_H

#include "verify.h"

int self_count(void);
const char *self_title(int index);
/* Fills a case with random inputs, the same everywhere, and their truth by the float64 reference. */
bool self_make(verify_case *c, int index);

#endif
