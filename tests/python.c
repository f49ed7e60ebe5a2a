/* See python.h. */
#include "python.h"
#include "suite.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *interpreter(void) {
    const char *own = getenv("CLNET_PYTHON");
    return own && own[0] ? own : "build/peers-venv/bin/python";
}

bool python_has(const char *modules) {
    char command[1024];
    snprintf(command, sizeof command, "'%s' -c 'import %s' >/dev/null 2>&1", interpreter(), modules);
    bool there = system(command) == 0;
    if (!there)
        skip("a comparison with Python", "%s has no %s (bench/peers/setup.sh)", interpreter(), modules);
    return there;
}

void python_run(const char *script, const char *format, ...) {
    char arguments[2048], command[4096];
    va_list list;
    va_start(list, format);
    vsnprintf(arguments, sizeof arguments, format, list);
    va_end(list);
    snprintf(command, sizeof command, "PYTHONDONTWRITEBYTECODE=1 '%s' tests/%s %s", interpreter(), script, arguments);
    fflush(stdout);
    ck_assert_msg(system(command) == 0, "failed: %s", command);
}
