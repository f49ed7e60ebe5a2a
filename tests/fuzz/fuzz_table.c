/* table.json: what clbench table goes on from and report shows. What is read is written and read again, which must give
 * the same, and is printed in all formats. */
#include "../../bench/report.h"
#include "said.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* In place of the library's, which need OpenCL: nothing here opens a device. */
cln_status cln_device_open(cln_context *ctx, const char *spec, cln_device **out) {
    (void)ctx;
    (void)spec;
    *out = NULL;
    return CLN_NO_DEVICE;
}

const cln_device_info *cln_device_get_info(const cln_device *device) {
    (void)device;
    return NULL;
}

/* As clbench reads it and writes it again, malloc'ed by cJSON; NULL: it is refused. */
static char *copy(const char *name, table *t) {
    char *path = fuzz_path(name);
    said_begin();
    cln_status status = table_read("fuzz", path, t);
    said_end(status);
    cJSON *json = status == CLN_OK ? table_to_json(t) : NULL;
    char *text = json ? cJSON_Print(json) : NULL;
    fuzz_check(status != CLN_OK || text, "a table can be written");
    cJSON_Delete(json);
    free(path);
    return text;
}

/* Whether the attribute whose value begins at `value` says where something is drawn. */
static bool is_place(const char *page, const char *value) {
    static const char *const names[] = {" x=\"",  " y=\"",     " x1=\"", " y1=\"",
                                        " x2=\"", " width=\"", " cx=\"", " cy=\""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t length = strlen(names[i]);
        if ((size_t)(value - page) >= length && strncmp(value - length, names[i], length) == 0)
            return true;
    }
    return false;
}

/* Where things are drawn are numbers. Quotes in what the file says are escaped, so all quotes enclose attributes. */
static void check_numbers(const char *page) {
    for (const char *value, *end, *at = page; (value = strchr(at, '"')) && (end = strchr(value + 1, '"')); at = end + 1)
        if (is_place(page, ++value))
            fuzz_check(value + strspn(value, "-.%0123456789") == end, "a place that is no number");
}

static void print_page(const table *t, FILE *to) {
    const report_options options = {.table = "table.json"};
    const report r = {.o = &options, .command = "clbench report", .t = *t};
    table_print_page(t, to);
    report_accuracy(&r, to);
    report_speed(&r, to);
    report_roofline(&r, to);
    report_facts(&r, to);
}

static void print(const table *t) {
    char *page = NULL, *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&page, &size);
    fuzz_check(to != NULL, "memory");
    print_page(t, to);
    fclose(to);
    check_numbers(page);
    free(page);
    to = open_memstream(&text, &size);
    fuzz_check(to != NULL, "memory");
    for (int format = TABLE_AS_TEXT; format <= TABLE_AS_CSV; format++)
        table_print(t, (table_format)format, to);
    fclose(to);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    table t, again;
    fuzz_write("table.json", data, size);
    char *first = copy("table.json", &t);
    fuzz_remove("table.json");
    if (first) {
        print(&t);
        fuzz_write("again.json", (const uint8_t *)first, strlen(first));
        char *second = copy("again.json", &again);
        fuzz_remove("again.json");
        fuzz_check(second && strcmp(first, second) == 0, "what is written is what was read");
        table_free(&again);
        cJSON_free(second);
    }
    table_free(&t);
    cJSON_free(first);
    return 0;
}

bool fuzz_seed(int index, fuzz_bytes *out) {
    static const char *const seeds[] = {
        "{\"kind\":\"clnet table\",\"rows\":[]}",
        "{\"kind\":\"clnet table\",\"clnet\":\"1.2.3\",\"format\":\"cifar10\",\"train_images\":50000,\"test_images\":"
        "10000,\"recipe\":\"r\",\"command\":\"c\",\"machine\":{\"device\":\"d\",\"compute_units\":2,\"peak_gflops\":"
        "400,"
        "\"bandwidth_gbs\":20},\"rows\":[{\"model\":\"ResNet\",\"runs\":[{\"seed\":42,\"folder\":\"run\",\"weights\":"
        "\"w\",\"key\":\"k\",\"epochs\":2,\"parameters\":272378,\"test\":{\"correct\":9,\"count\":10},\"validation\":"
        "{\"correct\":90,\"count\":100}}],\"speed\":{\"key\":\"k\",\"batch_size\":128,\"train\":{\"images_per_s\":1500,"
        "\"p25\":1400,\"p75\":1600,\"planned_bytes\":1000},\"infer\":{\"images_per_s\":6000},\"start_up_s\":0.5,"
        "\"step_ms\":80,\"launches\":[{\"op\":\"conv2d\",\"layer\":\"l\",\"ms\":2,\"flops\":1e9,\"bytes\":1e7}]}}]}",
        "{\"kind\":\"clnet table\",\"rows\":[{\"model\":\"A\"},{\"model\":\"B\",\"runs\":[{},{\"seed\":1}]}]}",
    };
    if (index >= (int)(sizeof seeds / sizeof *seeds))
        return false;
    fuzz_text(out, seeds[index]);
    return true;
}
