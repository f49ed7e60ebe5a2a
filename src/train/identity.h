/* What makes two runs the same run: metadata that must agree before one goes on from the other's state. */
#ifndef CLN_SRC_IDENTITY_H
#define CLN_SRC_IDENTITY_H

#include "checkpoint.h"
#include "trainer.h"

/* A checksum of the training images, their labels and the split: the same folder may hold others the next time. */
uint32_t cln__identity_data(const cln__trainer *t);

/* Adds what says which run this is: the metadata of its weights files (without metrics), data set, monitor, device. */
void cln__identity_describe(const cln__trainer *t, cln__entries *entries);

/* CLN_INVALID_ARGUMENT, naming the first setting that differs between `file` and this run. More epochs than the file's
 * are no difference. First of what the options and the first weights say, for which no data is needed, then of the
 * rest.
 */
cln_status cln__identity_check_options(const cln__trainer *t, const cln_safetensors *file, const char *path);
cln_status cln__identity_check(const cln__trainer *t, const cln_safetensors *file, const char *path);

/* Warns of what may change the last bits but does not make it another run: library, device, kernel variants. */
cln_status cln__identity_warn(const cln__trainer *t, const cln_safetensors *file, const char *path);

#endif
