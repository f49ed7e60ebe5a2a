/* The formats behind cln_dataset_load: each fills a zeroed cln_dataset, which the caller frees even after a failure. */
#ifndef CLN_SRC_DATASET_H
#define CLN_SRC_DATASET_H

#include "../base/base.h"
#include "clnet/data.h"

/* The format's word for a split: "train" or "test". */
const char *cln__split_name(cln_split split);

/* "folder/name"; NULL for lack of memory. The caller frees it. */
char *cln__path_join(const char *folder, const char *name);
/* Whether the folder holds anything of that name. */
bool cln__folder_has(const char *folder, const char *name);

/* Sets dataset->class_names to copies of `names`, or to "0", "1", ... if it is NULL, and num_classes. The names must be
 * UTF-8, or weights could not be saved with them. `path` is where they come from, for messages. */
cln_status cln__dataset_name_classes(cln_context *ctx, cln_dataset *dataset, const char *path, const char *const *names,
                                     int count);

/* Whether any of the format's files is there: CIFAR-10's or CIFAR-100's. */
bool cln__cifar_present(const char *folder);
cln_status cln__cifar_load(cln_context *ctx, const char *folder, cln_split split, cln_dataset *dataset);

bool cln__idx_present(const char *folder);
/* `names`: `num_classes` class names, or NULL: the classes are those of the training labels. */
cln_status cln__idx_load(cln_context *ctx, const char *folder, cln_split split, const char *const *names,
                         int num_classes, cln_dataset *dataset);

/* Whether the folder holds one of the splits' folders: train, test or val. */
bool cln__images_present(const char *folder);
cln_status cln__images_load(cln_context *ctx, const char *folder, cln_split split, const cln_dataset_options *options,
                            cln_dataset *dataset);

#endif
