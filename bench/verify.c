/* clbench verify: runs golden files and says of each how far the results are from the truth. */
#include "verify.h"
#include "../src/cli/options.h"
#include "../src/cli/report.h"
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    bool (*run)(verify_case *c);
} kinds[] = {
    {"op", verify_op},
    {"optimizer", verify_optimizer_file},
    {"augment", verify_augment},
    {"model", verify_model},
};

static bool run_kind(verify_case *c) {
    const char *kind = verify_metadata(c, "kind");
    for (size_t i = 0; kind && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, kind) == 0)
            return kinds[i].run(c);
    return kind && verify_fail(c, "unknown kind '%.80s': op, optimizer, augment and model are known", kind);
}

static bool within(const verify_result *r) {
    return r->error <= r->tolerance;
}

static bool case_run(verify_case *c, const char *path) {
    if (!verify_ok(c, cln_safetensors_read(c->ctx, path, &c->file)))
        return false;
    c->graph = cln_graph_new(c->ctx);
    if (!c->graph)
        return verify_fail(c, "not enough memory");
    if (!run_kind(c))
        return false;
    bool passed = true;
    for (int i = 0; i < c->result_count; i++)
        passed = passed && within(&c->results[i]);
    return passed;
}

static void case_free(verify_case *c) {
    cln_plan_free(c->plan);
    cln_weights_free(c->weights);
    cln_graph_free(c->graph);
    cln_safetensors_free(c->file);
    cJSON_Delete(c->attributes);
    cJSON_Delete(c->tolerance);
    for (int i = 0; i < c->block_count; i++)
        free(c->blocks[i]);
    free(c->blocks);
    free(c->results);
}

/* --- printing --- */

/* How far above its tolerance; what is not a number is furthest. */
static double excess(const verify_result *r) {
    return isnan(r->error) ? INFINITY : r->tolerance > 0 ? r->error / r->tolerance : r->error > 0 ? INFINITY : 0;
}

static bool same_group(const verify_case *c, int a, int b) {
    return strcmp(c->results[a].group, c->results[b].group) == 0;
}

/* The worst result of the group that begins with result `first`; NULL if that is not the group's first one. */
static const verify_result *worst_of_group(const verify_case *c, int first) {
    const verify_result *worst = &c->results[first];
    for (int i = 0; i < first; i++)
        if (same_group(c, i, first))
            return NULL;
    for (int i = first + 1; i < c->result_count; i++)
        if (same_group(c, i, first) && excess(&c->results[i]) > excess(worst))
            worst = &c->results[i];
    return worst;
}

/* On one line, whatever lines it has: a build log has many. */
static void print_reason(const char *separator, const char *reason) {
    printf("%s", separator);
    for (; *reason; reason++)
        if (*reason != '\n')
            putchar(*reason);
        else if (reason[1] && reason[1] != '\n')
            printf("; ");
}

static void print_line(const verify_case *c, const char *path, bool passed) {
    const char *separator = ": ";
    printf("%s %s", passed ? "PASS" : "FAIL", path);
    for (int i = 0; i < c->result_count; i++) {
        const verify_result *r = worst_of_group(c, i);
        if (!r)
            continue;
        printf("%s%s ", separator, r->group);
        printf(isnan(r->error) ? "nan" : "%.2g", r->error); /* never "-nan" */
        if (r->name[0])
            printf(" (%s)", r->name);
        if (!within(r))
            printf(" not within %g", r->tolerance);
        separator = ", ";
    }
    if (c->reason[0])
        print_reason(separator, c->reason);
    printf("\n");
}

static void add_json(cJSON *files, const verify_case *c, const char *path, bool passed) {
    cJSON *file = cJSON_CreateObject(), *tensors = cJSON_CreateArray();
    cJSON_AddStringToObject(file, "file", path);
    cJSON_AddBoolToObject(file, "passed", passed);
    if (c->reason[0])
        cJSON_AddStringToObject(file, "reason", c->reason);
    for (int i = 0; i < c->result_count; i++) {
        const verify_result *r = &c->results[i];
        char name[sizeof r->group + sizeof r->name + 2];
        snprintf(name, sizeof name, r->name[0] ? "%s %s" : "%s%s", r->group, r->name);
        cJSON *tensor = cJSON_CreateObject();
        cJSON_AddStringToObject(tensor, "name", name);
        report_json_float(tensor, "error", r->error);
        report_json_float(tensor, "tolerance", r->tolerance);
        cJSON_AddItemToArray(tensors, tensor);
    }
    cJSON_AddItemToObject(file, "tensors", tensors);
    cJSON_AddItemToArray(files, file);
}

/* --- the command --- */

typedef struct run {
    cln_context *ctx;
    cln_device *device;
    const char *variant;
    cJSON *files; /* NULL: lines of text */
    int passed, failed;
} run;

static void verify_path(run *r, const char *path) {
    verify_case c = {.ctx = r->ctx, .device = r->device, .variant = r->variant};
    bool passed = case_run(&c, path);
    r->passed += passed;
    r->failed += !passed;
    if (r->files)
        add_json(r->files, &c, path, passed);
    else
        print_line(&c, path, passed);
    fflush(stdout);
    case_free(&c);
    report_warnings("clbench", r->ctx);
}

static int print_summary(run *r) {
    if (!r->files) {
        printf("%d passed, %d failed\n", r->passed, r->failed);
        return CLN_OK;
    }
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "device", cln_device_get_info(r->device)->name);
    cJSON_AddNumberToObject(json, "passed", r->passed);
    cJSON_AddNumberToObject(json, "failed", r->failed);
    cJSON_AddItemToObject(json, "files", r->files);
    return report_json("clbench", json);
}

static int verify_all(run *r, const char *spec, bool json, char **paths, int count) {
    if (cln_context_new(&r->ctx) != CLN_OK)
        return report_no_memory("clbench");
    cln_status opened = cln_device_open(r->ctx, spec, &r->device);
    int status = CLN_OK;
    if (opened != CLN_OK) {
        status = report_end("clbench", r->ctx, opened);
    } else {
        r->files = json ? cJSON_CreateArray() : NULL;
        for (int i = 0; i < count; i++)
            verify_path(r, paths[i]);
        status = print_summary(r);
    }
    cln_device_free(r->device);
    cln_context_free(r->ctx);
    return status != CLN_OK ? status : r->failed ? CLN_FAILED : CLN_OK;
}

int bench_verify(int argc, char **argv) {
    const char *spec = NULL;
    bool json = false;
    int files;
    run r = {.passed = 0};
    const cli_option options[] = {
        {.name = "device",
         .kind = CLI_TEXT,
         .target = &spec,
         .value = "D",
         .help = "platform:device index, cpu, gpu or part of a name"},
        {.name = "variant",
         .kind = CLI_TEXT,
         .target = &r.variant,
         .value = "V",
         .help = "use this kernel variant wherever it can serve (direct, gemm, im2col, reference)"},
        {.name = "json", .kind = CLI_FLAG, .target = &json, .help = "print one JSON object, with every tensor"},
        {.name = NULL},
    };
    const cli_command command = {
        .program = "clbench",
        .name = "verify",
        .operand = "FILE...",
        .summary = "Runs golden files (safetensors with inputs and true results) and compares: a line a file with\n"
                   "the errors and PASS or FAIL. The exit status is 1 if any failed.",
        .options = options,
    };
    cli_parsed parsed = cli_parse(&command, argc, argv, &files);
    if (parsed != CLI_RUN)
        return parsed == CLI_HELP ? CLN_OK : CLN_INVALID_ARGUMENT;
    if (files == 0)
        return cli_misuse(&command, "no files given");
    return verify_all(&r, spec, json, argv + 1, files);
}
