/* Golden files of optimisers, and their hyper-parameters as PyTorch names them. */
#include "verify.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* The library takes 0 for its default, so that a true 0 is given as the next number above. */
static float not_zero(double value) {
    return value > 0 ? (float)value : FLT_MIN;
}

static bool read_betas(verify_case *c, verify_optimizer *o) {
    const cJSON *betas = cJSON_GetObjectItemCaseSensitive(c->attributes, "betas");
    double values[2] = {0.9, 0.999};
    if (betas && cJSON_GetArraySize(betas) != 2)
        return verify_fail(c, "'betas' is not a list of two numbers");
    for (int i = 0; betas && i < 2; i++) {
        const cJSON *beta = cJSON_GetArrayItem(betas, i);
        if (!cJSON_IsNumber(beta) || !(beta->valuedouble >= 0 && beta->valuedouble < 1))
            return verify_fail(c, "'betas' are not numbers from 0 to below 1");
        values[i] = beta->valuedouble;
    }
    o->beta1 = values[0];
    o->beta2 = values[1];
    o->optimizer.beta1 = not_zero(o->beta1);
    o->optimizer.beta2 = not_zero(o->beta2);
    return true;
}

/* What PyTorch has and the library has not. */
static bool check_unsupported(verify_case *c) {
    static const char *const flags[] = {"amsgrad", "maximize"};
    double dampening;
    bool set;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (!verify_flag(c, flags[i], false, &set))
            return false;
        if (set)
            return verify_fail(c, "'%s' is not supported", flags[i]);
    }
    return verify_real(c, "dampening", 0, &dampening) &&
           (dampening == 0 || verify_fail(c, "'dampening' %g is not supported", dampening));
}

static bool read_kind(verify_case *c, cln_optimizer_kind adam, cln_optimizer_kind *out) {
    const char *name = verify_metadata(c, "optimizer");
    if (!name)
        return false;
    if (strcmp(name, "SGD") == 0)
        *out = CLN_SGD;
    else if (strcmp(name, "Adam") == 0)
        *out = adam;
    else if (strcmp(name, "AdamW") == 0)
        *out = CLN_ADAMW;
    else
        return verify_fail(c, "unknown optimizer '%.80s': SGD, Adam and AdamW are known", name);
    return true;
}

bool verify_read_optimizer(verify_case *c, const char *key, cln_optimizer_kind adam, verify_optimizer *out) {
    *out = (verify_optimizer){.lr = 0};
    cln_optimizer *o = &out->optimizer;
    if (!read_kind(c, adam, &o->kind) || !verify_parse(c, key) || !check_unsupported(c) || !read_betas(c, out) ||
        !verify_real(c, "lr", 1e-3, &out->lr) || !verify_real(c, "momentum", 0, &out->momentum) ||
        !verify_real(c, "weight_decay", o->kind == CLN_ADAMW ? 1e-2 : 0, &out->weight_decay) ||
        !verify_real(c, "eps", 1e-8, &out->eps) || !verify_flag(c, "nesterov", false, &o->nesterov))
        return false;
    if (out->momentum < 0 || out->weight_decay < 0 || out->eps < 0)
        return verify_fail(c, "momentum %g, weight_decay %g, eps %g: none may be negative", out->momentum,
                           out->weight_decay, out->eps);
    o->momentum = (float)out->momentum;
    o->weight_decay = (float)out->weight_decay;
    o->eps = not_zero(out->eps);
    return true;
}

double verify_first_update(const verify_optimizer *o, double w, double g) {
    double decayed = o->optimizer.kind == CLN_ADAMW ? g : g + o->weight_decay * w;
    if (o->optimizer.kind == CLN_SGD)
        return w - o->lr * (o->optimizer.nesterov ? decayed + o->momentum * decayed : decayed);
    if (o->optimizer.kind == CLN_ADAMW)
        w -= o->lr * o->weight_decay * w;
    return w - o->lr * decayed / (fabs(decayed) + o->eps); /* both moments' bias corrections cancel */
}

/* --- the files --- */

/* A linear layer of n outputs on the one input 1: the gradient of its weight is the upstream gradient itself. */
typedef struct line {
    cln_tensor x, y, dy;
    int64_t n, steps;
    int weight; /* index in the weights */
    const float *grad, *lr, *truth;
    float *w; /* [steps + 1][n]: before the first step and after each */
} line;

static bool read(verify_case *c, line *l) {
    const cln_file_tensor *grad = verify_find(c, CLN_F32, "grad");
    if (!grad)
        return false;
    if (grad->rank != 2 || grad->count < 1 || grad->shape[1] > INT32_MAX)
        return verify_fail(c, "tensor 'grad' is not of two axes [steps, n]");
    l->steps = grad->shape[0];
    l->n = grad->shape[1];
    const float *w = verify_floats(c, 1, &l->n, "w");
    l->grad = w ? verify_floats(c, 2, grad->shape, "grad") : NULL;
    l->lr = l->grad ? verify_floats(c, 1, &l->steps, "lr") : NULL;
    l->truth = l->lr ? verify_floats(c, 2, grad->shape, "w_after") : NULL;
    l->w = l->truth ? verify_alloc(c, (l->steps + 1) * l->n, sizeof *l->w) : NULL;
    if (l->w)
        memcpy(l->w, w, (size_t)l->n * sizeof *w);
    return l->w != NULL;
}

static bool build(verify_case *c, line *l, const cln_optimizer *optimizer) {
    cln_graph *g = c->graph;
    l->x = cln_input(g, "x", 1, 1, 1, 1);
    l->y = cln_linear(g, l->x, "w", (int)l->n);
    l->dy = cln_input(g, "dy", 1, l->n, 1, 1);
    if (!verify_ok(c, cln_graph_status(g)) || !verify_ok(c, cln_weights_new(c->device, g, 0, &c->weights)))
        return false;
    for (l->weight = 0; strcmp(cln_weights_info(c->weights, l->weight).name, "w.weight") != 0; l->weight++)
        if (l->weight + 1 >= cln_weights_count(c->weights))
            return verify_fail(c, "the layer has no weight");
    const float one = 1;
    cln_plan_options options = {.training = true,
                                .loss = l->y,
                                .has_upstream = true,
                                .upstream = l->dy,
                                .optimizer = *optimizer,
                                .outputs = &l->y,
                                .output_count = 1};
    return verify_ok(c, cln_weights_set(c->weights, l->weight, CLN_VALUE, l->w, l->n)) &&
           verify_build(c, g, &options) && verify_ok(c, cln_plan_write(c->plan, l->x, &one, 1));
}

static bool run(verify_case *c, const line *l) {
    for (int64_t i = 0; i < l->steps; i++)
        if (!verify_ok(c, cln_plan_write(c->plan, l->dy, l->grad + i * l->n, l->n)) ||
            !verify_ok(c, cln_plan_step(c->plan, l->lr[i])) ||
            !verify_ok(c, cln_weights_get(c->weights, l->weight, CLN_VALUE, l->w + (i + 1) * l->n, l->n)))
            return false;
    return true;
}

/* Half the distance between floats around x. */
static double half_ulp(float x) {
    int exponent;
    frexpf(x, &exponent);
    return x == 0 ? 0 : ldexp(1, exponent - FLT_MANT_DIG - 1);
}

/* The error of the updates. Weights are stored as float32, the file's too, so an update is known only to the rounding
 * of the weights at its two ends (the file's two, our one): *rounding, as the error is measured. Beside a small
 * learning rate that alone exceeds the usual tolerance. */
static double update_error(const line *l, double *rounding) {
    double difference = 0, unknown = 0, norm = 0;
    for (int64_t i = 0; i < l->steps * l->n; i++) {
        float before = i < l->n ? l->w[i] : l->truth[i - l->n], after = l->truth[i];
        double truth = (double)after - before, ours = (double)l->w[i + l->n] - l->w[i];
        double ends = 2 * half_ulp(after) + (i < l->n ? 0 : half_ulp(before));
        difference += (ours - truth) * (ours - truth);
        unknown += ends * ends;
        norm += truth * truth;
    }
    double scale = norm > 0 ? sqrt(norm) : 1;
    *rounding = sqrt(unknown) / scale;
    return sqrt(difference) / scale;
}

bool verify_optimizer_file(verify_case *c) {
    verify_optimizer o;
    line l;
    double tolerance, rounding;
    if (!verify_read_optimizer(c, "hparams", CLN_ADAM, &o) || !verify_tolerance(c, "update", 0, &tolerance) ||
        !read(c, &l) || !build(c, &l, &o.optimizer) || !run(c, &l))
        return false;
    double error = update_error(&l, &rounding);
    return verify_add(c, "update", "", error, tolerance < 0 || tolerance > rounding ? tolerance : rounding);
}
