/* cltrain test and cltrain validate: what the network of a weights file gets right and wrong on a data set. */
#include "clnet/plot.h"
#include "commands.h"
#include "config.h"
#include "evaluation.h"
#include "report.h"
#include "tuning.h"

#include <string.h>

typedef struct arguments {
    cln_evaluate_options evaluate;
    tuning_options tuning;
    const char *device, *csv, *confusion, *predictions, *misclassified;
    int64_t batch_size, workers, top_k;
    cln_ints image_size;
    int split;
    bool json;
    cli_config config;
} arguments;

enum { TEST, VALIDATION }; /* indices of these */
static const char *const splits[] = {"test", "val", "train", NULL};
static const cln_subset subsets[] = {CLN_SUBSET_TEST, CLN_SUBSET_VALIDATION, CLN_SUBSET_TRAINING};

static bool is_csv(const char *path) {
    size_t length = strlen(path);
    return length > 4 && strcmp(path + length - 4, ".csv") == 0;
}

/* --- files --- */

static cln_status write_confusion(cln_context *ctx, const cln_evaluation *e, const char *path) {
    return is_csv(path) ? cln_evaluation_write_confusion(ctx, e, path) : cln_plot_confusion(ctx, e, path);
}

typedef struct file {
    const char *path; /* NULL: not asked for */
    const char *what;
    cln_status (*write)(cln_context *ctx, const cln_evaluation *e, const char *path);
} file;

static cln_status write_files(cln_context *ctx, const arguments *a, const cln_evaluation *e) {
    const file files[] = {{a->csv, "classes", cln_evaluation_write_classes},
                          {a->confusion, "confusion matrix", write_confusion},
                          {a->predictions, "predictions", cln_evaluation_write_predictions},
                          {a->misclassified, "mistakes", cln_plot_mistakes}};
    bool first = true;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (!files[i].path)
            continue;
        cln_status status = files[i].write(ctx, e, files[i].path);
        if (status != CLN_OK)
            return status;
        if (!a->json)
            printf("%s%s: %s\n", first ? "\n" : "", files[i].what, files[i].path);
        first = false;
    }
    return CLN_OK;
}

/* --- the command --- */

static int run(cln_context *ctx, arguments *a) {
    cln_evaluation *evaluation = NULL;
    cln_device *device = NULL;
    cln_evaluate_options *o = &a->evaluate;
    o->models = cln_models(&o->model_count);
    o->subset = subsets[a->split];
    o->batch_size = (int)a->batch_size;
    o->workers = (int)a->workers;
    o->tuned = !a->tuning.none;
    o->tuning = a->tuning.path;
    o->image_height = a->image_size.values[0];
    o->image_width = a->image_size.values[a->image_size.count > 1];
    o->top_k = (int)a->top_k;
    cln_status status = report_open_device(ctx, a->device, a->json ? stderr : stdout, &device);
    if (status == CLN_OK)
        status = cln_evaluation_new(ctx, device, o, &evaluation);
    int printed = CLN_OK;
    if (status == CLN_OK && a->json)
        printed = report_json(CLI_PROGRAM, evaluation_json(evaluation));
    else if (status == CLN_OK)
        evaluation_print(evaluation);
    if (status == CLN_OK)
        status = write_files(ctx, a, evaluation);
    int exit_status = report_end(CLI_PROGRAM, ctx, status);
    cln_evaluation_free(evaluation);
    cln_device_free(device);
    return exit_status ? exit_status : printed;
}

#define AT(member) offsetof(arguments, member)

static const cli_option options[] = {
    {"weights", CLI_TEXT, AT(evaluate.weights), "FILE",
     "required: weights: safetensors, or a PyTorch checkpoint (.ckpt, .pt, .pth)", 0, 0, NULL},
    {"data", CLI_TEXT, AT(evaluate.data), "PATH", "required: a data set as for cltrain fit", 0, 0, NULL},
    {"split", CLI_CHOICE, AT(split), "SPLIT",
     "test, val (what its training held back) or train (the rest of the training set); default: test, or val for "
     "cltrain validate",
     0, 0, splits},
    CLI_SPLIT_INDICES(AT(evaluate.split_indices)),
    {"val-split", CLI_REAL, AT(evaluate.validation), "F|N",
     "with --split-indices: the share or number that was held back (default: as the weights say, else 0.1)", 1e-9, 1e9,
     NULL},
    CLI_IMAGE_SIZE(AT(image_size)),
    {"topk", CLI_INT, AT(top_k), "K", "also tell how often the right class is among the K most probable (default 5)", 1,
     1000000, NULL},
    {"json", CLI_FLAG, AT(json), NULL, "print JSON; the device is then told on standard error", 0, 0, NULL},
    {"csv", CLI_TEXT, AT(csv), "FILE", "write a line for each class: images, accuracy, precision, F1", 0, 0, NULL},
    {"confusion", CLI_TEXT, AT(confusion), "FILE",
     "write the confusion matrix: as a picture (.png, .svg) or as numbers (.csv)", 0, 0, NULL},
    {"predictions", CLI_TEXT, AT(predictions), "FILE",
     "write a line for each image: index, label, prediction, probability (CSV)", 0, 0, NULL},
    {"misclassified", CLI_TEXT, AT(misclassified), "FILE",
     "draw the most confident mistakes, with predicted and true class (.png, .svg)", 0, 0, NULL},
    {"device", CLI_TEXT, AT(device), "DEVICE", "index as in 0:0, cpu, gpu, or a part of the name", 0, 0, NULL},
    {"batch-size", CLI_INT, AT(batch_size), "N", "images in a step (default 128)", 1, 1 << 24, NULL},
    {"model", CLI_MODEL, AT(evaluate.model), "NAME", "the network, if not the one that the file names", 0, 0, NULL},
    {"hparams", CLI_JSON, AT(evaluate.hparams), "JSON", "its hyper-parameters, if not those of the file", 0, 0, NULL},
    {"normalize", CLI_TEXT, AT(evaluate.normalize), "HOW", "as in cltrain fit, if not as the file says", 0, 0, NULL},
    {"workers", CLI_INT, AT(workers), "N", "threads that prepare batches (default 2)", 0, 64, NULL},
    {"variant", CLI_TEXT, AT(evaluate.variant), "NAME", "use this kernel variant wherever it can serve", 0, 0, NULL},
    TUNING_CLI(arguments, tuning),
    CLI_CONFIG_ROWS(arguments, config),
    {.name = NULL}};

/* Before anything is computed: what could not be written or understood. */
static int check(const cli_command *command, const arguments *a) {
    const cln_evaluate_options *o = &a->evaluate;
    if (!o->weights || !o->data)
        return cli_misuse(command, "--%s is missing", o->weights ? "data" : "weights");
    if (o->validation > 0 && !o->split_indices)
        return cli_misuse(command, "--val-split is for --split-indices");
    if (a->image_size.count > 2)
        return cli_misuse(command, "--image-size: expected N or H,W, found %d numbers", a->image_size.count);
    if (a->confusion && !is_csv(a->confusion) && !cln_plot_can_write(a->confusion))
        return cli_misuse(command, "--confusion: expected a file that ends in .csv, .png or .svg, found '%s'",
                          a->confusion);
    if (a->misclassified && !cln_plot_can_write(a->misclassified))
        return cli_misuse(command, "--misclassified: expected a file that ends in .png or .svg, found '%s'",
                          a->misclassified);
    return CLN_OK;
}

static int test(const cli_command *command, arguments *a) {
    if (a->config.print)
        return cli_config_print(command, a, stdout) ? CLN_OK : report_no_memory(CLI_PROGRAM);
    int exit_status = check(command, a);
    cln_context *ctx;
    if (exit_status != CLN_OK)
        return exit_status;
    if (cln_context_new(&ctx) != CLN_OK)
        return report_no_memory(CLI_PROGRAM);
    exit_status = run(ctx, a);
    cln_context_free(ctx);
    return exit_status;
}

static int run_command(const cli_command *command, int split, int argc, char **argv) {
    arguments a = {.batch_size = 128, .workers = 2, .top_k = 5, .split = split};
    int exit_status;
    if (cli_parse(command, &a, argc, argv, NULL, &exit_status))
        exit_status = test(command, &a);
    cli_config_free(&a.config);
    return exit_status;
}

static int run_test(int argc, char **argv) {
    return run_command(&test_command, TEST, argc, argv);
}

static int run_validate(int argc, char **argv) {
    return run_command(&validate_command, VALIDATION, argc, argv);
}

const cli_command test_command = {
    CLI_PROGRAM,
    "test",
    "test a weights file on a data set",
    "Rebuilds the network of a weights file and tells what it gets right on a data set: accuracy, loss, top-k "
    "accuracy,\n"
    "the expected calibration error (Guo et al. 2017, 15 bins), scores of each class, the confusion matrix.",
    NULL,
    CLI_ONE_GROUP(options),
    run_test};

const cli_command validate_command = {
    CLI_PROGRAM,
    "validate",
    "test weights on the images that their training held back",
    "As cltrain test, on the images that the training of the weights held back for validation.",
    NULL,
    CLI_ONE_GROUP(options),
    run_validate};
