/* The cases of clbench verify --self: a table of operators, optimisers and small networks; see reference.h for their
 * truth. Between them they take every kernel, with shapes that are no multiple of any block. */
#include "self.h"
#include "reference.h"

#include <stdio.h>

/* Tolerances, measured against the norm of the truth: float32 rounds by 6e-8, and a value goes through some hundred
 * sums. Networks add those up through their layers; these have neither ReLU nor max pooling, where a unit within
 * rounding of a kink would turn its gradient over. */
static const char *const op_tolerance = "{\"y\": 1e-5, \"dx\": 1e-5, \"grad\": 1e-5, \"after\": 1e-5}";
static const char *const model_tolerance =
    "{\"logits\": 1e-5, \"grad\": 1e-4, \"losses\": [1e-5, 1e-4, 1e-4, 1e-4, 1e-4]}";
/* Muon multiplies what is small in a gradient by up to 480, and with it rounding. */
static const char *const muon_tolerance = "{\"update\": 2e-4}";

/* clang-format off */
static const self_op ops[] = {
    {"conv2d 1x1", "conv2d", "{\"out\": 19, \"kernel\": 1}", 4, {2, 37, 9, 7}, {0}},
    {"conv2d 1x1 stride 2", "conv2d", "{\"out\": 24, \"kernel\": 1, \"stride\": 2}", 4, {3, 16, 11, 8}, {0}},
    {"conv2d 3x3, one of everything", "conv2d", "{\"out\": 1, \"kernel\": 3, \"padding\": 1}", 4, {1, 1, 1, 1}, {0}},
    {"conv2d 3x3 from images", "conv2d", "{\"out\": 16, \"kernel\": 3, \"padding\": 1, \"bias\": false}", 4, {2, 3, 16, 16}, {0}},
    {"conv2d 3x3, whole blocks", "conv2d", "{\"out\": 32, \"kernel\": 3, \"padding\": 1, \"bias\": false}", 4, {2, 16, 16, 16}, {0}},
    {"conv2d 3x3, odd sizes", "conv2d", "{\"out\": 23, \"kernel\": 3, \"padding\": 1}", 4, {3, 17, 9, 13}, {0}},
    {"conv2d 3x3 stride 2", "conv2d", "{\"out\": 24, \"kernel\": 3, \"stride\": 2, \"padding\": 1}", 4, {2, 12, 15, 12}, {0}},
    {"conv2d 3x3 dilation 2", "conv2d", "{\"out\": 18, \"kernel\": 3, \"dilation\": 2, \"padding\": 2}", 4, {2, 10, 9, 12}, {0}},
    {"conv2d 3x3 in 4 groups", "conv2d", "{\"out\": 16, \"kernel\": 3, \"padding\": 1, \"groups\": 4}", 4, {2, 8, 10, 9}, {0}},
    {"conv2d 3x3, each channel alone", "conv2d", "{\"out\": 10, \"kernel\": 3, \"padding\": 1, \"groups\": 10}", 4, {2, 10, 8, 7}, {0}},
    {"conv2d 5x5", "conv2d", "{\"out\": 20, \"kernel\": 5, \"padding\": 2}", 4, {2, 16, 11, 10}, {0}},
    {"conv2d 1x3 without padding", "conv2d", "{\"out\": 9, \"kernel\": [1, 3]}", 4, {1, 5, 7, 9}, {0}},
    {"batchnorm", "batchnorm", "{}", 4, {4, 21, 7, 5}, {0}},
    {"batchnorm by running statistics", "batchnorm", "{\"training\": false}", 4, {4, 21, 7, 5}, {0}},
    {"relu", "relu", "{}", 4, {3, 19, 5, 7}, {0}},
    {"leakyrelu", "leakyrelu", "{}", 4, {3, 19, 5, 7}, {0}},
    {"tanh", "tanh", "{}", 4, {3, 19, 5, 7}, {0}},
    {"gelu", "gelu", "{}", 4, {3, 19, 5, 7}, {0}},
    {"add", "add", "{}", 4, {3, 19, 5, 7}, {19}},
    {"concat, whole blocks", "concat", "{}", 4, {2, 16, 6, 5}, {32}},
    {"concat with gaps", "concat", "{}", 4, {3, 8, 5, 7}, {12, 5}},
    {"maxpool 3x3 stride 2", "maxpool", "{\"kernel\": 3, \"stride\": 2, \"padding\": 1}", 4, {2, 18, 9, 12}, {0}},
    {"maxpool 3x3 stride 1", "maxpool", "{\"kernel\": 3, \"stride\": 1, \"padding\": 1}", 4, {2, 18, 9, 7}, {0}},
    {"avgpool 2x2", "avgpool", "{\"kernel\": 2}", 4, {2, 18, 9, 12}, {0}},
    {"avgpool 3x3 stride 2", "avgpool", "{\"kernel\": 3, \"stride\": 2, \"padding\": 1}", 4, {2, 18, 8, 6}, {0}},
    {"global_avgpool", "global_avgpool", "{}", 4, {3, 21, 7, 8}, {0}},
    {"linear", "linear", "{\"out\": 10}", 2, {5, 33}, {0}},
    {"softmax_ce", "softmax_ce", "{}", 2, {8, 10}, {0}},
    {"softmax_ce with label smoothing", "softmax_ce", "{\"label_smoothing\": 0.1}", 2, {5, 7}, {0}},
};

static const struct {
    const char *title, *optimizer, *hparams;
    int64_t out, in; /* in 0: weights without a shape */
} optimizers[] = {
    {"sgd", "SGD", "{\"lr\": 0.1, \"weight_decay\": 0.1}", 37, 0},
    {"sgd with momentum", "SGD", "{\"lr\": 0.1, \"momentum\": 0.9, \"weight_decay\": 0.1}", 37, 0},
    {"sgd with nesterov", "SGD", "{\"lr\": 0.1, \"momentum\": 0.9, \"weight_decay\": 0.1, \"nesterov\": true}", 37, 0},
    {"adam", "Adam", "{\"lr\": 0.01, \"weight_decay\": 0.1}", 37, 0},
    {"adamw", "AdamW", "{\"lr\": 0.01, \"weight_decay\": 0.1}", 37, 0},
    {"muon, more outputs than inputs", "Muon", "{\"lr\": 0.1, \"momentum\": 0.9, \"weight_decay\": 0.1, \"adjust_lr_fn\": \"match_rms_adamw\"}", 37, 21},
    {"muon, more inputs than outputs", "Muon", "{\"lr\": 0.1, \"momentum\": 0.9, \"weight_decay\": 0.1, \"adjust_lr_fn\": \"match_rms_adamw\"}", 9, 20},
};

static const self_model models[] = {
    {"ResNet, small, trained", "ResNet",
     "{\"num_classes\": 7, \"c_hidden\": [8, 20], \"num_blocks\": [1, 1], \"act_fn_name\": \"gelu\"}",
     "SGD", "{\"lr\": 0.05, \"momentum\": 0.9, \"weight_decay\": 1e-4}", {4, 3, 12, 10}, 7, NULL},
    {"DenseNet, small, trained", "DenseNet",
     "{\"num_classes\": 7, \"num_layers\": [1, 1], \"bn_size\": 2, \"growth_rate\": 5, \"act_fn_name\": \"tanh\"}",
     "AdamW", "{\"lr\": 0.002, \"weight_decay\": 1e-4}", {4, 3, 12, 10}, 7, NULL},
};
/* clang-format on */

enum {
    OPS = sizeof ops / sizeof *ops,
    OPTIMIZERS = sizeof optimizers / sizeof *optimizers,
    MODELS = sizeof models / sizeof *models,
};

int self_count(void) {
    return OPS + OPTIMIZERS + MODELS;
}

const char *self_title(int index) {
    if (index < OPS)
        return ops[index].title;
    index -= OPS;
    return index < OPTIMIZERS ? optimizers[index].title : models[index - OPTIMIZERS].title;
}

const char *self_group(int index) {
    return index < OPS ? ops[index].op : index < OPS + OPTIMIZERS ? "optimiser" : "network";
}

/* --- inputs --- */

static bool draw(verify_case *c, reference *random, const char *name, int rank, const int64_t *shape) {
    int64_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= shape[i];
    double *values = verify_alloc(c, count, sizeof *values);
    for (int64_t i = 0; values && i < count; i++)
        values[i] = reference_draw(random);
    return values && verify_put(c, name, rank, shape, values);
}

static bool put_labels(verify_case *c, int64_t count, int64_t classes) {
    int64_t *labels = verify_alloc(c, count, sizeof *labels);
    for (int64_t i = 0; labels && i < count; i++)
        labels[i] = i * 3 % classes;
    return labels && verify_put_labels(c, count, labels);
}

static bool make_op(verify_case *c, reference *random, const self_op *o) {
    static const char *const names[2] = {"x1", "x2"};
    if (!verify_put_metadata(c, "kind", "op") || !verify_put_metadata(c, "op", o->op) ||
        !verify_put_metadata(c, "attrs", o->attributes) || !verify_put_metadata(c, "tolerance", op_tolerance) ||
        !draw(c, random, "x", o->rank, o->x))
        return false;
    for (int i = 0; i < 2 && o->more[i]; i++)
        if (!draw(c, random, names[i], 4, (const int64_t[]){o->x[0], o->more[i], o->x[2], o->x[3]}))
            return false;
    return o->op[0] != 's' || put_labels(c, o->x[0], o->x[1]);
}

/* The learning rate falls once, as in training. */
static bool make_optimizer(verify_case *c, reference *random, int index) {
    enum { STEPS = 6 };
    const double rate = optimizers[index].optimizer[0] == 'A' ? 0.01 : 0.1;
    const double lr[STEPS] = {rate, rate, rate, rate, rate / 10, rate / 10};
    const int64_t steps = STEPS, grad[5] = {STEPS, optimizers[index].out, optimizers[index].in, 1, 1};
    const int rank = optimizers[index].in ? 4 : 1;
    return verify_put_metadata(c, "kind", "optimizer") &&
           verify_put_metadata(c, "optimizer", optimizers[index].optimizer) &&
           verify_put_metadata(c, "hparams", optimizers[index].hparams) &&
           (!optimizers[index].in || verify_put_metadata(c, "tolerance", muon_tolerance)) &&
           draw(c, random, "w", rank, grad + 1) && draw(c, random, "grad", rank + 1, grad) &&
           verify_put(c, "lr", 1, &steps, lr);
}

static bool make_model(verify_case *c, reference *random, const self_model *m) {
    return verify_put_metadata(c, "kind", "model") && verify_put_metadata(c, "model", m->model) &&
           verify_put_metadata(c, "hparams", m->hparams) && verify_put_metadata(c, "optimizer", m->optimizer) &&
           verify_put_metadata(c, "optimizer_hparams", m->optimizer_hparams) &&
           verify_put_metadata(c, "tolerance", m->tolerance ? m->tolerance : model_tolerance) &&
           draw(c, random, "input", 4, m->input) && put_labels(c, m->input[0], m->classes);
}

static reference numbers(verify_case *c, int index) {
    reference random;
    reference_begin(&random, c);
    random.random += 1000 + (uint64_t)index;
    return random;
}

static bool make_inputs(verify_case *c, int index) {
    reference random = numbers(c, index);
    if (index < OPS)
        return make_op(c, &random, &ops[index]);
    index -= OPS;
    return index < OPTIMIZERS ? make_optimizer(c, &random, index) : make_model(c, &random, &models[index - OPTIMIZERS]);
}

bool self_make(verify_case *c, int index) {
    return make_inputs(c, index) && reference_solve(c);
}

bool self_make_op(verify_case *c, const self_op *op) {
    reference random = numbers(c, 0);
    return make_op(c, &random, op) && reference_solve(c);
}

bool self_make_model(verify_case *c, const self_model *model) {
    reference random = numbers(c, 0);
    return make_model(c, &random, model) && reference_solve(c);
}
