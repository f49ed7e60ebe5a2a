/* Beginning a run with the weights of another one, whose network may have another head. */
#ifndef CLN_SRC_TRANSFER_H
#define CLN_SRC_TRANSFER_H

#include "trainer.h"

/* Reads options->init_weights, if it is given, before the data are loaded, which takes time, and sets what the run is
 * known by, t->initialised_by. A run that is gone on with needs no more of it, and where the file is gone, that is what
 * its state says. */
cln_status cln__transfer_read(cln__trainer *t);
/* A new run: sets the weights from what was read, and tells of it in t->initialised. */
cln_status cln__transfer(cln__trainer *t);

#endif
