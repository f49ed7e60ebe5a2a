/* Trials of operators on a device: see trial.h. */
#include "trial.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cln_context *ctx;
cln_device *device;
static cln__caps own_caps;

void trial_configure(int index) {
    device->caps = own_caps;
    if (index == 0)
        return;
    device->caps.is_cpu = false;
    device->caps.block = own_caps.block == 4 ? 16 : 4;
    device->caps.work_group = own_caps.max_work_group < 64 ? (int)own_caps.max_work_group : 64;
}

void ok(cln_status status) {
    ck_assert_msg(status == CLN_OK, "%s", cln_context_error(ctx));
}

int64_t count_of(cln_shape s) {
    return s.n * s.c * s.h * s.w;
}

float *noise(int64_t count, unsigned seed) {
    float *values = malloc((size_t)count * sizeof *values);
    ck_assert_ptr_nonnull(values);
    for (int64_t i = 0; i < count; i++)
        values[i] = 2 * cln__uniform(cln__philox(seed, 0, (uint64_t)i).word[0]) - 1;
    return values;
}

double *zeros(int64_t count) {
    double *values = calloc((size_t)count, sizeof *values);
    ck_assert_ptr_nonnull(values);
    return values;
}

void check_near(const float *ours, const double *truth, int64_t count, double tolerance, const char *what) {
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += (ours[i] - truth[i]) * (ours[i] - truth[i]);
        norm += truth[i] * truth[i];
    }
    double error = sqrt(difference) / fmax(sqrt(norm), 1e-30);
    ck_assert_msg(norm == 0 ? difference == 0 : error <= tolerance, "%s: error %g, at most %g", what, error, tolerance);
}

trial trial_begin(cln_shape shape) {
    static const int split[] = {8, 12, 5};
    trial t = {.g = cln_graph_new(ctx), .parts = shape.c == 25 ? 3 : 1, .x_shape = shape};
    for (int i = 0; i < t.parts; i++)
        t.part[i] =
            cln_input(t.g, cln_name(t.g, "x%d", i), shape.n, t.parts > 1 ? split[i] : shape.c, shape.h, shape.w);
    t.x = t.parts > 1 ? cln_concat(t.g, t.part, t.parts) : t.part[0];
    t.xs = noise(count_of(shape), 1);
    return t;
}

void trial_write_x(trial *t) {
    int64_t pixels = t->x_shape.h * t->x_shape.w, first = 0;
    for (int i = 0; i < t->parts; i++) {
        int64_t size = cln_tensor_shape(t->g, t->part[i]).c * pixels, whole = t->x_shape.c * pixels;
        float *values = malloc((size_t)(size * t->x_shape.n) * sizeof *values);
        for (int64_t n = 0; n < t->x_shape.n; n++)
            memcpy(values + n * size, t->xs + n * whole + first, (size_t)size * sizeof *values);
        ok(cln_plan_write(t->plan, t->part[i], values, size * t->x_shape.n));
        free(values);
        first += size;
    }
}

void trial_read_dx(trial *t) {
    int64_t pixels = t->x_shape.h * t->x_shape.w, first = 0;
    for (int i = 0; i < t->parts; i++) {
        int64_t size = cln_tensor_shape(t->g, t->part[i]).c * pixels, whole = t->x_shape.c * pixels;
        float *values = malloc((size_t)(size * t->x_shape.n) * sizeof *values);
        ok(cln_plan_read_gradient(t->plan, t->part[i], values, size * t->x_shape.n));
        for (int64_t n = 0; n < t->x_shape.n; n++)
            memcpy(t->dxs + n * whole + first, values + n * size, (size_t)size * sizeof *values);
        free(values);
        first += size;
    }
}

static void forward(trial *t) {
    trial_write_x(t);
    ok(cln_plan_write(t->plan, t->dy, t->dys, count_of(t->y_shape)));
    ok(cln_plan_step(t->plan, 0));
    ok(cln_plan_read(t->plan, t->y, t->ys, count_of(t->y_shape)));
}

void trial_run(trial *t, cln_tensor y, const char *variant) {
    t->y = y;
    t->y_shape = cln_tensor_shape(t->g, y);
    t->dy = cln_input(t->g, "dy", t->y_shape.n, t->y_shape.c, t->y_shape.h, t->y_shape.w);
    ok(cln_graph_status(t->g));
    ok(cln_weights_new(device, t->g, 5, &t->weights));
    cln_plan_options options = {.training = true,
                                .loss = t->y,
                                .has_upstream = true,
                                .upstream = t->dy,
                                .outputs = &t->y,
                                .output_count = 1,
                                .gradients = t->part,
                                .gradient_count = t->parts,
                                .variant = variant};
    ok(cln_plan_build(device, t->g, t->weights, &options, &t->plan));
    t->dys = noise(count_of(t->y_shape), 2);
    t->ys = malloc((size_t)count_of(t->y_shape) * sizeof *t->ys);
    t->dxs = malloc((size_t)count_of(t->x_shape) * sizeof *t->dxs);
    forward(t);
    trial_read_dx(t);
}

void trial_check_direction(trial *t, double tolerance) {
    const float e = 0.0078125f;
    int64_t count = count_of(t->x_shape);
    float *v = noise(count, 3);
    double slope = 0, expected = 0, dx2 = 0, v2 = 0;
    for (int sign = -1; sign <= 1; sign += 2) {
        for (int64_t i = 0; i < count; i++)
            t->xs[i] += (float)sign * e * v[i];
        forward(t);
        for (int64_t i = 0; i < count_of(t->y_shape); i++)
            slope += sign * (double)t->dys[i] * t->ys[i] / (2 * e);
        for (int64_t i = 0; i < count; i++)
            t->xs[i] -= (float)sign * e * v[i];
    }
    for (int64_t i = 0; i < count; i++) {
        expected += (double)t->dxs[i] * v[i];
        dx2 += (double)t->dxs[i] * t->dxs[i];
        v2 += (double)v[i] * v[i];
    }
    ck_assert_msg(fabs(slope - expected) <= tolerance * sqrt(dx2 * v2),
                  "slope %g along a direction, the gradient says %g", slope, expected);
    free(v);
}

bool trial_plan_mentions(const trial *t, const char *word) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    ck_assert_ptr_nonnull(out);
    cln_plan_print(t->plan, out);
    fclose(out);
    bool found = strstr(text, word) != NULL;
    free(text);
    return found;
}

void trial_end(trial *t) {
    cln_plan_free(t->plan);
    cln_weights_free(t->weights);
    cln_graph_free(t->g);
    free(t->xs);
    free(t->ys);
    free(t->dys);
    free(t->dxs);
}

int trial_suite(const char *name, void (*add_tests)(TCase *tcase)) {
    if (cln_context_new(&ctx) != CLN_OK)
        return EXIT_FAILURE;
    if (cln_device_open(ctx, NULL, &device) != CLN_OK) {
        printf("skipped: %s\n", cln_context_error(ctx));
        cln_context_free(ctx);
        return getenv("CI") ? EXIT_FAILURE : EXIT_SUCCESS;
    }
    own_caps = device->caps;
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 0);
    add_tests(tcase);
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    cln_device_free(device);
    cln_context_free(ctx);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
