/* Pictures: that they are whole files of the right kind and size, with something on them, whatever is drawn. */
#include "../src/io/file.h"
#include "clnet/plot.h"
#include "files.h"
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static char *folder, *png, *svg;

/* The share of pixels that are not white, by a decoder that is not the encoder's. */
static double inked(const char *path, int *width, int *height) {
    cln_image image;
    ok(cln_image_read(ctx, path, &image));
    size_t count = (size_t)image.width * (size_t)image.height, drawn = 0;
    for (size_t i = 0; i < count; i++)
        drawn +=
            image.pixels[i * (size_t)image.components] != 255 || image.pixels[i * (size_t)image.components + 1] != 255;
    *width = image.width;
    *height = image.height;
    cln_image_free(&image);
    return (double)drawn / (double)count;
}

static void check_png(const char *path, int least_width, int least_height, double least_ink) {
    int width, height;
    double ink = inked(path, &width, &height);
    ck_assert_int_ge(width, least_width);
    ck_assert_int_ge(height, least_height);
    ck_assert_msg(ink >= least_ink, "only %g of %s is drawn on", ink, path);
}

/* By Python's parser, where there is one. */
static void check_svg(const char *path) {
    char command[1024];
    uint8_t *bytes;
    size_t size;
    ok(cln__file_read(ctx, path, 1 << 28, &bytes, &size));
    ck_assert_uint_gt(size, 1000);
    ck_assert_mem_eq(bytes, "<?xml", 5);
    free(bytes);
    snprintf(command, sizeof command,
             "command -v python3 >/dev/null || exit 77; python3 -c 'import sys, xml.dom.minidom as x; "
             "sys.exit(x.parse(sys.argv[1]).documentElement.tagName != \"svg\")' '%s'",
             path);
    int status = system(command);
    ck_assert(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip("parsing SVG", "there is no python3");
    else
        ck_assert_int_eq(WEXITSTATUS(status), 0);
}

/* --- metrics --- */

static char *write_metrics(const char *text) {
    file_write(folder, "metrics.csv", text, strlen(text));
    return path_of(folder, "metrics.csv");
}

static cln_metrics *read_metrics(const char *text) {
    cln_metrics *m;
    char *path = write_metrics(text);
    ok(cln_metrics_read(ctx, path, &m));
    free(path);
    return m;
}

#define HEAD "epoch,lr-SGD,train_loss,train_acc,val_loss,val_acc,images_per_s\n"

START_TEST(metrics_are_read) {
    cln_metrics *m = read_metrics(HEAD "1,0.1,2.5,0.25,,,100.5\n2,1e-2,nan,0.5,1.5,0.75,inf\n");
    ck_assert_int_eq(m->rows, 2);
    ck_assert_int_eq(m->columns, 7);
    ck_assert_str_eq(m->names[5], "val_acc");
    ck_assert_double_eq(cln_metrics_column(m, "lr-SGD")[1], 0.01);
    ck_assert(isnan(cln_metrics_column(m, "val_acc")[0]));
    ck_assert_double_eq(cln_metrics_column(m, "val_acc")[1], 0.75);
    ck_assert(isnan(cln_metrics_column(m, "train_loss")[1]));
    ck_assert_double_eq(cln_metrics_column(m, "images_per_s")[0], 100.5);
    ck_assert_ptr_null(cln_metrics_column(m, "f1"));
    cln_metrics_free(m);
    m = read_metrics("a,b\r\n1,2\r\n3,4"); /* Windows' ends of lines, none at the end */
    ck_assert_int_eq(m->rows, 2);
    ck_assert_double_eq(cln_metrics_column(m, "b")[1], 4);
    cln_metrics_free(m);
    m = read_metrics("epoch\n");
    ck_assert_int_eq(m->rows, 0);
    cln_metrics_free(m);
    cln_metrics_free(NULL);
}
END_TEST

static const struct {
    const char *text, *message;
} bad_tables[] = {{"", "does not begin with a line of names"},
                  {"epoch", "does not begin with a line of names"},
                  {"a,b\n1,2\n3\n", "line 3: 1 fields under 2 names"},
                  {"a,b\n1,2,3\n", "line 2: 3 fields under 2 names"},
                  {"a,b\n1,two\n", "line 2: expected a number, found 'two'"},
                  {"a,b\n1, 2\n", "line 2: expected a number, found ' 2'"},
                  {"a,b\n1,2x\n", "line 2: expected a number, found '2x'"},
                  {"a,b\n\n", "line 2: 1 fields under 2 names"}};

START_TEST(bad_tables_are_told) {
    cln_metrics *m;
    char *path = write_metrics(bad_tables[_i].text);
    expect_status(cln_metrics_read(ctx, path, &m), CLN_INVALID_FILE, bad_tables[_i].message);
    ck_assert_ptr_null(m);
    free(path);
}
END_TEST

/* --- curves --- */

static const char *const runs[] = {
    HEAD "1,0.1,2.1,0.3,1.9,0.35,100\n",                                                 /* one epoch */
    HEAD "1,0.1,2.1,0.3,1.9,0.35,1\n2,0.1,1.5,0.5,1.6,0.45,1\n3,0.1,1,0.7,1.5,0.5,1\n",  /* as usual */
    HEAD "1,0.1,2.1,0.3,,,100\n2,0.1,nan,0.1,,,1\n3,0.1,inf,0.1,,,1\n4,0.1,1,0.1,,,1\n", /* no validation, gaps */
    HEAD,                                                                                /* nothing */
    "epoch\n1\n2\n",                                                                     /* nothing to draw */
    HEAD "1,0.1,1e30,0.3,-1e300,0.5,1\n2,0.1,1,0.1,2,0.6,1\n",                           /* far apart */
    HEAD "1,0.1,1,1,1,1,1\n2,0.1,1,1,1,1,1\n",                                           /* flat */
    "epoch,val_acc\n5,0.5\n4,0.6\n1e300,0.7\n",                                          /* odd epochs */
};
enum { RUNS = sizeof runs / sizeof *runs };

START_TEST(curves_of_one_run) {
    cln_metrics *m = read_metrics(runs[_i]);
    const cln_plot_run run = {"run", m};
    ok(cln_plot_curves(ctx, &run, 1, png));
    check_png(png, 1700, 700, 0.005);
    ok(cln_plot_curves(ctx, &run, 1, svg));
    check_svg(svg);
    cln_metrics_free(m);
}
END_TEST

START_TEST(curves_of_several_runs) {
    cln_metrics *m[CLN_PLOT_MAX_RUNS];
    cln_plot_run list[CLN_PLOT_MAX_RUNS + 1];
    char longest[4000];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    for (int i = 0; i < CLN_PLOT_MAX_RUNS; i++) {
        m[i] = read_metrics(runs[i % 3]);
        list[i] = (cln_plot_run){i == 0 ? longest : i == 1 ? "no UTF-8: \xff\xfe\n\t" : "runs/ResNet", m[i]};
    }
    ok(cln_plot_curves(ctx, list, CLN_PLOT_MAX_RUNS, png));
    check_png(png, 1700, 700, 0.01);
    ok(cln_plot_curves(ctx, list, CLN_PLOT_MAX_RUNS, svg));
    check_svg(svg);
    expect_status(cln_plot_curves(ctx, list, CLN_PLOT_MAX_RUNS + 1, png), CLN_INVALID_ARGUMENT, "9 runs are asked for");
    expect_status(cln_plot_curves(ctx, list, 0, png), CLN_INVALID_ARGUMENT, "0 runs are asked for");
    for (int i = 0; i < CLN_PLOT_MAX_RUNS; i++)
        cln_metrics_free(m[i]);
    m[0] = read_metrics("step\n1\n");
    list[0].metrics = m[0];
    expect_status(cln_plot_curves(ctx, list, 1, png), CLN_INVALID_FILE, "no column 'epoch'");
    cln_metrics_free(m[0]);
}
END_TEST

/* The same picture twice is the same file, or a run that is resumed would differ from one that is not. */
START_TEST(pictures_are_reproducible) {
    cln_metrics *m = read_metrics(runs[1]);
    const cln_plot_run run = {"run", m};
    uint8_t *bytes[2];
    size_t size[2];
    for (int i = 0; i < 2; i++) {
        ok(cln_plot_curves(ctx, &run, 1, png));
        ok(cln__file_read(ctx, png, 1 << 28, &bytes[i], &size[i]));
    }
    ck_assert_uint_eq(size[0], size[1]);
    ck_assert_mem_eq(bytes[0], bytes[1], size[0]);
    free(bytes[0]);
    free(bytes[1]);
    cln_metrics_free(m);
}
END_TEST

START_TEST(learning_rates) {
    enum { COUNT = 100 };
    double rates[COUNT], losses[COUNT];
    for (int i = 0; i < COUNT; i++) {
        rates[i] = pow(10, -8 + 8 * i / 99.0);
        losses[i] = i < 70 ? 2.3 - 0.01 * i : exp(i - 70);
    }
    losses[50] = NAN;
    losses[99] = INFINITY;
    ok(cln_plot_lr_find(ctx, rates, losses, COUNT, 1e-3, png));
    check_png(png, 1200, 700, 0.005);
    ok(cln_plot_lr_find(ctx, rates, losses, COUNT, NAN, svg));
    check_svg(svg);
    ok(cln_plot_lr_find(ctx, rates + 50, losses + 50, 3, 1e-3, png));
    for (int i = 0; i < COUNT; i++)
        losses[i] = NAN;
    ok(cln_plot_lr_find(ctx, rates, losses, COUNT, NAN, png));
    expect_status(cln_plot_lr_find(ctx, rates, losses, 1, NAN, png), CLN_INVALID_ARGUMENT,
                  "at least two different ones");
    rates[3] = 0;
    expect_status(cln_plot_lr_find(ctx, rates, losses, COUNT, NAN, png), CLN_INVALID_ARGUMENT, "all above 0");
}
END_TEST

/* --- tests --- */

/* A network that is right about two of three images. */
static cln_evaluation *evaluate(int classes, int64_t count, const char *const *names) {
    float *logits = calloc((size_t)count * (size_t)classes, sizeof *logits);
    int32_t *labels = malloc((size_t)count * sizeof *labels);
    for (int64_t i = 0; i < count; i++) {
        labels[i] = (int32_t)(i % classes);
        logits[i * classes + (i % 3 ? labels[i] : (labels[i] + i) % classes)] = 3;
    }
    cln_evaluation *e;
    ok(cln_evaluation_from_logits(ctx, logits, labels, count, classes, names, 0, &e));
    free(logits);
    free(labels);
    return e;
}

START_TEST(confusion_matrices) {
    static const int classes[] = {1, 2, 10, 20, 21, 100, 250};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        cln_evaluation *e = evaluate(classes[i], 4 * classes[i], NULL);
        ok(cln_plot_confusion(ctx, e, png));
        check_png(png, 600, 300, 0.005);
        cln_evaluation_free(e);
    }
    static const char *const names[] = {"Großkatze (Löwe, Tiger, Leopard, Jaguar, Schneeleopard)", "a\nb", "\t"};
    cln_evaluation *e = evaluate(3, 1000000, names);
    ok(cln_plot_confusion(ctx, e, svg));
    check_svg(svg);
    cln_evaluation_free(e);
}
END_TEST

START_TEST(mistakes) {
    cln_evaluation *e = evaluate(4, 99, NULL);
    expect_status(cln_plot_mistakes(ctx, e, png), CLN_INVALID_ARGUMENT, "the evaluation has no images");
    cln_dataset *d = calloc(1, sizeof *d); /* noise of 5x9 */
    *d = (cln_dataset){.count = 99, .channels = 3, .height = 5, .width = 9};
    d->images = malloc(99 * 3 * 5 * 9);
    for (int i = 0; i < 99 * 3 * 5 * 9; i++)
        d->images[i] = (uint8_t)(i * 7919 >> 3);
    e->data = d;
    ok(cln_plot_mistakes(ctx, e, png));
    check_png(png, 1400, 1200, 0.2);
    ok(cln_plot_mistakes(ctx, e, svg));
    check_svg(svg);
    e->score.correct = e->score.count; /* none */
    for (int i = 0; i < 99; i++)
        e->predictions[i].prediction = e->predictions[i].label;
    ok(cln_plot_mistakes(ctx, e, png));
    check_png(png, 400, 40, 0.001);
    cln_evaluation_free(e);
}
END_TEST

/* --- images --- */

START_TEST(pixels_are_where_they_should_be) {
    static const uint8_t planes[] = {255, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 255}; /* red, black; blue and black... */
    const cln_tile tile = {.planes = planes, .channels = 3, .height = 2, .width = 2};
    cln_image image;
    ok(cln_plot_images(ctx, NULL, &tile, 1, 1, png));
    ok(cln_image_read(ctx, png, &image));
    const uint8_t *at = image.pixels + ((size_t)(image.height / 4) * (size_t)image.width + (size_t)image.width / 4) * 3;
    ck_assert_int_eq(image.components, 3);
    ck_assert_int_eq(at[0], 255);
    ck_assert_int_eq(at[1], 0);
    at = image.pixels + ((size_t)(image.height * 3 / 4) * (size_t)image.width + (size_t)image.width / 4) * 3;
    ck_assert_int_eq(at[1], 255);
    cln_image_free(&image);
    const cln_tile bad = {.planes = planes, .channels = 2, .height = 2, .width = 2};
    expect_status(cln_plot_images(ctx, NULL, &bad, 1, 1, png), CLN_INVALID_ARGUMENT, "image 0 of a picture is 2x2x2");
    expect_status(cln_plot_images(ctx, NULL, &tile, 1, 0, png), CLN_INVALID_ARGUMENT, "in rows of 0");
}
END_TEST

START_TEST(enlarged_pictures) {
    static uint8_t pixels[60 * 2000 * 3];
    const cln_image sizes[] = {{20, 60, 3, pixels},   {1, 1, 3, pixels},   {60, 2000, 3, pixels},
                               {2000, 60, 3, pixels}, {20, 60, 1, pixels}, {20, 60, 2, pixels}};
    for (int i = 0; i < 6; i++) {
        ok(cln_plot_picture(ctx, i % 2 ? "title" : NULL, &sizes[i], png));
        check_png(png, 100, 90, 0.3);
    }
    const cln_image none = {5, 0, 3, pixels}, strange = {5, 5, 5, pixels};
    expect_status(cln_plot_picture(ctx, NULL, &none, png), CLN_INVALID_ARGUMENT, "a picture of 5x0");
    expect_status(cln_plot_picture(ctx, NULL, &strange, png), CLN_INVALID_ARGUMENT, "5x5 with 5 components");
}
END_TEST

static cln_weights_file *write_weights(const cln_file_tensor *tensors, size_t count) {
    char *path = path_of(folder, "weights.safetensors");
    cln_weights_file *file;
    ok(cln_safetensors_write(ctx, path, tensors, count, NULL, 0));
    ok(cln_weights_file_read(ctx, path, &file));
    free(path);
    return file;
}

START_TEST(filters) {
    static float values[16 * 8 * 9];
    for (int i = 0; i < 16 * 8 * 9; i++)
        values[i] = (float)sin(i);
    values[3] = NAN;
    const cln_file_tensor tensors[] = {
        {.name = "blocks.0.weight", .rank = 4, .shape = {16, 8, 3, 3}, .count = 16 * 8 * 9, .data = values},
        {.name = "fc.weight", .rank = 2, .shape = {4, 2}, .count = 8, .data = values},
        {.name = "input.weight", .rank = 4, .shape = {16, 3, 3, 3}, .count = 16 * 3 * 9, .data = values}};
    cln_weights_file *file = write_weights(tensors, 3);
    ok(cln_plot_filters(ctx, file, NULL, png));
    check_png(png, 1800, 500, 0.3);
    ok(cln_plot_filters(ctx, file, "blocks.0", png));
    check_png(png, 1800, 3000, 0.3);
    ok(cln_plot_filters(ctx, file, "input.weight", svg));
    check_svg(svg);
    expect_status(cln_plot_filters(ctx, file, "nowhere", png), CLN_INVALID_ARGUMENT, "there is no layer 'nowhere'");
    expect_status(cln_plot_filters(ctx, file, "fc", png), CLN_INVALID_ARGUMENT, "'fc.weight' has no filters");
    cln_weights_file_free(file);
    file = write_weights(tensors + 1, 1);
    expect_status(cln_plot_filters(ctx, file, NULL, png), CLN_INVALID_ARGUMENT, "there is no convolution");
    cln_weights_file_free(file);
}
END_TEST

START_TEST(where_they_cannot_be_written) {
    const cln_tile tile = {.planes = (const uint8_t *)"x", .channels = 1, .height = 1, .width = 1};
    ck_assert(cln_plot_can_write("a.png"));
    ck_assert(cln_plot_can_write("a.b/A.SVG"));
    ck_assert(!cln_plot_can_write(".png"));
    ck_assert(!cln_plot_can_write("png"));
    ck_assert(!cln_plot_can_write("a.jpg"));
    expect_status(cln_plot_images(ctx, NULL, &tile, 1, 1, "x.jpg"), CLN_INVALID_ARGUMENT, "must end in .png or .svg");
    expect_status(cln_plot_images(ctx, NULL, &tile, 1, 1, "/nowhere/x.png"), CLN_IO, "/nowhere/x.png");
    ok(cln_plot_images(ctx, NULL, &tile, 1, 1, png));
    file_limit(100); /* a full disk: what is there stays */
    cln_status status = cln_plot_images(ctx, "other", &tile, 1, 1, png);
    file_limit(0);
    expect_status(status, CLN_IO, "picture.png");
    check_png(png, 200, 200, 0.5);
    ck_assert_int_eq(folder_count(folder), 1);
}
END_TEST

static void set_up(void) {
    folder = folder_new();
    png = path_of(folder, "picture.png");
    svg = path_of(folder, "picture.svg");
}

static void tear_down(void) {
    free(png);
    free(svg);
    folder_remove(folder);
}

static void add_tests(TCase *tests) {
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, metrics_are_read);
    tcase_add_loop_test(tests, bad_tables_are_told, 0, (int)(sizeof bad_tables / sizeof *bad_tables));
    tcase_add_loop_test(tests, curves_of_one_run, 0, RUNS);
    tcase_add_test(tests, curves_of_several_runs);
    tcase_add_test(tests, pictures_are_reproducible);
    tcase_add_test(tests, learning_rates);
    tcase_add_test(tests, confusion_matrices);
    tcase_add_test(tests, mistakes);
    tcase_add_test(tests, pixels_are_where_they_should_be);
    tcase_add_test(tests, enlarged_pictures);
    tcase_add_test(tests, filters);
    tcase_add_test(tests, where_they_cannot_be_written);
}

int main(void) {
    return suite_run("plot", add_tests);
}
