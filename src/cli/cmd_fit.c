/* cltrain fit: the options of a training run, resolved against the model's recipe, handed to cln_fit. */
#include "commands.h"
#include "options.h"
#include "progress.h"
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_OUT = 256 };
static const double max_seed = 9007199254740992.0; /* 2^53: every whole number up to it is a double */

/* As given; what was not is NULL, NAN, -1 or an empty list, and comes from the recipe. */
typedef struct arguments {
    const cln_model *model;
    const char *data, *device, *out, *hparams, *normalize, *variant;
    int64_t epochs, batch_size, seed, workers;
    int optimizer;
    double lr, momentum, weight_decay, gamma, label_smoothing, validation;
    cln_ints milestones;
    bool nesterov, quiet, print_graph, print_plan;
} arguments;

static const char *const optimizers[] = {"sgd", "adam", "adamw", NULL};
static const cln_optimizer_kind kinds[] = {CLN_SGD, CLN_ADAM, CLN_ADAMW};

/* The default learning rate is the recipe's for its own optimiser, else what is usual for the one chosen. */
static void choose_optimizer(const arguments *a, cln_recipe *r) {
    if (a->optimizer >= 0 && kinds[a->optimizer] != r->optimizer.kind) {
        r->optimizer.kind = kinds[a->optimizer];
        r->optimizer.momentum = r->optimizer.kind == CLN_SGD ? 0.9f : 0;
        r->learning_rate = r->optimizer.kind == CLN_SGD ? 0.1f : 1e-3f;
    }
    r->optimizer.nesterov = a->nesterov;
    if (!isnan(a->momentum))
        r->optimizer.momentum = (float)a->momentum;
    if (!isnan(a->weight_decay))
        r->optimizer.weight_decay = (float)a->weight_decay;
    if (!isnan(a->lr))
        r->learning_rate = (float)a->lr;
}

/* With other epochs than the recipe's, its milestones move in proportion; those that coincide, or come at the end, go.
 */
static void choose_milestones(const arguments *a, cln_recipe *r) {
    cln_ints from = r->milestones;
    int epochs = r->epochs;
    r->epochs = a->epochs > 0 ? (int)a->epochs : epochs;
    if (a->milestones.count > 0) {
        r->milestones = a->milestones;
        return;
    }
    r->milestones.count = 0;
    for (int i = 0; i < from.count; i++) {
        int scaled = (int)floor((double)from.values[i] * r->epochs / epochs + 0.5);
        scaled = scaled < 1 ? 1 : scaled;
        int *count = &r->milestones.count;
        if (scaled < r->epochs && (*count == 0 || scaled > r->milestones.values[*count - 1]))
            r->milestones.values[(*count)++] = scaled;
    }
}

static cln_recipe make_recipe(const arguments *a) {
    cln_recipe r = *a->model->recipe;
    choose_optimizer(a, &r);
    choose_milestones(a, &r);
    if (a->batch_size > 0)
        r.batch_size = (int)a->batch_size;
    if (!isnan(a->gamma))
        r.gamma = (float)a->gamma;
    return r;
}

/* runs/<model>, or the first of runs/<model>-2, -3 ... that is not there yet. */
static const char *free_folder(const char *model, char out[MAX_OUT]) {
    struct stat info;
    snprintf(out, MAX_OUT, "runs/%s", model);
    for (int i = 2; i < 10000 && stat(out, &info) == 0; i++)
        snprintf(out, MAX_OUT, "runs/%s-%d", model, i);
    return out;
}

static void show_recipe(const cln_fit_options *o) {
    const cln_recipe *r = &o->recipe;
    const char *name = "none";
    for (int i = 0; optimizers[i]; i++)
        if (kinds[i] == r->optimizer.kind)
            name = optimizers[i];
    printf("model: %s; %s, lr %g, ", o->model->name, name, (double)r->learning_rate);
    if (r->optimizer.kind == CLN_SGD)
        printf("momentum %g%s, ", (double)r->optimizer.momentum, r->optimizer.nesterov ? " (Nesterov)" : "");
    printf("weight decay %g, batches of %d, %d epoch%s", (double)r->optimizer.weight_decay, r->batch_size, r->epochs,
           r->epochs == 1 ? "" : "s");
    for (int i = 0; i < r->milestones.count; i++)
        if (i == 0)
            printf(", lr x%g after epoch %d", (double)r->gamma, r->milestones.values[i]);
        else
            printf(", %d", r->milestones.values[i]);
    printf("; seed %llu\n", (unsigned long long)o->seed);
}

static cln_status run(cln_context *ctx, const arguments *a) {
    char folder[MAX_OUT];
    void *hparams = NULL;
    cln_device *device = NULL;
    progress shown = progress_new(ctx, a->quiet);
    cln_fit_result result;
    cln_fit_options options = {
        .model = a->model,
        .recipe = make_recipe(a),
        .label_smoothing = (float)a->label_smoothing,
        .data = a->data,
        .normalize = a->normalize,
        .validation = a->validation,
        .seed = (uint64_t)a->seed,
        .workers = (int)a->workers,
        .out = a->out ? a->out : free_folder(a->model->name, folder),
        .variant = a->variant,
        .graph_out = a->print_graph ? stdout : NULL,
        .plan_out = a->print_plan ? stdout : NULL,
        .on_event = progress_show,
        .user = &shown,
    };
    cln_status status = cln_hparams_new(ctx, a->model, a->hparams, &hparams);
    options.hparams = hparams;
    if (status == CLN_OK)
        status = report_open_device(ctx, a->device, a->quiet ? stderr : stdout, &device);
    if (status == CLN_OK && !a->quiet)
        show_recipe(&options);
    if (status == CLN_OK)
        status = cln_fit(ctx, device, &options, &result);
    if (status == CLN_OK) {
        progress_result(&result);
        printf("%s/%s.safetensors\n", options.out, result.validation.count > 0 ? "best" : "last");
    } else {
        progress_stop(&shown);
    }
    cln_device_free(device);
    free(hparams);
    return status;
}

static const char *const summary =
    "Trains a network on a data set and tests it. What is not given is the model's recipe (see cltrain models).\n"
    "Writes best.safetensors (the best epoch in validation), last.safetensors and metrics.csv. The same options on\n"
    "the same device give the same weights, byte for byte.\n\n"
    "example: cltrain fit --model ResNet --data fashion-mnist --epochs 10 --out runs/first";

int cmd_fit(int argc, char **argv) {
    arguments a = {.epochs = -1,
                   .batch_size = -1,
                   .seed = 42,
                   .workers = 2,
                   .optimizer = -1,
                   .lr = NAN,
                   .momentum = NAN,
                   .weight_decay = NAN,
                   .gamma = NAN,
                   .validation = 0.1};
    const cli_option options[] = {
        {"model", CLI_MODEL, &a.model, "NAME", "required: the network (see cltrain models)", 0, 0, NULL},
        {"data", CLI_TEXT, &a.data, "PATH",
         "required: a folder in the CIFAR-10 binary or the IDX layout, or fashion-mnist", 0, 0, NULL},
        {"epochs", CLI_INT, &a.epochs, "N", "passes over the training images", 1, 1000000, NULL},
        {"max-epochs", CLI_INT, &a.epochs, "N", NULL, 1, 1000000, NULL},
        {"batch-size", CLI_INT, &a.batch_size, "N", "images in a step", 1, 1 << 24, NULL},
        {"optimizer", CLI_CHOICE, &a.optimizer, "NAME", "sgd, adam (L2 weight decay) or adamw (decoupled)", 0, 0,
         optimizers},
        {"lr", CLI_REAL, &a.lr, "X",
         "learning rate; by default the recipe's, or with another optimizer than the recipe's 0.1 (sgd) or 0.001",
         1e-30, 1e38, NULL},
        {"momentum", CLI_REAL, &a.momentum, "X", "of sgd", 0, 1, NULL},
        {"nesterov", CLI_FLAG, &a.nesterov, NULL, "Nesterov's momentum, with sgd", 0, 0, NULL},
        {"weight-decay", CLI_REAL, &a.weight_decay, "X", "on every parameter", 0, 1e6, NULL},
        {"milestones", CLI_INTS, &a.milestones, "N,N,...",
         "after so many epochs the learning rate is multiplied by gamma; by default the recipe's, scaled to --epochs",
         1, 1000000, NULL},
        {"gamma", CLI_REAL, &a.gamma, "X", "1 keeps the learning rate as it is", 1e-30, 1e6, NULL},
        {"label-smoothing", CLI_REAL, &a.label_smoothing, "X", "from 0 to 1 (default 0)", 0, 1, NULL},
        {"hparams", CLI_TEXT, &a.hparams, "JSON",
         "hyper-parameters of the network to change, as in "
         "'{\"act_fn_name\": \"gelu\"}'",
         0, 0, NULL},
        {"val-split", CLI_REAL, &a.validation, "F|N",
         "hold back this share, or this number, of the training images for validation (default 0.1); 0 trains on all "
         "of "
         "them and keeps the last weights",
         0, 1e9, NULL},
        {"normalize", CLI_TEXT, &a.normalize, "HOW",
         "dataset (computed), cifar10 (published values), or means/deviations as in 0.5,0.5,0.5/0.2,0.2,0.2; default: "
         "cifar10 for the CIFAR-10 layout, else dataset",
         0, 0, NULL},
        {"seed", CLI_INT, &a.seed, "N", "of weights, split, order and augmentation (default 42)", 0, max_seed, NULL},
        {"device", CLI_TEXT, &a.device, "DEVICE",
         "index as in 0:0, cpu, gpu, or a part of the name (see cltrain devices); default: discrete GPU, integrated "
         "GPU, "
         "CPU",
         0, 0, NULL},
        {"workers", CLI_INT, &a.workers, "N", "threads that prepare batches (default 2)", 0, 64, NULL},
        {"out", CLI_TEXT, &a.out, "DIR", "where to write (default runs/<model>, or the next that is free)", 0, 0, NULL},
        {"quiet", CLI_FLAG, &a.quiet, NULL, "print the result only", 0, 0, NULL},
        {"variant", CLI_TEXT, &a.variant, "NAME", "use this kernel variant wherever it can serve", 0, 0, NULL},
        {"print-graph", CLI_FLAG, &a.print_graph, NULL, "print the graph of operators", 0, 0, NULL},
        {"print-plan", CLI_FLAG, &a.print_plan, NULL, "print the steps of the training plan", 0, 0, NULL},
        {.name = NULL}};
    const cli_command command = {CLI_PROGRAM, "fit", summary, NULL, options};
    cli_parsed parsed = cli_parse(&command, argc, argv, NULL);
    if (parsed != CLI_RUN)
        return parsed == CLI_HELP ? CLN_OK : CLN_INVALID_ARGUMENT;
    if (!a.model || !a.data)
        return cli_misuse(&command, "--%s is missing", a.model ? "data" : "model");
    cln_optimizer_kind kind = a.optimizer >= 0 ? kinds[a.optimizer] : a.model->recipe->optimizer.kind;
    if (kind != CLN_SGD && (a.nesterov || !isnan(a.momentum)))
        return cli_misuse(&command, "--%s is for --optimizer sgd", a.nesterov ? "nesterov" : "momentum");
    cln_context *ctx;
    if (cln_context_new(&ctx) != CLN_OK)
        return report_no_memory(CLI_PROGRAM);
    int exit_status = report_end(CLI_PROGRAM, ctx, run(ctx, &a));
    cln_context_free(ctx);
    return exit_status;
}
