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

/* Muon's `momentum` is the library's beta1. The library has PyTorch's ns_coefficients and, where a gradient is all but
 * zero, 1e-7 for its eps: these two are not read. */
static bool read_muon(verify_case *c, verify_optimizer *o) {
    const char *scale = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c->attributes, "adjust_lr_fn"));
    int iterations;
    if (!scale || strcmp(scale, "match_rms_adamw") != 0)
        return verify_fail(c, "'adjust_lr_fn' is not \"match_rms_adamw\", as only is supported");
    if (!o->optimizer.nesterov)
        return verify_fail(c, "'nesterov' false is not supported by Muon");
    if (!verify_int(c, "ns_steps", 5, &iterations))
        return false;
    o->optimizer.beta1 = not_zero(o->momentum);
    return iterations == 5 || verify_fail(c, "'ns_steps' %d is not supported", iterations);
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
    else if (strcmp(name, "Muon") == 0)
        *out = CLN_MUON;
    else
        return verify_fail(c, "unknown optimizer '%.80s': SGD, Adam, AdamW and Muon are known", name);
    return *out != CLN_MUON || strcmp(verify_metadata(c, "kind"), "optimizer") == 0 ||
           verify_fail(c, "Muon is not supported in a file of a model");
}

static double default_decay(cln_optimizer_kind kind) {
    return kind == CLN_MUON ? 0.1 : kind == CLN_ADAMW ? 1e-2 : 0;
}

bool verify_read_optimizer(verify_case *c, const char *key, cln_optimizer_kind adam, verify_optimizer *out) {
    *out = (verify_optimizer){.lr = 0};
    cln_optimizer *o = &out->optimizer;
    if (!read_kind(c, adam, &o->kind) || !verify_parse(c, key) || !check_unsupported(c) || !read_betas(c, out) ||
        !verify_real(c, "lr", 1e-3, &out->lr) ||
        !verify_real(c, "momentum", o->kind == CLN_MUON ? 0.95 : 0, &out->momentum) ||
        !verify_real(c, "weight_decay", default_decay(o->kind), &out->weight_decay) ||
        !verify_real(c, "eps", 1e-8, &out->eps) || !verify_flag(c, "nesterov", o->kind == CLN_MUON, &o->nesterov))
        return false;
    if (out->momentum < 0 || out->weight_decay < 0 || out->eps < 0)
        return verify_fail(c, "momentum %g, weight_decay %g, eps %g: none may be negative", out->momentum,
                           out->weight_decay, out->eps);
    o->momentum = (float)out->momentum;
    o->weight_decay = (float)out->weight_decay;
    o->eps = not_zero(out->eps);
    return o->kind != CLN_MUON || read_muon(c, out);
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

/* Most outputs, and most inputs, of a convolution: Muon's products are of out x out. */
enum { MAX_CHANNELS = 1024 };

/* A layer on as many images as it has inputs, image i having a 1 in channel i and zeros else: the gradient of its
 * weight is the upstream gradient, transposed. Weights [n] are of a linear layer with one input, [out, in, 1, 1] of a
 * convolution. */
typedef struct layer {
    cln_tensor x, y, dy;
    int64_t out, in, n, steps; /* n = out * in */
    bool convolution;
    int weight; /* index in the weights */
    const float *grad, *lr, *truth;
    float *w;        /* [steps + 1][n]: before the first step and after each */
    float *upstream; /* [in][out] */
} layer;

static bool read_sizes(verify_case *c, const cln_file_tensor *grad, layer *l) {
    const int64_t *s = grad->shape;
    l->convolution = grad->rank == 5;
    bool fits = l->convolution ? s[1] <= MAX_CHANNELS && s[2] <= MAX_CHANNELS && s[3] == 1 && s[4] == 1
                               : grad->rank == 2 && s[1] <= INT32_MAX;
    if (!fits || grad->count < 1)
        return verify_fail(c,
                           "tensor 'grad' is not of two axes [steps, n], nor of five [steps, out, in, 1, 1] with out "
                           "and in at most %d",
                           MAX_CHANNELS);
    l->steps = s[0];
    l->out = s[1];
    l->in = l->convolution ? s[2] : 1;
    l->n = l->out * l->in;
    return true;
}

static bool read(verify_case *c, layer *l) {
    const cln_file_tensor *grad = verify_find(c, CLN_F32, "grad");
    if (!grad || !read_sizes(c, grad, l))
        return false;
    const float *w = verify_floats(c, grad->rank - 1, grad->shape + 1, "w");
    l->grad = w ? verify_floats(c, grad->rank, grad->shape, "grad") : NULL;
    l->lr = l->grad ? verify_floats(c, 1, &l->steps, "lr") : NULL;
    l->truth = l->lr ? verify_floats(c, grad->rank, grad->shape, "w_after") : NULL;
    l->w = l->truth ? verify_alloc(c, (l->steps + 1) * l->n, sizeof *l->w) : NULL;
    l->upstream = l->w ? verify_alloc(c, l->n, sizeof *l->upstream) : NULL;
    if (l->upstream)
        memcpy(l->w, w, (size_t)l->n * sizeof *w);
    return l->upstream != NULL;
}

static bool write_images(verify_case *c, const layer *l) {
    float *x = verify_alloc(c, l->in * l->in, sizeof *x);
    for (int64_t i = 0; x && i < l->in; i++)
        x[i * l->in + i] = 1;
    return x && verify_ok(c, cln_plan_write(c->plan, l->x, x, l->in * l->in));
}

static bool build(verify_case *c, layer *l, const cln_optimizer *optimizer) {
    cln_graph *g = c->graph;
    const cln_conv2d_options pointwise = {.out_channels = (int)l->out, .kernel_h = 1, .kernel_w = 1};
    if (optimizer->kind == CLN_MUON && !l->convolution)
        return verify_fail(c, "Muon is for weights of convolutions: tensor 'grad' is not of [steps, out, in, 1, 1]");
    l->x = cln_input(g, "x", l->in, l->in, 1, 1);
    l->y = l->convolution ? cln_conv2d(g, l->x, "w", &pointwise) : cln_linear(g, l->x, "w", (int)l->out);
    l->dy = cln_input(g, "dy", l->in, l->out, 1, 1);
    if (!verify_ok(c, cln_graph_status(g)) || !verify_ok(c, cln_weights_new(c->device, g, 0, &c->weights)))
        return false;
    for (l->weight = 0; strcmp(cln_weights_info(c->weights, l->weight).name, "w.weight") != 0; l->weight++)
        if (l->weight + 1 >= cln_weights_count(c->weights))
            return verify_fail(c, "the layer has no weight");
    cln_plan_options options = {.training = true,
                                .loss = l->y,
                                .has_upstream = true,
                                .upstream = l->dy,
                                .optimizer = *optimizer,
                                .outputs = &l->y,
                                .output_count = 1};
    return verify_ok(c, cln_weights_set(c->weights, l->weight, CLN_VALUE, l->w, l->n)) &&
           verify_build(c, g, &options) && write_images(c, l);
}

static bool write_gradient(verify_case *c, const layer *l, const float *grad) {
    for (int64_t i = 0; i < l->n; i++)
        l->upstream[i % l->in * l->out + i / l->in] = grad[i];
    return verify_ok(c, cln_plan_write(c->plan, l->dy, l->upstream, l->n));
}

static bool run(verify_case *c, const layer *l) {
    for (int64_t i = 0; i < l->steps; i++)
        if (!write_gradient(c, l, l->grad + i * l->n) || !verify_ok(c, cln_plan_step(c->plan, l->lr[i])) ||
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
static double update_error(const layer *l, double *rounding) {
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
    layer l;
    double tolerance, rounding;
    if (!verify_read_optimizer(c, "hparams", CLN_ADAM, &o) || !verify_tolerance(c, "update", 0, &tolerance) ||
        !read(c, &l) || !build(c, &l, &o.optimizer) || !run(c, &l))
        return false;
    double error = update_error(&l, &rounding);
    return verify_add(c, "update", "", error, tolerance < 0 || tolerance > rounding ? tolerance : rounding);
}
