/* From the inputs of a case to its truth: the same kinds, and names of tensors, as in golden files. */
#include "reference.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { STEPS = 5 }; /* of training a network */

/* Puts `values`, shaped like the case's tensor `like`, as "<prefix><name>". */
static bool put_like(verify_case *c, const char *prefix, const char *name, const char *like, const double *values) {
    char text[REFERENCE_NAME + 8];
    const cln_file_tensor *t = verify_lookup(c, like);
    snprintf(text, sizeof text, "%s%s", prefix, name);
    return t && verify_put(c, text, t->rank, t->shape, values);
}

/* --- operators --- */

static reference_node *solve_conv2d(reference *r, reference_node *x) {
    reference_window w;
    int out, kernel[2];
    bool bias;
    if (!verify_int(r->c, "out", 0, &out) || !verify_int_pair(r->c, "kernel", kernel) ||
        !verify_int(r->c, "stride", 1, &w.stride) || !verify_int(r->c, "padding", 0, &w.padding) ||
        !verify_int(r->c, "dilation", 1, &w.dilation) || !verify_int(r->c, "groups", 1, &w.groups) ||
        !verify_flag(r->c, "bias", true, &bias))
        return NULL;
    w.kernel_h = kernel[0];
    w.kernel_w = kernel[1];
    return reference_conv2d(r, x, "", out, &w, bias);
}

static reference_node *solve_pool(reference *r, reference_node *x,
                                  reference_node *(*pool)(reference *r, reference_node *x, int kernel, int stride,
                                                          int padding)) {
    int kernel, stride, padding;
    if (!verify_int(r->c, "kernel", 0, &kernel) || !verify_int(r->c, "stride", kernel, &stride) ||
        !verify_int(r->c, "padding", 0, &padding))
        return NULL;
    return pool(r, x, kernel, stride, padding);
}

static reference_node *solve_batchnorm(reference *r, reference_node *x) {
    double eps, momentum;
    bool training;
    if (!verify_real(r->c, "eps", 1e-5, &eps) || !verify_real(r->c, "momentum", 0.1, &momentum) ||
        !verify_flag(r->c, "training", true, &training))
        return NULL;
    return reference_batchnorm(r, x, "", eps, momentum, !training);
}

static reference_node *solve_linear(reference *r, reference_node *x) {
    int out;
    return verify_int(r->c, "out", 0, &out) ? reference_linear(r, x, "", out) : NULL;
}

static reference_node *solve_softmax_ce(reference *r, reference_node *x) {
    double smoothing;
    const int32_t *labels = verify_labels(r->c, x->shape.n, x->shape.c);
    return labels && verify_real(r->c, "label_smoothing", 0, &smoothing) ? reference_softmax_ce(r, x, labels, smoothing)
                                                                         : NULL;
}

static reference_node *apply(reference *r, const char *op, reference_node *const *xs, int count) {
    cln_activation activation;
    reference_node *x = xs[0];
    if (cln_activation_parse(op, &activation))
        return reference_activate(r, x, activation);
    if (strcmp(op, "conv2d") == 0)
        return solve_conv2d(r, x);
    if (strcmp(op, "batchnorm") == 0)
        return solve_batchnorm(r, x);
    if (strcmp(op, "maxpool") == 0)
        return solve_pool(r, x, reference_maxpool);
    if (strcmp(op, "avgpool") == 0)
        return solve_pool(r, x, reference_avgpool);
    if (strcmp(op, "global_avgpool") == 0)
        return reference_global_avgpool(r, x);
    if (strcmp(op, "linear") == 0)
        return solve_linear(r, x);
    if (strcmp(op, "softmax_ce") == 0)
        return solve_softmax_ce(r, x);
    if (strcmp(op, "concat") == 0)
        return reference_concat(r, xs, count);
    if (strcmp(op, "add") == 0 && count == 2)
        return reference_add(r, x, xs[1]);
    verify_fail(r->c, "the reference has no operator '%.80s'", op);
    return NULL;
}

/* The upstream gradient, drawn unless it is there; a loss has none. */
static bool find_upstream(reference *r, const reference_node *y, int rank, const double **out) {
    const int64_t sides[4] = {y->shape.n, y->shape.c, y->shape.h, y->shape.w};
    int64_t count = verify_count(y->shape);
    double *dy = verify_alloc(r->c, count, sizeof *dy);
    *out = NULL;
    if (y->labels || !dy)
        return dy != NULL;
    *out = dy;
    if (!verify_lookup(r->c, "dy")) {
        for (int64_t i = 0; i < count; i++)
            dy[i] = reference_draw(r);
        return verify_put(r->c, "dy", rank, sides, dy);
    }
    const float *values = verify_floats(r->c, rank, sides, "dy");
    for (int64_t i = 0; values && i < count; i++)
        dy[i] = (double)values[i];
    return values != NULL;
}

/* The gradients of the parameters, the statistics after the step. */
static bool put_parameters(reference *r) {
    char like[REFERENCE_NAME + 8];
    for (const reference_parameter *p = r->parameters; p; p = p->next) {
        snprintf(like, sizeof like, "param.%s", p->name);
        const double *values = p->trainable ? p->node.gradient : p->node.value;
        if (!put_like(r->c, p->trainable ? "grad." : "after.", p->name, like, values))
            return false;
    }
    return true;
}

static bool solve_op(verify_case *c) {
    static const char *const names[REFERENCE_INPUTS] = {"x", "x1", "x2", "x3"};
    reference_node *xs[REFERENCE_INPUTS];
    reference r;
    reference_begin(&r, c);
    const char *op = verify_metadata(c, "op");
    const cln_file_tensor *x = op ? verify_find(c, CLN_F32, "x") : NULL;
    if (!x || !verify_parse(c, "attrs"))
        return false;
    int count = 0;
    for (; count < REFERENCE_INPUTS && verify_lookup(c, names[count]); count++)
        if (!(xs[count] = reference_input(&r, names[count])))
            return false;
    reference_node *y = apply(&r, op, xs, count);
    if (!y)
        return false;
    const int64_t sides[4] = {y->shape.n, y->shape.c, y->shape.h, y->shape.w};
    const double *dy;
    if (!verify_put(c, "y", y->labels ? 1 : x->rank, sides, y->value) || !find_upstream(&r, y, x->rank, &dy) ||
        !reference_backward(&r, y, dy))
        return false;
    for (int i = 0; i < count; i++)
        if (!put_like(c, "d", names[i], names[i], xs[i]->gradient))
            return false;
    return put_parameters(&r);
}

/* --- optimisers --- */

/* One update of parameter *w by gradient g, the `step`th, counted from 1, as PyTorch documents it. */
static void update(const verify_optimizer *o, double lr, int64_t step, double *w, double g, double *m, double *v) {
    if (o->optimizer.kind == CLN_ADAMW)
        *w -= lr * o->weight_decay * *w;
    else
        g += o->weight_decay * *w;
    if (o->optimizer.kind == CLN_SGD) {
        *m = step == 1 ? g : o->momentum * *m + g;
        *w -= lr * (o->optimizer.nesterov ? g + o->momentum * *m : o->momentum != 0 ? *m : g);
        return;
    }
    *m = o->beta1 * *m + (1 - o->beta1) * g;
    *v = o->beta2 * *v + (1 - o->beta2) * g * g;
    double mean = *m / (1 - pow(o->beta1, (double)step)), square = *v / (1 - pow(o->beta2, (double)step));
    *w -= lr * mean / (sqrt(square) + o->eps);
}

static bool solve_optimizer(verify_case *c) {
    verify_optimizer o;
    const cln_file_tensor *t = verify_find(c, CLN_F32, "grad");
    if (!t || t->rank < 2 || !verify_read_optimizer(c, "hparams", CLN_ADAM, &o))
        return false;
    int64_t steps = t->shape[0], n = t->count / steps;
    const float *grad = verify_floats(c, t->rank, t->shape, "grad"), *lr = verify_floats(c, 1, &steps, "lr");
    const float *w0 = verify_floats(c, t->rank - 1, t->shape + 1, "w");
    double *m = verify_alloc(c, n, sizeof *m), *v = verify_alloc(c, n, sizeof *v);
    double *after = verify_alloc(c, t->count, sizeof *after);
    const bool muon = o.optimizer.kind == CLN_MUON;
    if (!grad || !lr || !w0 || !m || !v || !after)
        return false;
    for (int64_t s = 0; s < steps; s++) {
        double *w = after + s * n;
        for (int64_t i = 0; i < n; i++)
            w[i] = s > 0 ? w[i - n] : (double)w0[i];
        if (muon && !reference_muon(c, &o, (double)lr[s], t->shape[1], n / t->shape[1], grad + s * n, m, w))
            return false;
        for (int64_t i = 0; !muon && i < n; i++)
            update(&o, (double)lr[s], s + 1, &w[i], (double)grad[s * n + i], &m[i], &v[i]);
    }
    return put_like(c, "", "w_after", "grad", after);
}

/* --- networks --- */

static void update_all(reference *r, const verify_optimizer *o, int64_t step) {
    for (reference_parameter *p = r->parameters; p; p = p->next)
        for (int64_t i = 0; p->trainable && i < verify_count(p->node.shape); i++)
            update(o, o->lr, step, &p->node.value[i], p->node.gradient[i], &p->moment[0][i], &p->moment[1][i]);
}

static bool put_state(reference *r) {
    char like[REFERENCE_NAME + 8];
    for (const reference_parameter *p = r->parameters; p; p = p->next) {
        snprintf(like, sizeof like, "param.%s", p->name);
        if (!put_like(r->c, "after1.", p->name, like, p->node.value) ||
            (p->trainable && !put_like(r->c, "grad.", p->name, like, p->node.gradient)))
            return false;
    }
    return true;
}

static bool forward(reference *r, const int32_t *labels, bool training, const char *name, reference_node **loss) {
    reference_rewind(r);
    r->training = training;
    reference_node *logits = reference_model(r, reference_input(r, "input"));
    *loss = reference_softmax_ce(r, logits, labels, 0);
    if (!*loss)
        return false;
    const int64_t sides[2] = {logits->shape.n, logits->shape.c};
    return !name || verify_put(r->c, name, 2, sides, logits->value);
}

static bool solve_model(verify_case *c) {
    reference r;
    verify_optimizer o;
    reference_node *loss;
    double losses[STEPS];
    int classes;
    reference_begin(&r, c);
    const cln_file_tensor *input = verify_find(c, CLN_F32, "input");
    if (!input || !verify_read_optimizer(c, "optimizer_hparams", CLN_ADAMW, &o) || !verify_parse(c, "hparams") ||
        !verify_int(c, "num_classes", 10, &classes))
        return false;
    const int32_t *labels = verify_labels(c, input->shape[0], classes);
    if (!labels || !forward(&r, labels, false, "logits_eval", &loss))
        return false;
    for (int step = 0; step < STEPS; step++) {
        if (!forward(&r, labels, true, step == 0 ? "logits_train" : NULL, &loss) || !reference_backward(&r, loss, NULL))
            return false;
        losses[step] = loss->value[0];
        update_all(&r, &o, step + 1);
        if (step == 0 && !put_state(&r))
            return false;
    }
    return verify_put(c, "losses", 1, (const int64_t[]){STEPS}, losses);
}

bool reference_solve(verify_case *c) {
    const char *kind = verify_metadata(c, "kind");
    if (!kind)
        return false;
    if (strcmp(kind, "op") == 0)
        return solve_op(c);
    if (strcmp(kind, "optimizer") == 0)
        return solve_optimizer(c);
    return strcmp(kind, "model") == 0 ? solve_model(c) : verify_fail(c, "the reference has no kind '%.80s'", kind);
}
