#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests. The last line is "N passed, N failed".
# Fuzzes the readers of files for 20 seconds each too, which count as one test (not with --sanitize: they always are).
# --all also runs the slow ones, among them the reference files of ../shared/golden where they are there.
#
# usage: scripts/test.sh [--all] [options of scripts/build.sh]
set -euo pipefail
# shellcheck source=SCRIPTDIR/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

all=no fuzz=yes options=()
for argument in "$@"; do
    case $argument in
    --all) all=yes ;;
    -h | --help) usage ;;
    --sanitize)
        fuzz=no
        options+=("$argument")
        ;;
    *) options+=("$argument") ;;
    esac
done
folder=$(build_folder ${options[@]+"${options[@]}"})

scripts/setup.sh
scripts/build.sh ${options[@]+"${options[@]}"}

# The suites skip what needs a device where there is none; with CI=true there must be one.
if [[ ${CI:-} == true ]]; then
    "$folder/cltrain" devices || die "no OpenCL device, and CI=true: the tests would not test"
fi

# Adds up the suites' own counts from ctest's log, to what is given; a suite that did not get as far as to report counts
# as one.
closing_line() { # log passed failed
    awk -v passed="$2" -v failed="$3" '/^[0-9]+\/[0-9]+ Testing: / { checks = -1; bad = 0 }
         match($0, /Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+/) {
             split(substr($0, RSTART, RLENGTH), n, /[^0-9]+/)
             if (checks < 0) checks = 0
             checks += n[2]; bad += n[3] + n[4]
         }
         /^Test time = / { ended = 1; ok = 0 }
         /^Test Passed\.$/ { ok = 1 }
         /^".*" end time: / {
             if (checks < 0) { checks = 1; bad = !ok } else if (!ok && !bad) { checks++; bad = 1 }
             passed += checks - bad; failed += bad
         }
         END { printf "%d passed, %d failed\n", passed, failed }' "$1"
}

say "running the tests of $folder/"
status=0
selection=(--label-exclude slow)
if [[ $all == yes ]]; then selection=(); fi
ctest --test-dir "$folder" --output-on-failure --no-tests=error ${selection[@]+"${selection[@]}"} || status=$?

passed=0 failed=0
if [[ $fuzz == yes ]]; then
    if scripts/fuzz.sh 20; then passed=1; else failed=1 status=1; fi
fi

# What could not be tested here, told by `skip` and `suite_skip` of tests/suite.h.
grep -aE '^skipped: ' "$folder/Testing/Temporary/LastTest.log" | sort -u || true
closing_line "$folder/Testing/Temporary/LastTest.log" "$passed" "$failed"
exit "$status"
