/* clbench table: the published comparison, and ours beside it. */
#include "table.h"
#include "../src/cli/interrupt.h"
#include "../src/cli/report.h"
#include "bench.h"
#include "measure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const formats[] = {"text", "markdown", "csv", "json", "html", NULL}; /* as the enum */
enum { MAX_NAME = 700 }; /* so that names made of it have room */

/* Printed to standard output, or whole to a file. */
static cln_status write_table(cln_context *ctx, const table_options *o, const table *t) {
    char *text = NULL;
    size_t size = 0;
    if (o->format == TABLE_AS_JSON && o->out)
        return table_save(ctx, t, o->out);
    if (o->format == TABLE_AS_JSON)
        return (cln_status)report_json("clbench", table_to_json(t));
    FILE *to = open_memstream(&text, &size);
    if (!to)
        return CLN_OUT_OF_MEMORY;
    if (o->format == TABLE_AS_HTML)
        table_print_page(t, to);
    else
        table_print(t, (table_format)o->format, to);
    cln_status status = fclose(to) == 0 ? CLN_OK : CLN_OUT_OF_MEMORY;
    if (status == CLN_OK && o->out)
        status = cln_file_write(ctx, o->out, text, size);
    else if (status == CLN_OK)
        fwrite(text, 1, size, stdout);
    free(text);
    return status;
}

/* What --runs has of an earlier call, or nothing. */
static cln_status load_state(const table_options *o, table *t) {
    char path[TABLE_PATH];
    if (!o->runs)
        return table_new(t);
    snprintf(path, sizeof path, "%s/table.json", o->runs);
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return table_new(t);
    return table_read("table", path, t);
}

/* The rows that were asked for, in the library's order, are shown; others stay in the state. */
static cln_status choose_rows(const table_options *o, table *t) {
    int shown = 0, count;
    const cln_model *const *models = cln_models(&count);
    for (int i = 0; i < count; i++)
        for (int k = shown; k < t->row_count; k++)
            if (strcmp(t->rows[k].model, models[i]->name) == 0 && table_is_listed(o->models, models[i]->name)) {
                table_row *swap = malloc(sizeof *swap);
                if (!swap)
                    return CLN_OUT_OF_MEMORY;
                *swap = t->rows[shown];
                t->rows[shown++] = t->rows[k];
                t->rows[k] = *swap;
                free(swap);
                break;
            }
    for (int k = shown; k < t->row_count; k++)
        free(t->rows[k].measures.points);
    t->row_count = shown;
    return CLN_OK;
}

static int run(cln_context *ctx, const table_options *o, const char *command) {
    table t;
    bool stopped = false;
    cln_status status = o->runs ? cln_folder_make(ctx, o->runs) : CLN_OK;
    if (status != CLN_OK)
        return report_end("clbench", ctx, status);
    status = load_state(o, &t);
    if (status != CLN_OK) {
        table_free(&t);
        return status == CLN_OUT_OF_MEMORY ? report_no_memory("clbench") : (int)status;
    }
    snprintf(t.command, sizeof t.command, "%s", command);
    interrupt_install();
    int exit_status = table_make(ctx, o, &t, &stopped);
    if (stopped) {
        fprintf(stderr, "stopped; %s\n", o->runs ? "the same command goes on" : "nothing is kept without --runs");
        exit_status = 128 + interrupt_signal();
    } else if (exit_status == CLN_OK) {
        status = choose_rows(o, &t);
        exit_status = report_end("clbench", ctx, status == CLN_OK ? write_table(ctx, o, &t) : status);
    }
    table_free(&t);
    return exit_status;
}

#define AT(member) offsetof(table_options, member)

static const cli_option options[] = {
    {"data", CLI_TEXT, AT(data), "PATH", "required: CIFAR-10, as for cltrain fit", 0, 0, NULL},
    {"pretrained", CLI_TEXT, AT(pretrained), "DIR",
     "a folder with weights: <model>.safetensors, .ckpt, .pt or .pth, which are tested and not trained", 0, 0, NULL},
    {"runs", CLI_TEXT, AT(runs), "DIR",
     "a folder for what is trained, in <model>/seed_<N>, and for the results so far, table.json: the same command goes "
     "on there",
     0, 0, NULL},
    {"models", CLI_TEXT, AT(models), "A,B", "some of the networks (default: all; see cltrain models)", 0, 0, NULL},
    {"epochs", CLI_INT, AT(epochs), "N", "of training; the recipe's milestones move in proportion", 1, 1000000, NULL},
    {"quick", CLI_FLAG, AT(quick), NULL,
     "train 10 epochs (or --epochs) in one cycle of the learning rate, in place of the recipe's", 0, 0, NULL},
    {"seed", CLI_INT, AT(seed), "N", "of the first run (default 42)", 0, 9007199254740000.0, NULL},
    {"seeds", CLI_INT, AT(seeds), "N",
     "train each network N times, with seeds from --seed on: accuracies are then means with standard deviations "
     "(default 1)",
     1, TABLE_MAX_RUNS, NULL},
    {"batch-size", CLI_INT, AT(batch_size), "N", "images in a step (default: the recipe's)", 1, 1 << 20, NULL},
    {"val-split", CLI_REAL, AT(validation), "F|N", "images held back from training, as for cltrain fit (default 0.1)",
     0, 1e9, NULL},
    {"split-indices", CLI_TEXT, AT(split_indices), "FILE", "which images train and validate, as for cltrain fit", 0, 0,
     NULL},
    {"workers", CLI_INT, AT(workers), "N", "threads that prepare images (default 2)", 0, 256, NULL},
    {"device", CLI_TEXT, AT(device), "DEVICE", "index as in 0:0, cpu, gpu, or a part of the name", 0, 0, NULL},
    TUNING_CLI(table_options, tuning),
    {"speed", CLI_FLAG, AT(speed), NULL, "measure speed, memory and start-up too (default; --no-speed)", 0, 0, NULL},
    {"num-bench-iter", CLI_INT, AT(timed_steps), "N", "timed steps (default 20)", 1, 100000, NULL},
    {"format", CLI_CHOICE, AT(format), "FORMAT", "text (default), markdown, csv, json or html", 0, 0, formats},
    {"out", CLI_TEXT, AT(out), "FILE", "write the table into a file", 0, 0, NULL},
    {.name = NULL}};

static int check(const table_options *o) {
    const char *const names[] = {o->pretrained, o->data, o->runs, o->split_indices, o->tuning.path};
    if (!o->data)
        return cli_misuse(&table_command, "--data is missing");
    if (!o->pretrained && !o->runs)
        return cli_misuse(&table_command, "give --pretrained with weights, or --runs to train, or both");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i] && strlen(names[i]) > MAX_NAME)
            return cli_misuse(&table_command, "a path of more than %d bytes", MAX_NAME);
    return CLN_OK;
}

static int run_command(int argc, char **argv) {
    table_options o = {.seed = 42, .seeds = 1, .validation = 0.1, .workers = 2, .timed_steps = 20, .speed = true};
    const char *self[TUNING_COMMAND];
    char command[TABLE_PATH];
    int exit_status;
    bench_join_command(argc, argv, command, sizeof command);
    if (!cli_parse(&table_command, &o, argc, argv, NULL, &exit_status))
        return exit_status;
    exit_status = check(&o);
    if (exit_status != CLN_OK)
        return exit_status;
    tuning_command(argv, self);
    o.program = self[0];
    cln_context *ctx;
    if (cln_context_new(&ctx) != CLN_OK)
        return report_no_memory("clbench");
    exit_status = run(ctx, &o, command);
    cln_context_free(ctx);
    return exit_status;
}

const cli_command table_command = {
    "clbench",
    "table",
    "the published comparison of the networks, reproduced",
    "Trains or loads each network, tests it, and prints its accuracies and parameters beside the published ones, with\n"
    "speed, memory and start-up on this device. Ctrl-C or SIGTERM saves after the step and ends with status 130 or "
    "143;\n"
    "with --runs, the same command goes on, however it ended. Progress goes to standard error.\n\n"
    "example: clbench table --pretrained weights --data cifar-10-batches-bin\n"
    "         clbench table --runs runs/table --data cifar-10-batches-bin --epochs 20 --seeds 3",
    NULL,
    CLI_ONE_GROUP(options),
    run_command};
