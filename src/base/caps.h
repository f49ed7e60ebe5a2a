/* What the plan needs to know of a device, as plain data, so that planning needs no OpenCL. */
#ifndef CLN_SRC_CAPS_H
#define CLN_SRC_CAPS_H

#include "base.h"

typedef struct cln__caps {
    bool is_cpu;
    int compute_units;
    int block;             /* channels in a block, the innermost axis of an activation: 16 on a CPU, 4 on a GPU */
    int work_group;        /* work-items in a group where a kernel does not say: 1 on a CPU, 64 on a GPU */
    int items_target;      /* how many work-items keep the device busy */
    size_t max_work_group; /* CL_DEVICE_MAX_WORK_GROUP_SIZE */
    uint64_t max_alloc_bytes;
    uint64_t memory_bytes; /* CL_DEVICE_GLOBAL_MEM_SIZE */
    uint64_t local_bytes;
    int64_t private_bytes; /* a work-item's private arrays: on a CPU they lie on the stack of a thread */
    uint64_t alignment_bytes; /* of a tensor in its arena: at least 64, and the device's base alignment */
} cln__caps;

/* A CPU of two cores as pocl shows it: for host-only tests and for printing plans without a device. */
cln__caps cln__caps_default(void);

#endif
