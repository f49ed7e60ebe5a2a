/* Making the table: weights are found or trained, then tested; each result is kept before the next begins. */
#include "../src/cli/interrupt.h"
#include "../src/cli/report.h"
#include "table.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static const int quick_epochs = 10;

typedef struct maker {
    cln_context *ctx;
    const table_options *o;
    table *t;
    cln_device *device;
    const char *model; /* of the run that is trained, and its seed */
    int64_t seed;
    char state[TABLE_PATH];
} maker;

static cln_status fail(const char *format, const char *a, const char *b) {
    fprintf(stderr, "clbench: table: ");
    fprintf(stderr, format, a, b);
    fprintf(stderr, "\n");
    return CLN_INVALID_ARGUMENT;
}

cln_status table_save(cln_context *ctx, const table *t, const char *path) {
    cJSON *json = table_to_json(t);
    char *printed = json ? cJSON_Print(json) : NULL, *text = printed ? cln_utf8_repair(printed) : NULL;
    cJSON_Delete(json);
    cJSON_free(printed);
    cln_status status = text ? cln_file_write(ctx, path, text, strlen(text)) : CLN_OUT_OF_MEMORY;
    free(text);
    return status;
}

static cln_status keep(const maker *m) {
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc))
        strftime(m->t->date, sizeof m->t->date, "%Y-%m-%d %H:%M UTC", &utc);
    snprintf(m->t->version, sizeof m->t->version, "%s", cln_version());
    return *m->state ? table_save(m->ctx, m->t, m->state) : CLN_OK;
}

/* --- which models, and from where --- */

/* Whether `name` is among the names with commas between them; NULL: all are. */
bool table_is_listed(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return !list;
}

static cln_status check_names(const char *list) {
    for (const char *at = list; at && *at;) {
        char name[64];
        size_t length = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63), at);
        if (!cln_model_find(name))
            return fail("--models: there is no model '%s' (see cltrain models)%s", name, "");
        at += length + (at[length] == ',');
    }
    return CLN_OK;
}

/* "<folder>/<model>.<one of the endings>", if there is such a file. */
static bool find_weights(const char *folder, const char *model, char path[TABLE_PATH]) {
    static const char *const endings[] = {"safetensors", "ckpt", "pt", "pth"};
    struct stat info;
    for (size_t i = 0; folder && i < sizeof endings / sizeof *endings; i++) {
        int length = snprintf(path, TABLE_PATH, "%s/%s.%s", folder, model, endings[i]);
        if (length < TABLE_PATH && stat(path, &info) == 0 && S_ISREG(info.st_mode))
            return true;
    }
    return false;
}

/* Before hours are spent on the others. */
static cln_status check_sources(const table_options *o) {
    char path[TABLE_PATH];
    int count;
    cln_status status = check_names(o->models);
    const cln_model *const *models = cln_models(&count);
    for (int i = 0; i < count && status == CLN_OK; i++)
        if (table_is_listed(o->models, models[i]->name) && !o->runs &&
            !find_weights(o->pretrained, models[i]->name, path))
            status =
                fail("there is no %s.safetensors, .ckpt, .pt or .pth in '%s': give --runs to train what is missing, "
                     "or --models to leave it out",
                     models[i]->name, o->pretrained);
    return status;
}

static cln_status describe_data(maker *m) {
    cln_dataset *d;
    cln_status status = cln_dataset_load(m->ctx, m->o->data, CLN_SPLIT_TRAIN, NULL, &d);
    if (status != CLN_OK)
        return status;
    m->t->train_images = d->count;
    cln_dataset_free(d);
    status = cln_dataset_load(m->ctx, m->o->data, CLN_SPLIT_TEST, NULL, &d);
    if (status != CLN_OK)
        return status;
    m->t->test_images = d->count;
    snprintf(m->t->format, sizeof m->t->format, "%s", d->format);
    snprintf(m->t->data, sizeof m->t->data, "%s", m->o->data);
    cln_dataset_free(d);
    return CLN_OK;
}

/* --- testing --- */

static bool is_trained(const char *name) {
    static const char *const others[] = {"*running_mean", "*running_var", "*num_batches_tracked"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (fnmatch(others[i], name, 0) == 0)
            return false;
    return true;
}

/* Trainable numbers in the file. */
static cln_status count_parameters(cln_context *ctx, const char *path, int64_t *out) {
    cln_weights_file *file;
    cln_status status = cln_weights_file_read(ctx, path, &file);
    if (status != CLN_OK)
        return status;
    *out = 0;
    for (size_t i = 0; i < cln_weights_file_count(file); i++) {
        const cln_file_tensor *tensor = cln_weights_file_at(file, i);
        if (is_trained(tensor->name))
            *out += tensor->count;
    }
    cln_weights_file_free(file);
    return CLN_OK;
}

static table_score score_of(const cln_score *s) {
    return (table_score){s->correct, s->count};
}

/* Which images were held back is known from a list, from the file, or because all of CIFAR-10 is there. */
static bool can_validate(const maker *m, const cln_training_record *r) {
    if (m->o->split_indices)
        return true;
    if (r->has_split)
        return r->training_images == m->t->train_images && r->validation_images > 0;
    return m->t->train_images == PUBLISHED_TRAIN_IMAGES && strcmp(m->t->format, "cifar10") == 0;
}

static cln_status test_weights(const maker *m, const cln_model *model, table_run *run) {
    const table_options *o = m->o;
    cln_training_record record;
    cln_score score;
    cln_status status = cln_training_record_read(m->ctx, run->weights, &record);
    if (status == CLN_OK)
        status = count_parameters(m->ctx, run->weights, &run->parameters);
    if (status != CLN_OK)
        return status;
    cln_evaluate_options e = {.weights = run->weights,
                              .data = o->data,
                              .subset = CLN_SUBSET_VALIDATION,
                              .split_indices = o->split_indices,
                              .validation = o->validation,
                              .draw_split = true,
                              .seed = 42, /* the published split's */
                              .model = record.model[0] ? NULL : model,
                              .batch_size = o->batch_size > 0 ? (int)o->batch_size : model->recipe->batch_size,
                              .workers = (int)o->workers,
                              .tuned = !o->tuning.none,
                              .tuning = o->tuning.path};
    e.models = cln_models(&e.model_count);
    run->epochs = record.epochs;
    if (can_validate(m, &record))
        status = cln_evaluate(m->ctx, m->device, &e, &score);
    if (status == CLN_OK && can_validate(m, &record))
        run->validation = score_of(&score);
    e.subset = CLN_SUBSET_TEST;
    if (status == CLN_OK)
        status = cln_evaluate(m->ctx, m->device, &e, &score);
    if (status == CLN_OK)
        run->test = score_of(&score);
    return status;
}

/* --- training --- */

static cln_recipe recipe_of(const table_options *o, const cln_model *model) {
    cln_recipe r = *model->recipe;
    r.epochs = o->epochs > 0 ? (int)o->epochs : o->quick ? quick_epochs : r.epochs;
    r.batch_size = o->batch_size > 0 ? (int)o->batch_size : r.batch_size;
    r.milestones = cln_recipe_milestones(model->recipe, r.epochs);
    if (o->quick) {
        r.lr_scheduler = CLN_LR_ONECYCLE; /* which sets the momentum, too */
        r.milestones.count = 0;
        r.gamma = 1;
        r.optimizer.momentum = 0;
    }
    return r;
}

static void show(void *user, const cln_fit_event *e) {
    const maker *m = user;
    char left[32];
    report_warnings("clbench", m->ctx);
    if (e->stage != CLN_FIT_EPOCH)
        return;
    fprintf(stderr, "%s, seed %" PRId64 ", epoch %d of %d: train_acc %.4f", m->model, m->seed, e->epoch, e->epochs,
            e->train_accuracy);
    if (e->validation.count)
        fprintf(stderr, ", val_acc %.4f", e->validation.accuracy);
    fprintf(stderr, "; %.0f images/s, %s left\n", e->images_per_s, report_time(e->seconds_left, left));
}

/* Trains in run->folder, or goes on there; then run->weights is the file to be compared. */
static cln_status train(maker *m, const cln_model *model, table_run *run, bool *stopped) {
    const table_options *o = m->o;
    char state[INTERRUPT_PATH];
    cln_fit_result result;
    cln_fit_options f = {.model = model,
                         .recipe = recipe_of(o, model),
                         .data = o->data,
                         .validation = o->validation,
                         .split_indices = o->split_indices,
                         .seed = (uint64_t)run->seed,
                         .workers = (int)o->workers,
                         .out = run->folder,
                         .resume = interrupt_state("last", run->folder, state),
                         .should_stop = interrupt_asked,
                         .tuned = !o->tuning.none,
                         .tuning = o->tuning.path,
                         .on_event = show,
                         .user = m};
    m->model = model->name;
    m->seed = run->seed;
    cln_status status = cln_fit(m->ctx, m->device, &f, &result);
    if (status != CLN_OK)
        return status;
    *stopped = result.stopped;
    char weights[TABLE_PATH];
    snprintf(weights, sizeof weights, "%s/%s.safetensors", f.out, result.best_saved ? "best" : "last");
    memcpy(run->weights, weights, sizeof weights);
    run->epochs = result.epochs;
    run->validation = score_of(&result.validation);
    run->test = score_of(&result.test);
    return *stopped ? CLN_OK : count_parameters(m->ctx, run->weights, &run->parameters);
}

/* --- rows --- */

static const table_run *find_run(const table_row *row, const char *key) {
    for (int i = 0; i < row->run_count; i++)
        if (strcmp(row->runs[i].key, key) == 0)
            return &row->runs[i];
    return NULL;
}

static void describe_found(const maker *m, table_run *run) {
    struct stat info = {.st_size = 0};
    char key[sizeof run->key];
    stat(run->weights, &info);
    snprintf(key, sizeof key, "weights %s, %lld bytes of %lld.%09ld; data %s, split %s %g", run->weights,
             (long long)info.st_size, (long long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec, m->o->data,
             m->o->split_indices ? m->o->split_indices : "-", m->o->validation);
    memcpy(run->key, key, sizeof key);
}

static void describe_trained(const maker *m, const cln_model *model, table_run *run) {
    const table_options *o = m->o;
    cln_recipe r = recipe_of(o, model);
    snprintf(run->folder, sizeof run->folder, "%s/%s/seed_%" PRId64, o->runs, model->name, run->seed);
    snprintf(run->key, sizeof run->key, "%d epochs of %s, batches of %d, seed %" PRId64 "; data %s, split %s %g",
             r.epochs, cln_lr_scheduler_name(r.lr_scheduler), r.batch_size, run->seed, o->data,
             o->split_indices ? o->split_indices : "-", o->validation);
}

/* Adds the run to `fresh`, from `old` if it is there. */
static cln_status make_run(maker *m, const cln_model *model, const table_row *old, table_row *fresh, bool *stopped) {
    table_run *run = &fresh->runs[fresh->run_count];
    *run = (table_run){.seed = m->o->seed + fresh->run_count};
    bool found = find_weights(m->o->pretrained, model->name, run->weights);
    if (found)
        describe_found(m, run);
    else
        describe_trained(m, model, run);
    const table_run *known = find_run(old, run->key);
    cln_status status = CLN_OK;
    if (known) {
        *run = *known;
    } else {
        fprintf(stderr, "%s: %s %s\n", model->name, found ? "testing" : "training in",
                found ? run->weights : run->folder);
        status = found ? test_weights(m, model, run) : train(m, model, run, stopped);
    }
    fresh->run_count += status == CLN_OK && !*stopped;
    return status;
}

/* Replaces the row's runs, one after the other, by those that were asked for. */
static cln_status make_row(maker *m, const cln_model *model, table_row *row, bool *stopped) {
    char path[TABLE_PATH];
    int64_t count = find_weights(m->o->pretrained, model->name, path) ? 1 : m->o->seeds;
    table_row *old = malloc(sizeof *old), *fresh = calloc(1, sizeof *fresh);
    cln_status status = old && fresh ? CLN_OK : CLN_OUT_OF_MEMORY;
    if (status == CLN_OK)
        *old = *row;
    for (int64_t i = 0; i < count && status == CLN_OK && !*stopped; i++) {
        status = make_run(m, model, old, fresh, stopped);
        if (status != CLN_OK || *stopped)
            break;
        /* What is not asked for again stays in the state, behind, until the row is complete. */
        memcpy(row->runs, fresh->runs, sizeof row->runs);
        row->run_count = fresh->run_count;
        for (int k = 0; i + 1 < count && k < old->run_count && row->run_count < TABLE_MAX_RUNS; k++)
            if (!find_run(fresh, old->runs[k].key))
                row->runs[row->run_count++] = old->runs[k];
        status = keep(m);
        *stopped = interrupt_asked(NULL);
    }
    free(old);
    free(fresh);
    return status;
}

static int make_all(maker *m, bool *stopped) {
    int count, exit_status = CLN_OK;
    const cln_model *const *models = cln_models(&count);
    for (int i = 0; i < count && exit_status == CLN_OK && !*stopped; i++) {
        if (!table_is_listed(m->o->models, models[i]->name))
            continue;
        table_row *row = table_find(m->t, models[i]->name);
        if (!row)
            return fail("there is no room for another model in '%s'%s", m->state, "");
        exit_status = report_end("clbench", m->ctx, make_row(m, models[i], row, stopped));
        if (exit_status == CLN_OK && m->o->speed && !*stopped) {
            exit_status = table_measure(m->o, m->t, row);
            *stopped = interrupt_asked(NULL);
            int kept = report_end("clbench", m->ctx, keep(m));
            exit_status = *stopped ? kept : exit_status ? exit_status : kept;
        }
    }
    return exit_status;
}

static void describe_recipe(const table_options *o, table *t) {
    if (!o->runs)
        return;
    if (o->quick)
        snprintf(t->recipe, sizeof t->recipe, "a short recipe, %d epochs in one cycle of the learning rate",
                 o->epochs > 0 ? (int)o->epochs : quick_epochs);
    else
        snprintf(t->recipe, sizeof t->recipe, "the published recipe%s",
                 o->epochs > 0 ? ", its milestones moved in proportion to the epochs" : "");
}

int table_make(cln_context *ctx, const table_options *o, table *t, bool *stopped) {
    maker m = {.ctx = ctx, .o = o, .t = t};
    if (o->runs)
        snprintf(m.state, sizeof m.state, "%s/table.json", o->runs);
    cln_status status = check_sources(o);
    if (status != CLN_OK)
        return status;
    describe_recipe(o, t);
    status = report_open_device(ctx, o->device, stderr, &m.device);
    if (status == CLN_OK)
        table_describe_machine(cln_device_get_info(m.device), &t->machine);
    if (status == CLN_OK)
        status = describe_data(&m);
    int exit_status = report_end("clbench", ctx, status);
    if (status == CLN_OK)
        exit_status = make_all(&m, stopped);
    cln_device_free(m.device);
    return exit_status;
}
