/* Loaded before a program (LD_PRELOAD), makes it see a sub-device of one compute unit in place of each device:
 * scripts/portability.sh runs them so, since none of its implementations offers sub-devices by itself. */
#define _GNU_SOURCE
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

typedef cl_int get_devices(cl_platform_id, cl_device_type, cl_uint, cl_device_id *, cl_uint *);

static void divide(cl_device_id *id) {
    const cl_device_partition_property one[] = {CL_DEVICE_PARTITION_BY_COUNTS, 1,
                                                CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0};
    cl_device_id part;
    cl_int code = clCreateSubDevices(*id, one, 1, &part, NULL);
    if (code != CL_SUCCESS) {
        fprintf(stderr, "sub_device: clCreateSubDevices failed with %d\n", (int)code);
        exit(EXIT_FAILURE);
    }
    *id = part;
}

CL_API_ENTRY cl_int CL_API_CALL clGetDeviceIDs(cl_platform_id platform, cl_device_type type, cl_uint room,
                                               cl_device_id *out, cl_uint *count) {
    cl_uint found = 0;
    get_devices *real = (get_devices *)dlsym(RTLD_NEXT, "clGetDeviceIDs");
    if (!real) {
        fprintf(stderr, "sub_device: there is no clGetDeviceIDs: %s\n", dlerror());
        exit(EXIT_FAILURE);
    }
    cl_int code = real(platform, type, room, out, &found);
    for (cl_uint i = 0; code == CL_SUCCESS && out && i < found && i < room; i++)
        divide(&out[i]);
    if (count)
        *count = found;
    return code;
}
