/* A case's failures, memory, comparisons and weights; running it, and its end. */
#include "verify.h"

#include <fnmatch.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool verify_fail(verify_case *c, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    if (!c->reason[0])
        vsnprintf(c->reason, sizeof c->reason, format, arguments);
    va_end(arguments);
    return false;
}

/* What failed first is the reason. */
bool verify_fail_memory(verify_case *c) {
    c->lacks_memory = c->lacks_memory || !c->reason[0];
    return verify_fail(c, "%s", cln_status_text(CLN_OUT_OF_MEMORY));
}

bool verify_ok(verify_case *c, cln_status status) {
    if (status == CLN_OK)
        return true;
    c->lacks_memory = c->lacks_memory || (status == CLN_OUT_OF_MEMORY && !c->reason[0]);
    const char *message = cln_context_error(c->ctx);
    return verify_fail(c, "%s", message[0] ? message : cln_status_text(status));
}

bool verify_build(verify_case *c, const cln_graph *graph, cln_plan_options *options) {
    options->variant = c->variant;
    options->choices = c->choices.of;
    options->choice_count = c->choices.count;
    cln_plan_free(c->plan);
    c->plan = NULL;
    if (!verify_ok(c, cln_plan_build(c->device, graph, c->weights, options, &c->plan)))
        return false;
    c->tuned += cln_choices_count(&c->choices, c->plan);
    return true;
}

bool verify_grow(verify_case *c, void **array, int *capacity, int count, size_t size) {
    if (count < *capacity)
        return true;
    int wider = *capacity ? *capacity * 2 : 32;
    void *moved = realloc(*array, (size_t)wider * size);
    if (!moved)
        return verify_fail_memory(c);
    *array = moved;
    *capacity = wider;
    return true;
}

void *verify_alloc(verify_case *c, int64_t count, size_t size) {
    if (!verify_grow(c, (void **)&c->blocks, &c->block_capacity, c->block_count, sizeof *c->blocks))
        return NULL;
    void *block = count >= 0 ? calloc((size_t)count + 1, size) : NULL;
    if (!block) {
        verify_fail_memory(c);
        return NULL;
    }
    return c->blocks[c->block_count++] = block;
}

/* --- comparing --- */

double verify_error(const float *ours, const float *truth, int64_t count) {
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = (double)ours[i] - (double)truth[i];
        difference += d * d;
        norm += (double)truth[i] * (double)truth[i];
    }
    return norm > 0 ? sqrt(difference) / sqrt(norm) : sqrt(difference);
}

bool verify_add(verify_case *c, const char *group, const char *name, double error, double tolerance) {
    if (tolerance < 0)
        return true;
    if (!verify_grow(c, (void **)&c->results, &c->result_capacity, c->result_count, sizeof *c->results))
        return false;
    verify_result *r = &c->results[c->result_count++];
    *r = (verify_result){.error = error, .tolerance = tolerance};
    snprintf(r->group, sizeof r->group, "%s", group);
    snprintf(r->name, sizeof r->name, "%s", name);
    return true;
}

bool verify_compare(verify_case *c, const char *group, const char *name, const float *ours, const float *truth,
                    int64_t count, double tolerance) {
    return verify_add(c, group, name, verify_error(ours, truth, count), tolerance);
}

/* --- weights --- */

/* "conv.weight" for "param.conv.weight"; NULL for what is no parameter or has no place in a network. */
static const char *param_name(const cln_file_tensor *t) {
    bool counts = fnmatch("param.*", t->name, 0) == 0 && fnmatch("*num_batches_tracked", t->name, 0) != 0;
    return counts ? t->name + strlen("param.") : NULL;
}

/* Before memory is made for the weights: a network far larger than the file would only fill the machine. */
static bool check_size(verify_case *c) {
    int64_t found = 0, expected = cln_graph_parameters(c->graph);
    for (size_t i = 0; i < verify_tensor_count(c); i++) {
        const cln_file_tensor *t = verify_tensor_at(c, i);
        bool statistic = fnmatch("*.running_mean", t->name, 0) == 0 || fnmatch("*.running_var", t->name, 0) == 0;
        if (param_name(t) && !statistic)
            found += t->count;
    }
    return expected <= found || verify_fail(c, "the network has %lld parameters, the file's param.* hold only %lld",
                                            (long long)expected, (long long)found);
}

static bool check_names(verify_case *c, const char *prefix) {
    size_t skip = strlen(prefix);
    for (size_t i = 0; i < verify_tensor_count(c); i++) {
        const cln_file_tensor *t = verify_tensor_at(c, i);
        const char *name = param_name(t);
        bool known = !name;
        for (int k = 0; !known && k < cln_weights_count(c->weights); k++)
            known = strcmp(cln_weights_info(c->weights, k).name + skip, name) == 0;
        if (!known)
            return verify_fail(c, "tensor '%s': the network has no such parameter", t->name);
    }
    return true;
}

bool verify_load_weights(verify_case *c, const char *prefix) {
    if (!check_size(c) || !verify_ok(c, cln_weights_new(c->device, c->graph, 0, &c->weights)) ||
        !check_names(c, prefix))
        return false;
    for (int i = 0; i < cln_weights_count(c->weights); i++) {
        cln_weight_info info = cln_weights_info(c->weights, i);
        float *values = verify_floats(c, info.rank, info.shape, "param.%s", info.name + strlen(prefix));
        if (!values || !verify_ok(c, cln_weights_set(c->weights, i, CLN_VALUE, values, info.count)))
            return false;
    }
    return true;
}

float *verify_weight(verify_case *c, int index, cln_slot slot) {
    int64_t count = cln_weights_info(c->weights, index).count;
    float *values = verify_alloc(c, count, sizeof *values);
    return values && verify_ok(c, cln_weights_get(c->weights, index, slot, values, count)) ? values : NULL;
}

/* --- running --- */

static const struct {
    const char *name;
    bool (*run)(verify_case *c);
} kinds[] = {
    {"op", verify_op},
    {"optimizer", verify_optimizer_file},
    {"augment", verify_augment},
    {"model", verify_model},
};

static bool run_kind(verify_case *c) {
    const char *kind = verify_metadata(c, "kind");
    for (size_t i = 0; kind && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, kind) == 0)
            return kinds[i].run(c);
    return kind && verify_fail(c, "unknown kind '%.80s': op, optimizer, augment and model are known", kind);
}

bool verify_within(const verify_result *r) {
    return r->error <= r->tolerance;
}

double verify_excess(const verify_result *r) {
    return isnan(r->error) ? INFINITY : r->tolerance > 0 ? r->error / r->tolerance : r->error > 0 ? INFINITY : 0;
}

bool verify_run(verify_case *c) {
    c->graph = cln_graph_new(c->ctx);
    if (!c->graph)
        return verify_fail_memory(c);
    if (!run_kind(c))
        return false;
    bool passed = c->result_count > 0 || verify_fail(c, "its tolerances leave nothing to compare");
    for (int i = 0; i < c->result_count; i++)
        passed = passed && verify_within(&c->results[i]);
    return passed;
}

void verify_free(verify_case *c) {
    cln_plan_free(c->plan);
    cln_weights_free(c->weights);
    cln_graph_free(c->graph);
    cln_safetensors_free(c->file);
    cJSON_Delete(c->attributes);
    cJSON_Delete(c->tolerance);
    for (int i = 0; i < c->block_count; i++)
        free(c->blocks[i]);
    free(c->blocks);
    free(c->tensors);
    free(c->results);
}
