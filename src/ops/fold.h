/* Batch normalisation in evaluation as part of the convolution before it, for export. (A plan does the same on the
 * device, where the weights are: see fuse.c.) */
#ifndef CLN_SRC_FOLD_H
#define CLN_SRC_FOLD_H

#include "../graph/graph.h"

/* Takes out each batch normalisation of the result of a convolution that nothing else reads and that is not `output`:
 * its scale goes into the convolution's weight, the rest into its bias, which it gets if it has none. `values` has the
 * elements of parameters and states by tensor, malloc'ed, and room for one more tensor for each node. */
cln_status cln__fold_batchnorm(cln_graph *g, cln_tensor output, float **values);

#endif
