/* See tuning.h. */
#include "tuning.h"
#include "../ocl/cache.h"
#include "runtime.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

cln_status cln__plan_decisions(cln_context *ctx, const cln_device *device, const cln_graph *graph,
                               const cln_plan_options *options, bool candidates, cln__decisions *out) {
    cln__plan_request request = cln__plan_request_of(options);
    cln__host_plan plan;
    request.lists_candidates = candidates;
    *out = (cln__decisions){0};
    CLN_TRY(cln__plan_make(ctx, graph, &device->caps, &request, 0, &plan));
    *out = plan.decisions;
    plan.decisions = (cln__decisions){0};
    cln__plan_drop(&plan);
    return CLN_OK;
}

static uint64_t hash_text(uint64_t hash, const char *text) {
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3); /* FNV-1a */
    return hash;
}

void cln__kernels_hash(char text[17]) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (const cln__kernel_source *s = cln__kernel_sources; s->name; s++)
        hash = hash_text(hash_text(hash, s->name), s->text);
    snprintf(text, 17, "%016" PRIx64, hash);
}

cln_status cln__cache_path(cln_context *ctx, const char *name, bool make, char **out) {
    char *folder;
    *out = NULL;
    CLN_TRY(cln__cache_default_folder(ctx, getenv("XDG_CACHE_HOME"), getenv("HOME"), &folder));
    if (!folder)
        return CLN_OK;
    cln_status status = CLN_OK;
    if (make && !cln__cache_make_folders(folder))
        status = cln__fail(ctx, CLN_IO, "cannot make the folder '%s': %s", folder, strerror(errno));
    else if (!(*out = cln__format("%s/%s", folder, name)))
        status = cln__fail_memory(ctx, "a file name");
    free(folder);
    return status;
}
