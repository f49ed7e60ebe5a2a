/* Events of a run as lines of JSON. */
#include "json_lines.h"
#include "commands.h"
#include "fit.h"
#include "report.h"

#include <string.h>
#include <time.h>

static const double step_period_s = 1;

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static cJSON *event_new(const char *name) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "event", name);
    return object;
}

static void put(cJSON *object) {
    report_json(CLI_PROGRAM, object);
    fflush(stdout);
}

static void add_score(cJSON *object, const char *loss, const char *accuracy, const cln_score *score) {
    if (score->count == 0)
        return;
    report_json_float(object, loss, score->loss);
    report_json_float(object, accuracy, score->accuracy);
}

static void add_device(cJSON *object, const cln_device_info *info) {
    char index[48];
    cJSON *device = cJSON_AddObjectToObject(object, "device");
    snprintf(index, sizeof index, "%d:%d", info->platform, info->device);
    cJSON_AddStringToObject(device, "index", index);
    cJSON_AddStringToObject(device, "name", info->name);
    cJSON_AddStringToObject(device, "platform", info->platform_name);
}

static void add_recipe(cJSON *object, const cln_recipe *r) {
    cJSON_AddNumberToObject(object, "epochs", r->epochs);
    cJSON_AddNumberToObject(object, "batch_size", r->batch_size);
    cJSON_AddStringToObject(object, "optimizer", fit_optimizer_name(r->optimizer.kind));
    report_json_float(object, "lr", (double)r->learning_rate);
    report_json_float(object, "weight_decay", (double)r->optimizer.weight_decay);
}

static void show_start(const json_lines *j, const cln_fit_event *e) {
    const cln_fit_options *o = j->options;
    cJSON *object = event_new("start");
    cJSON_AddStringToObject(object, "version", cln_version());
    cJSON_AddStringToObject(object, "model", o->model->name);
    cJSON_AddStringToObject(object, "data", o->data);
    if (o->out)
        cJSON_AddStringToObject(object, "out", o->out);
    add_device(object, cln_device_get_info(j->device));
    add_recipe(object, &o->recipe);
    cJSON_AddNumberToObject(object, "seed", (double)o->seed);
    cJSON_AddNumberToObject(object, "parameters", (double)e->parameters);
    cJSON_AddNumberToObject(object, "train_images", (double)e->training_images);
    cJSON_AddNumberToObject(object, "val_images", (double)e->validation_images);
    cJSON_AddNumberToObject(object, "test_images", (double)e->test_images);
    cJSON_AddNumberToObject(object, "steps", (double)e->steps);
    cJSON_AddNumberToObject(object, "epochs_done", e->epoch);
    cJSON_AddNumberToObject(object, "steps_done", (double)e->step);
    put(object);
}

/* What is known after a step and after an epoch. */
static cJSON *training(const char *name, const cln_fit_event *e) {
    cJSON *object = event_new(name);
    cJSON_AddNumberToObject(object, "epoch", e->epoch);
    cJSON_AddNumberToObject(object, "epochs", e->epochs);
    cJSON_AddNumberToObject(object, "step", (double)e->step);
    cJSON_AddNumberToObject(object, "steps", (double)e->steps);
    report_json_float(object, "lr", (double)e->learning_rate);
    report_json_float(object, "train_loss", e->train_loss);
    report_json_float(object, "train_acc", e->train_accuracy);
    report_json_float(object, "images_per_s", e->images_per_s);
    report_json_float(object, "seconds_left", e->seconds_left);
    return object;
}

void json_lines_show(void *user, const cln_fit_event *e) {
    json_lines *j = user;
    double now = now_s();
    report_warnings(CLI_PROGRAM, j->ctx);
    if (e->stage == CLN_FIT_READY) {
        show_start(j, e);
    } else if (e->stage == CLN_FIT_EPOCH) {
        cJSON *object = training("epoch", e);
        add_score(object, "val_loss", "val_acc", &e->validation);
        cJSON_AddBoolToObject(object, "best", e->improved);
        put(object);
    } else if (e->stage == CLN_FIT_STEP && now - j->shown_s >= step_period_s) {
        put(training("step", e));
    } else {
        return;
    }
    j->shown_s = now;
}

/* --- ends --- */

static cJSON *tested(const char *weights, const cln_score *validation, const cln_score *test) {
    cJSON *object = event_new("test");
    if (weights)
        cJSON_AddStringToObject(object, "weights", weights);
    add_score(object, "val_loss", "val_acc", validation);
    add_score(object, "test_loss", "test_acc", test);
    cJSON_AddNumberToObject(object, "correct", (double)test->correct);
    cJSON_AddNumberToObject(object, "count", (double)test->count);
    return object;
}

void json_lines_scores(const char *weights, const cln_score *validation, const cln_score *test) {
    put(tested(weights, validation, test));
}

void json_lines_result(const cln_fit_result *r, const char *weights) {
    cJSON *object = tested(weights, &r->validation, &r->test);
    cJSON_AddNumberToObject(object, "epoch", r->best_epoch);
    cJSON_AddNumberToObject(object, "epochs", r->epochs);
    cJSON_AddBoolToObject(object, "stopped_early", r->stopped_early);
    report_json_float(object, "seconds", r->seconds);
    report_json_float(object, "images_per_s", r->images_per_s);
    put(object);
}

void json_lines_stopped(const cln_fit_result *r, int epochs, int signal, const char *command) {
    cJSON *object = event_new("stopped");
    cJSON_AddNumberToObject(object, "epochs_done", r->epochs);
    cJSON_AddNumberToObject(object, "epochs", epochs);
    cJSON_AddNumberToObject(object, "signal", signal);
    if (command)
        cJSON_AddStringToObject(object, "command", command);
    put(object);
}

void json_lines_error(cln_context *ctx, cln_status status) {
    const char *message = cln_context_error(ctx);
    cJSON *object = event_new("error");
    cJSON_AddNumberToObject(object, "status", (int)status);
    cJSON_AddStringToObject(object, "message", message[0] ? message : cln_status_text(status));
    put(object);
}
