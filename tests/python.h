/* Python for tests that compare with programs written in it. */
#ifndef CLN_TESTS_PYTHON_H
#define CLN_TESTS_PYTHON_H

#include <stdbool.h>

/* Whether there is a Python with `modules` ("torch, onnx"): that in $CLNET_PYTHON, or of bench/peers/setup.sh. If not,
 * prints that what needs it is skipped. */
bool python_has(const char *modules);
/* Runs tests/<script> with arguments as a shell reads them; fails the test unless it ends with 0. */
void python_run(const char *script, const char *format, ...);

#endif
