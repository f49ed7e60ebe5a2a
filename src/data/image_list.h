/* The images in a folder <split>/<class>/<image>, found and put in order, not yet opened. */
#ifndef CLN_SRC_IMAGE_LIST_H
#define CLN_SRC_IMAGE_LIST_H

#include "dataset.h"

typedef struct cln__image_list {
    char *root;  /* the data set's folder, without links */
    char **path; /* `count` of them, by class, then by name, in the order of bytes */
    int32_t *label;
    size_t count, room;
} cln__image_list;

/* Lists a split, which has at least one image, and sets the class names of `dataset`: those of the folder train, where
 * that is there. What was found is freed by the caller even after a failure. */
cln_status cln__image_list_read(cln_context *ctx, const char *folder, cln_split split, cln_dataset *dataset,
                                cln__image_list *out);
void cln__image_list_free(cln__image_list *list);

#endif
