/* clbench compare and clbench report, on made-up results: arithmetic, verdicts, hostile files, HTML. */
#include "files.h"
#include "programs.h"
#include "suite.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *folder;

static void put(const char *name, const char *text) {
    file_write(folder, name, text, strlen(text));
}

#define SPEED(value, low, high)                                                                                        \
    "{\"model\":\"ResNet\",\"mode\":\"train\",\"images_per_s\":" #value ",\"p25\":" #low ",\"p75\":" #high             \
    ",\"planned_bytes\":1000,\"peak_process_bytes\":null,\"device\":\"d\"}"

/* --- verdicts --- */

static const struct {
    const char *a, *b, *options;
    int status;
    double ratio, low, high;
    const char *verdict;
} speeds[] = {
    /* The quartiles do not overlap, and more than 3%. */
    {SPEED(1000, 980, 1020), SPEED(1200, 1170, 1230), "", 0, 1.2, 1170.0 / 1020, 1230.0 / 980, "better"},
    {SPEED(1000, 980, 1020), SPEED(800, 790, 810), "", 1, 0.8, 790.0 / 1020, 810.0 / 980, "worse"},
    /* They overlap. */
    {SPEED(1000, 900, 1100), SPEED(1100, 1050, 1150), "", 0, 1.1, 1050.0 / 1100, 1150.0 / 900, "within noise"},
    /* They do not, but 2% are less than the threshold, unless that is lower. */
    {SPEED(1000, 999, 1001), SPEED(980, 979, 981), "", 0, 0.98, 979.0 / 1001, 981.0 / 999, "within noise"},
    {SPEED(1000, 999, 1001), SPEED(980, 979, 981), "--threshold 0.01", 1, 0.98, 979.0 / 1001, 981.0 / 999, "worse"},
};

static const cJSON *quantity(const cJSON *json, const char *name) {
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(json, "quantities")) {
        if (strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(item, "name")), name) == 0)
            return item;
    }
    ck_abort_msg("no quantity '%s' in %s", name, program_output);
}

static const char *verdict(const cJSON *item) {
    return cJSON_GetStringValue(cJSON_GetObjectItem(item, "verdict"));
}

START_TEST(ratios_and_verdicts) {
    put("a.json", speeds[_i].a);
    put("b.json", speeds[_i].b);
    ck_assert_msg(program_run(folder, "", "clbench compare a.json b.json --json %s", speeds[_i].options) ==
                      speeds[_i].status,
                  "%s%s", program_errors, program_output);
    cJSON *json = cJSON_Parse(program_output);
    const cJSON *q = quantity(json, "ResNet training, images/s");
    ck_assert_double_eq_tol(json_number(q, "ratio"), speeds[_i].ratio, 1e-6);
    ck_assert_double_eq_tol(json_number(q, "low"), speeds[_i].low, 1e-6);
    ck_assert_double_eq_tol(json_number(q, "high"), speeds[_i].high, 1e-6);
    ck_assert_str_eq(verdict(q), speeds[_i].verdict);
    /* Memory has no spread, so no verdict either. */
    ck_assert_str_eq(verdict(quantity(json, "ResNet training, planned memory")), "within noise");
    cJSON_Delete(json);
    ck_assert_int_eq(program_run(folder, "", "clbench compare a.json b.json %s", speeds[_i].options),
                     speeds[_i].status);
    ck_assert_ptr_nonnull(strstr(program_output, "2 quantities in both; beyond noise: "));
}
END_TEST

/* The name of a file can be any bytes. */
START_TEST(json_is_utf8_whatever_a_file_is_called) {
    put("a\xff\xc3.json", SPEED(100, 99, 101));
    put("caf\xc3\xa9.json", SPEED(100, 99, 101));
    ck_assert_int_eq(program_run(folder, "", "clbench compare a\xff\xc3.json caf\xc3\xa9.json --json"), 0);
    ck_assert(cln_is_utf8(program_output));
    cJSON *json = cJSON_Parse(program_output);
    ck_assert_str_eq(cJSON_GetStringValue(cJSON_GetObjectItem(json, "a")), "a\xef\xbf\xbd\xef\xbf\xbd.json");
    ck_assert_str_eq(cJSON_GetStringValue(cJSON_GetObjectItem(json, "b")), "caf\xc3\xa9.json");
    cJSON_Delete(json);
}
END_TEST

#define ROW(model, mean, error)                                                                                        \
    "{\"model\":\"" model "\",\"runs\":[{\"seed\":42,\"weights\":\"w\",\"epochs\":3,\"parameters\":272378,"            \
    "\"test\":{\"correct\":910,\"count\":1000}}],\"test\":{\"mean\":" #mean ",\"standard_error\":" #error "}}"
#define TABLE(rows) "{\"kind\":\"clnet table\",\"format\":\"cifar10\",\"test_images\":1000,\"rows\":[" rows "]}"

/* sqrt(0.004^2 + 0.003^2) = 0.005: twice that is one point. */
START_TEST(accuracies_differ_by_two_standard_errors) {
    put("a.json", TABLE(ROW("ResNet", 0.90, 0.004) "," ROW("DenseNet", 0.90, 0.004)));
    put("b.json", TABLE(ROW("ResNet", 0.889, 0.003) "," ROW("DenseNet", 0.891, 0.003)));
    ck_assert_int_eq(program_run(folder, "", "clbench compare a.json b.json --json"), 1);
    cJSON *json = cJSON_Parse(program_output);
    const cJSON *q = quantity(json, "ResNet test accuracy");
    ck_assert_double_eq_tol(json_number(q, "difference"), -0.011, 1e-7);
    ck_assert_double_eq_tol(json_number(q, "low"), -0.016, 1e-7);
    ck_assert_str_eq(verdict(q), "worse");
    ck_assert_str_eq(verdict(quantity(json, "DenseNet test accuracy")), "within noise");
    ck_assert_double_eq(json_number(json, "worse"), 1);
    cJSON_Delete(json);
}
END_TEST

/* Medians and quartiles of samples, and quantities that different kinds of results share. */
START_TEST(peers_against_a_measurement) {
    put("a.json", "{\"results\":{\"ResNet\":{\"training\":{\"clnet\":{\"samples\":[104,100,101,103,102]},"
                  "\"eager nchw\":{\"samples\":[50]},\"compile nchw\":{\"failed\":\"why\"}},"
                  "\"memory\":{\"clnet\":{\"peak_kib\":5}}}},\"pytorch\":{}}");
    put("b.json", SPEED(204, 202, 206));
    ck_assert_int_eq(program_run(folder, "", "clbench compare a.json b.json --json"), 0);
    cJSON *json = cJSON_Parse(program_output);
    const cJSON *q = quantity(json, "ResNet training, images/s"), *a = cJSON_GetObjectItem(q, "a");
    ck_assert_double_eq_tol(json_number(q, "ratio"), 2, 1e-6);
    ck_assert_double_eq(json_number(a, "low"), 101);
    ck_assert_double_eq(json_number(a, "high"), 103);
    ck_assert_int_eq(cJSON_GetArraySize(cJSON_GetObjectItem(json, "quantities")), 1);
    cJSON_Delete(json);
}
END_TEST

START_TEST(launches) {
    static const char ops[] =
        "{\"model\":\"ResNet\",\"mode\":\"train\",\"device\":\"d\",\"whole\":{\"ms\":%g},"
        "\"step_ms_p25\":%g,\"step_ms_p75\":%g,\"steps\":["
        "{\"op\":\"add\",\"layer\":\"l\",\"kernel\":\"k\",\"ms\":1,\"ms_p25\":1,\"ms_p75\":1},"
        "{\"op\":\"add\",\"layer\":\"l\",\"kernel\":\"k\",\"ms\":%g,\"ms_p25\":%g,\"ms_p75\":%g}]}";
    char text[1024];
    snprintf(text, sizeof text, ops, 10.0, 9.0, 11.0, 2.0, 2.0, 2.0);
    put("a.json", text);
    snprintf(text, sizeof text, ops, 9.5, 9.0, 10.0, 1.0, 1.0, 1.0);
    put("b.json", text);
    ck_assert_int_eq(program_run(folder, "", "clbench compare a.json b.json --json"), 0);
    cJSON *json = cJSON_Parse(program_output);
    ck_assert_str_eq(verdict(quantity(json, "ResNet training, step by launches, ms")), "within noise");
    ck_assert_str_eq(verdict(quantity(json, "add l k, ms")), "within noise");
    ck_assert_str_eq(verdict(quantity(json, "add l k (2), ms")), "better"); /* less time */
    cJSON_Delete(json);
}
END_TEST

/* --- hostile files --- */

static const struct {
    const char *text;
    int status;
    const char *message;
} hostile[] = {
    {"", 3, "'b.json': line 1 is not JSON"},
    {"{\n\"a\":\n", 3, "line 3 is not JSON"},
    {"[1]", 3, "expected a JSON object"},
    {"{} {}", 3, "line 1 is not JSON"},
    {"{\"a\":1}", 3, "not a result of clbench train, infer, ops or table"},
    {"{\"images_per_s\":1}", 3, "'model' or 'mode' is not what"},
    {SPEED("fast", 1, 2), 3, "expected 'images_per_s' to be a number above 0"},
    {SPEED(0, 1, 2), 3, "expected 'images_per_s' to be a number above 0"},
    {SPEED(1e999, 1, 2), 3, "expected 'images_per_s' to be a number above 0"},
    {SPEED(1000, -5, 2), 3, "expected 'p25' to be a number above 0"},
    {"{\"results\":{\"ResNet\":{\"training\":{\"clnet\":{\"samples\":[1,\"x\"]}}}}}", 3,
     "ResNet training, images/s: expected 'samples' to be a list of numbers above 0"},
    {"{\"results\":{\"ResNet\":{\"training\":{\"clnet\":{\"samples\":[]}}}}}", 3, "expected 'samples'"},
    {"{\"results\":{\"ResNet\":[[[[1]]]]}}", 3, "expected 'samples'"},
    {"{\"steps\":[1],\"whole\":{\"ms\":1},\"model\":\"m\",\"mode\":\"train\"}", 3,
     "a launch among 'steps' has no 'op'"},
    {"{\"steps\":[],\"model\":\"m\"}", 3, "expected 'ms' to be a number above 0"},
    {TABLE("1"), 3, "a row of the table has no 'model'"},
    {TABLE(ROW("ResNet", 2, 0.1)), 3, "expected 'mean' and 'standard_error' from 0 to 1"},
    {TABLE(ROW("ResNet", 0.5, 0.1)), 2, "have no quantity in common"},
};

START_TEST(hostile_files_are_refused) {
    put("a.json", SPEED(1000, 980, 1020));
    put("b.json", hostile[_i].text);
    int status = program_run(folder, "", "clbench compare a.json b.json");
    ck_assert_msg(status == hostile[_i].status, "%d: %s", status, program_errors);
    ck_assert_msg(strstr(program_errors, hostile[_i].message) != NULL, "%s", program_errors);
    ck_assert_ptr_eq(strstr(program_errors, "clbench: compare: "), program_errors);
    ck_assert_str_eq(program_output, "");
}
END_TEST

START_TEST(files_that_are_not_there) {
    put("a.json", SPEED(1000, 980, 1020));
    ck_assert_int_eq(program_run(folder, "", "clbench compare a.json nowhere.json"), 4);
    ck_assert_ptr_nonnull(strstr(program_errors, "'nowhere.json': cannot be read: "));
    ck_assert_int_eq(program_run(folder, "", "clbench compare a.json ."), 4);
    file_write(folder, "zeros.json", "{\0}", 3);
    ck_assert_int_eq(program_run(folder, "", "clbench compare a.json zeros.json"), 3);
    ck_assert_ptr_nonnull(strstr(program_errors, "found a file with zeros in it"));
}
END_TEST

/* A thousand brackets, and control characters in names, which do not reach the terminal. */
START_TEST(deep_and_dirty) {
    char text[4096];
    memset(text, '[', 3000);
    text[3000] = '\0';
    put("deep.json", text);
    put("a.json", SPEED(1000, 980, 1020));
    ck_assert_int_eq(program_run(folder, "", "clbench compare a.json deep.json"), 3);
    put("b.json", "{\"model\":\"\\u001b[31m\",\"mode\":\"train\",\"images_per_s\":1,\"device\":\"\\u0007\\n\"}");
    ck_assert_int_eq(program_run(folder, "", "clbench compare b.json b.json"), 0);
    ck_assert_ptr_null(strchr(program_output, 27));
    ck_assert_ptr_null(strchr(program_output, 7));
    ck_assert_ptr_nonnull(strstr(program_output, "?[31m training, images/s"));
}
END_TEST

/* --- the page --- */

static char page[1 << 20];

static void read_page(void) {
    char *path = path_of(folder, "page.html");
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    page[fread(page, 1, sizeof page - 1, file)] = '\0';
    fclose(file);
    free(path);
}

/* Every element is closed in order; returns the end of the tag at `at`. `open` is the stack, *depth its height. */
static char *check_tag(char *at, char open[][32], int *depth) {
    char *end = strchr(at, '>');
    ck_assert_ptr_nonnull(end);
    if (at[1] == '!')
        return end;
    bool closing = at[1] == '/', empty = end[-1] == '/';
    size_t length = strcspn(at + 1 + closing, " \n/>");
    ck_assert_uint_lt(length, 32);
    if (closing) {
        ck_assert_msg(*depth > 0 && strncmp(open[*depth - 1], at + 2, length) == 0, "%.40s closes <%s>", at,
                      *depth ? open[*depth - 1] : "");
        --*depth;
    } else if (!empty) {
        ck_assert_int_lt(*depth, 64);
        snprintf(open[(*depth)++], 32, "%.*s", (int)length, at + 1);
        const char *raw = strcmp(open[*depth - 1], "script") == 0  ? "</script"
                          : strcmp(open[*depth - 1], "style") == 0 ? "</style"
                                                                   : NULL;
        if (raw)
            return strstr(end, raw) - 1;
    }
    return end;
}

static void check_page(void) {
    static const char *const outside[] = {"http", "src=", "href=", "url(", "@import", "nan", "inf "};
    char open[64][32];
    int depth = 0;
    read_page();
    for (char *at = strchr(page, '<'); at; at = strchr(check_tag(at, open, &depth) + 1, '<'))
        ;
    ck_assert_int_eq(depth, 0);
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        ck_assert_msg(strstr(page, outside[i]) == NULL, "'%s' in the page", outside[i]);
}

#define FULL_ROW                                                                                                       \
    "{\"model\":\"ResNet\",\"runs\":[{\"seed\":42,\"folder\":\"run\",\"weights\":\"w\",\"epochs\":2,\"parameters\":"   \
    "272378,\"test\":{\"correct\":910,\"count\":1000},\"validation\":{\"correct\":90,\"count\":100}}],"                \
    "\"speed\":{\"key\":\"k\",\"batch_size\":128,\"train\":{\"images_per_s\":1500.4},\"infer\":{\"images_per_s\":"     \
    "6000},"                                                                                                           \
    "\"start_up_s\":0.5,\"step_ms\":80,\"launches\":[{\"op\":\"conv2d\",\"layer\":\"b<l>\",\"ms\":2,\"flops\":1e9,"    \
    "\"bytes\":1e7},{\"op\":\"add\",\"layer\":\"l\",\"ms\":1,\"flops\":0,\"bytes\":1e7}]}}"

START_TEST(page_shows_the_table) {
    put("t.json",
        "{\"kind\":\"clnet table\",\"clnet\":\"1.2.3\",\"format\":\"cifar10\",\"test_images\":1000,\"command\":"
        "\"clbench table --data <x>\",\"machine\":{\"device\":\"A & B <script>\",\"peak_gflops\":400,"
        "\"bandwidth_gbs\":20},\"rows\":[" FULL_ROW "]}");
    put("p.json", "{\"results\":{\"ResNet\":{\"training\":{\"clnet\":{\"samples\":[1000]},\"eager nchw\":{\"samples\":"
                  "[400]},\"eager tf32\":{\"samples\":[900]}}}},\"pytorch\":{}}");
    folder_make(folder, "run");
    put("run/metrics.csv", "epoch,lr,train_loss,train_acc,val_loss,val_acc,images_per_s\n1,0.1,2,0.4,2,0.45,9\n"
                           "2,0.1,1,0.6,,nan,9\n");
    folder_make(folder, "curves");
    put("curves/ResNet.csv", "epoch,lr,val_acc\n0,0.1,0.31\n1,0.1,0.52\n2,0.1,0.62\n");
    ck_assert_msg(
        program_run(folder, "", "clbench report --table t.json --peers p.json --curves curves --out page.html") == 0,
        "%s", program_errors);
    check_page();
    static const char *const shown[] = {
        ">91.00%</td>",
        "-0.06 ± 0.90",
        ">90.00%</td>",
        "91.06%</td>",
        "272,378",
        "A &amp; B &lt;script&gt;",
        "--data &lt;x&gt;",
        "sample of the test set: 1,000 of CIFAR-10&#39;s 10,000",
        "2.5×",
        "PyTorch (eager nchw)",
        "b&lt;l&gt;",
        "data-x=\"1\" data-y=\"0.45\" data-name=\"ours (seed 42), validation\"",
        "400 GFLOP/s",
        "data-y=\"0.31 0.52\" data-name=\"published, validation\"",
        "The first 2 of 3 ",
        "prefers-color-scheme:dark",
    };
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        ck_assert_msg(strstr(page, shown[i]) != NULL, "no '%s' in the page", shown[i]);
    ck_assert_ptr_null(strstr(page, "tf32"));
    /* Curves that cannot be read are told, and left out. */
    put("run/metrics.csv", "epoch,val_acc\n1,0.5\nrubbish\n");
    put("curves/ResNet.csv", "epoch,val_acc\n-1,0.31\n");
    ck_assert_int_eq(program_run(folder, "", "clbench report --table t.json --curves curves --out page.html"), 0);
    ck_assert_ptr_nonnull(strstr(program_errors, "no curve is drawn: 'run/metrics.csv', line 3: "));
    ck_assert_ptr_nonnull(strstr(program_errors, "no curve is drawn: 'curves/ResNet.csv' has no column epoch with"));
}
END_TEST

START_TEST(page_of_little) {
    put("t.json", TABLE("{\"model\":\"\\\"><script>alert(1)</script>\"},{\"model\":\"ResNet\",\"runs\":[{}],\"speed\":{"
                        "\"key\":\"k\",\"launches\":[{\"ms\":1e300},{\"ms\":-1},5,null]}}"));
    ck_assert_msg(program_run(folder, "", "clbench report --table t.json --out page.html") == 0, "%s", program_errors);
    check_page();
    ck_assert_ptr_null(strstr(page, "<script>alert"));
    put("t.json", TABLE());
    ck_assert_int_eq(program_run(folder, "", "clbench report --table t.json --out page.html"), 0);
    check_page();
}
END_TEST

static const struct {
    const char *text, *message;
} no_tables[] = {
    {"{\"rows\":[]}", "expected a table as clbench table --format json writes it"},
    {TABLE("{\"model\":\"A\"},{\"model\":\"A\"}"), "a row of the table has no model, or there are two of one"},
    {TABLE("7"), "a row of the table has no model"},
    {"{\"kind\":\"clnet table\",\"rows\":{}}", "expected a table"},
};

START_TEST(no_table_no_page) {
    put("t.json", no_tables[_i].text);
    ck_assert_int_eq(program_run(folder, "", "clbench report --table t.json --out none.html"), 3);
    ck_assert_msg(strstr(program_errors, no_tables[_i].message) != NULL, "%s", program_errors);
}
END_TEST

static void set_up(void) {
    folder = folder_new();
}

static void tear_down(void) {
    folder_remove(folder);
    folder = NULL;
}

static void add_tests(TCase *tests) {
    if (!suite_has_programs())
        return;
    tcase_add_unchecked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, ratios_and_verdicts, 0, sizeof speeds / sizeof *speeds);
    tcase_add_test(tests, json_is_utf8_whatever_a_file_is_called);
    tcase_add_test(tests, accuracies_differ_by_two_standard_errors);
    tcase_add_test(tests, peers_against_a_measurement);
    tcase_add_test(tests, launches);
    tcase_add_loop_test(tests, hostile_files_are_refused, 0, sizeof hostile / sizeof *hostile);
    tcase_add_test(tests, files_that_are_not_there);
    tcase_add_test(tests, deep_and_dirty);
    tcase_add_test(tests, page_shows_the_table);
    tcase_add_test(tests, page_of_little);
    tcase_add_loop_test(tests, no_table_no_page, 0, sizeof no_tables / sizeof *no_tables);
}

int main(void) {
    return suite_run("compare", add_tests);
}
