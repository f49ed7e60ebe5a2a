#!/usr/bin/env bash
# Builds everything in Release mode into build/ (build-clang/, build-sanitize/, build-sanitize-threads/ with those
# options).
#
# usage: scripts/build.sh [--clang] [--sanitize | --sanitize-threads] [--werror] [cmake options, such as -DCLNET_TESTS=OFF]
set -euo pipefail
# shellcheck source=SCRIPTDIR/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

folder=$(build_folder "$@")
type=Release werror=OFF sanitize=OFF compiler="" extra=()
for argument in "$@"; do
    case $argument in
    --clang) compiler=clang ;;
    --sanitize) sanitize=ON type=RelWithDebInfo ;;
    --sanitize-threads) sanitize=thread type=RelWithDebInfo ;;
    --werror) werror=ON ;;
    -h | --help) usage ;;
    -*) extra+=("$argument") ;;
    *) die "scripts/build.sh: '$argument' is neither its option nor one of cmake's (see --help)" ;;
    esac
done
have cmake || die "cmake is not installed: run scripts/setup.sh, or see README.md for the packages"

options=("-DCMAKE_BUILD_TYPE=$type" "-DCLNET_WERROR=$werror" "-DCLNET_SANITIZE=$sanitize")
# The generator and the compiler are settled the first time; CMake refuses another generator later on.
if [[ ! -f $folder/CMakeCache.txt ]]; then
    if have ninja; then options+=(-G Ninja); fi
    if [[ -n $compiler ]]; then options+=("-DCMAKE_C_COMPILER=$compiler"); fi
fi

say "building in $folder/"
cmake -S . -B "$folder" "${options[@]}" ${extra[@]+"${extra[@]}"}
cmake --build "$folder" --parallel "$(getconf _NPROCESSORS_ONLN)"
