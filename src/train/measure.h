/* A look at the batches before training: are they normalised? */
#ifndef CLN_SRC_MEASURE_H
#define CLN_SRC_MEASURE_H

#include "trainer.h"

/* Mean and deviation of each channel over the training images as the network will get them, but without augmentation,
 * into the event. Warns if they are far from 0 and 1. */
cln_status cln__measure_batches(cln__trainer *t);

#endif
