/* cltrain fit: the options of a training run, resolved against the model's recipe, handed to cln_fit. */
#include "commands.h"
#include "interrupt.h"
#include "options.h"
#include "progress.h"
#include "report.h"
#include "tuning.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const double max_seed = 9007199254740992.0; /* 2^53: every whole number up to it is a double */

/* As given; what was not is NULL, NAN, -1 or an empty list, and comes from the recipe. */
typedef struct arguments {
    const cln_model *model;
    const char *data, *device, *out, *hparams, *normalize, *variant, *resume, *split_indices, *pretrained;
    int64_t epochs, batch_size, seed, workers, top_k;
    int optimizer, monitor, mode;
    double lr, momentum, weight_decay, gamma, label_smoothing, validation, save_every;
    cln_ints milestones, image_size;
    tuning_options tuning;
    double budget_s;
    bool benchmark;
    bool nesterov, quiet, print_graph, print_plan, last, no_last;
    int argc;
    char **argv;
} arguments;

static const char *const optimizers[] = {"sgd", "adam", "adamw", NULL};
static const cln_optimizer_kind kinds[] = {CLN_SGD, CLN_ADAM, CLN_ADAMW};
static const char *const monitors[] = {"val_acc", "val_loss", "train_acc", "train_loss", NULL};
static const char *const modes[] = {"max", "min", NULL};

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
static const char *free_folder(const char *model, char out[INTERRUPT_PATH]) {
    struct stat info;
    snprintf(out, INTERRUPT_PATH, "runs/%s", model);
    for (int i = 2; i < 10000 && stat(out, &info) == 0; i++)
        snprintf(out, INTERRUPT_PATH, "runs/%s-%d", model, i);
    return out;
}

static const char *optimizer_name(cln_optimizer_kind kind) {
    for (int i = 0; optimizers[i]; i++)
        if (kinds[i] == kind)
            return optimizers[i];
    return NULL;
}

static void show_recipe(const cln_fit_options *o) {
    const cln_recipe *r = &o->recipe;
    printf("model: %s; %s, lr %g, ", o->model->name, optimizer_name(r->optimizer.kind), (double)r->learning_rate);
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

/* Where to write and what to go on from. */
static void choose_paths(const arguments *a, cln_fit_options *o, char folder[INTERRUPT_PATH],
                         char state[INTERRUPT_PATH]) {
    o->out = a->out ? a->out : a->resume ? interrupt_folder(a->resume, folder) : free_folder(a->model->name, folder);
    o->resume = a->resume ? interrupt_state(a->resume, o->out, state) : NULL;
    if (a->resume && !o->resume)
        fprintf(stderr, "%s: warning: there is nothing to resume in '%s': starting from the beginning\n", CLI_PROGRAM,
                o->out);
}

static void show_end(const arguments *a, const cln_fit_options *o, const cln_fit_result *result) {
    if (result->stopped) {
        printf("stopped; %d of %d epochs are complete. To go on:\n", result->epochs, o->recipe.epochs);
        interrupt_print_command(stdout, a->argc, a->argv, o->out);
        return;
    }
    progress_result(result);
    if (result->best_saved || !o->no_last)
        printf("%s/%s.safetensors\n", o->out, result->best_saved ? "best" : "last");
}

static cln_status run(cln_context *ctx, const arguments *a, bool *stopped) {
    char folder[INTERRUPT_PATH], state[INTERRUPT_PATH];
    void *hparams = NULL;
    cln_device *device = NULL;
    progress shown = progress_new(ctx, a->quiet);
    cln_fit_result result;
    const char *worker[TUNING_COMMAND];
    tuning_command(a->argv, worker);
    const cln_tune_options tune = {.path = a->tuning.path,
                                   .worker = worker,
                                   .budget_s = a->budget_s,
                                   .should_stop = interrupt_asked,
                                   .on_event = a->quiet ? NULL : tuning_show};
    cln_fit_options options = {
        .model = a->model,
        .recipe = make_recipe(a),
        .label_smoothing = (float)a->label_smoothing,
        .data = a->data,
        .normalize = a->normalize,
        .validation = a->validation,
        .split_indices = a->split_indices,
        .image_height = a->image_size.values[0],
        .image_width = a->image_size.values[a->image_size.count > 1],
        .seed = (uint64_t)a->seed,
        .workers = (int)a->workers,
        .monitor = (cln_monitor)(a->monitor + 1), /* -1: the default, which is 0 */
        .mode = (cln_mode)(a->mode + 1),
        .top_k = a->top_k == 0 ? -1 : (int)a->top_k,
        .no_last = a->no_last,
        .save_every_s = fmax(a->save_every, 1e-9), /* 0: after each step */
        .should_stop = interrupt_asked,
        .variant = a->variant,
        .tuned = !a->tuning.none,
        .tuning = a->tuning.path,
        .tune = a->benchmark ? &tune : NULL,
        .graph_out = a->print_graph ? stdout : NULL,
        .plan_out = a->print_plan ? stdout : NULL,
        .on_event = progress_show,
        .user = &shown,
    };
    cln_status status = cln_hparams_new(ctx, a->model, a->hparams, &hparams);
    options.hparams = hparams;
    choose_paths(a, &options, folder, state);
    if (status == CLN_OK)
        status = report_open_device(ctx, a->device, a->quiet ? stderr : stdout, &device);
    if (status == CLN_OK && !a->quiet)
        show_recipe(&options);
    interrupt_install();
    if (status == CLN_OK)
        status = cln_fit(ctx, device, &options, &result);
    *stopped = status == CLN_OK && result.stopped;
    if (status != CLN_OK || *stopped)
        progress_stop(&shown);
    if (status == CLN_OK)
        show_end(a, &options, &result);
    cln_device_free(device);
    free(hparams);
    return status;
}

static void show_record(const char *path, const cln_training_record *r) {
    const char *optimizer = optimizer_name(r->optimizer.kind);
    printf("weights: %s: %s", path, r->model[0] ? r->model : "they do not name their model");
    if (r->epochs > 0)
        printf(", %d epoch%s", r->epochs, r->epochs == 1 ? "" : "s");
    if (optimizer)
        printf("%s %s, lr %g", r->epochs > 0 ? " of" : ",", optimizer, (double)r->learning_rate);
    printf("\n");
}

/* --pretrained: in place of training, the scores of a file's weights. */
static cln_status score_pretrained(cln_context *ctx, cln_device *device, const arguments *a) {
    cln_training_record record;
    cln_score validation = {.count = 0}, test;
    cln_evaluate_options o = {.weights = a->pretrained,
                              .data = a->data,
                              .image_height = a->image_size.values[0],
                              .image_width = a->image_size.values[a->image_size.count > 1],
                              .subset = CLN_SUBSET_VALIDATION,
                              .split_indices = a->split_indices,
                              .validation = a->validation,
                              .draw_split = true,
                              .seed = (uint64_t)a->seed,
                              .model = a->model,
                              .hparams = a->hparams,
                              .normalize = a->normalize,
                              .batch_size = a->batch_size > 0 ? (int)a->batch_size : 128,
                              .workers = (int)a->workers,
                              .variant = a->variant,
                              .tuned = !a->tuning.none,
                              .tuning = a->tuning.path};
    o.models = cln_models(&o.model_count);
    cln_status status = cln_training_record_read(ctx, o.weights, &record);
    if (status == CLN_OK && !a->quiet)
        show_record(o.weights, &record);
    bool validate = a->validation > 0 && (a->split_indices || !record.has_split || record.validation_images > 0);
    if (status == CLN_OK && validate && !a->quiet && !a->split_indices && !record.has_split)
        printf("validation: the file does not say which images its training held back; those of seed %lld are drawn\n",
               (long long)a->seed);
    if (status == CLN_OK && validate)
        status = cln_evaluate(ctx, device, &o, &validation);
    o.subset = CLN_SUBSET_TEST;
    if (status == CLN_OK)
        status = cln_evaluate(ctx, device, &o, &test);
    if (status == CLN_OK)
        progress_scores(&validation, &test);
    return status;
}

static cln_status run_pretrained(cln_context *ctx, const arguments *a) {
    cln_device *device = NULL;
    cln_status status = report_open_device(ctx, a->device, a->quiet ? stderr : stdout, &device);
    if (status == CLN_OK)
        status = score_pretrained(ctx, device, a);
    cln_device_free(device);
    return status;
}

static const char *const summary =
    "Trains a network on a data set and tests it. What is not given is the model's recipe (see cltrain models).\n"
    "Writes best.safetensors (the best epoch in validation), last.safetensors and metrics.csv. The same options on\n"
    "the same device, and the same tuner's results (--no-tuning: none), give the same weights, byte for byte.\n\n"
    "Ctrl-C or SIGTERM saves after the step and ends with status 130 or 143. However a run ends, killed or cut off\n"
    "from power, the same command with --resume last goes on, to the same bytes.\n\n"
    "example: cltrain fit --model ResNet --data fashion-mnist --epochs 10 --out runs/first";

int cmd_fit(int argc, char **argv) {
    arguments a = {.epochs = -1,
                   .batch_size = -1,
                   .seed = 42,
                   .workers = 2,
                   .top_k = 1,
                   .optimizer = -1,
                   .monitor = -1,
                   .mode = -1,
                   .argc = argc,
                   .argv = argv,
                   .lr = NAN,
                   .momentum = NAN,
                   .weight_decay = NAN,
                   .gamma = NAN,
                   .save_every = 30,
                   .validation = 0.1};
    const cli_option options[] = {
        {"model", CLI_MODEL, &a.model, "NAME", "required: the network (see cltrain models)", 0, 0, NULL},
        {"data", CLI_TEXT, &a.data, "PATH",
         "required: a folder with CIFAR-10 or CIFAR-100 (binary), IDX files, or images as <split>/<class>/<image> with "
         "the splits train and test (or val); or fashion-mnist",
         0, 0, NULL},
        CLI_IMAGE_SIZE(&a.image_size),
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
        CLI_SPLIT_INDICES(&a.split_indices),
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
        {"resume", CLI_TEXT, &a.resume, "last|PATH",
         "go on with a run from its resume.safetensors (or the folder that holds it); last: from that in --out, or "
         "from the beginning if there is none. The other options must be those of the run; more --epochs are fine "
         "with the same --milestones",
         0, 0, NULL},
        {"pretrained", CLI_TEXT, &a.pretrained, "FILE",
         "do not train: validate and test these weights, safetensors or a PyTorch checkpoint (.ckpt, .pt, .pth). The "
         "model is the file's; for a bare state_dict, give --model",
         0, 0, NULL},
        {"monitor", CLI_CHOICE, &a.monitor, "METRIC",
         "what tells the best epoch: val_acc (default), val_loss, train_acc or train_loss", 0, 0, monitors},
        {"mode", CLI_CHOICE, &a.mode, "max|min", "which is better; default: max for accuracies, min for losses", 0, 0,
         modes},
        {"save-top-k", CLI_INT, &a.top_k, "K",
         "weights of how many best epochs to keep (default 1): the best as best.safetensors, with K above 1 each also "
         "as epoch=NN.safetensors; 0: none, and the last are tested",
         0, CLN_MAX_TOP_K, NULL},
        {"save-last", CLI_FLAG, &a.last, NULL, "write last.safetensors, as is the default", 0, 0, NULL},
        {"no-save-last", CLI_FLAG, &a.no_last, NULL, "do not write last.safetensors", 0, 0, NULL},
        {"save-every", CLI_REAL, &a.save_every, "SECONDS",
         "save the state for --resume this often within an epoch (default 30), besides after each", 0, 1e9, NULL},
        {"quiet", CLI_FLAG, &a.quiet, NULL, "print the result only", 0, 0, NULL},
        {"variant", CLI_TEXT, &a.variant, "NAME", "use this kernel variant wherever it can serve", 0, 0, NULL},
        {"benchmark", CLI_FLAG, &a.benchmark, NULL,
         "first measure the kernel variants of the steps that were never measured on this device (see clbench tune)", 0,
         0, NULL},
        {"budget", CLI_REAL, &a.budget_s, "SECONDS", "for --benchmark (default 600)", 1e-3, 1e6, NULL},
        TUNING_CLI(&a.tuning),
        {"print-graph", CLI_FLAG, &a.print_graph, NULL, "print the graph of operators", 0, 0, NULL},
        {"print-plan", CLI_FLAG, &a.print_plan, NULL, "print the steps of the training plan", 0, 0, NULL},
        {.name = NULL}};
    const cli_command command = {CLI_PROGRAM, "fit", summary, NULL, options};
    cli_parsed parsed = cli_parse(&command, argc, argv, NULL);
    if (parsed != CLI_RUN)
        return parsed == CLI_HELP ? CLN_OK : CLN_INVALID_ARGUMENT;
    if ((!a.model && !a.pretrained) || !a.data)
        return cli_misuse(&command, "--%s is missing", a.model || a.pretrained ? "data" : "model");
    if (a.image_size.count > 2)
        return cli_misuse(&command, "--image-size: expected N or H,W, found %d numbers", a.image_size.count);
    if (a.pretrained && a.resume)
        return cli_misuse(&command, "--pretrained and --resume exclude each other");
    cln_optimizer_kind kind = a.optimizer >= 0 ? kinds[a.optimizer]
                              : a.model        ? a.model->recipe->optimizer.kind
                                               : CLN_SGD;
    if (kind != CLN_SGD && (a.nesterov || !isnan(a.momentum)))
        return cli_misuse(&command, "--%s is for --optimizer sgd", a.nesterov ? "nesterov" : "momentum");
    if (a.resume && !a.out && strcmp(a.resume, "last") == 0)
        return cli_misuse(&command, "--resume last needs --out, the folder of the run");
    if (a.benchmark && (a.tuning.none || a.variant || a.pretrained))
        return cli_misuse(&command, "--benchmark excludes --no-tuning, --variant and --pretrained");
    if (a.budget_s > 0 && !a.benchmark)
        return cli_misuse(&command, "--budget is for --benchmark");
    if (a.last && a.no_last)
        return cli_misuse(&command, "--save-last and --no-save-last exclude each other");
    cln_context *ctx;
    bool stopped = false;
    if (cln_context_new(&ctx) != CLN_OK)
        return report_no_memory(CLI_PROGRAM);
    int exit_status = report_end(CLI_PROGRAM, ctx, a.pretrained ? run_pretrained(ctx, &a) : run(ctx, &a, &stopped));
    cln_context_free(ctx);
    return stopped ? 128 + interrupt_signal() : exit_status;
}
