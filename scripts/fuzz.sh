#!/usr/bin/env bash
# Fuzzes the readers of files under AddressSanitizer and UndefinedBehaviorSanitizer, each target for SECONDS (20), two at
# a time. With clang's libFuzzer (Debian: libclang-rt-14-dev) where it is installed, else with a simple driver of our own.
# A finding fails, and its input is kept in <build folder>/findings/; run it again with <build folder>/fuzz_<format> FILE.
#
# usage: scripts/fuzz.sh [SECONDS] [format...]        (formats: the names of tests/fuzz/fuzz_<format>.c)
set -euo pipefail
# shellcheck source=SCRIPTDIR/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
case ${1:-} in -h | --help) usage ;; esac

seconds=20
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
    seconds=$1
    shift
fi
formats=("$@")
if [[ ${#formats[@]} -eq 0 ]]; then
    for source in tests/fuzz/fuzz_*.c; do
        name=${source##*/fuzz_}
        formats+=("${name%.c}")
    done
fi

scratch=$(mktemp -d -p "$([[ -w /dev/shm ]] && echo /dev/shm || echo "${TMPDIR:-/tmp}")" clnet-fuzz.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
export TMPDIR=$scratch
export ASAN_OPTIONS=allocator_may_return_null=1:max_allocation_size_mb=1024:detect_leaks=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

folder=build-fuzz options=(-DCMAKE_BUILD_TYPE=None)
if have clang && echo 'int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }' |
    clang -x c - -fsanitize=fuzzer,address,undefined -o "$scratch/probe" 2>"$scratch/probe.log"; then
    folder=build-fuzz-clang
    options+=(-DCMAKE_C_COMPILER=clang -DFUZZ_LIBFUZZER=ON)
fi
if [[ ! -f $folder/CMakeCache.txt ]] && have ninja; then options+=(-G Ninja); fi
say "building the fuzz targets in $folder/"
cmake -S tests/fuzz -B "$folder" "${options[@]}" >"$scratch/cmake.log" || die "$(cat "$scratch/cmake.log")"
cmake --build "$folder" --parallel "$(getconf _NPROCESSORS_ONLN)"
mkdir -p "$folder/findings"

# What was tried: the inputs, and from libFuzzer how many edges of the program's code they reached.
tried() { # log
    grep 'no finding' "$1" || awk '$2 == "DONE" { reached = $4 }
        /^stat::number_of_executed_units/ { printf "%d inputs reached %d edges\n", $2, reached }' "$1"
}

# Its output is shown only if there is a finding.
fuzz() { # format
    local format=$1 log=$scratch/$1.log
    mkdir -p "$scratch/corpus-$format"
    if FUZZ_SEEDS=$scratch/corpus-$format "$folder/fuzz_$format" -max_total_time="$seconds" -timeout=25 \
        -rss_limit_mb=3000 -malloc_limit_mb=3000 -max_len=65536 -print_final_stats=1 \
        -artifact_prefix="$folder/findings/$format-" "$scratch/corpus-$format" >"$log" 2>&1; then
        say "$format: $(tried "$log")"
    else
        grep -v '^#' "$log" || true
        say "$format: a finding, see above; its input is kept in $folder/findings/$format-*"
        return 1
    fi
}

say "fuzzing ${formats[*]}: $seconds seconds each"
status=0
for ((i = 0; i < ${#formats[@]}; i += 2)); do
    jobs=()
    for format in "${formats[@]:i:2}"; do
        fuzz "$format" &
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do wait "$job" || status=1; done
done
exit "$status"
