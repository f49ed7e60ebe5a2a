/* The folder of a run: where its weights and its metrics go. */
#ifndef CLN_SRC_FOLDER_H
#define CLN_SRC_FOLDER_H

#include "../base/base.h"
#include "clnet/train.h"

typedef struct cln__folder {
    char *best, *last, *metrics; /* file names, owned */
    FILE *csv;
} cln__folder;

/* Makes the folder `path`, its parents included, and an empty metrics.csv in it. */
cln_status cln__folder_open(cln_context *ctx, const char *path, cln__folder *out);
void cln__folder_close(cln__folder *folder);
/* Adds a line to metrics.csv for a completed epoch. */
cln_status cln__folder_log(cln_context *ctx, cln__folder *folder, const cln_fit_event *event);

#endif
