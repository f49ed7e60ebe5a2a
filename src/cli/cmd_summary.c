/* cltrain summary: the layers of a network. Host only. */
#include "commands.h"
#include "config.h"
#include "report.h"

#include <stdlib.h>

static int64_t total_multiply_adds(const cln_graph *g) {
    int64_t total = 0;
    for (int i = 0; i < cln_graph_layers(g); i++)
        total += cln_graph_layer(g, i).multiply_adds;
    return total;
}

static cJSON *layer_json(cln_layer layer) {
    cJSON *object = cJSON_CreateObject();
    double sides[3] = {(double)layer.output.c, (double)layer.output.h, (double)layer.output.w};
    cln__json_add(object, "name", cJSON_CreateString(layer.name));
    cln__json_add(object, "op", cJSON_CreateString(layer.op));
    cln__json_add(object, "output", cJSON_CreateDoubleArray(sides, 3));
    cln__json_add(object, "parameters", cJSON_CreateNumber((double)layer.parameters));
    cln__json_add(object, "multiply_adds", cJSON_CreateNumber((double)layer.multiply_adds));
    return object;
}

static cJSON *to_json(const cln_model *model, const cln_graph *g, const char *hparams) {
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "model", cJSON_CreateString(model->name));
    cln__json_add(object, "hparams", cJSON_CreateRaw(hparams));
    cJSON *layers = cln__json_add(object, "layers", cJSON_CreateArray());
    for (int i = 0; layers && i < cln_graph_layers(g); i++)
        cln__json_append(layers, layer_json(cln_graph_layer(g, i)));
    cln__json_add(object, "parameters", cJSON_CreateNumber((double)cln_graph_parameters(g)));
    cln__json_add(object, "multiply_adds", cJSON_CreateNumber((double)total_multiply_adds(g)));
    return object;
}

typedef struct arguments {
    const cln_model *model;
    const char *hparams;
    bool json, print_graph;
    cli_config config;
} arguments;

/* *exit_status is set where something was to be printed. */
static cln_status summarize(cln_context *ctx, cln_graph *g, const arguments *a, int *exit_status) {
    void *hparams;
    cln_status status = cln_hparams_new(ctx, a->model, a->hparams, &hparams);
    if (status != CLN_OK)
        return status;
    a->model->build(g, cln_input(g, "image", 1, 3, 32, 32), hparams);
    char *text = cln_hparams_print(a->model, hparams);
    status = cln_graph_status(g);
    if (status == CLN_OK && !text)
        status = CLN_OUT_OF_MEMORY;
    if (status == CLN_OK && a->print_graph)
        cln_graph_print(g, stdout);
    else if (status == CLN_OK && a->json)
        *exit_status = report_json(CLI_PROGRAM, to_json(a->model, g, text));
    else if (status == CLN_OK)
        cln_graph_print_summary(g, a->model->name, stdout);
    free(text);
    free(hparams);
    return status;
}

#define AT(member) offsetof(arguments, member)

static const cli_option options[] = {
    {"model", CLI_MODEL, AT(model), "NAME", "required: the network (see cltrain models)", 0, 0, NULL},
    {"hparams", CLI_JSON, AT(hparams), "JSON", "hyper-parameters to change, as in '{\"num_blocks\": [5,5,5]}'", 0, 0,
     NULL},
    {"json", CLI_FLAG, AT(json), NULL, "print JSON", 0, 0, NULL},
    {"print-graph", CLI_FLAG, AT(print_graph), NULL, "print the graph of operators instead", 0, 0, NULL},
    CLI_CONFIG_ROWS(arguments, config),
    {.name = NULL}};

static int summary(const arguments *a) {
    if (a->config.print)
        return cli_config_print(&summary_command, a, stdout) ? CLN_OK : report_no_memory(CLI_PROGRAM);
    if (!a->model)
        return cli_misuse(&summary_command, "--model is missing");
    cln_context *ctx;
    if (cln_context_new(&ctx) != CLN_OK)
        return report_no_memory(CLI_PROGRAM);
    int exit_status = CLN_OK;
    cln_graph *g = cln_graph_new(ctx);
    cln_status status = g ? summarize(ctx, g, a, &exit_status) : CLN_OUT_OF_MEMORY;
    int reported = report_end(CLI_PROGRAM, ctx, status);
    cln_graph_free(g);
    cln_context_free(ctx);
    return reported ? reported : exit_status;
}

static int run_command(int argc, char **argv) {
    arguments a = {.model = NULL};
    int exit_status;
    if (cli_parse(&summary_command, &a, argc, argv, NULL, &exit_status))
        exit_status = summary(&a);
    cli_config_free(&a.config);
    return exit_status;
}

const cli_command summary_command = {
    CLI_PROGRAM,
    "summary",
    "list the layers of a network; needs no OpenCL device",
    "Lists the layers of a network: output shapes (channels x height x width), trainable "
    "parameters,\nmultiply-adds of convolutions and linear layers for one image.",
    NULL,
    CLI_ONE_GROUP(options),
    run_command};
