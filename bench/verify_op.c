/* Cases of one operator: its output, and the gradients of its inputs and parameters from a given upstream gradient. The
 * operator is the whole network; its layer is called "op". */
#include "verify.h"

#include <stdio.h>
#include <string.h>

/* Further inputs of the operators that join several. */
enum { MAX_INPUTS = 4 };
static const char *const input_names[MAX_INPUTS] = {"x", "x1", "x2", "x3"};

typedef struct op_case {
    cln_tensor x, y, dy, label;
    cln_shape x_shape, y_shape;
    cln_tensor inputs[MAX_INPUTS]; /* x first */
    int input_count;
} op_case;

/* --- building --- */

static bool build_conv2d(verify_case *c, op_case *o) {
    cln_conv2d_options options = {.out_channels = 0};
    int in, kernel[2];
    if (!verify_int(c, "in", (int)o->x_shape.c, &in) || !verify_int(c, "out", 0, &options.out_channels) ||
        !verify_int_pair(c, "kernel", kernel) || !verify_int(c, "stride", 1, &options.stride) ||
        !verify_int(c, "padding", 0, &options.padding) || !verify_int(c, "dilation", 1, &options.dilation) ||
        !verify_int(c, "groups", 1, &options.groups) || !verify_flag(c, "bias", true, &options.bias))
        return false;
    if (in != o->x_shape.c)
        return verify_fail(c, "'in' is %d, but x has %lld channels", in, (long long)o->x_shape.c);
    if (!options.stride || !options.dilation || !options.groups) /* the builder takes 0 for the default */
        return verify_fail(c, "stride %d, dilation %d, groups %d: each must be 1 or more", options.stride,
                           options.dilation, options.groups);
    options.kernel_h = kernel[0];
    options.kernel_w = kernel[1];
    o->y = cln_conv2d(c->graph, o->x, "op", &options);
    return true;
}

static bool build_pool(verify_case *c, op_case *o,
                       cln_tensor (*pool)(cln_graph *g, cln_tensor x, int kernel, int stride, int padding)) {
    int kernel, stride, padding;
    if (!verify_int(c, "kernel", 0, &kernel) || !verify_int(c, "stride", kernel, &stride) ||
        !verify_int(c, "padding", 0, &padding))
        return false;
    o->y = pool(c->graph, o->x, kernel, stride, padding);
    return true;
}

static bool build_maxpool(verify_case *c, op_case *o) {
    return build_pool(c, o, cln_maxpool);
}

static bool build_avgpool(verify_case *c, op_case *o) {
    return build_pool(c, o, cln_avgpool);
}

static bool build_global_avgpool(verify_case *c, op_case *o) {
    o->y = cln_global_avgpool(c->graph, o->x);
    return true;
}

static bool build_batchnorm(verify_case *c, op_case *o) {
    double eps, momentum;
    bool training;
    if (!verify_real(c, "eps", 1e-5, &eps) || !verify_real(c, "momentum", 0.1, &momentum) ||
        !verify_flag(c, "training", true, &training))
        return false;
    if (!(eps > 0 && momentum > 0))
        return verify_fail(c, "eps %g and momentum %g must be above 0", eps, momentum);
    o->y = cln_batchnorm(
        c->graph, o->x, "op",
        &(cln_batchnorm_options){.eps = (float)eps, .momentum = (float)momentum, .use_running = !training});
    return true;
}

static bool build_linear(verify_case *c, op_case *o) {
    int in, out;
    if (!verify_int(c, "in", (int)o->x_shape.c, &in) || !verify_int(c, "out", 0, &out))
        return false;
    if (in != o->x_shape.c)
        return verify_fail(c, "'in' is %d, but x has %lld features", in, (long long)o->x_shape.c);
    o->y = cln_linear(c->graph, o->x, "op", out);
    return true;
}

static bool build_softmax_ce(verify_case *c, op_case *o) {
    double smoothing;
    if (!verify_real(c, "label_smoothing", 0, &smoothing))
        return false;
    o->label = cln_labels(c->graph, "label", o->x_shape.n);
    o->y = cln_softmax_ce(c->graph, o->x, o->label, (float)smoothing);
    return true;
}

static bool build_add(verify_case *c, op_case *o) {
    if (o->input_count != 2)
        return verify_fail(c, "add has %d inputs, expected x and x1", o->input_count);
    o->y = cln_add(c->graph, o->x, o->inputs[1]);
    return true;
}

static bool build_concat(verify_case *c, op_case *o) {
    o->y = cln_concat(c->graph, o->inputs, o->input_count);
    return true;
}

static const struct {
    const char *name;
    bool (*build)(verify_case *c, op_case *o);
} ops[] = {
    {"conv2d", build_conv2d},         {"maxpool", build_maxpool}, {"avgpool", build_avgpool},
    {"batchnorm", build_batchnorm},   {"linear", build_linear},   {"global_avgpool", build_global_avgpool},
    {"softmax_ce", build_softmax_ce}, {"add", build_add},         {"concat", build_concat},
};

static bool build_inputs(verify_case *c, op_case *o) {
    cln_shape s;
    for (o->input_count = 0; o->input_count < MAX_INPUTS; o->input_count++) {
        const char *name = input_names[o->input_count];
        if (o->input_count > 0 && !verify_lookup(c, name))
            break;
        const cln_file_tensor *t = verify_find(c, CLN_F32, "%s", name);
        if (!t || !verify_shape(c, t, &s))
            return false;
        if (s.c > INT32_MAX)
            return verify_fail(c, "%s has %lld channels", name, (long long)s.c);
        o->inputs[o->input_count] = cln_input(c->graph, name, s.n, s.c, s.h, s.w);
        if (o->input_count == 0)
            o->x_shape = s;
    }
    o->x = o->inputs[0];
    return true;
}

static bool build(verify_case *c, op_case *o) {
    cln_activation activation;
    const char *name = verify_metadata(c, "op");
    if (!name || !verify_parse(c, "attrs") || !build_inputs(c, o))
        return false;
    o->label = CLN_NO_TENSOR;
    if (cln_activation_parse(name, &activation)) {
        o->y = cln_activate(c->graph, o->x, activation);
        return true;
    }
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strcmp(ops[i].name, name) == 0)
            return ops[i].build(c, o);
    return verify_fail(c, "unknown operator '%.80s'", name);
}

/* The graph's y and the file's must agree before memory is made for either; then dy, unless the operator is a loss. */
static bool check_output(verify_case *c, op_case *o) {
    cln_shape found, expected = cln_tensor_shape(c->graph, o->y);
    const cln_file_tensor *y = verify_find(c, CLN_F32, "y");
    if (!y || !verify_shape(c, y, &found))
        return false;
    if (memcmp(&found, &expected, sizeof found) != 0)
        return verify_fail(c, "y has shape %lldx%lldx%lldx%lld, the operator makes %lldx%lldx%lldx%lld",
                           (long long)found.n, (long long)found.c, (long long)found.h, (long long)found.w,
                           (long long)expected.n, (long long)expected.c, (long long)expected.h, (long long)expected.w);
    o->y_shape = found;
    o->dy = CLN_NO_TENSOR;
    if (o->label.id < 0)
        o->dy = cln_input(c->graph, "dy", found.n, found.c, found.h, found.w);
    return verify_ok(c, cln_graph_status(c->graph));
}

/* --- running --- */

static const float *like(verify_case *c, const char *name, const char *as) {
    const cln_file_tensor *t = verify_find(c, CLN_F32, "%s", as);
    return t ? verify_floats(c, t->rank, t->shape, "%s", name) : NULL;
}

static bool write_inputs(verify_case *c, const op_case *o) {
    for (int i = 0; i < o->input_count; i++) {
        const float *x = like(c, input_names[i], input_names[i]);
        int64_t count = verify_count(cln_tensor_shape(c->graph, o->inputs[i]));
        if (!x || !verify_ok(c, cln_plan_write(c->plan, o->inputs[i], x, count)))
            return false;
    }
    if (o->label.id >= 0) {
        const int32_t *labels = verify_labels(c, o->x_shape.n, o->x_shape.c);
        return labels && verify_ok(c, cln_plan_write_labels(c->plan, o->label, labels, o->x_shape.n));
    }
    const float *dy = like(c, "dy", "y");
    return dy && verify_ok(c, cln_plan_write(c->plan, o->dy, dy, verify_count(o->y_shape)));
}

static bool run(verify_case *c, const op_case *o) {
    cln_plan_options options = {.training = true,
                                .loss = o->y,
                                .has_upstream = o->dy.id >= 0,
                                .upstream = o->dy,
                                .outputs = &o->y,
                                .output_count = 1,
                                .gradients = o->inputs,
                                .gradient_count = o->input_count};
    return verify_build(c, c->graph, &options) && write_inputs(c, o) && verify_ok(c, cln_plan_step(c->plan, 0));
}

static bool compare_output(verify_case *c, const op_case *o) {
    int64_t count = verify_count(o->y_shape);
    const float *y = like(c, "y", "y");
    float *ours = y ? verify_alloc(c, count, sizeof *ours) : NULL;
    double tolerance;
    return ours && verify_tolerance(c, "y", 0, &tolerance) && verify_ok(c, cln_plan_read(c->plan, o->y, ours, count)) &&
           verify_compare(c, "y", "", ours, y, count, tolerance);
}

static bool compare_input(verify_case *c, const op_case *o, int index) {
    char name[8];
    snprintf(name, sizeof name, "d%s", input_names[index]);
    int64_t count = verify_count(cln_tensor_shape(c->graph, o->inputs[index]));
    const float *dx = like(c, name, input_names[index]);
    float *ours = dx ? verify_alloc(c, count, sizeof *ours) : NULL;
    double tolerance;
    return ours && verify_tolerance(c, "dx", 0, &tolerance) &&
           verify_ok(c, cln_plan_read_gradient(c->plan, o->inputs[index], ours, count)) &&
           verify_compare(c, name, "", ours, dx, count, tolerance);
}

/* The gradient of a parameter, the value of a running statistic. */
static bool compare_weight(verify_case *c, int index) {
    cln_weight_info info = cln_weights_info(c->weights, index);
    const char *key = info.trainable ? "grad" : "after";
    char name[sizeof((verify_result *)0)->group];
    snprintf(name, sizeof name, "%s.%s", key, info.name + strlen("op."));
    double tolerance;
    const float *truth = verify_floats(c, info.rank, info.shape, "%s", name);
    const float *ours = truth ? verify_weight(c, index, info.trainable ? CLN_GRADIENT : CLN_VALUE) : NULL;
    return ours && verify_tolerance(c, key, 0, &tolerance) &&
           verify_compare(c, name, "", ours, truth, info.count, tolerance);
}

bool verify_op(verify_case *c) {
    op_case o;
    if (!build(c, &o) || !verify_ok(c, cln_graph_status(c->graph)) || !check_output(c, &o) ||
        !verify_load_weights(c, "op.") || !run(c, &o) || !compare_output(c, &o))
        return false;
    for (int i = 0; i < o.input_count; i++)
        if (!compare_input(c, &o, i))
            return false;
    for (int i = 0; i < cln_weights_count(c->weights); i++)
        if (!compare_weight(c, i))
            return false;
    return true;
}
