/* The folder of a run: where its weights and its metrics go. */
#ifndef CLN_SRC_FOLDER_H
#define CLN_SRC_FOLDER_H

#include "../base/base.h"
#include "clnet/train.h"

#include <dirent.h>

typedef struct cln__folder {
    char *path, *best, *last, *metrics, *resume; /* names, owned */
    FILE *csv;
    DIR *claim; /* the folder, locked; NULL: not */
} cln__folder;

/* Makes the folder `path`, its parents included, and removes half-written files of a process that was killed.
 * CLN_INVALID_ARGUMENT if another run has it open. */
cln_status cln__folder_open(cln_context *ctx, const char *path, cln__folder *out);
/* For a new run: CLN_INVALID_ARGUMENT if a run's files are in the folder `path`. Others may be there, or no folder. */
cln_status cln__folder_check_new(cln_context *ctx, const char *path);
/* Begins metrics.csv, or goes on with what is there of the first `epochs` epochs; `rate` names its column of the
 * learning rate. */
cln_status cln__folder_log_open(cln_context *ctx, cln__folder *folder, const char *rate, int epochs);
void cln__folder_close(cln__folder *folder);
/* Adds a line to metrics.csv for a completed epoch; it is on the disk when this returns. */
cln_status cln__folder_log(cln_context *ctx, cln__folder *folder, const cln_fit_event *event);

/* The name of the latest event file that cln_tensorboard_open made in the folder; "" if there is none. */
cln_status cln__folder_events(cln_context *ctx, const cln__folder *folder, char latest[256]);

/* "<folder>/epoch=NN.safetensors", malloc'ed; NULL for lack of memory. */
char *cln__folder_epoch(const cln__folder *folder, int epoch);
/* Removes that file, if it is there. */
cln_status cln__folder_drop(cln_context *ctx, const cln__folder *folder, int epoch);

#endif
