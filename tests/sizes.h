/* Operators and networks of any size on the suite's device, against the float64 reference of clbench verify --self. */
#ifndef CLN_TESTS_SIZES_H
#define CLN_TESTS_SIZES_H

#include "../bench/self.h"

/* Fails the test unless every result and gradient is within its tolerance. */
void sizes_check_op(const self_op *op);
/* The same; `variant` as in cln_plan_options, or NULL. Returns the largest error of a gradient. */
double sizes_check_model(const self_model *model, const char *variant);

#endif
