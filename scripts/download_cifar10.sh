#!/usr/bin/env bash
# Downloads CIFAR-10 in its binary layout (162 MB), checks its digest and unpacks it as FOLDER/cifar-10-batches-bin
# (another 176 MB). "cltrain fit --data FOLDER" then finds it. Does nothing where it is already there.
#
# usage: scripts/download_cifar10.sh FOLDER
set -euo pipefail
folder=${1:-}
[[ $folder == /* || -z $folder ]] || folder=$PWD/$folder # common.sh goes elsewhere
# shellcheck source=SCRIPTDIR/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
case ${1:-} in -h | --help) usage ;; esac
[[ $# -eq 1 && -n $folder ]] || die "scripts/download_cifar10.sh takes one folder (see --help)"

url=https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz
digest=c32a1d4ab5d03f1284b67883e8d87530 # MD5, as published beside the archive
files=(data_batch_{1..5}.bin test_batch.bin batches.meta.txt)
name=cifar-10-batches-bin

complete() { # folder
    local file
    for file in "${files[@]}"; do [[ -s $1/$file ]] || return 1; done
}

fetch() { # file
    if have curl; then
        curl --fail --location --retry 3 --output "$1" "$url"
    elif have wget; then
        wget --tries=3 --output-document="$1" "$url"
    else
        die "neither curl nor wget is installed; fetch $url yourself and unpack it in $folder"
    fi
}

md5_of() { # file
    if have md5sum; then
        md5sum <"$1" | cut -d ' ' -f 1
    elif have md5; then # macOS
        md5 -q "$1"
    else
        die "neither md5sum nor md5 is installed: the digest of the download cannot be checked"
    fi
}

if complete "$folder/$name"; then
    say "CIFAR-10 is already in $folder/$name"
    exit 0
fi
[[ ! -e $folder/$name ]] || die "$folder/$name is there, but not whole: remove it first"
mkdir -p "$folder"
# Everything happens aside, so that nothing half done is ever found under the final name.
aside=$(mktemp -d "$folder/.download-XXXXXX")
trap 'rm -rf "$aside"' EXIT

say "downloading $url"
fetch "$aside/archive" || die "the download of $url failed"
found=$(md5_of "$aside/archive")
[[ $found == "$digest" ]] || die "the download is damaged: its MD5 is $found, expected $digest"
say "unpacking"
tar -xzf "$aside/archive" -C "$aside"
complete "$aside/$name" || die "the archive does not hold what it should: ${files[*]}"
mv "$aside/$name" "$folder/$name"
say "CIFAR-10 is in $folder/$name: cltrain fit --data $folder ..."
