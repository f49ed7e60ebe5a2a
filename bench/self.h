/* The cases of clbench verify --self. */
#ifndef CLN_BENCH_SELF_H
#define CLN_BENCH_SELF_H

#include "verify.h"

int self_count(void);
const char *self_title(int index);
/* The operator, "optimiser" or "network": cases of one group have indices in a row. */
const char *self_group(int index);
/* Fills a case with random inputs, the same everywhere, and their truth by the float64 reference. */
bool self_make(verify_case *c, int index);

/* What an operator is tried on. */
typedef struct self_op {
    const char *title, *op, *attributes; /* attributes: JSON */
    int rank;
    int64_t x[4];
    int64_t more[2]; /* channels of further inputs */
} self_op;
/* A network, trained on one batch for a few steps. */
typedef struct self_model {
    const char *title, *model, *hparams, *optimizer, *optimizer_hparams; /* JSON */
    int64_t input[4], classes;
    const char *tolerance; /* JSON; NULL: as for the networks of the table */
} self_model;
/* The same for one that is not in the table. */
bool self_make_op(verify_case *c, const self_op *op);
bool self_make_model(verify_case *c, const self_model *model);

#endif
