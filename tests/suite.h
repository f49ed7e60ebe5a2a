/* Running a suite: what the main() of every test program calls, and what all tests share.
 *
 * Suites run without forking, since an opened OpenCL device does not survive a fork, and hence without time limits. */
#ifndef CLN_TESTS_SUITE_H
#define CLN_TESTS_SUITE_H

#include "../src/base/caps.h"
#include "clnet/device.h"

#include <check.h>

extern cln_context *ctx;      /* of the test that runs: a new one for each, or the one of the suite's device */
extern cln_device *device;    /* of suite_run_on_device, else NULL */
extern cln__caps device_caps; /* the device's own: tests may change device->caps, which is set back before each test */

/* Runs the tests that `add_tests` adds; returns main's exit status. */
int suite_run(const char *name, void (*add_tests)(TCase *tests));
/* The same on the default device, opened once. Without one, suite_skip. */
int suite_run_on_device(const char *name, void (*add_tests)(TCase *tests));
/* In `add_tests`, for suites that open devices themselves: whether there is one. Without one, suite_skip. */
bool suite_has_device(void);
/* The same of the programs, for suites that start them: whether CLNET_BIN_DIR names their folder. */
bool suite_has_programs(void);
/* Prints "skipped: <reason>"; returns main's exit status: success, but failure where CI is set, since a skip would go
 * unnoticed there. */
int suite_skip(const char *reason);
/* Prints "skipped: <what>: <reason>", of a test or a part of one that cannot be made here; scripts/test.sh lists these
 * lines at its end. The test goes on, or returns, and passes. */
void skip(const char *what, const char *reason, ...) __attribute__((__format__(__printf__, 2, 3)));

/* Fails the test, with the context's message. */
void ok(cln_status status);
/* Fails the test unless `part` is in the context's message. */
void expect_message(const char *part);
/* Both: that status, and the message. */
void expect_status(cln_status status, cln_status expected, const char *part);
/* Takes the context's oldest warning, with `part` in it. */
void expect_warning(const char *part);
void expect_no_warning(void);

#endif
