/* Which of the training images train, and which are held back for validation. */
#ifndef CLN_SRC_DIVISION_H
#define CLN_SRC_DIVISION_H

#include "../base/base.h"
#include "clnet/data.h"

/* Indices into the training set; `validation` is NULL if none are held back. */
typedef struct cln__division {
    int64_t *train, *validation; /* owned */
    int64_t train_count, validation_count;
} cln__division;
void cln__division_free(cln__division *division);

/* Divides `count` images: by `seed` as PyTorch's random_split does, or, if `list` is not NULL, as that file says (see
 * cln_split_parse). The last `held_back` of the order are for validation: below 1 a share of it, else their number. */
cln_status cln__divide(cln_context *ctx, int64_t count, double held_back, uint64_t seed, const char *list,
                       cln__division *out);
/* The same by a list that is there as text. `name` is for messages. */
cln_status cln__divide_by_text(cln_context *ctx, int64_t count, double held_back, const char *name, const char *text,
                               size_t size, cln__division *out);
/* All indices in order, as text to divide by again; malloc'ed, NULL for lack of memory. */
char *cln__division_print(const cln__division *division);

#endif
