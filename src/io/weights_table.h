/* Weights as tables of tensors: taken from a device, and compared with what a network has. */
#ifndef CLN_SRC_WEIGHTS_TABLE_H
#define CLN_SRC_WEIGHTS_TABLE_H

#include "../plan/plan.h"

/* All values, one after another, and the table that describes them; names are borrowed from the weights. The caller
 * frees both, also after a failure. */
typedef struct cln__collected {
    float *values;
    cln_file_tensor *tensors;
    size_t count;
} cln__collected;
cln_status cln__weights_collect(cln_context *ctx, cln_weights *weights, cln__collected *out);

/* What the parameters and states of `graph` are, in its order: *out is malloc'ed, the caller frees it. */
cln_status cln__graph_weights(cln_context *ctx, const cln_graph *graph, cln_weight_info **out, int *count);

/* NULL if there is none of this name. */
const cln_file_tensor *cln__tensor_find(const cln_file_tensor *tensors, size_t count, const char *name);

/* Whether `tensor` (NULL: there is none) has the shape of `weight`. */
bool cln__weight_fits(const cln_weight_info *weight, const cln_file_tensor *tensor);

/* "64x3x3x3". */
void cln__axes_text(int rank, const int64_t *shape, char *text, size_t size);

/* Fails, naming the first one, if a weight is missing or of another shape, or if a tensor is no weight.
 * "num_batches_tracked" is ignored. `path` is for messages. */
cln_status cln__weights_match(cln_context *ctx, const char *path, const cln_weight_info *weights, int weight_count,
                              const cln_file_tensor *tensors, size_t tensor_count);

#endif
