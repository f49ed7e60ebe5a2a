/* See trial.h. */
#include "trial.h"
#include "../runtime/tuning.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ||ours - expected|| / ||expected||. Kernels that transform (Winograd) stay below 1e-5 for a tensor. Sums over images
 * and pixels cancel, so that they are a small part of what was added. */
static const double tolerances[CLN__RESULT_COUNT] = {
    [CLN__RESULT_Y] = 1e-4,  [CLN__RESULT_MEAN] = 1e-3, [CLN__RESULT_VAR] = 1e-3,
    [CLN__RESULT_DX] = 1e-4, [CLN__RESULT_DW] = 1e-4,   [CLN__RESULT_DB] = 1e-3,
    [CLN__RESULT_D] = 1e-4,  [CLN__RESULT_SUM0] = 1e-3, [CLN__RESULT_SUM1] = 1e-3};
static const char *const names[CLN__RESULT_COUNT] = {"the result",
                                                     "its mean",
                                                     "its variance",
                                                     "the gradient of the input",
                                                     "the gradient of the weight",
                                                     "the gradient of the bias",
                                                     "the gradient of the result",
                                                     "a sum for batch normalisation",
                                                     "a sum for batch normalisation"};

static int64_t count_of(const cln__trial *trial, cln_tensor x) {
    cln_shape s = cln_tensor_shape(trial->t.graph, x);
    return s.n * s.c * s.h * s.w;
}

/* --- noise --- */

static float draw(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) * 0x1p-24f;
}

/* What is loaded is made of few bits, so that it is exact and never zero: on whichever side of an activation's corner a
 * number is, it is there for every kernel. */
static float noise(cln__trial_input which, uint32_t *state) {
    float u = draw(state);
    switch (which) {
    case CLN__TRIAL_X:
        return floorf(257 * u) / 64 - 2;
    case CLN__TRIAL_LOAD_SCALE:
        return u < 0.3f ? 0.5f : u < 0.6f ? 1.0f : 2.0f;
    case CLN__TRIAL_LOAD_SHIFT:
        return (2 * floorf(256 * u) - 255) / 512;
    case CLN__TRIAL_SUMS_INVSTD:
    case CLN__TRIAL_DY_SCALE:
    case CLN__TRIAL_DX_SCALE:
        return 0.5f + u / 2; /* at most 1: what is written in place must not grow */
    case CLN__TRIAL_DY_SLOPE:
    case CLN__TRIAL_DY_SHIFT:
    case CLN__TRIAL_SUMS_MEAN:
        return (u - 0.5f) / 2;
    default:
        return 3.46f * (u - 0.5f);
    }
}

static cln_status make_inputs(cln__trial *trial) {
    uint32_t state = 1;
    const cln__conv2d_case *c = &trial->t.c;
    for (int i = 0; i < CLN__TRIAL_INPUTS; i++) {
        int64_t count = trial->t.in[i].id < 0 ? 0 : count_of(trial, trial->t.in[i]);
        if (!count)
            continue;
        trial->in[i] = malloc(sizeof(float) * (size_t)count);
        if (!trial->in[i])
            return cln__fail_memory(trial->ctx, "the inputs of a trial");
        for (int64_t k = 0; k < count; k++)
            trial->in[i][k] = noise((cln__trial_input)i, &state);
    }
    int64_t fan = c->xs.c / c->a.groups * c->a.kernel_h * c->a.kernel_w, weights = fan * c->ys.c;
    trial->w = malloc(sizeof(float) * (size_t)weights);
    if (!trial->w)
        return cln__fail_memory(trial->ctx, "the inputs of a trial");
    for (int64_t k = 0; k < weights; k++)
        trial->w[k] = 3.46f * (draw(&state) - 0.5f) / sqrtf((float)fan);
    return cln_weights_set(trial->weights, 0, CLN_VALUE, trial->w, weights);
}

static void find_results(cln__trial *trial) {
    const cln__conv2d_trial *t = &trial->t;
    cln_tensor none = CLN_NO_TENSOR;
    trial->result[CLN__RESULT_Y] = t->y;
    trial->result[CLN__RESULT_MEAN] = t->mean;
    trial->result[CLN__RESULT_VAR] = t->var;
    trial->result[CLN__RESULT_DX] = t->in[CLN__TRIAL_DX];
    trial->result[CLN__RESULT_DW] = t->dw;
    trial->result[CLN__RESULT_DB] = t->db;
    trial->result[CLN__RESULT_D] = t->c.keep_d ? t->in[CLN__TRIAL_DY] : none;
    trial->result[CLN__RESULT_SUM0] = t->sums[0];
    trial->result[CLN__RESULT_SUM1] = t->sums[1];
}

cln_status cln__trial_new(cln_context *ctx, cln_device *device, const char *signature, cln__trial *out) {
    *out = (cln__trial){.ctx = ctx, .device = device, .signature = signature};
    CLN_TRY(cln__conv2d_trial_new(ctx, signature, &out->t));
    find_results(out);
    CLN_TRY(cln_weights_new(device, out->t.graph, 1, &out->weights));
    return make_inputs(out);
}

void cln__trial_free(cln__trial *trial) {
    for (int i = 0; i < CLN__TRIAL_INPUTS; i++)
        free(trial->in[i]);
    for (int i = 0; i < CLN__RESULT_COUNT; i++)
        free(trial->expected[i]);
    free(trial->w);
    cln_weights_free(trial->weights);
    cln_graph_free(trial->t.graph);
}

/* --- plans --- */

/* Whether such a computation is a training step's: what it makes of the weights then counts, as it is made anew in each
 * step. One without moments may also be an evaluation's. */
static bool is_training(const cln__conv2d_case *c) {
    return c->pass != CLN__FORWARD || c->moments;
}

/* The results that exist, in `list`; returns how many. */
static int list_results(const cln__trial *trial, cln_tensor list[CLN__RESULT_COUNT]) {
    int count = 0;
    for (int i = 0; i < CLN__RESULT_COUNT; i++)
        if (trial->result[i].id >= 0)
            list[count++] = trial->result[i];
    return count;
}

cln_status cln__trial_candidates(const cln__trial *trial, char **out) {
    cln_tensor results[CLN__RESULT_COUNT];
    cln_plan_options options = {.training = is_training(&trial->t.c),
                                .loss = CLN_NO_TENSOR,
                                .outputs = results,
                                .output_count = list_results(trial, results)};
    cln__decisions decisions;
    *out = NULL;
    CLN_TRY(cln__plan_decisions(trial->ctx, trial->device, trial->t.graph, &options, true, &decisions));
    if (decisions.count == 1) {
        *out = decisions.of[0].candidates;
        decisions.of[0].candidates = NULL;
    }
    cln__decisions_free(&decisions);
    return *out ? CLN_OK : cln__fail(trial->ctx, CLN_INTERNAL, "a trial has %d decisions", decisions.count);
}

cln_status cln__trial_build(const cln__trial *trial, const char *candidate, cln_plan **out) {
    cln_tensor results[CLN__RESULT_COUNT];
    cln_choice choice = {trial->signature, candidate};
    cln_plan_options options = {.training = is_training(&trial->t.c),
                                .loss = CLN_NO_TENSOR,
                                .outputs = results,
                                .output_count = list_results(trial, results),
                                .choices = &choice,
                                .choice_count = 1,
                                .choices_required = true};
    return cln_plan_build(trial->device, trial->t.graph, trial->weights, &options, out);
}

/* --- checking and timing --- */

static double error_of(const float *ours, const float *expected, int64_t count) {
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = (double)ours[i] - (double)expected[i];
        difference += d * d;
        norm += (double)expected[i] * (double)expected[i];
    }
    return norm > 0 ? sqrt(difference / norm) : sqrt(difference);
}

static cln_status compare(const cln__trial *trial, cln_plan *plan, cln__result which) {
    int64_t count = count_of(trial, trial->result[which]);
    float *ours = malloc(sizeof(float) * (size_t)count);
    if (!ours)
        return cln__fail_memory(trial->ctx, "the results of a trial");
    cln_status status = cln_plan_read(plan, trial->result[which], ours, count);
    double error = status == CLN_OK ? error_of(ours, trial->expected[which], count) : 0;
    free(ours);
    CLN_TRY(status);
    if (error <= tolerances[which]) /* false for what is not a number */
        return CLN_OK;
    return cln__fail(trial->ctx, CLN_FAILED,
                     "%s is wrong: its error relative to its size is %.2g, at most %.0e is expected", names[which],
                     error, tolerances[which]);
}

cln_status cln__trial_check(const cln__trial *trial, cln_plan *plan) {
    for (int i = 0; i < CLN__TRIAL_INPUTS; i++)
        if (trial->in[i])
            CLN_TRY(cln_plan_write(plan, trial->t.in[i], trial->in[i], count_of(trial, trial->t.in[i])));
    CLN_TRY(cln_plan_step(plan, 0));
    for (int i = 0; i < CLN__RESULT_COUNT; i++)
        if (trial->result[i].id >= 0 && trial->expected[i])
            CLN_TRY(compare(trial, plan, (cln__result)i));
    return cln_plan_finish(plan);
}

cln_status cln__trial_time(const cln__trial *trial, cln_plan *plan, double *seconds) {
    int steps = cln_plan_get_memory(plan).steps;
    cln_step_time *times = malloc(sizeof *times * ((size_t)steps + 1));
    if (!times)
        return cln__fail_memory(trial->ctx, "the times of a trial");
    cln_status status = cln_plan_profile(plan, 0, times);
    *seconds = 0;
    for (int i = 0; i < steps && status == CLN_OK; i++)
        if (*times[i].variant)
            *seconds += times[i].seconds;
    free(times);
    return status;
}
