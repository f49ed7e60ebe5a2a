/* Networks with weights, without a device: what is exported in tests. */
#ifndef CLN_TESTS_NETS_H
#define CLN_TESTS_NETS_H

#include "../src/graph/graph.h"
#include "clnet/models.h"

typedef struct net {
    cln_graph *g;
    cln_tensor x, y;
    cln_file_tensor *tensors; /* noise, of every parameter and state; variances are positive */
    size_t count;
} net;

/* Of an input "image"; what follows it is the caller's to add, and then net_fill makes the tensors. */
net net_new(int64_t c, int64_t h, int64_t w);
void net_fill(net *n);
/* One of the library's, filled. */
net net_model(const char *name, const char *hparams_json);
void net_free(net *n);
/* Of the weight `name`. */
const float *net_values(const net *n, const char *name);

#endif
