/* What a training needs before its first step: data, networks, plans, in this order. */
#ifndef CLN_SRC_PREPARE_H
#define CLN_SRC_PREPARE_H

#include "trainer.h"

/* Loads the data set and divides its training images. */
cln_status cln__prepare_data(cln__trainer *t);
/* Then what makes batches of it; and another one of the validation images, which the caller frees. */
cln_status cln__prepare_loaders(cln__trainer *t);
cln_status cln__prepare_validation(cln__trainer *t, double limit, cln_loader **out);

/* The graphs for the data. */
cln_status cln__prepare_networks(cln__trainer *t);
/* Then weights, the first ones' values set, and plans. */
cln_status cln__prepare_plans(cln__trainer *t);

#endif
