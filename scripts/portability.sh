#!/usr/bin/env bash
# Runs operators, test suites, networks and short trainings on several OpenCL implementations (docs/portability.md):
# pocl as it is installed, in other modes and as a sub-device, Mesa's Rusticl on llvmpipe, Oclgrind, which checks
# kernels while it runs them, and Intel's runtime for CPUs. What is not installed is fetched into build/portability, from
# Debian's archive and from PyPI: nothing outside that folder changes, and no root is needed. The programs are those in
# build/ (or $CLNET_BIN_DIR). A failure fails; an implementation that cannot be had is left out with a reason.
#
# usage: scripts/portability.sh [--quick] [--resume] [implementation...] [part...]
#        scripts/portability.sh --write
#   --quick     a cut of some minutes
#   --resume    only what earlier runs did not come to; without it, the given parts begin anew
#   --write     run nothing: put the kept results into docs/portability.md
#   parts: operators, suites, networks, training
#   implementations: pocl, pocl-basic, pocl-one-thread, pocl-loops, pocl-repl, pocl-sub-device, rusticl, oclgrind, intel
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

# Debian packages, with those of their dependencies that this system lacks.
download_debian() { # package...
    local packages
    have apt-get && have dpkg || return 1
    mapfile -t packages < <({
        printf '%s\n' "$@"
        apt-get --simulate --no-install-recommends install "$@" 2>/dev/null | awk '/^Inst/ && $3 !~ /^\[/ { print $2 }'
    } | sort -u)
    timeout 120 apt-get -qq -o APT::Sandbox::User=root download "${packages[@]}"
}

download_pypi() { # requirement...
    timeout 300 python3 -m pip --disable-pip-version-check -qq download --only-binary :all: "$@"
}

# Downloads packages and takes them apart, once.
fetch() { # name download_<where> package...
    local target=$folder/$1 package
    if [[ -e $target/complete ]]; then return 0; fi
    rm -rf "$target"
    mkdir -p "$target"
    (
        cd "$target" && "${@:2}" || exit 1
        for package in *.deb *.whl; do
            case $package in
            '*'*) ;;
            *.deb) dpkg -x "$package" . && rm "$package" ;;
            *.whl) python3 -m zipfile -e "$package" . && rm "$package" ;;
            esac || exit 1
        done
        touch complete
    )
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
    fetch rusticl download_debian mesa-opencl-icd libclc-15 || return 1
    local library
    library=$(find "$PWD/$folder/rusticl" -name 'libRusticlOpenCL.so.*.*' | head -n 1)
    [[ -n $library ]] && patch_rusticl "$library" && vendor rusticl "$library"
}

fetch_oclgrind() {
    fetch oclgrind download_debian oclgrind || return 1
    vendor oclgrind "$PWD/$folder/oclgrind/usr/lib/oclgrind/liboclgrind-rt-icd.so"
}

fetch_intel() {
    fetch intel download_pypi "intel-opencl-rt==$intel" "intel-cmplr-lib-rt==$intel" || return 1
    find "$folder/intel" -name 'libOpenCL.so*' -delete # a loader of its own: the system's serves all
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

names=()
for argument in "$@"; do
    case $argument in
    --write) exec python3 scripts/portability.py --write ;;
    --quick | --resume) ;;
    -*) die "scripts/portability.sh: unknown option '$argument' (see --help)" ;;
    operators | suites | networks | training) ;;
    *) names+=("${argument%%-*}") ;;
    esac
done
if [[ ${#names[@]} -eq 0 ]]; then names=(rusticl oclgrind intel); fi
for name in pocl "${names[@]}"; do # pocl always: the others are compared with it
    if [[ $(type -t "fetch_$name") == function ]] && ! "fetch_$name"; then say "$name cannot be had here"; fi
done
exec python3 scripts/portability.py "$@"
