/* Running a race: the training, which ends where the target is reached, and what is kept to go on. */
#include "../src/cli/report.h"
#include "json_file.h"
#include "race.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- times of validation, which metrics.csv does not have: race.json in the folder --- */

static void state_path(const race *r, char path[INTERRUPT_PATH]) {
    snprintf(path, INTERRUPT_PATH, "%s/race.json", r->o->fit.out);
}

static cln_status load_times(race *r, bool goes_on) {
    char path[INTERRUPT_PATH];
    cJSON *json;
    r->validation_s = cJSON_CreateArray();
    state_path(r, path);
    if (!r->validation_s || !goes_on || access(path, F_OK) != 0)
        return r->validation_s ? CLN_OK : CLN_OUT_OF_MEMORY;
    cln_status status = json_file_read("race", path, &json);
    r->told = status != CLN_OK && status != CLN_OUT_OF_MEMORY;
    if (status != CLN_OK)
        return status;
    cJSON *list = cJSON_DetachItemFromObjectCaseSensitive(json, "validation_s");
    cJSON_Delete(json);
    if (!cJSON_IsArray(list)) {
        cJSON_Delete(list);
        r->told = true;
        return json_file_refuse("race", path, "expected a list 'validation_s'");
    }
    cJSON_Delete(r->validation_s);
    r->validation_s = list;
    return CLN_OK;
}

/* What a killed process has not written of earlier epochs stays unknown. */
static cln_status keep_time(race *r, int epoch, double seconds) {
    char path[INTERRUPT_PATH];
    while (cJSON_GetArraySize(r->validation_s) >= epoch)
        cJSON_DeleteItemFromArray(r->validation_s, epoch - 1);
    for (int known = cJSON_GetArraySize(r->validation_s); known < epoch - 1; known++)
        cln__json_append(r->validation_s, cJSON_CreateNull());
    cln__json_append(r->validation_s, cJSON_CreateNumber(seconds));
    cJSON *json = cJSON_CreateObject();
    bool whole = json && cJSON_AddItemReferenceToObject(json, "validation_s", r->validation_s);
    char *text = whole ? cJSON_Print(json) : NULL;
    cJSON_Delete(json);
    state_path(r, path);
    cln_status status = text ? cln_file_write(r->ctx, path, text, strlen(text)) : CLN_OUT_OF_MEMORY;
    cJSON_free(text);
    return status;
}

/* --- watching the training --- */

static cln_status look(race *r) {
    race_run_free(&r->run);
    cln_status status = race_run_read(r->ctx, r->o->fit.out, &r->told, &r->run);
    r->over = status == CLN_OK && race_run_reaches(&r->run, r->target) > 0;
    return status;
}

static cln_status begin(race *r) {
    cln_status status = look(r);
    if (status != CLN_OK || !r->o->against)
        return status;
    race_run_compare(&r->run, &r->against, r->unequal);
    if (*r->unequal)
        fprintf(stderr, "clbench: race: warning: the run in '%s' is not on equal terms: %s\n", r->o->against,
                r->unequal);
    return CLN_OK;
}

static void show(const race *r, const cln_fit_event *e) {
    char left[32];
    fprintf(stderr, "%s, epoch %d of %d: train_acc %.4f, val_acc %.4f (target %.4f); %.0f images/s, %s left\n",
            r->o->fit.model->name, e->epoch, e->epochs, e->train_accuracy, e->validation.accuracy, r->target,
            e->images_per_s, report_time(e->seconds_left, left));
}

static void watch(void *user, const cln_fit_event *e) {
    race *r = user;
    report_warnings("clbench", r->ctx);
    if (r->status != CLN_OK)
        return;
    if (e->stage == CLN_FIT_READY)
        r->status = begin(r);
    if (e->stage == CLN_FIT_READY || (e->stage == CLN_FIT_STEP && e->step == e->steps))
        r->epoch_end_s = report_now_s();
    if (e->stage != CLN_FIT_EPOCH)
        return;
    show(r, e);
    r->status = keep_time(r, e->epoch, report_now_s() - r->epoch_end_s);
    if (r->status == CLN_OK)
        r->status = look(r);
}

static bool ends(void *user) {
    const race *r = user;
    return r->over || r->status != CLN_OK || interrupt_asked(NULL);
}

cln_status race_fit(race *r, cln_device *device) {
    const fit_arguments *a = &r->o->fit;
    char state[INTERRUPT_PATH];
    const cln_augmentation augmentation = fit_augmentation(a);
    cln_fit_options f = fit_training(a, &augmentation);
    cln_fit_result result;
    void *hparams = NULL;
    f.out = a->out;
    f.resume = interrupt_state("last", a->out, state);
    f.limit_test_batches = -1;
    f.should_stop = ends;
    f.on_event = watch;
    f.user = r;
    cln_status status = load_times(r, f.resume != NULL);
    if (status == CLN_OK)
        status = cln_hparams_new(r->ctx, a->model, a->hparams, &hparams);
    f.hparams = hparams;
    if (status == CLN_OK)
        status = cln_fit(r->ctx, device, &f, &result);
    free(hparams);
    r->stopped = status == CLN_OK && result.stopped && !r->over;
    return status == CLN_OK ? r->status : status;
}
