#!/usr/bin/env bash
# Installs what clnet needs, from the packages of Debian 12 (or a later one, or Ubuntu).
# Does nothing, and needs no root, where everything is there already. Elsewhere it says what is missing.
#
# usage: scripts/setup.sh
set -euo pipefail
# shellcheck source=SCRIPTDIR/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
case ${1:-} in
"") ;;
-h | --help) usage ;;
*) die "scripts/setup.sh takes no options" ;;
esac

# package, how to see that it is there (a command, a pkg-config module or a file), and whether nothing works without
# it ("need") or only a part does: the demo's data, the other compiler, the style checks.
requirements="
gcc                   command cc                                                     need
libc6-dev             file    /usr/include/stdio.h                                   want
cmake                 command cmake                                                  need
ninja-build           command ninja                                                  want
pkg-config            command pkg-config                                             need
opencl-headers        file    /usr/include/CL/cl.h                                   want
ocl-icd-opencl-dev    module  OpenCL                                                 want
pocl-opencl-icd       file    /etc/OpenCL/vendors/pocl.icd                           want
libclblast-dev        module  clblast                                                need
libcjson-dev          module  libcjson                                               need
libzip-dev            module  libzip                                                 need
libsqlite3-dev        module  sqlite3                                                need
libcairo2-dev         module  cairo                                                  need
zlib1g-dev            module  zlib                                                   need
libmd-dev             module  libmd                                                  need
libprotobuf-c-dev     module  libprotobuf-c                                          need
protobuf-c-compiler   command protoc-c                                               need
libyaml-dev           module  yaml-0.1                                               need
libstb-dev            file    /usr/include/stb/stb_image.h                           need
check                 module  check                                                  need
clinfo                command clinfo                                                 want
dataset-fashion-mnist file    /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz want
clang                 command clang                                                  want
clang-format          command clang-format                                           want
python3               command python3                                                want
git                   command git                                                    want
ca-certificates       file    /etc/ssl/certs/ca-certificates.crt                     want
xz-utils              command xz                                                     want
"

present() { # kind name
    case $1 in
    command) have "$2" ;;
    module) have pkg-config && pkg-config --exists "$2" ;;
    file) [[ -e $2 ]] ;;
    esac
}

# Sets `missing` to the packages that are not there, `needed` to those of them that nothing works without.
look() {
    missing=() needed=()
    local package kind name degree
    while read -r package kind name degree; do
        if [[ -z $package ]] || present "$kind" "$name"; then continue; fi
        missing+=("$package")
        if [[ $degree == need ]]; then needed+=("$package"); fi
    done <<<"$requirements"
}

as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        die "installing packages needs root and there is no sudo; as root, run: apt-get install ${missing[*]}"
    fi
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 "$@" </dev/null
}

look
if [[ ${#missing[@]} -eq 0 ]]; then
    say "everything that clnet needs is installed"
    exit 0
fi

if ! have apt-get; then
    say "this system has no apt-get; not found (by Debian's names): ${missing[*]}"
    if [[ ${#needed[@]} -eq 0 ]]; then exit 0; fi
    die "clnet cannot be built without these: ${needed[*]}; README.md names the packages for other systems"
fi

say "installing ${missing[*]}"
# The package lists are fetched only when they lack a package (none are there in a fresh container) or are stale.
install=(install -y --no-install-recommends "${missing[@]}")
if ! apt-get --simulate "${install[@]}" >/dev/null 2>&1 || ! apt "${install[@]}"; then
    say "fetching the package lists"
    if ! apt update || ! apt "${install[@]}"; then
        die "apt-get could not install ${missing[*]}: is the network there? README.md names the packages"
    fi
fi

look
if [[ ${#missing[@]} -ne 0 ]]; then
    die "apt-get succeeded, but these are still not found: ${missing[*]}"
fi
say "everything that clnet needs is installed"
