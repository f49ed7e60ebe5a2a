/* cltrain test, validate, predict and plot as a user runs them: what they print and write, and how they fail. */
#include "clnet/image.h"
#include "files.h"
#include "pictures.h"
#include "programs.h"
#include "runs.h"
#include "suite.h"
#include "tiny.h"

#include <cjson/cJSON.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *folder; /* data/, run/ and what the programs write */
static bool has_device = true;

static void prints(const char *text) {
    ck_assert_msg(strstr(run_output, text) != NULL, "no '%s' in: %s", text, run_output);
}

static void fails(const char *arguments, int expected, const char *message) {
    int status = run_all("", arguments);
    ck_assert_msg(status == expected, "%s: status %d: %s", arguments, status, run_errors);
    ck_assert_msg(strstr(run_errors, message) != NULL, "%s: expected '%s', found: %s", arguments, message, run_errors);
}

static bool exists(const char *name) {
    char *path = path_of(folder, name);
    bool there = access(path, R_OK) == 0;
    free(path);
    return there;
}

static void check_picture(const char *name) {
    char *path = path_of(folder, name);
    cln_image image;
    ok(cln_image_read(ctx, path, &image));
    ck_assert_int_gt(image.width, 300);
    cln_image_free(&image);
    free(path);
}

static int count_lines(const char *name) {
    char *path = path_of(folder, name);
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "no %s", path);
    int lines = 0;
    for (int c; (c = getc(file)) != EOF;)
        lines += c == '\n';
    fclose(file);
    free(path);
    return lines;
}

#define TEST "test --weights run/last.safetensors --data data "

START_TEST(tables_and_json) {
    run_well(TEST);
    prints(" of 30 correct: accuracy ");
    prints("top-5 accuracy ");
    prints("expected calibration error ");
    prints("confusion matrix: a row for each true class");
    run_well("validate --weights run/last.safetensors --data data --topk 3");
    prints(" of 20 correct: accuracy ");
    prints("top-3 accuracy ");
    run_well(TEST "--json --topk 2");
    cJSON *json = cJSON_Parse(run_output);
    ck_assert_msg(json != NULL, "%s", run_output);
    double correct = json_number(json, "correct"), sum = 0, diagonal = 0;
    const cJSON *confusion = cJSON_GetObjectItem(json, "confusion"), *classes = cJSON_GetObjectItem(json, "classes");
    ck_assert_int_eq(cJSON_GetArraySize(confusion), 10);
    for (int i = 0; i < 10; i++)
        for (int j = 0; j < 10; j++) {
            double cell = cJSON_GetNumberValue(cJSON_GetArrayItem(cJSON_GetArrayItem(confusion, i), j));
            sum += cell;
            diagonal += i == j ? cell : 0;
        }
    ck_assert_double_eq(sum, 30);
    ck_assert_double_eq(diagonal, correct);
    ck_assert_double_eq(json_number(json, "top_k"), 2);
    ck_assert_double_ge(json_number(json, "top_k_accuracy"), json_number(json, "accuracy"));
    ck_assert_double_ge(json_number(json, "calibration_error"), 0);
    ck_assert_str_eq(cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetArrayItem(classes, 3), "name")), "cat");
    cJSON_Delete(json);
}
END_TEST

/* The line of the matrix that names the predicted classes. */
static const char *matrix_head(void) {
    const char *matrix = strstr(run_output, "confusion matrix: ");
    ck_assert_ptr_nonnull(matrix);
    static char head[256];
    snprintf(head, sizeof head, "%.*s", (int)strcspn(strchr(matrix, '\n') + 2, "\n"), strchr(matrix, '\n') + 2);
    return head;
}

START_TEST(names_in_the_matrix_are_whole_where_there_is_room) {
    static const char whole[] = "           airplane automobile bird cat deer dog frog horse ship truck";
    ck_assert_int_eq(run_all("unset COLUMNS;", TEST), 0);
    ck_assert_str_eq(matrix_head(), whole);
    ck_assert_int_eq(run_all("COLUMNS=70", TEST), 0);
    ck_assert_str_eq(matrix_head(), whole);
    ck_assert_int_eq(run_all("COLUMNS=67", TEST), 0);
    ck_assert_str_eq(matrix_head(), "           airplan automob bird cat deer dog frog horse ship truck");
    ck_assert_int_eq(run_all("COLUMNS=1", TEST), 0);
    ck_assert_str_eq(matrix_head(), "           air aut bir cat dee dog fro hor shi tru");
}
END_TEST

START_TEST(files_of_a_test) {
    run_well(TEST "--csv c.csv --confusion m.csv --predictions p.csv --misclassified w.png");
    prints("confusion matrix: m.csv");
    ck_assert_int_eq(count_lines("c.csv"), 11);
    ck_assert_int_eq(count_lines("m.csv"), 11);
    ck_assert_int_eq(count_lines("p.csv"), 31);
    check_picture("w.png");
    run_well(TEST "--confusion m.png --json");
    check_picture("m.png");
    ck_assert_ptr_eq(strchr(run_output, '{'), run_output);
    run_well(TEST "--confusion m.SVG");
    ck_assert(exists("m.SVG"));
    fails(TEST "--csv nowhere/c.csv", 4, "nowhere/c.csv");
}
END_TEST

static void write_images(void) {
    picture_flat(folder, "images/a/grey.png", 40, 20, 1, 100);
    picture_flat(folder, "images/a/large.jpg", 300, 200, 3, 120);
    picture_flat(folder, "images/b.png", 32, 32, 4, 140);
    picture_bytes(folder, "images/damaged.png", "\x89PNG\r\n\x1a\nrubbish", 15);
    picture_bytes(folder, "images/.hidden", "x", 1);
}

START_TEST(predictions) {
    write_images();
    run_well("predict --weights run/last.safetensors images/b.png images/a --topk 2");
    ck_assert_ptr_eq(strstr(run_output, "images/b.png: "), run_output);
    prints("\nimages/a/grey.png: ");
    prints("\nimages/a/large.jpg: ");
    prints("%, ");
    fails("predict --weights run/last.safetensors images --json", 3, "images/damaged.png");
    cJSON *json = cJSON_Parse(run_output);
    ck_assert_int_eq(cJSON_GetArraySize(json), 4);
    for (int i = 0; i < 4; i++) { /* a/grey, a/large, b, damaged */
        const cJSON *image = cJSON_GetArrayItem(json, i), *list = cJSON_GetObjectItem(image, "predictions");
        double sum = 0;
        if (i == 3) {
            ck_assert(cJSON_IsString(cJSON_GetObjectItem(image, "error")));
            continue;
        }
        ck_assert_int_eq(cJSON_GetArraySize(list), 5);
        for (int k = 0; k < 5; k++)
            sum += json_number(cJSON_GetArrayItem(list, k), "probability");
        ck_assert(sum > 0.5 && sum <= 1.00001);
        ck_assert(cJSON_IsString(cJSON_GetObjectItem(cJSON_GetArrayItem(list, 0), "class")));
    }
    cJSON_Delete(json);
}
END_TEST

/* More than are held at a time, and one that is damaged among them: in order, nothing lost. */
START_TEST(many_images) {
    char name[32];
    for (int i = 0; i < 150; i++) {
        snprintf(name, sizeof name, "many/%03d.png", i);
        if (i == 70)
            picture_bytes(folder, name, "rubbish", 7);
        else
            picture_flat(folder, name, 32, 32, 3, i);
    }
    fails("predict --weights run/last.safetensors many --topk 1", 3, "many/070.png");
    const char *at = run_output;
    for (int i = 0; i < 150; i++) {
        snprintf(name, sizeof name, "many/%03d.png: ", i);
        const char *line = strstr(at, name);
        ck_assert_msg((line != NULL) == (i != 70), "%s", name);
        at = line ? line : at;
    }
}
END_TEST

START_TEST(names_of_classes) {
    write_images();
    file_write(folder, "names", "0\n1\n2\n3\n4\n5\n6\n7\n8\nnine\n", 23);
    run_well("predict --weights run/last.safetensors images/b.png --topk 10 --class-names names");
    prints(" nine ");
    file_write(folder, "names", "0\n1\n", 4);
    fails("predict --weights run/last.safetensors images/b.png --class-names names", 2,
          "knows 10 classes, and 2 are named");
    fails("predict --weights run/last.safetensors images/b.png --class-names nowhere", 4, "nowhere");
}
END_TEST

/* A folder in the picture's place cannot be replaced. */
START_TEST(scores_are_told_without_the_picture) {
    run_well(RUN_FIT "--epochs 1 --out unseen");
    file_remove(folder, "unseen/curves.png");
    folder_make(folder, "unseen/curves.png");
    fails(RUN_FIT "--epochs 1 --out unseen --resume last", 4, "cltrain: cannot ");
    ck_assert_ptr_nonnull(strstr(run_errors, "unseen/curves.png"));
    prints("\ntest                 30 ");
    prints("\nunseen/best.safetensors\n");
    fails(RUN_FIT "--epochs 1 --out unseen --resume last --json-lines", 4, "unseen/curves.png");
    ck_assert_ptr_nonnull(strstr(strstr(run_output, "{\"event\":\"test\""), "{\"event\":\"error\""));
}
END_TEST

START_TEST(plots) {
    ck_assert(exists("run/curves.png")); /* by cltrain fit */
    check_picture("run/curves.png");
    run_well("plot run");
    prints("run/curves.png");
    run_well("plot run run/metrics.csv --out both.svg");
    ck_assert(exists("both.svg"));
    run_well("plot --filters run/last.safetensors --layer blocks.0.net.0 --out f.png");
    check_picture("f.png");
    run_well(RUN_FIT "--random-crop-padding 4 --cutout 8 --augmentation-grid g.png --out grid");
    check_picture("g.png");
    ck_assert(!exists("grid"));
    fails("plot nowhere", 4, "nowhere");
    fails("plot run --out nowhere/x.png", 4, "nowhere/x.png");
    fails("plot run/last.safetensors", 3, "run/last.safetensors");
    fails("plot --filters run/metrics.csv", 3, "run/metrics.csv");
    fails("plot --filters run/last.safetensors --layer x", 2, "there is no layer 'x'");
}
END_TEST

static const struct {
    const char *arguments, *message;
} misuses[] = {
    {"test --weights x --data data --confusion m.pdf", "--confusion: expected a file that ends in .csv, .png or .svg"},
    {"test --weights x --data data --misclassified m.jpg", "--misclassified: expected a file that ends in .png"},
    {"test --weights x --data data --topk 0", "--topk: expected a whole number"},
    {"validate --data data", "--weights is missing"},
    {"predict x.png", "--weights is missing"},
    {"predict --weights x", "no image is given"},
    {"predict --weights x empty", "there is no file in 'empty'"},
    {"plot", "no run is given"},
    {"plot run --filters x", "--filters and runs exclude each other"},
    {"plot run --layer x", "--layer is for --filters"},
    {"plot run --out x.pdf", "--out: expected a file that ends in .png or .svg, found 'x.pdf'"},
    {RUN_FIT "--augmentation-grid x.pdf", "--augmentation-grid: expected a file that ends in .png or .svg"},
    {RUN_FIT "--augmentation-grid x.png --pretrained y", "--augmentation-grid and --pretrained exclude each other"},
    {"plot 1 2 3 4 5 6 7 8 9", "9 runs are given, at most 8"},
};

START_TEST(misuse_is_told) {
    fails(misuses[_i].arguments, 2, misuses[_i].message);
    ck_assert_str_eq(run_output, "");
}
END_TEST

static void set_up(void) {
    folder = folder_new();
    run_begin(folder);
    folder_make(folder, "empty");
    folder_make(folder, "data");
    char *path = path_of(folder, "data");
    tiny_write(path);
    free(path);
    if (has_device)
        run_well(RUN_FIT "--epochs 2 --out run --quiet");
}

static void tear_down(void) {
    folder_remove(folder);
}

static void add_tests(TCase *tests) {
    has_device = suite_has_device();
    tcase_add_unchecked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, misuse_is_told, 0, (int)(sizeof misuses / sizeof *misuses));
    if (!has_device)
        return;
    tcase_add_test(tests, tables_and_json);
    tcase_add_test(tests, names_in_the_matrix_are_whole_where_there_is_room);
    tcase_add_test(tests, files_of_a_test);
    tcase_add_test(tests, predictions);
    tcase_add_test(tests, many_images);
    tcase_add_test(tests, names_of_classes);
    tcase_add_test(tests, plots);
    tcase_add_test(tests, scores_are_told_without_the_picture);
}

int main(void) {
    return suite_run("cli_evaluate", add_tests);
}
