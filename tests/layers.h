/* Convolutions, and linear layers, which are convolutions of a single pixel, against a naive reference in double
 * precision. */
#ifndef CLN_TESTS_LAYERS_H
#define CLN_TESTS_LAYERS_H

#include "trial.h"

/* Compares y and the gradients of weight and bias of the layer `name`; adds its share to dx. */
void check_layer(trial *t, const char *name, const cln_conv2d_options *o, const operand *y, double *dx);
/* The same of a trial's only layer, its result, with dx. */
void check_only_layer(trial *t, const char *name, const cln_conv2d_options *o);

/* Two layers of kernel 1 side by side: both write into the wider tensor, and read their part of its gradient. */
void check_side_by_side(cln_shape x, const char *variant, bool linear);

#endif
