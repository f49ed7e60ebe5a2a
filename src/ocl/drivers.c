/* What is peculiar to drivers, all of it: the rest of the sources knows none by name. A row's evidence stands before
 * it; docs/portability.md has what was measured. */
#include "ocl.h"

#include <string.h>

static const cln__driver drivers[] = {
    /* pocl compiles a kernel for its work-group size at the first launch. A binary fetched right after the build lacks
     * that half; fetched after use it is complete, but fetching compiles every kernel once more, for any size. Its own
     * cache makes the warm start 20 ms a program, ours 1 ms, for 70% more time cold:
     * bench/results/program-cache-pocl.md. Nearly all of these 20 ms, and 90 ms of compiling a program, do not depend
     * on its length, so a plan's programs are made one: bench/results/start-up-pocl.md. */
    {.platform = "Portable Computing Language", .own_cache = true, .after_use = true, .bundled = true},
    /* llvmpipe is a CPU, but compiles long kernels slowly: of 36 small cases, only the first was done after 4 minutes
     * with the kernels that are long on purpose, as CPUs like them, and all in 27 s with those for GPUs (Mesa 22.3.6,
     * LLVM 15; first in the profile, with 13%, is LLVM's buildCoroutineFrame: it makes a coroutine of each kernel). */
    {.platform = "rusticl", .short_kernels = true},
    {.platform = ""}, /* everything else */
};

const cln__driver *cln__driver_of(const char *platform_name) {
    const cln__driver *driver = drivers;
    while (!strstr(platform_name, driver->platform))
        driver++;
    return driver;
}
