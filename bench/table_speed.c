/* The table's speeds, memory and start-up: clbench train, infer and ops in processes of their own, so that what they
 * hold and how they begin is theirs alone. */
#include "../src/cli/report.h"
#include "again.h"
#include "json_file.h"
#include "table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

/* --- the machine --- */

static void processor_name(char *out, size_t size) {
    FILE *file = fopen("/proc/cpuinfo", "r"); /* Linux; elsewhere the name stays empty */
    char line[512];
    *out = '\0';
    while (file && fgets(line, sizeof line, file)) {
        const char *colon = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
        if (!colon)
            continue;
        line[strcspn(line, "\n")] = '\0';
        json_clean(colon + 1 + strspn(colon + 1, " "), out, size);
        break;
    }
    if (file)
        fclose(file);
}

void table_describe_machine(const cln_device_info *info, table_machine *out) {
    struct utsname name;
    table_machine m = {.compute_units = info->compute_units, .memory_bytes = (double)info->memory_bytes};
    json_clean(info->name, m.device, sizeof m.device);
    json_clean(report_device_type(info), m.type, sizeof m.type);
    json_clean(info->platform_name, m.platform, sizeof m.platform);
    json_clean(info->version, m.version, sizeof m.version);
    json_clean(info->driver_version, m.driver, sizeof m.driver);
    processor_name(m.processor, sizeof m.processor);
    if (uname(&name) == 0)
        snprintf(m.system, sizeof m.system, "%.60s %.80s %.60s", name.sysname, name.release, name.machine);
    if (strcmp(m.device, out->device) == 0 && strcmp(m.driver, out->driver) == 0) { /* what was measured stays */
        m.peak_gflops = out->peak_gflops;
        m.bandwidth_gbs = out->bandwidth_gbs;
    }
    *out = m;
}

/* --- processes --- */

enum { MAX_ARGUMENTS = 24 };
typedef struct command {
    const char *of[MAX_ARGUMENTS];
    int count;
} command;

static void put(command *c, const char *name, const char *value) {
    c->of[c->count++] = name;
    if (value)
        c->of[c->count++] = value;
    c->of[c->count] = NULL;
}

static command measuring(const table_options *o, const char *what, const char *model, const char *batch_size) {
    command c = {.count = 0};
    put(&c, what, "--json");
    put(&c, "--model", model);
    put(&c, "--batch-size", batch_size);
    if (o->device)
        put(&c, "--device", o->device);
    if (o->tuning.path)
        put(&c, "--tuning", o->tuning.path);
    if (o->tuning.none)
        put(&c, "--no-tuning", NULL);
    return c;
}

static int measure_speed(const table_options *o, const char *what, const char *model, const char *batch_size,
                         table_speed *out) {
    char steps[24];
    cJSON *json;
    double seconds;
    command c = measuring(o, what, model, batch_size);
    snprintf(steps, sizeof steps, "%" PRId64, o->timed_steps);
    put(&c, "--num-bench-iter", steps);
    int status = again(o->program, c.of, &json, &seconds);
    *out = (table_speed){.images_per_s = json_number_within(json, "images_per_s", 0, 1e15, 0),
                         .low = json_number_within(json, "p25", 0, 1e15, 0),
                         .high = json_number_within(json, "p75", 0, 1e15, 0),
                         .planned_bytes = json_number_within(json, "planned_bytes", 0, 1e15, 0),
                         .process_bytes = json_number_within(json, "peak_process_bytes", 0, 1e15, 0)};
    cJSON_Delete(json);
    return status;
}

/* From the start of a process to the end of its first training step; kernels are in the cache by then. */
static int measure_start_up(const table_options *o, const char *model, const char *batch_size, double *seconds) {
    cJSON *json;
    command c = measuring(o, "train", model, batch_size);
    put(&c, "--num-warm-iter", "0");
    put(&c, "--num-bench-iter", "1");
    int status = again(o->program, c.of, &json, seconds);
    cJSON_Delete(json);
    return status;
}

static int take_launches(const cJSON *json, table_measures *m) {
    const cJSON *steps = cJSON_GetObjectItemCaseSensitive(json, "steps"), *item;
    int count = cJSON_GetArraySize(steps);
    count = count < TABLE_MAX_POINTS ? count : TABLE_MAX_POINTS;
    m->step_ms = json_number_within(cJSON_GetObjectItemCaseSensitive(json, "whole"), "ms", 0, 1e12, 0);
    m->points = calloc((size_t)count + 1, sizeof *m->points);
    if (!m->points)
        return report_no_memory("clbench");
    cJSON_ArrayForEach(item, steps) {
        if (m->point_count == count)
            break;
        table_point *p = &m->points[m->point_count++];
        json_text(item, "op", p->op, sizeof p->op);
        json_text(item, "layer", p->layer, sizeof p->layer);
        p->ms = json_number_within(item, "ms", 0, 1e12, 0);
        p->flops = json_number_within(item, "flops", 0, 1e18, 0);
        p->bytes = json_number_within(item, "bytes", 0, 1e18, 0);
    }
    return CLN_OK;
}

/* Every launch of a step; the first model also measures the device's peak. */
static int measure_launches(const table_options *o, const char *model, const char *batch_size, table_machine *machine,
                            table_measures *m) {
    char peak[32], bandwidth[32];
    cJSON *json;
    double seconds;
    command c = measuring(o, "ops", model, batch_size);
    snprintf(peak, sizeof peak, "%.7g", machine->peak_gflops);
    snprintf(bandwidth, sizeof bandwidth, "%.7g", machine->bandwidth_gbs);
    if (machine->peak_gflops > 0 && machine->bandwidth_gbs > 0) {
        put(&c, "--peak", peak);
        put(&c, "--bandwidth", bandwidth);
    }
    int status = again(o->program, c.of, &json, &seconds);
    if (status == CLN_OK) {
        machine->peak_gflops = json_number_within(json, "peak_gflops", 1e-3, 1e12, 0);
        machine->bandwidth_gbs = json_number_within(json, "bandwidth_gbs", 1e-3, 1e12, 0);
        status = take_launches(json, m);
    }
    cJSON_Delete(json);
    return status;
}

static void describe(const table_options *o, const table *t, int batch_size, char key[TABLE_PATH]) {
    snprintf(key, TABLE_PATH, "clnet %s; %.200s, driver %.200s; batches of %d, %" PRId64 " steps; tuning %.400s",
             cln_version(), t->machine.device, t->machine.driver, batch_size, o->timed_steps,
             o->tuning.none   ? "none"
             : o->tuning.path ? o->tuning.path
                              : "default");
}

int table_measure(const table_options *o, table *t, table_row *row) {
    const cln_model *model = cln_model_find(row->model);
    table_measures m = {.batch_size = o->batch_size > 0 ? (int)o->batch_size : model->recipe->batch_size};
    char batch_size[16];
    describe(o, t, m.batch_size, m.key);
    if (strcmp(m.key, row->measures.key) == 0)
        return CLN_OK;
    fprintf(stderr, "%s: measuring\n", row->model);
    snprintf(batch_size, sizeof batch_size, "%d", m.batch_size);
    int status = measure_speed(o, "train", row->model, batch_size, &m.train);
    if (status == CLN_OK)
        status = measure_speed(o, "infer", row->model, batch_size, &m.infer);
    if (status == CLN_OK)
        status = measure_start_up(o, row->model, batch_size, &m.start_up_s);
    if (status == CLN_OK)
        status = measure_launches(o, row->model, batch_size, &t->machine, &m);
    if (status != CLN_OK) {
        free(m.points);
        return status;
    }
    free(row->measures.points);
    row->measures = m;
    return CLN_OK;
}
