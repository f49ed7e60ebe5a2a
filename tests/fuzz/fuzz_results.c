/* What clbench compare and report --peers read: the JSON of train, infer, ops, table and of the peers. */
#include "../../bench/compare.h"
#include "said.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void check(const quantity *q) {
    fuzz_check(strlen(q->name) < sizeof q->name && isfinite(q->value), "a quantity's name and value");
    fuzz_check(q->low <= q->value && q->value <= q->high, "the value lies between its quartiles");
    fuzz_check(q->accuracy || q->value > 0, "what is compared by a ratio is above 0");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    results r;
    char *path = fuzz_path("results.json");
    fuzz_write("results.json", data, size);
    said_begin();
    cln_status status = results_read("fuzz", path, &r);
    said_end(status);
    for (int i = 0; status == CLN_OK && i < r.count; i++)
        check(&r.of[i]);
    results_free(&r);
    fuzz_remove("results.json");
    free(path);
    return 0;
}

bool fuzz_seed(int index, fuzz_bytes *out) {
    static const char *const seeds[] = {
        "{\"model\":\"ResNet\",\"mode\":\"train\",\"images_per_s\":1000,\"p25\":900,\"p75\":1100,\"planned_bytes\":"
        "1000,"
        "\"peak_process_bytes\":null,\"device\":\"d\"}",
        "{\"model\":\"ResNet\",\"mode\":\"infer\",\"whole\":{\"ms\":10},\"step_ms_p25\":9,\"step_ms_p75\":11,\"steps\":"
        "[{\"layer\":\"a\",\"op\":\"add\",\"kernel\":\"k\",\"ms\":1,\"ms_p25\":0.9,\"ms_p75\":1.1},{\"layer\":\"a\","
        "\"op\":\"add\",\"kernel\":\"k\",\"ms\":2}]}",
        "{\"results\":{\"ResNet\":{\"training\":{\"clnet\":{\"samples\":[104,100,101]},\"eager nchw\":{\"samples\":"
        "[50]},\"compile nchw\":{\"failed\":\"why\"}},\"memory\":{\"clnet\":{\"peak_kib\":5}}}},\"clnet\":{\"devices\":"
        "[{\"name\":\"d\"}]}}",
        "{\"kind\":\"clnet table\",\"machine\":{\"device\":\"d\"},\"rows\":[{\"model\":\"ResNet\",\"test\":{\"mean\":"
        "0.9,\"images\":1000,\"standard_error\":0.01},\"speed\":{\"train\":{\"images_per_s\":10,\"p25\":9,\"p75\":11},"
        "\"start_up_s\":0.5}}]}",
    };
    if (index >= (int)(sizeof seeds / sizeof *seeds))
        return false;
    fuzz_text(out, seeds[index]);
    return true;
}
