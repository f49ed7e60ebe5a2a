/* The metadata of weights files, written. Values are strings; what is structured is JSON in a string. */
#include "checkpoint.h"
#include "../plan/plan.h"
#include "json.h"
#include "kernels.h"
#include "schedule.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- writing --- */

void cln__entries_put(cln__entries *e, const char *key, char *value) {
    if (!value || e->count == CLN__MAX_ENTRIES) {
        e->failed = true;
        free(value);
        return;
    }
    e->at[e->count++] = (cln_metadata){key, value};
}

const char *cln__entries_find(const cln__entries *e, const char *key) {
    for (size_t i = 0; i < e->count; i++)
        if (strcmp(e->at[i].key, key) == 0)
            return e->at[i].value;
    return NULL;
}

void cln__entries_free(cln__entries *e) {
    for (size_t i = 0; i < e->count; i++)
        free((char *)e->at[i].value);
    *e = (cln__entries){.count = 0};
}

static void add_float(cJSON *object, const char *name, double value) {
    cln__json_add(object, name, cln__json_float((float)value));
}

static void add_floats(cJSON *object, const char *name, const float *values, int count) {
    cJSON *list = cln__json_add(object, name, cJSON_CreateArray());
    for (int i = 0; list && i < count; i++)
        cln__json_append(list, cln__json_float(values[i]));
}

char *cln__normalization_print(const cln_normalization *n) {
    cJSON *object = cJSON_CreateObject();
    add_floats(object, "mean", n->mean, n->channels);
    add_floats(object, "deviation", n->deviation, n->channels);
    return cln__json_print(object);
}

/* What is not the default; a plain recipe reads as it did before there were schedulers. */
static void add_schedule(cJSON *object, const cln_recipe *r) {
    if (r->lr_scheduler != CLN_LR_MULTISTEP)
        cln__json_add(object, "lr_scheduler", cJSON_CreateString(cln_lr_scheduler_name(r->lr_scheduler)));
    if (r->lr_scheduler == CLN_LR_COSINE)
        add_float(object, "min_lr", (double)r->min_lr);
    if (r->lr_scheduler == CLN_LR_ONECYCLE) {
        cln_onecycle c = cln__schedule_onecycle(r);
        add_float(object, "pct_start", (double)c.pct_start);
        add_float(object, "div_factor", (double)c.div_factor);
        add_float(object, "final_div_factor", (double)c.final_div_factor);
        cln__json_add(object, "cycle_momentum", cJSON_CreateBool(!c.fixed_momentum));
        add_float(object, "base_momentum", (double)c.base_momentum);
        add_float(object, "max_momentum", (double)c.max_momentum);
    }
    if (r->warmup_epochs > 0)
        cln__json_add(object, "warmup_epochs", cJSON_CreateNumber(r->warmup_epochs));
    if (r->warmup_steps > 0)
        cln__json_add(object, "warmup_steps", cJSON_CreateNumber((double)r->warmup_steps));
    if (r->warmup_epochs > 0 || r->warmup_steps > 0)
        add_float(object, "warmup_lr", (double)r->warmup_lr);
}

/* How much of the data was used; what is not the default. */
static void add_limits(cJSON *object, const cln_fit_options *o) {
    const struct {
        const char *name;
        double value;
    } limits[] = {{"limit_train_batches", o->limit_train_batches},
                  {"limit_val_batches", o->limit_val_batches},
                  {"overfit_batches", o->overfit_batches},
                  {"max_steps", (double)o->max_steps},
                  {"check_val_every_n_epoch", o->check_val_every_n_epoch > 1 ? o->check_val_every_n_epoch : 0}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (limits[i].value != 0)
            cln__json_add(object, limits[i].name, cJSON_CreateNumber(limits[i].value));
}

static void add_average(cJSON *object, const cln_recipe *r) {
    if (r->model_ema_decay > 0) {
        cln__json_add(object, "model_ema_decay", cJSON_CreateNumber(r->model_ema_decay));
        cln__json_add(object, "model_ema_warmup", cJSON_CreateBool(r->model_ema_warmup));
    }
}

static void add_update(cJSON *object, const cln_optimizer *o) {
    if (o->accumulate > 1)
        cln__json_add(object, "accumulate_grad_batches", cJSON_CreateNumber(o->accumulate));
    if (o->clip > 0) {
        add_float(object, "gradient_clip_val", (double)o->clip);
        cln__json_add(object, "gradient_clip_algorithm",
                      cJSON_CreateString(o->clip_kind == CLN_CLIP_NORM ? "norm" : "value"));
    }
    if (o->no_weight_decay_norm_bias)
        cln__json_add(object, "no_weight_decay_norm_bias", cJSON_CreateBool(true));
}

static char *recipe_json(const cln_fit_options *o) {
    const cln_recipe *r = &o->recipe;
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "optimizer", cJSON_CreateString(cln__optimizer_name(r->optimizer.kind)));
    add_float(object, "lr", (double)r->learning_rate);
    add_float(object, "weight_decay", (double)r->optimizer.weight_decay);
    if (r->optimizer.kind == CLN_SGD) {
        add_float(object, "momentum", (double)r->optimizer.momentum);
        cln__json_add(object, "nesterov", cJSON_CreateBool(r->optimizer.nesterov));
    } else {
        cln_optimizer adam = cln__optimizer_filled(&r->optimizer);
        add_floats(object, "betas", (const float[]){adam.beta1, adam.beta2}, 2);
        add_float(object, "eps", (double)adam.eps);
    }
    cln__json_add(object, "batch_size", cJSON_CreateNumber(r->batch_size));
    cln__json_add(object, "epochs", cJSON_CreateNumber(r->epochs));
    add_schedule(object, r);
    add_update(object, &r->optimizer);
    add_average(object, r);
    if (o->freeze)
        cln__json_add(object, "freeze", cJSON_CreateString(o->freeze));
    cln__json_add(object, "milestones", cJSON_CreateIntArray(r->milestones.values, r->milestones.count));
    add_float(object, "gamma", (double)r->gamma);
    add_float(object, "label_smoothing", (double)o->label_smoothing);
    add_limits(object, o);
    return cln__json_print(object);
}

cln_augmentation cln__fit_augmentation(const cln_fit_options *o) {
    return o->augmentation ? *o->augmentation : cln_augmentation_default();
}

static void add_range(cJSON *object, const char *name, cln_range range) {
    const double bounds[] = {range.low, range.high};
    cln__json_add(object, name, cJSON_CreateDoubleArray(bounds, 2));
}

static char *augmentation_json(const cln_augmentation *a) {
    const double colours[] = {a->brightness, a->contrast, a->saturation, a->hue};
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "hflip", cJSON_CreateNumber(a->hflip));
    add_range(object, "scale", a->scale);
    add_range(object, "ratio", a->ratio);
    cln__json_add(object, "random_crop_padding", cJSON_CreateNumber(a->crop_padding));
    cln__json_add(object, "padding_mode",
                  cJSON_CreateString(a->padding_mode == CLN_PAD_REFLECT ? "reflect" : "constant"));
    cln__json_add(object, "color_jitter", cJSON_CreateDoubleArray(colours, 4));
    cln__json_add(object, "cutout", cJSON_CreateNumber(a->cutout));
    cln__json_add(object, "reprob", cJSON_CreateNumber(a->erasing));
    cln__json_add(object, "mixup", cJSON_CreateNumber(a->mixup));
    cln__json_add(object, "cutmix", cJSON_CreateNumber(a->cutmix));
    return cln__json_print(object);
}

static char *split_json(const cln__checkpoint *c) {
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "training_images", cJSON_CreateNumber((double)c->data->count));
    cln__json_add(object, "validation_images", cJSON_CreateNumber((double)c->division->validation_count));
    return cln__json_print(object);
}

static char *metrics_json(const cln_fit_event *m) {
    cJSON *object = cJSON_CreateObject();
    add_float(object, "train_loss", m->train_loss);
    add_float(object, "train_acc", m->train_accuracy);
    if (m->validation.count > 0) {
        add_float(object, "val_loss", m->validation.loss);
        add_float(object, "val_acc", m->validation.accuracy);
    }
    return cln__json_print(object);
}

void cln__checkpoint_describe_options(const cln_fit_options *o, cln__entries *e) {
    const cln_augmentation augmentation = cln__fit_augmentation(o);
    cln__entries_put(e, "model", cln__format("%s", o->model->name));
    cln__entries_put(e, "recipe", recipe_json(o));
    cln__entries_put(e, "augmentation", augmentation_json(&augmentation));
    cln__entries_put(e, "seed", cln__format("%" PRIu64, o->seed));
    if (o->variant)
        cln__entries_put(e, "forced_variant", cln__format("%s", o->variant));
}

void cln__checkpoint_describe(const cln__checkpoint *c, cln__entries *e) {
    const cln_dataset *data = c->data;
    cln__entries_put(e, "library", cln__format("clnet %s", cln_version()));
    cln__checkpoint_describe_options(c->options, e);
    cln__entries_put(e, "hparams", cln_hparams_print(c->options->model, c->hparams));
    cln__entries_put(e, "image_shape", cln__format("[%d,%d,%d]", data->channels, data->height, data->width));
    cln__entries_put(e, "normalization", cln__normalization_print(&c->normalization));
    cln__entries_put(
        e, "class_names",
        cln__json_print(cJSON_CreateStringArray((const char *const *)data->class_names, data->num_classes)));
    cln__entries_put(e, "split", split_json(c));
    if (c->options->split_indices)
        cln__entries_put(e, "split_indices", cln__division_print(c->division));
    if (c->init_weights)
        cln__entries_put(e, "init_weights", cln__format("%s", c->init_weights));
    cln__entries_put(e, "epoch", cln__format("%d", c->epoch));
    if (c->plan) {
        cln__entries_put(e, "variants", cln_plan_variants(c->plan));
        cln__entries_put(e, "choices", cln__kernels_print(c->plan, c->evaluation_plan));
    }
    if (c->metrics)
        cln__entries_put(e, "metrics", metrics_json(c->metrics));
}

cln_status cln__checkpoint_save(cln_context *ctx, cln_weights *weights, const char *path, const cln__checkpoint *c) {
    cln__entries e = {.count = 0};
    cln__checkpoint_describe(c, &e);
    cln_status status = e.failed ? cln__fail_memory(ctx, "the metadata of the weights")
                                 : cln_weights_save(ctx, weights, path, e.at, e.count);
    cln__entries_free(&e);
    return status;
}
