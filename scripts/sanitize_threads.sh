#!/usr/bin/env bash
# Builds with ThreadSanitizer into build-sanitize-threads/ and runs the tests in which threads share something.
# Races within OpenCL drivers are suppressed by library, in tests/sanitizer/tsan.supp.
#
# usage: scripts/sanitize_threads.sh [options of scripts/build.sh]
set -euo pipefail
# shellcheck source=SCRIPTDIR/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
case ${1:-} in -h | --help) usage ;; esac

export TSAN_OPTIONS="suppressions='$PWD/tests/sanitizer/tsan.supp' second_deadlock_stack=1"
scripts/build.sh --sanitize-threads "$@"
say "running the tests of threads"
# The kernel's choice of addresses can be more random than ThreadSanitizer's map of memory allows.
run=()
if have setarch && setarch -R true 2>/dev/null; then run=(setarch -R); fi
${run[@]+"${run[@]}"} ctest --test-dir "$(build_folder --sanitize-threads "$@")" --output-on-failure --no-tests=error \
    -R '^(base|images|loader|threads)$'
