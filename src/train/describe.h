/* Files of a run's folder that say what the run is, for people: nothing reads them. */
#ifndef CLN_SRC_DESCRIBE_H
#define CLN_SRC_DESCRIBE_H

#include "trainer.h"

/* Writes summary.txt, the layers of the network, and, if options->config gives it, config.yaml. Needs the folder and
 * the hyper-parameters. */
cln_status cln__describe_run(cln__trainer *t);

#endif
