/* Choosing and opening an OpenCL device. */
#ifndef CLNET_DEVICE_H
#define CLNET_DEVICE_H

#include "clnet/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a device says it is; a GPU, if it says so among others. */
typedef enum cln_device_type {
    CLN_DEVICE_CPU,   /* those among which "cpu" chooses */
    CLN_DEVICE_GPU,   /* those among which "gpu" chooses */
    CLN_DEVICE_OTHER, /* accelerators and custom devices, in OpenCL's terms */
} cln_device_type;

/* What OpenCL says of a device; texts are cut to fit and end with 0. */
typedef struct cln_device_info {
    int platform, device; /* the index pair that --device takes, "platform:device" */
    cln_device_type type; /* decides which device is chosen where none is named */
    bool discrete;        /* a GPU with memory of its own (CL_DEVICE_HOST_UNIFIED_MEMORY is false) */
    bool available;       /* the device and its compiler; cln_device_open refuses one that is not */
    bool fp64, fp16;      /* whether kernels may compute in double, in half precision */
    char name[256], vendor[256], platform_name[256];               /* as the driver spells them */
    char version[256], driver_version[256], opencl_c_version[256]; /* of OpenCL ("OpenCL 3.0 ..."), driver, language */
    int compute_units;        /* as OpenCL counts: cores of a CPU, multiprocessors of a GPU */
    int clock_mhz;            /* the highest; 0: the driver does not say */
    uint64_t memory_bytes;    /* global memory in all */
    uint64_t max_alloc_bytes; /* the largest single allocation */
    uint64_t local_bytes;     /* local memory of a work-group */
    size_t max_work_group;    /* work-items */
    int address_bits;         /* of its pointers: 32 or 64 */
    bool denormals;           /* whether float32 keeps numbers below 2^-126 */
    char extensions[256];     /* those that bear on kernels like ours, with blanks between: half and double precision,
                                 subgroups, integer dot products */
} cln_device_info;

/* Lists every device of every platform. `*out` is malloc'ed (free it with free), NULL when there is none.
 * No device at all is CLN_NO_DEVICE with the likely causes in the message. */
CLN_API cln_status cln_device_list(cln_context *ctx, cln_device_info **out, size_t *count);

/* An opened device: context, in-order queue, program cache. Borrows `ctx`. */
typedef struct cln_device cln_device;

/* Opens the device that `spec` names: "platform:device" index, "cpu", "gpu", or a part of its name
 * (any case); NULL or "" chooses: discrete GPU, then integrated, then CPU, then anything; among equals the one with
 * the most compute units.
 * An unknown or ambiguous name fails with the list of devices. The caller frees *out. */
CLN_API cln_status cln_device_open(cln_context *ctx, const char *spec, cln_device **out);
/* After the weights and plans on it. */
CLN_API void cln_device_free(cln_device *device);
/* What was found when it was opened; lives as long as the device. */
CLN_API const cln_device_info *cln_device_get_info(const cln_device *device);

/* Where compiled programs are kept: by default $XDG_CACHE_HOME/clnet or $HOME/.cache/clnet, made with mode 0700.
 * Where the driver's own cache was measured to be the better one (pocl), none is kept by default.
 * NULL turns the cache off. A folder that cannot be made, or that other users can write to, is not used: a warning
 * says so. Copies `folder`. Call before building plans. */
CLN_API cln_status cln_device_set_cache(cln_device *device, const char *folder);

#ifdef __cplusplus
}
#endif
#endif
