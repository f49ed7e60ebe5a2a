/* Events of a run as lines of JSON. */
#include "json_lines.h"
#include "commands.h"
#include "fit.h"
#include "report.h"

#include <string.h>

static const double step_period_s = 1;

static cJSON *event_new(const char *name) {
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "event", cJSON_CreateString(name));
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
    cJSON *device = cln__json_add(object, "device", cJSON_CreateObject());
    snprintf(index, sizeof index, "%d:%d", info->platform, info->device);
    cln__json_add(device, "index", cJSON_CreateString(index));
    cln__json_add(device, "name", cJSON_CreateString(info->name));
    cln__json_add(device, "platform", cJSON_CreateString(info->platform_name));
}

static void add_recipe(cJSON *object, const cln_recipe *r) {
    cln__json_add(object, "epochs", cJSON_CreateNumber(r->epochs));
    cln__json_add(object, "batch_size", cJSON_CreateNumber(r->batch_size));
    cln__json_add(object, "optimizer", cJSON_CreateString(fit_optimizer_name(r->optimizer.kind)));
    report_json_float(object, "lr", (double)r->learning_rate);
    report_json_float(object, "weight_decay", (double)r->optimizer.weight_decay);
}

static void show_start(const json_lines *j, const cln_fit_event *e) {
    const cln_fit_options *o = j->options;
    cJSON *object = event_new("start");
    cln__json_add(object, "version", cJSON_CreateString(cln_version()));
    cln__json_add(object, "model", cJSON_CreateString(o->model->name));
    cln__json_add(object, "data", cJSON_CreateString(o->data));
    if (o->out)
        cln__json_add(object, "out", cJSON_CreateString(o->out));
    add_device(object, cln_device_get_info(j->device));
    add_recipe(object, &o->recipe);
    cln__json_add(object, "seed", cJSON_CreateNumber((double)o->seed));
    cln__json_add(object, "parameters", cJSON_CreateNumber((double)e->parameters));
    cln__json_add(object, "train_images", cJSON_CreateNumber((double)e->training_images));
    cln__json_add(object, "val_images", cJSON_CreateNumber((double)e->validation_images));
    cln__json_add(object, "test_images", cJSON_CreateNumber((double)e->test_images));
    cln__json_add(object, "steps", cJSON_CreateNumber((double)e->steps));
    cln__json_add(object, "epochs_done", cJSON_CreateNumber(e->epoch));
    cln__json_add(object, "steps_done", cJSON_CreateNumber((double)e->step));
    put(object);
}

/* What is known after a step and after an epoch. */
static cJSON *training(const char *name, const cln_fit_event *e) {
    cJSON *object = event_new(name);
    cln__json_add(object, "epoch", cJSON_CreateNumber(e->epoch));
    cln__json_add(object, "epochs", cJSON_CreateNumber(e->epochs));
    cln__json_add(object, "step", cJSON_CreateNumber((double)e->step));
    cln__json_add(object, "steps", cJSON_CreateNumber((double)e->steps));
    report_json_float(object, "lr", (double)e->learning_rate);
    report_json_float(object, "train_loss", e->train_loss);
    report_json_float(object, "train_acc", e->train_accuracy);
    report_json_float(object, "images_per_s", e->images_per_s);
    report_json_float(object, "seconds_left", e->seconds_left);
    return object;
}

void json_lines_show(void *user, const cln_fit_event *e) {
    json_lines *j = user;
    double now = report_now_s();
    report_warnings(CLI_PROGRAM, j->ctx);
    if (e->stage == CLN_FIT_READY) {
        show_start(j, e);
    } else if (e->stage == CLN_FIT_EPOCH) {
        cJSON *object = training("epoch", e);
        add_score(object, "val_loss", "val_acc", &e->validation);
        cln__json_add(object, "best", cJSON_CreateBool(e->improved));
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
        cln__json_add(object, "weights", cJSON_CreateString(weights));
    add_score(object, "val_loss", "val_acc", validation);
    add_score(object, "test_loss", "test_acc", test);
    cln__json_add(object, "correct", cJSON_CreateNumber((double)test->correct));
    cln__json_add(object, "count", cJSON_CreateNumber((double)test->count));
    return object;
}

void json_lines_scores(const char *weights, const cln_score *validation, const cln_score *test) {
    put(tested(weights, validation, test));
}

void json_lines_result(const cln_fit_result *r, const char *weights) {
    cJSON *object = tested(weights, &r->validation, &r->test);
    cln__json_add(object, "epoch", cJSON_CreateNumber(r->best_epoch));
    cln__json_add(object, "epochs", cJSON_CreateNumber(r->epochs));
    cln__json_add(object, "stopped_early", cJSON_CreateBool(r->stopped_early));
    report_json_float(object, "seconds", r->seconds);
    report_json_float(object, "images_per_s", r->images_per_s);
    put(object);
}

void json_lines_stopped(const cln_fit_result *r, int epochs, int signal, const char *command) {
    cJSON *object = event_new("stopped");
    cln__json_add(object, "epochs_done", cJSON_CreateNumber(r->epochs));
    cln__json_add(object, "epochs", cJSON_CreateNumber(epochs));
    cln__json_add(object, "signal", cJSON_CreateNumber(signal));
    if (command)
        cln__json_add(object, "command", cJSON_CreateString(command));
    put(object);
}

void json_lines_error(cln_context *ctx, cln_status status) {
    const char *message = cln_context_error(ctx);
    cJSON *object = event_new("error");
    cln__json_add(object, "status", cJSON_CreateNumber((int)status));
    cln__json_add(object, "message", cJSON_CreateString(message[0] ? message : cln_status_text(status)));
    put(object);
}
