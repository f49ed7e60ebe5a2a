/* resume.safetensors: a run between two steps, so that it can go on as if it had never been interrupted.
 *
 * Tensors: every value by its own name, the optimiser's moments as "optimizer.moment1.<name>" and
 * "optimizer.moment2.<name>". Metadata: that of a weights file, which says what run it is (identity.h), and
 *   progress  a JSON object: epochs, steps, updates, sums of the epoch, ranking, validation of the best epoch
 *   crc32     of the metadata above and the tensors' bytes, as they are listed in resume.c
 * Doubles are written as the 16 hexadecimal digits of their bits. There is no random state: every random number depends
 * on the seed and the position alone. */
#ifndef CLN_SRC_RESUME_H
#define CLN_SRC_RESUME_H

#include "trainer.h"

/* Replaces the folder's resume.safetensors by the state of t->position. */
cln_status cln__resume_save(cln__trainer *t);

/* Opens the folder and reads options->resume; refuses what is no whole state or lies in another folder than the run's.
 */
cln_status cln__resume_read(cln__trainer *t);
/* Then, with the data: refuses it unless it is of this run, and sets position, ranking and validation. */
cln_status cln__resume_open(cln__trainer *t);
/* Then, with the plans built: sets weights, optimiser and counters, and lets the file go. */
cln_status cln__resume_apply(cln__trainer *t);

/* CLN_INVALID_FILE unless `found`, the metadata "epoch" of the weights at `path` (NULL: none), is `epoch`. */
cln_status cln__resume_check_epoch(const cln__trainer *t, const char *found, const char *path, int epoch);

#endif
