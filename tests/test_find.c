/* What is found out before a run: a learning rate by trying many, the largest batch by planning. */
#include "clnet/models.h"
#include "files.h"
#include "suite.h"
#include "tiny.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cln_fit_options tiny_options(void) {
    cln_fit_options o = {.model = cln_model_find("ResNet"), .data = tiny_data, .seed = 42, .validation = 20};
    o.hparams = tiny_hparams;
    o.recipe = *o.model->recipe;
    o.recipe.batch_size = 16;
    return o;
}

/* --- a learning rate --- */

/* argmin of torch.gradient(losses[10:-1]) + 10, as Lightning's _LRFinder.suggestion has it, by PyTorch 2.13. */
static const struct {
    int count, centre, expected;
} curves[] = {{50, 30, 31}, {50, 12, 13}, {14, 5, 10}, {13, 3, 10}, {100, 70, 72}, {12, 3, -1}};

START_TEST(the_steepest_descent_is_suggested) {
    cln_lr_point points[100];
    int c = curves[_i].centre;
    for (int i = 0; i < curves[_i].count; i++) {
        double rise = i > c + 12 ? 0.05 * (i - c - 12) * (i - c - 12) : 0;
        points[i].smoothed_loss = 2.3 - 1.5 / (1 + exp(-(i - c) / 4.0)) + rise + 0.03 * sin(1.7 * i);
    }
    ck_assert_int_eq(cln_lr_suggest(points, curves[_i].count), curves[_i].expected);
}
END_TEST

static int count_steps;
static void count(void *user, const cln_fit_event *e) {
    (void)user;
    count_steps += e->stage == CLN_FIT_STEP;
}

/* More steps than an epoch has; the rates are a geometric series and the losses are smoothed as they say. */
START_TEST(rates_are_tried_in_order) {
    cln_fit_options o = tiny_options();
    o.on_event = count;
    count_steps = 0;
    const cln_lr_find_options find = {.min_lr = 1e-5f, .max_lr = 1e-1f, .num_training = 41, .early_stop_threshold = -1};
    cln_lr_curve a, b;
    ok(cln_lr_find(ctx, device, &o, &find, &a));
    ck_assert_int_eq(a.count, 41);
    ck_assert_int_eq(count_steps, 41);
    double average = 0;
    for (int i = 0; i < 41; i++) {
        ck_assert_double_eq_tol(log10((double)a.points[i].learning_rate), -5 + i / 10.0, 1e-5);
        average = 0.98 * average + 0.02 * a.points[i].loss;
        ck_assert_double_eq_tol(a.points[i].smoothed_loss, average / (1 - pow(0.98, i + 1)), 1e-9);
    }
    ck_assert_int_eq(a.suggestion, cln_lr_suggest(a.points, a.count));
    ck_assert_int_ge(a.suggestion, 10);
    /* Each search begins with the first weights. */
    ok(cln_lr_find(ctx, device, &o, &find, &b));
    ck_assert_int_eq(b.count, 41);
    for (int i = 0; i < 41; i++)
        ck_assert_double_eq(a.points[i].loss, b.points[i].loss);
    cln_lr_curve_free(&a);
    cln_lr_curve_free(&b);
}
END_TEST

START_TEST(a_loss_that_explodes_ends_it) {
    cln_fit_options o = tiny_options();
    const cln_lr_find_options find = {.min_lr = 1e-3f, .max_lr = 1e20f, .num_training = 60};
    cln_lr_curve curve;
    ok(cln_lr_find(ctx, device, &o, &find, &curve));
    ck_assert_int_lt(curve.count, 60);
    for (int i = 0; i < curve.count; i++)
        ck_assert(isfinite(curve.points[i].loss));
    cln_lr_curve_free(&curve);
}
END_TEST

START_TEST(bad_searches) {
    static const cln_lr_find_options bad[] = {
        {.min_lr = 1}, {.min_lr = -1}, {.max_lr = INFINITY}, {.num_training = 12}, {.num_training = -3}};
    cln_fit_options o = tiny_options();
    cln_lr_curve curve;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(cln_lr_find(ctx, device, &o, &bad[i], &curve), CLN_INVALID_ARGUMENT);
        expect_message("looking for a learning rate from ");
        cln_lr_curve_free(&curve);
    }
    o.data = "/nowhere";
    ck_assert_int_eq(cln_lr_find(ctx, device, &o, NULL, &curve), CLN_IO);
}
END_TEST

START_TEST(the_curve_is_a_file) {
    cln_lr_point points[] = {{1e-8f, 2.5, 2.25}, {0.5f, 1, 1.125}};
    const cln_lr_curve curve = {.count = 2, .points = points, .suggestion = -1};
    char *root = folder_new(), *folder = path_of(root, "deep/er"), *path = path_of(folder, "lr_find.csv"), text[256];
    ok(cln_lr_curve_write(ctx, &curve, folder));
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    ck_assert_str_eq(text, "step,lr,loss,smoothed_loss\n1,9.99999994e-09,2.5,2.25\n2,0.5,1,1.125\n");
    free(path);
    free(folder);
    folder_remove(root);
}
END_TEST

/* --- a batch size --- */

static uint64_t need(const cln_batch_size *b) {
    return b->training_bytes + b->evaluation_bytes + b->weights_bytes;
}

START_TEST(the_largest_batch_fits_and_the_next_does_not) {
    cln_fit_options o = tiny_options();
    cln_batch_size all, one, found, next;
    ok(cln_batch_size_find(ctx, device, &o, 0, &all));
    ck_assert_int_eq(all.images, TINY_TRAIN - 20);
    ck_assert(all.all_images);
    ok(cln_batch_size_find(ctx, device, &o, 1000, &one));
    ck_assert_int_eq(one.images, 0);
    for (uint64_t part = 2; part < 9; part++) {
        uint64_t limit = need(&all) * part / 9;
        ok(cln_batch_size_find(ctx, device, &o, limit, &found));
        ck_assert_int_gt(found.images, 0);
        ck_assert_int_lt(found.images, all.images);
        ck_assert(!found.all_images && need(&found) <= limit && found.limit_bytes == limit);
        /* With just the memory of the next larger batch, that is found. */
        for (uint64_t more = limit; more < 2 * limit; more += limit / 200) {
            ok(cln_batch_size_find(ctx, device, &o, more, &next));
            if (next.images > found.images)
                break;
        }
        ck_assert_int_gt(next.images, found.images);
        ck_assert_uint_gt(need(&next), limit);
    }
}
END_TEST

/* Planning alone says what a plan that is built has. */
START_TEST(an_estimate_is_what_is_built) {
    cln_fit_options o = tiny_options();
    const int64_t batches[] = {3, 16};
    for (int i = 0; i < 2; i++) {
        cln_graph *g[2];
        cln_plan_memory built, estimate;
        cln_tensor loss = CLN_NO_TENSOR;
        for (int k = 0; k < 2; k++) { /* of that batch; of another */
            int64_t n = k ? 5 : batches[i];
            g[k] = cln_graph_new(ctx);
            cln_tensor y = o.model->build(g[k], cln_input(g[k], "image", n, 3, 32, 32), tiny_hparams);
            loss = cln_softmax_ce(g[k], y, cln_labels(g[k], "label", n), 0);
        }
        cln_plan_options options = {.training = true, .loss = loss, .outputs = &loss, .output_count = 1};
        options.optimizer = o.recipe.optimizer;
        cln_weights *weights;
        cln_plan *plan;
        ok(cln_weights_new(device, g[0], 1, &weights));
        ok(cln_plan_build(device, g[0], weights, &options, &plan));
        built = cln_plan_get_memory(plan);
        ok(cln_plan_estimate(device, g[1], &options, batches[i], &estimate));
        ck_assert_uint_eq(estimate.planned_bytes, built.planned_bytes);
        ck_assert_uint_eq(estimate.weights_bytes, built.weights_bytes);
        ck_assert_int_eq(estimate.steps, built.steps);
        cln_plan_free(plan);
        cln_weights_free(weights);
        cln_graph_free(g[0]);
        cln_graph_free(g[1]);
    }
}
END_TEST

static void add_tests(TCase *tests) {
    tiny_fixture(tests);
    tcase_add_loop_test(tests, the_steepest_descent_is_suggested, 0, sizeof curves / sizeof *curves);
    tcase_add_test(tests, rates_are_tried_in_order);
    tcase_add_test(tests, a_loss_that_explodes_ends_it);
    tcase_add_test(tests, bad_searches);
    tcase_add_test(tests, the_curve_is_a_file);
    tcase_add_test(tests, the_largest_batch_fits_and_the_next_does_not);
    tcase_add_test(tests, an_estimate_is_what_is_built);
}

int main(void) {
    return suite_run_on_device("find", add_tests);
}
