/* Internal side of clnet/device.h. Only src/ocl and src/runtime include this: the rest of the library never names
 * OpenCL.
 *
 * A program is one file of cl/, embedded in the library, compiled with one string of -D options. It is looked up
 * in memory, then in the disk cache, and only then compiled. */
#ifndef CLN_SRC_OCL_H
#define CLN_SRC_OCL_H

#include "../base/base.h"
#include "../base/caps.h"
#include "clnet/device.h"

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

/* The .cl files, made by cmake/embed_kernels.cmake at build time; ends with a NULL name. */
typedef struct cln__kernel_source {
    const char *name; /* file name without ".cl" */
    const char *text; /* with the files it includes already inlined */
} cln__kernel_source;
extern const cln__kernel_source cln__kernel_sources[];

/* How a driver is to be treated; the table is in drivers.c. */
typedef struct cln__driver {
    const char *platform; /* part of the platform's name */
    bool own_cache;       /* it keeps programs itself: we do only in a folder set by cln_device_set_cache */
    bool after_use;       /* fetch binaries when the device is freed, not when they are built */
    bool bundled;         /* what is asked for at once becomes one program (bundle.c), unless there is a folder */
    bool short_kernels;   /* its CPUs are used as GPUs are: the long kernels for CPUs take too long to compile */
} cln__driver;
const cln__driver *cln__driver_of(const char *platform_name);

typedef struct cln__program_cache cln__program_cache;

struct cln_device {
    cln_context *ctx;
    cl_device_id id;
    cl_context cl;
    cl_command_queue queue; /* in order */
    cln_device_info info;
    cln__caps caps;
    cln__program_cache *programs;
};

/* What a device is, by its CL_DEVICE_TYPE. */
cln_device_type cln__device_type(cl_device_type type);

/* The index in `devices` (count of them, at least one) of the device that `spec` names, as cln_device_open says. */
cln_status cln__device_choose(cln_context *ctx, const cln_device_info *devices, size_t count, const char *spec,
                              size_t *out);

/* "CL_OUT_OF_RESOURCES" for -5, and so on; a static string, never NULL. */
const char *cln__cl_error_name(cl_int code);
/* Records "<what was attempted>: clFoo failed with CL_BAR (-n) on device D" and returns CLN_OPENCL
 * (CLN_OUT_OF_MEMORY for the memory codes). */
cln_status cln__fail_cl(cln_device *device, cl_int code, const char *call, const char *format, ...) CLN__PRINTF(4, 5);

/* A program: cl/<source>.cl, compiled with `options`. */
typedef struct cln__program_name {
    const char *source, *options;
} cln__program_name;

/* Compiles what will be asked for, if it is better done at once (the table in drivers.c). A program may be named more
 * than once. Thread-safe. Failing is no error: it then fails again, with a message, when it is asked for. */
void cln__programs_prepare(cln_device *device, const cln__program_name *wanted, int count);

/* A new kernel of the program of cl/<source>.cl with `options`, which is owned by the device and shared by everyone who
 * asks for the same. Thread-safe. A compile error gives the whole build log. */
cln_status cln__kernel_new(cln_device *device, const char *source, const char *options, const char *name,
                           cl_kernel *out);

#endif
