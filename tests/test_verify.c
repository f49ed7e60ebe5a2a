/* clbench verify, as a user runs it: the reference files pass; files that are wrong in any way fail with the reason,
 * and never stop the others. */
#include "clnet/safetensors.h"
#include "files.h"
#include "suite.h"

#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* --- running the program --- */

typedef struct outcome {
    int status;
    char *text; /* what it printed, errors too */
} outcome;

static outcome bench(const char *arguments) {
    const char *folder = getenv("CLNET_BIN_DIR");
    size_t size = strlen(arguments) + strlen(folder ? folder : ".") + 64, used = 0, room = 1 << 16;
    char *command = malloc(size);
    outcome o = {.text = malloc(room)};
    ck_assert(command && o.text);
    snprintf(command, size, "'%s/clbench' verify %s 2>&1", folder ? folder : ".", arguments);
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    for (size_t got; (got = fread(o.text + used, 1, room - used - 1, pipe)) > 0;) {
        used += got;
        o.text = used + 1 < room ? o.text : realloc(o.text, room *= 2);
        ck_assert_ptr_nonnull(o.text);
    }
    o.text[used] = '\0';
    int ended = pclose(pipe);
    ck_assert_msg(WIFEXITED(ended), "it crashed: %s\n%s", command, o.text);
    o.status = WEXITSTATUS(ended);
    free(command);
    return o;
}

/* The line about `file`, as a new string. */
static char *line_of(const outcome *o, const char *file) {
    const char *found = strstr(o->text, file);
    ck_assert_msg(found != NULL, "no line about %s in\n%s", file, o->text);
    while (found > o->text && found[-1] != '\n')
        found--;
    return strndup(found, strcspn(found, "\n"));
}

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* --- the reference files --- */

static void check_all_pass(const char *pattern) {
    char *path = shared_path("golden", pattern);
    if (!path)
        return;
    char *full = path_of(path, pattern), end[64], *arguments = calloc(1, 1);
    glob_t files;
    ck_assert_int_eq(glob(full, 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        size_t size = strlen(arguments) + strlen(files.gl_pathv[i]) + 4;
        char *longer = malloc(size);
        ck_assert_ptr_nonnull(longer);
        snprintf(longer, size, "%s '%s'", arguments, files.gl_pathv[i]);
        free(arguments);
        arguments = longer;
    }
    outcome o = bench(arguments);
    snprintf(end, sizeof end, "%zu passed, 0 failed\n", files.gl_pathc);
    ck_assert_msg(o.status == 0 && ends_with(o.text, end), "%s", o.text);
    free(o.text);
    free(arguments);
    free(full);
    free(path);
    globfree(&files);
}

START_TEST(operators_pass) {
    check_all_pass("op-*.safetensors");
}
END_TEST

START_TEST(optimisers_pass) {
    check_all_pass("optimizer-*.safetensors");
}
END_TEST

START_TEST(augmentation_passes) {
    check_all_pass("augment-*.safetensors");
}
END_TEST

START_TEST(residual_networks_pass) {
    check_all_pass("model-resnet*.safetensors");
}
END_TEST

/* --- files made here --- */

enum { MAX_TENSORS = 10, MAX_METADATA = 8, MAX_VALUES = 1100 };
typedef struct golden {
    int tensor_count, metadata_count;
    cln_file_tensor tensors[MAX_TENSORS];
    cln_metadata metadata[MAX_METADATA];
    double values[MAX_TENSORS][MAX_VALUES]; /* room for any type */
} golden;

static void set_values(golden *g, int index, cln_dtype dtype, double value) {
    cln_file_tensor *t = &g->tensors[index];
    t->dtype = dtype;
    t->data = g->values[index];
    for (int64_t i = 0; i < t->count; i++) {
        float f = (float)value;
        int64_t whole = isnan(value) ? 0 : (int64_t)value;
        char *at = (char *)g->values[index] + (size_t)i * cln_dtype_size(dtype);
        memcpy(at,
               dtype == CLN_F32   ? (void *)&f
               : dtype == CLN_I64 ? (void *)&whole
                                  : (void *)&value,
               cln_dtype_size(dtype));
    }
}

static void set_shape(cln_file_tensor *t, const char *shape) {
    t->rank = 0;
    t->count = 1;
    for (char *end; *shape; shape = *end ? end + 1 : end, t->rank++) {
        t->shape[t->rank] = strtoll(shape, &end, 10);
        t->count *= t->shape[t->rank];
    }
    ck_assert_int_le(t->count, MAX_VALUES);
}

/* Shapes as "2,3". */
static void add(golden *g, const char *name, cln_dtype dtype, const char *shape, double value) {
    g->tensors[g->tensor_count].name = name;
    set_shape(&g->tensors[g->tensor_count], shape);
    set_values(g, g->tensor_count++, dtype, value);
}

static void describe(golden *g, const char *key, const char *value) {
    g->metadata[g->metadata_count++] = (cln_metadata){key, value};
}

/* A 1x1 convolution of ones by ones. */
static void make_conv2d(golden *g) {
    describe(g, "kind", "op");
    describe(g, "op", "conv2d");
    describe(g, "attrs", "{\"in\": 2, \"out\": 1, \"kernel\": [1, 1], \"bias\": false}");
    describe(g, "tolerance", "{\"y\": 1e-5, \"dx\": 1e-5}");
    add(g, "x", CLN_F32, "1,2,3,4", 1);
    add(g, "param.weight", CLN_F32, "1,2,1,1", 1);
    add(g, "y", CLN_F32, "1,1,3,4", 2);
    add(g, "dy", CLN_F32, "1,1,3,4", 1);
    add(g, "dx", CLN_F32, "1,2,3,4", 1);
    add(g, "grad.weight", CLN_F32, "1,2,1,1", 12);
}

/* Two equal logits. */
static void make_softmax_ce(golden *g) {
    describe(g, "kind", "op");
    describe(g, "op", "softmax_ce");
    describe(g, "attrs", "{}");
    add(g, "x", CLN_F32, "1,2", 3);
    add(g, "label", CLN_I64, "1", 1);
    add(g, "y", CLN_F32, "1", log(2));
    add(g, "dx", CLN_F32, "1,2", 0.5);
    ((float *)g->values[3])[1] = -0.5f;
}

/* Plain gradient descent from 1 by gradients of 1, learning rates of 0.5. */
static void make_optimizer(golden *g) {
    describe(g, "kind", "optimizer");
    describe(g, "optimizer", "SGD");
    describe(g, "hparams", "{\"lr\": 0.5}");
    describe(g, "tolerance", "{}");
    add(g, "w", CLN_F32, "3", 1);
    add(g, "grad", CLN_F32, "1,3", 1);
    add(g, "lr", CLN_F32, "1", 0.5);
    add(g, "w_after", CLN_F32, "1,3", 0.5);
}

#define MUON "{\"momentum\": 0.9, \"adjust_lr_fn\": \"match_rms_adamw\""

/* Of ones, by gradients of ones; the result is of torch.optim.Muon of PyTorch 2.13, made to iterate in float64. */
static void make_muon(golden *g) {
    describe(g, "kind", "optimizer");
    describe(g, "optimizer", "Muon");
    describe(g, "hparams", MUON "}");
    describe(g, "tolerance", "{\"update\": 1e-4}");
    add(g, "w", CLN_F32, "2,3,1,1", 1);
    add(g, "grad", CLN_F32, "1,2,3,1,1", 1);
    add(g, "lr", CLN_F32, "1", 0.5);
    add(g, "w_after", CLN_F32, "1,2,3,1,1", 0.9007545092198727);
}

/* Weights without a shape, which are none of Muon's. */
static void make_muon_line(golden *g) {
    make_optimizer(g);
    g->metadata[1].value = "Muon";
    g->metadata[2].value = MUON "}";
}

static void make_augment(golden *g) {
    describe(g, "kind", "augment");
    add(g, "image", CLN_F32, "1,1,4,4", 7);
    add(g, "flip", CLN_I64, "1", 1);
    add(g, "box", CLN_I64, "1,4", 2); /* rows and columns 2 and 3 */
    add(g, "result", CLN_F32, "1,1,4,4", 7);
}

/* Only as far as a model file is read before its weights. */
static void make_model(golden *g) {
    describe(g, "kind", "model");
    describe(g, "model", "ResNet");
    describe(g, "hparams", "{\"c_hidden\": [2], \"num_blocks\": [1], \"num_classes\": 3}");
    describe(g, "optimizer", "SGD");
    describe(g, "optimizer_hparams", "{\"lr\": 0.1}");
    add(g, "input", CLN_F32, "1,3,4,4", 1);
    add(g, "label", CLN_I64, "1", 2);
    add(g, "losses", CLN_F32, "5", 1);
}

typedef enum change { NOTHING, DROP, RENAME, TYPE, VALUE, SHAPE } change;

/* One file: a good one, with one metadata value or one tensor changed, and what its line must say. */
typedef struct file_case {
    void (*make)(golden *g);
    const char *key, *value; /* value NULL: left out */
    const char *tensor;
    change change;
    const char *to; /* new name, shape or value */
    const char *reason;
} file_case;

/* clang-format off */
static const file_case cases[] = {
    {make_conv2d, NULL, NULL, NULL, NOTHING, NULL, NULL},
    {make_softmax_ce, NULL, NULL, NULL, NOTHING, NULL, NULL},
    {make_optimizer, NULL, NULL, NULL, NOTHING, NULL, NULL},
    {make_muon, NULL, NULL, NULL, NOTHING, NULL, NULL},
    {make_muon, "optimizer", "SGD", "w_after", VALUE, "0.5", NULL}, /* a convolution's weight by another optimiser */
    {make_augment, NULL, NULL, NULL, NOTHING, NULL, NULL},
    /* not compared: neither wrong nor right */
    {make_conv2d, "tolerance", "{\"y\": null}", "y", VALUE, "5", NULL},
    {make_conv2d, "tolerance", "{\"y\": 2}", "y", VALUE, "1", NULL},

    {make_conv2d, NULL, NULL, "y", VALUE, "2.1", "y 0.048 not within 1e-05"},
    {make_conv2d, NULL, NULL, "dx", VALUE, "1.0001", "dx 0.0001 not within 1e-05"},
    {make_conv2d, NULL, NULL, "grad.weight", VALUE, "12.01", "grad.weight 0.00083 not within 1e-05"},
    {make_conv2d, NULL, NULL, "y", VALUE, "nan", "y nan not within"},
    {make_conv2d, NULL, NULL, "dy", VALUE, "nan", "dx nan not within"},
    {make_conv2d, NULL, NULL, "x", VALUE, "nan", "y nan not within"},
    {make_conv2d, NULL, NULL, "y", VALUE, "0", "y 6.9 not within"},
    {make_optimizer, NULL, NULL, "w_after", VALUE, "0.51", "update 0.02 not within 1e-05"},
    {make_muon, NULL, NULL, "w_after", VALUE, "0.901", "update 0.0025 not within 0.0001"},
    {make_muon, NULL, NULL, "grad", VALUE, "nan", "update nan not within"},
    {make_augment, NULL, NULL, "result", VALUE, "9", "result 2 not within 1"},

    {make_conv2d, "kind", NULL, NULL, NOTHING, NULL, "no 'kind'"},
    {make_conv2d, "kind", "opera", NULL, NOTHING, NULL, "unknown kind 'opera'"},
    {make_conv2d, "op", "conv3d", NULL, NOTHING, NULL, "unknown operator 'conv3d'"},
    {make_conv2d, "attrs", NULL, NULL, NOTHING, NULL, "no 'attrs'"},
    {make_conv2d, "attrs", "{\"in\": 2, \"out\":", NULL, NOTHING, NULL, "attrs is not a JSON object"},
    {make_conv2d, "attrs", "[1, 2]", NULL, NOTHING, NULL, "attrs is not a JSON object"},
    {make_conv2d, "attrs", "\x01\x7f{", NULL, NOTHING, NULL, "attrs is not a JSON object"},
    {make_conv2d, "attrs", "{\"out\": 1}", NULL, NOTHING, NULL, "'kernel' is missing"},
    {make_conv2d, "attrs", "{\"out\": 1, \"kernel\": [1]}", NULL, NOTHING, NULL, "'kernel' is neither a number nor two"},
    {make_conv2d, "attrs", "{\"out\": 1, \"kernel\": \"1\"}", NULL, NOTHING, NULL, "'kernel' is not a whole number"},
    {make_conv2d, "attrs", "{\"in\": 3, \"out\": 1, \"kernel\": 1}", NULL, NOTHING, NULL, "'in' is 3, but x has 2 channels"},
    {make_conv2d, "attrs", "{\"out\": 1, \"kernel\": 1, \"stride\": -1}", NULL, NOTHING, NULL, "'stride' is not a whole number"},
    {make_conv2d, "attrs", "{\"out\": 1, \"kernel\": 1, \"stride\": 0}", NULL, NOTHING, NULL, "must be 1 or more"},
    {make_conv2d, "attrs", "{\"out\": 1, \"kernel\": 1, \"stride\": [1, 2]}", NULL, NOTHING, NULL, "only equal ones are supported"},
    {make_conv2d, "attrs", "{\"out\": 1.5, \"kernel\": 1}", NULL, NOTHING, NULL, "'out' is not a whole number"},
    {make_conv2d, "attrs", "{\"out\": 1e300, \"kernel\": 1}", NULL, NOTHING, NULL, "'out' is not a whole number"},
    {make_conv2d, "attrs", "{\"out\": 2000000000, \"kernel\": 1}", NULL, NOTHING, NULL, "out of range"},
    {make_conv2d, "attrs", "{\"out\": 1, \"kernel\": 9}", NULL, NOTHING, NULL, "does not fit"},
    {make_conv2d, "attrs", "{\"out\": 1, \"kernel\": 2000000000}", NULL, NOTHING, NULL, "out of range"},
    {make_conv2d, "attrs", "{\"out\": 1, \"kernel\": 20000, \"padding\": 20000, \"bias\": false}", NULL, NOTHING, NULL, "y has shape 1x1x3x4"},
    {make_conv2d, "attrs", "{\"out\": 500000, \"kernel\": 1, \"bias\": false}", NULL, NOTHING, NULL, "y has shape 1x1x3x4"},
    {make_conv2d, "attrs", "{\"out\": 1, \"kernel\": 1, \"groups\": 3}", NULL, NOTHING, NULL, "cannot be split in 3 groups"},
    {make_conv2d, "attrs", "{\"out\": 1, \"kernel\": 1, \"bias\": 1}", NULL, NOTHING, NULL, "'bias' is neither true nor false"},
    {make_conv2d, "attrs", "{\"out\": 1, \"kernel\": 1}", NULL, NOTHING, NULL, "the network has 3 parameters, the file's param.* hold only 2"},
    {make_conv2d, "tolerance", "{\"y\": -1}", NULL, NOTHING, NULL, "tolerance of 'y'"},
    {make_conv2d, "tolerance", "{\"y\": \"small\"}", NULL, NOTHING, NULL, "tolerance of 'y'"},
    {make_conv2d, "tolerance", "y", NULL, NOTHING, NULL, "tolerance is not a JSON object"},
    {make_optimizer, "tolerance", "{\"update\": null}", NULL, NOTHING, NULL, "its tolerances leave nothing to compare"},

    {make_conv2d, NULL, NULL, "x", DROP, NULL, "no tensor 'x'"},
    {make_conv2d, NULL, NULL, "y", DROP, NULL, "no tensor 'y'"},
    {make_conv2d, NULL, NULL, "dy", DROP, NULL, "no tensor 'dy'"},
    {make_conv2d, NULL, NULL, "dx", DROP, NULL, "no tensor 'dx'"},
    {make_conv2d, NULL, NULL, "grad.weight", DROP, NULL, "no tensor 'grad.weight'"},
    {make_conv2d, NULL, NULL, "param.weight", DROP, NULL, "the file's param.* hold only 0"},
    {make_conv2d, NULL, NULL, "param.weight", RENAME, "param.wait", "'param.wait': the network has no such parameter"},
    {make_conv2d, NULL, NULL, "param.weight", SHAPE, "2,1,1,1", "'param.weight' has shape [2, 1, 1, 1], expected [1, 2, 1, 1]"},
    {make_conv2d, NULL, NULL, "param.weight", TYPE, "F64", "'param.weight' has type F64, expected F32"},
    {make_conv2d, NULL, NULL, "x", TYPE, "I64", "'x' has type I64, expected F32"},
    {make_conv2d, NULL, NULL, "x", SHAPE, "1,2,3,4,1", "expected at most four axes"},
    {make_conv2d, NULL, NULL, "x", SHAPE, "1,2,0,4", "none empty"},
    {make_conv2d, NULL, NULL, "x", SHAPE, "1,2,4,3", "y has shape 1x1x3x4, the operator makes 1x1x4x3"},
    {make_conv2d, NULL, NULL, "dy", SHAPE, "1,1,4,3", "'dy' has shape [1, 1, 4, 3], expected [1, 1, 3, 4]"},
    {make_softmax_ce, NULL, NULL, "label", DROP, NULL, "no tensor 'label'"},
    {make_softmax_ce, NULL, NULL, "label", TYPE, "F32", "'label' has type F32, expected I64"},
    {make_softmax_ce, NULL, NULL, "label", VALUE, "2", "label 2 of image 0 is outside the 2 classes"},
    {make_softmax_ce, NULL, NULL, "label", VALUE, "-1", "label -1 of image 0 is outside the 2 classes"},
    {make_softmax_ce, "attrs", "{\"label_smoothing\": 7}", NULL, NOTHING, NULL, "label smoothing 7"},
    {make_softmax_ce, "attrs", "{\"label_smoothing\": true}", NULL, NOTHING, NULL, "'label_smoothing' is not a number"},

    {make_optimizer, "optimizer", "LBFGS", NULL, NOTHING, NULL, "unknown optimizer 'LBFGS': SGD, Adam, AdamW and Muon are known"},
    {make_optimizer, "hparams", "{\"dampening\": 0.5}", NULL, NOTHING, NULL, "'dampening' 0.5 is not supported"},
    {make_optimizer, "hparams", "{\"maximize\": true}", NULL, NOTHING, NULL, "'maximize' is not supported"},
    {make_optimizer, "hparams", "{\"betas\": [0.9]}", NULL, NOTHING, NULL, "'betas' is not a list of two"},
    {make_optimizer, "hparams", "{\"betas\": [0.9, 1.5]}", NULL, NOTHING, NULL, "'betas' are not numbers"},
    {make_optimizer, "hparams", "{\"momentum\": -1}", NULL, NOTHING, NULL, "none may be negative"},
    {make_optimizer, NULL, NULL, "grad", SHAPE, "3,1", "'w' has shape [3], expected [1]"},
    {make_optimizer, NULL, NULL, "grad", SHAPE, "3", "not of two axes"},
    {make_optimizer, NULL, NULL, "w_after", DROP, NULL, "no tensor 'w_after'"},
    {make_optimizer, NULL, NULL, "grad", SHAPE, "0,3", "not of two axes"},

    {make_muon, "hparams", "{\"adjust_lr_fn\": null}", NULL, NOTHING, NULL, "'adjust_lr_fn' is not \"match_rms_adamw\""},
    {make_muon, "hparams", MUON ", \"nesterov\": false}", NULL, NOTHING, NULL, "'nesterov' false is not supported"},
    {make_muon, "hparams", MUON ", \"ns_steps\": 6}", NULL, NOTHING, NULL, "'ns_steps' 6 is not supported"},
    {make_muon, "hparams", "{\"momentum\": 1, \"adjust_lr_fn\": \"match_rms_adamw\"}", NULL, NOTHING, NULL, "betas 1 and 0.999"},
    {make_muon, NULL, NULL, "w", SHAPE, "3,2,1,1", "'w' has shape [3, 2, 1, 1], expected [2, 3, 1, 1]"},
    {make_muon, NULL, NULL, "w", SHAPE, "6", "'w' has shape [6], expected [2, 3, 1, 1]"},
    {make_muon, NULL, NULL, "w_after", SHAPE, "1,6", "'w_after' has shape [1, 6], expected [1, 2, 3, 1, 1]"},
    {make_muon, NULL, NULL, "lr", SHAPE, "2", "'lr' has shape [2], expected [1]"},
    {make_muon, NULL, NULL, "grad", SHAPE, "1,6", "'w' has shape [2, 3, 1, 1], expected [6]"},
    {make_muon, NULL, NULL, "grad", SHAPE, "2,3,1,1", "nor of five [steps, out, in, 1, 1]"},
    {make_muon, NULL, NULL, "grad", SHAPE, "1,2,1,3,1", "nor of five [steps, out, in, 1, 1]"},
    {make_muon, NULL, NULL, "grad", SHAPE, "1,2,0,1,1", "nor of five [steps, out, in, 1, 1]"},
    {make_muon, NULL, NULL, "grad", SHAPE, "0,2,3,1,1", "nor of five [steps, out, in, 1, 1]"},
    {make_muon, NULL, NULL, "grad", SHAPE, "1,1025,1,1,1", "out and in at most 1024"},
    {make_muon, NULL, NULL, "grad", SHAPE, "1,1,1025,1,1", "out and in at most 1024"},
    {make_muon_line, NULL, NULL, NULL, NOTHING, NULL, "Muon is for weights of convolutions"},

    {make_augment, NULL, NULL, "box", VALUE, "3", "not within the image of 4x4"},
    {make_augment, NULL, NULL, "box", VALUE, "-1", "out of range"},
    {make_augment, NULL, NULL, "box", VALUE, "9000000000", "out of range"},
    {make_augment, NULL, NULL, "flip", VALUE, "2", "neither 0 nor 1"},
    {make_augment, NULL, NULL, "image", VALUE, "7.5", "not a whole grey level"},
    {make_augment, NULL, NULL, "image", VALUE, "nan", "not a whole grey level"},
    {make_augment, NULL, NULL, "result", VALUE, "nan", "result nan not within"},
    {make_augment, NULL, NULL, "image", SHAPE, "1,16", "not of four axes"},

    {make_model, "model", "VGG", NULL, NOTHING, NULL, "unknown model 'VGG'"},
    {make_model, "hparams", "{\"c_hidden\": [2], \"depth\": 3}", NULL, NOTHING, NULL, "depth"},
    {make_model, "hparams", "{\"c_hidden\": [60000], \"num_blocks\": [1]}", NULL, NOTHING, NULL, "the file's param.* hold only 0"},
    {make_model, "hparams", "{\"c_hidden\": [2], \"in_channels\": 5, \"num_blocks\": [1]}", NULL, NOTHING, NULL, "in_channels is 5"},
    {make_model, NULL, NULL, "input", SHAPE, "1,3,16", "not of four axes"},
    {make_model, "optimizer", "Muon", NULL, NOTHING, NULL, "Muon is not supported in a file of a model"},
    {make_model, NULL, NULL, "label", VALUE, "3", "label 3 of image 0 is outside the 3 classes"},
    {make_model, NULL, NULL, NULL, NOTHING, NULL, "the file's param.* hold only 0"},
};
/* clang-format on */
enum { CASES = sizeof cases / sizeof *cases };

static void change_metadata(golden *g, const file_case *f) {
    for (int i = 0; i < g->metadata_count; i++)
        if (strcmp(g->metadata[i].key, f->key) == 0) {
            g->metadata[i].value = f->value;
            if (!f->value)
                g->metadata[i] = g->metadata[--g->metadata_count];
            return;
        }
    ck_abort_msg("no metadata '%s'", f->key);
}

static void change_tensor(golden *g, const file_case *f) {
    int i = 0;
    while (i < g->tensor_count && strcmp(g->tensors[i].name, f->tensor) != 0)
        i++;
    ck_assert_msg(i < g->tensor_count, "no tensor '%s'", f->tensor);
    cln_file_tensor *t = &g->tensors[i];
    if (f->change == DROP)
        *t = g->tensors[--g->tensor_count];
    else if (f->change == RENAME)
        t->name = f->to;
    else if (f->change == TYPE)
        set_values(g, i, f->to[0] == 'I' ? CLN_I64 : f->to[1] == '6' ? CLN_F64 : CLN_F32, 1);
    else if (f->change == VALUE)
        set_values(g, i, t->dtype, strtod(f->to, NULL));
    else
        set_shape(t, f->to);
}

static void write_case(const char *folder, const char *name, const file_case *f) {
    golden *g = calloc(1, sizeof *g);
    ck_assert_ptr_nonnull(g);
    f->make(g);
    if (f->key)
        change_metadata(g, f);
    if (f->tensor)
        change_tensor(g, f);
    char *path = path_of(folder, name);
    cln_status status =
        cln_safetensors_write(ctx, path, g->tensors, (size_t)g->tensor_count, g->metadata, (size_t)g->metadata_count);
    ck_assert_msg(status == CLN_OK, "%s", cln_context_error(ctx));
    free(path);
    free(g);
}

static void check_line(const outcome *o, const char *name, const char *reason) {
    char *line = line_of(o, name);
    const char *verdict = reason ? "FAIL" : "PASS";
    ck_assert_msg(strncmp(line, verdict, 4) == 0 && (!reason || strstr(line, reason)), "expected %s %s, found: %s",
                  verdict, reason ? reason : "", line);
    free(line);
}

START_TEST(wrong_files_fail_with_the_reason) {
    char *folder = folder_new(), *pattern = path_of(folder, "*"), name[32], end[64];
    int good = 0;
    for (int i = 0; i < CASES; i++) {
        snprintf(name, sizeof name, "case-%02d-", i);
        write_case(folder, name, &cases[i]);
        good += !cases[i].reason;
    }
    outcome o = bench(pattern);
    for (int i = 0; i < CASES; i++) {
        snprintf(name, sizeof name, "case-%02d-", i);
        check_line(&o, name, cases[i].reason);
    }
    snprintf(end, sizeof end, "\n%d passed, %d failed\n", good, CASES - good);
    ck_assert_msg(ends_with(o.text, end), "%s", o.text);
    ck_assert_int_eq(o.status, 1);
    free(o.text);
    free(pattern);
    folder_remove(folder);
}
END_TEST

START_TEST(files_that_are_no_safetensors_fail) {
    static const unsigned char huge[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, '{'};
    static const char text[] = "\x08\0\0\0\0\0\0\0{\"x\": 1}";
    char *folder = folder_new(), *pattern = path_of(folder, "*");
    file_write(folder, "empty", "", 0);
    file_write(folder, "huge", huge, sizeof huge);
    file_write(folder, "text", text, sizeof text - 1);
    write_case(folder, "whole", &cases[0]);
    char *whole = path_of(folder, "whole"), bytes[4096];
    FILE *file = fopen(whole, "rb");
    ck_assert_ptr_nonnull(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    file_write(folder, "truncated", bytes, size - 5);
    outcome o = bench(pattern);
    check_line(&o, "/whole", NULL);
    check_line(&o, "/empty", "empty");
    check_line(&o, "/huge", "huge");
    check_line(&o, "/text", "text");
    check_line(&o, "/truncated", "truncated");
    ck_assert_msg(ends_with(o.text, "\n1 passed, 4 failed\n"), "%s", o.text);
    ck_assert_int_eq(o.status, 1);
    free(o.text);
    free(whole);
    free(pattern);
    folder_remove(folder);
}
END_TEST

START_TEST(a_file_that_is_not_there_fails_and_the_next_is_run) {
    char *folder = folder_new(), arguments[600];
    write_case(folder, "good", &cases[0]);
    snprintf(arguments, sizeof arguments, "%s/absent %s/good", folder, folder);
    outcome o = bench(arguments);
    check_line(&o, "/absent", "absent");
    check_line(&o, "/good", NULL);
    ck_assert_int_eq(o.status, 1);
    free(o.text);
    folder_remove(folder);
}
END_TEST

START_TEST(json_lists_every_tensor) {
    char *folder = folder_new(), arguments[600];
    write_case(folder, "good", &cases[0]);
    snprintf(arguments, sizeof arguments, "--json %s/good", folder);
    outcome o = bench(arguments);
    ck_assert_int_eq(o.status, 0);
    ck_assert_msg(strstr(o.text, "\"passed\":1,\"failed\":0,\"files\":[{") != NULL, "%s", o.text);
    ck_assert_msg(strstr(o.text, "{\"name\":\"grad.weight\",\"error\":0,\"tolerance\":1e-05}") != NULL, "%s", o.text);
    free(o.text);
    folder_remove(folder);
}
END_TEST

/* Every file that is wrong has its reason at the end, and none of the right ones has a line there. */
START_TEST(a_report_tells_failures_in_full) {
    char *folder = folder_new(), arguments[600], row[64], name[32], note[200];
    int good = 0;
    for (int i = 0; i < CASES; i++) {
        snprintf(name, sizeof name, "case-%02d-", i);
        write_case(folder, name, &cases[i]);
        good += !cases[i].reason;
    }
    snprintf(arguments, sizeof arguments, "--report --variant direct %s/*", folder);
    outcome o = bench(arguments);
    ck_assert_int_eq(o.status, 1);
    snprintf(row, sizeof row, "\n| files | %d of %d | nan | ", good, CASES);
    ck_assert_msg(strstr(o.text, row) && strstr(o.text, "\n| settings | variant direct |\n"), "%.2000s", o.text);
    const char *notes = strstr(o.text, "\n```\n");
    ck_assert_msg(notes && ends_with(o.text, "\n```\n"), "%.2000s", o.text);
    for (int i = 0; i < CASES; i++) {
        snprintf(note, sizeof note, "\nFAIL %s/case-%02d-: ", folder, i);
        const char *found = strstr(notes, note), *reason = cases[i].reason;
        ck_assert_msg(!found == !reason, "case %d: %.200s", i, found ? found : "no note");
        char *line = found ? strndup(found + 1, strcspn(found + 1, "\n")) : NULL;
        ck_assert_msg(!line || strstr(line, reason), "expected %s, found: %s", reason, line);
        free(line);
    }
    free(o.text);
    folder_remove(folder);
}
END_TEST

START_TEST(misuse_is_told) {
    outcome none = bench(""), nowhere = bench("--device nonsense some-file"), both = bench("--self --json --report");
    ck_assert_int_eq(both.status, CLN_INVALID_ARGUMENT);
    ck_assert_msg(strstr(both.text, "--json and --report") != NULL, "%s", both.text);
    free(both.text);
    outcome no_group = bench("--self --only linear,conv"), no_self = bench("--only conv2d some-file");
    ck_assert_int_eq(no_group.status, CLN_INVALID_ARGUMENT);
    ck_assert_int_eq(no_self.status, CLN_INVALID_ARGUMENT);
    ck_assert_msg(strstr(no_group.text, "--only names groups") != NULL, "%s", no_group.text);
    free(no_group.text);
    free(no_self.text);
    ck_assert_int_eq(none.status, CLN_INVALID_ARGUMENT);
    ck_assert_msg(strstr(none.text, "clbench: verify: no files given") != NULL, "%s", none.text);
    ck_assert_int_eq(nowhere.status, CLN_NO_DEVICE);
    ck_assert_msg(strstr(nowhere.text, "nonsense") != NULL, "%s", nowhere.text);
    free(none.text);
    free(nowhere.text);
}
END_TEST

static void add_tests(TCase *tests) {
    if (!suite_has_device())
        return;
    tcase_add_test(tests, operators_pass);
    tcase_add_test(tests, optimisers_pass);
    tcase_add_test(tests, augmentation_passes);
    tcase_add_test(tests, residual_networks_pass);
    tcase_add_test(tests, wrong_files_fail_with_the_reason);
    tcase_add_test(tests, files_that_are_no_safetensors_fail);
    tcase_add_test(tests, a_file_that_is_not_there_fails_and_the_next_is_run);
    tcase_add_test(tests, json_lists_every_tensor);
    tcase_add_test(tests, a_report_tells_failures_in_full);
    tcase_add_test(tests, misuse_is_told);
}

int main(void) {
    return suite_run("verify", add_tests);
}
