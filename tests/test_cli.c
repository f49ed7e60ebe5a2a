/* The programs as a user runs them: results, and for every kind of bad input one message and the documented status. */
#include "files.h"
#include "programs.h"
#include "suite.h"
#include "tiny.h"

#include <cjson/cJSON.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char *folder;           /* of this suite: data/, runs/ and what the programs print */
static bool has_device = true; /* else what needs one is left out */
#define output program_output
#define errors program_errors

/* Runs a program of CLNET_BIN_DIR from the suite's folder; the exit status. */
#define run(...) program_run(folder, __VA_ARGS__)

/* Standard error is one message: it begins with the program's name, further lines (a list) are indented. */
static void check_message(const char *arguments, const char *message) {
    ck_assert_msg(strstr(errors, message) != NULL, "%s: expected '%s', found: %s", arguments, message, errors);
    ck_assert_msg(strncmp(errors, "cltrain: ", 9) == 0 || strncmp(errors, "clbench: ", 9) == 0, "%s", errors);
    for (const char *end = strchr(errors, '\n'); end; end = strchr(end + 1, '\n'))
        ck_assert_msg(end[1] == '\0' || end[1] == ' ', "%s: more than one message: %s", arguments, errors);
}

typedef struct bad {
    const char *arguments;
    int status;
    const char *message;
} bad;

/* --- without a device --- */

static const bad misuses[] = {
    {"cltrain", 2, "no command given"},
    {"cltrain fitt", 2, "unknown command 'fitt': did you mean 'fit'?"},
    {"cltrain --verison", 2, "unknown option '--verison'"},
    {"cltrain frobnicate", 2, "unknown command 'frobnicate' (see"},
    {"cltrain fit", 2, "--model is missing"},
    {"cltrain fit --model ResNet", 2, "--data is missing"},
    {"cltrain fit --pretrained x", 2, "--data is missing"},
    {"cltrain fit --pretrained x --data data --init-weights x", 2, "and --init-weights exclude each other"},
    {"cltrain fit --pretrained x --data data --resume x", 2, "--pretrained and --resume exclude each other"},
    {"cltrain fit --model Resnet --data data", 2,
     "unknown model 'Resnet': did you mean 'ResNet'? (the models are GoogleNet, ResNet"},
    {"cltrain fit --model VGG --data data", 2, "unknown model 'VGG' (the models are"},
    {"cltrain fit --epcohs 3", 2, "unknown option '--epcohs': did you mean '--epochs'?"},
    {"cltrain fit --batch_sise 3", 2, "unknown option '--batch_sise': did you mean '--batch-size'?"},
    {"cltrain fit --frobnicate", 2, "unknown option '--frobnicate' (see cltrain fit --help)"},
    {"cltrain fit -e 3", 2, "unknown option '-e': options begin with two dashes"},
    {"cltrain fit ResNet", 2, "unexpected 'ResNet'"},
    {"cltrain fit --epochs", 2, "--epochs needs a value"},
    {"cltrain fit --epochs many", 2, "--epochs: expected a whole number from 1 to 1000000, found 'many'"},
    {"cltrain fit --epochs 0", 2, "--epochs: expected a whole number"},
    {"cltrain fit --epochs 3x", 2, "--epochs: expected a whole number"},
    {"cltrain fit --epochs=", 2, "--epochs: expected a whole number"},
    {"cltrain fit --epochs 99999999999999999999", 2, "--epochs: expected a whole number"},
    {"cltrain fit --lr nan", 2, "--lr: expected a number"},
    {"cltrain fit --lr -1", 2, "--lr: expected a number"},
    {"cltrain fit --lr 0.1.2", 2, "--lr: expected a number"},
    {"cltrain fit --milestones 3,,5", 2, "--milestones: expected at most 16 whole numbers"},
    {"cltrain fit --milestones 3,5,", 2, "--milestones: expected at most 16 whole numbers"},
    {"cltrain fit --milestones 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", 2, "--milestones: expected at most 16"},
    {"cltrain fit --optimizer rmsprop", 2, "--optimizer: expected one of sgd, adam, adamw, muon, found 'rmsprop'"},
    {"cltrain fit --hflip 1.5", 2, "--hflip: expected a number from 0 to 1, found '1.5'"},
    {"cltrain fit --scale 0.5,2", 2, "--scale: expected at most 4 numbers from 0 to 1 with commas between them"},
    {"cltrain fit --scale 0.5,", 2, "--scale: expected at most 4 numbers"},
    {"cltrain fit --color-jitter 1,1,1,0.1,0", 2, "--color-jitter: expected at most 4 numbers"},
    {"cltrain fit --model ResNet --data data --scale 0.5", 2, "--scale: expected two numbers, found 1"},
    {"cltrain fit --model ResNet --data data --ratio 1,2,3", 2, "--ratio: expected two numbers, found 3"},
    {"cltrain fit --model ResNet --data data --color-jitter 0.5,1", 2, "--color-jitter: expected 1, 3 or 4 numbers"},
    {"cltrain fit --quiet=yes", 2, "--quiet: expected true or false, found 'yes'"},
    {"cltrain fit --no-quiet=true", 2, "--no-quiet takes no value"},
    {"cltrain fit --no-epochs 3", 2, "unknown option '--no-epochs'"},
    {"cltrain fit --model ResNet --data data --optimizer adam --momentum 0.9", 2,
     "--momentum is for --optimizer sgd and muon"},
    {"cltrain fit --model ResNet --data data --optimizer muon --momentum 0", 2,
     "muon needs one between 0 and 1, found 0"},
    {"cltrain fit --model ResNet --data data --optimizer muon --momentum 1", 2,
     "muon needs one between 0 and 1, found 1"},
    {"cltrain fit --model ResNet --data data --lr-scheduler exponential", 2, "expected one of multistep, cosine,"},
    {"cltrain fit --model ResNet --data data --lr-scheduler cosine --gamma 0.1", 2,
     "--gamma is for --lr-scheduler multistep"},
    {"cltrain fit --model ResNet --data data --min-lr 0.1", 2, "--min-lr is for --lr-scheduler cosine"},
    {"cltrain fit --model ResNet --data data --lr-scheduler onecycle --momentum 0.9", 2,
     "--momentum needs --no-cycle-momentum"},
    {"cltrain fit --model ResNet --data data --warmup-epochs 1 --warmup-steps 1", 2,
     "--warmup-epochs and --warmup-steps exclude each other"},
    {"cltrain fit --model ResNet --data data --warmup-lr 0.1", 2, "--warmup-lr is for --warmup-epochs or"},
    {"cltrain summary --model ResNet --hparams '{\"c_hiden\": [3]}'", 2,
     "there is no 'c_hiden': did you mean 'c_hidden'?"},
    {"cltrain summary --model ResNet --hparams '{\"c_hidden\": [3]}'", 2, "num_blocks has 3 groups and c_hidden 1"},
    {"cltrain summary", 2, "--model is missing"},
    {"cltrain test --data data", 2, "--weights is missing"},
    {"cltrain test --weights x --data data --val-split 5", 2, "--val-split is for --split-indices"},
    {"cltrain test --weights x --data data --image-size 0", 2, "--image-size: expected at most 16 whole numbers"},
    {"cltrain test --weights x --data data --image-size 1,2,3", 2, "--image-size: expected N or H,W, found 3 numbers"},
    {"cltrain fit --model ResNet --data data --image-size 1,2,3", 2, "expected N or H,W, found 3 numbers"},
    {"cltrain test --weights x --data data --split half", 2, "--split: expected one of test, val, train, found 'half'"},
    {"cltrain export", 2, "cltrain: export: --weights is missing (see cltrain export --help)"},
    {"cltrain export --weights x", 2,
     "cltrain: export: --format is missing, and --out does not end in .safetensors or .onnx (see"},
    {"cltrain export --weights x --out x.pt", 2,
     "--format is missing, and --out does not end in .safetensors or .onnx"},
    {"cltrain export --weights x --format tflite", 2, "--format: expected one of safetensors, onnx, found 'tflite'"},
    {"cltrain export --weights x --format onnx --dtype fp16", 2, "--dtype is for --format safetensors"},
    {"cltrain export --weights x --out x.safetensors --dtype fp8", 2, "--dtype: expected one of fp32, fp16, bf16"},
    {"cltrain export --weights x --out x.safetensors --fold-batchnorm", 2, "--fold-batchnorm is for --format onnx"},
    {"cltrain export --weights x --out x.safetensors --with-normalization", 2,
     "--with-normalization is for --format onnx"},
    {"cltrain export --weights x --out x.onnx --image-size 1,2,3", 2, "expected N or H,W, found 3 numbers"},
    {"cltrain export --weights x --out x.onnx --model Resnet", 2, "unknown model 'Resnet': did you mean 'ResNet'?"},
    {"clbench", 2, "no command given"},
    {"clbench tran", 2, "unknown command 'tran': did you mean 'train'?"},
    {"clbench train", 2, "--model is missing"},
    {"clbench table", 2, "clbench: table: --data is missing"},
    {"clbench table --data data", 2, "give --pretrained with weights, or --runs to train, or both"},
    {"clbench table --data data --runs r --models ResNet,VGG", 2, "--models: there is no model 'VGG'"},
    {"clbench table --data data --pretrained .", 2, "there is no GoogleNet.safetensors, .ckpt, .pt or .pth in '.'"},
    {"clbench table --data data --runs r --seeds 0", 2, "--seeds: expected a whole number from 1 to 64"},
    {"clbench compare a.json", 2, "expected two files, found 1"},
    {"clbench report --out x", 2, "--table is missing"},
    {"clbench report --table x", 2, "--out is missing"},
    {"clbench train --model ResNet --batch-size 0", 2, "--batch-size: expected a whole number"},
};

START_TEST(misuse_is_told) {
    ck_assert_int_eq(run("", "%s", misuses[_i].arguments), misuses[_i].status);
    check_message(misuses[_i].arguments, misuses[_i].message);
    ck_assert_str_eq(output, "");
}
END_TEST

START_TEST(help_and_version) {
    ck_assert_int_eq(run("", "cltrain --version"), 0);
    ck_assert_ptr_eq(strstr(output, "cltrain "), output);
    ck_assert_int_eq(run("", "cltrain --help"), 0);
    ck_assert_ptr_nonnull(strstr(output, "no such OpenCL device"));
    static const char *const commands[] = {"fit", "test", "export", "summary", "devices", "models"};
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(run("", "cltrain %s --help", commands[i]), 0);
        ck_assert_ptr_nonnull(strstr(output, "usage: cltrain "));
        ck_assert_str_eq(errors, "");
    }
    ck_assert_int_eq(run("", "clbench train --help"), 0);
    ck_assert_int_eq(run("", "cltrain models"), 0);
    ck_assert_ptr_nonnull(strstr(output, "ResNetPreAct: "));
    ck_assert_ptr_nonnull(strstr(output, "272,378 parameters"));
}
END_TEST

START_TEST(summary) {
    ck_assert_int_eq(run("", "cltrain summary --model ResNet"), 0);
    ck_assert_ptr_nonnull(strstr(output, "blocks.3.downsample"));
    ck_assert_ptr_nonnull(strstr(output, "272,378"));
    static const double parameters[] = {272378, 272250};
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(run("", "cltrain summary --json --model=%s", i ? "ResNetPreAct" : "ResNet"), 0);
        cJSON *json = cJSON_Parse(output);
        ck_assert_ptr_nonnull(json);
        ck_assert_double_eq(cJSON_GetNumberValue(cJSON_GetObjectItem(json, "parameters")), parameters[i]);
        ck_assert_int_gt(cJSON_GetArraySize(cJSON_GetObjectItem(json, "layers")), 30);
        cJSON_Delete(json);
    }
    ck_assert_int_eq(run("", "cltrain summary --model ResNet --print-graph"), 0);
    ck_assert_ptr_nonnull(strstr(output, "conv2d"));
}
END_TEST

START_TEST(no_device_at_all) {
    static const char *const commands[] = {"cltrain devices", "cltrain fit --model ResNet --data data",
                                           "cltrain test --weights x --data data", "clbench infer --model ResNet"};
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(run("OCL_ICD_VENDORS=/nonexistent", "%s", commands[i]), 5);
        ck_assert_msg(strstr(errors, "OpenCL") != NULL, "%s", errors);
    }
}
END_TEST

/* --- with a device --- */

#define FIT "cltrain fit --model ResNet --hparams '" TINY_HPARAMS "' --epochs 1 --batch-size 16 --val-split 20 "

START_TEST(fit_then_test) {
    if (!has_device)
        return;
    ck_assert_msg(run("", FIT "--data data --out run --print_graph --print-plan") == 0, "%s", errors);
    static const char *const shown[] = {"device ",
                                        "model: ResNet; sgd, lr 0.1, momentum 0.9, weight decay 0.0001, batches of 16",
                                        "data: 100 images to train on, 20 for validation, 30 to test",
                                        "normalised batches: mean ",
                                        "epoch 1/1  lr 0.1  loss ",
                                        "validation loss ",
                                        " images/s",
                                        "accuracy",
                                        "run/best.safetensors",
                                        " = conv2d("};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        ck_assert_msg(strstr(output, shown[i]) != NULL, "no '%s' in: %s", shown[i], output);
    ck_assert_str_eq(errors, "");
    static const int counts[] = {30, 20, 100};
    static const char *const splits[] = {"test", "val", "train"};
    for (int i = 0; i < 3; i++) {
        ck_assert_msg(run("", "cltrain test --weights run/best.safetensors --data data --split %s --json", splits[i]) ==
                          0,
                      "%s", errors);
        cJSON *json = cJSON_Parse(output);
        ck_assert_msg(json != NULL, "not JSON: %s", output);
        double correct = cJSON_GetNumberValue(cJSON_GetObjectItem(json, "correct"));
        ck_assert_double_eq(cJSON_GetNumberValue(cJSON_GetObjectItem(json, "count")), counts[i]);
        ck_assert_double_eq_tol(cJSON_GetNumberValue(cJSON_GetObjectItem(json, "accuracy")), correct / counts[i], 1e-6);
        ck_assert(cJSON_IsNumber(cJSON_GetObjectItem(json, "loss")));
        cJSON_Delete(json);
    }
    ck_assert_int_eq(run("", "cltrain test --weights run/best.safetensors --data data"), 0);
    ck_assert_ptr_nonnull(strstr(output, " of 30 correct: accuracy "));
    ck_assert_int_eq(run("", "cltrain fit --pretrained run/best.safetensors --data data"), 0);
    ck_assert_ptr_nonnull(strstr(output, "best.safetensors: ResNet, 1 epoch of sgd, lr 0.1"));
    ck_assert_ptr_nonnull(strstr(output, "validation           20 "));
    ck_assert_ptr_nonnull(strstr(output, "test                 30 "));
    ck_assert_ptr_null(strstr(output, "does not say"));
    /* Without a word about the split. */
    ck_assert_int_eq(run("LC_ALL=C sed 's/\"split\":/\"spilt\":/' run/best.safetensors >run/bare.safetensors;",
                         "cltrain fit --pretrained run/bare.safetensors --data data --val-split 30"),
                     0);
    ck_assert_ptr_nonnull(
        strstr(output, "the file does not say which images its training held back; those of seed 42"));
    ck_assert_ptr_nonnull(strstr(output, "validation           30 "));
}
END_TEST

/* After fit_then_test: all files of a run can be exported, without a device, and what comes out be tested. */
START_TEST(fit_then_export) {
    if (!has_device)
        return;
    static const char *const names[] = {"best", "last", "resume"};
    for (int i = 0; i < 3; i++) {
        int status =
            run("OCL_ICD_VENDORS=/nonexistent", "cltrain export --weights run/%s.safetensors --format onnx", names[i]);
        ck_assert_msg(status == 0, "%s", errors);
        char first[128];
        snprintf(first, sizeof first, "run/%s.onnx: ResNet, ", names[i]);
        ck_assert_ptr_eq(strstr(output, first), output);
        ck_assert_ptr_nonnull(
            strstr(output, "\ninput: float32 [batch, 3, 32, 32], normalised; logits: float32 [batch, 10]"));
    }
    ck_assert_int_eq(run("", "cltrain export --weights run/best.safetensors --out run/u.onnx --fold_batchnorm "
                             "--with-normalization --quiet"),
                     0);
    ck_assert_str_eq(output, "");
    static const char *const dtypes[] = {"fp32", "fp16", "bf16"};
    for (int i = 0; i < 3; i++) {
        ck_assert_msg(run("", "cltrain export --weights run/best.safetensors --out run/%s.safetensors --dtype %s",
                          dtypes[i], dtypes[i]) == 0,
                      "%s", errors);
        ck_assert_ptr_nonnull(strstr(output, " parameters, "));
        ck_assert_msg(run("", "cltrain test --weights run/%s.safetensors --data data --split val", dtypes[i]) == 0,
                      "%s", errors);
        ck_assert_ptr_nonnull(strstr(output, " of 20 correct"));
    }
}
END_TEST

START_TEST(quiet_prints_the_result_only) {
    if (!has_device)
        return;
    ck_assert_msg(run("", FIT "--data data --out quiet --quiet --val-split 0") == 0, "%s", errors);
    ck_assert_ptr_null(strstr(output, "epoch 1/1"));
    ck_assert_ptr_nonnull(strstr(output, "test "));
    ck_assert_ptr_nonnull(strstr(output, "quiet/last.safetensors"));
}
END_TEST

START_TEST(devices) {
    if (!has_device)
        return;
    ck_assert_int_eq(run("", "cltrain devices"), 0);
    ck_assert_ptr_nonnull(strstr(output, "0:0  "));
    ck_assert_int_eq(run("", "cltrain devices --json"), 0);
    cJSON *json = cJSON_Parse(output);
    ck_assert_int_ge(cJSON_GetArraySize(json), 1);
    cJSON_Delete(json);
}
END_TEST

START_TEST(speed) {
    if (!has_device)
        return;
    static const char *const modes[] = {"train", "infer"};
    for (int i = 0; i < 2; i++) {
        int status = run("", "clbench %s --model ResNet --hparams '%s' --batch-size 4 --num-bench-iter 2 --json",
                         modes[i], TINY_HPARAMS);
        ck_assert_msg(status == 0, "%s", errors);
        cJSON *json = cJSON_Parse(output);
        ck_assert_msg(json != NULL, "%s", output);
        ck_assert_str_eq(cJSON_GetStringValue(cJSON_GetObjectItem(json, "model")), "ResNet");
        ck_assert_double_eq(cJSON_GetNumberValue(cJSON_GetObjectItem(json, "batch_size")), 4);
        double median = cJSON_GetNumberValue(cJSON_GetObjectItem(json, "images_per_s"));
        ck_assert_double_gt(cJSON_GetNumberValue(cJSON_GetObjectItem(json, "min")), 0);
        ck_assert_double_ge(median, cJSON_GetNumberValue(cJSON_GetObjectItem(json, "min")));
        ck_assert_double_le(median, cJSON_GetNumberValue(cJSON_GetObjectItem(json, "max")));
        ck_assert(cJSON_IsString(cJSON_GetObjectItem(json, "device")));
        cJSON_Delete(json);
    }
}
END_TEST

#define TEST "cltrain test --data data --weights "
#define EXPORT "cltrain export --format onnx --weights "

/* Standard error may begin with the line of the device. */
static const bad bad_inputs[] = {
    {FIT "--data data --device nosuch", 5, "device 'nosuch' is not there"},
    {FIT "--data data --device 7:3", 5, "7:3"},
    {TEST "run/last.safetensors --device nosuch", 5, "device 'nosuch' is not there"},
    {FIT "--data nowhere", 4, "no data set at 'nowhere': there is no such folder"},
    {FIT "--data data/test_batch.bin", 3, "it is a file, expected the folder of a data set"},
    {FIT "--data empty", 3, "no data set in folder 'empty': expected CIFAR-10 binary"},
    {FIT "--data truncated", 3, "data_batch_2.bin' has 3072 bytes, expected one or more whole records of 3073 bytes"},
    {FIT "--data hollow", 3, "test_batch.bin' has 0 bytes, expected one or more whole records of 3073 bytes"},
    {FIT "--data incomplete", 4, "data_batch_5.bin is missing"},
    {FIT "--data mislabelled", 3, "record 0 (counted from 0) has label 10, expected 0 to 9"},
    {FIT "--data data --batch-size 101", 2, "a batch of 101 is larger than the data: 100 images to train on"},
    {FIT "--data data --val-split 120", 2, "the training set has 120 images, and none would be left"},
    {FIT "--data data --val-split 1.5", 2, "expected a share of the training images below 1, or a whole number"},
    {FIT "--data data --split-indices nowhere", 4, "cannot open 'nowhere'"},
    {FIT "--data data --split-indices data/batches.meta.txt", 3, "is 'airplane', expected a whole number from 0 to"},
    {FIT "--data data --image-size 16", 2, "only those of an image folder can be resized to 16x16"},
    {FIT "--data data --freeze 'blocks.*,bloks.*'", 2,
     "cltrain: freezing parameters: none matches 'bloks.*'; they have names like 'input_net.0.weight'"},
    {FIT "--data data --freeze '*'", 2, "every parameter is frozen, there is nothing to train"},
    {FIT "--data data --init-weights nowhere", 4, "cannot open 'nowhere'"},
    {FIT "--data data --init-weights data/batches.meta.txt", 3, "holds no weights in a format that is known here"},
    {FIT "--data data --init-weights weights/unnamed.safetensors", 3,
     "weights/unnamed.safetensors: weights of another network: it has no tensor 'input_net.0.weight'"},
    {FIT "--data data --normalize half", 2, "normalisation 'half': expected dataset, cifar10"},
    {FIT "--data data --milestones 5,3", 2, "the milestones must be ascending epochs from 1 on, found 3 after 5"},
    {FIT "--data data --hparams '{\"num_blocks\": [1]}'", 2, "num_blocks has 1 groups and c_hidden 3"},
    {FIT "--data data --out data/test_batch.bin", 4, "there is a file of that name"},
    {FIT "--data data --lr 1e30", 8, "in epoch 1, step "},
    {EXPORT "nowhere.safetensors", 4, "cltrain: cannot open 'nowhere.safetensors': No such file or directory"},
    {EXPORT "data", 4, "cltrain: 'data' is a folder, not a regular file"},
    {EXPORT "data/batches.meta.txt", 3,
     "cltrain: 'data/batches.meta.txt' holds no weights in a format that is known here: safetensors, and what "
     "torch.save"},
    {EXPORT "weights/short.safetensors", 3, "short.safetensors"},
    {EXPORT "weights/unnamed.safetensors", 3,
     "cltrain: weights file 'weights/unnamed.safetensors': its metadata names no model; say which one it belongs to "
     "(--model)"},
    {EXPORT "weights/unknown.safetensors", 3,
     "cltrain: weights file 'weights/unknown.safetensors': it is of an unknown model 'AlexNet'"},
    {EXPORT "weights/unnamed.safetensors --model ResNet", 3,
     "cltrain: weights/unnamed.safetensors: weights of another network: it has no tensor 'input_net.0.weight'"},
    {EXPORT "run/last.safetensors --model ResNet --hparams '{\"num_blocs\": [1]}'", 2,
     "there is no 'num_blocs': did you mean 'num_blocks'?"},
    {EXPORT "run/last.safetensors --normalize half", 2, "normalisation 'half': expected dataset, cifar10"},
    {EXPORT "run/last.safetensors --with-normalization --normalize 0.5/0.5", 2,
     "the normalisation is for 1 channels, the input 'image' has 3"},
    {EXPORT "run/last.safetensors --out nowhere/x.onnx", 4, "cltrain: cannot create 'nowhere/x.onnx.tmp-"},
    {EXPORT "run/last.safetensors --out data", 4,
     "cltrain: cannot put the new file in place of 'data': Is a directory"},
    {EXPORT "run/last.safetensors --out run/last.safetensors", 2,
     "cltrain: 'run/last.safetensors' cannot be exported to itself: name another file to write (--out)"},
    {"cltrain export --format safetensors --weights run/last.safetensors", 2, "cannot be exported to itself"},
    {TEST "nowhere.safetensors", 4, "nowhere.safetensors"},
    {TEST "data/batches.meta.txt", 3, "batches.meta.txt"},
    {TEST "weights/short.safetensors", 3, "short.safetensors"},
    {TEST "weights/header.safetensors", 3, "header.safetensors"},
    {TEST "weights/unnamed.safetensors", 3, "its metadata names no model"},
    {TEST "weights/unknown.safetensors", 3, "it is of an unknown model 'Alex"},
    {TEST "run/last.safetensors --model ResNetPreAct --hparams '" TINY_HPARAMS "'", 3,
     "weights of another network: tensor 'blocks.0.net.0.weight'"},
    {TEST "run/last.safetensors --hparams '{\"num_blocks\": [1, 1], \"c_hidden\": [8, 9]}'", 3,
     "blocks.1.net.0.weight"},
    {TEST "run/last.safetensors --hparams '{\"num_classes\": 7, \"num_blocks\": [1, 1], \"c_hidden\": [8, 8]}'", 2,
     "knows 7 classes, 'data' has 10"},
};

START_TEST(bad_input_is_told) {
    if (!has_device)
        return;
    const bad *b = &bad_inputs[_i];
    int status = run("", "%s", b->arguments);
    ck_assert_msg(status == b->status, "%s: status %d, expected %d: %s", b->arguments, status, b->status, errors);
    check_message(b->arguments, b->message);
}
END_TEST

/* --- set-up --- */

static void make_folder(const char *name) {
    folder_make(folder, name);
}

static char *make_data(const char *name) {
    make_folder(name);
    char *path = path_of(folder, name);
    tiny_write(path);
    return path;
}

static void make_broken_data(void) {
    static unsigned char record[3073] = {10};
    char *path = make_data("truncated");
    file_write(path, "data_batch_2.bin", record, 3072);
    free(path);
    path = make_data("hollow");
    file_write(path, "test_batch.bin", record, 0);
    free(path);
    path = make_data("incomplete");
    file_remove(path, "data_batch_5.bin");
    free(path);
    path = make_data("mislabelled");
    file_write(path, "data_batch_3.bin", record, sizeof record);
    free(path);
    make_folder("empty");
}

/* A safetensors file: the length of the header, the header, one float. */
static void write_weights(const char *name, const char *header) {
    unsigned char bytes[512] = {0};
    size_t length = strlen(header);
    bytes[0] = (unsigned char)length;
    memcpy(bytes + 8, header, length);
    char *path = path_of(folder, "weights");
    file_write(path, name, bytes, 8 + length + 4);
    free(path);
}

#define TENSOR "\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}"

static void make_broken_weights(void) {
    make_folder("weights");
    write_weights("short.safetensors", "{\"w\":{\"dtype\":\"F32\",\"shape\":[9],\"data_offsets\":[0,36]}}");
    write_weights("header.safetensors", "{\"w\":{\"dtype\":\"F32\"");
    write_weights("unnamed.safetensors", "{" TENSOR);
    write_weights("unknown.safetensors", "{\"__metadata__\":{\"model\":\"AlexNet\"}," TENSOR);
}

static void set_up(void) {
    folder = folder_new();
    free(make_data("data"));
    make_broken_data();
    make_broken_weights();
    if (run("", "cltrain devices") != 0) {
        has_device = getenv("CI") != NULL; /* there, the tests are to fail */
        if (!has_device)
            skip("what needs a device", "%.*s", (int)strcspn(errors, "\n"), errors);
    }
}

static void tear_down(void) {
    folder_remove(folder);
    folder = NULL;
}

static void add_tests(TCase *tests) {
    if (!suite_has_programs())
        return;
    tcase_add_unchecked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, misuse_is_told, 0, sizeof misuses / sizeof *misuses);
    tcase_add_test(tests, help_and_version);
    tcase_add_test(tests, summary);
    tcase_add_test(tests, no_device_at_all);
    tcase_add_test(tests, fit_then_test);
    tcase_add_test(tests, fit_then_export);
    tcase_add_test(tests, quiet_prints_the_result_only);
    tcase_add_test(tests, devices);
    tcase_add_test(tests, speed);
    tcase_add_loop_test(tests, bad_input_is_told, 0, sizeof bad_inputs / sizeof *bad_inputs);
}

int main(void) {
    return suite_run("cli", add_tests);
}
