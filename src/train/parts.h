/* The tensors of resume.safetensors (resume.h): all that the device holds of a run between two steps. */
#ifndef CLN_SRC_PARTS_H
#define CLN_SRC_PARTS_H

#include "trainer.h"

typedef struct cln__part {
    cln_weights *of;
    int weight; /* its index there */
    cln_slot slot;
    float *values; /* within cln__parts.values */
} cln__part;

/* Every tensor of the file with room for its values. */
typedef struct cln__parts {
    size_t count;
    cln__part *of;
    cln_file_tensor *tensors; /* the names are owned */
    float *values;
} cln__parts;

/* Lists them, by name and shape; the values are for the caller to fill in. */
cln_status cln__parts_new(const cln__trainer *t, cln__parts *out);
void cln__parts_free(cln__parts *parts);

#endif
