/* cltrain fit --pretrained: in place of training, the scores of a file's weights. */
#include "fit.h"
#include "json_lines.h"
#include "progress.h"
#include "report.h"

#include <stdio.h>

static void show_record(const char *path, const cln_training_record *r) {
    const char *optimizer = fit_optimizer_name(r->optimizer.kind);
    printf("weights: %s: %s", path, r->model[0] ? r->model : "they do not name their model");
    if (r->epochs > 0)
        printf(", %d epoch%s", r->epochs, r->epochs == 1 ? "" : "s");
    if (optimizer)
        printf("%s %s, lr %g", r->epochs > 0 ? " of" : ",", optimizer, (double)r->learning_rate);
    printf("\n");
}

static cln_status score(cln_context *ctx, cln_device *device, const fit_arguments *a) {
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
    bool plain = !a->quiet && !a->json_lines;
    if (status == CLN_OK && plain)
        show_record(o.weights, &record);
    bool validate = a->validation > 0 && (a->split_indices || !record.has_split || record.validation_images > 0);
    if (status == CLN_OK && validate && plain && !a->split_indices && !record.has_split)
        printf("validation: the file does not say which images its training held back; those of seed %lld are drawn\n",
               (long long)a->seed);
    if (status == CLN_OK && validate)
        status = cln_evaluate(ctx, device, &o, &validation);
    o.subset = CLN_SUBSET_TEST;
    if (status == CLN_OK)
        status = cln_evaluate(ctx, device, &o, &test);
    if (status == CLN_OK && a->json_lines)
        json_lines_scores(a->pretrained, &validation, &test);
    else if (status == CLN_OK)
        progress_scores(&validation, &test);
    return status;
}

cln_status fit_score_pretrained(cln_context *ctx, const fit_arguments *a) {
    cln_device *device = NULL;
    cln_status status = report_open_device(ctx, a->device, a->quiet || a->json_lines ? stderr : stdout, &device);
    if (status == CLN_OK)
        status = score(ctx, device, a);
    cln_device_free(device);
    return status;
}
