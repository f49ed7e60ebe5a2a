/* clbench verify: runs golden files, or the cases it makes itself, and says of each how far it is from the truth. */
#include "verify.h"
#include "../src/cli/options.h"
#include "../src/cli/report.h"
#include "bench.h"
#include "self.h"
#include "self_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads the file, or makes the case of the self-check of number `index`, and runs it. */
static bool case_run(verify_case *c, const char *path, int index) {
    if (path ? !verify_ok(c, cln_safetensors_read(c->ctx, path, &c->file)) : !self_make(c, index))
        return false;
    return verify_run(c);
}

/* --- printing --- */

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
        if (same_group(c, i, first) && verify_excess(&c->results[i]) > verify_excess(worst))
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
        if (!verify_within(r))
            printf(" not within %g", r->tolerance);
        separator = ", ";
    }
    if (c->reason[0])
        print_reason(separator, c->reason);
    printf("\n");
}

static void add_json(cJSON *files, const verify_case *c, const char *path, bool passed) {
    cJSON *file = cJSON_CreateObject(), *tensors = cJSON_CreateArray();
    cln__json_add(file, "file", cJSON_CreateString(path));
    cln__json_add(file, "passed", cJSON_CreateBool(passed));
    if (c->reason[0])
        cln__json_add(file, "reason", cJSON_CreateString(c->reason));
    for (int i = 0; i < c->result_count; i++) {
        const verify_result *r = &c->results[i];
        char name[sizeof r->group + sizeof r->name + 2];
        snprintf(name, sizeof name, r->name[0] ? "%s %s" : "%s%s", r->group, r->name);
        cJSON *tensor = cJSON_CreateObject();
        cln__json_add(tensor, "name", cJSON_CreateString(name));
        report_json_float(tensor, "error", r->error);
        report_json_float(tensor, "tolerance", r->tolerance);
        cln__json_append(tensors, tensor);
    }
    cln__json_add(file, "tensors", tensors);
    cln__json_append(files, file);
}

/* --- the command --- */

typedef struct run {
    cln_context *ctx;
    cln_device *device;
    const char *variant;
    cln_choices choices;
    cJSON *files;        /* of JSON */
    self_report *report; /* Markdown; where both are NULL: lines of text */
    int passed, failed, tuned;
    int starved; /* of the failed: for lack of memory */
} run;

/* A file, or without a path the case of the self-check of number `index`. */
static void verify_one(run *r, const char *path, int index) {
    verify_case c = {.ctx = r->ctx, .device = r->device, .variant = r->variant, .choices = r->choices};
    char title[96];
    const char *group = path ? "files" : self_group(index);
    double start = report_now_s();
    bool passed = case_run(&c, path, index);
    double seconds = report_now_s() - start;
    if (!path) {
        snprintf(title, sizeof title, r->report ? "%s" : "self: %s", self_title(index));
        path = title;
    }
    r->passed += passed;
    r->failed += !passed;
    r->starved += c.lacks_memory;
    r->tuned += c.tuned;
    if (r->files)
        add_json(r->files, &c, path, passed);
    else if (r->report)
        self_report_case(r->report, group, path, &c, passed, seconds);
    else
        print_line(&c, path, passed);
    fflush(stdout);
    verify_free(&c);
    if (r->report)
        self_report_warnings(r->report, r->ctx);
    else
        report_warnings("clbench", r->ctx);
}

static int print_summary(run *r) {
    if (!r->files) {
        if (r->choices.count > 0)
            printf("%d computations used the tuner's results\n", r->tuned);
        printf("%d passed, %d failed\n", r->passed, r->failed);
        return CLN_OK;
    }
    cJSON *json = cJSON_CreateObject();
    cln__json_add(json, "device", cJSON_CreateString(cln_device_get_info(r->device)->name));
    cln__json_add(json, "passed", cJSON_CreateNumber(r->passed));
    cln__json_add(json, "failed", cJSON_CreateNumber(r->failed));
    if (r->choices.count > 0)
        cln__json_add(json, "tuned", cJSON_CreateNumber(r->tuned));
    cln__json_add(json, "files", r->files);
    return report_json("clbench", json);
}

typedef struct arguments {
    const char *device, *variant, *tuning, *only;
    bool json, self, report;
} arguments;

/* A check that could not be made is none that failed. */
static int find_status(const run *r) {
    if (r->starved == 0)
        return r->failed ? CLN_FAILED : CLN_OK;
    fprintf(stderr, "clbench: verify: %d of %d checks could not be made: %s\n", r->starved, r->passed + r->failed,
            cln_status_text(CLN_OUT_OF_MEMORY));
    return r->failed > r->starved ? CLN_FAILED : CLN_OUT_OF_MEMORY; /* what was computed wrong weighs more */
}

/* Whether a case of the self-check belongs to one of the groups in a list "group,group"; all do where there is none. */
static bool is_wanted(const char *only, int index) {
    const char *group = self_group(index);
    size_t length = strlen(group);
    while (only && (strncmp(only, group, length) != 0 || (only[length] && only[length] != ','))) {
        only = strchr(only, ',');
        if (!only)
            return false;
        only++;
    }
    return true;
}

static bool is_group(const char *name, size_t length) {
    for (int i = 0; i < self_count(); i++)
        if (strlen(self_group(i)) == length && strncmp(self_group(i), name, length) == 0)
            return true;
    return false;
}

static bool names_groups(const char *only) {
    size_t length = strcspn(only, ",");
    return is_group(only, length) && (!only[length] || names_groups(only + length + 1));
}

static void begin_report(const arguments *a, const run *r) {
    char settings[512];
    snprintf(settings, sizeof settings, "%s%.100s%s%.300s", a->variant ? "variant " : "", a->variant ? a->variant : "",
             a->tuning ? " tuning " : "", a->tuning ? a->tuning : "");
    self_report_begin(cln_device_get_info(r->device), settings);
}

static void verify_each(const arguments *a, run *r, char **paths, int count) {
    double start = report_now_s();
    if (r->report)
        begin_report(a, r);
    for (int i = 0; a->self && i < self_count(); i++)
        if (is_wanted(a->only, i))
            verify_one(r, NULL, i);
    for (int i = 0; i < count; i++)
        verify_one(r, paths[i], 0);
    if (r->report)
        self_report_end(r->report, r->passed, r->failed, report_now_s() - start);
}

static int verify_all(const arguments *a, char **paths, int count) {
    self_report report = {.cases = 0};
    run r = {.variant = a->variant, .report = a->report ? &report : NULL};
    if (cln_context_new(&r.ctx) != CLN_OK)
        return report_no_memory("clbench");
    cln_status opened = cln_device_open(r.ctx, a->device, &r.device);
    if (opened == CLN_OK && a->tuning)
        opened = cln_choices_load(r.ctx, r.device, a->tuning, &r.choices);
    int status = CLN_OK;
    if (opened != CLN_OK) {
        status = report_end("clbench", r.ctx, opened);
    } else if (a->json && !(r.files = cJSON_CreateArray())) {
        status = report_no_memory("clbench");
    } else {
        verify_each(a, &r, paths, count);
        status = a->report ? CLN_OK : print_summary(&r);
        status = status == CLN_OK ? find_status(&r) : status;
    }
    self_report_free(&report);
    cln_choices_free(&r.choices);
    cln_device_free(r.device);
    cln_context_free(r.ctx);
    return status;
}

#define AT(member) offsetof(arguments, member)

static const cli_option options[] = {
    {.name = "device",
     .kind = CLI_TEXT,
     .offset = AT(device),
     .value = "D",
     .help = "platform:device index, cpu, gpu or part of a name"},
    {.name = "variant",
     .kind = CLI_TEXT,
     .offset = AT(variant),
     .value = "V",
     .help = "use this kernel variant wherever it can serve (pointwise, winograd, staged, implicit, direct, gemm, "
             "im2col, reference)"},
    {.name = "tuning",
     .kind = CLI_TEXT,
     .offset = AT(tuning),
     .value = "FILE",
     .help = "use the results in this database of clbench tune; by default none"},
    {.name = "self", .kind = CLI_FLAG, .offset = AT(self), .help = "run the cases that the program makes itself"},
    {.name = "only",
     .kind = CLI_TEXT,
     .offset = AT(only),
     .value = "GROUP,...",
     .help = "of these, run only those of some operators, or of the groups optimiser and network"},
    {.name = "report",
     .kind = CLI_FLAG,
     .offset = AT(report),
     .help = "print device and outcome in Markdown, to paste into a bug report"},
    {.name = "json", .kind = CLI_FLAG, .offset = AT(json), .help = "print one JSON object, with every tensor"},
    {.name = NULL},
};

static int run_command(int argc, char **argv) {
    arguments a = {.json = false};
    int files, exit_status;
    if (!cli_parse(&verify_command, &a, argc, argv, &files, &exit_status))
        return exit_status;
    if (files == 0 && !a.self)
        return cli_misuse(&verify_command, "no files given, and no --self");
    if (a.only && (!a.self || !names_groups(a.only)))
        return cli_misuse(&verify_command, "--only names groups of cases of --self, as in conv2d,network");
    if (a.json && a.report)
        return cli_misuse(&verify_command, "--json and --report are two ways to print: give one of them");
    return verify_all(&a, argv + 1, files);
}

const cli_command verify_command = {
    .program = "clbench",
    .name = "verify",
    .help = "run reference files on the device and compare",
    .operand = "[FILE...]",
    .summary = "Runs golden files (safetensors with inputs and true results) and compares: a line a file with\n"
               "the errors and PASS or FAIL. The exit status is 1 if any failed, and 7 if there was no memory for\n"
               "one. With --self, no file is needed: small cases are made in memory, their true results computed\n"
               "in double precision.",
    .groups = CLI_ONE_GROUP(options),
    .run = run_command,
};
