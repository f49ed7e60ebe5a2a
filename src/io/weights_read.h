/* The reader of clnet/weights_file.h on a file that is in memory. */
#ifndef CLN_SRC_WEIGHTS_READ_H
#define CLN_SRC_WEIGHTS_READ_H

#include "../base/base.h"
#include "clnet/weights_file.h"

/* Takes `bytes` (malloc'ed) over, also on failure. `path` is for messages. */
cln_status cln__weights_file_take(cln_context *ctx, const char *path, uint8_t *bytes, size_t size,
                                  cln_weights_file **out);

#endif
