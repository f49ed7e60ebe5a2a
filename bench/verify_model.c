/* Golden files of whole networks: logits in evaluation mode, then training steps on one batch: logits, gradients, the
 * state after the first update, losses. */
#include "clnet/models.h"
#include "verify.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A bias in front of batch norm has no effect, and a gradient of zero: what the file has there is the rounding of
 * float64, 1e-14 of the layer's other gradients at most, where a bias that has an effect shows 1e-1. Such a one is
 * compared absolutely, against the largest gradient of its layer's weight. */
static const double zero_gradient = 1e-9, zero_gradient_tolerance = 1e-4;
/* Of parameters after an update, which is done in float64 with our own gradients: they are rounded once or twice. */
static const double update_tolerance = 1e-6;
enum { MAX_STEPS = 10000 };

typedef struct model_case {
    cln_tensor x, label, logits, loss;
    cln_shape x_shape, logits_shape;
    const float *input;
    const int32_t *labels;
    verify_optimizer optimizer;
    double logits_tolerance, grad_tolerance;
} model_case;

/* --- building --- */

static const cln_model *find_model(verify_case *c) {
    const char *name = verify_metadata(c, "model");
    const cln_model *model = name ? cln_model_find(name) : NULL;
    if (name && !model)
        verify_fail(c, "unknown model '%.80s'", name);
    return model;
}

/* The file's hyper-parameters; the images' channels, where they say nothing of them, are as in the file. */
static bool read_hparams(verify_case *c, const model_case *m, const cln_model *model, void **hparams) {
    const char *json = verify_metadata(c, "hparams");
    if (!json || !verify_parse(c, "hparams") || !verify_ok(c, cln_hparams_new(c->ctx, model, json, hparams)))
        return false;
    if (!cJSON_GetObjectItemCaseSensitive(c->attributes, "in_channels"))
        cln_hparams_set_int(model, *hparams, "in_channels", (int)m->x_shape.c);
    return true;
}

static bool build(verify_case *c, model_case *m) {
    const cln_model *model = find_model(c);
    const cln_file_tensor *input = model ? verify_find(c, CLN_F32, "input") : NULL;
    void *hparams = NULL;
    if (!input || !verify_shape(c, input, &m->x_shape))
        return false;
    if (input->rank != 4 || m->x_shape.c > INT32_MAX)
        return verify_fail(c, "tensor 'input' is not of four axes [n, c, h, w]");
    if (!read_hparams(c, m, model, &hparams))
        return false;
    m->x = cln_input(c->graph, "input", m->x_shape.n, m->x_shape.c, m->x_shape.h, m->x_shape.w);
    m->logits = model->build(c->graph, m->x, hparams);
    free(hparams);
    m->logits_shape = cln_tensor_shape(c->graph, m->logits);
    m->label = cln_labels(c->graph, "label", m->x_shape.n);
    m->loss = cln_softmax_ce(c->graph, m->logits, m->label, 0);
    if (!verify_ok(c, cln_graph_status(c->graph)))
        return false;
    m->input = verify_floats(c, 4, input->shape, "input");
    m->labels = m->input ? verify_labels(c, m->x_shape.n, m->logits_shape.c) : NULL;
    return m->labels && verify_load_weights(c, "");
}

static bool build_plan(verify_case *c, const model_case *m, bool training) {
    const cln_tensor outputs[2] = {m->logits, m->loss};
    cln_plan_options options = {.training = training,
                                .loss = m->loss,
                                .optimizer = m->optimizer.optimizer,
                                .outputs = outputs,
                                .output_count = 2};
    return verify_build(c, c->graph, &options) &&
           verify_ok(c, cln_plan_write(c->plan, m->x, m->input, verify_count(m->x_shape))) &&
           verify_ok(c, cln_plan_write_labels(c->plan, m->label, m->labels, m->x_shape.n));
}

/* --- comparing --- */

static bool compare_logits(verify_case *c, const model_case *m, const char *name) {
    const int64_t shape[2] = {m->logits_shape.n, m->logits_shape.c}, count = shape[0] * shape[1];
    const float *truth = verify_floats(c, 2, shape, "%s", name);
    float *ours = truth ? verify_alloc(c, count, sizeof *ours) : NULL;
    return ours && verify_ok(c, cln_plan_read(c->plan, m->logits, ours, count)) &&
           verify_compare(c, name, "", ours, truth, count, m->logits_tolerance);
}

static double largest(const float *values, int64_t count) {
    double result = 0;
    for (int64_t i = 0; i < count; i++)
        result = fabs((double)values[i]) > result ? fabs((double)values[i]) : result;
    return result;
}

/* The largest true gradient of the weight that `bias` belongs to; 0 if it is no bias of a convolution or linear layer.
 */
static double weight_gradient(verify_case *c, const char *bias) {
    size_t length = strlen(bias), tail = strlen("bias");
    if (length < tail || strcmp(bias + length - tail, "bias") != 0)
        return 0;
    for (int i = 0; i < cln_weights_count(c->weights); i++) {
        cln_weight_info info = cln_weights_info(c->weights, i);
        if (info.rank < 2 || strncmp(info.name, bias, length - tail) != 0 ||
            strcmp(info.name + length - tail, "weight") != 0)
            continue;
        const float *truth = verify_floats(c, info.rank, info.shape, "grad.%s", info.name);
        return truth ? largest(truth, info.count) : 0;
    }
    return 0;
}

static bool compare_gradient(verify_case *c, const model_case *m, const cln_weight_info *info, const float *ours) {
    const float *truth = verify_floats(c, info->rank, info->shape, "grad.%s", info->name);
    if (!truth || m->grad_tolerance < 0)
        return truth != NULL;
    double scale = weight_gradient(c, info->name);
    if (!(largest(truth, info->count) < zero_gradient * scale))
        return verify_compare(c, "grad", info->name, ours, truth, info->count, m->grad_tolerance);
    double error = 0;
    for (int64_t i = 0; i < info->count && !isnan(error); i++) {
        double d = fabs((double)ours[i] - (double)truth[i]) / scale;
        error = d <= error ? error : d;
    }
    return verify_add(c, "zero grad", info->name, error, zero_gradient_tolerance);
}

/* Of the parameter that was `before`, against the update of float64 with the gradient that we computed. */
static double update_error(const model_case *m, const float *before, const float *gradient, const float *after,
                           int64_t count) {
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        double truth = verify_first_update(&m->optimizer, (double)before[i], (double)gradient[i]);
        difference += (after[i] - truth) * (after[i] - truth);
        norm += truth * truth;
    }
    return norm > 0 ? sqrt(difference / norm) : sqrt(difference);
}

/* A weight after the first step. The gradient is read here too: the second step overwrites it. */
static bool compare_weight(verify_case *c, const model_case *m, int index) {
    cln_weight_info info = cln_weights_info(c->weights, index);
    const float *truth = verify_floats(c, info.rank, info.shape, "after1.%s", info.name);
    const float *after = truth ? verify_weight(c, index, CLN_VALUE) : NULL;
    if (!after)
        return false;
    if (!info.trainable)
        return verify_compare(c, "after1 statistics", info.name, after, truth, info.count, m->logits_tolerance);
    const float *before = verify_floats(c, info.rank, info.shape, "param.%s", info.name);
    const float *gradient = before ? verify_weight(c, index, CLN_GRADIENT) : NULL;
    return gradient && compare_gradient(c, m, &info, gradient) &&
           verify_add(c, "after1", info.name, update_error(m, before, gradient, after, info.count), update_tolerance);
}

static bool compare_first_step(verify_case *c, const model_case *m) {
    if (!compare_logits(c, m, "logits_train"))
        return false;
    for (int i = 0; i < cln_weights_count(c->weights); i++)
        if (!compare_weight(c, m, i))
            return false;
    return true;
}

static bool compare_loss(verify_case *c, const model_case *m, int index, float truth) {
    char name[32];
    float ours;
    double tolerance;
    snprintf(name, sizeof name, "step %d", index + 1);
    return verify_ok(c, cln_plan_read(c->plan, m->loss, &ours, 1)) &&
           verify_tolerance(c, "losses", index, &tolerance) &&
           verify_compare(c, "losses", name, &ours, &truth, 1, tolerance);
}

static bool train(verify_case *c, const model_case *m) {
    const cln_file_tensor *t = verify_find(c, CLN_F32, "losses");
    const float *losses = t ? verify_floats(c, 1, (const int64_t[]){-1}, "losses") : NULL;
    if (!losses || !build_plan(c, m, true))
        return false;
    if (t->count < 1 || t->count > MAX_STEPS)
        return verify_fail(c, "tensor 'losses' has %lld steps, expected 1 to %d", (long long)t->count, MAX_STEPS);
    for (int i = 0; i < (int)t->count; i++)
        if (!verify_ok(c, cln_plan_step(c->plan, (float)m->optimizer.lr)) || (i == 0 && !compare_first_step(c, m)) ||
            !compare_loss(c, m, i, losses[i]))
            return false;
    return true;
}

bool verify_model(verify_case *c) {
    model_case m = {.x = CLN_NO_TENSOR};
    return verify_read_optimizer(c, "optimizer_hparams", CLN_ADAMW, &m.optimizer) && build(c, &m) &&
           verify_tolerance(c, "logits", 0, &m.logits_tolerance) && verify_tolerance(c, "grad", 0, &m.grad_tolerance) &&
           build_plan(c, &m, false) && verify_ok(c, cln_plan_step(c->plan, 0)) &&
           compare_logits(c, &m, "logits_eval") && train(c, &m);
}
