/* cltrain export: a weights file as safetensors or as an ONNX model. Host only. */
#include "clnet/export.h"
#include "commands.h"
#include "config.h"
#include "options.h"
#include "report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    cln_export_options export;
    const char *out;
    cln_ints image_size;
    int format, dtype;
    bool quiet;
    cli_config config;
} arguments;

enum { UNSAID = -1 };
static const char *const formats[] = {"safetensors", "onnx", NULL};
static const char *const dtypes[] = {"fp32", "fp16", "bf16", NULL};
static const cln_dtype dtype_values[] = {CLN_F32, CLN_F16, CLN_BF16};

/* --- the file's name --- */

/* Where the ending of `path` begins, with its dot; at the end if it has none. */
static const char *ending(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    return dot && dot != name ? dot : path + strlen(path);
}

static int format_of(const char *out) {
    const char *dot = out ? ending(out) : "";
    for (int i = 0; *dot && formats[i]; i++)
        if (strcmp(dot + 1, formats[i]) == 0)
            return i;
    return UNSAID;
}

/* The weights' name with the format's ending; malloc'ed. */
static char *default_out(const char *weights, int format) {
    size_t stem = (size_t)(ending(weights) - weights), size = stem + strlen(formats[format]) + 2;
    char *out = malloc(size);
    if (out)
        snprintf(out, size, "%.*s.%s", (int)stem, weights, formats[format]);
    return out;
}

/* --- the command --- */

static void print(const arguments *a, const cln_export_result *r) {
    char parameters[32], bytes[32];
    printf("%s: %s, %s parameters, %s\n", a->export.out, r->model->name, report_count(r->parameters, parameters),
           report_bytes(r->bytes, bytes));
    if (a->export.format == CLN_EXPORT_ONNX)
        printf("input: %s [batch, %" PRId64 ", %" PRId64 ", %" PRId64 "]%s; logits: float32 [batch, %" PRId64 "]\n",
               a->export.with_normalization ? "uint8" : "float32", r->input.c, r->input.h, r->input.w,
               a->export.with_normalization ? "" : ", normalised", r->output.c);
}

static int run(cln_context *ctx, arguments *a) {
    cln_export_result result;
    cln_export_options *o = &a->export;
    o->models = cln_models(&o->model_count);
    o->format = a->format == 1 ? CLN_EXPORT_ONNX : CLN_EXPORT_SAFETENSORS;
    o->dtype = dtype_values[a->dtype == UNSAID ? 0 : a->dtype];
    o->image_height = a->image_size.values[0];
    o->image_width = a->image_size.values[a->image_size.count > 1];
    char *out = a->out ? NULL : default_out(o->weights, a->format);
    o->out = a->out ? a->out : out;
    cln_status status = o->out ? cln_export(ctx, o, &result) : CLN_OUT_OF_MEMORY;
    int exit_status = report_end(CLI_PROGRAM, ctx, status);
    if (status == CLN_OK && !a->quiet)
        print(a, &result);
    free(out);
    return exit_status;
}

#define AT(member) offsetof(arguments, member)

static const cli_option options[] = {
    {"weights", CLI_TEXT, AT(export.weights), "FILE",
     "required: weights: safetensors (a run's resume.safetensors too), or a PyTorch checkpoint (.ckpt, .pt, .pth)", 0,
     0, NULL},
    {"format", CLI_CHOICE, AT(format), "FORMAT",
     "safetensors (parameters and running statistics by PyTorch's names) or onnx (the network in evaluation); default: "
     "as "
     "--out ends",
     0, 0, formats},
    {"out", CLI_TEXT, AT(out), "FILE", "the file to write (default: that of the weights with another ending)", 0, 0,
     NULL},
    {"model", CLI_MODEL, AT(export.model), "NAME", "the network, if not the one that the file names", 0, 0, NULL},
    {"hparams", CLI_JSON, AT(export.hparams), "JSON", "its hyper-parameters, if not those of the file", 0, 0, NULL},
    {"image-size", CLI_INTS, AT(image_size), "N|H,W", "size of its images (default: as the file says, else 32)", 1,
     4096, NULL},
    {"normalize", CLI_TEXT, AT(export.normalize), "HOW",
     "how its images are normalised, if not as the file says: cifar10 or M1,M2,M3/S1,S2,S3", 0, 0, NULL},
    {"dtype", CLI_CHOICE, AT(dtype), "TYPE", "of safetensors: fp32 (default), fp16 or bf16", 0, 0, dtypes},
    {"fold-batchnorm", CLI_FLAG, AT(export.fold_batchnorm), NULL,
     "of onnx: put batch normalisations into the convolutions before them", 0, 0, NULL},
    {"with-normalization", CLI_FLAG, AT(export.with_normalization), NULL,
     "of onnx: take images as uint8, as they are in image files, and normalise them in the model", 0, 0, NULL},
    {"quiet", CLI_FLAG, AT(quiet), NULL, "print nothing", 0, 0, NULL},
    CLI_CONFIG_ROWS(arguments, config),
    {.name = NULL}};

static bool check(arguments *a) {
    const cln_export_options *o = &a->export;
    const cli_command *command = &export_command;
    if (a->format == UNSAID)
        a->format = format_of(a->out);
    if (!o->weights)
        cli_misuse(command, "--weights is missing");
    else if (a->format == UNSAID)
        cli_misuse(command, "--format is missing, and --out does not end in .safetensors or .onnx");
    else if (a->format == 0 && (o->fold_batchnorm || o->with_normalization))
        cli_misuse(command, "--%s is for --format onnx", o->fold_batchnorm ? "fold-batchnorm" : "with-normalization");
    else if (a->format == 1 && a->dtype != UNSAID)
        cli_misuse(command, "--dtype is for --format safetensors");
    else if (a->image_size.count > 2)
        cli_misuse(command, "--image-size: expected N or H,W, found %d numbers", a->image_size.count);
    else
        return true;
    return false;
}

static int export(arguments *a) {
    if (a->config.print)
        return cli_config_print(&export_command, a, stdout) ? CLN_OK : report_no_memory(CLI_PROGRAM);
    if (!check(a))
        return CLN_INVALID_ARGUMENT;
    cln_context *ctx;
    if (cln_context_new(&ctx) != CLN_OK)
        return report_no_memory(CLI_PROGRAM);
    int exit_status = run(ctx, a);
    cln_context_free(ctx);
    return exit_status;
}

static int run_command(int argc, char **argv) {
    arguments a = {.format = UNSAID, .dtype = UNSAID};
    int exit_status;
    if (cli_parse(&export_command, &a, argc, argv, NULL, &exit_status))
        exit_status = export(&a);
    cli_config_free(&a.config);
    return exit_status;
}

const cli_command export_command = {CLI_PROGRAM,
                                    "export",
                                    "write a network for other programs: as safetensors or ONNX",
                                    "Writes a trained network for other programs. Needs no OpenCL device.",
                                    NULL,
                                    CLI_ONE_GROUP(options),
                                    run_command};
