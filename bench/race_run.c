/* A run as its folder tells of it: metrics.csv, and the metadata of resume.safetensors. Both runs of a race are read
 * and counted here, so that they are measured alike. */
#include "../src/base/json_parse.h"
#include "json_file.h"
#include "race.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double most = 1e12; /* of images */

static cln_status refuse(race_run *r, const char *what) {
    fprintf(stderr, "clbench: race: the run in '%s' cannot be raced: %s\n", r->folder, what);
    *r->told = true;
    return CLN_INVALID_FILE;
}

/* A metadata entry of JSON; NULL: there is none. The caller deletes it. */
static cJSON *entry(const race_run *r, const char *key, bool *lacks_memory) {
    const char *text = cln_safetensors_metadata(r->state, key);
    *lacks_memory = false;
    return text ? cln__json_parse(text, NULL, lacks_memory) : NULL;
}

/* --- images and updates --- */

/* Images to train on; below 0: unknown. */
static double count_images(const race_run *r, const cJSON *split) {
    const char *list = cln_safetensors_metadata(r->state, "split_indices");
    double all = json_number_within(split, "training_images", 1, most, -1);
    double held_back = json_number_within(split, "validation_images", 0, most, -1);
    if (all > 0 && list) /* images that are not listed are left out */
        for (all = 1; *list; list++)
            all += *list == ' ';
    return all > 0 && held_back >= 0 ? all - held_back : -1;
}

/* As the trainer counts: whole batches, and an update of those that are left at the end of an epoch. */
static cln_status count_steps(race_run *r) {
    static const char *const limits[] = {"limit_train_batches", "limit_val_batches", "overfit_batches", "max_steps"};
    bool lacks_recipe, lacks_split;
    cJSON *recipe = entry(r, "recipe", &lacks_recipe), *split = entry(r, "split", &lacks_split);
    double images = count_images(r, split), batch = json_number_within(recipe, "batch_size", 1, most, -1);
    double group = json_number_within(recipe, "accumulate_grad_batches", 1, most, 1);
    bool limited = false;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        limited = limited || cJSON_HasObjectItem(recipe, limits[i]);
    cJSON_Delete(recipe);
    cJSON_Delete(split);
    if (lacks_recipe || lacks_split)
        return CLN_OUT_OF_MEMORY;
    if (limited)
        return refuse(r, "it used only a part of the data (--limit-..., --overfit-batches or --max-steps)");
    if (batch < 1 || images < batch)
        return refuse(r, "resume.safetensors does not say how many images an epoch has");
    r->updates = (int64_t)ceil(floor(images / batch) / group);
    r->images = (int64_t)(floor(images / batch) * batch);
    return CLN_OK;
}

/* --- reading --- */

static cln_status read_metrics(cln_context *ctx, const char *path, race_run *r) {
    cln_status status = cln_metrics_read(ctx, path, &r->metrics);
    if (status != CLN_OK)
        return status;
    const double *epoch = cln_metrics_column(r->metrics, "epoch");
    r->val_acc = cln_metrics_column(r->metrics, "val_acc");
    r->images_per_s = cln_metrics_column(r->metrics, "images_per_s");
    r->epochs = r->metrics->rows;
    if (!epoch || !r->val_acc || !r->images_per_s)
        return refuse(r, "metrics.csv has no columns epoch, val_acc and images_per_s");
    for (int i = 0; i < r->epochs; i++)
        if (epoch[i] != i + 1)
            return refuse(r, "metrics.csv does not have a line for each epoch from 1 on");
    return CLN_OK;
}

cln_status race_run_read(cln_context *ctx, const char *folder, bool *told, race_run *out) {
    char metrics[INTERRUPT_PATH], state[INTERRUPT_PATH];
    *out = (race_run){.folder = folder, .told = told};
    snprintf(metrics, sizeof metrics, "%s/metrics.csv", folder);
    snprintf(state, sizeof state, "%s/resume.safetensors", folder);
    cln_status status = cln_safetensors_read(ctx, state, &out->state);
    if (status == CLN_OK)
        status = read_metrics(ctx, metrics, out);
    return status == CLN_OK ? count_steps(out) : status;
}

void race_run_free(race_run *r) {
    cln_safetensors_free(r->state);
    cln_metrics_free(r->metrics);
    *r = (race_run){.folder = NULL};
}

/* --- what it says --- */

int race_run_reaches(const race_run *r, double target) {
    for (int i = 0; i < r->epochs; i++)
        if (r->val_acc[i] >= target)
            return i + 1;
    return 0;
}

double race_run_best(const race_run *r) {
    double best = 0;
    for (int i = 0; i < r->epochs; i++)
        best = fmax(best, r->val_acc[i]); /* which ignores NaN */
    return best;
}

double race_run_seconds(const race_run *r, int epochs) {
    double seconds = 0, known = 0;
    for (int i = 0; i < epochs; i++)
        if (r->images_per_s[i] > 0) { /* it is 0 where a run went on at the very end of an epoch */
            seconds += (double)r->images / r->images_per_s[i];
            known++;
        }
    return seconds * epochs / known; /* NaN: none is known */
}

static bool differ(const race_run *a, const race_run *b, const char *key, const char *what, char text[RACE_TEXT]) {
    const char *x = cln_safetensors_metadata(a->state, key), *y = cln_safetensors_metadata(b->state, key);
    if (x == y || (x && y && strcmp(x, y) == 0)) /* equal, or in neither */
        return false;
    snprintf(text, RACE_TEXT, "%s: %.150s here, %.150s there", what, x ? x : "none", y ? y : "none");
    return true;
}

/* The checksum in "data" is of all images and of the split; what explains a difference comes before it. */
void race_run_compare(const race_run *a, const race_run *b, char text[RACE_TEXT]) {
    char ignored[RACE_TEXT];
    if (!differ(a, b, "model", "another network", text) && !differ(a, b, "hparams", "other hyper-parameters", text) &&
        !differ(a, b, "init_weights", "other first weights", text) &&
        (!differ(a, b, "data", "", ignored) || (!differ(a, b, "image_shape", "images of another size", text) &&
                                                !differ(a, b, "split", "another split", text) &&
                                                !differ(a, b, "seed", "another split, by another seed", text) &&
                                                !differ(a, b, "data", "other images or another split", text))) &&
        !differ(a, b, "device", "another device", text))
        *text = '\0';
}
