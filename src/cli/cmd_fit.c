/* cltrain fit: the options of a training run, resolved against the model's recipe, handed to cln_fit. */
#include "config.h"
#include "curves.h"
#include "fit.h"
#include "json_lines.h"
#include "progress.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>

static void show_recipe(const cln_fit_options *o) {
    const cln_recipe *r = &o->recipe;
    printf("model: %s; %s, lr %g, ", o->model->name, fit_optimizer_name(r->optimizer.kind), (double)r->learning_rate);
    float momentum = r->optimizer.kind == CLN_MUON ? r->optimizer.beta1 : r->optimizer.momentum;
    if (momentum > 0)
        printf("momentum %g%s, ", (double)momentum, r->optimizer.nesterov ? " (Nesterov)" : "");
    printf("weight decay %g, batches of %d, %d epoch%s", (double)r->optimizer.weight_decay, r->batch_size, r->epochs,
           r->epochs == 1 ? "" : "s");
    fit_show_schedule(r);
    if (r->optimizer.accumulate > 1)
        printf(", %d batches an update", r->optimizer.accumulate);
    if (r->model_ema_decay > 0)
        printf(", weights averaged with decay %g", r->model_ema_decay);
    if (r->optimizer.clip > 0)
        printf(", gradients clipped at %g", (double)r->optimizer.clip);
    printf("; seed %llu\n", (unsigned long long)o->seed);
    fit_show_augmentation(o->augmentation);
}

static void show_end(const fit_arguments *a, const cln_fit_options *o, const cln_fit_result *result) {
    char path[INTERRUPT_PATH] = "";
    bool kept = o->fast_dev_run == 0 && (result->best_saved || !o->no_last);
    if (kept)
        snprintf(path, sizeof path, "%s/%s.safetensors", o->out, result->best_saved ? "best" : "last");
    if (a->json_lines) {
        json_lines_result(result, kept ? path : NULL);
        return;
    }
    progress_result(result);
    if (kept)
        printf("%s\n", path);
    else if (o->fast_dev_run > 0)
        printf("a trial run of %d batch%s: nothing was written\n", o->fast_dev_run, o->fast_dev_run == 1 ? "" : "es");
}

static void show_stopped(const fit_arguments *a, const cln_fit_options *o, const cln_fit_result *result) {
    char *command = o->out ? interrupt_command(a->argc, a->argv, o->out) : NULL;
    if (a->json_lines)
        json_lines_stopped(result, o->recipe.epochs, interrupt_signal(), command);
    else if (command)
        printf("stopped; %d of %d epochs are complete. To go on:\n%s\n", result->epochs, o->recipe.epochs, command);
    else
        printf("stopped; nothing was written\n");
    free(command);
}

/* curves.png beside the metrics that it shows. */
static cln_status draw_curves(cln_context *ctx, const cln_fit_options *o) {
    char *path = curves_path(o->out);
    cln_status status = path ? curves_plot(ctx, &o->out, 1, path) : CLN_OUT_OF_MEMORY;
    free(path);
    return status;
}

static cln_status run(cln_context *ctx, const fit_arguments *a, bool *stopped) {
    bool plain = !a->quiet && !a->json_lines;
    fit_paths paths;
    void *hparams = NULL;
    char *config = NULL;
    cln_device *device = NULL;
    progress shown = progress_new(ctx, a->quiet);
    shown.rates = a->lr_find;
    json_lines lines = {.ctx = ctx};
    cln_fit_result result;
    cln_fit_profile profile;
    const char *worker[TUNING_COMMAND];
    tuning_command(a->argv, worker);
    const cln_tune_options tune = {.path = a->tuning.path,
                                   .worker = worker,
                                   .budget_s = a->budget_s,
                                   .should_stop = interrupt_asked,
                                   .on_event = plain ? tuning_show : NULL};
    const cln_augmentation augmentation = fit_augmentation(a);
    cln_fit_options options = fit_training(a, &augmentation);
    options.monitor = (cln_monitor)(a->monitor + 1); /* -1: the default, which is 0 */
    options.mode = (cln_mode)(a->mode + 1);
    options.top_k = a->top_k == 0 ? -1 : (int)a->top_k;
    options.no_last = !a->last;
    options.no_tensorboard = !a->tensorboard;
    options.save_every_s = fmax(a->save_every, 1e-9); /* 0: after each step */
    options.should_stop = interrupt_asked;
    options.tune = a->benchmark ? &tune : NULL;
    options.graph_out = a->print_graph ? stdout : NULL;
    options.plan_out = a->print_plan ? stdout : NULL;
    options.profile = a->profiler ? &profile : NULL;
    options.on_event = a->json_lines ? json_lines_show : progress_show;
    options.user = a->json_lines ? (void *)&lines : (void *)&shown;
    fit_loop(&fit_command, a, &options);
    cln_status status = fit_paths_choose(ctx, a, &paths);
    if (status == CLN_OK)
        status = cln_hparams_new(ctx, a->model, a->hparams, &hparams);
    if (status == CLN_OK)
        status = fit_config_text(ctx, a, &config);
    if (status == CLN_OK)
        status = report_open_device(ctx, a->device, plain ? stdout : stderr, &device);
    options.hparams = hparams;
    options.config = config;
    options.out = paths.out;
    options.resume = paths.resume;
    lines.device = device;
    lines.options = &options;
    if (status == CLN_OK && plain)
        show_recipe(&options);
    if (status == CLN_OK && plain && options.out && !a->batch_size_find)
        printf("folder: %s\n", options.out);
    interrupt_install();
    bool finds = a->lr_find || a->batch_size_find;
    if (status == CLN_OK)
        status = finds ? fit_find(ctx, device, a, &options) : cln_fit(ctx, device, &options, &result);
    *stopped = status == CLN_OK && (finds ? interrupt_signal() != 0 : result.stopped);
    if ((status != CLN_OK || *stopped) && plain)
        progress_stop(&shown);
    if (*stopped && !finds)
        show_stopped(a, &options, &result);
    else if (status == CLN_OK && !finds)
        show_end(a, &options, &result);
    if (status == CLN_OK && a->profiler && !finds && !a->json_lines)
        fit_show_profile(&profile, options.out);
    if (status == CLN_OK && !*stopped && options.out && !finds)
        status = draw_curves(ctx, &options);
    fit_paths_free(&paths);
    cln_device_free(device);
    free(config);
    free(hparams);
    return status;
}

static const char *const summary =
    "Trains a network on a data set and tests it. What is not given is the model's recipe (see cltrain models).\n"
    "Writes best.safetensors (the best epoch in validation), last.safetensors, metrics.csv and TensorBoard's event "
    "file\n"
    "into a folder of its own. The same options on the same device, and the same tuner's results (--no-tuning: none),\n"
    "give the same weights, byte for byte.\n\n"
    "Ctrl-C or SIGTERM saves after the step and ends with status 130 or 143. However a run ends, killed or cut off\n"
    "from power, the same command with --resume last goes on, to the same bytes.\n\n"
    "example: cltrain fit --model ResNet --data fashion-mnist --epochs 10 --out runs/first";

static const cli_group groups[] = {{"network", fit_network_options},
                                   {"recipe", fit_recipe_options},
                                   {"learning rate", fit_schedule_options},
                                   {"data", fit_data_options},
                                   {"augmentation of the training images", fit_augmentation_options},
                                   {"training loop", fit_loop_options},
                                   {"in place of training", fit_find_options},
                                   {"device and kernels", fit_run_options},
                                   {"run folder and checkpoints", fit_checkpoint_options},
                                   {"configuration and output", fit_output_options},
                                   {NULL, NULL}};

/* The exit status. */
static int check(const fit_arguments *a) {
    if ((!a->model && !a->pretrained) || (!a->data && !a->config.print))
        return cli_misuse(&fit_command, "--%s is missing", a->model || a->pretrained ? "data" : "model");
    int status = fit_check_training(&fit_command, a);
    status = status == CLN_OK ? fit_check_find(&fit_command, a) : status;
    status = status == CLN_OK ? fit_check_loop(&fit_command, a) : status;
    status = status == CLN_OK ? fit_check_checkpoints(&fit_command, a) : status;
    status = status == CLN_OK ? fit_check_output(&fit_command, a) : status;
    return status == CLN_OK ? fit_check_run(&fit_command, a) : status;
}

static int fit(fit_arguments *a) {
    cln_context *ctx;
    bool stopped = false;
    int exit_status = check(a);
    if (exit_status != CLN_OK)
        return exit_status;
    if (!a->pretrained)
        fit_resolve(a);
    if (cln_context_new(&ctx) != CLN_OK)
        return report_no_memory(CLI_PROGRAM);
    cln_status status = a->config.print        ? fit_print_config(ctx, a, stdout)
                        : a->pretrained        ? fit_score_pretrained(ctx, a)
                        : a->augmentation_grid ? fit_draw_augmentation(ctx, a)
                                               : run(ctx, a, &stopped);
    exit_status = report_end(CLI_PROGRAM, ctx, status);
    if (status != CLN_OK && a->json_lines)
        json_lines_error(ctx, status);
    cln_context_free(ctx);
    return stopped ? 128 + interrupt_signal() : exit_status;
}

static int run_command(int argc, char **argv) {
    fit_arguments a = fit_defaults;
    int exit_status;
    a.argc = argc;
    a.argv = argv;
    if (cli_parse(&fit_command, &a, argc, argv, NULL, &exit_status))
        exit_status = fit(&a);
    cli_config_free(&a.config);
    return exit_status;
}

const cli_command fit_command = {CLI_PROGRAM, "fit",      "train a network on a data set, then test it", summary, NULL,
                                 groups,      run_command};
