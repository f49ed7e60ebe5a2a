/* Beginning a run with the weights of another one, whose network may have another head. */
#ifndef CLN_SRC_TRANSFER_H
#define CLN_SRC_TRANSFER_H

#include "trainer.h"

/* Of a new run: fails where options->init_weights is no regular file that can be read. */
cln_status cln__transfer_check(const cln__trainer *t);
/* A new run: sets the weights from options->init_weights, if it is given, and tells of it in t->initialised. */
cln_status cln__transfer(cln__trainer *t);
/* A run that is gone on with, whose weights come from its state: what it began with, for its identity. That is what its
 * state says where the file is gone. */
cln_status cln__transfer_recall(cln__trainer *t);

#endif
