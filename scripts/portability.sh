#!/usr/bin/env bash
# Runs operators, test suites, networks and short trainings on several OpenCL implementations, and prints what came out
# as a table (docs/portability.md): pocl as it is installed and in other modes, Mesa's Rusticl on llvmpipe, Oclgrind,
# which checks kernels while it runs them, and Intel's runtime for CPUs. What is not installed is fetched into
# build/portability, from Debian's archive and from PyPI: nothing outside that folder changes, and no root is needed.
# The programs are those in build/ (or the folder CLNET_BIN_DIR). A failure fails; an implementation that cannot be had is left out with a reason.
#
# usage: scripts/portability.sh [--quick] [--write] [--fetch-only] [implementation...] [part...]
#   --quick     a cut of some minutes
#   --write     put the table into docs/portability.md, beside the results that are kept of other implementations
#   parts: operators, suites, networks, training
#   implementations: pocl, pocl-basic, pocl-one-thread, pocl-replicate, rusticl,
#   oclgrind, intel
set -euo pipefail
# shellcheck source=SCRIPTDIR/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
case ${1:-} in -h | --help) usage ;; esac

folder=build/portability # relative and this long: see patch_rusticl
intel=2026.2.0
export CLNET_BIN_DIR=${CLNET_BIN_DIR:-build}
[[ -x $CLNET_BIN_DIR/clbench ]] || die "there is no $CLNET_BIN_DIR/clbench: run scripts/build.sh first"
have python3 || die "python3 is not installed: run scripts/setup.sh"
mkdir -p "$folder/vendors"

# Fetches Debian packages, with those of their dependencies that this system lacks, and takes them apart.
fetch_debian() { # name package...
    local target=$folder/$1 packages
    shift
    if [[ -e $target/complete ]]; then return 0; fi
    rm -rf "$target"
    have apt-get && have dpkg || return 1
    mkdir -p "$target"
    mapfile -t packages < <({
        printf '%s\n' "$@"
        apt-get --simulate --no-install-recommends install "$@" 2>/dev/null | awk '/^Inst/ && $3 !~ /^\[/ { print $2 }'
    } | sort -u)
    (cd "$target" && apt-get -qq -o APT::Sandbox::User=root download "${packages[@]}") || return 1
    local package
    for package in "$target"/*.deb; do dpkg -x "$package" "$target" || return 1; done
    rm -f "$target"/*.deb
    touch "$target/complete"
}

fetch_pypi() { # name requirement...
    local target=$folder/$1 wheel
    shift
    if [[ -e $target/complete ]]; then return 0; fi
    rm -rf "$target"
    mkdir -p "$target"
    python3 -m pip --disable-pip-version-check -qq download --only-binary :all: -d "$target" "$@" || return 1
    for wheel in "$target"/*.whl; do python3 -m zipfile -e "$wheel" "$target" || return 1; done
    rm -f "$target"/*.whl
    find "$target" -name 'libOpenCL.so*' -delete # a loader of its own: the system's serves all
    touch "$target/complete"
}

# What the loader shall see of a system: one implementation.
vendor() { # name library
    mkdir -p "$folder/vendors/$1"
    printf '%s\n' "$2" >"$folder/vendors/$1/$1.icd"
}

# Where it has libclc is compiled into the library: our copy gets other paths of the same lengths.
patch_rusticl() { # library
    cp "$folder/rusticl/usr/lib/clc/spirv-mesa3d-.spv" "$folder/spirv-32.spv" &&
        cp "$folder/rusticl/usr/lib/clc/spirv64-mesa3d-.spv" "$folder/spirv-64.spv" &&
        LC_ALL=C sed -i "s|/usr/lib/clc/spirv-mesa3d-\.spv|$folder/spirv-32.spv|
                         s|/usr/lib/clc/spirv64-mesa3d-\.spv|$folder/./spirv-64.spv|" "$1"
}

fetch_rusticl() {
    fetch_debian rusticl mesa-opencl-icd libclc-15 || return 1
    local library
    library=$(find "$PWD/$folder/rusticl" -name 'libRusticlOpenCL.so.*.*' | head -n 1)
    [[ -n $library ]] && patch_rusticl "$library" && vendor rusticl "$library"
}

fetch_oclgrind() {
    fetch_debian oclgrind oclgrind || return 1
    vendor oclgrind "$PWD/$folder/oclgrind/usr/lib/oclgrind/liboclgrind-rt-icd.so"
}

fetch_intel() {
    fetch_pypi intel "intel-opencl-rt==$intel" "intel-cmplr-lib-rt==$intel" || return 1
    local library
    library=$(find "$PWD/$folder/intel" -name libintelocl.so | head -n 1)
    [[ -n $library ]] && vendor intel "$library"
}

fetch_pocl() {
    local icd
    for icd in /etc/OpenCL/vendors/pocl*.icd; do
        if [[ -e $icd ]]; then vendor pocl "$(<"$icd")" && return 0; fi
    done
    return 1
}

options=() names=() fetch_only=no
for argument in "$@"; do
    case $argument in
    --quick | --write) options+=("$argument") ;;
    --fetch-only) fetch_only=yes ;;
    -*) die "scripts/portability.sh: unknown option '$argument' (see --help)" ;;
    *) names+=("$argument") ;;
    esac
done
all=" ${names[*]-} "
for part in operators suites networks training; do all=${all// $part / }; done
for name in pocl rusticl oclgrind intel; do # a name alone wants nothing of the others but pocl, which it is compared with
    if [[ $name != pocl && -n ${all// /} && $all != *" $name "* ]]; then continue; fi
    say "fetching $name"
    "fetch_$name" || say "$name cannot be had here"
done
if [[ $fetch_only == yes ]]; then exit 0; fi
exec python3 scripts/portability.py ${options[@]+"${options[@]}"} ${names[@]+"${names[@]}"}
