/* clbench report: one HTML page of a table, its learning curves, its speeds and its device. */
#include "report.h"
#include "../src/cli/report.h"
#include "bench.h"
#include "html.h"
#include "measure.h"

#include <stdlib.h>
#include <string.h>

static void print_badge(const table *t, FILE *to) {
    char note[TABLE_NOTE];
    if (table_data_of(t) == TABLE_WHOLE || !table_note(t, 0, note))
        return;
    fprintf(to, "<p class=\"badge\">");
    html_text(to, note);
    fprintf(to, "</p>\n");
}

static void print_page(report *r, FILE *to) {
    html_begin(to, "clnet: the published comparison, reproduced");
    fprintf(to, "<h1>Inception, ResNet and DenseNet on OpenCL</h1>\n<p class=\"soft\">");
    html_format(to, "The published comparison on CIFAR-10, reproduced with clnet %s on %s; %s", r->t.version,
                r->t.machine.device, r->t.date);
    fprintf(to, "</p>\n");
    print_badge(&r->t, to);
    report_accuracy(r, to);
    report_curves(r, to);
    report_speed(r, to);
    report_roofline(r, to);
    report_facts(r, to);
    html_end(to);
}

static cln_status write_page(report *r) {
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    if (!to)
        return CLN_OUT_OF_MEMORY;
    print_page(r, to);
    cln_status status = fclose(to) == 0 && !r->lacks_memory ? CLN_OK : CLN_OUT_OF_MEMORY;
    if (status == CLN_OK)
        status = cln_file_write(r->ctx, r->o->out, text, size);
    free(text);
    return status;
}

static int make(const report_options *o, const char *command) {
    report r = {.o = o, .command = command};
    if (cln_context_new(&r.ctx) != CLN_OK)
        return report_no_memory("clbench");
    cln_status status = table_read(report_command.name, o->table, &r.t);
    if (status == CLN_OK && o->peers)
        status = results_read(report_command.name, o->peers, &r.peers);
    int exit_status = status == CLN_OK              ? report_end("clbench", r.ctx, write_page(&r))
                      : status == CLN_OUT_OF_MEMORY ? report_no_memory("clbench")
                                                    : (int)status;
    results_free(&r.peers);
    table_free(&r.t);
    cln_context_free(r.ctx);
    return exit_status;
}

#define AT(member) offsetof(report_options, member)

static const cli_option options[] = {
    {"table", CLI_TEXT, AT(table), "FILE",
     "required: of clbench table: table.json in its --runs, or what --format json writes", 0, 0, NULL},
    {"out", CLI_TEXT, AT(out), "FILE", "required: the page to write", 0, 0, NULL},
    {"runs", CLI_TEXT, AT(runs), "DIR", "where the runs are, <model>/<any>/metrics.csv (default: where the table says)",
     0, 0, NULL},
    {"peers", CLI_TEXT, AT(peers), "FILE", "speeds beside PyTorch, as bench/peers/pytorch.py writes them", 0, 0, NULL},
    {"curves", CLI_TEXT, AT(curves), "DIR",
     "learning curves to compare with, <model>.csv with columns epoch, train_acc and val_acc", 0, 0, NULL},
    {.name = NULL}};

static int run_command(int argc, char **argv) {
    report_options o = {.table = NULL};
    char command[TABLE_PATH];
    int exit_status;
    bench_join_command(argc, argv, command, sizeof command);
    if (!cli_parse(&report_command, &o, argc, argv, NULL, &exit_status))
        return exit_status;
    if (!o.table || !o.out)
        return cli_misuse(&report_command, "--%s is missing", o.table ? "out" : "table");
    return make(&o, command);
}

const cli_command report_command = {
    "clbench",
    "report",
    "an HTML page of the comparison",
    "Makes one HTML page, which needs no network: the table, learning curves, speeds beside a peer, the roofline, the\n"
    "device, and how to make it again.\n\n"
    "example: clbench report --table runs/table/table.json --out report.html",
    NULL,
    CLI_ONE_GROUP(options),
    run_command};
