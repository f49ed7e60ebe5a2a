/* The table as JSON, and back. Whatever the file holds, what comes back is within the bounds that others rely on. */
#include "../src/cli/report.h"
#include "json_file.h"
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char kind[] = "clnet table";
static const double max_count = 9007199254740992.0; /* 2^53 */

cln_status table_new(table *out) {
    *out = (table){.row_count = 0};
    out->rows = calloc(TABLE_MAX_ROWS, sizeof *out->rows);
    return out->rows ? CLN_OK : CLN_OUT_OF_MEMORY;
}

void table_free(table *t) {
    for (int i = 0; i < t->row_count; i++)
        free(t->rows[i].measures.points);
    free(t->rows);
}

table_row *table_find(table *t, const char *model) {
    for (int i = 0; i < t->row_count; i++)
        if (strcmp(t->rows[i].model, model) == 0)
            return &t->rows[i];
    if (t->row_count == TABLE_MAX_ROWS)
        return NULL;
    table_row *row = &t->rows[t->row_count++];
    json_clean(model, row->model, sizeof row->model);
    return row;
}

/* --- writing --- */

static void add_score(cJSON *object, const char *name, table_score s) {
    if (s.count == 0)
        return;
    cJSON *item = cln__json_add(object, name, cJSON_CreateObject());
    cln__json_add(item, "correct", cJSON_CreateNumber((double)s.correct));
    cln__json_add(item, "count", cJSON_CreateNumber((double)s.count));
    report_json_float(item, "accuracy", (double)s.correct / (double)s.count);
}

static cJSON *run_json(const table_run *r) {
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "seed", cJSON_CreateNumber((double)r->seed));
    cln__json_add(object, "weights", cJSON_CreateString(r->weights));
    if (*r->folder)
        cln__json_add(object, "folder", cJSON_CreateString(r->folder));
    cln__json_add(object, "epochs", cJSON_CreateNumber(r->epochs));
    cln__json_add(object, "parameters", cJSON_CreateNumber((double)r->parameters));
    add_score(object, "validation", r->validation);
    add_score(object, "test", r->test);
    cln__json_add(object, "key", cJSON_CreateString(r->key));
    return object;
}

static void add_speed(cJSON *object, const char *name, const table_speed *s) {
    if (s->images_per_s <= 0)
        return;
    cJSON *item = cln__json_add(object, name, cJSON_CreateObject());
    report_json_float(item, "images_per_s", s->images_per_s);
    report_json_float(item, "p25", s->low);
    report_json_float(item, "p75", s->high);
    cln__json_add(item, "planned_bytes", cJSON_CreateNumber(s->planned_bytes));
    cln__json_add(item, "peak_process_bytes", cJSON_CreateNumber(s->process_bytes));
}

static cJSON *point_json(const table_point *p) {
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "op", cJSON_CreateString(p->op));
    cln__json_add(object, "layer", cJSON_CreateString(p->layer));
    report_json_float(object, "ms", p->ms);
    report_json_float(object, "flops", p->flops);
    report_json_float(object, "bytes", p->bytes);
    return object;
}

static void add_measures(cJSON *row, const table_measures *m) {
    if (!*m->key)
        return;
    cJSON *object = cln__json_add(row, "speed", cJSON_CreateObject());
    cln__json_add(object, "batch_size", cJSON_CreateNumber(m->batch_size));
    add_speed(object, "train", &m->train);
    add_speed(object, "infer", &m->infer);
    report_json_float(object, "start_up_s", m->start_up_s);
    report_json_float(object, "step_ms", m->step_ms);
    cln__json_add(object, "key", cJSON_CreateString(m->key));
    cJSON *points = cln__json_add(object, "launches", cJSON_CreateArray());
    for (int i = 0; i < m->point_count; i++)
        cln__json_append(points, point_json(&m->points[i]));
}

static void add_statistics(cJSON *object, const char *name, table_accuracy a) {
    if (a.count == 0)
        return;
    cJSON *item = cln__json_add(object, name, cJSON_CreateObject());
    report_json_float(item, "mean", a.mean);
    report_json_float(item, "deviation", a.deviation);
    report_json_float(item, "standard_error", a.error);
    cln__json_add(item, "runs", cJSON_CreateNumber(a.count));
    cln__json_add(item, "images", cJSON_CreateNumber((double)a.images));
}

static cJSON *row_json(const table_row *r) {
    cJSON *object = cJSON_CreateObject();
    const published *p = published_find(r->model);
    cln__json_add(object, "model", cJSON_CreateString(r->model));
    if (p) {
        cJSON *item = cln__json_add(object, "published", cJSON_CreateObject());
        report_json_float(item, "validation_accuracy", p->validation);
        report_json_float(item, "test_accuracy", p->test);
        cln__json_add(item, "parameters", cJSON_CreateNumber((double)p->parameters));
    }
    table_accuracy test = table_test(r);
    add_statistics(object, "test", test);
    add_statistics(object, "validation", table_validation(r));
    if (p && test.count)
        report_json_float(object, "test_difference", test.mean - p->test);
    cJSON *runs = cln__json_add(object, "runs", cJSON_CreateArray());
    for (int i = 0; i < r->run_count; i++)
        cln__json_append(runs, run_json(&r->runs[i]));
    add_measures(object, &r->measures);
    return object;
}

static void add_machine(cJSON *object, const table_machine *m) {
    cJSON *item = cln__json_add(object, "machine", cJSON_CreateObject());
    cln__json_add(item, "device", cJSON_CreateString(m->device));
    cln__json_add(item, "type", cJSON_CreateString(m->type));
    cln__json_add(item, "platform", cJSON_CreateString(m->platform));
    cln__json_add(item, "version", cJSON_CreateString(m->version));
    cln__json_add(item, "driver", cJSON_CreateString(m->driver));
    cln__json_add(item, "processor", cJSON_CreateString(m->processor));
    cln__json_add(item, "system", cJSON_CreateString(m->system));
    cln__json_add(item, "compute_units", cJSON_CreateNumber(m->compute_units));
    cln__json_add(item, "memory_bytes", cJSON_CreateNumber(m->memory_bytes));
    report_json_float(item, "peak_gflops", m->peak_gflops);
    report_json_float(item, "bandwidth_gbs", m->bandwidth_gbs);
}

cJSON *table_to_json(const table *t) {
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "kind", cJSON_CreateString(kind));
    cln__json_add(object, "clnet", cJSON_CreateString(t->version));
    cln__json_add(object, "date", cJSON_CreateString(t->date));
    cln__json_add(object, "command", cJSON_CreateString(t->command));
    cln__json_add(object, "data", cJSON_CreateString(t->data));
    cln__json_add(object, "format", cJSON_CreateString(t->format));
    cln__json_add(object, "train_images", cJSON_CreateNumber((double)t->train_images));
    cln__json_add(object, "test_images", cJSON_CreateNumber((double)t->test_images));
    cln__json_add(object, "test_is_sample", cJSON_CreateBool(table_data_of(t) == TABLE_SAMPLE));
    cln__json_add(object, "recipe", cJSON_CreateString(t->recipe));
    cln__json_add(object, "published_source", cJSON_CreateString(published_source));
    add_machine(object, &t->machine);
    cJSON *rows = cln__json_add(object, "rows", cJSON_CreateArray());
    for (int i = 0; i < t->row_count; i++)
        cln__json_append(rows, row_json(&t->rows[i]));
    return object;
}

/* --- reading --- */

static table_score read_score(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    double count = floor(json_number_within(item, "count", 1, max_count, 0));
    double correct = floor(json_number_within(item, "correct", 0, count, -1));
    return correct < 0 ? (table_score){0, 0} : (table_score){(int64_t)correct, (int64_t)count};
}

static void read_run(const cJSON *object, table_run *r) {
    json_text(object, "key", r->key, sizeof r->key);
    json_text(object, "weights", r->weights, sizeof r->weights);
    json_text(object, "folder", r->folder, sizeof r->folder);
    r->seed = (int64_t)json_number_within(object, "seed", 0, max_count, 0);
    r->epochs = (int)json_number_within(object, "epochs", 0, 1e9, 0);
    r->parameters = (int64_t)json_number_within(object, "parameters", 0, max_count, 0);
    r->validation = read_score(object, "validation");
    r->test = read_score(object, "test");
}

static void read_speed(const cJSON *object, const char *name, table_speed *s) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    s->images_per_s = json_number_within(item, "images_per_s", 0, 1e15, 0);
    s->low = json_number_within(item, "p25", 0, 1e15, s->images_per_s);
    s->high = json_number_within(item, "p75", 0, 1e15, s->images_per_s);
    s->planned_bytes = json_number_within(item, "planned_bytes", 0, max_count, 0);
    s->process_bytes = json_number_within(item, "peak_process_bytes", 0, max_count, 0);
}

static cln_status read_points(const cJSON *object, table_measures *m) {
    const cJSON *points = cJSON_GetObjectItemCaseSensitive(object, "launches"), *item;
    int count = cJSON_IsArray(points) ? cJSON_GetArraySize(points) : 0;
    count = count < TABLE_MAX_POINTS ? count : TABLE_MAX_POINTS;
    m->points = calloc((size_t)count + 1, sizeof *m->points);
    if (!m->points)
        return CLN_OUT_OF_MEMORY;
    cJSON_ArrayForEach(item, points) {
        if (m->point_count == count)
            break;
        table_point *p = &m->points[m->point_count];
        json_text(item, "op", p->op, sizeof p->op);
        json_text(item, "layer", p->layer, sizeof p->layer);
        p->ms = json_number_within(item, "ms", 1e-9, 1e12, 0);
        p->flops = json_number_within(item, "flops", 0, 1e18, 0);
        p->bytes = json_number_within(item, "bytes", 0, 1e18, 0);
        m->point_count += p->ms > 0;
    }
    return CLN_OK;
}

static cln_status read_measures(const cJSON *row, table_measures *m) {
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(row, "speed");
    if (!cJSON_IsObject(object))
        return CLN_OK;
    json_text(object, "key", m->key, sizeof m->key);
    m->batch_size = (int)json_number_within(object, "batch_size", 1, 1 << 24, 0);
    read_speed(object, "train", &m->train);
    read_speed(object, "infer", &m->infer);
    m->start_up_s = json_number_within(object, "start_up_s", 0, 1e9, 0);
    m->step_ms = json_number_within(object, "step_ms", 0, 1e12, 0);
    return read_points(object, m);
}

static cln_status read_row(const cJSON *object, table *t) {
    char model[64];
    json_text(object, "model", model, sizeof model);
    int before = t->row_count;
    table_row *row = *model ? table_find(t, model) : NULL;
    if (!row || t->row_count == before) /* no name, no room, or there twice */
        return CLN_INVALID_FILE;
    const cJSON *runs = cJSON_GetObjectItemCaseSensitive(object, "runs"), *item;
    cJSON_ArrayForEach(item, runs) if (row->run_count < TABLE_MAX_RUNS) read_run(item, &row->runs[row->run_count++]);
    return read_measures(object, &row->measures);
}

static void read_machine(const cJSON *object, table_machine *m) {
    json_text(object, "device", m->device, sizeof m->device);
    json_text(object, "type", m->type, sizeof m->type);
    json_text(object, "platform", m->platform, sizeof m->platform);
    json_text(object, "version", m->version, sizeof m->version);
    json_text(object, "driver", m->driver, sizeof m->driver);
    json_text(object, "processor", m->processor, sizeof m->processor);
    json_text(object, "system", m->system, sizeof m->system);
    m->compute_units = (int)json_number_within(object, "compute_units", 0, 1e6, 0);
    m->memory_bytes = json_number_within(object, "memory_bytes", 0, 1e18, 0);
    m->peak_gflops = json_number_within(object, "peak_gflops", 1e-3, 1e12, 0);
    m->bandwidth_gbs = json_number_within(object, "bandwidth_gbs", 1e-3, 1e12, 0);
}

static void read_head(const cJSON *object, table *t) {
    json_text(object, "clnet", t->version, sizeof t->version);
    json_text(object, "date", t->date, sizeof t->date);
    json_text(object, "command", t->command, sizeof t->command);
    json_text(object, "data", t->data, sizeof t->data);
    json_text(object, "format", t->format, sizeof t->format);
    json_text(object, "recipe", t->recipe, sizeof t->recipe);
    t->train_images = (int64_t)json_number_within(object, "train_images", 0, max_count, 0);
    t->test_images = (int64_t)json_number_within(object, "test_images", 0, max_count, 0);
    read_machine(cJSON_GetObjectItemCaseSensitive(object, "machine"), &t->machine);
}

static cln_status read_all(const char *command, const char *path, const cJSON *object, table *t) {
    char found[32];
    json_text(object, "kind", found, sizeof found);
    const cJSON *rows = cJSON_GetObjectItemCaseSensitive(object, "rows"), *item;
    if (strcmp(found, kind) != 0 || !cJSON_IsArray(rows))
        return json_file_refuse(command, path, "expected a table as clbench table --format json writes it");
    read_head(object, t);
    cJSON_ArrayForEach(item, rows) {
        cln_status status = read_row(item, t);
        if (status == CLN_INVALID_FILE)
            return json_file_refuse(command, path,
                                    "a row of the table has no model, or there are two of one, or more than %d",
                                    TABLE_MAX_ROWS);
        if (status != CLN_OK)
            return status;
    }
    return CLN_OK;
}

cln_status table_read(const char *command, const char *path, table *out) {
    cJSON *object;
    cln_status status = table_new(out);
    if (status != CLN_OK)
        return status;
    status = json_file_read(command, path, &object);
    if (status == CLN_OK)
        status = read_all(command, path, object, out);
    cJSON_Delete(object);
    return status;
}
