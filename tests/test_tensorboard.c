/* Event files against the published vectors of CRC-32C, bytes that TensorFlow writes, and our own schema read back.
 * test_slow_tensorboard.c has TensorBoard's own reader for all of it. */
#include "../src/io/records.h"
#include "clnet/models.h"
#include "clnet/tensorboard.h"
#include "events.h"
#include "files.h"
#include "suite.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *folder;
static cln_tensorboard *board;

static void set_up(void) {
    folder = folder_new();
    ok(cln_tensorboard_open(ctx, folder, &board));
}

static void tear_down(void) {
    cln_tensorboard_close(board);
    folder_remove(folder);
}

static events *read_back(void) {
    ok(cln_tensorboard_flush(board));
    char *path = path_of(folder, cln_tensorboard_name(board));
    events *e = events_read(path);
    free(path);
    return e;
}

/* RFC 3720, appendix B.4, and the check value of the catalogue of parametrised CRC algorithms. */
START_TEST(checksums_are_the_published_ones) {
    uint8_t zeros[32] = {0}, ones[32], up[32], down[32];
    memset(ones, 0xff, sizeof ones);
    for (int i = 0; i < 32; i++)
        up[i] = down[31 - i] = (uint8_t)i;
    ck_assert_uint_eq(cln__crc32c(zeros, 32), 0x8a9136aa);
    ck_assert_uint_eq(cln__crc32c(ones, 32), 0x62a8ab43);
    ck_assert_uint_eq(cln__crc32c(up, 32), 0x46dd794e);
    ck_assert_uint_eq(cln__crc32c(down, 32), 0x113fdb5c);
    ck_assert_uint_eq(cln__crc32c("123456789", 9), 0xe3069283);
    ck_assert_uint_eq(cln__crc32c("", 0), 0);
}
END_TEST

/* The first 12 bytes of every event file of TensorFlow: a record of 24 bytes. */
START_TEST(the_first_record_is_tensorflows) {
    static const uint8_t head[] = {0x18, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22, 0x09};
    static const uint8_t version[] = "\x1a\x0d"
                                     "brain.Event:2";
    uint8_t bytes[64];
    char *path = path_of(folder, cln_tensorboard_name(board));
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fread(bytes, 1, sizeof bytes, file), 40);
    fclose(file);
    ck_assert_int_eq(cln_tensorboard_bytes(board), 40);
    ck_assert_mem_eq(bytes, head, sizeof head);
    ck_assert_mem_eq(bytes + 21, version, sizeof version - 1);
    free(path);
}
END_TEST

START_TEST(scalars_come_back) {
    const double values[] = {0, -1.5, 0.1, 1e-40, 3e38};
    for (int i = 0; i < 5; i++)
        ok(cln_tensorboard_scalar(board, "val_acc", 1000000007LL * i, values[i]));
    events *e = read_back();
    ck_assert_int_eq(e->count, 6);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(e->at[i + 1]->step, 1000000007LL * i);
        ck_assert_double_gt(e->at[i + 1]->wall_time, 1.6e9);
        ck_assert_int_eq(e->at[i + 1]->summary->value[0]->value_case, CLN__TB__VALUE__VALUE_SIMPLE_VALUE);
        ck_assert_float_eq(e->at[i + 1]->summary->value[0]->simple_value, (float)values[i]);
    }
    events_free(e);
    ck_assert_int_eq(cln_tensorboard_scalar(board, "", 0, 1), CLN_INVALID_ARGUMENT);
    ck_assert_int_eq(cln_tensorboard_scalar(board, "\xff", 0, 1), CLN_INVALID_ARGUMENT);
    expect_message("UTF-8");
}
END_TEST

/* What was written behind the length told is cut off, be it half a record. */
START_TEST(appending_cuts_what_came_after) {
    ok(cln_tensorboard_scalar(board, "a", 1, 1));
    int64_t bytes = cln_tensorboard_bytes(board);
    ok(cln_tensorboard_scalar(board, "a", 2, 2));
    char *name = cln__format("%s", cln_tensorboard_name(board)), *path = path_of(folder, name);
    cln_tensorboard_close(board);
    ck_assert_int_eq(truncate(path, bytes + 7), 0);
    ok(cln_tensorboard_append(ctx, folder, name, bytes, &board));
    ck_assert_int_eq(cln_tensorboard_bytes(board), bytes);
    ok(cln_tensorboard_scalar(board, "a", 3, 3));
    events *e = read_back();
    int64_t step;
    ck_assert_int_eq(events_scalar(e, "a", &step, NULL), 2);
    ck_assert_int_eq(step, 3);
    events_free(e);
    cln_tensorboard *other;
    ck_assert_int_eq(cln_tensorboard_append(ctx, folder, name, 1 << 20, &other), CLN_INVALID_FILE);
    expect_message("expected at least 1048576");
    file_remove(folder, name);
    ck_assert_int_eq(cln_tensorboard_append(ctx, folder, name, bytes, &other), CLN_IO);
    ck_assert_ptr_null(other);
    free(name);
    free(path);
}
END_TEST

START_TEST(foreign_names_are_refused) {
    static const char *const names[] = {"",
                                        "metrics.csv",
                                        "events.out.tfevents.1.host.1.0",
                                        "events.out.tfevents..clnet/",
                                        "events.out.tfevents./../../etc/passwd.clnet",
                                        "../events.out.tfevents.1.clnet",
                                        "events.out.tfevents.clnet"};
    cln_tensorboard *other;
    ck_assert(cln_tensorboard_is_name(cln_tensorboard_name(board)));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ck_assert_msg(!cln_tensorboard_is_name(names[i]), "%s", names[i]);
        ck_assert_int_eq(cln_tensorboard_append(ctx, folder, names[i], 0, &other), CLN_INVALID_ARGUMENT);
    }
}
END_TEST

/* A second file in the same second and process has a name of its own. */
START_TEST(files_do_not_collide) {
    cln_tensorboard *other;
    ok(cln_tensorboard_open(ctx, folder, &other));
    ck_assert_str_ne(cln_tensorboard_name(board), cln_tensorboard_name(other));
    cln_tensorboard_close(other);
    ck_assert_int_eq(cln_tensorboard_open(ctx, "/nowhere", &other), CLN_IO);
    expect_message("/nowhere/events.out.tfevents.");
}
END_TEST

START_TEST(a_full_disk_leaves_whole_records) {
    ok(cln_tensorboard_scalar(board, "a", 1, 1));
    file_limit((long)cln_tensorboard_bytes(board) + 20);
    cln_status status = cln_tensorboard_scalar(board, "a", 2, 2);
    file_limit(0);
    ck_assert_int_eq(status, CLN_IO);
    expect_message("cannot write");
    events *e = read_back();
    ck_assert_int_eq(events_scalar(e, "a", NULL, NULL), 1);
    events_free(e);
}
END_TEST

START_TEST(images_tell_their_size) {
    const uint8_t rgb[2 * 3 * 3] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    uint8_t *png;
    size_t size;
    ok(cln_png_encode(ctx, 3, 2, 3, rgb, &png, &size));
    ok(cln_tensorboard_image(board, "augmentation", 4, png, size));
    ck_assert_int_eq(cln_tensorboard_image(board, "broken", 4, png + 1, size - 1), CLN_INVALID_ARGUMENT);
    expect_message("'broken' is not in the PNG format");
    events *e = read_back();
    const Cln__Tb__Value *value = events_find(e, "augmentation");
    ck_assert_ptr_nonnull(value);
    ck_assert_int_eq(value->image->height, 2);
    ck_assert_int_eq(value->image->width, 3);
    ck_assert_int_eq(value->image->colorspace, 3);
    ck_assert_uint_eq(value->image->encoded.len, size);
    ck_assert_mem_eq(value->image->encoded.data, png, size);
    free(png);
    events_free(e);
    ck_assert_int_eq(cln_png_encode(ctx, 0, 2, 3, rgb, &png, &size), CLN_INVALID_ARGUMENT);
    ck_assert_int_eq(cln_png_encode(ctx, 1, 1, 2, rgb, &png, &size), CLN_INVALID_ARGUMENT);
}
END_TEST

static const Cln__Tb__HParams *content(const events *e, const char *tag, Cln__Tb__HParams **out) {
    const Cln__Tb__Value *value = events_find(e, tag);
    ck_assert_ptr_nonnull(value);
    ck_assert_str_eq(value->metadata->plugin->name, "hparams");
    ProtobufCBinaryData bytes = value->metadata->plugin->content;
    *out = cln__tb__hparams__unpack(NULL, bytes.len, bytes.data);
    ck_assert_ptr_nonnull(*out);
    return *out;
}

START_TEST(hyper_parameters_keep_their_kinds) {
    static const char json[] = "{\"lr\": 0.1, \"nesterov\": false, \"model\": \"ResNet\", \"c_hidden\": [16,32]}";
    static const char *const metrics[] = {"test_acc", "val_acc"};
    Cln__Tb__HParams *of;
    ok(cln_tensorboard_hparams(board, json, metrics, 2));
    ok(cln_tensorboard_end(board, true));
    events *e = read_back();
    const Cln__Tb__SessionStart *start = content(e, "_hparams_/session_start_info", &of)->start;
    ck_assert_uint_eq(start->n_hparam, 4);
    ck_assert_str_eq(start->hparam[0]->key, "lr");
    ck_assert_double_eq(start->hparam[0]->value->number, 0.1);
    ck_assert_int_eq(start->hparam[1]->value->value_case, CLN__TB__HPARAM_VALUE__VALUE_FLAG);
    ck_assert_int_eq(start->hparam[1]->value->flag, 0);
    ck_assert_str_eq(start->hparam[2]->value->text, "ResNet");
    ck_assert_str_eq(start->hparam[3]->value->text, "[16,32]");
    cln__tb__hparams__free_unpacked(of, NULL);
    const Cln__Tb__Experiment *experiment = content(e, "_hparams_/experiment", &of)->experiment;
    ck_assert_uint_eq(experiment->n_hparam, 4);
    ck_assert_int_eq(experiment->hparam[0]->type, CLN__TB__HPARAM_TYPE__FLOAT64);
    ck_assert_int_eq(experiment->hparam[3]->type, CLN__TB__HPARAM_TYPE__STRING);
    ck_assert_uint_eq(experiment->n_metric, 2);
    ck_assert_str_eq(experiment->metric[1]->name->tag, "val_acc");
    cln__tb__hparams__free_unpacked(of, NULL);
    ck_assert_int_eq(content(e, "_hparams_/session_end_info", &of)->end->status, CLN__TB__SESSION_STATUS__SUCCESS);
    cln__tb__hparams__free_unpacked(of, NULL);
    events_free(e);
    ck_assert_int_eq(cln_tensorboard_hparams(board, "[1]", metrics, 2), CLN_INVALID_ARGUMENT);
    ck_assert_int_eq(cln_tensorboard_hparams(board, "{", metrics, 2), CLN_INVALID_ARGUMENT);
    expect_message("expected a JSON object, found {");
}
END_TEST

/* --- the graph --- */

static Cln__Tb__Graph *graph_of(const char *model_name) {
    const cln_model *model = cln_model_find(model_name);
    cln_graph *g = cln_graph_new(ctx);
    cln_tensor logits = model->build(g, cln_input(g, "image", 8, 3, 32, 32), model->defaults);
    cln_softmax_ce(g, logits, cln_labels(g, "label", 8), 0);
    ok(cln_graph_status(g));
    ok(cln_tensorboard_graph(board, g));
    cln_graph_free(g);
    events *e = read_back();
    Cln__Tb__Graph *graph = events_graph(e);
    ck_assert_ptr_nonnull(graph);
    events_free(e);
    return graph;
}

static const Cln__Tb__Node *find(const Cln__Tb__Graph *graph, const char *name) {
    for (size_t i = 0; i < graph->n_node; i++)
        if (strcmp(graph->node[i]->name, name) == 0)
            return graph->node[i];
    ck_abort_msg("there is no node %s", name);
    return NULL;
}

static void expect_shape(const Cln__Tb__Node *node, size_t rank, int64_t first, int64_t last) {
    ck_assert_str_eq(node->attribute[0]->key, "_output_shapes");
    const Cln__Tb__Shape *shape = node->attribute[0]->value->list->shape[0];
    ck_assert_uint_eq(shape->n_side, rank);
    if (rank > 0) {
        ck_assert_int_eq(shape->side[0]->size, first);
        ck_assert_int_eq(shape->side[rank - 1]->size, last);
    }
}

/* Names occur once, and inputs name nodes that come before: no graph of ours has a cycle. */
START_TEST(graphs_are_whole) {
    static const char *const models[] = {"GoogleNet", "ResNet", "ResNetPreAct", "DenseNet"};
    Cln__Tb__Graph *graph = graph_of(models[_i]);
    ck_assert_uint_gt(graph->n_node, 100);
    for (size_t i = 0; i < graph->n_node; i++) {
        for (size_t j = 0; j < i; j++)
            ck_assert_str_ne(graph->node[i]->name, graph->node[j]->name);
        for (size_t k = 0; k < graph->node[i]->n_input; k++) {
            size_t j = 0;
            while (j < i && strcmp(graph->node[j]->name, graph->node[i]->input[k]) != 0)
                j++;
            ck_assert_msg(j < i, "%s has the input %s", graph->node[i]->name, graph->node[i]->input[k]);
        }
    }
    cln__tb__graph__free_unpacked(graph, NULL);
}
END_TEST

START_TEST(layers_are_nested_as_they_are_named) {
    Cln__Tb__Graph *graph = graph_of("ResNet");
    const Cln__Tb__Node *conv = find(graph, "blocks/3/net/0/conv2d");
    ck_assert_str_eq(conv->op, "conv2d");
    ck_assert_str_eq(conv->input[1], "blocks/3/net/0/weight");
    expect_shape(conv, 4, 8, 16);
    expect_shape(find(graph, "blocks/3/net/0/weight"), 4, 32, 3);
    expect_shape(find(graph, "output_net/2/bias"), 1, 10, 10);
    expect_shape(find(graph, "output_net/2/linear"), 2, 8, 10);
    expect_shape(find(graph, "softmax_ce"), 0, 0, 0);
    expect_shape(find(graph, "label"), 1, 8, 8);
    /* What has no name of its own. */
    find(graph, "input_net/relu");
    find(graph, "blocks/0/net/relu");
    ck_assert_str_eq(find(graph, "blocks/0/add")->input[0], "blocks/0/net/4/batchnorm");
    find(graph, "blocks/0/relu");
    find(graph, "blocks/3/add");
    find(graph, "blocks/8/relu");
    find(graph, "output_net/global_avgpool");
    find(graph, "output_net/flatten");
    cln__tb__graph__free_unpacked(graph, NULL);
}
END_TEST

START_TEST(branches_stay_in_their_block) {
    Cln__Tb__Graph *graph = graph_of("GoogleNet");
    find(graph, "inception_blocks/0/concat");
    find(graph, "inception_blocks/1/max_pool/maxpool");
    find(graph, "inception_blocks/1/conv_3x3/relu");
    find(graph, "inception_blocks/1/conv_3x3/relu_1");
    cln__tb__graph__free_unpacked(graph, NULL);
    cln_tensorboard_close(board);
    ok(cln_tensorboard_open(ctx, folder, &board));
    graph = graph_of("DenseNet");
    find(graph, "blocks/0/block/0/concat");
    find(graph, "blocks/1/transition/avgpool");
    cln__tb__graph__free_unpacked(graph, NULL);
}
END_TEST

START_TEST(a_failed_graph_is_refused) {
    cln_graph *g = cln_graph_new(ctx);
    cln_graph_fail(g, "no such network");
    ck_assert_int_eq(cln_tensorboard_graph(board, g), CLN_INVALID_ARGUMENT);
    cln_graph_free(g);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, checksums_are_the_published_ones);
    tcase_add_test(tests, the_first_record_is_tensorflows);
    tcase_add_test(tests, scalars_come_back);
    tcase_add_test(tests, appending_cuts_what_came_after);
    tcase_add_test(tests, foreign_names_are_refused);
    tcase_add_test(tests, files_do_not_collide);
    tcase_add_test(tests, a_full_disk_leaves_whole_records);
    tcase_add_test(tests, images_tell_their_size);
    tcase_add_test(tests, hyper_parameters_keep_their_kinds);
    tcase_add_loop_test(tests, graphs_are_whole, 0, 4);
    tcase_add_test(tests, layers_are_nested_as_they_are_named);
    tcase_add_test(tests, branches_stay_in_their_block);
    tcase_add_test(tests, a_failed_graph_is_refused);
}

int main(void) {
    return suite_run("tensorboard", add_tests);
}
