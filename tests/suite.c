/* Running a suite: see suite.h. */
#include "suite.h"
#include "../src/ocl/ocl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cln_context *ctx;
cln_device *device;
cln__caps device_caps;

static int skip_status = EXIT_SUCCESS;

void ok(cln_status status) {
    ck_assert_msg(status == CLN_OK, "%s", cln_context_error(ctx));
}

void expect_message(const char *part) {
    const char *message = cln_context_error(ctx);
    ck_assert_msg(strstr(message, part) != NULL, "'%s' is not in the message: %s", part, message);
}

void expect_status(cln_status status, cln_status expected, const char *part) {
    ck_assert_msg(status == expected, "status %d: %s", (int)status, cln_context_error(ctx));
    expect_message(part);
}

void expect_warning(const char *part) {
    char text[1024];
    ck_assert_msg(cln_context_take_warning(ctx, text, sizeof text), "no warning; expected '%s'", part);
    ck_assert_msg(strstr(text, part) != NULL, "'%s' is not in the warning: %s", part, text);
}

void expect_no_warning(void) {
    char text[1024];
    ck_assert_msg(!cln_context_take_warning(ctx, text, sizeof text), "unexpected warning: %s", text);
}

static void open_context(void) {
    ck_assert_int_eq(cln_context_new(&ctx), CLN_OK);
}

static void close_context(void) {
    cln_context_free(ctx);
    ctx = NULL;
}

static void reset_caps(void) {
    device->caps = device_caps;
}

static int run(const char *name, TCase *tests) {
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? skip_status : EXIT_FAILURE;
}

int suite_run(const char *name, void (*add_tests)(TCase *tests)) {
    TCase *tests = tcase_create(name);
    tcase_add_checked_fixture(tests, open_context, close_context);
    add_tests(tests);
    return run(name, tests);
}

int suite_run_on_device(const char *name, void (*add_tests)(TCase *tests)) {
    if (cln_context_new(&ctx) != CLN_OK)
        return EXIT_FAILURE;
    int status;
    if (cln_device_open(ctx, NULL, &device) == CLN_OK) {
        device_caps = device->caps;
        TCase *tests = tcase_create(name);
        tcase_add_checked_fixture(tests, reset_caps, NULL);
        add_tests(tests);
        status = run(name, tests);
        cln_device_free(device);
    } else {
        status = suite_skip(cln_context_error(ctx));
    }
    cln_context_free(ctx);
    return status;
}

bool suite_has_device(void) {
    cln_context *local;
    cln_device_info *devices = NULL;
    size_t count;
    if (cln_context_new(&local) != CLN_OK)
        return false;
    bool there = cln_device_list(local, &devices, &count) == CLN_OK;
    if (!there)
        skip_status = suite_skip(cln_context_error(local));
    free(devices);
    cln_context_free(local);
    return there;
}

bool suite_has_programs(void) {
    bool there = getenv("CLNET_BIN_DIR") != NULL;
    if (!there)
        skip_status = suite_skip("CLNET_BIN_DIR does not name the folder of cltrain and clbench");
    return there;
}

int suite_skip(const char *reason) {
    const char *ci = getenv("CI");
    printf("skipped: %s\n", reason);
    return ci && ci[0] ? EXIT_FAILURE : EXIT_SUCCESS;
}

void skip(const char *what, const char *reason, ...) {
    va_list arguments;
    printf("skipped: %s: ", what);
    va_start(arguments, reason);
    vprintf(reason, arguments);
    va_end(arguments);
    printf("\n");
}
