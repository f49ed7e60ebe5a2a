/* Which of the listed devices a --device text means. No OpenCL call is made here.
 *
 * Devices are told apart by type and by whether they have memory of their own, never by vendor: pocl, for one, gives
 * Intel's vendor number to every CPU. */
#include "ocl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_SPEC_SHOWN = 100 };

/* What says that it is several, as simulators do, runs on the processor. */
cln_device_type cln__device_type(cl_device_type type) {
    return type & CL_DEVICE_TYPE_CPU ? CLN_DEVICE_CPU : type & CL_DEVICE_TYPE_GPU ? CLN_DEVICE_GPU : CLN_DEVICE_OTHER;
}

static const char *kind_text(const cln_device_info *device) {
    switch (device->type) {
    case CLN_DEVICE_CPU:
        return "CPU";
    case CLN_DEVICE_GPU:
        return device->discrete ? "discrete GPU" : "integrated GPU";
    case CLN_DEVICE_OTHER:
        break;
    }
    return "accelerator";
}

/* A line for each device, malloc'ed. */
static char *list_text(const cln_device_info *devices, size_t count) {
    char *list = cln__format("the devices are");
    for (size_t i = 0; list && i < count; i++) {
        const cln_device_info *d = &devices[i];
        char *longer = cln__format("%s\n  %d:%d  %s (%s, %s)%s", list, d->platform, d->device, d->name, kind_text(d),
                                   d->platform_name, d->available ? "" : ", not available");
        free(list);
        list = longer;
    }
    return list;
}

static cln_status fail_choice(cln_context *ctx, const cln_device_info *devices, size_t count, const char *spec,
                              const char *problem) {
    char *list = list_text(devices, count);
    cln__fail(ctx, CLN_NO_DEVICE, "device '%.*s' %s; give an index, cpu, gpu or a part of one name; %s", MAX_SPEC_SHOWN,
              spec, problem, list ? list : "");
    free(list);
    return CLN_NO_DEVICE;
}

/* How much a device is wanted when nothing was asked for. */
static int rank(const cln_device_info *device) {
    if (device->type == CLN_DEVICE_GPU)
        return device->discrete ? 4 : 3;
    return device->type == CLN_DEVICE_CPU ? 2 : 1;
}

static bool is_better(const cln_device_info *a, const cln_device_info *b) {
    return rank(a) != rank(b) ? rank(a) > rank(b) : a->compute_units > b->compute_units;
}

/* The best available device, of `type` only unless that is negative; `count` if there is none. */
static size_t best_of(const cln_device_info *devices, size_t count, int type) {
    size_t best = count;
    for (size_t i = 0; i < count; i++) {
        if (!devices[i].available || (type >= 0 && (int)devices[i].type != type))
            continue;
        if (best == count || is_better(&devices[i], &devices[best]))
            best = i;
    }
    return best;
}

static bool contains(const char *text, const char *part) {
    size_t length = strlen(part);
    for (; *text; text++)
        if (strncasecmp(text, part, length) == 0)
            return true;
    return false;
}

static bool is_index(const cln_device_info *device, const char *spec) {
    char index[32];
    snprintf(index, sizeof index, "%d:%d", device->platform, device->device);
    return strcmp(index, spec) == 0;
}

/* How many devices have `spec` as their name, or with `part` in it; *out is the last of them. */
static size_t count_names(const cln_device_info *devices, size_t count, const char *spec, bool part, size_t *out) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        const char *name = devices[i].name;
        if (part ? contains(name, spec) : strcasecmp(name, spec) == 0) {
            *out = i;
            found++;
        }
    }
    return found;
}

cln_status cln__device_choose(cln_context *ctx, const cln_device_info *devices, size_t count, const char *spec,
                              size_t *out) {
    if (!spec || !*spec) {
        *out = best_of(devices, count, -1);
        return *out < count ? CLN_OK : fail_choice(ctx, devices, count, "", "cannot be chosen: none is available");
    }
    bool cpu = strcasecmp(spec, "cpu") == 0, gpu = strcasecmp(spec, "gpu") == 0;
    if (cpu || gpu) {
        *out = best_of(devices, count, cpu ? CLN_DEVICE_CPU : CLN_DEVICE_GPU);
        return *out < count ? CLN_OK : fail_choice(ctx, devices, count, spec, "is not there");
    }
    size_t found = 0;
    for (size_t i = 0; i < count && found == 0; i++)
        if (is_index(&devices[i], spec)) {
            *out = i;
            found = 1;
        }
    if (found == 0)
        found = count_names(devices, count, spec, true, out);
    /* A whole name wins where it is also a part of others: "RTX 3080" beside "RTX 3080 Ti". */
    if (found > 1 && count_names(devices, count, spec, false, out) == 1)
        found = 1;
    if (found == 0)
        return fail_choice(ctx, devices, count, spec, "is not there");
    if (found > 1)
        return fail_choice(ctx, devices, count, spec, "is ambiguous");
    if (!devices[*out].available)
        return fail_choice(ctx, devices, count, spec, "is there, but not available");
    return CLN_OK;
}
