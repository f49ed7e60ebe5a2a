/* Compiled programs: one list in memory for each device, and the choice of what is kept on disk (cache.c). */
#include "bundle.h"
#include "cache.h"
#include "ocl.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Before the caller's options. The kernels are OpenCL C 1.2; nothing here relaxes the arithmetic. */
#define COMMON_OPTIONS "-cl-std=CL1.2 "

/* Changes when the meaning of an entry does; part of the key. */
#define KEY_FORMAT "clnet program 1"

typedef struct program {
    char *source, *options;
    cl_program cl;
    int section; /* of a bundle; -1: it is none */
    bool saved;  /* in the folder, or never to be */
    struct program *next;
} program;

struct cln__program_cache {
    pthread_mutex_t mutex; /* held while compiling too: two threads never compile the same program */
    program *programs;
    char *folder; /* NULL: no disk cache */
    const cln__driver *driver;
};

cln_status cln__program_cache_new(cln_device *device) {
    cln__program_cache *cache = calloc(1, sizeof *cache);
    if (!cache || pthread_mutex_init(&cache->mutex, NULL) != 0) {
        free(cache);
        return cln__fail_memory(device->ctx, "the program cache");
    }
    cache->driver = cln__driver_of(device->info.platform_name);
    device->programs = cache;
    return CLN_OK;
}

bool cln__program_cache_wanted(const cln_device *device) {
    return !device->programs->driver->own_cache;
}

cln_status cln_device_set_cache(cln_device *device, const char *folder) {
    char *copy = NULL;
    if (folder && cln__cache_prepare(device->ctx, folder)) {
        copy = cln__format("%s", folder);
        if (!copy)
            return cln__fail_memory(device->ctx, "the path of the program cache");
    }
    pthread_mutex_lock(&device->programs->mutex);
    free(device->programs->folder);
    device->programs->folder = copy;
    pthread_mutex_unlock(&device->programs->mutex);
    return CLN_OK;
}

static const char *source_text(const char *source) {
    for (const cln__kernel_source *s = cln__kernel_sources; s->name; s++)
        if (strcmp(s->name, source) == 0)
            return s->text;
    return NULL;
}

/* Everything that a binary depends on, malloc'ed. */
static char *key_text(const cln_device *device, const char *source, const char *options) {
    const cln_device_info *info = &device->info;
    return cln__format("%s\nplatform %s\ndevice %s\nversion %s\ndriver %s\noptions %s%s\nsource %s\n%s", KEY_FORMAT,
                       info->platform_name, info->name, info->version, info->driver_version, COMMON_OPTIONS, options,
                       source, source_text(source));
}

/* The driver's binary, malloc'ed; NULL if it gives none, which costs no more than the saving. */
static unsigned char *fetch_binary(cl_program cl, size_t *size) {
    *size = 0;
    if (clGetProgramInfo(cl, CL_PROGRAM_BINARY_SIZES, sizeof *size, size, NULL) != CL_SUCCESS || *size == 0)
        return NULL;
    unsigned char *binary = malloc(*size);
    if (binary && clGetProgramInfo(cl, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) == CL_SUCCESS)
        return binary;
    free(binary);
    return NULL;
}

/* The caller holds the mutex, or is the last user. */
static void save(cln_device *device, program *p) {
    cln__program_cache *cache = device->programs;
    if (p->saved || !cache->folder)
        return;
    p->saved = true;
    size_t size;
    char *key = key_text(device, p->source, p->options);
    unsigned char *binary = key ? fetch_binary(p->cl, &size) : NULL;
    if (binary && !cln__cache_store(cache->folder, key, strlen(key), binary, size)) {
        cln__warn(device->ctx, "compiled programs are not kept: cannot write to '%s': %s", cache->folder,
                  strerror(errno));
        free(cache->folder); /* one warning is enough, and so is one wait for a slow or full disk */
        cache->folder = NULL;
    }
    free(binary);
    free(key);
}

static void release(program *p) {
    if (p->cl)
        clReleaseProgram(p->cl);
    free(p->source);
    free(p->options);
    free(p);
}

void cln__program_cache_free(cln_device *device) {
    cln__program_cache *cache = device->programs;
    if (!cache)
        return;
    while (cache->programs) {
        program *p = cache->programs;
        cache->programs = p->next;
        save(device, p);
        release(p);
    }
    free(cache->folder);
    pthread_mutex_destroy(&cache->mutex);
    free(cache);
    device->programs = NULL;
}

/* Leaves p->cl NULL if there is no entry, or the driver does not take it. */
static void load(cln_device *device, program *p, const char *options) {
    char *key = key_text(device, p->source, p->options);
    char *what = cln__format("cl/%s.cl with '%s'", p->source, p->options);
    unsigned char *binary = NULL;
    size_t size;
    if (!key || !what ||
        !cln__cache_load(device->ctx, device->programs->folder, what, key, strlen(key), &binary, &size))
        goto done;
    cl_int taken = CL_SUCCESS, code;
    const unsigned char *const_binary = binary;
    cl_program cl = clCreateProgramWithBinary(device->cl, 1, &device->id, &size, &const_binary, &taken, &code);
    if (code == CL_SUCCESS && taken != CL_SUCCESS)
        code = taken;
    if (code == CL_SUCCESS)
        code = clBuildProgram(cl, 1, &device->id, options, NULL, NULL);
    if (code == CL_SUCCESS) {
        p->cl = cl;
        p->saved = true;
    } else {
        cln__warn(device->ctx, "the driver refuses the cache entry of %s, it is compiled again: %s (%d)", what,
                  cln__cl_error_name(code), (int)code);
        if (cl)
            clReleaseProgram(cl);
    }
done:
    free(binary);
    free(what);
    free(key);
}

static cln_status fail_build(cln_device *device, const program *p, cl_int code) {
    size_t size = 0;
    clGetProgramBuildInfo(p->cl, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size);
    char *log = calloc(1, size + 1);
    if (log)
        clGetProgramBuildInfo(p->cl, device->id, CL_PROGRAM_BUILD_LOG, size, log, NULL);
    cln_status status =
        cln__fail(device->ctx, CLN_OPENCL,
                  "compiling cl/%s.cl with '%s': clBuildProgram failed with %s (%d) on device %s; "
                  "the build log:\n%s",
                  p->source, p->options, cln__cl_error_name(code), (int)code, device->info.name, log ? log : "");
    free(log);
    return status;
}

static cln_status compile(cln_device *device, program *p, const char *options) {
    cl_int code;
    const char *text = source_text(p->source);
    p->cl = clCreateProgramWithSource(device->cl, 1, &text, NULL, &code);
    if (code != CL_SUCCESS)
        return cln__fail_cl(device, code, "clCreateProgramWithSource", "compiling cl/%s.cl", p->source);
    code = clBuildProgram(p->cl, 1, &device->id, options, NULL, NULL);
    return code == CL_SUCCESS ? CLN_OK : fail_build(device, p, code);
}

/* NULL for lack of memory. */
static program *program_new(const char *source, const char *options) {
    program *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->section = -1;
    p->source = cln__format("%s", source);
    p->options = cln__format("%s", options);
    if (p->source && p->options)
        return p;
    release(p);
    return NULL;
}

/* From the disk or the compiler; the caller holds the mutex. */
static cln_status make(cln_device *device, const char *source, const char *options, program **out) {
    cln__program_cache *cache = device->programs;
    cln_status status = CLN_OUT_OF_MEMORY;
    program *p = program_new(source, options);
    char *all_options = cln__format("%s%s", COMMON_OPTIONS, options);
    if (!p || !all_options) {
        status = cln__fail_memory(device->ctx, "a program");
        goto fail;
    }
    if (cache->folder)
        load(device, p, all_options);
    if (!p->cl) {
        status = compile(device, p, all_options);
        if (status != CLN_OK)
            goto fail;
        if (!cache->driver->after_use)
            save(device, p);
    }
    free(all_options);
    *out = p;
    return CLN_OK;
fail:
    if (p)
        release(p);
    free(all_options);
    return status;
}

static program *find(const cln__program_cache *cache, const char *source, const char *options) {
    program *p = cache->programs;
    while (p && (strcmp(p->source, source) != 0 || strcmp(p->options, options) != 0))
        p = p->next;
    return p;
}

static void keep(cln__program_cache *cache, program *p) {
    p->next = cache->programs;
    cache->programs = p;
}

/* Finds or makes the program; the caller does not hold the mutex. */
static cln_status get(cln_device *device, const char *source, const char *options, program **out) {
    *out = NULL;
    if (!source_text(source))
        return cln__fail(device->ctx, CLN_INTERNAL, "the library has no kernel file cl/%s.cl", source);
    cln__program_cache *cache = device->programs;
    cln_status status = CLN_OK;
    pthread_mutex_lock(&cache->mutex);
    *out = find(cache, source, options);
    if (!*out) {
        status = make(device, source, options, out);
        if (status == CLN_OK)
            keep(cache, *out);
    }
    pthread_mutex_unlock(&cache->mutex);
    return status;
}

cln_status cln__kernel_new(cln_device *device, const char *source, const char *options, const char *name,
                           cl_kernel *out) {
    program *p;
    *out = NULL;
    CLN_TRY(get(device, source, options, &p));
    char *full_name = p->section < 0 ? cln__format("%s", name) : cln__format(CLN__BUNDLE_PREFIX "%s", p->section, name);
    if (!full_name)
        return cln__fail_memory(device->ctx, "a kernel");
    cl_int code;
    *out = clCreateKernel(p->cl, full_name, &code);
    free(full_name);
    return *out ? CLN_OK : cln__fail_cl(device, code, "clCreateKernel", "kernel %s of cl/%s.cl", name, source);
}

/* --- several at once --- */

/* The program that holds all of `wanted`; NULL if it cannot be. */
static cl_program compile_bundle(cln_device *device, const cln__program_name *wanted, int count) {
    const char **texts = calloc((size_t)count, sizeof *texts), **options = calloc((size_t)count, sizeof *options);
    for (int i = 0; texts && options && i < count; i++) {
        texts[i] = source_text(wanted[i].source);
        options[i] = wanted[i].options;
    }
    char *bundle = texts && options ? cln__bundle(texts, options, count) : NULL;
    const char *text = bundle;
    cl_program cl = bundle ? clCreateProgramWithSource(device->cl, 1, &text, NULL, NULL) : NULL;
    if (cl && clBuildProgram(cl, 1, &device->id, COMMON_OPTIONS, NULL, NULL) != CL_SUCCESS) {
        clReleaseProgram(cl);
        cl = NULL;
    }
    free(bundle);
    free(texts);
    free(options);
    return cl;
}

/* Those of `wanted` that are not there yet, each once, into `missing`. */
static int list_missing(const cln__program_cache *cache, const cln__program_name *wanted, int count,
                        cln__program_name *missing) {
    int found = 0;
    for (int i = 0; i < count; i++) {
        bool known = !source_text(wanted[i].source) || find(cache, wanted[i].source, wanted[i].options);
        for (int k = 0; k < found && !known; k++)
            known =
                strcmp(missing[k].source, wanted[i].source) == 0 && strcmp(missing[k].options, wanted[i].options) == 0;
        if (!known)
            missing[found++] = wanted[i];
    }
    return found;
}

void cln__programs_prepare(cln_device *device, const cln__program_name *wanted, int count) {
    cln__program_cache *cache = device->programs;
    cln__program_name *missing = calloc((size_t)count + 1, sizeof *missing);
    pthread_mutex_lock(&cache->mutex);
    int sections =
        missing && cache->driver->bundled && !cache->folder ? list_missing(cache, wanted, count, missing) : 0;
    cl_program cl = sections > 1 ? compile_bundle(device, missing, sections) : NULL;
    for (int i = 0; cl && i < sections; i++) {
        program *p = program_new(missing[i].source, missing[i].options);
        if (!p || clRetainProgram(cl) != CL_SUCCESS) {
            if (p)
                release(p);
            break; /* the rest is compiled when it is asked for */
        }
        p->cl = cl;
        p->section = i;
        p->saved = true;
        keep(cache, p);
    }
    pthread_mutex_unlock(&cache->mutex);
    if (cl)
        clReleaseProgram(cl);
    free(missing);
}
