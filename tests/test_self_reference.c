/* clbench verify --self. Its float64 reference is held against the reference files of PyTorch, where they are there,
 * and against finite differences; then the self-check runs as a user runs it. */
#include "../bench/reference.h"
#include "../bench/self.h"
#include "files.h"
#include "suite.h"

#include <glob.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* Both truths are rounded to float32, 6e-8 each. */
static const double same_truth = 1e-6;
/* What float64 leaves of a gradient that is zero. */
static const double zero = 1e-9;

static void must(verify_case *c, bool succeeded) {
    ck_assert_msg(succeeded, "%s", c->reason[0] ? c->reason : "failed without a reason");
}

/* --- copies of cases --- */

static bool is_input(const char *name) {
    static const char *const names[] = {"x", "x1", "x2", "x3", "dy", "label", "input", "w", "grad", "lr"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return strncmp(name, "param.", 6) == 0;
}

/* The inputs of `from`; to those that have a gradient, `step` times a direction is added. */
static void copy_inputs(verify_case *from, verify_case *to, double step) {
    static const char *const keys[] = {"kind",      "op",    "attrs",   "tolerance",
                                       "optimizer", "model", "hparams", "optimizer_hparams"};
    uint64_t random = 7;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *value = verify_find_metadata(from, keys[i]);
        if (value)
            must(to, verify_put_metadata(to, keys[i], value));
    }
    for (size_t i = 0; i < verify_tensor_count(from); i++) {
        const cln_file_tensor *t = verify_tensor_at(from, i);
        if (!is_input(t->name))
            continue;
        if (strcmp(t->name, "label") == 0) {
            must(to, verify_put_labels(to, t->count, verify_int64s(from, 1, t->shape, "label")));
            continue;
        }
        bool moves = strcmp(t->name, "dy") != 0 && !strstr(t->name, "running_");
        const float *values = verify_floats(from, t->rank, t->shape, "%s", t->name);
        double *moved = verify_alloc(to, t->count, sizeof *moved);
        ck_assert(values && moved);
        for (int64_t k = 0; k < t->count; k++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            moved[k] = (double)values[k] + (moves ? step * ((double)(random >> 33) / (1u << 30) - 1) : 0);
        }
        must(to, verify_put(to, t->name, t->rank, t->shape, moved));
    }
}

static const float *values_of(verify_case *c, const char *name, int64_t *count) {
    const cln_file_tensor *t = verify_find(c, CLN_F32, "%s", name);
    must(c, t != NULL);
    *count = t->count;
    return verify_floats(c, t->rank, t->shape, "%s", name);
}

/* --- against the reference files --- */

static void compare(verify_case *ours, verify_case *golden, const char *name, const char *path) {
    int64_t count, expected;
    const float *a = values_of(ours, name, &count), *b = values_of(golden, name, &expected);
    ck_assert_msg(count == expected, "%s: %s has %lld values, not %lld", path, name, (long long)count,
                  (long long)expected);
    double largest = 0, error = verify_error(a, b, count);
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fmax(fabs((double)a[i]), fabs((double)b[i])));
    ck_assert_msg(error <= same_truth || largest < zero, "%s: %s is off by %g", path, name, error);
}

static void check_file(const char *path) {
    verify_case golden = {.ctx = ctx}, ours = {.ctx = ctx};
    int compared = 0;
    must(&golden, verify_ok(&golden, cln_safetensors_read(ctx, path, &golden.file)));
    copy_inputs(&golden, &ours, 0);
    must(&ours, reference_solve(&ours));
    for (size_t i = 0; i < verify_tensor_count(&golden); i++) {
        const char *name = verify_tensor_at(&golden, i)->name;
        if (is_input(name) || strstr(name, "num_batches_tracked"))
            continue;
        compare(&ours, &golden, name, path);
        compared++;
    }
    ck_assert_int_gt(compared, 0);
    verify_free(&ours);
    verify_free(&golden);
}

static void check_files(const char *pattern) {
    char *folder = shared_path("golden", pattern);
    if (!folder)
        return;
    char *full = path_of(folder, pattern);
    glob_t files;
    ck_assert_int_eq(glob(full, 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++)
        check_file(files.gl_pathv[i]);
    globfree(&files);
    free(full);
    free(folder);
}

START_TEST(operators_agree_with_pytorch) {
    check_files("op-*.safetensors");
}
END_TEST

START_TEST(optimisers_agree_with_pytorch) {
    check_files("optimizer-*.safetensors");
}
END_TEST

START_TEST(networks_agree_with_pytorch) {
    check_files("model-*-tiny-*.safetensors");
}
END_TEST

/* --- against itself --- */

/* The sum over all inputs of (plus - minus) gradient; *norm: the product of the norms of the two. */
static double predicted(verify_case *c, verify_case *plus, verify_case *minus, double *norm) {
    double sum = 0, moves = 0, gradients = 0;
    for (size_t i = 0; i < verify_tensor_count(c); i++) {
        const char *name = verify_tensor_at(c, i)->name;
        char gradient[REFERENCE_NAME + 8];
        if (!is_input(name) || strcmp(name, "dy") == 0 || strcmp(name, "label") == 0 || strstr(name, "running_"))
            continue;
        bool parameter = strncmp(name, "param.", 6) == 0;
        snprintf(gradient, sizeof gradient, "%s%s", parameter ? "grad." : "d", name + (parameter ? 6 : 0));
        int64_t count;
        const float *g = values_of(c, gradient, &count);
        const float *a = values_of(plus, name, &count), *b = values_of(minus, name, &count);
        for (int64_t k = 0; k < count; k++) {
            double move = (double)a[k] - (double)b[k];
            sum += move * (double)g[k];
            moves += move * move;
            gradients += (double)g[k] * (double)g[k];
        }
    }
    *norm = sqrt(moves * gradients);
    return sum;
}

static double observed(verify_case *c, verify_case *plus, verify_case *minus) {
    double sum = 0;
    int64_t count;
    const float *a = values_of(plus, "y", &count), *b = values_of(minus, "y", &count);
    const float *dy = verify_lookup(c, "dy") ? values_of(c, "dy", &count) : NULL;
    for (int64_t k = 0; k < count; k++)
        sum += ((double)a[k] - (double)b[k]) * (dy ? (double)dy[k] : 1);
    return sum;
}

/* Along one direction of inputs and parameters, a step of 1e-3 to both sides. Some maximum may change its place on the
 * way, and y is rounded to float32: hence so wide a tolerance, which a wrong formula still exceeds. */
START_TEST(gradients_agree_with_differences) {
    for (int i = 0; i < self_count(); i++) {
        verify_case c = {.ctx = ctx}, plus = {.ctx = ctx}, minus = {.ctx = ctx};
        must(&c, self_make(&c, i));
        if (verify_lookup(&c, "y")) {
            copy_inputs(&c, &plus, 1e-3);
            copy_inputs(&c, &minus, -1e-3);
            must(&plus, reference_solve(&plus));
            must(&minus, reference_solve(&minus));
            double norm, seen = observed(&c, &plus, &minus), said = predicted(&c, &plus, &minus, &norm);
            ck_assert_msg(fabs(seen - said) <= 1e-2 * fabs(said) + 1e-3 * norm, "%s: %g, gradients say %g",
                          self_title(i), seen, said);
        }
        verify_free(&minus);
        verify_free(&plus);
        verify_free(&c);
    }
}
END_TEST

START_TEST(networks_learn) {
    int networks = 0;
    for (int i = 0; i < self_count(); i++) {
        verify_case c = {.ctx = ctx};
        must(&c, self_make(&c, i));
        if (verify_lookup(&c, "losses")) {
            int64_t count;
            const float *losses = values_of(&c, "losses", &count);
            for (int64_t k = 1; k < count; k++)
                ck_assert_msg(losses[k] < losses[k - 1], "%s: loss %g after %g", self_title(i), (double)losses[k],
                              (double)losses[k - 1]);
            networks++;
        }
        verify_free(&c);
    }
    ck_assert_int_gt(networks, 0);
}
END_TEST

/* --- the program --- */

static char *bench(const char *arguments, int *status) {
    const char *folder = getenv("CLNET_BIN_DIR");
    char command[1024], *text = calloc(1, 1 << 18);
    ck_assert_ptr_nonnull(text);
    snprintf(command, sizeof command, "'%s/clbench' %s 2>&1", folder ? folder : ".", arguments);
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    size_t used = fread(text, 1, (1 << 18) - 1, pipe);
    text[used] = '\0';
    int ended = pclose(pipe);
    ck_assert_msg(WIFEXITED(ended), "it crashed: %s\n%s", command, text);
    *status = WEXITSTATUS(ended);
    return text;
}

/* No device is no fault of the self-check; tests of the device say so. */
static bool no_device(int status) {
    if (status == CLN_NO_DEVICE && !getenv("CI"))
        skip("the self-check", "there is no OpenCL device");
    return status == CLN_NO_DEVICE && !getenv("CI");
}

START_TEST(the_device_passes) {
    int status;
    char *text = bench("verify --self", &status), last[64];
    snprintf(last, sizeof last, "\n%d passed, 0 failed\n", self_count());
    if (!no_device(status))
        ck_assert_msg(status == 0 && strstr(text, last) && strstr(text, "PASS self: conv2d 1x1:"), "%s", text);
    free(text);
}
END_TEST

START_TEST(the_device_passes_with_reference_kernels_as_json) {
    int status;
    char *text = bench("verify --self --variant reference --json", &status);
    cJSON *json = cJSON_Parse(text);
    if (!no_device(status)) {
        const cJSON *passed = cJSON_GetObjectItemCaseSensitive(json, "passed");
        ck_assert_msg(status == 0 && cJSON_IsNumber(passed) && passed->valueint == self_count(), "%s", text);
    }
    cJSON_Delete(json);
    free(text);
}
END_TEST

START_TEST(some_groups_alone) {
    int status;
    char *text = bench("verify --self --only linear,optimiser", &status);
    if (!no_device(status))
        ck_assert_msg(status == 0 && strstr(text, "PASS self: linear:") && strstr(text, "PASS self: adamw:") &&
                          strstr(text, "\n8 passed, 0 failed\n"),
                      "%s", text);
    free(text);
}
END_TEST

/* Each group has its row, and the rows hold every case; the device is told as cln_device_list tells it. */
START_TEST(a_report_tells_device_and_groups) {
    int status;
    char *text = bench("verify --self --report", &status), row[320], last[64];
    if (no_device(status)) {
        free(text);
        return;
    }
    cln_device *opened;
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(cln_device_open(ctx, NULL, &opened), CLN_OK);
    const cln_device_info *info = cln_device_get_info(opened);
    snprintf(row, sizeof row, "### clnet %s: self-check\n\n| | |\n|---|---|\n| device | %d:%d, %.200s", cln_version(),
             info->platform, info->device, info->name);
    ck_assert_msg(strncmp(text, row, strlen(row)) == 0, "%s", text);
    snprintf(row, sizeof row, "\n| driver | %.200s |\n", info->driver_version);
    ck_assert_msg(strstr(text, row) != NULL, "%s", text);
    for (int i = 0, next; i < self_count(); i = next) {
        for (next = i + 1; next < self_count() && strcmp(self_group(i), self_group(next)) == 0;)
            next++;
        snprintf(row, sizeof row, "\n| %s | %d of %d | ", self_group(i), next - i, next - i);
        ck_assert_msg(strstr(text, row) != NULL, "no row %s in %s", row, text);
    }
    snprintf(last, sizeof last, "\n**%d passed, 0 failed** in ", self_count());
    ck_assert_msg(strstr(text, last) != NULL, "%s", text);
    cln_device_free(opened);
    free(text);
}
END_TEST

static void add_tests(TCase *tests) {
    tcase_add_test(tests, operators_agree_with_pytorch);
    tcase_add_test(tests, optimisers_agree_with_pytorch);
    tcase_add_test(tests, networks_agree_with_pytorch);
    tcase_add_test(tests, gradients_agree_with_differences);
    tcase_add_test(tests, networks_learn);
    tcase_add_test(tests, the_device_passes);
    tcase_add_test(tests, some_groups_alone);
    tcase_add_test(tests, a_report_tells_device_and_groups);
    tcase_add_test(tests, the_device_passes_with_reference_kernels_as_json);
}

int main(void) {
    return suite_run("self_reference", add_tests);
}
