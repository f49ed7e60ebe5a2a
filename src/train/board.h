/* What a run tells TensorBoard, in the steps of PyTorch Lightning: means over an epoch at the index of its last step,
 * the learning rate at that of its first (and of each 50th step, if it changes within an epoch), the test one behind
 * the last. Epochs count from 0 here. */
#ifndef CLN_SRC_BOARD_H
#define CLN_SRC_BOARD_H

#include "trainer.h"

/* Goes on with the run's event file, cut to t->event_bytes, or begins one: with the graph, the hyper-parameters and a
 * picture of the augmentation. Needs the network. *begun tells which. Does nothing where options->no_tensorboard says
 * so, as does everything below. */
cln_status cln__board_open(cln__trainer *t, bool *begun);
/* A completed epoch; on the disk when this returns. */
cln_status cln__board_epoch(cln__trainer *t);
/* The end of a run. */
cln_status cln__board_test(cln__trainer *t, const cln_score *score);

#endif
