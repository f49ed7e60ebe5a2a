/* Event files in TensorBoard's own reader: every scalar, picture, node and hyper-parameter comes back with the value
 * that was written. Needs the Python of bench/peers/setup.sh (tests/tensorboard_dump.py reads) and is skipped without
 * it. */
#include "clnet/models.h"
#include "clnet/tensorboard.h"
#include "events.h"
#include "files.h"
#include "python.h"
#include "runs.h"
#include "suite.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MOST_LINES = 2048, LINE = 512 };
typedef struct text {
    int count;
    char at[MOST_LINES][LINE];
} text;

/* --- what TensorBoard finds --- */

static text *dump(const char *folder) {
    char line[LINE];
    char *from = path_of(run_root, folder), *to = path_of(run_root, "dump");
    python_run("tensorboard_dump.py", "'%s' >'%s' 2>/dev/null", from, to);
    FILE *file = fopen(to, "r");
    text *lines = calloc(1, sizeof *lines);
    ck_assert(file && lines);
    while (fgets(line, sizeof line, file)) {
        ck_assert_int_lt(lines->count, MOST_LINES);
        line[strcspn(line, "\n")] = '\0';
        strcpy(lines->at[lines->count++], line);
    }
    fclose(file);
    free(from);
    free(to);
    return lines;
}

/* Takes the line away: what is left at the end was not expected. */
static void take(text *lines, const char *expected) {
    for (int i = 0; i < lines->count; i++)
        if (strcmp(lines->at[i], expected) == 0) {
            strcpy(lines->at[i], lines->at[--lines->count]);
            return;
        }
    ck_abort_msg("TensorBoard does not find: %s", expected);
}

static void expect_no_more(text *lines) {
    ck_assert_msg(lines->count == 0, "TensorBoard also finds: %s", lines->at[0]);
    free(lines);
}

/* --- what was written --- */

static void take_scalar(text *lines, const char *tag, int64_t step, float value) {
    char line[LINE];
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    snprintf(line, sizeof line, "scalar %s %" PRId64 " %08" PRIx32, tag, step, bits);
    take(lines, line);
}

static void take_image(text *lines, const char *tag, int64_t step, int width, int height, const uint8_t *rgb) {
    char line[LINE];
    unsigned long crc = crc32(0, rgb, (uInt)(3 * width * height));
    snprintf(line, sizeof line, "image %s %" PRId64 " %d %d %08lx", tag, step, width, height, crc);
    take(lines, line);
}

START_TEST(all_kinds_come_back_exactly) {
    static const char *const tags[] = {"train_loss", "a/b/c", "lr-SGD", "täg"};
    static const float values[] = {0, -0.f, 1.f / 3, 1e-45f, 3.4e38f, -7};
    static const char *const metrics[] = {"test_acc", "val_acc"};
    uint8_t rgb[3 * 40 * 24], *png;
    size_t size;
    cln_tensorboard *board;
    folder_make(run_root, "kinds");
    char *folder = path_of(run_root, "kinds");
    ok(cln_tensorboard_open(ctx, folder, &board));
    for (int t = 0; t < 4; t++)
        for (int i = 0; i < 6; i++)
            ok(cln_tensorboard_scalar(board, tags[t], (int64_t)i * 5000000011 + t, (double)values[i]));
    for (int i = 0; i < (int)sizeof rgb; i++)
        rgb[i] = (uint8_t)(i * 37 >> 2);
    for (int i = 0; i < 12; i++) {
        rgb[0] = (uint8_t)i;
        ok(cln_png_encode(ctx, 40, 24, 3, rgb, &png, &size));
        ok(cln_tensorboard_image(board, "pictures", i, png, size));
        free(png);
    }
    ok(cln_tensorboard_hparams(
        board, "{\"lr\":0.1,\"nesterov\":true,\"off\":false,\"model\":\"ResNet\",\"list\":[1,2]}", metrics, 2));
    ok(cln_tensorboard_end(board, false));
    ok(cln_tensorboard_flush(board));
    cln_tensorboard_close(board);
    text *lines = dump("kinds");
    for (int t = 0; t < 4; t++)
        for (int i = 0; i < 6; i++)
            take_scalar(lines, tags[t], (int64_t)i * 5000000011 + t, values[i]);
    for (int i = 0; i < 12; i++) {
        rgb[0] = (uint8_t)i;
        take_image(lines, "pictures", i, 40, 24, rgb);
    }
    take(lines, "hparam lr number_value 0x1.999999999999ap-4");
    take(lines, "hparam nesterov bool_value True");
    take(lines, "hparam off bool_value False");
    take(lines, "hparam model string_value ResNet");
    take(lines, "hparam list string_value [1,2]");
    take(lines, "metric test_acc");
    take(lines, "metric val_acc");
    take(lines, "status 2");
    expect_no_more(lines);
    free(folder);
}
END_TEST

/* --- a run --- */

static const char *shape_text(const Cln__Tb__Node *node, char *out) {
    const Cln__Tb__Shape *shape = node->attribute[0]->value->list->shape[0];
    int length = 0;
    out[0] = '\0';
    for (size_t i = 0; i < shape->n_side; i++)
        length += sprintf(out + length, "%s%" PRId64, i ? "x" : "", shape->side[i]->size);
    return out;
}

static void take_graph(text *lines, const events *e) {
    Cln__Tb__Graph *graph = events_graph(e);
    ck_assert_ptr_nonnull(graph);
    for (size_t i = 0; i < graph->n_node; i++) {
        char line[2 * LINE], shape[LINE];
        const Cln__Tb__Node *node = graph->node[i];
        int length = snprintf(line, sizeof line, "node %s %s %s ", node->name, node->op, shape_text(node, shape));
        for (size_t k = 0; k < node->n_input; k++)
            length += snprintf(line + length, sizeof line - (size_t)length, "%s%s", k ? "," : "", node->input[k]);
        take(lines, line);
    }
    cln__tb__graph__free_unpacked(graph, NULL);
}

static void take_scalars(text *lines, const events *e) {
    for (int i = 0; i < e->count; i++) {
        if (e->at[i]->what_case != CLN__TB__EVENT__WHAT_SUMMARY)
            continue;
        const Cln__Tb__Value *v = e->at[i]->summary->value[0];
        if (v->value_case == CLN__TB__VALUE__VALUE_SIMPLE_VALUE)
            take_scalar(lines, v->tag, e->at[i]->step, v->simple_value);
    }
}

/* The picture is that of cln_augmentation_grid. */
static void take_augmentation(text *lines) {
    cln_dataset *data;
    cln_image picture;
    int64_t *train, *validation;
    char *path = path_of(run_root, "data");
    cln_loader_options how = {.seed = 42, .augmentation = cln_augmentation_default()};
    ok(cln_dataset_load(ctx, path, CLN_SPLIT_TRAIN, NULL, &data));
    ok(cln_normalization_choose(ctx, NULL, data, &how.normalization));
    ok(cln_split_indices(ctx, data->count, 20, 42, &train, &validation));
    ok(cln_augmentation_grid(ctx, data, train, 4, &how, 0, &picture));
    take_image(lines, "augmentation", 0, picture.width, picture.height, picture.pixels);
    cln_image_free(&picture);
    free(train);
    free(validation);
    cln_dataset_free(data);
    free(path);
}

static void take_hparams(text *lines) {
    static const char *const expected[] = {"hparam model string_value ResNet",
                                           "hparam optimizer string_value sgd",
                                           "hparam lr number_value 0x1.999999999999ap-4",
                                           "hparam batch_size number_value 0x1.0000000000000p+4",
                                           "hparam num_blocks string_value [1]",
                                           "hparam c_hidden string_value [8]",
                                           "hparam act_fn_name string_value relu",
                                           "hparam milestones string_value [2]",
                                           "hparam hflip number_value 0x1.0000000000000p-1",
                                           "hparam seed number_value 0x1.5000000000000p+5",
                                           "metric test_acc",
                                           "metric val_acc",
                                           "status 1"};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        take(lines, expected[i]);
    for (int i = lines->count - 1; i >= 0; i--)
        if (strncmp(lines->at[i], "hparam ", 7) == 0)
            strcpy(lines->at[i], lines->at[--lines->count]);
}

/* Killed and gone on with, so that a file that was cut is read too. */
START_TEST(a_run_comes_back_exactly) {
    runs_kill("killed", "--epochs 10 --save-every 0.02 --milestones 2", 3, 5);
    char *folder = path_of(run_root, "killed-cut"), *name = events_name(folder), *path = path_of(folder, name);
    events *e = events_read(path);
    text *lines = dump("killed-cut");
    ck_assert_int_gt(lines->count, 70);
    take_scalars(lines, e);
    take_graph(lines, e);
    take_augmentation(lines);
    take_hparams(lines);
    expect_no_more(lines);
    events_free(e);
    free(path);
    free(name);
    free(folder);
}
END_TEST

static void add_tests(TCase *tests) {
    if (!suite_has_programs())
        return;
    run_fixture(tests);
    tcase_add_test(tests, all_kinds_come_back_exactly);
    tcase_add_test(tests, a_run_comes_back_exactly);
}

int main(void) {
    if (!python_has("tensorboard, PIL"))
        return EXIT_SUCCESS;
    return suite_run_on_device("slow_tensorboard", add_tests);
}
