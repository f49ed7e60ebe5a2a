/* cltrain models: the registry, with sizes, hyper-parameters and recipes. */
#include "commands.h"
#include "fit.h"
#include "options.h"
#include "report.h"

#include <stdlib.h>

static cln_status count_parameters(cln_context *ctx, const cln_model *model, int64_t *out) {
    cln_graph *g = cln_graph_new(ctx);
    if (!g)
        return CLN_OUT_OF_MEMORY;
    model->build(g, cln_input(g, "image", 1, 3, 32, 32), model->defaults);
    cln_status status = cln_graph_status(g);
    *out = cln_graph_parameters(g);
    cln_graph_free(g);
    return status;
}

static void print(const cln_model *model, int64_t parameters, const char *hparams) {
    const cln_recipe *r = model->recipe;
    char count[32];
    printf("%s: %s\n", model->name, model->description);
    printf("  %s parameters on 32x32 colour images of 10 classes\n", report_count(parameters, count));
    printf("  hparams: %s\n", hparams);
    printf("  recipe: %s, lr %g, weight decay %g, batch size %d, %d epochs, lr x%g after epochs",
           fit_optimizer_name(r->optimizer.kind), (double)r->learning_rate, (double)r->optimizer.weight_decay,
           r->batch_size, r->epochs, (double)r->gamma);
    for (int i = 0; i < r->milestones.count; i++)
        printf("%s %d", i ? "," : "", r->milestones.values[i]);
    printf("\n");
}

static cJSON *to_json(const cln_model *model, int64_t parameters, const char *hparams) {
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "name", cJSON_CreateString(model->name));
    cln__json_add(object, "description", cJSON_CreateString(model->description));
    cln__json_add(object, "parameters", cJSON_CreateNumber((double)parameters));
    cln__json_add(object, "hparams", cJSON_CreateRaw(hparams));
    return object;
}

typedef struct arguments {
    bool json;
} arguments;

#define AT(member) offsetof(arguments, member)

static const cli_option options[] = {{.name = "json", .offset = AT(json), .help = "print JSON, an array"},
                                     {.name = NULL}};

static int run_command(int argc, char **argv) {
    arguments a = {.json = false};
    int exit_status;
    if (!cli_parse(&models_command, &a, argc, argv, NULL, &exit_status))
        return exit_status;
    cln_context *ctx;
    if (cln_context_new(&ctx) != CLN_OK)
        return report_no_memory(CLI_PROGRAM);
    int count;
    const cln_model *const *models = cln_models(&count);
    cJSON *array = a.json ? cJSON_CreateArray() : NULL;
    cln_status status = CLN_OK;
    for (int i = 0; status == CLN_OK && i < count; i++) {
        int64_t parameters = 0;
        char *hparams = cln_hparams_print(models[i], models[i]->defaults);
        status = hparams ? count_parameters(ctx, models[i], &parameters) : CLN_OUT_OF_MEMORY;
        if (status == CLN_OK && a.json)
            cln__json_append(array, to_json(models[i], parameters, hparams));
        else if (status == CLN_OK)
            print(models[i], parameters, hparams);
        free(hparams);
    }
    exit_status = report_end(CLI_PROGRAM, ctx, status);
    if (a.json && status == CLN_OK)
        exit_status = report_json(CLI_PROGRAM, array);
    else
        cJSON_Delete(array);
    cln_context_free(ctx);
    return exit_status;
}

const cli_command models_command = {CLI_PROGRAM,
                                    "models",
                                    "list the networks that can be trained",
                                    "Lists the networks that --model takes.",
                                    NULL,
                                    CLI_ONE_GROUP(options),
                                    run_command};
