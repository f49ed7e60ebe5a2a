/* States that are not of the run, or not whole, are refused; those that are go on, be they a copy or an older one. */
#include "files.h"
#include "runs.h"
#include "suite.h"
#include "tiny.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

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
    if (!run_has("base"))
        run_well(RUN_FIT "--epochs 2 --milestones 1 --out base");
}

START_TEST(another_run_is_refused) {
    char arguments[1024];
    make_base();
    snprintf(arguments, sizeof arguments, RUN_FIT "%s --out base --resume last", differences[_i].options);
    run_fails(arguments, 2, differences[_i].message);
}
END_TEST

/* Loading may take long. */
START_TEST(another_run_is_refused_before_data_are_loaded) {
    make_base();
    run_fails(RUN_FIT "--data nowhere --epochs 2 --milestones 1 --lr 0.2 --out base --resume last", 2,
              "recipe 'lr' 0.1");
    run_fails(RUN_FIT "--data nowhere --epochs 2 --milestones 1 --resume base/best.safetensors", 3,
              "no state of a run");
    run_fails(RUN_FIT "--data nowhere --epochs 2 --milestones 1 --resume absent.safetensors --out base", 4, "absent");
    run_fails(RUN_FIT "--data nowhere --init-weights absent.safetensors --out new", 4, "absent.safetensors");
    run_fails(RUN_FIT "--data nowhere --init-weights data --out new", 4, "'data' is a folder, not a regular file");
    run_fails(RUN_FIT "--data nowhere --init-weights base/metrics.csv --out new", 3, "holds no weights in a format");
    run_fails(RUN_FIT
              "--data nowhere --epochs 2 --milestones 1 --init-weights base/best.safetensors --out base --resume "
              "last",
              2, "has init_weights none, this one {\"checksum\":");
}
END_TEST

/* Copies the files of a folder to a new one. */
static void copy_folder(const char *from, const char *to) {
    char *a = path_of(run_root, from), *b = path_of(run_root, to), command[1024];
    snprintf(command, sizeof command, "cp -r '%s' '%s'", a, b);
    ck_assert_int_eq(system(command), 0);
    free(a);
    free(b);
}

static void copy_file(const char *from, const char *to) {
    size_t size;
    char *bytes = run_read(from, &size);
    file_write(run_root, to, bytes, size);
    free(bytes);
}

/* A state goes on in its folder alone; that may be a copy. */
START_TEST(a_run_goes_on_in_its_own_folder) {
    static const char message[] = "a run goes on in the folder that holds its state, as resume.safetensors; to "
                                  "continue elsewhere, copy the run's folder";
    make_base();
    copy_file("base/resume.safetensors", "state");
    run_fails(RUN_FIT "--data nowhere --epochs 2 --milestones 1 --resume base --out elsewhere", 2, message);
    run_fails(RUN_FIT "--data nowhere --epochs 2 --milestones 1 --resume state --out base", 2, message);
    run_fails(RUN_FIT "--data nowhere --epochs 2 --milestones 1 --resume state", 2, message);
    ck_assert(!run_has("elsewhere"));
    copy_folder("base", "base-copy");
    run_fails(RUN_FIT "--data nowhere --epochs 2 --milestones 1 --resume base --out base-copy", 2, message);
    run_well(RUN_FIT "--epochs 3 --milestones 1 --resume base-copy/resume.safetensors --out ./base-copy/");
    ck_assert_ptr_nonnull(strstr(run_output, "going on after epoch 2/3"));
}
END_TEST

/* Killed while it prepared: the state is there first, and what else is there is written again. */
START_TEST(an_unfinished_start_is_begun_again) {
    int status;
    run_well(RUN_FIT "--epochs 2 --milestones 1 --out begun-whole");
    run r = run_start("", RUN_FIT "--epochs 2 --milestones 1 --out begun");
    char *folder = path_of(run_root, "begun");
    while (!run_has("begun/resume.safetensors"))
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    run_signal(&r, SIGSTOP);
    copy_file("begun/resume.safetensors", "first-state");
    run_signal(&r, SIGCONT);
    status = run_end(&r);
    ck_assert_int_eq(status, 0);
    static const char *const later[] = {"begun/best.safetensors", "begun/last.safetensors", "begun/curves.png"};
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        char *path = path_of(run_root, later[i]);
        ck_assert_int_eq(unlink(path), 0);
        free(path);
    }
    copy_file("first-state", "begun/resume.safetensors");
    run_well(RUN_FIT "--epochs 2 --milestones 1 --out begun --resume last");
    runs_same("begun-whole", "begun");
    ck_assert_str_eq(run_errors, "");
    free(folder);
}
END_TEST

/* Copies base/ to `name`, with its state changed. */
static void write_state(const char *name, const char *bytes, size_t size) {
    char *folder = path_of(run_root, name);
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
    char *bytes = run_read("base/resume.safetensors", &size), *other = run_read("base/last.safetensors", &other_size);
    for (size_t part = 0; part < 4; part++)
        refuses(bytes, size * part / 4);
    refuses(bytes, size - 1);
    /* A bit of the first and the last tensor, and of a digit that the checksum alone guards. */
    char *digit = strstr(bytes + 8, "validation_loss\\\":\\\"") + strlen("validation_loss\\\":\\\"") + 5;
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
    char *bytes = run_read("base/resume.safetensors", &size), other[64], missing[64], message[128];
    write_state("alone", bytes, size);
    run_fails(RUN_FIT "--epochs 2 --milestones 1 --resume alone", 4,
              "alone/best.safetensors' with the weights of epoch");
    free(bytes);
    run_well(RUN_FIT KEEPING "--out two");
    int kept[2], count = 0;
    for (int epoch = 1; epoch <= 3; epoch++) {
        snprintf(other, sizeof other, "two/epoch=%02d.safetensors", epoch);
        if (run_has(other))
            kept[count++] = epoch;
    }
    ck_assert_int_eq(count, 2);
    run_well(RUN_FIT KEEPING "--seed 43 --out stranger");
    copy_folder("two", "mixed");
    copy_file("stranger/best.safetensors", "mixed/best.safetensors");
    run_fails(RUN_FIT KEEPING "--resume mixed", 2, "mixed/best.safetensors': its run has seed 43, this one 42");
    copy_file("two/best.safetensors", "mixed/best.safetensors");
    snprintf(missing, sizeof missing, "mixed/epoch=%02d.safetensors", kept[0]);
    snprintf(other, sizeof other, "two/epoch=%02d.safetensors", kept[1]);
    copy_file(other, missing);
    snprintf(message, sizeof message, "has the weights of epoch %d, but those of epoch %d belong there", kept[1],
             kept[0]);
    run_fails(RUN_FIT KEEPING "--resume mixed", 3, message);
    char *path = path_of(run_root, missing);
    ck_assert_int_eq(unlink(path), 0);
    run_fails(RUN_FIT KEEPING "--resume mixed", 4, "with the weights of epoch");
    free(path);
}
END_TEST

/* A copy of the state, put back when the run had gone on. */
START_TEST(an_older_state_goes_on) {
    run_well(RUN_FIT "--epochs 4 --milestones 2 --lr 0.02 --monitor train_loss --out older");
    copy_folder("older", "older-whole");
    run r = run_start("", RUN_FIT "--epochs 4 --milestones 2 --lr 0.02 --monitor train_loss --out young");
    ck_assert_msg(run_prints(&r, "epoch 1/4"), "%s", run_errors);
    run_signal(&r, SIGSTOP);
    copy_file("young/resume.safetensors", "older/resume.safetensors");
    run_signal(&r, SIGKILL);
    run_end(&r);
    run_well(RUN_FIT "--epochs 4 --milestones 2 --lr 0.02 --monitor train_loss --out older --resume last");
    runs_same("older-whole", "older");
}
END_TEST

/* The data of the runs, with another label. */
static void write_data2(void) {
    folder_make(run_root, "data2");
    char *data2 = path_of(run_root, "data2"), *first = path_of(data2, "data_batch_1.bin");
    tiny_write(data2);
    FILE *file = fopen(first, "r+b");
    ck_assert_ptr_nonnull(file);
    fputc(9, file);
    fclose(file);
    free(first);
    free(data2);
}

static void add_tests(TCase *tests) {
    if (!suite_has_programs())
        return;
    run_fixture(tests);
    tcase_add_unchecked_fixture(tests, write_data2, NULL);
    tcase_add_loop_test(tests, another_run_is_refused, 0, sizeof differences / sizeof *differences);
    tcase_add_test(tests, another_run_is_refused_before_data_are_loaded);
    tcase_add_test(tests, a_run_goes_on_in_its_own_folder);
    tcase_add_test(tests, an_unfinished_start_is_begun_again);
    tcase_add_test(tests, a_damaged_state_is_refused);
    tcase_add_test(tests, best_weights_must_be_there);
    tcase_add_test(tests, an_older_state_goes_on);
}

int main(void) {
    return suite_run_on_device("resume_refused", add_tests);
}
