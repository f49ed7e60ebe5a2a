/* cltrain predict: the most probable classes of image files. */
#include "commands.h"
#include "config.h"
#include "paths.h"
#include "report.h"
#include "tuning.h"

#include "clnet/evaluate.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_TOGETHER = 64 };
static const size_t most_pixels = (size_t)1 << 26; /* that are held at a time, or one image */

typedef struct arguments {
    cln_classifier_options classifier;
    tuning_options tuning;
    const char *device, *class_names;
    int64_t top_k;
    cln_ints image_size;
    bool json;
    cli_config config;
} arguments;

/* Images that are read and wait for the network. */
typedef struct batch {
    int count;
    size_t pixels;
    const char *path[MOST_TOGETHER];
    cln_image image[MOST_TOGETHER];
} batch;

typedef struct job {
    cln_context *ctx;
    const arguments *arguments;
    cln_classifier *classifier;
    int classes, top_k;
    float *probabilities; /* [MOST_TOGETHER][classes] */
    int *top;             /* [top_k] */
    batch batch;
    cJSON *images; /* NULL: print text */
    int failed;    /* the exit status of the first image that could not be read */
} job;

/* --- results --- */

static cJSON *prediction_json(const job *j, int class, double probability) {
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "class", cJSON_CreateString(cln_classifier_class_name(j->classifier, class)));
    cln__json_add(object, "index", cJSON_CreateNumber(class));
    report_json_float(object, "probability", probability);
    return object;
}

static void add_json(const job *j, const char *path, const float *probabilities) {
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "image", cJSON_CreateString(path));
    cJSON *list = cln__json_add(object, "predictions", cJSON_CreateArray());
    for (int i = 0; i < j->top_k; i++)
        cln__json_append(list, prediction_json(j, j->top[i], (double)probabilities[j->top[i]]));
    cln__json_append(j->images, object);
}

static void show(const job *j, const char *path, const float *probabilities) {
    cln_top_k(probabilities, j->classes, j->top_k, j->top);
    if (j->images) {
        add_json(j, path, probabilities);
        return;
    }
    printf("%s:", path);
    for (int i = 0; i < j->top_k; i++)
        printf("%s %s %.2f%%", i ? "," : "", cln_classifier_class_name(j->classifier, j->top[i]),
               100 * (double)probabilities[j->top[i]]);
    printf("\n");
}

/* An image that cannot be read: the others go on. */
static void fail_image(job *j, const char *path, cln_status status) {
    report_end(CLI_PROGRAM, j->ctx, status);
    j->failed = j->failed ? j->failed : (int)status;
    if (!j->images)
        return;
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "image", cJSON_CreateString(path));
    cln__json_add(object, "error", cJSON_CreateString(cln_context_error(j->ctx)));
    cln__json_append(j->images, object);
}

/* --- images --- */

static cln_status predict(job *j) {
    batch *b = &j->batch;
    cln_status status = cln_classifier_predict(j->classifier, b->image, b->count, j->probabilities);
    for (int i = 0; i < b->count; i++) {
        if (status == CLN_OK)
            show(j, b->path[i], j->probabilities + (size_t)i * (size_t)j->classes);
        cln_image_free(&b->image[i]);
    }
    *b = (batch){.count = 0};
    return status;
}

static cln_status take(job *j, const char *path) {
    batch *b = &j->batch;
    cln_image image;
    cln_status status = cln_image_read(j->ctx, path, &image);
    /* In the order of the files, also where one fails. */
    if (b->count > 0 && (status != CLN_OK || b->count == MOST_TOGETHER || b->pixels > most_pixels)) {
        cln_status predicted = predict(j);
        if (predicted != CLN_OK) {
            cln_image_free(&image);
            return predicted;
        }
    }
    if (status == CLN_OUT_OF_MEMORY)
        return status;
    if (status != CLN_OK) {
        fail_image(j, path, status);
        return CLN_OK;
    }
    b->pixels += (size_t)image.height * (size_t)image.width;
    b->path[b->count] = path;
    b->image[b->count++] = image;
    return CLN_OK;
}

static cln_status take_all(job *j, const paths *files) {
    for (size_t i = 0; i < files->count; i++) {
        cln_status status = take(j, files->at[i]);
        if (status != CLN_OK)
            return status;
    }
    return j->batch.count > 0 ? predict(j) : CLN_OK;
}

/* --- the command --- */

static cln_status classify(job *j, cln_device *device, const paths *files) {
    const arguments *a = j->arguments;
    cln_status status = cln_classifier_new(j->ctx, device, &a->classifier, &j->classifier);
    if (status != CLN_OK)
        return status;
    j->classes = cln_classifier_classes(j->classifier);
    j->top_k = a->top_k < j->classes ? (int)a->top_k : j->classes;
    j->probabilities = malloc((size_t)MOST_TOGETHER * (size_t)j->classes * sizeof *j->probabilities);
    j->top = malloc((size_t)j->top_k * sizeof *j->top);
    j->images = a->json ? cJSON_CreateArray() : NULL;
    if (!j->probabilities || !j->top || (a->json && !j->images))
        return CLN_OUT_OF_MEMORY;
    return take_all(j, files);
}

static int run(cln_context *ctx, arguments *a, const paths *files) {
    cln_device *device = NULL;
    cln_classifier_options *o = &a->classifier;
    job *j = calloc(1, sizeof *j);
    if (!j)
        return report_no_memory(CLI_PROGRAM);
    *j = (job){.ctx = ctx, .arguments = a};
    o->models = cln_models(&o->model_count);
    o->batch_size = files->count < MOST_TOGETHER ? (int)files->count : MOST_TOGETHER;
    o->tuned = !a->tuning.none;
    o->tuning = a->tuning.path;
    o->image_height = a->image_size.values[0];
    o->image_width = a->image_size.values[a->image_size.count > 1];
    cln_status status = report_open_device(ctx, a->device, stderr, &device);
    if (status == CLN_OK)
        status = classify(j, device, files);
    int exit_status = report_end(CLI_PROGRAM, ctx, status);
    if (status == CLN_OK && a->json)
        exit_status = report_json(CLI_PROGRAM, j->images);
    else
        cJSON_Delete(j->images);
    exit_status = exit_status ? exit_status : j->failed;
    for (int i = 0; i < j->batch.count; i++)
        cln_image_free(&j->batch.image[i]);
    cln_classifier_free(j->classifier);
    cln_device_free(device);
    free(j->probabilities);
    free(j->top);
    free(j);
    return exit_status;
}

#define AT(member) offsetof(arguments, member)

static const cli_option options[] = {
    {"weights", CLI_TEXT, AT(classifier.weights), "FILE",
     "required: weights: safetensors, or a PyTorch checkpoint (.ckpt, .pt, .pth)", 0, 0, NULL},
    {"topk", CLI_INT, AT(top_k), "K", "classes to tell of each image (default 5)", 1, 1000000, NULL},
    {"json", CLI_FLAG, AT(json), NULL, "print JSON, an array", 0, 0, NULL},
    {"class-names", CLI_TEXT, AT(class_names), "FILE", "a line for each class, if not the names in the weights", 0, 0,
     NULL},
    {"image-size", CLI_INTS, AT(image_size), "N|H,W", "of the network, if the weights do not say it", 1, 4096, NULL},
    {"normalize", CLI_TEXT, AT(classifier.normalize), "HOW",
     "cifar10 or means/deviations as in cltrain fit, if not as the weights say", 0, 0, NULL},
    {"device", CLI_TEXT, AT(device), "DEVICE", "index as in 0:0, cpu, gpu, or a part of the name", 0, 0, NULL},
    {"model", CLI_MODEL, AT(classifier.model), "NAME", "the network, if not the one that the weights name", 0, 0, NULL},
    {"hparams", CLI_JSON, AT(classifier.hparams), "JSON", "its hyper-parameters, if not those of the weights", 0, 0,
     NULL},
    {"variant", CLI_TEXT, AT(classifier.variant), "NAME", "use this kernel variant wherever it can serve", 0, 0, NULL},
    TUNING_CLI(arguments, tuning),
    CLI_CONFIG_ROWS(arguments, config),
    {.name = NULL}};

static int read_names(arguments *a, paths *names) {
    int exit_status = (int)paths_add_lines(names, a->class_names);
    a->classifier.class_names = (const char *const *)names->at;
    a->classifier.class_count = (int)names->count;
    if (exit_status == CLN_OK && names->count == 0)
        exit_status = cli_misuse(&predict_command, "--class-names: '%s' is empty", a->class_names);
    return exit_status;
}

static int with_files(arguments *a, int count, char **operands) {
    paths files = {.count = 0}, names = {.count = 0};
    cln_context *ctx = NULL;
    int exit_status = a->class_names ? read_names(a, &names) : CLN_OK;
    for (int i = 0; i < count && exit_status == CLN_OK; i++)
        exit_status = (int)paths_add(&files, operands[i]);
    if (exit_status == CLN_OK && files.count == 0)
        exit_status = cli_misuse(&predict_command, "there is no file in '%s'", operands[0]);
    if (exit_status == CLN_OK && cln_context_new(&ctx) != CLN_OK)
        exit_status = report_no_memory(CLI_PROGRAM);
    if (exit_status == CLN_OK)
        exit_status = run(ctx, a, &files);
    cln_context_free(ctx);
    paths_free(&files);
    paths_free(&names);
    return exit_status;
}

static int predict_files(arguments *a, int count, char **operands) {
    if (a->config.print)
        return cli_config_print(&predict_command, a, stdout) ? CLN_OK : report_no_memory(CLI_PROGRAM);
    if (!a->classifier.weights)
        return cli_misuse(&predict_command, "--weights is missing");
    if (count == 0)
        return cli_misuse(&predict_command, "no image is given");
    if (a->image_size.count > 2)
        return cli_misuse(&predict_command, "--image-size: expected N or H,W, found %d numbers", a->image_size.count);
    return with_files(a, count, operands);
}

static int run_command(int argc, char **argv) {
    arguments a = {.top_k = 5};
    int count, exit_status;
    if (cli_parse(&predict_command, &a, argc, argv, &count, &exit_status))
        exit_status = predict_files(&a, count, argv + 1);
    cli_config_free(&a.config);
    return exit_status;
}

const cli_command predict_command = {CLI_PROGRAM,
                                     "predict",
                                     "classify image files",
                                     "Classifies image files (JPEG, PNG, BMP, GIF, PNM, TGA, PSD, PIC, HDR) of any "
                                     "size, and those in folders. An image\n"
                                     "that cannot be read is told on standard error; the others go on, and the exit "
                                     "status is that of the first such.\n\n"
                                     "example: cltrain predict --weights runs/first/best.safetensors photos/*.jpg",
                                     "IMAGE|FOLDER...",
                                     CLI_ONE_GROUP(options),
                                     run_command};
