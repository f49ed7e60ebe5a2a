/* A data set of a few images in the CIFAR-10 layout, for tests of training and of the programs. */
#ifndef CLN_TESTS_TINY_H
#define CLN_TESTS_TINY_H

#include <check.h>

enum { TINY_TRAIN = 120, TINY_TEST = 30 };

/* A network that fits it, small enough to be compiled and trained in a moment. */
#define TINY_HPARAMS "{\"num_blocks\": [1, 1], \"c_hidden\": [8, 8]}"

/* Writes it into `folder`. */
void tiny_write(const char *folder);

/* For a whole suite: the data set in a folder that goes away, and the hyper-parameters of a ResNet for it. */
extern char *tiny_data;
extern void *tiny_hparams;
void tiny_fixture(TCase *tests);

#endif
