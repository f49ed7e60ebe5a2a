/* cltrain fit: what is found out in place of training: a learning rate, the largest batch. */
#include "clnet/plot.h"
#include "fit.h"
#include "progress.h"
#include "report.h"

#include <inttypes.h>
#include <stdlib.h>

const cli_option fit_find_options[] = {
    {"lr-find", CLI_FLAG, FIT_AT(lr_find), NULL,
     "do not train: try learning rates from small to large, suggest the one where the loss falls most steeply, and "
     "write "
     "the losses to lr_find.csv and lr_find.png in --out",
     0, 0, NULL},
    {"lr-find-min-lr", CLI_REAL, FIT_AT(lr_find_min), "X", "for --lr-find: the first rate (default 1e-8)", 1e-30, 1e38,
     NULL},
    {"lr-find-max-lr", CLI_REAL, FIT_AT(lr_find_max), "X", "for --lr-find: the last rate (default 1)", 1e-30, 1e38,
     NULL},
    {"lr-find-num-training", CLI_INT, FIT_AT(lr_find_steps), "N", "for --lr-find: steps (default 100)", 13, 1000000,
     NULL},
    {"lr-find-early-stop-threshold", CLI_REAL, FIT_AT(lr_find_threshold), "X",
     "for --lr-find: end where the smoothed loss is so many times its least (default 4; 0: nowhere)", 0, 1e30, NULL},
    {"batch-size-find", CLI_FLAG, FIT_AT(batch_size_find), NULL,
     "do not train: plan for batches of all sizes and print the largest that the device's memory can hold", 0, 0, NULL},
    {"augmentation-grid", CLI_TEXT, FIT_AT(augmentation_grid), "FILE",
     "do not train: draw what the augmentation does to the first images (.png, .svg)", 0, 0, NULL},
    {.name = NULL}};

int fit_check_find(const cli_command *command, const fit_arguments *a) {
    bool finds = a->lr_find || a->batch_size_find;
    if (!a->lr_find &&
        (a->lr_find_min > 0 || a->lr_find_max > 0 || a->lr_find_steps > 0 || !isnan(a->lr_find_threshold)))
        return cli_misuse(command, "--lr-find-min-lr, -max-lr, -num-training and -early-stop-threshold are for "
                                   "--lr-find");
    if (finds && (a->resume || a->pretrained || a->fast_dev_run > 0 || (a->lr_find && a->batch_size_find)))
        return cli_misuse(command,
                          "--lr-find, --batch-size-find, --fast-dev-run, --resume and --pretrained exclude each "
                          "other");
    if (finds && (a->json_lines || a->profiler))
        return cli_misuse(command, "--json-lines and --profiler are not for --lr-find and --batch-size-find");
    if (a->augmentation_grid && (a->pretrained || a->resume))
        return cli_misuse(command, "--augmentation-grid and --%s exclude each other",
                          a->resume ? "resume" : "pretrained");
    if (a->augmentation_grid && !cln_plot_can_write(a->augmentation_grid))
        return cli_misuse(command, "--augmentation-grid: expected a file that ends in .png or .svg, found '%s'",
                          a->augmentation_grid);
    return CLN_OK;
}

static void show_lr(const fit_arguments *a, const cln_lr_curve *curve, const char *folder) {
    if (curve->stopped)
        printf("stopped after %d steps\n", curve->count);
    else if (curve->suggestion < 0)
        printf("no suggestion: %d losses are too few\n", curve->count);
    else if (a->quiet)
        printf("%.3g\n", (double)curve->points[curve->suggestion].learning_rate);
    else
        printf("suggested learning rate: --lr %.3g (after step %d of %d, to %.3g)\n",
               (double)curve->points[curve->suggestion].learning_rate, curve->suggestion + 1, curve->count,
               (double)curve->points[curve->count - 1].learning_rate);
    if (!a->quiet && !curve->stopped)
        printf("%s/lr_find.csv, lr_find.png\n", folder);
}

static cln_status draw(cln_context *ctx, const cln_lr_curve *curve, const char *folder) {
    size_t size = sizeof(double) * (size_t)(curve->count + 1);
    double *rates = malloc(size), *losses = malloc(size);
    char path[INTERRUPT_PATH];
    for (int i = 0; rates && losses && i < curve->count; i++) {
        rates[i] = (double)curve->points[i].learning_rate;
        losses[i] = curve->points[i].smoothed_loss;
    }
    snprintf(path, sizeof path, "%s/lr_find.png", folder);
    double suggestion = curve->suggestion < 0 ? NAN : (double)curve->points[curve->suggestion].learning_rate;
    cln_status status =
        rates && losses ? cln_plot_lr_find(ctx, rates, losses, curve->count, suggestion, path) : CLN_OUT_OF_MEMORY;
    free(rates);
    free(losses);
    return status;
}

static cln_status find_lr(cln_context *ctx, cln_device *device, const fit_arguments *a, const cln_fit_options *o) {
    const cln_lr_find_options find = {.min_lr = (float)a->lr_find_min,
                                      .max_lr = (float)a->lr_find_max,
                                      .num_training = (int)a->lr_find_steps,
                                      .early_stop_threshold = isnan(a->lr_find_threshold) ? 0
                                                              : a->lr_find_threshold == 0
                                                                  ? -1
                                                                  : (float)a->lr_find_threshold};
    cln_lr_curve curve;
    cln_status status = cln_lr_find(ctx, device, o, &find, &curve);
    if (status == CLN_OK && !curve.stopped)
        progress_stop(o->user); /* --json-lines, which has another user, is refused */
    if (status == CLN_OK && !curve.stopped)
        status = cln_lr_curve_write(ctx, &curve, o->out);
    if (status == CLN_OK && !curve.stopped && curve.count > 1)
        status = draw(ctx, &curve, o->out);
    if (status == CLN_OK)
        show_lr(a, &curve, o->out);
    cln_lr_curve_free(&curve);
    return status;
}

static cln_status find_batch_size(cln_context *ctx, cln_device *device, const fit_arguments *a,
                                  const cln_fit_options *o) {
    char count[32], training[32], evaluation[32], weights[32], limit[32];
    cln_batch_size found;
    cln_status status = cln_batch_size_find(ctx, device, o, 0, &found);
    if (status != CLN_OK)
        return status;
    if (a->quiet) {
        printf("%" PRId64 "\n", found.images);
        return CLN_OK;
    }
    printf("largest batch: --batch-size %" PRId64 "%s\n", found.images,
           found.all_images    ? ", all images to train on"
           : found.images == 0 ? ": not even one image fits"
                               : "");
    if (found.images > 0)
        printf("memory for %s image%s: %s of activations in training, %s in validation, %s of weights; %s has %s\n",
               report_count(found.images, count), found.images == 1 ? "" : "s",
               report_bytes(found.training_bytes, training), report_bytes(found.evaluation_bytes, evaluation),
               report_bytes(found.weights_bytes, weights), cln_device_get_info(device)->name,
               report_bytes(found.limit_bytes, limit));
    return CLN_OK;
}

cln_status fit_find(cln_context *ctx, cln_device *device, const fit_arguments *a, const cln_fit_options *o) {
    return (a->lr_find ? find_lr : find_batch_size)(ctx, device, a, o);
}
