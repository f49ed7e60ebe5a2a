#!/usr/bin/env bash
# Measures ResNet and prints it against the recorded baseline, for information: another machine is another speed, so this
# succeeds whatever comes out. Without a device it says so.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

baseline=$(printf '%s\n' bench/results/peers-*.json | tail -n 1)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for what in train infer; do
    if build/clbench "$what" --model ResNet --num-bench-iter 10 --json >"$folder/$what.json" 2>"$folder/errors"; then
        build/clbench compare "$baseline" "$folder/$what.json"
    else
        echo "not measured: $(tail -n 1 "$folder/errors")"
    fi
done
exit 0
