/* clbench tune: measures the kernel variants for a network's steps; shows, exports and imports what was measured. */
#include "../src/cli/report.h"
#include "../src/cli/tuning.h"
#include "bench.h"
#include "network.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct arguments {
    network_options network;
    double budget_s, timeout_s;
    const char *fault, *export_to, *import_from;
    bool list, again;
    const char *worker[TUNING_COMMAND];
} arguments;

/* --- tuning --- */

/* The training and the evaluation step of the network. */
static cln_status tune(cln_context *ctx, const arguments *a) {
    network_options training = a->network, evaluation = a->network;
    network nets[2];
    cln_plan_options options[2];
    training.training = true;
    cln_tune_options tuning = {.path = a->network.tuning.path,
                               .worker = a->worker,
                               .budget_s = a->budget_s,
                               .timeout_s = a->timeout_s,
                               .again = a->again,
                               .on_event = tuning_show,
                               .fault = a->fault};
    cln_tune_result result = {.tuned = 0};
    cln_status status = network_open(ctx, &training, &nets[0]);
    nets[1] = (network){.device = nets[0].device, .hparams = nets[0].hparams};
    if (status == CLN_OK)
        status = network_graph(ctx, &training, &nets[0], &options[0]);
    if (status == CLN_OK)
        status = network_graph(ctx, &evaluation, &nets[1], &options[1]);
    const cln_tune_job jobs[] = {{nets[0].graph, &options[0]}, {nets[1].graph, &options[1]}};
    if (status == CLN_OK)
        status = cln_tune(ctx, nets[0].device, jobs, 2, &tuning, &result);
    if (status == CLN_OK)
        tuning_show_result(&result);
    cln_graph_free(nets[1].graph);
    network_close(&nets[0]);
    return status;
}

/* --- the database --- */

static void print_records(const cln_tuning_record *records, int count) {
    const cln_tuning_record *last = NULL;
    for (int i = 0; i < count; i++) {
        const cln_tuning_record *r = &records[i];
        if (!last || strcmp(last->device, r->device) != 0 || strcmp(last->driver, r->driver) != 0 ||
            strcmp(last->kernels, r->kernels) != 0)
            printf("%s; %s; kernels %s\n", r->device, r->driver, r->kernels);
        printf("  %s: %s %.3f ms (by default %s %.3f ms)\n", r->signature, r->candidate, r->seconds * 1e3, r->rule,
               r->rule_seconds * 1e3);
        last = r;
    }
    printf("%d result%s\n", count, count == 1 ? "" : "s");
}

static cln_status list(cln_tuning *db) {
    cln_tuning_record *records;
    int count;
    cln_status status = cln_tuning_records(db, &records, &count);
    if (status == CLN_OK)
        print_records(records, count);
    free(records);
    return status;
}

static cln_status write_export(cln_context *ctx, cln_tuning *db, const char *path) {
    char *json;
    cln_status status = cln_tuning_export(db, &json);
    if (status == CLN_OK && strcmp(path, "-") == 0)
        printf("%s\n", json);
    else if (status == CLN_OK)
        status = cln_file_write(ctx, path, json, strlen(json));
    if (status == CLN_OK)
        free(json);
    return status;
}

/* A whole file as text, malloc'ed; CLN_IO if it cannot be read, is larger than any export, or has a zero in it. */
static cln_status read_text(const char *path, char **out) {
    enum { MAX_BYTES = 64 << 20 };
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    size_t size = 0, capacity = 1 << 16;
    char *text = file ? malloc(capacity + 1) : NULL;
    while (text && size < MAX_BYTES) {
        size_t got = fread(text + size, 1, capacity - size, file);
        size += got;
        if (got == 0)
            break;
        char *wider = size == capacity ? realloc(text, 2 * capacity + 1) : text;
        capacity *= size == capacity ? 2 : 1;
        if (!wider)
            free(text);
        text = wider;
    }
    bool good = text && !ferror(file) && size < MAX_BYTES && !memchr(text, 0, size);
    if (file && file != stdin)
        fclose(file);
    if (good)
        text[size] = '\0';
    else
        free(text);
    *out = good ? text : NULL;
    return good ? CLN_OK : file && !text ? CLN_OUT_OF_MEMORY : CLN_IO;
}

static cln_status read_import(cln_tuning *db, const char *path, bool *readable) {
    int count;
    char *json;
    cln_status status = read_text(path, &json);
    *readable = status != CLN_IO;
    if (status == CLN_OK)
        status = cln_tuning_import(db, json, &count);
    free(json);
    if (status == CLN_OK)
        printf("imported %d result%s into %s\n", count, count == 1 ? "" : "s", cln_tuning_path(db));
    return status;
}

static int report_absent(const arguments *a) {
    if (a->export_to)
        fprintf(stderr, "clbench: tune: there is no database to export\n");
    else
        printf("0 results: there is no database yet\n");
    return a->export_to ? CLN_IO : CLN_OK;
}

static int manage(cln_context *ctx, const arguments *a) {
    cln_tuning *db;
    bool readable = true;
    cln_status status = cln_tuning_open(ctx, a->network.tuning.path, a->import_from != NULL, &db);
    if (status == CLN_OK && !db)
        return report_absent(a);
    if (status == CLN_OK && a->import_from)
        status = read_import(db, a->import_from, &readable);
    if (status == CLN_OK && a->list)
        status = list(db);
    if (status == CLN_OK && a->export_to)
        status = write_export(ctx, db, a->export_to);
    cln_tuning_close(db);
    if (readable)
        return report_end("clbench", ctx, status);
    fprintf(stderr, "clbench: tune: cannot read '%s'\n", a->import_from);
    return CLN_IO;
}

/* --- the command --- */

#define AT(member) offsetof(arguments, member)

static const cli_option options[] = {
    {"model", CLI_MODEL, AT(network.model), "NAME", "the network whose steps are tuned", 0, 0, NULL},
    NETWORK_SIZE_CLI(arguments, network),
    TUNING_FILE_CLI(arguments, network.tuning),
    {"budget", CLI_REAL, AT(budget_s), "SECONDS", "for everything (default 600)", 1e-3, 1e6, NULL},
    {"timeout", CLI_REAL, AT(timeout_s), "SECONDS", "for one candidate (default 60)", 1e-3, 1e5, NULL},
    {"again", CLI_FLAG, AT(again), NULL, "measure also what is known", 0, 0, NULL},
    {"list", CLI_FLAG, AT(list), NULL, "show what is known instead", 0, 0, NULL},
    {"export", CLI_TEXT, AT(export_to), "FILE", "write what is known as JSON instead; - is standard output", 0, 0,
     NULL},
    {"import", CLI_TEXT, AT(import_from), "FILE", "add what --export wrote instead; - is standard input", 0, 0, NULL},
    {"fault", CLI_TEXT, AT(fault), "KIND CANDIDATE", NULL, 0, 0, NULL},
    {.name = NULL}};

static int run_command(int argc, char **argv) {
    arguments a = {.network = NETWORK_DEFAULTS};
    int exit_status;
    if (!cli_parse(&tune_command, &a, argc, argv, NULL, &exit_status))
        return exit_status;
    bool manages = a.list || a.export_to || a.import_from;
    if (!a.network.model == !manages)
        return cli_misuse(&tune_command, manages ? "--model is for tuning" : "--model is missing");
    a.network.device_out = stdout;
    tuning_command(argv, a.worker);
    cln_context *ctx;
    if (cln_context_new(&ctx) != CLN_OK)
        return report_no_memory("clbench");
    exit_status = manages ? manage(ctx, &a) : report_end("clbench", ctx, tune(ctx, &a));
    cln_context_free(ctx);
    return exit_status;
}

const cli_command tune_command = {
    "clbench",
    "tune",
    "find the fastest kernel variants for a network",
    "Measures which kernel variant does each convolution of a network fastest on this device, in training and in\n"
    "evaluation, and keeps the results for clbench and cltrain. Each candidate is checked against the reference\n"
    "variant first, and runs in a process of its own. Results are saved one by one: a run that was ended goes on\n"
    "where it was.",
    NULL,
    CLI_ONE_GROUP(options),
    run_command};
