/* From logits to all that is told of them. */
#ifndef CLN_SRC_EVALUATION_H
#define CLN_SRC_EVALUATION_H

#include "../base/base.h"
#include "clnet/evaluate.h"

/* cln_evaluation_from_logits, with the index of each image (NULL: 0, 1, ...). */
cln_status cln__evaluation_measure(cln_context *ctx, const float *logits, const int32_t *labels, const int64_t *indices,
                                   int64_t count, int num_classes, const char *const *class_names, int top_k,
                                   cln_evaluation **out);

/* Softmax in double precision; returns the logarithm of the sum of the exponentials. */
double cln__softmax(const float *logits, int count, double *probabilities);

#endif
