/* clbench train and clbench infer: images a second of whole steps on a batch that stays on the device, so that reading
 * and augmenting data does not count. A training step includes the optimiser. */
#include "../src/cli/options.h"
#include "../src/cli/report.h"
#include "bench.h"
#include "measure.h"
#include "network.h"

#include <inttypes.h>
#include <stdlib.h>

typedef struct arguments {
    network_options network;
    int64_t warm_steps, timed_steps;
    bool json, print_plan;
} arguments;

typedef struct bench {
    const arguments *a;
    network n;
    double *images_per_s; /* of each timed step, then sorted */
} bench;

static cln_status step(bench *b, double *seconds) {
    double start_s = report_now_s();
    cln_status status = cln_plan_step(b->n.plan, NETWORK_LEARNING_RATE);
    if (status == CLN_OK)
        status = cln_plan_finish(b->n.plan);
    *seconds = report_now_s() - start_s;
    return status;
}

static cln_status measure(bench *b) {
    double seconds;
    cln_status status = CLN_OK;
    for (int64_t i = 0; status == CLN_OK && i < b->a->warm_steps; i++)
        status = step(b, &seconds);
    for (int64_t i = 0; status == CLN_OK && i < b->a->timed_steps; i++) {
        status = step(b, &seconds);
        b->images_per_s[i] = (double)b->a->network.batch_size / seconds;
    }
    return status;
}

static void print_memory(const bench *b) {
    char planned[32], weights[32], process[32];
    cln_plan_memory memory = cln_plan_get_memory(b->n.plan);
    uint64_t peak_bytes = bench_peak_memory_bytes();
    printf("memory: %s planned, %s of weights", report_bytes(memory.planned_bytes, planned),
           report_bytes(memory.weights_bytes, weights));
    if (peak_bytes)
        printf("; the process, compiler included, at most %s", report_bytes(peak_bytes, process));
    printf("\n");
}

static void print_text(const bench *b, double middle, double min, double max) {
    const network_options *o = &b->a->network;
    printf("%s %s, batch %" PRId64, o->model->name, o->training ? "training" : "evaluation", o->batch_size);
    if (o->image_size != 32)
        printf(" of %" PRId64 "x%" PRId64, o->image_size, o->image_size);
    printf(": %.1f images/s (median of %" PRId64 " steps; %.1f to %.1f)\n", middle, b->a->timed_steps, min, max);
    print_memory(b);
}

static int print_json(const bench *b, double middle, double min, double max) {
    const network_options *o = &b->a->network;
    cln_plan_memory memory = cln_plan_get_memory(b->n.plan);
    uint64_t peak_bytes = bench_peak_memory_bytes();
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "model", cJSON_CreateString(o->model->name));
    cln__json_add(object, "mode", cJSON_CreateString(o->training ? "train" : "infer"));
    cln__json_add(object, "batch_size", cJSON_CreateNumber((double)o->batch_size));
    cln__json_add(object, "image_size", cJSON_CreateNumber((double)o->image_size));
    report_json_float(object, "images_per_s", middle);
    report_json_float(object, "min", min);
    report_json_float(object, "p25", bench_quantile(b->images_per_s, b->a->timed_steps, 0.25));
    report_json_float(object, "p75", bench_quantile(b->images_per_s, b->a->timed_steps, 0.75));
    report_json_float(object, "max", max);
    cln__json_add(object, "steps", cJSON_CreateNumber((double)b->a->timed_steps));
    cln__json_add(object, "planned_bytes", cJSON_CreateNumber((double)memory.planned_bytes));
    cln__json_add(object, "weights_bytes", cJSON_CreateNumber((double)memory.weights_bytes));
    if (peak_bytes)
        cln__json_add(object, "peak_process_bytes", cJSON_CreateNumber((double)peak_bytes));
    else
        cln__json_add(object, "peak_process_bytes", cJSON_CreateNull());
    cln__json_add(object, "device", cJSON_CreateString(cln_device_get_info(b->n.device)->name));
    return report_json("clbench", object);
}

static int print(const bench *b) {
    double middle = bench_median(b->images_per_s, b->a->timed_steps); /* sorts */
    double min = b->images_per_s[0], max = b->images_per_s[b->a->timed_steps - 1];
    if (b->a->json)
        return print_json(b, middle, min, max);
    print_text(b, middle, min, max);
    return CLN_OK;
}

static int run(cln_context *ctx, const arguments *a) {
    bench b = {.a = a};
    b.images_per_s = malloc((size_t)a->timed_steps * sizeof *b.images_per_s);
    if (!b.images_per_s)
        return report_no_memory("clbench");
    cln_status status = network_open(ctx, &a->network, &b.n);
    if (status == CLN_OK)
        status = network_build(ctx, &a->network, &b.n);
    if (status == CLN_OK && a->print_plan)
        cln_plan_print(b.n.plan, a->network.device_out);
    if (status == CLN_OK)
        status = measure(&b);
    int exit_status = report_end("clbench", ctx, status);
    if (status == CLN_OK)
        exit_status = print(&b);
    network_close(&b.n);
    free(b.images_per_s);
    return exit_status;
}

#define AT(member) offsetof(arguments, member)

static const cli_option options[] = {
    {"model", CLI_MODEL, AT(network.model), "NAME", "required: the network (see cltrain models)", 0, 0, NULL},
    NETWORK_CLI(arguments, network),
    {"num-warm-iter", CLI_INT, AT(warm_steps), "N", "steps before the timed ones (default 5)", 0, 100000, NULL},
    {"num-bench-iter", CLI_INT, AT(timed_steps), "N", "timed steps (default 20)", 1, 100000, NULL},
    {"json", CLI_FLAG, AT(json), NULL, "print JSON; the device is then told on standard error", 0, 0, NULL},
    {"print-plan", CLI_FLAG, AT(print_plan), NULL, "print the steps of the plan first", 0, 0, NULL},
    {.name = NULL}};

static int measure_speed(const cli_command *command, bool training, int argc, char **argv) {
    arguments a = {.network = NETWORK_DEFAULTS, .warm_steps = 5, .timed_steps = 20};
    int exit_status;
    if (!cli_parse(command, &a, argc, argv, NULL, &exit_status))
        return exit_status;
    if (!a.network.model)
        return cli_misuse(command, "--model is missing");
    a.network.training = training;
    a.network.device_out = a.json ? stderr : stdout;
    cln_context *ctx;
    if (cln_context_new(&ctx) != CLN_OK)
        return report_no_memory("clbench");
    exit_status = run(ctx, &a);
    cln_context_free(ctx);
    return exit_status;
}

static int run_train(int argc, char **argv) {
    return measure_speed(&train_command, true, argc, argv);
}

static int run_infer(int argc, char **argv) {
    return measure_speed(&infer_command, false, argc, argv);
}

const cli_command train_command = {
    "clbench",
    "train",
    "measure training, in images a second",
    "Measures whole training steps, optimiser included, on a synthetic batch on the device.",
    NULL,
    CLI_ONE_GROUP(options),
    run_train};
const cli_command infer_command = {"clbench",
                                   "infer",
                                   "measure evaluation, in images a second",
                                   "Measures evaluation of a synthetic batch on the device.",
                                   NULL,
                                   CLI_ONE_GROUP(options),
                                   run_infer};
