#!/usr/bin/env bash
# Builds with AddressSanitizer and UndefinedBehaviorSanitizer into build-sanitize/ and runs the tests, leaks included.
# Leaks inside OpenCL drivers are suppressed by library, in tests/sanitizer/lsan.supp.
#
# usage: scripts/sanitize.sh [options of scripts/test.sh]
set -euo pipefail
# shellcheck source=SCRIPTDIR/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
case ${1:-} in -h | --help) usage ;; esac

# The drivers of some GPUs map memory where AddressSanitizer puts its shadow gap. Without intercept_tls_get_addr=0 the leak
# check now and then reads the thread-local memory of a driver's thread that is ending, and crashes itself.
export ASAN_OPTIONS="detect_leaks=1:protect_shadow_gap=0:intercept_tls_get_addr=0"
ASAN_OPTIONS+=":detect_stack_use_after_return=1:strict_string_checks=1"
# Quoted, as the path may hold spaces; the suppressions used are not printed, so that messages stay as the tests expect.
export LSAN_OPTIONS="print_suppressions=0:suppressions='$PWD/tests/sanitizer/lsan.supp'"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"
scripts/test.sh --sanitize "$@"
