/* cltrain test: the score of a weights file on a data set. */
#include "commands.h"
#include "config.h"
#include "report.h"
#include "tuning.h"

typedef struct arguments {
    cln_evaluate_options evaluate;
    tuning_options tuning;
    const char *device;
    int64_t batch_size, workers;
    cln_ints image_size;
    int split;
    bool json;
    cli_config config;
} arguments;

static const char *const splits[] = {"test", "val", "train", NULL};
static const cln_subset subsets[] = {CLN_SUBSET_TEST, CLN_SUBSET_VALIDATION, CLN_SUBSET_TRAINING};

static int print(const cln_score *score, bool json) {
    char correct[32], count[32];
    if (!json) {
        printf("%s of %s correct: accuracy %.2f%%, loss %.4f\n", report_count(score->correct, correct),
               report_count(score->count, count), 100 * score->accuracy, score->loss);
        return CLN_OK;
    }
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "correct", (double)score->correct);
    cJSON_AddNumberToObject(object, "count", (double)score->count);
    report_json_float(object, "accuracy", score->accuracy);
    report_json_float(object, "loss", score->loss);
    return report_json(CLI_PROGRAM, object);
}

static int run(cln_context *ctx, arguments *a) {
    cln_score score;
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
    cln_status status = report_open_device(ctx, a->device, a->json ? stderr : stdout, &device);
    if (status == CLN_OK)
        status = cln_evaluate(ctx, device, o, &score);
    int exit_status = report_end(CLI_PROGRAM, ctx, status);
    if (status == CLN_OK)
        exit_status = print(&score, a->json);
    cln_device_free(device);
    return exit_status;
}

#define AT(member) offsetof(arguments, member)

static const cli_option options[] = {
    {"weights", CLI_TEXT, AT(evaluate.weights), "FILE",
     "required: weights: safetensors, or a PyTorch checkpoint (.ckpt, .pt, .pth)", 0, 0, NULL},
    {"data", CLI_TEXT, AT(evaluate.data), "PATH", "required: a data set as for cltrain fit", 0, 0, NULL},
    {"split", CLI_CHOICE, AT(split), "SPLIT",
     "test, val (what its training held back) or train (the rest of the training set); default test", 0, 0, splits},
    CLI_SPLIT_INDICES(AT(evaluate.split_indices)),
    {"val-split", CLI_REAL, AT(evaluate.validation), "F|N",
     "with --split-indices: the share or number that was held back (default: as the weights say, else 0.1)", 1e-9, 1e9,
     NULL},
    CLI_IMAGE_SIZE(AT(image_size)),
    {"json", CLI_FLAG, AT(json), NULL, "print JSON; the device is then told on standard error", 0, 0, NULL},
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

static int test(arguments *a) {
    const cln_evaluate_options *o = &a->evaluate;
    if (a->config.print) {
        cli_config_print(&test_command, a, stdout);
        return CLN_OK;
    }
    if (!o->weights || !o->data)
        return cli_misuse(&test_command, "--%s is missing", o->weights ? "data" : "weights");
    if (o->validation > 0 && !o->split_indices)
        return cli_misuse(&test_command, "--val-split is for --split-indices");
    if (a->image_size.count > 2)
        return cli_misuse(&test_command, "--image-size: expected N or H,W, found %d numbers", a->image_size.count);
    cln_context *ctx;
    if (cln_context_new(&ctx) != CLN_OK)
        return report_no_memory(CLI_PROGRAM);
    int exit_status = run(ctx, a);
    cln_context_free(ctx);
    return exit_status;
}

static int run_command(int argc, char **argv) {
    arguments a = {.batch_size = 128, .workers = 2};
    int exit_status;
    if (cli_parse(&test_command, &a, argc, argv, NULL, &exit_status))
        exit_status = test(&a);
    cli_config_free(&a.config);
    return exit_status;
}

const cli_command test_command = {CLI_PROGRAM,
                                  "test",
                                  "test a weights file on a data set",
                                  "Rebuilds the network of a weights file and counts what it gets right on a data set.",
                                  NULL,
                                  CLI_ONE_GROUP(options),
                                  run_command};
