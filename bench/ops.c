/* clbench ops: the time of every kernel launch of a training step, of a model or of one convolution. */
#include "../src/cli/options.h"
#include "../src/cli/report.h"
#include "bench.h"
#include "measure.h"

#include <inttypes.h>
#include <stdlib.h>

typedef struct arguments {
    const cln_model *model;
    cln_ints conv; /* in channels, out channels, size, kernel, stride */
    const char *device, *variant;
    int64_t batch_size, rounds;
    double peak;
    bool json;
} arguments;

typedef struct bench {
    cln_context *ctx;
    const arguments *a;
    cln_device *device;
    void *hparams;
    cln_graph *graph;
    cln_tensor image, label, target, upstream;
    cln_weights *weights;
    cln_plan *plan;
    int steps;
    cln_step_time *times; /* steps of each round, one round after the other */
} bench;

/* The convolution alone, with a gradient that comes from outside. Its input is an activation, so that it lies in
 * channel blocks as it would inside a network. */
static void build_conv(bench *b) {
    int32_t v[5] = {16, 16, 32, 3, 1};
    for (int i = 0; i < b->a->conv.count && i < 5; i++)
        v[i] = (int32_t)b->a->conv.values[i];
    b->image = cln_input(b->graph, "x", b->a->batch_size, v[0], v[2], v[2]);
    b->target =
        cln_conv2d(b->graph, b->image, "conv",
                   &(cln_conv2d_options){
                       .out_channels = v[1], .kernel_h = v[3], .kernel_w = v[3], .stride = v[4], .padding = v[3] / 2});
    cln_shape y = cln_tensor_shape(b->graph, b->target);
    b->upstream = cln_input(b->graph, "dy", y.n, y.c, y.h, y.w);
}

static void build_model(bench *b) {
    b->image = cln_input(b->graph, "image", b->a->batch_size, 3, 32, 32);
    b->label = cln_labels(b->graph, "label", b->a->batch_size);
    b->target = cln_softmax_ce(b->graph, b->a->model->build(b->graph, b->image, b->hparams), b->label, 0);
}

static cln_status make_plan(bench *b) {
    bool conv = b->a->conv.count > 0;
    b->graph = cln_graph_new(b->ctx);
    if (!b->graph)
        return CLN_OUT_OF_MEMORY;
    (conv ? build_conv : build_model)(b);
    cln_status status = cln_graph_status(b->graph);
    if (status == CLN_OK)
        status = cln_weights_new(b->device, b->graph, 42, &b->weights);
    cln_plan_options options = {.training = true,
                                .loss = b->target,
                                .has_upstream = conv,
                                .upstream = b->upstream,
                                .gradients = &b->image,
                                .gradient_count = conv,
                                .variant = b->a->variant};
    if (!conv)
        options.optimizer = b->a->model->recipe->optimizer;
    return status == CLN_OK ? cln_plan_build(b->device, b->graph, b->weights, &options, &b->plan) : status;
}

static cln_status write_noise(bench *b, cln_tensor input) {
    cln_shape s = cln_tensor_shape(b->graph, input);
    int64_t count = s.n * s.c * s.h * s.w;
    float *values = malloc((size_t)count * sizeof *values);
    if (!values)
        return CLN_OUT_OF_MEMORY;
    bench_noise(values, count);
    cln_status status = cln_plan_write(b->plan, input, values, count);
    free(values);
    return status;
}

static cln_status write_labels(bench *b) {
    int64_t n = b->a->batch_size;
    int32_t *labels = calloc((size_t)n, sizeof *labels);
    if (!labels)
        return CLN_OUT_OF_MEMORY;
    cln_status status = cln_plan_write_labels(b->plan, b->label, labels, n);
    free(labels);
    return status;
}

/* Two rounds to warm up, then the timed ones. */
static cln_status measure(bench *b) {
    cln_status status = write_noise(b, b->image);
    if (status == CLN_OK)
        status = b->label.id >= 0 ? write_labels(b) : write_noise(b, b->upstream);
    b->steps = cln_plan_get_memory(b->plan).steps;
    b->times = malloc((size_t)b->steps * (size_t)b->a->rounds * sizeof *b->times);
    if (!b->times)
        return CLN_OUT_OF_MEMORY;
    for (int64_t i = -2; i < b->a->rounds && status == CLN_OK; i++)
        status = cln_plan_profile(b->plan, 1e-4f, b->times + (i < 0 ? 0 : i) * b->steps);
    return status;
}

/* Leaves in the first round's entries the medians over the rounds. */
static cln_status take_medians(bench *b) {
    double *seconds = malloc((size_t)b->a->rounds * sizeof *seconds);
    if (!seconds)
        return CLN_OUT_OF_MEMORY;
    for (int s = 0; s < b->steps; s++) {
        for (int64_t i = 0; i < b->a->rounds; i++)
            seconds[i] = b->times[i * b->steps + s].seconds;
        b->times[s].seconds = bench_median(seconds, b->a->rounds);
    }
    free(seconds);
    return CLN_OK;
}

static int slowest_first(const void *a, const void *b) {
    const cln_step_time *x = a, *y = b;
    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

static int print_table(const bench *b) {
    double total = 0;
    for (int s = 0; s < b->steps; s++)
        total += b->times[s].seconds;
    printf("%9s %6s %8s %6s  %-18s %-9s %-26s %s\n", "ms", "share", "GFLOP/s", "peak", "operator", "variant", "kernel",
           "layer");
    for (int s = 0; s < b->steps; s++) {
        const cln_step_time *t = &b->times[s];
        double rate = t->flops / t->seconds * 1e-9;
        char gflops[16] = "", share[16] = "";
        if (t->flops > 0)
            snprintf(gflops, sizeof gflops, "%.1f", rate);
        if (t->flops > 0 && b->a->peak > 0)
            snprintf(share, sizeof share, "%.0f%%", 100 * rate / b->a->peak);
        printf("%9.3f %5.1f%% %8s %6s  %-18s %-9s %-26s %s\n", t->seconds * 1e3, 100 * t->seconds / total, gflops,
               share, t->op, t->variant, t->kernel, t->layer);
    }
    printf("%9.3f ms in %d launches, each waited for; medians of %" PRId64 " rounds\n", total * 1e3, b->steps,
           b->a->rounds);
    return CLN_OK;
}

static int print_json(const bench *b) {
    cJSON *list = cJSON_CreateArray();
    for (int s = 0; s < b->steps; s++) {
        const cln_step_time *t = &b->times[s];
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "layer", t->layer);
        cJSON_AddStringToObject(row, "op", t->op);
        cJSON_AddStringToObject(row, "variant", t->variant);
        cJSON_AddStringToObject(row, "kernel", t->kernel);
        report_json_float(row, "ms", t->seconds * 1e3);
        report_json_float(row, "gflops", t->flops / t->seconds * 1e-9);
        cJSON_AddItemToArray(list, row);
    }
    return report_json("clbench", list);
}

static int run(cln_context *ctx, const arguments *a) {
    bench b = {.ctx = ctx, .a = a, .label = CLN_NO_TENSOR, .upstream = CLN_NO_TENSOR};
    cln_status status = a->model ? cln_hparams_new(ctx, a->model, NULL, &b.hparams) : CLN_OK;
    if (status == CLN_OK)
        status = report_open_device(ctx, a->device, a->json ? stderr : stdout, &b.device);
    if (status == CLN_OK)
        status = make_plan(&b);
    if (status == CLN_OK)
        status = measure(&b);
    if (status == CLN_OK)
        status = take_medians(&b);
    int exit_status = report_end("clbench", ctx, status);
    if (status == CLN_OK) {
        qsort(b.times, (size_t)b.steps, sizeof *b.times, slowest_first);
        exit_status = a->json ? print_json(&b) : print_table(&b);
    }
    free(b.times);
    cln_plan_free(b.plan);
    cln_weights_free(b.weights);
    cln_graph_free(b.graph);
    cln_device_free(b.device);
    free(b.hparams);
    return exit_status;
}

int bench_ops(int argc, char **argv) {
    arguments a = {.batch_size = 128, .rounds = 10};
    const cli_option options[] = {
        {"model", CLI_MODEL, &a.model, "NAME", "a network's training step", 0, 0, NULL},
        {"conv", CLI_INTS, &a.conv, "C,O,SIZE,K,S",
         "or one convolution: channels in and out, height and width, kernel (3), stride (1)", 1, 8192, NULL},
        {"batch-size", CLI_INT, &a.batch_size, "N", "images in a step (default 128)", 1, 1 << 20, NULL},
        {"device", CLI_TEXT, &a.device, "DEVICE", "index as in 0:0, cpu, gpu, or a part of the name", 0, 0, NULL},
        {"variant", CLI_TEXT, &a.variant, "NAME", "use this kernel variant wherever it can serve", 0, 0, NULL},
        {"peak", CLI_REAL, &a.peak, "GFLOPS", "show the share of this peak (see clbench peak)", 0, 1e9, NULL},
        {"num-bench-iter", CLI_INT, &a.rounds, "N", "timed steps (default 10)", 1, 100000, NULL},
        {"json", CLI_FLAG, &a.json, NULL, "print JSON; the device is then told on standard error", 0, 0, NULL},
        {.name = NULL}};
    const cli_command command = {"clbench", "ops",
                                 "Measures every kernel launch of a training step, the slowest first.", NULL, options};
    cli_parsed parsed = cli_parse(&command, argc, argv, NULL);
    if (parsed != CLI_RUN)
        return parsed == CLI_HELP ? CLN_OK : CLN_INVALID_ARGUMENT;
    if (!a.model == !a.conv.count)
        return cli_misuse(&command, "give --model or --conv");
    if (a.conv.count && a.conv.count < 3)
        return cli_misuse(&command, "--conv takes at least C,O,SIZE");
    cln_context *ctx;
    if (cln_context_new(&ctx) != CLN_OK)
        return report_no_memory("clbench");
    int exit_status = run(ctx, &a);
    cln_context_free(ctx);
    return exit_status;
}
