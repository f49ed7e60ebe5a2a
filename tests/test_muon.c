/* Muon on a device: its updates of convolutions against the iteration as it is published, in double precision. */
#include "../bench/reference.h"
#include "trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { IMAGES = 6, CLASSES = 7 };

/* --- what follows a network's weights --- */

typedef struct twin {
    cln_weight_info info;
    double *w, *m, *v, *g;
} twin;

static void update_by_muon(const cln_optimizer *o, twin *t, double momentum, double rate) {
    int64_t rows = t->info.shape[0], columns = t->info.count / rows;
    double *u = zeros(t->info.count), factor = 0.2 * sqrt((double)(rows > columns ? rows : columns));
    for (int64_t i = 0; i < t->info.count; i++) {
        t->m[i] = momentum * t->m[i] + (1 - momentum) * t->g[i];
        u[i] = (1 - momentum) * t->g[i] + momentum * t->m[i];
    }
    double *scratch = zeros(2 * rows * rows + t->info.count);
    reference_orthogonalise(u, rows, columns, scratch);
    free(scratch);
    for (int64_t i = 0; i < t->info.count; i++)
        t->w[i] -= rate * (factor * u[i] + (double)o->weight_decay * t->w[i]);
    free(u);
}

static void update_by_adamw(const cln_optimizer *o, twin *t, int step, double momentum, double rate) {
    for (int64_t i = 0; i < t->info.count; i++) {
        t->m[i] = momentum * t->m[i] + (1 - momentum) * t->g[i];
        t->v[i] = 0.999 * t->v[i] + 0.001 * t->g[i] * t->g[i];
        double mean = t->m[i] / (1 - pow(momentum, step)), square = t->v[i] / (1 - pow(0.999, step));
        t->w[i] -= rate * (mean / (sqrt(square) + 1e-8) + (double)o->weight_decay * t->w[i]);
    }
}

/* --- trials --- */

/* Convolutions with more inputs than outputs and with fewer, two of equally many outputs, one in groups; a linear
 * layer. */
static trial begin(const cln_optimizer *o, int channels) {
    static const int32_t labels[IMAGES] = {0, 3, 6, 2, 5, 1};
    cln_shape shape = {IMAGES, channels, 6, 6};
    trial t = trial_begin();
    t.weights_only = true;
    cln_tensor x = (channels == GAPPED_CHANNELS ? trial_input : trial_plain_input)(&t, shape)->whole;
    x = cln_conv2d(t.g, x, "first", &(cln_conv2d_options){.out_channels = 20, .kernel_h = 3, .kernel_w = 3});
    x = cln_conv2d(t.g, x, "wider",
                   &(cln_conv2d_options){.out_channels = 40, .kernel_h = 1, .kernel_w = 1, .bias = true});
    x = cln_conv2d(t.g, x, "groups",
                   &(cln_conv2d_options){.out_channels = 20, .kernel_h = 3, .kernel_w = 1, .groups = 4, .bias = true});
    cln_tensor logits = cln_linear(t.g, cln_flatten(t.g, cln_global_avgpool(t.g, x)), "head", CLASSES);
    cln_tensor loss = cln_softmax_ce(t.g, logits, trial_labels(&t, labels, IMAGES), 0);
    trial_build(
        &t, &(cln_plan_options){.training = true, .loss = loss, .optimizer = *o, .outputs = &loss, .output_count = 1});
    return t;
}

static float *read(trial *t, int index, cln_slot slot) {
    int64_t count = cln_weights_info(t->weights, index).count;
    float *values = floats(count);
    ok(cln_weights_get(t->weights, index, slot, values, count));
    return values;
}

static twin *begin_twins(trial *t) {
    int count = cln_weights_count(t->weights);
    twin *twins = calloc((size_t)count, sizeof *twins);
    ck_assert_ptr_nonnull(twins);
    for (int i = 0; i < count; i++) {
        cln_weight_info info = cln_weights_info(t->weights, i);
        float *w = read(t, i, CLN_VALUE);
        twins[i] = (twin){info, zeros(info.count), zeros(info.count), zeros(info.count), zeros(info.count)};
        for (int64_t k = 0; k < info.count; k++)
            twins[i].w[k] = (double)w[k];
        free(w);
    }
    return twins;
}

static void end(trial *t, twin *twins) {
    for (int i = 0; i < cln_weights_count(t->weights); i++) {
        free(twins[i].w);
        free(twins[i].m);
        free(twins[i].v);
        free(twins[i].g);
    }
    free(twins);
    trial_end(t);
}

/* Adds a share of the device's own gradients. */
static void add_gradients(trial *t, twin *twins, double share) {
    for (int i = 0; i < cln_weights_count(t->weights); i++) {
        float *g = read(t, i, CLN_GRADIENT);
        for (int64_t k = 0; k < twins[i].info.count; k++)
            twins[i].g[k] += share * (double)g[k];
        free(g);
    }
}

/* clip_grad_norm_ and clip_grad_value_. */
static void clip(const cln_optimizer *o, twin *twins, int count) {
    double sum = 0, limit = (double)o->clip;
    for (int i = 0; i < count; i++)
        for (int64_t k = 0; k < twins[i].info.count; k++)
            sum += twins[i].g[k] * twins[i].g[k];
    double scale = limit / (sqrt(sum) + 1e-6);
    ck_assert(limit == 0 || o->clip_kind == CLN_CLIP_VALUE || scale < 1); /* or nothing is tested */
    for (int i = 0; limit > 0 && i < count; i++)
        for (int64_t k = 0; k < twins[i].info.count; k++) {
            double *g = &twins[i].g[k];
            *g = o->clip_kind == CLN_CLIP_NORM ? scale * *g : fmax(-limit, fmin(limit, *g));
        }
}

/* The change of a weight is compared. The iteration multiplies what is small in a gradient by up to 480, and with it
 * the rounding of sums in single precision. */
static void check_update(trial *t, int index, twin *own, const cln_optimizer *o, int step, double momentum,
                         double rate) {
    int64_t count = own->info.count;
    double *change = zeros(count);
    float *w = read(t, index, CLN_VALUE), *m = read(t, index, CLN_MOMENT1);
    memcpy(change, own->w, (size_t)count * sizeof *change);
    if (own->info.rank == 4)
        update_by_muon(o, own, momentum, rate);
    else
        update_by_adamw(o, own, step, momentum, rate);
    check_close(own->info.name, m, own->m, count, 1e-6);
    for (int64_t k = 0; k < count; k++) {
        w[k] = (float)((double)w[k] - change[k]);
        change[k] = own->w[k] - change[k];
    }
    check_close(own->info.name, w, change, count, own->info.rank == 4 ? 2e-3 : 1e-4);
    memset(own->g, 0, (size_t)count * sizeof *own->g);
    free(m);
    free(w);
    free(change);
}

static void check_muon(const cln_optimizer *o, int channels) {
    trial t = begin(o, channels);
    twin *twins = begin_twins(&t);
    int group = o->accumulate > 1 ? o->accumulate : 1, count = cln_weights_count(t.weights);
    for (int step = 1; step <= 4; step++) {
        cln_rates rates = {.learning_rate = step < 3 ? 0.05f : 0.01f, .momentum = step == 4 ? 0.7f : 0};
        double momentum = (double)(rates.momentum > 0 ? rates.momentum : o->beta1 > 0 ? o->beta1 : 0.95f);
        for (int k = 1; k <= group; k++) {
            for (int64_t i = 0; i < count_of(t.x[0].shape); i++)
                t.x[0].values[i] = noise((uint64_t)(10 * step + k), i);
            if (k < group)
                trial_accumulate(&t);
            else
                trial_step_at(&t, rates);
            add_gradients(&t, twins, 1.0 / group);
        }
        clip(o, twins, count);
        for (int i = 0; i < count; i++)
            check_update(&t, i, &twins[i], o, step, momentum, (double)rates.learning_rate);
    }
    end(&t, twins);
}

START_TEST(muon_matches_the_iteration) {
    configure(_i);
    check_muon(&(cln_optimizer){.kind = CLN_MUON, .weight_decay = 0.1f}, GAPPED_CHANNELS);
    check_muon(&(cln_optimizer){.kind = CLN_MUON, .beta1 = 0.8f}, 3);
    check_muon(&(cln_optimizer){.kind = CLN_MUON, .accumulate = 2, .clip = 0.05f}, 3);
    check_muon(&(cln_optimizer){.kind = CLN_MUON, .clip = 0.005f, .clip_kind = CLN_CLIP_VALUE}, 3);
}
END_TEST

START_TEST(an_undefined_loss_changes_nothing) {
    static const cln_slot slots[] = {CLN_VALUE, CLN_MOMENT1};
    configure(_i);
    trial t = begin(&(cln_optimizer){.kind = CLN_MUON}, 3);
    trial_step(&t, 0.01f); /* so that there is a moment */
    float *before[2], *after;
    for (int k = 0; k < 2; k++)
        before[k] = trial_weight(&t, "first.weight", slots[k]);
    t.x[0].values[3] = INFINITY;
    t.training = false; /* reads no gradient: it is undefined in its padding too */
    trial_step(&t, 0.01f);
    ck_assert(!isfinite(t.y.values[0]));
    for (int k = 0; k < 2; k++) {
        after = trial_weight(&t, "first.weight", slots[k]);
        ck_assert_mem_eq(before[k], after, 20 * 3 * 3 * 3 * sizeof *after);
        free(before[k]);
        free(after);
    }
    trial_end(&t);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_loop_test(tests, muon_matches_the_iteration, 0, CONFIGURATIONS);
    tcase_add_loop_test(tests, an_undefined_loss_changes_nothing, 0, CONFIGURATIONS);
}

int main(void) {
    return suite_run_on_device("muon", add_tests);
}
