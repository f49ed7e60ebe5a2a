#!/usr/bin/env bash
# Tests scripts/download_cifar10.sh without the network: a curl of our own comes first in PATH, and for the good cases an
# md5sum of our own, since nothing but the real archive has its digest. The last command's status is the test's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin"
export PATH=$work/bin:$PATH

stand_in() { # name script
    printf '#!/bin/sh\n%s\n' "$2" >"$work/bin/$1"
    chmod +x "$work/bin/$1"
}

run() { # expected status, expected text
    local status=0
    scripts/download_cifar10.sh "$work/data" >"$work/log" 2>&1 || status=$?
    if [[ $status -ne $1 ]] || ! grep -q "$2" "$work/log"; then
        echo "status $status, expected $1 and '$2':"
        cat "$work/log"
        exit 1
    fi
    if compgen -G "$work/data/.download-*" >/dev/null; then
        echo "it left something behind"
        exit 1
    fi
}

make_archive() { # files
    rm -rf "$work/cifar-10-batches-bin"
    mkdir "$work/cifar-10-batches-bin"
    for file in "$@"; do echo content >"$work/cifar-10-batches-bin/$file"; done
    tar -czf "$work/archive" -C "$work" cifar-10-batches-bin
}

# The script passes the file's name after --output.
stand_in curl "while [ \"\$1\" != --output ]; do shift; done; cp '$work/archive' \"\$2\""
all=(data_batch_{1..5}.bin test_batch.bin batches.meta.txt)

make_archive "${all[@]}"
run 1 "the download is damaged: its MD5 is [0-9a-f]*, expected c32a1d4ab5d03f1284b67883e8d87530"

stand_in md5sum 'echo "c32a1d4ab5d03f1284b67883e8d87530  -"'
make_archive "${all[@]:1}"
run 1 "the archive does not hold what it should"
echo damaged >"$work/archive"
run 2 "gzip"
make_archive "${all[@]}"
run 0 "CIFAR-10 is in "
[[ -s $work/data/cifar-10-batches-bin/data_batch_5.bin ]]

stand_in curl 'exit 22'
run 0 "is already in "
rm "$work/data/cifar-10-batches-bin/test_batch.bin"
run 1 "is there, but not whole"
rm -r "$work/data/cifar-10-batches-bin"
run 1 "the download of https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz failed"
echo "Checks: 7, Failures: 0, Errors: 0"
