/* The runtime: weights and plans bound to a device. With src/ocl the only code that names OpenCL.
 *
 * weights.c    parameters on the device: initial values, get and set
 * bind.c       cln_plan_build: makes the host plan, checks that it fits, compiles, allocates
 * execute.c    a step: set what changes, enqueue everything
 * profile.c    a step with the time of every launch
 * average.c    moving averages of parameters and statistics
 * transfer.c   between NCHW on the host and the plan's layouts on the device
 * gemm.c       the calls to CLBlast
 * diagnose.c   finding the layer where numbers stop being finite */
#ifndef CLN_SRC_RUNTIME_H
#define CLN_SRC_RUNTIME_H

#include "../ocl/ocl.h"
#include "../plan/plan.h"
#include "clnet/plan.h"

enum { CLN__REGION_COUNT = CLN__STATES + 1, CLN__TICKETS = 8, CLN__STAGING = 2 };

struct cln_weights {
    cln_device *device;
    cln_graph *graph; /* a copy: names, shapes, initial values */
    cln__layouts layouts;
    cl_mem region[CLN__REGION_COUNT]; /* by cln__region; [CLN__ARENA] unused; made when first needed, as zeros */
    int count;
    int *tensors;      /* the graph's parameters and states, in order */
    cl_kernel average; /* of cln_weights_average, made when first needed */
    uint64_t version;  /* counts changes of values and states */
};

/* A launch argument that is set anew before each step. */
typedef struct cln__patch {
    int step;
    cl_uint index;
    const cln__arg *arg;
} cln__patch;

/* An input's way to the device: two host buffers in turn, so that filling one overlaps with sending the other. */
typedef struct cln__staging {
    int tensor;
    float *host[CLN__STAGING];
    cl_event sent[CLN__STAGING];
    int next;
} cln__staging;

struct cln_plan {
    cln_device *device;
    cln_weights *weights;
    cln__host_plan host;
    cl_mem arenas[CLN__MAX_ARENAS];
    cl_kernel *kernels; /* by step; NULL for a GEMM */
    size_t (*global)[3], (*local)[3];
    cl_mem gemm_temp;
    int patch_count;
    cln__patch *patches;
    int staging_count;
    cln__staging *staging; /* by input */
    bool updates_weights;  /* has an optimiser */
    bool changes_weights;  /* that, or running statistics */
    uint64_t prepared;     /* the version of the weights for which the prepared steps last ran; 0: none */
    float momentum, beta2; /* of the optimiser; momentum: beta1 of all but SGD */
    int64_t updates;       /* of the optimiser */
    int64_t steps;         /* enqueued so far: the random counter of dropout */
    int accumulated;       /* of them since the last update */
    bool accumulates;
    int next_ticket;
    float scalars[CLN__TICKETS];
    cl_event tickets[CLN__TICKETS];
};

/* The options as the host stages take them. */
cln__plan_request cln__plan_request_of(const cln_plan_options *options);

/* The buffer of a region, made and zeroed at first use. */
cln_status cln__weights_region(cln_weights *weights, cln__region region, cl_mem *out);
/* A zeroed device buffer. `what` names it in messages. */
cln_status cln__buffer_new(cln_device *device, uint64_t bytes, const char *what, cl_mem *out);

/* Where tensor `id` of the plan is: buffer, and strides with the offset in floats. */
typedef struct cln__place_of {
    cl_mem buffer;
    cl_ulong offset, image, block_stride, pixel;
} cln__place_of;
cln_status cln__plan_locate(cln_plan *plan, int id, cln__place_of *out);

/* Floats between the first and the last element of a tensor's storage. */
int64_t cln__span(const cln_graph *g, const cln__layouts *layouts, int id);
/* NCHW (OIHW) to layout: `packed` (cln__span floats) is zeroed first. And back. */
void cln__pack(const cln_graph *g, const cln__layouts *layouts, int id, const float *values, float *packed);
void cln__unpack(const cln_graph *g, const cln__layouts *layouts, int id, const float *packed, float *values);

/* cln_plan_read of any tensor, kept or not: for the moment right after it was made. */
cln_status cln__plan_read(cln_plan *plan, int id, float *out, int64_t count);

/* How much workspace the GEMM of `step` needs; enqueues it, with plan->gemm_temp. *event, unless it is NULL, is that of
 * the last of its kernels. */
cln_status cln__gemm_temp_bytes(cln_plan *plan, const cln__step *step, size_t *bytes);
cln_status cln__gemm_enqueue(cln_plan *plan, const cln__step *step, cl_command_queue queue, cl_event *event);

/* A step in parts, for cln_plan_profile: sets the arguments that change and enqueues the prepared steps if the weights
 * have changed, enqueues one launch, counts the step. */
cln_status cln__step_begin(cln_plan *plan, cln_rates rates);
cln_status cln__launch(cln_plan *plan, int index, cl_command_queue queue, cl_event *event);
void cln__step_end(cln_plan *plan, bool update);
/* Enqueues steps first..last-1. */
cln_status cln__enqueue(cln_plan *plan, int first, int last);

#endif
