/* OpenCL devices: listing them, opening one, what the plan needs to know of it. */
#include "cache.h"
#include "ocl.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All devices of all platforms; infos[i] describes ids[i]. */
typedef struct device_list {
    cln_device_info *infos;
    cl_device_id *ids;
    size_t count;
} device_list;

static void free_list(device_list *list) {
    free(list->infos);
    free(list->ids);
}

/* What clGetDeviceInfo says of an integer, whatever its width. If it fails, 0, and its code is kept in *failure. */
static uint64_t query_needed(cl_device_id id, cl_device_info what, cl_int *failure) {
    unsigned char raw[8] = {0};
    size_t size = 0;
    cl_int code = clGetDeviceInfo(id, what, sizeof raw, raw, &size);
    if (code != CL_SUCCESS) {
        *failure = code;
        return 0;
    }
    uint32_t narrow;
    uint64_t wide;
    memcpy(&narrow, raw, sizeof narrow);
    memcpy(&wide, raw, sizeof wide);
    return size == sizeof narrow ? narrow : size == sizeof wide ? wide : 0;
}

/* The same of what a device need not know. */
static uint64_t query_number(cl_device_id id, cl_device_info what) {
    cl_int ignored;
    return query_needed(id, what, &ignored);
}

/* Copies `text` without the blanks around it, cut to `size` bytes: some drivers pad their names. */
static void copy_trimmed(char *out, size_t size, const char *text) {
    while (isspace((unsigned char)*text))
        text++;
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    length = length < size ? length : size - 1;
    memcpy(out, text, length);
    out[length] = '\0';
}

static void query_text(cl_device_id id, cl_device_info what, char out[256], cl_int *failure) {
    char text[4096] = "";
    cl_int code = clGetDeviceInfo(id, what, sizeof text - 1, text, NULL);
    if (code != CL_SUCCESS) {
        text[0] = '\0';
        *failure = code;
    }
    copy_trimmed(out, 256, text);
}

/* Those of `all`, which it takes apart, that cln_device_info tells of. */
static void pick_extensions(char *all, char *out, size_t room) {
    static const char *const names[] = {"cl_khr_fp16", "cl_khr_fp64", "cl_khr_subgroups", "cl_intel_subgroups",
                                        "cl_khr_integer_dot_product"};
    char *rest = NULL;
    size_t used = 0;
    for (char *name = strtok_r(all, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            if (strcmp(name, names[i]) == 0 && used + strlen(name) + 2 < room)
                used += (size_t)snprintf(out + used, room - used, "%s%s", used ? " " : "", name);
}

/* "" where the device does not say. False: there is no memory. */
static bool query_extensions(cl_device_id id, char *out, size_t room) {
    size_t size = 0;
    if (clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, 0, NULL, &size) != CL_SUCCESS)
        return true;
    char *all = calloc(1, size + 1);
    if (all && clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, size, all, NULL) == CL_SUCCESS)
        pick_extensions(all, out, room);
    free(all);
    return all != NULL;
}

/* A failure of the device's is kept in *failure. False: there is no memory. */
static bool describe(cl_platform_id platform, cl_device_id id, cln_device_info *out, cl_int *failure) {
    cln_device_info info = {0};
    info.type = cln__device_type(query_needed(id, CL_DEVICE_TYPE, failure));
    info.discrete = info.type == CLN_DEVICE_GPU && !query_number(id, CL_DEVICE_HOST_UNIFIED_MEMORY);
    /* A device without a compiler is of no use to us, even if it is there. */
    info.available =
        query_needed(id, CL_DEVICE_AVAILABLE, failure) && query_needed(id, CL_DEVICE_COMPILER_AVAILABLE, failure);
    info.fp64 = query_number(id, CL_DEVICE_DOUBLE_FP_CONFIG) != 0;
    info.denormals = query_number(id, CL_DEVICE_SINGLE_FP_CONFIG) & CL_FP_DENORM;
    if (!query_extensions(id, info.extensions, sizeof info.extensions))
        return false;
    info.fp16 = strstr(info.extensions, "cl_khr_fp16") != NULL;
    query_text(id, CL_DEVICE_NAME, info.name, failure);
    query_text(id, CL_DEVICE_VENDOR, info.vendor, failure);
    query_text(id, CL_DEVICE_VERSION, info.version, failure);
    query_text(id, CL_DRIVER_VERSION, info.driver_version, failure);
    query_text(id, CL_DEVICE_OPENCL_C_VERSION, info.opencl_c_version, failure);
    char name[4096] = "";
    cl_int code = clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof name - 1, name, NULL);
    if (code == CL_SUCCESS)
        copy_trimmed(info.platform_name, sizeof info.platform_name, name);
    else
        *failure = code;
    info.compute_units = (int)query_needed(id, CL_DEVICE_MAX_COMPUTE_UNITS, failure);
    info.address_bits = (int)query_number(id, CL_DEVICE_ADDRESS_BITS);
    info.clock_mhz = (int)query_number(id, CL_DEVICE_MAX_CLOCK_FREQUENCY);
    info.memory_bytes = query_needed(id, CL_DEVICE_GLOBAL_MEM_SIZE, failure);
    info.max_alloc_bytes = query_needed(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, failure);
    info.local_bytes = query_needed(id, CL_DEVICE_LOCAL_MEM_SIZE, failure);
    info.max_work_group = (size_t)query_needed(id, CL_DEVICE_MAX_WORK_GROUP_SIZE, failure);
    *out = info;
    return true;
}

/* A platform that fails is no error: the others may well work. */
static cln_status leave_out(cln_context *ctx, int platform, cl_int code) {
    cln__warn(ctx, "OpenCL platform %d is left out: clGetDeviceIDs failed with %s (%d)", platform,
              cln__cl_error_name(code), (int)code);
    return CLN_OK;
}

/* Adds the devices of one platform. */
static cln_status add_platform(cln_context *ctx, cl_platform_id platform, int index, device_list *list) {
    cl_uint found = 0;
    cl_int code = clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, NULL, &found);
    if (code == CL_DEVICE_NOT_FOUND || (code == CL_SUCCESS && found == 0))
        return CLN_OK;
    if (code != CL_SUCCESS)
        return leave_out(ctx, index, code);
    cl_device_id *ids = realloc(list->ids, (list->count + found) * sizeof *ids);
    if (ids)
        list->ids = ids;
    cln_device_info *infos = realloc(list->infos, (list->count + found) * sizeof *infos);
    if (infos)
        list->infos = infos;
    if (!ids || !infos)
        return cln__fail_memory(ctx, "the list of OpenCL devices");
    code = clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, found, ids + list->count, NULL);
    if (code != CL_SUCCESS)
        return leave_out(ctx, index, code);
    for (cl_uint i = 0, first = (cl_uint)list->count; i < found; i++) {
        cl_int failure = CL_SUCCESS;
        cl_device_id id = ids[first + i];
        cln_device_info info;
        if (!describe(platform, id, &info, &failure))
            return cln__fail_memory(ctx, "what an OpenCL device is");
        info.platform = index;
        info.device = (int)i;
        if (failure != CL_SUCCESS) {
            cln__warn(ctx, "OpenCL device %d:%d is left out: asking what it is failed with %s (%d)", index, (int)i,
                      cln__cl_error_name(failure), (int)failure);
            continue;
        }
        infos[list->count] = info;
        ids[list->count++] = id;
    }
    return CLN_OK;
}

static cln_status fail_no_device(cln_context *ctx, const char *found) {
    return cln__fail(ctx, CLN_NO_DEVICE,
                     "no OpenCL device: %s. Likely causes: no driver is installed (Debian: pocl-opencl-icd for CPUs, "
                     "mesa-opencl-icd, intel-opencl-icd or nvidia-opencl-icd for GPUs; clinfo shows what there is); "
                     "Mesa's Rusticl needs RUSTICL_ENABLE set to the GPU's driver (iris, radeonsi, ...); this user may "
                     "not open /dev/dri/renderD* (join the group render or video); pocl finds no folder it can write "
                     "(POCL_CACHE_DIR, or ~/.cache/pocl)",
                     found);
}

/* On failure the list is empty. */
static cln_status list_devices(cln_context *ctx, device_list *out) {
    *out = (device_list){0};
    cl_uint platforms = 0;
    cl_int code = clGetPlatformIDs(0, NULL, &platforms);
    if (code != CL_SUCCESS || platforms == 0)
        return fail_no_device(ctx, "there is no OpenCL platform");
    cl_platform_id *ids = calloc(platforms, sizeof *ids);
    if (!ids)
        return cln__fail_memory(ctx, "the list of OpenCL platforms");
    cln_status status = CLN_OK;
    if (clGetPlatformIDs(platforms, ids, NULL) == CL_SUCCESS)
        for (cl_uint i = 0; i < platforms && status == CLN_OK; i++)
            status = add_platform(ctx, ids[i], (int)i, out);
    free(ids);
    if (status == CLN_OK && out->count == 0)
        status = fail_no_device(ctx, "none of the OpenCL platforms has one");
    if (status != CLN_OK) {
        free_list(out);
        *out = (device_list){0};
    }
    return status;
}

cln_status cln_device_list(cln_context *ctx, cln_device_info **out, size_t *count) {
    device_list list;
    cln_status status = list_devices(ctx, &list);
    free(list.ids);
    *out = list.infos;
    *count = list.count;
    return status;
}

static uint64_t at_least(uint64_t value, uint64_t minimum) {
    return value > minimum ? value : minimum;
}

/* What kernels may take of the stack that a driver's threads have, which is the usual one: 3 of 8 MiB. */
static int64_t private_bytes(void) {
    pthread_attr_t attributes;
    size_t stack = (size_t)8 << 20;
    if (pthread_attr_init(&attributes) == 0) {
        pthread_attr_getstacksize(&attributes, &stack);
        pthread_attr_destroy(&attributes);
    }
    return (int64_t)stack / 8 * 3;
}

static cln__caps caps_of(cl_device_id id, const cln_device_info *info) {
    bool cpu = info->type == CLN_DEVICE_CPU && !cln__driver_of(info->platform_name)->short_kernels;
    int units = (int)at_least((uint64_t)info->compute_units, 1);
    return (cln__caps){
        .is_cpu = cpu,
        .compute_units = units,
        .block = cpu ? 16 : 4,
        .work_group = cpu                         ? 1
                      : info->max_work_group < 64 ? (int)at_least(info->max_work_group, 1)
                                                  : 64,
        /* CPU: enough pieces a core to even out. GPU: enough threads in flight to hide latency. */
        .items_target = units * (cpu ? 16 : 1024),
        .max_work_group = (size_t)at_least(info->max_work_group, 1),
        .max_alloc_bytes = info->max_alloc_bytes,
        .memory_bytes = info->memory_bytes,
        .local_bytes = info->local_bytes,
        .private_bytes = cpu ? private_bytes() : 0,
        .alignment_bytes = at_least(query_number(id, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8, 64),
    };
}

static cln_status set_default_cache(cln_device *device) {
    if (!cln__program_cache_wanted(device))
        return CLN_OK;
    char *folder;
    CLN_TRY(cln__cache_default_folder(device->ctx, getenv("XDG_CACHE_HOME"), getenv("HOME"), &folder));
    cln_status status = cln_device_set_cache(device, folder);
    free(folder);
    return status;
}

static cln_status start(cln_device *device) {
    cl_int code;
    cl_platform_id platform;
    code = clGetDeviceInfo(device->id, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL);
    if (code != CL_SUCCESS)
        return cln__fail_cl(device, code, "clGetDeviceInfo", "opening the device");
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)platform, 0};
    device->cl = clCreateContext(properties, 1, &device->id, NULL, NULL, &code);
    if (code != CL_SUCCESS)
        return cln__fail_cl(device, code, "clCreateContext", "opening the device");
    device->queue = clCreateCommandQueue(device->cl, device->id, 0, &code);
    if (code != CL_SUCCESS)
        return cln__fail_cl(device, code, "clCreateCommandQueue", "opening the device");
    CLN_TRY(cln__program_cache_new(device));
    return set_default_cache(device);
}

cln_status cln_device_open(cln_context *ctx, const char *spec, cln_device **out) {
    *out = NULL;
    device_list list;
    CLN_TRY(list_devices(ctx, &list));
    size_t index = 0;
    cln_device *device = NULL;
    cln_status status = cln__device_choose(ctx, list.infos, list.count, spec, &index);
    if (status == CLN_OK) {
        device = calloc(1, sizeof *device);
        status = device ? CLN_OK : cln__fail_memory(ctx, "a device");
    }
    if (status == CLN_OK) {
        device->ctx = ctx;
        device->id = list.ids[index];
        device->info = list.infos[index];
        device->caps = caps_of(device->id, &device->info);
        status = start(device);
    }
    free_list(&list);
    if (status == CLN_OK)
        *out = device;
    else
        cln_device_free(device);
    return status;
}

void cln_device_free(cln_device *device) {
    if (!device)
        return;
    if (device->queue)
        clFinish(device->queue);
    cln__program_cache_free(device);
    if (device->queue)
        clReleaseCommandQueue(device->queue);
    if (device->cl)
        clReleaseContext(device->cl);
    free(device);
}

const cln_device_info *cln_device_get_info(const cln_device *device) {
    return &device->info;
}
