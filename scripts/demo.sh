#!/usr/bin/env bash
# From a bare clone to a trained network: one epoch of ResNet on Fashion-MNIST, then its accuracy on the test images.
#
# usage: scripts/demo.sh [options of "cltrain fit", such as --device gpu]
set -euo pipefail
# shellcheck source=SCRIPTDIR/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
case ${1:-} in -h | --help) usage ;; esac

scripts/setup.sh
scripts/build.sh

say "training: 60,000 images, one epoch"
out=runs/demo/$(date +%Y%m%d-%H%M%S) # of its own, however often this runs
build/cltrain fit --model ResNet --data fashion-mnist --epochs 1 --out "$out" "$@"

say "testing $out/last.safetensors: 10,000 images"
build/cltrain test --weights "$out/last.safetensors" --data fashion-mnist --split test
