/* Configuration files: what --print-config writes is the run, and what a file may not hold is told with its line. */
#include "files.h"
#include "runs.h"
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *folder;
static bool has_device;

static void write_config(const char *name, const char *text) {
    file_write(folder, name, text, strlen(text));
}

/* --- round trips --- */

/* Every kind of value; what is by default the recipe's, other optimisers and other epochs than its own. */
static const char *const runs[] = {
    "--model ResNet --data data",
    "--model GoogleNet --data data --epochs 1",
    "--model DenseNet --data data --lr 0.30000000000000004 --epochs 7 --seed 9007199254740991",
    "--model ResNetPreAct --data data --optimizer adam --weight-decay 1e-30 --milestones none",
    "--model ResNet --data data --optimizer sgd --nesterov --momentum 0.95 --milestones 3,5,90 --gamma 0.5",
    "--model ResNet --data data --lr-scheduler onecycle --no-cycle-momentum --pct-start 0.25 --warmup-epochs 0",
    "--model ResNet --data data --lr-scheduler onecycle --epochs 5",
    "--model ResNet --data data --lr-scheduler cosine --warmup-steps 7 --warmup-lr 1e-5",
    "--model ResNet --data data --color-jitter 0.4,0.4,0.4,0.1 --scale 0.7,1 --fast-dev-run 3",
    "--model ResNet --data data --fast-dev-run --overfit-batches 10 --no-tensorboard --json-lines --out x",
    "--model GoogleNet --data data --optimizer sgd --no-save-last --save-top-k 0 --quiet --val-split 20",
    "--model ResNet --data data --hparams '{\"act_fn_name\": \"gelu\", \"c_hidden\": [8, 8, 9]}' --image-size 32,48",
    "--model ResNet --data data --benchmark --budget 7.5 --tuning 'a b' --monitor val_loss --mode min",
    "--pretrained 'x: y' --data data --device 0:0 --split-indices null --workers 0",
    ("--model ResNet --data '~' --out \"$(printf 'a\\tb \\302\\205 \\342\\200\\250 \\360\\237\\230\\200 \"c\" \\\\d # "
     "e')\""),
    "--model ResNet --data true --out '- x' --device ' cpu ' --variant '' --print-plan",
};

START_TEST(printed_config_is_the_same_run) {
    static char first[sizeof run_output];
    char arguments[1024];
    snprintf(arguments, sizeof arguments, "fit %s --print-config", runs[_i]);
    ck_assert_msg(run_all("", arguments) == 0, "%s: %s", arguments, run_errors);
    memcpy(first, run_output, sizeof first);
    ck_assert_ptr_nonnull(strstr(first, "\ndata: "));
    write_config("one.yaml", first);
    ck_assert_msg(run_all("", "fit --config one.yaml --print-config") == 0, "%s: %s", arguments, run_errors);
    ck_assert_str_eq(run_output, first);
}
END_TEST

static void check_printed(const char *arguments, const char *part) {
    ck_assert_msg(run_all("", arguments) == 0, "%s: %s", arguments, run_errors);
    ck_assert_msg(strstr(run_output, part) != NULL, "%s: expected '%s' in: %s", arguments, part, run_output);
}

START_TEST(recipe_is_filled_in) {
    static const char *const parts[] = {"\nepochs: 180\n",
                                        "\nbatch-size: 128\n",
                                        "\noptimizer: sgd\n",
                                        "\nlr: 0.1\n",
                                        "\nmomentum: 0.9\n",
                                        "\nweight-decay: 0.0001\n",
                                        "\nmilestones: [100, 150]\n",
                                        "\n  c_hidden: [16, 32, 64]\n",
                                        "\n  act_fn_name: relu\n",
                                        "\nseed: 42\n"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        check_printed("fit --model ResNet --print-config", parts[i]);
}
END_TEST

START_TEST(line_wins) {
    write_config("c.yaml",
                 "model: ResNet\ndata: a\nmax-epochs: 5\nmilestones: [1, 2]\nnesterov: true\nsave_last: false\n"
                 "hparams: {c_hidden: [8, 8, 8]}\n");
    check_printed("fit --config c.yaml --print-config", "\nepochs: 5\n");
    check_printed("fit --config c.yaml --epochs 2 --print-config", "\nepochs: 2\n");
    check_printed("fit --print-config --epochs 2 --config c.yaml", "\nepochs: 2\n");
    check_printed("fit --config c.yaml --print-config --data b", "\ndata: b\n");
    check_printed("fit --config c.yaml --print-config --milestones none", "\nmilestones: []\n");
    check_printed("fit --config c.yaml --print-config", "\nnesterov: true\n");
    check_printed("fit --config c.yaml --print-config --no-nesterov", "\nnesterov: false\n");
    check_printed("fit --config c.yaml --print-config", "\nsave-last: false\n");
    check_printed("fit --config c.yaml --print-config --save_last", "\nsave-last: true\n");
    check_printed("fit --config c.yaml --print-config --hparams '{\"act_fn_name\": \"tanh\"}'",
                  "c_hidden: [16, 32, 64]");
}
END_TEST

START_TEST(spellings) {
    write_config("json",
                 "{\"model\": \"ResNet\", \"data\": \"a\\u00e4\\/b\",\n\t\"batch_size\":64,\"milestones\":[1,2],"
                 "\"lr\": 1e-3, \"nesterov\":false, \"hparams\":{\"c_hidden\":[8,8,8]}}");
    check_printed("fit --config json --print-config", "\ndata: \"a\303\244/b\"\n");
    check_printed("fit --config json --print-config", "\nbatch-size: 64\n");
    check_printed("fit --config json --print-config", "\nlr: 0.001\n");
    check_printed("fit --config json --print-config", "\n  c_hidden: [8, 8, 8]\n");
    write_config("null",
                 "\xef\xbb\xbf# a byte order mark, nothing, null\nmodel: ResNet\r\nepochs: ~\nlr:\nseed: null\n");
    check_printed("fit --config null --print-config", "\nepochs: 180\n");
    check_printed("fit --config null --print-config", "\nseed: 42\n");
    write_config("text", "%YAML 1.2\n---\nmodel: 'ResNet'\nimage_size: 32,48\nmilestones: none\n"
                         "hparams: '{\"c_hidden\": [8, 8, 8]}'\nout: |-\n  two\n  lines\n");
    check_printed("fit --config text --print-config", "\nimage-size: [32, 48]\n");
    check_printed("fit --config text --print-config", "\nmilestones: []\n");
    check_printed("fit --config text --print-config", "\nout: \"two\\u000alines\"\n");
    write_config("empty", "");
    check_printed("fit --config empty --model ResNet --print-config", "\nepochs: 180\n");
}
END_TEST

START_TEST(other_commands) {
    write_config("t.yaml", "weights: w\ndata: d\nsplit: val\nbatch-size: 7\njson: true\n");
    check_printed("test --config t.yaml --print-config", "\nsplit: val\n");
    check_printed("test --config t.yaml --print-config --split test", "\nsplit: test\n");
    ck_assert_int_eq(run_all("", "test --config t.yaml"), has_device ? 4 : 5);
    write_config("s.yaml", "model: ResNet\nhparams:\n  num_blocks: [1]\n  c_hidden: [8]\n");
    ck_assert_int_eq(run_all("", "summary --config s.yaml --json"), 0);
    ck_assert_ptr_nonnull(strstr(run_output, "\"c_hidden\":[8]"));
}
END_TEST

/* --- what is refused --- */

static const struct {
    const char *text, *message;
} wrong[] = {
    {"model: ResNet\nepcohs: 3\n", "c.yaml:2: unknown option 'epcohs': did you mean 'epochs'?"},
    {"batch_sise: 3\n", "c.yaml:1: unknown option 'batch_sise': did you mean 'batch-size'?"},
    {"frobnicate: 3\n", "c.yaml:1: unknown option 'frobnicate'\n"},
    {"no-save-last: true\n", "c.yaml:1: unknown option 'no-save-last': write 'save-last: false'"},
    {"\n\nepochs: many\n", "c.yaml:3: epochs: expected a whole number from 1 to 1000000, found 'many'"},
    {"epochs: 0\n", "c.yaml:1: epochs: expected a whole number"},
    {"epochs: 1.5\n", "c.yaml:1: epochs: expected a whole number"},
    {"epochs: '3'\n", "c.yaml:1: epochs: expected a whole number from 1 to 1000000, found a quoted text '3'"},
    {"epochs: [3]\n", "c.yaml:1: epochs: expected a whole number from 1 to 1000000, found a list"},
    {"epochs: {a: 3}\n", "found a mapping"},
    {"lr: .nan\n", "c.yaml:1: lr: expected a number"},
    {"lr: fast\n", "c.yaml:1: lr: expected a number"},
    {"lr: 1e39\n", "c.yaml:1: lr: expected a number from 1e-30 to 1e+38, found '1e39'"},
    {"quiet: yes\n", "c.yaml:1: quiet: expected true or false, found 'yes'"},
    {"quiet: 'true'\n", "c.yaml:1: quiet: expected true or false, found a quoted text 'true'"},
    {"data: [a, b]\n", "c.yaml:1: data: expected a text, found a list"},
    {"hparams: [1]\n", "c.yaml:1: hparams: expected a mapping, found a list"},
    {"hparams:\n  a: 1\n  a: 2\n", "c.yaml:3: 'a' is there twice"},
    {"hparams:\n  [1]: 2\n", "c.yaml:2: expected a name, found a list"},
    {"milestones: [1, x]\n", "c.yaml:1: milestones: expected at most 16 whole numbers"},
    {"milestones: [1, [2]]\n", "c.yaml:1: milestones: expected at most 16 whole numbers"},
    {"milestones:\n- 1\n- '2'\n", "c.yaml:3: milestones: expected at most 16 whole numbers"},
    {"milestones: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]\n", "milestones: expected at most 16 whole numbers"},
    {"milestones: "
     "[00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
     "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
     "000"
     "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
     "000"
     "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
     "001"
     "]\n",
     "milestones: expected at most 16 whole numbers"},
    {"optimizer: rmsprop\n", "c.yaml:1: optimizer: expected one of sgd, adam, adamw, muon, found 'rmsprop'"},
    {"model: Resnet\n", "c.yaml:1: model: unknown model 'Resnet': did you mean 'ResNet'?"},
    {"epochs: 3\nlr: 1\nepochs: 4\n", "c.yaml:3: epochs was already set on line 1"},
    {"batch-size: 3\nbatch_size: 4\n", "c.yaml:2: batch-size was already set on line 1"},
    {"epochs: 3\nmax-epochs: 4\n", "c.yaml:2: max-epochs was already set on line 1"},
    {"config: other.yaml\n", "c.yaml:1: 'config' is for the command line only"},
    {"print_config: true\n", "c.yaml:1: 'print-config' is for the command line only"},
    {"- epochs: 3\n", "c.yaml:1: expected lines of 'option: value', found a list"},
    {"epochs 3\n", "c.yaml:1: expected lines of 'option: value', found a text"},
    {"[a]: 3\n", "c.yaml:1: expected an option's name, found a list"},
    {"epochs: 3\n lr: 1\n", "c.yaml:2: not YAML: "},
    {"epochs: [3\n", "not YAML: "},
    {"data: \"a\n", "not YAML: "},
    {"data: \"\\q\"\n", "c.yaml:1: not YAML: "},
    {"\tepochs: 3\n", "c.yaml:1: not YAML: "},
    {"%YAML 3.0\n---\nepochs: 3\n", "not YAML: "},
    {"epochs: 3\n---\nepochs: 4\n", "c.yaml:2: a second document"},
    {"data: &a x\nout: *a\n", "c.yaml:1: anchors (&name) are not taken here"},
    {"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: &d [*c,*c]\n", "c.yaml:1: anchors"},
    {"data: *a\n", "c.yaml:1: aliases (*name) are not taken here"},
    {"<<: {epochs: 3}\n", "c.yaml:1: unknown option '<<'"},
    {"data: !!python/object/apply:os.system [ls]\n", "c.yaml:1: tags (!name) are not taken here"},
    {"data: ! x\n", "c.yaml:1: tags (!name) are not taken here"},
    {"data: \"a\\0b\"\n", "c.yaml:1: a text with a NUL in it"},
    {"epochs: 3\ndata: \xff\xfe\n", "c.yaml:2: not YAML: invalid leading UTF-8 octet"},
    {"data: \xc3(\n", "c.yaml:1: not YAML: invalid trailing UTF-8 octet"},
    {"data: \xc0\xaf\n", "c.yaml:1: not YAML: "},
    {"epochs: 3\ndata: a\x1b[31mb\n", "c.yaml:2: not YAML: control characters are not allowed"},
    {"\"a\\e[31m\": 1\n", "c.yaml:1: unknown option 'a?[31m'"},
    {"\xff\xfe"
     "e\0p\0",
     "c.yaml:1: not YAML: "},
    {"hparams: {a: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}\n", "c.yaml:1: nested too deeply"},
};

static void check_refused(const char *what, int status, const char *message) {
    int found = run_all("", "fit --model ResNet --data data --config c.yaml");
    ck_assert_msg(found == status, "%s: status %d, expected %d: %s", what, found, status, run_errors);
    ck_assert_msg(strstr(run_errors, message) != NULL, "%s: expected '%s', found: %s", what, message, run_errors);
    ck_assert_msg(strncmp(run_errors, "cltrain: fit: ", 14) == 0, "%s", run_errors);
    ck_assert_msg(strchr(run_errors, '\n')[1] == '\0' && !strchr(run_errors, '\033'), "not one line: %s", run_errors);
    ck_assert_str_eq(run_output, "");
}

START_TEST(wrong_is_refused) {
    write_config("c.yaml", wrong[_i].text);
    check_refused(wrong[_i].text, 3, wrong[_i].message);
}
END_TEST

/* Also what the command line overrides is checked. */
START_TEST(overridden_is_checked) {
    write_config("c.yaml", "data: x\nmodel: Alex\n");
    check_refused("overridden", 3, "c.yaml:2: model: unknown model 'Alex'");
}
END_TEST

/* `text` again and again, until there are `size` bytes. */
static void write_many(const char *start, const char *text, size_t size) {
    size_t used = strlen(start), length = strlen(text);
    char *bytes = calloc(size + length + used + 1, 1);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, start, used);
    for (; used + length <= size; used += length)
        memcpy(bytes + used, text, length);
    file_write(folder, "c.yaml", bytes, used);
    free(bytes);
}

START_TEST(large_is_refused) {
    write_many("", "# a line\n", 2 << 20);
    check_refused("large", 3, "c.yaml:1: larger than 1 MiB");
    write_many("hparams: ", "[", 1 << 20);
    check_refused("deep", 3, "c.yaml:1: nested too deeply");
    write_many("hparams: {a: ", "{a: ", 1 << 20);
    check_refused("deep", 3, "c.yaml:1: nested too deeply");
    write_many("", "- ", 1 << 20);
    check_refused("deep", 3, "c.yaml:1: nested too deeply");
    write_many("hparams: [", "a,", 1 << 20);
    check_refused("wide", 3, "c.yaml:1: too many values");
    write_many("", "? ", 1 << 20);
    check_refused("deep", 3, "nested too deeply");
    write_many("data: \"", "\\\n", 1 << 20);
    check_refused("long", 3, "not YAML: ");
    file_write(folder, "c.yaml", "epochs: 3\n\0", 11);
    check_refused("NUL", 3, "c.yaml:2: not YAML: control characters");
}
END_TEST

START_TEST(unreadable_is_told) {
    static const char *const names[] = {"nowhere", "."};
    for (int i = 0; i < 2; i++) {
        char arguments[128];
        snprintf(arguments, sizeof arguments, "fit --model ResNet --data data --config %s", names[i]);
        ck_assert_int_eq(run_all("", arguments), 4);
        ck_assert_msg(strstr(run_errors, "cltrain: fit: cannot read '") == run_errors, "%s", run_errors);
    }
}
END_TEST

/* --- the run folder --- */

/* The run, the run of the configuration that it kept, and one that stops and goes on: the same files. */
START_TEST(kept_config_is_the_same_run) {
    if (!has_device)
        return;
    ck_assert_msg(run_all("", RUN_FIT "--epochs 2 --no-tuning --out first") == 0, "%s", run_errors);
    ck_assert_msg(run_all("", "fit --config first/config.yaml --out second") == 0, "%s", run_errors);
    runs_same("first", "second");
    ck_assert_msg(run_all("", "fit --config first/config.yaml --out second --resume last --epochs 3") == 0, "%s",
                  run_errors);
    check_printed("fit --config second/config.yaml --print-config", "\nepochs: 3\n");
    ck_assert_ptr_null(strstr(run_output, "\nout:"));
    ck_assert_ptr_null(strstr(run_output, "\nresume:"));
}
END_TEST

static void set_up(void) {
    folder = run_folder_new();
    has_device = run_all("", "devices") == 0 || getenv("CI");
}

static void tear_down(void) {
    folder_remove(folder);
}

static void add_tests(TCase *tests) {
    if (!suite_has_programs())
        return;
    tcase_add_unchecked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, printed_config_is_the_same_run, 0, sizeof runs / sizeof *runs);
    tcase_add_test(tests, recipe_is_filled_in);
    tcase_add_test(tests, line_wins);
    tcase_add_test(tests, spellings);
    tcase_add_test(tests, other_commands);
    tcase_add_loop_test(tests, wrong_is_refused, 0, sizeof wrong / sizeof *wrong);
    tcase_add_test(tests, overridden_is_checked);
    tcase_add_test(tests, large_is_refused);
    tcase_add_test(tests, unreadable_is_told);
    tcase_add_test(tests, kept_config_is_the_same_run);
}

int main(void) {
    return suite_run("config", add_tests);
}
