/* Checkpoints as torch.save writes them, for seeds. */
#ifndef CLN_TESTS_FUZZ_CHECKPOINT_H
#define CLN_TESTS_FUZZ_CHECKPOINT_H

#include "fuzz.h"

enum { CHECKPOINT_KINDS = 4 };

/* The pickle of a state_dict of 2x3 floats and 4 whole numbers in storages "0" and "1": bare, as OrderedDict, within
 * Lightning's dict, and with instructions of protocol 4. `legacy`: persistent ids have a sixth member. */
void checkpoint_object(int kind, bool legacy, fuzz_bytes *out);
/* Runs the checkpoint reader. */
void checkpoint_read(const uint8_t *data, size_t size);

#endif
