#!/usr/bin/env bash
# Installs the build into a temporary prefix and uses it from there: the examples are built by find_package and by
# pkg-config and one is run, manual pages are checked, completions asked.
#
# usage: tests/install.sh BUILD-FOLDER [static]     (static: first builds a static library, elsewhere)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "failed: $*" >&2
    exit 1
}

pkg_config=(pkg-config)
if [[ ${2:-} == static ]]; then
    cmake -S . -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DCLNET_TESTS=OFF -DBUILD_SHARED_LIBS=OFF >/dev/null
    cmake --build "$work/build" --parallel 2 >"$work/log" || { cat "$work/log" >&2; fail "the static build"; }
    build=$work/build
    pkg_config=(pkg-config --static)
fi

cmake --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/prefix" # whatever still names the first place is found out
prefix=$work/prefix
config=$(find "$prefix" -name clnet.pc)
[[ -n $config ]] || fail "there is no clnet.pc"
export PKG_CONFIG_PATH=${config%/*}
library=${PKG_CONFIG_PATH%/*}
version=$("$prefix/bin/cltrain" --version)
[[ "cltrain $(pkg-config --modversion clnet)" == "$version" ]] || fail "clnet.pc is not of $version"
for file in include/clnet/train.h share/doc/clnet/LICENSE share/man/man1/cltrain.1 share/man/man1/clbench.1; do
    [[ -s $prefix/$file ]] || fail "$file is not installed"
done

if ! { cmake -S examples -B "$work/examples" -DCMAKE_PREFIX_PATH="$prefix" && cmake --build "$work/examples"; } \
    >"$work/log" 2>&1; then
    cat "$work/log" >&2
    fail "find_package(clnet CONFIG)"
fi
for example in custom_model watched_training; do
    # shellcheck disable=SC2046 # flags are words
    "${CC:-cc}" -std=c11 -D_POSIX_C_SOURCE=200809L "examples/$example.c" $("${pkg_config[@]}" --cflags --libs clnet) \
        -o "$work/$example" || fail "$example by pkg-config"
done

# 5: no OpenCL device.
for program in "$work/custom_model" "$work/examples/custom_model" "$work/watched_training"; do
    status=0
    (cd "$work" && LD_LIBRARY_PATH=$library "$program" >"$work/log") || status=$?
    if [[ $status == 5 && ${CI:-} != true ]]; then
        echo "skipped: running ${program##*/}, since there is no OpenCL device"
    elif [[ $status != 0 ]]; then
        cat "$work/log" >&2
        fail "${program##*/} ends with $status"
    fi
done

pages=("$prefix"/share/man/man1/*.1)
if command -v mandoc >/dev/null; then
    mandoc -T lint -W warning "${pages[@]}" >"$work/log" || true
    # They have no date, so that two builds of one version are the same.
    if grep -v 'missing date' "$work/log"; then fail "mandoc warns"; fi
fi
if man --version >/dev/null 2>&1; then
    for page in "${pages[@]}"; do
        LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -l "$page" >"$work/page" 2>"$work/log"
        [[ -s $work/page && ! -s $work/log ]] || { cat "$work/log" >&2; fail "man warns of ${page##*/}"; }
    done
fi
tests/completion.sh "$prefix/share"
echo "Checks: 1, Failures: 0, Errors: 0"
