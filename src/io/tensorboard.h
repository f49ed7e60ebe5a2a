/* What the writers of event files share; the messages are those of proto/tensorboard.proto. */
#ifndef CLN_SRC_TENSORBOARD_H
#define CLN_SRC_TENSORBOARD_H

#include "../base/base.h"
#include "clnet/tensorboard.h"

#include <tensorboard.pb-c.h>

struct cln_tensorboard {
    cln_context *ctx;
    char *name, *path; /* owned */
    int fd;
    int64_t bytes;
};

/* Writes the event as a record, with the present time. */
cln_status cln__tensorboard_write(cln_tensorboard *board, Cln__Tb__Event *event);

/* A message in bytes; data is malloc'ed, NULL for lack of memory. */
ProtobufCBinaryData cln__tensorboard_pack(const ProtobufCMessage *message);

#endif
