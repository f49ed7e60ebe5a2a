/* Runs that are interrupted and gone on with end as if nothing had happened; states that are not of the run, or not
 * whole, are refused; what is kept follows the monitor. */
#include "clnet/models.h"
#include "events.h"
#include "files.h"
#include "runs.h"
#include "suite.h"
#include "tiny.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char *root; /* data/ and the runs */

static bool is_there(const char *name) {
    char *path = path_of(root, name);
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

static char *read_file(const char *name, size_t *size) {
    char *path = path_of(root, name), *bytes = malloc(1 << 20);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "there is no %s", path);
    *size = fread(bytes, 1, (1 << 20) - 1, file);
    bytes[*size] = '\0';
    fclose(file);
    free(path);
    return bytes;
}

static void runs(const char *arguments) {
    int status = run_all("", arguments);
    ck_assert_msg(status == 0, "%s: status %d: %s", arguments, status, run_errors);
}

static void fails(const char *arguments, int expected, const char *message) {
    int status = run_all("", arguments);
    ck_assert_msg(status == expected, "%s: status %d: %s", arguments, status, run_errors);
    ck_assert_msg(strstr(run_errors, message) != NULL, "%s: expected '%s', found: %s", arguments, message, run_errors);
    ck_assert_msg(strncmp(run_errors, "cltrain: ", 9) == 0 && strchr(run_errors, '\n')[1] == '\0',
                  "more than one message: %s", run_errors);
}

/* Whether tensor `name` has the same bytes in both files. */
static bool same_tensor(const char *a, const char *b, const char *name) {
    const char *const files[2] = {a, b};
    cln_safetensors *opened[2];
    const cln_file_tensor *t[2];
    for (int i = 0; i < 2; i++) {
        char *path = path_of(root, files[i]);
        ok(cln_safetensors_read(ctx, path, &opened[i]));
        t[i] = cln_safetensors_find(opened[i], name);
        ck_assert_msg(t[i] && t[i]->dtype == CLN_F32, "%s: no %s", files[i], name);
        free(path);
    }
    bool same = t[0]->count == t[1]->count && memcmp(t[0]->data, t[1]->data, (size_t)t[0]->count * 4) == 0;
    for (int i = 0; i < 2; i++)
        cln_safetensors_free(opened[i]);
    return same;
}

/* The network of RUN_FIT for the 100 classes of other/. */
#define OTHER_CLASSES                                                                                                  \
    "fit --model ResNet --hparams '{\"num_blocks\": [1], \"c_hidden\": [8]}' --data other --batch-size 16 "            \
    "--val-split 20 "

/* --- interruptions --- */

START_TEST(killed_with_sgd) {
    runs_kill("sgd", "--epochs 10 --save-every 0.02 --milestones 4,7", 6, 1);
}
END_TEST

/* What excludes options of killed_with_everything. */
START_TEST(killed_with_adamw) {
    runs_kill("adamw",
              "--epochs 8 --optimizer adamw --lr-scheduler cosine --min-lr 1e-5 --warmup-epochs 2 --overfit-batches 4 "
              "--gradient-clip-val 0.01 --gradient-clip-algorithm value --save-top-k 3 --monitor val_loss "
              "--no-save-last --normalize dataset --workers 0",
              4, 2);
}
END_TEST

/* All options that go together. Updates are of several steps, so the run is left between two of them only; the weights
 * are of another number of classes, a part of them frozen; the last epoch is cut short. */
START_TEST(killed_with_everything) {
    char indices[4 * TINY_TRAIN + 1] = "";
    for (int i = 0, at = 0; i < TINY_TRAIN; i++)
        at += sprintf(indices + at, "%d ", i * 7 % TINY_TRAIN);
    file_write(root, "indices.txt", indices, strlen(indices));
    runs(OTHER_CLASSES "--epochs 1 --out pre");
    runs_kill("all",
              "--epochs 20 --max-steps 39 --save-every 0.001 --init-weights pre/best.safetensors "
              "--freeze 'input_net.*,*.net.1.*' --lr-scheduler onecycle --warmup-steps 3 --nesterov "
              "--no-cycle-momentum --accumulate-grad-batches 4 --gradient-clip-val 0.5 --no-weight-decay-norm-bias "
              "--label-smoothing 0.1 --model-ema --model-ema-decay 0.9 --model-ema-warmup "
              "--hflip 0.3 --scale 0.5,1 --ratio 0.8,1.2 --random-crop-padding 4 --padding-mode reflect "
              "--color-jitter 0.4,0.4,0.4,0.1 --cutout 8 --reprob 0.5 --mixup 0.4 --cutmix 1 "
              "--patience 9 --min-delta 0.01 --monitor val_loss --save-top-k 2 --limit-train-batches 0.9 "
              "--limit-val-batches 1 --limit-test-batches 0.5 --check-val-every-n-epoch 2 --num-sanity-val-steps 1 "
              "--split-indices indices.txt --detect-anomaly --profiler --json-lines",
              9, 3);
    ck_assert(same_tensor("pre/best.safetensors", "all-whole/resume.safetensors", "input_net.0.weight"));
    ck_assert(same_tensor("pre/best.safetensors", "all-whole/last.safetensors", "input_net.0.weight"));
    ck_assert(same_tensor("pre/best.safetensors", "all-whole/last.safetensors", "blocks.0.net.1.bias"));
    ck_assert(!same_tensor("pre/best.safetensors", "all-whole/last.safetensors", "blocks.0.net.0.weight"));
    ck_assert(!same_tensor("pre/best.safetensors", "all-whole/last.safetensors", "input_net.1.running_mean"));
}
END_TEST

/* What a run began with belongs to it; the file itself is not needed to go on. */
START_TEST(first_weights_belong_to_the_run) {
    runs(OTHER_CLASSES "--epochs 1 --out first");
    runs(OTHER_CLASSES "--epochs 1 --seed 43 --out second");
    runs(RUN_FIT "--epochs 1 --milestones 1 --init-weights first/last.safetensors --out from");
    ck_assert_ptr_nonnull(strstr(run_output, "weights: 15 of 17 tensors from 'first/last.safetensors'; left as they "
                                             "were: output_net.2.weight (10x8 here, 100x8 there)"));
    fails(RUN_FIT "--epochs 2 --milestones 1 --init-weights second/last.safetensors --out from --resume last", 2,
          "its run has init_weights 'checksum' \"");
    fails(RUN_FIT "--epochs 2 --milestones 1 --out from --resume last", 2, "its run has init_weights {\"checksum\":");
    fails(RUN_FIT "--epochs 2 --milestones 1 --freeze '*.bias' --init-weights first/last.safetensors --out from "
                  "--resume last",
          2, "recipe 'freeze' none, this one \"*.bias\"");
    char *path = path_of(root, "first/last.safetensors");
    ck_assert_int_eq(unlink(path), 0);
    free(path);
    runs(RUN_FIT "--epochs 2 --milestones 1 --init-weights first/last.safetensors --out from --resume last");
    ck_assert_ptr_null(strstr(run_output, "weights: "));
}
END_TEST

/* The signal comes in mid-epoch; the command that is printed then goes on. */
static void interrupt(const char *name, int number, int expected) {
    char arguments[1024], folder[64];
    snprintf(arguments, sizeof arguments, RUN_FIT "--epochs 40 --out %s", name);
    run r = run_start("", arguments);
    ck_assert_msg(run_prints(&r, "ready after"), "%s", run_errors);
    run_signal(&r, number);
    ck_assert_int_eq(run_end(&r), expected);
    ck_assert_ptr_nonnull(strstr(run_errors, "stopping after this step"));
    ck_assert_ptr_nonnull(strstr(run_output, "of 40 epochs are complete. To go on:\n"));
    char *command = strstr(run_output, "To go on:\n") + strlen("To go on:\n"), program[1024];
    snprintf(program, sizeof program, "%s/cltrain ", getenv("CLNET_BIN_DIR"));
    ck_assert_msg(strncmp(command, program, strlen(program)) == 0, "%s", command);
    snprintf(arguments, sizeof arguments, "%s", command + strlen(program));
    arguments[strcspn(arguments, "\n")] = '\0';
    runs(arguments);
    snprintf(folder, sizeof folder, "%s", name);
    runs_same("whole40", folder);
}

START_TEST(interrupted) {
    if (!is_there("whole40"))
        runs(RUN_FIT "--epochs 40 --out whole40");
    interrupt("sigint", SIGINT, 130);
    interrupt("sigterm", SIGTERM, 143);
}
END_TEST

START_TEST(second_interrupt_ends_at_once) {
    run r = run_start("", RUN_FIT "--epochs 1000000 --out twice");
    ck_assert(run_prints(&r, "preparing"));
    run_signal(&r, SIGTERM);
    ck_assert(run_prints(&r, "stopping after this step"));
    run_signal(&r, SIGINT);
    int status = run_end(&r);
    ck_assert_msg(status == -SIGINT || status == 143, "status %d", status); /* 143: it was already done */
}
END_TEST

START_TEST(more_epochs_with_the_same_milestones) {
    runs(RUN_FIT "--epochs 4 --milestones 2 --save-top-k 0 --out longer-whole");
    runs(RUN_FIT "--epochs 2 --milestones 2 --save-top-k 0 --out longer");
    runs(RUN_FIT "--epochs 4 --milestones 2 --save-top-k 0 --resume longer");
    runs_same("longer-whole", "longer");
    /* A run that is complete is only tested. */
    runs(RUN_FIT "--epochs 4 --milestones 2 --save-top-k 0 --resume longer/resume.safetensors");
    ck_assert_ptr_null(strstr(run_output, "epoch 4/4  lr"));
    ck_assert_ptr_nonnull(strstr(run_output, "weights of epoch 4 of 4"));
    runs_same("longer-whole", "longer");
}
END_TEST

START_TEST(more_epochs_would_change_a_cosine) {
    runs(RUN_FIT "--epochs 1 --lr-scheduler cosine --out wave");
    fails(RUN_FIT "--epochs 2 --lr-scheduler cosine --resume wave", 2,
          "recipe 'epochs' 1, this one 2 (there may be more only where");
}
END_TEST

/* A run that stopped early goes on with the test only; one that was stopped before counts on from where it was. */
START_TEST(an_early_stop_is_final) {
    runs(RUN_FIT "--epochs 40 --patience 2 --monitor val_loss --min-delta 0.3 --out early");
    ck_assert_ptr_nonnull(strstr(run_output, "early stopping: val_loss has not improved enough on the "));
    runs(RUN_FIT "--epochs 40 --patience 2 --monitor val_loss --min-delta 0.3 --resume early");
    ck_assert_ptr_null(strstr(run_output, "/40  lr"));
    ck_assert_ptr_nonnull(strstr(run_output, "weights of epoch "));
    fails(RUN_FIT "--epochs 40 --patience 3 --monitor val_loss --min-delta 0.3 --resume early", 2,
          "monitor 'patience' 2, this one 3");
    fails(RUN_FIT "--epochs 40 --patience 2 --monitor val_loss --min-delta 0.2 --resume early", 2,
          "monitor 'min_delta' 0.3, this one 0.2");
}
END_TEST

START_TEST(nothing_to_resume_begins) {
    runs(RUN_FIT "--epochs 1 --out nothing --resume last");
    ck_assert_ptr_nonnull(strstr(run_errors, "warning: there is nothing to resume in 'nothing'"));
    fails(RUN_FIT "--epochs 1 --out nothing2 --resume nothing2/resume.safetensors", 4, "nothing2/resume.safetensors");
}
END_TEST

/* --- states that are refused --- */

static const struct {
    const char *options, *message;
} differences[] = {
    {"--epochs 2 --milestones 1 --lr 0.2", "its run has recipe 'lr' 0.1, this one 0.2"},
    {"--epochs 2 --milestones 1 --optimizer adamw", "its run has recipe 'optimizer' \"sgd\", this one \"adamw\""},
    {"--epochs 2 --milestones 1 --momentum 0.5", "recipe 'momentum' 0.9, this one 0.5"},
    {"--epochs 2 --milestones 1 --batch-size 8", "recipe 'batch_size' 16, this one 8"},
    {"--epochs 2 --milestones 1 --label-smoothing 0.1", "recipe 'label_smoothing' 0, this one 0.1"},
    {"--epochs 3 --milestones 2", "recipe 'milestones' [1], this one [2] (they follow the number of epochs"},
    {"--epochs 1 --milestones 1", "recipe 'epochs' 2, this one 1"},
    {"--epochs 2 --lr-scheduler cosine", "recipe 'lr_scheduler' none, this one \"cosine\""},
    {"--epochs 2 --milestones 1 --accumulate-grad-batches 2", "recipe 'accumulate_grad_batches' none, this one 2"},
    {"--epochs 2 --milestones 1 --model-ema", "recipe 'model_ema_decay' none, this one 0.9998"},
    {"--epochs 2 --milestones 1 --gradient-clip-val 1", "recipe 'gradient_clip_val' none, this one 1"},
    {"--epochs 2 --milestones 1 --no-weight-decay-norm-bias", "'no_weight_decay_norm_bias' none, this one true"},
    {"--epochs 2 --milestones 1 --freeze 'blocks.*'", "recipe 'freeze' none, this one \"blocks.*\""},
    {"--epochs 2 --milestones 1 --init-weights base/best.safetensors",
     "has init_weights none, this one {\"checksum\":"},
    {"--epochs 2 --milestones 1 --warmup-steps 2", "recipe 'warmup_steps' none, this one 2"},
    {"--epochs 2 --milestones 1 --seed 43", "has seed 42, this one 43"},
    {"--epochs 2 --milestones 1 --hflip 0.25", "augmentation 'hflip' 0.5, this one 0.25"},
    {"--epochs 2 --milestones 1 --mixup 0.2", "augmentation 'mixup' 0, this one 0.2"},
    {"--epochs 2 --milestones 1 --scale 0.7,1", "augmentation 'scale' [0.8,1], this one [0.7,1]"},
    {"--epochs 2 --milestones 1 --no-augment", "augmentation 'hflip' 0.5, this one 0"},
    {"--epochs 2 --milestones 1 --val-split 21", "split 'validation_images' 20, this one 21"},
    {"--epochs 2 --milestones 1 --data data2", "data 'checksum'"},
    {"--epochs 2 --milestones 1 --normalize dataset", "normalization 'mean'"},
    {"--epochs 2 --milestones 1 --model ResNetPreAct", "model ResNet, this one ResNetPreAct"},
    {"--epochs 2 --milestones 1 --hparams '{\"num_blocks\": [1], \"c_hidden\": [9]}'",
     "hparams 'c_hidden' [8], this one [9]"},
    {"--epochs 2 --milestones 1 --variant reference", "forced_variant none, this one reference"},
    {"--epochs 2 --milestones 1 --monitor val_loss", "monitor 'monitor' \"val_acc\", this one \"val_loss\""},
    {"--epochs 2 --milestones 1 --save-top-k 2", "monitor 'save_top_k' 1, this one 2"},
    {"--epochs 2 --milestones 1 --patience 2", "monitor 'patience' none, this one 2"},
    {"--epochs 2 --milestones 1 --max-steps 9", "recipe 'max_steps' none, this one 9"},
    {"--epochs 2 --milestones 1 --limit-train-batches 0.5", "recipe 'limit_train_batches' none, this one 0.5"},
};

/* The run in base/, which the tests below leave as it is. */
static void make_base(void) {
    if (!is_there("base"))
        runs(RUN_FIT "--epochs 2 --milestones 1 --out base");
}

START_TEST(another_run_is_refused) {
    char arguments[1024];
    make_base();
    snprintf(arguments, sizeof arguments, RUN_FIT "%s --out base --resume last", differences[_i].options);
    fails(arguments, 2, differences[_i].message);
}
END_TEST

/* Loading may take long. */
START_TEST(another_run_is_refused_before_data_are_loaded) {
    make_base();
    fails(RUN_FIT "--data nowhere --epochs 2 --milestones 1 --lr 0.2 --out base --resume last", 2, "recipe 'lr' 0.1");
    fails(RUN_FIT "--data nowhere --epochs 2 --milestones 1 --resume base/best.safetensors", 3, "no state of a run");
    fails(RUN_FIT "--data nowhere --epochs 2 --milestones 1 --resume absent.safetensors --out base", 4, "absent");
    fails(RUN_FIT "--data nowhere --init-weights absent.safetensors --out new", 4, "absent.safetensors");
    fails(RUN_FIT "--data nowhere --init-weights data --out new", 4, "'data' is a folder, not a regular file");
    fails(RUN_FIT "--data nowhere --init-weights base/metrics.csv --out new", 3, "holds no weights in a format");
    fails(RUN_FIT "--data nowhere --epochs 2 --milestones 1 --init-weights base/best.safetensors --out base --resume "
                  "last",
          2, "has init_weights none, this one {\"checksum\":");
}
END_TEST

/* Copies the files of a folder to a new one. */
static void copy_folder(const char *from, const char *to) {
    char *a = path_of(root, from), *b = path_of(root, to), command[1024];
    snprintf(command, sizeof command, "cp -r '%s' '%s'", a, b);
    ck_assert_int_eq(system(command), 0);
    free(a);
    free(b);
}

static void copy_file(const char *from, const char *to) {
    size_t size;
    char *bytes = read_file(from, &size);
    file_write(root, to, bytes, size);
    free(bytes);
}

/* A state goes on in its folder alone; that may be a copy. */
START_TEST(a_run_goes_on_in_its_own_folder) {
    static const char message[] = "a run goes on in the folder that holds its state, as resume.safetensors; to "
                                  "continue elsewhere, copy the run's folder";
    make_base();
    copy_file("base/resume.safetensors", "state");
    fails(RUN_FIT "--data nowhere --epochs 2 --milestones 1 --resume base --out elsewhere", 2, message);
    fails(RUN_FIT "--data nowhere --epochs 2 --milestones 1 --resume state --out base", 2, message);
    fails(RUN_FIT "--data nowhere --epochs 2 --milestones 1 --resume state", 2, message);
    ck_assert(!is_there("elsewhere"));
    copy_folder("base", "base-copy");
    fails(RUN_FIT "--data nowhere --epochs 2 --milestones 1 --resume base --out base-copy", 2, message);
    runs(RUN_FIT "--epochs 3 --milestones 1 --resume base-copy/resume.safetensors --out ./base-copy/");
    ck_assert_ptr_nonnull(strstr(run_output, "going on after epoch 2/3"));
}
END_TEST

/* Killed while it prepared: the state is there first, and what else is there is written again. */
START_TEST(an_unfinished_start_is_begun_again) {
    int status;
    runs(RUN_FIT "--epochs 2 --milestones 1 --out begun-whole");
    run r = run_start("", RUN_FIT "--epochs 2 --milestones 1 --out begun");
    char *folder = path_of(root, "begun");
    while (!is_there("begun/resume.safetensors"))
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    run_signal(&r, SIGSTOP);
    copy_file("begun/resume.safetensors", "first-state");
    run_signal(&r, SIGCONT);
    status = run_end(&r);
    ck_assert_int_eq(status, 0);
    static const char *const later[] = {"begun/best.safetensors", "begun/last.safetensors", "begun/curves.png"};
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        char *path = path_of(root, later[i]);
        ck_assert_int_eq(unlink(path), 0);
        free(path);
    }
    copy_file("first-state", "begun/resume.safetensors");
    runs(RUN_FIT "--epochs 2 --milestones 1 --out begun --resume last");
    runs_same("begun-whole", "begun");
    ck_assert_str_eq(run_errors, "");
    free(folder);
}
END_TEST

/* Copies base/ to `name`, with its state changed. */
static void write_state(const char *name, const char *bytes, size_t size) {
    char *folder = path_of(root, name);
    mkdir(folder, 0700);
    file_write(folder, "resume.safetensors", bytes, size);
    free(folder);
}

static void refuses(const char *bytes, size_t size) {
    int status;
    write_state("damaged", bytes, size);
    status = run_all("", RUN_FIT "--epochs 2 --milestones 1 --out damaged --resume last");
    ck_assert_msg(status == 3, "status %d: %s", status, run_errors);
    ck_assert_ptr_nonnull(strstr(run_errors, "damaged/resume.safetensors"));
}

START_TEST(a_damaged_state_is_refused) {
    size_t size, other_size;
    make_base();
    char *bytes = read_file("base/resume.safetensors", &size), *other = read_file("base/last.safetensors", &other_size);
    for (size_t part = 0; part < 4; part++)
        refuses(bytes, size * part / 4);
    refuses(bytes, size - 1);
    /* A bit of the first and the last tensor, and a digit of the progress. */
    char *digit = strstr(bytes + 8, "progress") + 40;
    size_t header = 8 + (size_t)(unsigned char)bytes[0] + 256 * (size_t)(unsigned char)bytes[1];
    char *const places[] = {bytes + header + 1, bytes + size - 3, digit};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        *places[i] ^= 1;
        refuses(bytes, size);
        *places[i] ^= 1;
    }
    refuses(other, other_size); /* weights are no state */
    ck_assert_ptr_nonnull(strstr(run_errors, "it holds no state of a run"));
    refuses("hello, world: text", 18);
    free(bytes);
    free(other);
}
END_TEST

/* Resuming 3 epochs of a run that keeps weights of the best two. */
#define KEEPING "--epochs 3 --milestones 1 --monitor train_loss --save-top-k 2 "

START_TEST(best_weights_must_be_there) {
    size_t size;
    make_base();
    char *bytes = read_file("base/resume.safetensors", &size), other[64], missing[64], message[128];
    write_state("alone", bytes, size);
    fails(RUN_FIT "--epochs 2 --milestones 1 --resume alone", 4, "alone/best.safetensors' with the weights of epoch");
    free(bytes);
    runs(RUN_FIT KEEPING "--out two");
    int kept[2], count = 0;
    for (int epoch = 1; epoch <= 3; epoch++) {
        snprintf(other, sizeof other, "two/epoch=%02d.safetensors", epoch);
        if (is_there(other))
            kept[count++] = epoch;
    }
    ck_assert_int_eq(count, 2);
    runs(RUN_FIT KEEPING "--seed 43 --out stranger");
    copy_folder("two", "mixed");
    copy_file("stranger/best.safetensors", "mixed/best.safetensors");
    fails(RUN_FIT KEEPING "--resume mixed", 2, "mixed/best.safetensors': its run has seed 43, this one 42");
    copy_file("two/best.safetensors", "mixed/best.safetensors");
    snprintf(missing, sizeof missing, "mixed/epoch=%02d.safetensors", kept[0]);
    snprintf(other, sizeof other, "two/epoch=%02d.safetensors", kept[1]);
    copy_file(other, missing);
    snprintf(message, sizeof message, "has the weights of epoch %d, but those of epoch %d belong there", kept[1],
             kept[0]);
    fails(RUN_FIT KEEPING "--resume mixed", 3, message);
    char *path = path_of(root, missing);
    ck_assert_int_eq(unlink(path), 0);
    fails(RUN_FIT KEEPING "--resume mixed", 4, "with the weights of epoch");
    free(path);
}
END_TEST

/* A copy of the state, put back when the run had gone on. */
START_TEST(an_older_state_goes_on) {
    runs(RUN_FIT "--epochs 4 --milestones 2 --lr 0.02 --monitor train_loss --out older");
    copy_folder("older", "older-whole");
    run r = run_start("", RUN_FIT "--epochs 4 --milestones 2 --lr 0.02 --monitor train_loss --out young");
    ck_assert_msg(run_prints(&r, "epoch 1/4"), "%s", run_errors);
    run_signal(&r, SIGSTOP);
    copy_file("young/resume.safetensors", "older/resume.safetensors");
    run_signal(&r, SIGKILL);
    run_end(&r);
    runs(RUN_FIT "--epochs 4 --milestones 2 --lr 0.02 --monitor train_loss --out older --resume last");
    runs_same("older-whole", "older");
}
END_TEST

/* --- files --- */

/* Starts the run of 40 epochs into `name` and waits until some are complete. */
static run start_40(const char *name) {
    char arguments[1024];
    if (!is_there("whole40"))
        runs(RUN_FIT "--epochs 40 --out whole40");
    snprintf(arguments, sizeof arguments, RUN_FIT "--epochs 40 --out %s", name);
    run r = run_start("", arguments);
    ck_assert_msg(run_prints(&r, "epoch 3/40"), "%s", run_errors);
    return r;
}

START_TEST(torn_metrics_are_mended) {
    size_t size;
    run r = start_40("torn");
    run_signal(&r, SIGKILL);
    run_end(&r);
    char *folder = path_of(root, "torn"), *csv = read_file("torn/metrics.csv", &size);
    strcpy(csv + size, "99,0.01,0.5,0.9,0.1,0.2,99.0\n4,0.0");
    file_write(folder, "metrics.csv", csv, strlen(csv));
    file_write(folder, "last.safetensors.tmp-7-0", "half", 4);
    runs(RUN_FIT "--epochs 40 --resume torn");
    runs_same("whole40", "torn");
    ck_assert_str_eq(run_errors, "");
    free(csv);
    /* An earlier version's, which called the learning rate lr. */
    csv = read_file("torn/metrics.csv", &size);
    ck_assert_int_eq(strncmp(csv, "epoch,lr-SGD,", 13), 0);
    memmove(csv + 8, csv + 12, size - 11);
    file_write(folder, "metrics.csv", csv, strlen(csv));
    runs(RUN_FIT "--epochs 40 --resume torn");
    runs_same("whole40", "torn");
    ck_assert_str_eq(run_errors, "");
    file_remove(folder, "metrics.csv");
    runs(RUN_FIT "--epochs 40 --resume torn");
    ck_assert_ptr_nonnull(strstr(run_errors, "does not have all of the first 40 epochs"));
    free(csv);
    free(folder);
}
END_TEST

static void append(const char *folder, const char *name, const char *bytes) {
    char *path = path_of(folder, name);
    FILE *file = fopen(path, "ab");
    ck_assert_ptr_nonnull(file);
    fputs(bytes, file);
    fclose(file);
    free(path);
}

START_TEST(event_files_are_mended) {
    run r = start_40("events");
    run_signal(&r, SIGKILL);
    run_end(&r);
    char *folder = path_of(root, "events"), *name = events_name(folder);
    append(folder, name, "half a record");
    runs(RUN_FIT "--epochs 40 --out events --resume last");
    runs_same("whole40", "events");
    ck_assert_str_eq(run_errors, "");
    /* Of a run that is complete, the test alone is done again. */
    runs(RUN_FIT "--epochs 40 --out events --resume last");
    runs_same("whole40", "events");
    /* What is lost stays lost; the curves go on in a file that has all the rest. */
    file_remove(folder, name);
    runs(RUN_FIT "--epochs 41 --milestones 22,33 --out events --resume last");
    ck_assert_ptr_nonnull(strstr(run_errors, "what was lost stays lost, and a new event file is begun"));
    free(name);
    name = events_name(folder);
    char *path = path_of(folder, name);
    events *e = events_read(path);
    ck_assert_ptr_nonnull(events_find(e, "_hparams_/session_start_info"));
    ck_assert_int_eq(events_scalar(e, "val_acc", NULL, NULL), 1);
    ck_assert_int_eq(events_scalar(e, "test_acc", NULL, NULL), 1);
    events_free(e);
    runs(RUN_FIT "--epochs 1 --out eventless --no-tensorboard");
    free(folder);
    folder = path_of(root, "eventless");
    ck_assert_int_eq(folder_count(folder), 7);
    free(name);
    free(path);
    free(folder);
}
END_TEST

/* As on a disk that becomes full: no file may grow beyond 2 KB any more. */
START_TEST(full_disk) {
    char command[64];
    run r = start_40("full");
    snprintf(command, sizeof command, "prlimit --pid %d --fsize=2048 2>/dev/null", (int)r.pid);
    if (system(command) != 0) {
        printf("skipped: a full disk: there is no prlimit\n");
        run_signal(&r, SIGKILL);
        run_end(&r);
        return;
    }
    int status = run_end(&r);
    ck_assert_msg(status == 4, "status %d: %s", status, run_errors);
    ck_assert_msg(strstr(run_errors, "cannot write 'full/") && strstr(run_errors, "too large"), "%s", run_errors);
    char *folder = path_of(root, "full");
    ck_assert_int_eq(folder_count(folder), 7); /* nothing half-written */
    free(folder);
    runs(RUN_FIT "--epochs 40 --out full --resume last");
    runs_same("whole40", "full");
}
END_TEST

START_TEST(folder_that_goes_away) {
    run r = start_40("gone");
    char *from = path_of(root, "gone"), *to = path_of(root, "came-back");
    ck_assert_int_eq(rename(from, to), 0);
    int status = run_end(&r);
    ck_assert_msg(status == 4, "status %d: %s", status, run_errors);
    ck_assert_msg(strstr(run_errors, "cannot create 'gone/") != NULL, "%s", run_errors);
    runs(RUN_FIT "--epochs 40 --out came-back --resume last");
    runs_same("whole40", "came-back");
    free(from);
    free(to);
}
END_TEST

START_TEST(what_is_kept_follows_the_monitor) {
    size_t size;
    runs(RUN_FIT "--epochs 5 --lr 0.02 --monitor train_loss --save-top-k 2 --no-save-last --val-split 0 --out kept");
    char *csv = read_file("kept/metrics.csv", &size);
    double loss[6];
    int best = 1, second = 0;
    char *line = strchr(csv, '\n') + 1;
    for (int epoch = 1; epoch <= 5; epoch++, line = strchr(line, '\n') + 1)
        ck_assert_int_eq(sscanf(line, "%*d,%*f,%lf", &loss[epoch]), 1);
    for (int epoch = 2; epoch <= 5; epoch++)
        best = loss[epoch] < loss[best] ? epoch : best;
    for (int epoch = 1; epoch <= 5; epoch++)
        if (epoch != best && (second == 0 || loss[epoch] < loss[second]))
            second = epoch;
    for (int epoch = 1; epoch <= 5; epoch++) {
        char name[64];
        snprintf(name, sizeof name, "kept/epoch=%02d.safetensors", epoch);
        ck_assert_int_eq(is_there(name), epoch == best || epoch == second);
    }
    ck_assert(is_there("kept/best.safetensors") && !is_there("kept/last.safetensors"));
    free(csv);
    fails(RUN_FIT "--val-split 0 --monitor val_acc --out kept2", 2, "cannot monitor val_acc: no images are held back");
    fails(RUN_FIT "--save-top-k 0 --no-save-last --out kept2", 2, "no weights would be kept");
    runs(RUN_FIT "--epochs 2 --save-top-k 0 --out kept3");
    ck_assert(!is_there("kept3/best.safetensors") && is_there("kept3/last.safetensors"));
    ck_assert_ptr_nonnull(strstr(run_output, "weights of epoch 2 of 2"));
}
END_TEST

/* --- through the library: a network with dropout, stopped after any step --- */

static cln_tensor build(cln_graph *g, cln_tensor x, const void *hparams) {
    (void)hparams;
    const cln_conv2d_options conv = {.out_channels = 8, .kernel_h = 3, .kernel_w = 3, .padding = 1};
    x = cln_activate(g, cln_conv2d(g, x, "0", &conv), CLN_RELU);
    x = cln_dropout(g, cln_flatten(g, cln_global_avgpool(g, x)), 0.5f);
    return cln_linear(g, x, "1", 10);
}

static const cln_recipe recipe = {
    .optimizer = {.kind = CLN_ADAM}, .learning_rate = 1e-2f, .gamma = 1, .epochs = 2, .batch_size = 20};
static const cln_model model = {.name = "Dropout", .description = "", .recipe = &recipe, .build = build};

typedef struct counter {
    int steps, stop; /* how many were told of; after how many to stop */
} counter;

static void count(void *user, const cln_fit_event *event) {
    ((counter *)user)->steps += event->stage == CLN_FIT_STEP;
}

static bool is_enough(void *user) {
    const counter *c = user;
    return c->steps >= c->stop;
}

static cln_fit_result fit(const char *name, const char *resume, int steps) {
    char *data = path_of(root, "data"), *out = path_of(root, name), *state = resume ? path_of(root, resume) : NULL;
    counter c = {.stop = steps};
    cln_fit_result result;
    cln_fit_options o = {.model = &model,
                         .recipe = recipe,
                         .data = data,
                         .validation = 20,
                         .seed = 7,
                         .out = out,
                         .resume = state,
                         .on_event = count,
                         .should_stop = is_enough,
                         .user = &c};
    ok(cln_fit(ctx, device, &o, &result));
    free(data);
    free(out);
    free(state);
    return result;
}

START_TEST(stopped_after_any_step_with_dropout) {
    fit("dropout-whole", NULL, 1000);
    for (int steps = 0; steps <= 10; steps++) {
        char name[32], state[64];
        snprintf(name, sizeof name, "dropout-%d", steps);
        snprintf(state, sizeof state, "%s/resume.safetensors", name);
        cln_fit_result r = fit(name, NULL, steps);
        ck_assert(r.stopped);
        ck_assert_int_le(r.epochs, 2);
        r = fit(name, state, 1000);
        ck_assert(!r.stopped);
        ck_assert_int_eq(r.epochs, 2);
        runs_same("dropout-whole", name);
        expect_no_warning();
    }
}
END_TEST

/* --- the suite --- */

/* In the layout of CIFAR-100: two labels an image. */
static void write_other(void) {
    enum { RECORD = 3074 };
    static unsigned char records[TINY_TRAIN * RECORD];
    char *other = path_of(root, "other");
    folder_make(root, "other");
    for (int i = 0; i < TINY_TRAIN * RECORD; i++)
        records[i] = (unsigned char)(i % RECORD == 0 ? 0 : i % RECORD == 1 ? i % 100 : i * 7 % 251);
    file_write(other, "train.bin", records, sizeof records);
    file_write(other, "test.bin", records, (size_t)TINY_TEST * RECORD);
    free(other);
}

static void set_up(void) {
    root = folder_new();
    folder_make(root, "data");
    folder_make(root, "data2");
    char *data = path_of(root, "data"), *data2 = path_of(root, "data2"), *first = path_of(data2, "data_batch_1.bin");
    tiny_write(data);
    tiny_write(data2);
    FILE *file = fopen(first, "r+b");
    ck_assert_ptr_nonnull(file);
    fputc(9, file); /* another label */
    fclose(file);
    free(first);
    free(data);
    free(data2);
    write_other();
    run_begin(root);
}

static void tear_down(void) {
    folder_remove(root);
}

static void add_tests(TCase *tests) {
    if (!suite_has_programs())
        return;
    tcase_add_unchecked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, killed_with_sgd);
    tcase_add_test(tests, killed_with_adamw);
    tcase_add_test(tests, killed_with_everything);
    tcase_add_test(tests, first_weights_belong_to_the_run);
    tcase_add_test(tests, an_early_stop_is_final);
    tcase_add_test(tests, interrupted);
    tcase_add_test(tests, second_interrupt_ends_at_once);
    tcase_add_test(tests, more_epochs_with_the_same_milestones);
    tcase_add_test(tests, more_epochs_would_change_a_cosine);
    tcase_add_test(tests, nothing_to_resume_begins);
    tcase_add_loop_test(tests, another_run_is_refused, 0, sizeof differences / sizeof *differences);
    tcase_add_test(tests, another_run_is_refused_before_data_are_loaded);
    tcase_add_test(tests, a_run_goes_on_in_its_own_folder);
    tcase_add_test(tests, an_unfinished_start_is_begun_again);
    tcase_add_test(tests, a_damaged_state_is_refused);
    tcase_add_test(tests, best_weights_must_be_there);
    tcase_add_test(tests, an_older_state_goes_on);
    tcase_add_test(tests, torn_metrics_are_mended);
    tcase_add_test(tests, event_files_are_mended);
    tcase_add_test(tests, full_disk);
    tcase_add_test(tests, folder_that_goes_away);
    tcase_add_test(tests, what_is_kept_follows_the_monitor);
    tcase_add_test(tests, stopped_after_any_step_with_dropout);
}

int main(void) {
    return suite_run_on_device("resume", add_tests);
}
