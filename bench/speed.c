/* clbench train and clbench infer: images a second of whole steps on a batch that stays on the device, so that reading
 * and augmenting data does not count. A training step includes the optimiser. */
#include "../src/cli/options.h"
#include "../src/cli/report.h"
#include "bench.h"
#include "measure.h"

#include <inttypes.h>
#include <stdlib.h>

typedef struct arguments {
    const cln_model *model;
    const char *device, *hparams, *variant;
    int64_t batch_size, warm_steps, timed_steps;
    bool json, print_plan;
} arguments;

typedef struct bench {
    cln_context *ctx;
    const arguments *a;
    bool training;
    cln_device *device;
    void *hparams;
    cln_graph *graph;
    cln_tensor image, label, logits, loss;
    cln_weights *weights;
    cln_plan *plan;
    double *images_per_s; /* of each timed step, then sorted */
} bench;

static cln_status make_plan(bench *b) {
    const arguments *a = b->a;
    b->graph = cln_graph_new(b->ctx);
    if (!b->graph)
        return CLN_OUT_OF_MEMORY;
    b->image = cln_input(b->graph, "image", a->batch_size, 3, 32, 32);
    b->logits = a->model->build(b->graph, b->image, b->hparams);
    if (b->training) {
        b->label = cln_labels(b->graph, "label", a->batch_size);
        b->loss = cln_softmax_ce(b->graph, b->logits, b->label, 0);
    }
    cln_status status = cln_graph_status(b->graph);
    if (status == CLN_OK)
        status = cln_weights_new(b->device, b->graph, 42, &b->weights);
    cln_plan_options options = {.training = b->training,
                                .loss = b->loss,
                                .optimizer = a->model->recipe->optimizer,
                                .outputs = b->training ? &b->loss : &b->logits,
                                .output_count = 1,
                                .variant = a->variant};
    if (status == CLN_OK)
        status = cln_plan_build(b->device, b->graph, b->weights, &options, &b->plan);
    return status;
}

static cln_status write_batch(bench *b) {
    int64_t n = b->a->batch_size, count = n * 3 * 32 * 32;
    int64_t classes = cln_tensor_shape(b->graph, b->logits).c;
    float *images = malloc((size_t)count * sizeof *images);
    int32_t *labels = malloc((size_t)n * sizeof *labels);
    cln_status status = images && labels ? CLN_OK : CLN_OUT_OF_MEMORY;
    if (status == CLN_OK) {
        bench_noise(images, count);
        for (int64_t i = 0; i < n; i++)
            labels[i] = (int32_t)(i % classes);
        status = cln_plan_write(b->plan, b->image, images, count);
        if (status == CLN_OK && b->training)
            status = cln_plan_write_labels(b->plan, b->label, labels, n);
    }
    free(images);
    free(labels);
    return status;
}

/* A small learning rate: what is measured must not diverge on noise. */
static cln_status step(bench *b, double *seconds) {
    double start_s = bench_now_s();
    cln_status status = cln_plan_step(b->plan, 1e-4f);
    if (status == CLN_OK)
        status = cln_plan_finish(b->plan);
    *seconds = bench_now_s() - start_s;
    return status;
}

static cln_status measure(bench *b) {
    double seconds;
    cln_status status = write_batch(b);
    for (int64_t i = 0; status == CLN_OK && i < b->a->warm_steps; i++)
        status = step(b, &seconds);
    for (int64_t i = 0; status == CLN_OK && i < b->a->timed_steps; i++) {
        status = step(b, &seconds);
        b->images_per_s[i] = (double)b->a->batch_size / seconds;
    }
    return status;
}

static int print(const bench *b) {
    const arguments *a = b->a;
    double middle = bench_median(b->images_per_s, a->timed_steps); /* sorts */
    double min = b->images_per_s[0], max = b->images_per_s[a->timed_steps - 1];
    if (!a->json) {
        printf("%s %s, batch %" PRId64 ": %.1f images/s (median of %" PRId64 " steps; %.1f to %.1f)\n", a->model->name,
               b->training ? "training" : "evaluation", a->batch_size, middle, a->timed_steps, min, max);
        return CLN_OK;
    }
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "model", a->model->name);
    cJSON_AddStringToObject(object, "mode", b->training ? "train" : "infer");
    cJSON_AddNumberToObject(object, "batch_size", (double)a->batch_size);
    report_json_float(object, "images_per_s", middle);
    report_json_float(object, "min", min);
    report_json_float(object, "max", max);
    cJSON_AddNumberToObject(object, "steps", (double)a->timed_steps);
    cJSON_AddStringToObject(object, "device", cln_device_get_info(b->device)->name);
    return report_json("clbench", object);
}

static int run(cln_context *ctx, const arguments *a, bool training) {
    bench b = {.ctx = ctx, .a = a, .training = training, .label = CLN_NO_TENSOR, .loss = CLN_NO_TENSOR};
    b.images_per_s = malloc((size_t)a->timed_steps * sizeof *b.images_per_s);
    cln_status status = b.images_per_s ? CLN_OK : CLN_OUT_OF_MEMORY;
    if (status == CLN_OK)
        status = cln_hparams_new(ctx, a->model, a->hparams, &b.hparams);
    if (status == CLN_OK)
        status = report_open_device(ctx, a->device, a->json ? stderr : stdout, &b.device);
    if (status == CLN_OK)
        status = make_plan(&b);
    if (status == CLN_OK && a->print_plan)
        cln_plan_print(b.plan, stdout);
    if (status == CLN_OK)
        status = measure(&b);
    int exit_status = report_end("clbench", ctx, status);
    if (status == CLN_OK)
        exit_status = print(&b);
    cln_plan_free(b.plan);
    cln_weights_free(b.weights);
    cln_graph_free(b.graph);
    cln_device_free(b.device);
    free(b.hparams);
    free(b.images_per_s);
    return exit_status;
}

static int bench_speed(int argc, char **argv, bool training) {
    arguments a = {.batch_size = 128, .warm_steps = 5, .timed_steps = 20};
    const cli_option options[] = {
        {"model", CLI_MODEL, &a.model, "NAME", "required: the network (see cltrain models)", 0, 0, NULL},
        {"hparams", CLI_TEXT, &a.hparams, "JSON", "hyper-parameters to change", 0, 0, NULL},
        {"batch-size", CLI_INT, &a.batch_size, "N", "images in a step (default 128)", 1, 1 << 20, NULL},
        {"device", CLI_TEXT, &a.device, "DEVICE", "index as in 0:0, cpu, gpu, or a part of the name", 0, 0, NULL},
        {"num-warm-iter", CLI_INT, &a.warm_steps, "N", "steps before the timed ones (default 5)", 0, 100000, NULL},
        {"num-bench-iter", CLI_INT, &a.timed_steps, "N", "timed steps (default 20)", 1, 100000, NULL},
        {"json", CLI_FLAG, &a.json, NULL, "print JSON; the device is then told on standard error", 0, 0, NULL},
        {"variant", CLI_TEXT, &a.variant, "NAME", "use this kernel variant wherever it can serve", 0, 0, NULL},
        {"print-plan", CLI_FLAG, &a.print_plan, NULL, "print the steps of the plan first", 0, 0, NULL},
        {.name = NULL}};
    const cli_command command = {
        "clbench", training ? "train" : "infer",
        training ? "Measures whole training steps, optimiser included, on a synthetic 3x32x32 batch on the device."
                 : "Measures evaluation of a synthetic 3x32x32 batch on the device.",
        NULL, options};
    cli_parsed parsed = cli_parse(&command, argc, argv, NULL);
    if (parsed != CLI_RUN)
        return parsed == CLI_HELP ? CLN_OK : CLN_INVALID_ARGUMENT;
    if (!a.model)
        return cli_misuse(&command, "--model is missing");
    cln_context *ctx;
    if (cln_context_new(&ctx) != CLN_OK)
        return report_no_memory("clbench");
    int exit_status = run(ctx, &a, training);
    cln_context_free(ctx);
    return exit_status;
}

int bench_train(int argc, char **argv) {
    return bench_speed(argc, argv, true);
}

int bench_infer(int argc, char **argv) {
    return bench_speed(argc, argv, false);
}
