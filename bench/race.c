/* clbench race: our best short recipe against a target, and against a run of the published one. */
#include "race.h"
#include "../src/cli/report.h"
#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WORDS = 64, MAX_ARGUMENTS = 512 };

/* --- the recipe --- */

/* The short recipe's options, malloc'ed. Those of its schedule, the last ones, are of no use to another scheduler. */
static char *copy_recipe(const fit_arguments *given) {
    const char *recipe = short_recipe(given->model->name), *schedule = strstr(recipe, "--lr-scheduler");
    size_t size = given->scheduler >= 0 && schedule ? (size_t)(schedule - recipe) : strlen(recipe);
    char *copy = malloc(size + 1);
    if (copy)
        snprintf(copy, size + 1, "%s", recipe);
    return copy;
}

/* The command line again, with the short recipe's options before those that were given, which thus prevail. `words` is
 * what they are made of; the caller frees it. */
static int put_recipe(const fit_arguments *given, int argc, char **argv, char **all, char **words) {
    int count = 0;
    *words = copy_recipe(given);
    if (!*words)
        return 0;
    all[count++] = argv[0];
    for (char *next = *words, *rest; count < MAX_WORDS && (next = strtok_r(next, " ", &rest)); next = NULL)
        all[count++] = next;
    for (int i = 1; i < argc; i++)
        all[count++] = argv[i];
    return count;
}

static int parse(int argc, char **argv, race_options *o, char **words) {
    const race_options defaults = {.fit = fit_defaults, .target = NAN};
    char *all[MAX_WORDS + MAX_ARGUMENTS];
    int exit_status;
    *o = defaults;
    if (!cli_parse(&race_command, o, argc, argv, NULL, &exit_status))
        return exit_status == CLN_OK ? -1 : exit_status;
    if (!o->fit.model || !o->fit.data)
        return cli_misuse(&race_command, "--%s is missing", o->fit.model ? "data" : "model");
    if (argc > MAX_ARGUMENTS)
        return cli_misuse(&race_command, "more than %d arguments", MAX_ARGUMENTS);
    int count = put_recipe(&o->fit, argc, argv, all, words);
    if (count == 0)
        return report_no_memory("clbench");
    *o = defaults;
    return cli_parse(&race_command, o, count, all, NULL, &exit_status) ? CLN_OK : exit_status;
}

static int check(const race_options *o) {
    if (isnan(o->target) && !o->against)
        return cli_misuse(&race_command, "give --target with an accuracy, or --against with a run, or both");
    if (o->fit.validation == 0)
        return cli_misuse(&race_command, "--val-split 0 leaves nothing to reach the target with");
    return fit_check_training(&race_command, &o->fit);
}

/* --- the race --- */

/* The target is the accuracy that the other run ended with, unless it is given. */
static cln_status read_against(race *r) {
    r->target = r->o->target;
    if (!r->o->against)
        return CLN_OK;
    cln_status status = race_run_read(r->ctx, r->o->against, &r->told, &r->against);
    if (status != CLN_OK)
        return status;
    if (isnan(r->target) && r->against.epochs > 0)
        r->target = r->against.val_acc[r->against.epochs - 1];
    if (r->against.epochs > 0 && !isnan(r->target))
        return CLN_OK;
    fprintf(stderr, "clbench: race: the run in '%s' %s\n", r->o->against,
            r->against.epochs ? "was not validated after its last epoch: give --target" : "has no epoch yet");
    r->told = true;
    return CLN_INVALID_FILE;
}

static cln_status run(race *r) {
    cln_device *device = NULL;
    cln_status status = read_against(r);
    if (status == CLN_OK)
        status = report_open_device(r->ctx, r->o->fit.device, stderr, &device);
    if (status == CLN_OK) {
        fprintf(stderr, "%s: short recipe %s; in %s\n", r->o->fit.model->name, short_recipe(r->o->fit.model->name),
                r->o->fit.out);
        interrupt_install();
        status = race_fit(r, device);
    }
    cln_device_free(device);
    return status;
}

/* Not reaching the target is no failure of the program, but the exit status tells. */
static int finish(const race *r) {
    if (r->stopped) {
        fprintf(stderr, "stopped; the same command with --out %s goes on\n", r->o->fit.out);
        return 128 + interrupt_signal();
    }
    int exit_status = CLN_OK;
    if (r->o->json)
        exit_status = race_print_json(r);
    else
        race_print(r);
    return exit_status == CLN_OK && race_run_reaches(&r->run, r->target) == 0 ? CLN_FAILED : exit_status;
}

static int start(race_options *o) {
    race r = {.o = o};
    char *folder = NULL;
    if (cln_context_new(&r.ctx) != CLN_OK)
        return report_no_memory("clbench");
    cln_status status = o->fit.out ? CLN_OK : cln_run_folder_new(r.ctx, "runs/race", o->fit.model->name, &folder);
    o->fit.out = o->fit.out ? o->fit.out : folder;
    if (status == CLN_OK)
        status = run(&r);
    int exit_status = (int)status;
    if (r.told)
        report_warnings("clbench", r.ctx);
    else
        exit_status = report_end("clbench", r.ctx, status);
    if (status == CLN_OK)
        exit_status = finish(&r);
    race_run_free(&r.run);
    race_run_free(&r.against);
    cJSON_Delete(r.validation_s);
    cln_context_free(r.ctx);
    free(folder);
    return exit_status;
}

#define AT(member) offsetof(race_options, member)

static const cli_option options[] = {
    {"target", CLI_REAL, AT(target), "F",
     "the validation accuracy to reach, as in 0.8 (default: that of --against after its last epoch)", 0, 1, NULL},
    {"against", CLI_TEXT, AT(against), "DIR", "a run of cltrain fit or clbench table on the same data to compare with",
     0, 0, NULL},
    {"out", CLI_TEXT, AT(fit.out), "DIR",
     "the run's folder (default runs/race/<model>/version_N, with the next N that is free): the same command goes on "
     "there",
     0, 0, NULL},
    {"device", CLI_TEXT, AT(fit.device), "DEVICE", "index as in 0:0, cpu, gpu, or a part of the name", 0, 0, NULL},
    TUNING_CLI(race_options, fit.tuning),
    {"json", CLI_FLAG, AT(json), NULL, "print JSON", 0, 0, NULL},
    {.name = NULL}};

static int run_command(int argc, char **argv) {
    race_options o;
    char *words = NULL;
    int exit_status = parse(argc, argv, &o, &words);
    if (exit_status == CLN_OK)
        exit_status = check(&o);
    if (exit_status == CLN_OK) {
        fit_resolve(&o.fit);
        exit_status = start(&o);
    }
    free(words);
    return exit_status < 0 ? CLN_OK : exit_status;
}

static const cli_group groups[] = {{"race", options},
                                   {"network", fit_network_options},
                                   {"recipe, in place of the short one's", fit_recipe_options},
                                   {"learning rate", fit_schedule_options},
                                   {"data", fit_data_options},
                                   {"augmentation of the training images", fit_augmentation_options},
                                   {NULL, NULL}};

const cli_command race_command = {
    "clbench",
    "race",
    "how soon our best short recipe reaches an accuracy",
    "Trains a network by a short recipe until its validation accuracy reaches a target, and prints the images seen, "
    "the\n"
    "updates, and the time in training and in validation; beside them, those of another run on the same data\n"
    "(--against), which should be of the published recipe. If network, data, split or device differ, it says so.\n"
    "Ctrl-C or SIGTERM saves after the step and ends with status 130 or 143; the same command with --out goes on,\n"
    "however it ended. Progress goes to standard error. The exit status is 0, or 1 if the target was not reached.\n\n"
    "example: clbench race --model ResNet --data cifar-10-batches-bin --target 0.8\n"
    "         clbench race --model ResNet --data cifar-10-batches-bin --against runs/table/ResNet/seed_42",
    NULL,
    groups,
    run_command};
