/* clbench ops, train and infer, as a user runs them: what they print, as text, as JSON and as a trace. */
#include "files.h"
#include "programs.h"
#include "suite.h"
#include "tiny.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define NETWORK "--model ResNet --hparams '" TINY_HPARAMS "' --batch-size 4 --num-bench-iter 3 "
#define PEAK "--peak 100 --bandwidth 10 "

static char output[1 << 18];

/* Runs clbench; its exit status. What it prints goes to `output`, of standard error only if `errors`. */
static int run(bool errors, const char *format, ...) {
    char arguments[1024], command[2048];
    const char *folder = getenv("CLNET_BIN_DIR");
    va_list list;
    va_start(list, format);
    vsnprintf(arguments, sizeof arguments, format, list);
    va_end(list);
    snprintf(command, sizeof command, "'%s'/clbench %s %s", folder ? folder : ".", arguments,
             errors ? "2>&1" : "2>/dev/null");
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    output[fread(output, 1, sizeof output - 1, pipe)] = '\0';
    int status = pclose(pipe);
    ck_assert_msg(WIFEXITED(status), "it crashed: %s\n%.4000s", command, output);
    return WEXITSTATUS(status);
}

static cJSON *run_json(const char *arguments) {
    ck_assert_msg(run(false, "%s --json", arguments) == 0, "%s failed: %.4000s", arguments, output);
    cJSON *json = cJSON_Parse(output);
    ck_assert_msg(json != NULL, "%s: not JSON: %.4000s", arguments, output);
    return json;
}

static const char *text(const cJSON *object, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    ck_assert_msg(cJSON_IsString(item), "no text '%s'", name);
    return item->valuestring;
}

static void expect_text(const char *part) {
    ck_assert_msg(strstr(output, part) != NULL, "no '%s' in: %.4000s", part, output);
}

static void expect_near(double found, double wanted) {
    ck_assert_msg(fabs(found - wanted) <= 1e-5 * fabs(wanted) + 1e-9, "expected %g, found %g", wanted, found);
}

/* A step's numbers agree with each other and with the peak of 100 GFLOP/s and 10 GB/s. */
static void check_step(const cJSON *step) {
    double ms = json_number(step, "ms"), flops = json_number(step, "flops"), bytes = json_number(step, "bytes");
    double arithmetic_ms = flops / 100e9 * 1e3, memory_ms = bytes / 10e9 * 1e3;
    ck_assert_double_gt(ms, 0);
    ck_assert_double_gt(bytes, 0);
    ck_assert_str_eq(text(step, "bound"), arithmetic_ms > memory_ms ? "arithmetic" : "memory");
    expect_near(json_number(step, "attainable_ms"), fmax(arithmetic_ms, memory_ms));
    expect_near(json_number(step, "lost_ms") + json_number(step, "attainable_ms"), ms);
    expect_near(json_number(step, "roofline_percent"), 100 * fmax(arithmetic_ms, memory_ms) / ms);
    expect_near(json_number(step, "gflops"), flops / ms * 1e-6);
    expect_near(json_number(step, "gbs"), bytes / ms * 1e-6);
    text(step, "layer");
    text(step, "op");
    text(step, "variant");
    text(step, "kernel");
}

/* --- clbench ops --- */

START_TEST(every_step_is_told_the_most_time_lost_first) {
    cJSON *json = run_json("ops " NETWORK PEAK), *step;
    ck_assert_str_eq(text(json, "model"), "ResNet");
    ck_assert_str_eq(text(json, "mode"), "train");
    ck_assert_double_eq(json_number(json, "batch_size"), 4);
    ck_assert_double_eq(json_number(json, "peak_gflops"), 100);
    ck_assert_double_eq(json_number(json, "bandwidth_gbs"), 10);
    const cJSON *whole = cJSON_GetObjectItem(json, "whole"), *steps = cJSON_GetObjectItem(json, "steps");
    double ms = json_number(json, "between_ms"), lost_ms = INFINITY;
    cJSON_ArrayForEach(step, steps) {
        check_step(step);
        ck_assert_double_le(json_number(step, "lost_ms"), lost_ms);
        lost_ms = json_number(step, "lost_ms");
        ms += json_number(step, "ms");
    }
    int count = cJSON_GetArraySize(steps);
    ck_assert_int_gt(count, 30);
    ck_assert_double_eq(json_number(whole, "steps"), count);
    ck_assert_double_eq(json_number(cJSON_GetObjectItem(json, "arithmetic"), "steps") +
                            json_number(cJSON_GetObjectItem(json, "memory"), "steps"),
                        count);
    ck_assert_double_eq_tol(json_number(whole, "ms"), ms, 1e-3 * ms);
    cJSON_Delete(json);
}
END_TEST

START_TEST(a_convolution_alone_has_its_known_arithmetic_and_bytes) {
    cJSON *json = run_json("ops --conv 16,32,8 --infer --variant reference --batch-size 2 --num-bench-iter 1 " PEAK);
    ck_assert_str_eq(text(json, "mode"), "infer");
    const cJSON *step = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "steps"), 0);
    ck_assert_ptr_nonnull(step);
    check_step(step);
    ck_assert_str_eq(text(step, "op"), "conv2d");
    ck_assert_str_eq(text(step, "variant"), "reference");
    ck_assert_msg(strstr(text(step, "why_not"), "gemm: not 1x1") != NULL, "%s", text(step, "why_not"));
    ck_assert_double_eq(json_number(step, "flops"), 2.0 * 2 * 32 * 64 * 9 * 16);
    /* Channel blocks of up to 16 add no padding. */
    ck_assert_double_eq(json_number(step, "bytes"), 4.0 * (2 * 16 * 64 + 9 * 16 * 32 + 2 * 32 * 64));
    cJSON_Delete(json);
}
END_TEST

START_TEST(the_table_ends_with_a_summary) {
    ck_assert_msg(run(true, "ops " NETWORK PEAK) == 0, "%.4000s", output);
    static const char *const shown[] = {"device ",
                                        "lost ms        ms  share roofline",
                                        " conv2d ",
                                        "bound by arithmetic ",
                                        "bound by memory ",
                                        "between launches ",
                                        "whole step ",
                                        "% of the roofline; ",
                                        "% of the arithmetic peak, ",
                                        "peak: 100.0 GFLOP/s (given), 10.0 GB/s (given); medians of 3 rounds"};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        expect_text(shown[i]);
}
END_TEST

START_TEST(why_other_variants_refused_is_told_on_demand) {
    for (int why = 0; why < 2; why++) {
        ck_assert_msg(run(true, "ops " NETWORK PEAK "%s", why ? "--why" : "") == 0, "%.4000s", output);
        ck_assert_int_eq(strstr(output, "gemm: not 1x1") != NULL, why);
    }
}
END_TEST

START_TEST(the_peak_is_measured_unless_given) {
    cJSON *json = run_json("ops --conv 8,8,4 --batch-size 1 --num-bench-iter 1 --peak 100");
    ck_assert_double_eq(json_number(json, "peak_gflops"), 100);
    ck_assert_double_gt(json_number(json, "bandwidth_gbs"), 0);
    cJSON_Delete(json);
}
END_TEST

static cJSON *read_json(const char *path) {
    static char content[1 << 20];
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    content[fread(content, 1, sizeof content - 1, file)] = '\0';
    fclose(file);
    cJSON *json = cJSON_Parse(content);
    ck_assert_msg(json != NULL, "not JSON: %.4000s", content);
    return json;
}

static void check_event(const cJSON *event) {
    ck_assert_double_ge(json_number(event, "ts"), 0);
    ck_assert_double_ge(json_number(event, "dur"), 0);
    json_number(event, "pid");
    json_number(event, "tid");
    const cJSON *args = cJSON_GetObjectItem(event, "args");
    ck_assert_str_eq(text(args, "operator"), text(event, "cat"));
    text(args, "layer");
    text(args, "variant");
    text(args, "kernel");
    json_number(args, "GB/s");
    json_number(args, "GFLOP/s");
    json_number(args, "percent of roofline");
}

START_TEST(a_trace_has_an_event_for_each_step) {
    char *folder = folder_new(), *path = path_of(folder, "trace.json"), arguments[512];
    snprintf(arguments, sizeof arguments, "ops " NETWORK PEAK "--trace '%s'", path);
    cJSON *json = run_json(arguments), *trace = read_json(path), *event;
    int events = 0;
    cJSON_ArrayForEach(event, cJSON_GetObjectItem(trace, "traceEvents")) {
        if (strcmp(text(event, "ph"), "X") != 0)
            continue;
        check_event(event);
        events++;
    }
    ck_assert_int_eq(events, cJSON_GetArraySize(cJSON_GetObjectItem(json, "steps")));
    ck_assert_int_eq(folder_count(folder), 1);
    ck_assert_int_eq(run(true, "ops " NETWORK PEAK "--trace '%s/missing/trace.json'", folder), 4);
    expect_text("/missing/trace.json");
    cJSON_Delete(trace);
    cJSON_Delete(json);
    free(path);
    folder_remove(folder);
}
END_TEST

START_TEST(misuse_is_told) {
    static const struct {
        const char *arguments, *message;
    } bad[] = {{"ops", "give --model or --conv"},
               {"ops --model ResNet --conv 1,1,1", "give --model or --conv"},
               {"ops --conv 16,16", "--conv: expected C,O,SIZE, C,O,SIZE,K or C,O,SIZE,K,S, found 2 numbers"},
               {"ops --conv 16,16,8 --image-size 64", "--hparams and --image-size are for --model"},
               {"train --model ResNet --image-size 0", "--image-size: expected a whole number"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(run(true, "%s", bad[i].arguments), 2);
        expect_text(bad[i].message);
    }
}
END_TEST

/* --- clbench train, clbench infer --- */

START_TEST(speed_is_told_with_size_and_memory) {
    static const char *const modes[] = {"train", "infer"};
    double planned_bytes[2];
    for (int large = 0; large < 2; large++) {
        char arguments[512];
        snprintf(arguments, sizeof arguments, "%s " NETWORK "--image-size %d", modes[_i], large ? 24 : 16);
        cJSON *json = run_json(arguments);
        ck_assert_str_eq(text(json, "mode"), modes[_i]);
        ck_assert_double_eq(json_number(json, "image_size"), large ? 24 : 16);
        ck_assert_double_gt(json_number(json, "images_per_s"), 0);
        ck_assert_double_gt(json_number(json, "weights_bytes"), 0);
        planned_bytes[large] = json_number(json, "planned_bytes");
        const cJSON *process = cJSON_GetObjectItem(json, "peak_process_bytes");
        ck_assert(cJSON_IsNull(process) || process->valuedouble > planned_bytes[large]);
        cJSON_Delete(json);
    }
    ck_assert_double_gt(planned_bytes[1], planned_bytes[0]);
    ck_assert_msg(run(true, "%s " NETWORK "--image-size 16", modes[_i]) == 0, "%.4000s", output);
    expect_text(", batch 4 of 16x16: ");
    expect_text(" images/s (median of 3 steps; ");
    expect_text("memory: ");
}
END_TEST

static void add_tests(TCase *tests) {
    if (!suite_has_programs())
        return;
    tcase_add_test(tests, misuse_is_told);
    if (!suite_has_device())
        return;
    tcase_add_test(tests, every_step_is_told_the_most_time_lost_first);
    tcase_add_test(tests, a_convolution_alone_has_its_known_arithmetic_and_bytes);
    tcase_add_test(tests, the_table_ends_with_a_summary);
    tcase_add_test(tests, why_other_variants_refused_is_told_on_demand);
    tcase_add_test(tests, the_peak_is_measured_unless_given);
    tcase_add_test(tests, a_trace_has_an_event_for_each_step);
    tcase_add_loop_test(tests, speed_is_told_with_size_and_memory, 0, 2);
}

int main(void) {
    return suite_run("measure", add_tests);
}
