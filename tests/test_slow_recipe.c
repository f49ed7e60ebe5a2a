/* How a network is trained, against PyTorch: a few updates of every recipe, from the same weights, on the same images
 * in the same order, to the same weights in the end. Needs the Python of bench/peers/setup.sh (recipe_peers.py trains
 * and compares, see there) and is skipped without it. */
#include "files.h"
#include "python.h"
#include "runs.h"
#include "suite.h"
#include "tiny.h"

#include <stdio.h>
#include <stdlib.h>

static char *root; /* data/, the first weights and the runs */
static bool has_torch;

#define RESNET "--model ResNet --hparams '{\"num_blocks\": [1, 2], \"c_hidden\": [8, 16], \"act_fn_name\": \"gelu\"}' "
#define DENSENET "--model DenseNet --hparams '{\"num_layers\": [2, 2], \"growth_rate\": 8, \"act_fn_name\": \"gelu\"}' "
#define ALL                                                                                                            \
    "--data data --batch-size 20 --epochs 3 --val-split 0 --split-indices order.txt --normalize "                      \
    "0.5,0.4,0.45/0.25,0.2,0.3 --no-augment "                                                                          \
    "--limit-test-batches 0 --no-tuning --no-tensorboard --weight-decay 0.01 --lr 0.05 "
#define CONSTANT "--lr-scheduler constant "
#define COSINE "--lr-scheduler cosine --min-lr 1e-4 --warmup-steps 2 --warmup-lr 0.005 "

/* The same batches in each epoch, in order. */
#define TWO "--overfit-batches 2 "
#define THREE "--overfit-batches 3 "
#define SGD TWO "--optimizer sgd --momentum 0.9 "
#define ADAMW TWO "--optimizer adamw "
#define MUON "--optimizer muon --momentum 0.9 "

static const struct {
    const char *name, *model, *options;
} recipes[] = {
    {"multistep", "ResNet", SGD "--milestones 1,2 --gamma 0.1"},
    {"cosine", "ResNet", ADAMW COSINE},
    {"onecycle", "ResNet", TWO "--optimizer sgd --lr-scheduler onecycle"},
    {"onecycle_adamw", "ResNet", ADAMW "--lr-scheduler onecycle"},
    {"muon", "ResNet", TWO MUON "--milestones 1,2 --gamma 0.1"},
    {"muon_matrices", "ResNet", THREE MUON CONSTANT "--accumulate-grad-batches 2 --no-weight-decay-norm-bias"},
    {"accumulate", "ResNet", THREE "--optimizer sgd --momentum 0.9 " CONSTANT "--accumulate-grad-batches 2"},
    {"clip_norm", "ResNet", SGD CONSTANT "--gradient-clip-val 0.5"},
    {"clip_value", "ResNet", SGD CONSTANT "--gradient-clip-val 0.02 --gradient-clip-algorithm value"},
    {"smoothing", "ResNet", SGD CONSTANT "--label-smoothing 0.1"},
    {"ema", "ResNet", SGD CONSTANT "--model-ema --model-ema-decay 0.7"},
    {"ema_warmup", "ResNet", SGD CONSTANT "--model-ema --model-ema-decay 0.9 --model-ema-warmup"},
    {"freeze", "ResNet", SGD CONSTANT "--freeze 'input_net.*,blocks.0.*' --gradient-clip-val 0.3"},
    {"freeze_norms", "ResNet", ADAMW CONSTANT "--freeze '*.net.1.*,input_net.1.*'"},
    {"matrices", "ResNet", ADAMW CONSTANT "--no-weight-decay-norm-bias"},
    {"dense", "DenseNet", SGD COSINE},
    {"dense_freeze", "DenseNet", SGD CONSTANT "--freeze 'input_net.*,blocks.0.*' --model-ema --model-ema-decay 0.5"},
    {"everything", "ResNet",
     THREE "--optimizer sgd --lr-scheduler onecycle --accumulate-grad-batches 2 --gradient-clip-val 0.2 "
           "--label-smoothing 0.1 --model-ema --model-ema-decay 0.9 --model-ema-warmup --freeze 'input_net.*' "
           "--no-weight-decay-norm-bias"},
};
enum { RECIPES = sizeof recipes / sizeof *recipes };

START_TEST(recipes_are_pytorchs) {
    char arguments[2048];
    if (!has_torch)
        return;
    snprintf(arguments, sizeof arguments, "fit %s%s%s --init-weights %s.pt --out %s",
             recipes[_i].model[0] == 'R' ? RESNET : DENSENET, ALL, recipes[_i].options, recipes[_i].model,
             recipes[_i].name);
    int status = run_all("", arguments);
    ck_assert_msg(status == 0, "%s: status %d: %s", arguments, status, run_errors);
    python_run("recipe_peers.py", "check '%s' %s", root, recipes[_i].name);
}
END_TEST

static void set_up(void) {
    char order[8 * TINY_TRAIN];
    size_t used = 0;
    root = run_folder_new();
    for (int i = 0; i < TINY_TRAIN; i++)
        used += (size_t)snprintf(order + used, sizeof order - used, "%d ", i * 7 % TINY_TRAIN);
    file_write(root, "order.txt", order, used);
    has_torch = python_has("torch");
    if (has_torch)
        python_run("recipe_peers.py", "make '%s'", root);
}

static void tear_down(void) {
    folder_remove(root);
}

static void add_tests(TCase *tests) {
    if (!suite_has_programs())
        return;
    tcase_add_unchecked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, recipes_are_pytorchs, 0, RECIPES);
}

int main(void) {
    return suite_run_on_device("slow_recipe", add_tests);
}
