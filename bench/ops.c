/* clbench ops: the time of every kernel launch of a plan, against what the device could do. */
#include "../src/cli/options.h"
#include "../src/cli/report.h"
#include "bench.h"
#include "network.h"
#include "peak.h"
#include "roofline.h"
#include "trace.h"

#include <inttypes.h>
#include <stdlib.h>

typedef struct arguments {
    network_options network;
    int64_t rounds;
    double peak_gflops, bandwidth_gbs; /* 0: to be measured */
    const char *trace;
    bool infer, why, json;
} arguments;

typedef struct bench {
    const arguments *a;
    network n;
    double gflops, gbs;
    int steps;
    cln_step_time *times; /* steps of each round, one round after the other */
    roofline r;
} bench;

static cln_status find_peak(bench *b) {
    const arguments *a = b->a;
    bool given = a->peak_gflops > 0 && a->bandwidth_gbs > 0;
    if (!given && !peak_measure(cln_device_get_info(b->n.device), &b->gflops, &b->gbs))
        return CLN_OPENCL;
    b->gflops = a->peak_gflops > 0 ? a->peak_gflops : b->gflops;
    b->gbs = a->bandwidth_gbs > 0 ? a->bandwidth_gbs : b->gbs;
    return CLN_OK;
}

/* Two rounds to warm up, then the timed ones. */
static cln_status measure(bench *b) {
    b->steps = cln_plan_get_memory(b->n.plan).steps;
    b->times = calloc((size_t)b->steps * (size_t)b->a->rounds + 1, sizeof *b->times);
    cln_status status = b->times ? CLN_OK : CLN_OUT_OF_MEMORY;
    for (int64_t i = -2; i < b->a->rounds && status == CLN_OK; i++)
        status = cln_plan_profile(b->n.plan, NETWORK_LEARNING_RATE, b->times + (i < 0 ? 0 : i) * b->steps);
    if (status == CLN_OK)
        status = roofline_make(b->gflops, b->gbs, b->times, b->steps, (int)b->a->rounds, &b->r);
    return status;
}

static cln_status write_trace(cln_context *ctx, const bench *b) {
    const cln_step_time *round = b->times + (size_t)b->r.typical * (size_t)b->steps;
    return trace_write(ctx, b->a->trace, cln_device_get_info(b->n.device)->name, &b->r, round);
}

/* --- the table --- */

static void print_row(const bench *b, const roofline_row *row) {
    const cln_step_time *t = row->time;
    roofline_rates rates = roofline_rates_of(row, row->seconds);
    char gflops[16] = "";
    if (t->flops > 0)
        snprintf(gflops, sizeof gflops, "%.1f", rates.gflops);
    printf("%9.3f %9.3f %5.1f%% %7.0f%% %8s %7.1f  %-10s  %-18s %-9s %-26s %s\n", row->lost_s * 1e3, row->seconds * 1e3,
           100 * row->seconds / b->r.whole.seconds, rates.percent, gflops, rates.gbs,
           row->arithmetic ? "arithmetic" : "memory", t->op, t->variant, t->kernel, t->layer);
    if (b->a->why && *t->why_not)
        printf("%21s%s\n", "", t->why_not);
}

static void print_sum(const bench *b, const char *name, roofline_sum sum) {
    char steps[16] = "";
    if (sum.steps)
        snprintf(steps, sizeof steps, "%d", sum.steps);
    printf("%-26s %6s %9.3f %5.1f%% %13.3f %9.3f\n", name, steps, sum.seconds * 1e3,
           100 * sum.seconds / b->r.whole.seconds, sum.attainable_s * 1e3, sum.lost_s * 1e3);
}

static void print_summary(const bench *b) {
    const roofline *r = &b->r;
    const roofline_sum *whole = &r->whole;
    printf("%-26s %6s %9s %6s %13s %9s\n", "", "steps", "ms", "share", "attainable ms", "lost ms");
    print_sum(b, "bound by arithmetic", r->arithmetic);
    print_sum(b, "bound by memory", r->memory);
    print_sum(b, "between launches", (roofline_sum){.seconds = r->between_s, .lost_s = r->between_s});
    print_sum(b, "whole step", *whole);
    printf("%.1f%% of the roofline; %.1f GFLOP/s, %.1f%% of the arithmetic peak, convolutions counted as direct ones\n",
           100 * whole->attainable_s / whole->seconds, whole->flops / whole->seconds * 1e-9,
           100 * whole->flops / whole->seconds * 1e-9 / r->gflops);
    printf("peak: %.1f GFLOP/s%s, %.1f GB/s%s; medians of %" PRId64 " rounds\n", r->gflops,
           b->a->peak_gflops > 0 ? " (given)" : "", r->gbs, b->a->bandwidth_gbs > 0 ? " (given)" : "", b->a->rounds);
}

static int print_table(const bench *b) {
    printf("%9s %9s %6s %8s %8s %7s  %-10s  %-18s %-9s %-26s %s\n", "lost ms", "ms", "share", "roofline", "GFLOP/s",
           "GB/s", "bound", "operator", "variant", "kernel", "layer");
    for (int i = 0; i < b->steps; i++)
        print_row(b, &b->r.rows[i]);
    printf("\n");
    print_summary(b);
    return CLN_OK;
}

/* --- JSON --- */

static cJSON *json_row(const roofline_row *row) {
    const cln_step_time *t = row->time;
    roofline_rates rates = roofline_rates_of(row, row->seconds);
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "step", cJSON_CreateNumber(row->step));
    cln__json_add(object, "layer", cJSON_CreateString(t->layer));
    cln__json_add(object, "op", cJSON_CreateString(t->op));
    cln__json_add(object, "variant", cJSON_CreateString(t->variant));
    cln__json_add(object, "kernel", cJSON_CreateString(t->kernel));
    cln__json_add(object, "why_not", cJSON_CreateString(t->why_not));
    cln__json_add(object, "bound", cJSON_CreateString(row->arithmetic ? "arithmetic" : "memory"));
    report_json_float(object, "ms", row->seconds * 1e3);
    report_json_float(object, "ms_p25", row->low_s * 1e3);
    report_json_float(object, "ms_p75", row->high_s * 1e3);
    report_json_float(object, "attainable_ms", row->attainable_s * 1e3);
    report_json_float(object, "lost_ms", row->lost_s * 1e3);
    report_json_float(object, "roofline_percent", rates.percent);
    report_json_float(object, "flops", t->flops);
    report_json_float(object, "bytes", t->bytes);
    report_json_float(object, "gflops", rates.gflops);
    report_json_float(object, "gbs", rates.gbs);
    return object;
}

static void json_sum(cJSON *object, const char *name, const roofline_sum *sum) {
    cJSON *item = cln__json_add(object, name, cJSON_CreateObject());
    cln__json_add(item, "steps", cJSON_CreateNumber(sum->steps));
    report_json_float(item, "ms", sum->seconds * 1e3);
    report_json_float(item, "attainable_ms", sum->attainable_s * 1e3);
    report_json_float(item, "lost_ms", sum->lost_s * 1e3);
    report_json_float(item, "flops", sum->flops);
}

static int print_json(const bench *b) {
    const network_options *o = &b->a->network;
    const roofline *r = &b->r;
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "device", cJSON_CreateString(cln_device_get_info(b->n.device)->name));
    cln__json_add(object, "model", cJSON_CreateString(o->model ? o->model->name : "conv2d"));
    cln__json_add(object, "mode", cJSON_CreateString(o->training ? "train" : "infer"));
    cln__json_add(object, "batch_size", cJSON_CreateNumber((double)o->batch_size));
    cln__json_add(object, "rounds", cJSON_CreateNumber((double)b->a->rounds));
    report_json_float(object, "peak_gflops", r->gflops);
    report_json_float(object, "bandwidth_gbs", r->gbs);
    json_sum(object, "whole", &r->whole);
    json_sum(object, "arithmetic", &r->arithmetic);
    json_sum(object, "memory", &r->memory);
    report_json_float(object, "step_ms_p25", r->low_s * 1e3);
    report_json_float(object, "step_ms_p75", r->high_s * 1e3);
    report_json_float(object, "between_ms", r->between_s * 1e3);
    cJSON *steps = cln__json_add(object, "steps", cJSON_CreateArray());
    for (int i = 0; i < b->steps; i++)
        cln__json_append(steps, json_row(&r->rows[i]));
    return report_json("clbench", object);
}

/* --- the command --- */

static int run(cln_context *ctx, const arguments *a) {
    bench b = {.a = a};
    cln_status status = network_open(ctx, &a->network, &b.n);
    if (status == CLN_OK)
        status = find_peak(&b); /* before the plan takes memory */
    if (status == CLN_OK)
        status = network_build(ctx, &a->network, &b.n);
    if (status == CLN_OK)
        status = measure(&b);
    if (status == CLN_OK && a->trace)
        status = write_trace(ctx, &b);
    int exit_status = report_end("clbench", ctx, status);
    if (status == CLN_OK)
        exit_status = a->json ? print_json(&b) : print_table(&b);
    roofline_free(&b.r);
    free(b.times);
    network_close(&b.n);
    return exit_status;
}

static int check(const cli_command *command, const arguments *a) {
    const network_options *o = &a->network;
    if (!o->model == !o->conv.count)
        return cli_misuse(command, "give --model or --conv");
    if (!o->model && (o->hparams || o->image_size != 32))
        return cli_misuse(command, "--hparams and --image-size are for --model");
    if (o->conv.count && (o->conv.count < 3 || o->conv.count > 5))
        return cli_misuse(command, "--conv: expected C,O,SIZE, C,O,SIZE,K or C,O,SIZE,K,S, found %d numbers",
                          o->conv.count);
    return CLN_OK;
}

#define AT(member) offsetof(arguments, member)

static const cli_option options[] = {
    {"model", CLI_MODEL, AT(network.model), "NAME", "a network's training step", 0, 0, NULL},
    {"conv", CLI_INTS, AT(network.conv), "C,O,SIZE,K,S",
     "or one convolution: channels in and out, height and width, kernel (3), stride (1)", 1, 8192, NULL},
    {"infer", CLI_FLAG, AT(infer), NULL, "a step of evaluation instead", 0, 0, NULL},
    NETWORK_CLI(arguments, network),
    {"peak", CLI_REAL, AT(peak_gflops), "GFLOPS", "the arithmetic peak; default: measured first", 0, 1e9, NULL},
    {"bandwidth", CLI_REAL, AT(bandwidth_gbs), "GBS", "the memory bandwidth; default: measured first", 0, 1e9, NULL},
    {"num-bench-iter", CLI_INT, AT(rounds), "N", "timed steps (default 10)", 1, 100000, NULL},
    {"trace", CLI_TEXT, AT(trace), "FILE",
     "also write a step's time line as Chrome trace events, for chrome://tracing and Perfetto", 0, 0, NULL},
    {"why", CLI_FLAG, AT(why), NULL, "below each launch, the kernel variants that refused it and their reasons", 0, 0,
     NULL},
    {"json", CLI_FLAG, AT(json), NULL, "print JSON; the device is then told on standard error", 0, 0, NULL},
    {.name = NULL}};

static int run_command(int argc, char **argv) {
    arguments a = {.network = NETWORK_DEFAULTS, .rounds = 10};
    int exit_status;
    if (!cli_parse(&ops_command, &a, argc, argv, NULL, &exit_status))
        return exit_status;
    int misuse = check(&ops_command, &a);
    if (misuse != CLN_OK)
        return misuse;
    a.network.training = !a.infer;
    a.network.device_out = a.json ? stderr : stdout;
    cln_context *ctx;
    if (cln_context_new(&ctx) != CLN_OK)
        return report_no_memory("clbench");
    exit_status = run(ctx, &a);
    cln_context_free(ctx);
    return exit_status;
}

const cli_command ops_command = {
    "clbench",
    "ops",
    "measure every kernel launch of a training step",
    "Measures every kernel launch of a step against the roofline: the time that the device needs at its peak\n"
    "(clbench peak) for the arithmetic of the launch or for reading and writing its tensors once, whichever is\n"
    "longer. The launches that lose the most time against it come first. Convolutions count as direct ones, so a\n"
    "kernel that saves arithmetic (Winograd), or whose tensors are still in a cache, can exceed 100%.",
    NULL,
    CLI_ONE_GROUP(options),
    run_command};
